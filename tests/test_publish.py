"""What a push sends, what it refuses, and how it tries again: without a subprocess but git's own."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import DatasetCard, parse_eval_result_entries

from publish import checks, contents
from publish.plan import Places, Plan, Repository, make
from tests.publishable import descriptors_alone, one_model, refusals

NAME = "emo-pillars-contextless-minilm"
RANDOM = "aBcD3fGh1jKlMn0pQrStUvWxYzAbCdEfGhIjKlMn"
GENUINE = {
    "a Hub token": "hf_" + RANDOM[:34],
    "an API key of the form sk-…": "sk-proj-" + RANDOM,
    "an AWS key": "AKIA" + "QWERTY7ASDFGH2ZX",
    "a GitHub token": "ghp_" + RANDOM[:36],
    "a Slack token": "xoxb-" + "123456789012-" + RANDOM,
    "a private key": "-----BEGIN RSA " + "PRIVATE KEY-----\n" + RANDOM,
}
HARMLESS = (
    "export HF_TOKEN=hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "hf_hub_download, hf_writer, hf_yourtokenyourtokenyourtokenyour",
    "sk-your-openai-api-key-goes-here",
    "a task-oriented-desk-2-for-the-Risk-Averse-Person",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_" + "x" * 36,
    "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
)


@pytest.fixture
def places(scripted_work: Path, tiny_models: Path, evidence: Path, tmp_path: Path) -> Places:
    """One model with all that goes with it, to be changed by a test; the rest as it is."""
    return one_model(NAME, {"work": scripted_work, "models": tiny_models, "evidence": evidence}, tmp_path)


def edit(path: Path, **changes: Any) -> None:
    content = yaml.safe_load(path.read_text())  # JSON is YAML
    content = {key: value for key, value in (content | changes).items() if value is not ...}
    path.write_text(json.dumps(content) if path.suffix == ".json" else yaml.safe_dump(content))


def test_what_belongs_together_is_not_refused(places: Places) -> None:
    assert refusals(places) == []


@pytest.mark.parametrize("kind", GENUINE)
def test_secrets_are_found(kind: str) -> None:
    for text in (GENUINE[kind], f'{{"say": "now\\n{GENUINE[kind]}"}}'.replace("KEY-----\n", "KEY-----\\n")):
        assert contents.secrets("README.md", text.encode()) == [kind]


def test_placeholders_are_none() -> None:
    assert contents.secrets("README.md", "\n".join(HARMLESS).encode()) == []


def test_a_secret_across_two_chunks_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "CHUNK", 4096)
    path = tmp_path / "long.txt"
    path.write_text("." * 4080 + GENUINE["a Hub token"] + "." * 9000)
    assert contents.secrets("long.txt", path) == ["a Hub token"]


@pytest.mark.parametrize(
    "column",
    [
        lambda text: pa.array(["one", None, text]),
        lambda text: pa.array(["one", "two", text]).dictionary_encode(),
        lambda text: pa.array([[{"label": "joy", "score": 1.0}], None, [{"label": text, "score": 0.5}]]),
        lambda text: pa.array([b"one", b"two", text.encode()]),
    ],
)
def test_a_secret_in_a_column_is_found_and_not_said(column: Callable[[str], pa.Array], tmp_path: Path) -> None:
    secret = GENUINE["a GitHub token"]
    pq.write_table(pa.table({"rows": column(secret)}), tmp_path / "rows.parquet")
    assert contents.secrets("rows.parquet", tmp_path / "rows.parquet") == ["a GitHub token"]
    repository = Repository("emo-pillars", "dataset", tmp_path, {"rows.parquet": tmp_path / "rows.parquet"})
    [line] = checks.contents(Plan([repository]))
    assert "rows.parquet: holds a GitHub token" in line
    assert secret not in line
    pq.write_table(pa.table({"rows": column("harmless")}), tmp_path / "rows.parquet")
    assert checks.contents(Plan([repository])) == []
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 torn")
    assert "cannot be read" in checks.contents(Plan([repository]))[0]


def test_pickles_are_known_by_name_and_by_content(tmp_path: Path, tiny_models: Path) -> None:
    assert contents.is_unsafe("pytorch_model.bin", b"anything")
    for protocol in (2, 3, 4, 5):
        assert contents.is_unsafe("model.safetensors", pickle.dumps({"a": [1]}, protocol))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({"a": 1}))
    assert contents.is_unsafe("weights.safetensors", archive.getvalue())
    for name, array, unsafe in (("o", np.array([{}], dtype=object), True), ("n", np.zeros(3), False)):
        np.save(tmp_path / f"{name}.npy", array)
        np.savez(tmp_path / f"{name}.npz", array=array)
        assert contents.is_unsafe(f"{name}.npy", tmp_path / f"{name}.npy") is unsafe
        assert contents.is_unsafe(f"{name}.npz", tmp_path / f"{name}.npz") is unsafe
    assert not any(contents.is_unsafe(path.name, path) for path in (tiny_models / NAME).glob("*"))
    evil = "ccopy_reg\n_reconstructor\n(c__main__\nX\nc__builtin__\nobject\nNtRp0\n."
    assert contents.is_unsafe("vocab.txt", evil.encode()), "protocol 0, by what is in it"
    for protocol in (0, 1):
        assert contents.is_unsafe("notes.txt", pickle.dumps(Evil(), protocol))
        assert contents.is_unsafe(f"scaler.{('PKL', 'dill')[protocol]}", b"anything")
    assert not contents.is_unsafe("vocab.txt", b"c\nhello\nworld.")
    assert not contents.is_unsafe("model.safetensors", (0x00030280).to_bytes(8, "little") + b"{")


class Evil:
    def __reduce__(self) -> Any:
        return print, ("ran",)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("vectorizer.joblib.gz", gzip.compress(b"x")),
        ("vocab.txt", gzip.compress(b"x")),
        ("scaler.json", lzma.compress(b"x")),
        ("scaler.json", bz2.compress(b"x")),
        ("model.nemo", b""),
        ("vocab.txt", b"\0" * 257 + b"ustar\x0000"),
        ("config.json", b"\x7fELF"),
        ("model.onnx", b"\x89HDF\r\n"),
        *((name, b"") for name in ("x.p", "a.Keras", "libops.so", "app.pyc", "x.whl", "x.7z", "x.H5")),
    ],
)
def test_what_is_packed_or_compiled_is_unsafe(name: str, content: bytes) -> None:
    assert contents.is_unsafe(name, content)


def test_a_zip_that_cannot_be_looked_into_is_unsafe() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.npy", b"x")
    encrypted = bytearray(archive.getvalue())
    at = encrypted.find(b"PK\x01\x02")
    encrypted[at + 8] |= 1
    encrypted[6] |= 1
    assert contents.is_unsafe("a.npz", bytes(encrypted))
    assert contents.is_unsafe("a.json", archive.getvalue()), "and any that is no array of numpy"
    assert contents.secrets("a.npz", bytes(encrypted)) == []


def test_a_model_is_its_recipe_s(places: Places) -> None:
    recipe = places.recipes / f"{NAME}.yaml"
    edit(recipe, epochs=3, lora={"rank": 4})
    [line] = refusals(places)
    assert "epochs 1, not 3" in line
    assert "lora null" in line
    edit(recipe, epochs=1, lora=..., learning_rate="1e-3", weight_decay=...)
    assert refusals(places) == [], "1e-3 is a string to PyYAML; what a recipe leaves out is its default"
    recipe.unlink()
    assert "no recipe of that name" in refusals(places)[0]


def test_results_are_of_these_weights(places: Places) -> None:
    result = places.results / NAME / "own.json"
    edit(result, model_revision="other", recipe_hash="another")
    [line] = refusals(places)
    assert "own.json: measured on another model" in line
    assert "model_revision other" in line
    assert "recipe_hash another" in line
    result.unlink()
    assert "no result of" in refusals(places)[0]
    shutil.copy(places.models / NAME / "training.json", result)
    edit(result, weights_sha256=...)
    weights = places.models / NAME / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert "other weights (model.safetensors) than those of its training.json" in refusals(places)[0]


def test_the_data_set_s_numbers_are_of_this_corpus(places: Places) -> None:
    (places.results / "emo-pillars").mkdir()
    described = places.results / "emo-pillars/corpus.json"
    revision = json.loads((places.corpus / "manifest.json").read_text())["revision"]
    described.write_text(json.dumps({"data_revision": revision}))
    assert refusals(places) == []
    described.write_text(json.dumps({"data_revision": "before"}))
    assert "describes revision before" in refusals(places)[0]
    described.write_text("{")
    assert "corpus.json: cannot be read" in refusals(places)[0]


def test_texts_with_descriptors_are_a_data_set_of_their_own(places: Places) -> None:
    descriptors_alone(places.corpus, places.descriptors)
    card = places.cards / "emo-pillars-descriptors.md"
    card.unlink()
    assert "emo-pillars-descriptors.md: no card of that name" in refusals(places)[0]
    card.write_text("---\npretty_name: Texts\n---\n\nOf NAMESPACE.\n")
    assert refusals(places) == []
    [one] = [repository for repository in make("tester", places).repositories if repository.name == card.stem]
    assert (one.kind, one.note) == ("dataset", "Of tester.")
    assert {name.split("/")[0] for name in one.files} == {"README.md", "manifest.json", "descriptors"}
    assert [config["config_name"] for config in DatasetCard(one.card).data.configs] == ["descriptors"]
    (places.descriptors / "manifest.json").unlink()
    assert "Run dataset_builder describe-texts, or give --descriptors." in refusals(places)[0]


def test_plots_and_results_in_the_hub_s_form(places: Places) -> None:
    folder = places.results / NAME
    (folder / "curve.png").write_bytes(b"\x89PNG")
    of = {"id": "google-research-datasets/go_emotions", "config": "simplified", "revision": "a" * 40}
    metrics = {"macro_f1": {"value": 0.25}, "weighted_f1": {"value": 0.5}}
    edit(folder / "own.json", hub_dataset=of, metrics=metrics, headline="weighted_f1")
    files = make("tester", places).repositories[1].files
    assert files["plots/curve.png"] == folder / "curve.png"
    text = files[".eval_results/own.yaml"]
    assert isinstance(text, bytes)
    [entry] = parse_eval_result_entries(yaml.safe_load(text))
    assert (entry.dataset_id, entry.task_id, entry.value) == (of["id"], "simplified", 0.5)
    assert entry.dataset_revision == of["revision"]
    edit(folder / "own.json", hub_dataset={"id": of["id"]})
    assert "lacks 'id' or 'config'" in refusals(places)[0]


def test_the_space(places: Places) -> None:
    (places.space / "example.png").write_bytes(b"\x89PNG\xff\xfe")
    (places.space / "__pycache__").mkdir()
    (places.space / "__pycache__/app.pyc").write_bytes(b"\x00")
    (places.space / ".secret").write_text("")
    space = make("someone", places).repositories[-1]
    assert (space.kind, set(space.files)) == ("space", {"README.md", "app.py", "example.png"})
    app = space.files["app.py"]
    assert isinstance(app, bytes)
    assert b'model="someone/emo-pillars-contextual-minilm"' in app
    (places.space / "README.md").write_text("---\ntitle: T\n---\n")
    assert "sdk: gradio" in refusals(places)[0]
    shutil.rmtree(places.space)
    assert "space" not in [repository.kind for repository in make("someone", places).repositories]


def test_a_repetition_with_another_seed_is_left_out(places: Places) -> None:
    shutil.copytree(places.models / NAME, places.models / f"{NAME}-14")
    plan = make("tester", places)
    assert [repository.name for repository in plan.repositories if repository.kind == "model"] == [NAME]
    assert f"{NAME}-14, which is {NAME} with another seed" in plan.notes[0]


def test_a_variant_is_left_out(places: Places) -> None:
    variant = places.models / "goemotions-frozen"
    shutil.copytree(places.models / NAME, variant)
    record = json.loads((variant / "training.json").read_text())
    record["recipe"]["name"] = variant.name
    (variant / "training.json").write_text(json.dumps(record))
    (places.recipes / "ablations").mkdir()
    (places.recipes / "ablations" / f"{variant.name}.yaml").touch()
    plan = make("tester", places)
    assert variant.name not in [repository.name for repository in plan.repositories]
    assert "goemotions-frozen, a variant" in plan.notes[0]


def test_a_note_is_the_card_s_first_sentence() -> None:
    card = b"---\nlicense: mit\n---\n\n# Title\n\n> Beware. Of it.\n\nReads a sentence\nalone. And more."
    assert Repository("name", "model", Path(), {"README.md": card}).note == "Reads a sentence alone."


def git(root: Path, *arguments: str) -> None:
    who = ["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(root), *who, *arguments], check=True, capture_output=True)


def test_the_source_tree(tmp_path: Path) -> None:
    commit, [line] = checks.source_tree(tmp_path)
    assert (commit, "no git repository" in line) == ("", True)
    git(tmp_path, "init")
    (tmp_path / ".gitignore").write_text("work/\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    (tmp_path / "work").mkdir()
    (tmp_path / "work/model").write_text("ignored")
    commit, problems = checks.source_tree(tmp_path)
    assert (len(commit), problems) == (40, [])
    assert "no git repository" in checks.source_tree(tmp_path / "work")[1][0], "a folder within another's"
    (tmp_path / "new.py").write_text("")
    assert "not committed: new.py" in checks.source_tree(tmp_path)[1][0]
    (tmp_path / "new.py").unlink()
    (tmp_path / ".gitignore").write_text("work/\nmore/\n")
    assert "not committed: .gitignore" in checks.source_tree(tmp_path)[1][0]
