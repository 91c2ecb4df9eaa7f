"""What a repository may hold, that it belongs together, and that every refusal is a line that names the file."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from publish import checks
from publish.plan import Places, make
from tests.publishable import descriptors_alone, one_model, refusals

NAME = "emo-pillars-contextless-minilm"


@pytest.fixture
def places(scripted_work: Path, tiny_models: Path, evidence: Path, tmp_path: Path) -> Places:
    return one_model(NAME, {"work": scripted_work, "models": tiny_models, "evidence": evidence}, tmp_path)


@pytest.fixture
def own_corpus(places: Places, tmp_path: Path) -> Places:
    """The same with a copy of the corpus, to be changed."""
    shutil.copytree(places.corpus, tmp_path / "corpus")
    return Places(**vars(places) | {"corpus": tmp_path / "corpus"})


def change(path: Path, **values: Any) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in (content | values).items() if value is not ...}))


STRANGE = (
    ".env", ".netrc", ".git-credentials", ".npmrc", ".bash_history", ".DS_Store", "nohup.out", "scratch.ipynb",
    "customers.csv", "train.log", "events.out.tfevents.1", "modeling_x.py", "x.safetensors.bak",
    "onnx/notes.txt", "adapter/optimizer.json", "tokenizer.json~", "config (copy).json",
)  # fmt: skip


@pytest.mark.parametrize("name", STRANGE)
def test_a_model_folder_holds_what_models_have(places: Places, name: str) -> None:
    path = places.models / NAME / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("anything")
    assert any(line.startswith(f"{path}: no file of a model repository") for line in refusals(places))


@pytest.mark.parametrize("name", ["model-00001-of-00002.safetensors", "merges.txt", "onnx/model_quantized.onnx"])
def test_what_models_have_is_allowed(places: Places, name: str) -> None:
    path = places.models / NAME / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("anything")
    assert not any("no file of a model" in line for line in refusals(places))


def test_a_bi_encoder_s_folder_is_allowed(places: Places, bi_encoder: Path) -> None:
    shutil.copytree(bi_encoder, places.models / bi_encoder.name)
    lines = [line for line in refusals(places) if "no card" not in line and "no re" not in line]
    assert lines == []
    found = next(one for one in make("tester", places).repositories if one.name == bi_encoder.name)
    assert {"modules.json", "1_Pooling/config.json", "reference.safetensors"} <= found.files.keys()


@pytest.mark.parametrize("part", ["corpus", "space"])
def test_other_repositories_hold_their_own_files_as_well(own_corpus: Places, part: str) -> None:
    path = getattr(own_corpus, part) / ("rows.parquet" if part == "corpus" else "customers.csv")
    path.write_text("name,iban")
    kind = {"corpus": "dataset", "space": "space"}[part]
    assert any(line.startswith(f"{path}: no file of a {kind} repository") for line in refusals(own_corpus))


def test_links_that_lead_out_are_not_followed(own_corpus: Places, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "customers.csv").write_text("name,iban")
    (outside / "export.json").write_text("{}")
    folder = own_corpus.models / NAME
    links = {
        folder / "vocab.txt": outside / "customers.csv",
        folder / "onnx": outside,
        own_corpus.space / "data.html": Path("/etc/hostname"),
        own_corpus.corpus / "contextless/train-00000-of-00001-0123456789abcdef.parquet": outside / "customers.csv",
        own_corpus.results / NAME / "curve.png": outside / "customers.csv",
    }
    for link, target in links.items():
        link.symlink_to(target)
    said = "\n".join(refusals(own_corpus))
    for link, target in links.items():
        assert f"{link}" in said
        assert f" -> {target}" in said
    sent = [path for one in make("tester", own_corpus).repositories for path in one.files.values()]
    assert not any(outside in path.resolve().parents for path in sent if isinstance(path, Path))


def test_links_inside_and_a_linked_folder_are_followed(places: Places, tmp_path: Path) -> None:
    folder = places.models / NAME
    shutil.move(folder, tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    (folder / "vocab.txt").symlink_to("tokenizer.json")
    assert refusals(places) == []
    (folder / "merges.txt").symlink_to("nothing")
    assert "leads nowhere" in refusals(places)[0]


@pytest.mark.parametrize("path", ["1_Pooling/../../../outside", "../../outside", "/etc", ".."])
def test_paths_of_modules_stay_inside(places: Places, path: str) -> None:
    (places.models / NAME / "1_Pooling").mkdir()
    kind = "sentence_transformers.models.Pooling"
    (places.models / NAME / "modules.json").write_text(json.dumps([{"path": path, "type": kind}]))
    [line] = refusals(places)
    assert f"modules.json: has the path '{path}', which leads out" in line


CODE: dict[str, tuple[str, Any]] = {
    "'auto_map'": ("config.json", {"auto_map": {"AutoModel": "modeling_x.Evil"}}),
    "'auto_map' of a tokenizer": ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["x.Evil", None]}}),
    "'custom_pipelines'": ("config.json", {"custom_pipelines": {"x": {"impl": "x.Evil"}}}),
    "a module of type evil_module.Evil": ("modules.json", [{"path": "", "type": "evil_module.Evil"}]),
    "a module of type os.System": ("2_Router/router_config.json", {"types": {"a": "os.System"}}),
    "'activation_function' of os.system": ("2_Dense/config.json", {"activation_function": "os.system"}),
    "'auto_mapping' of evil": ("adapter_config.json", {"auto_mapping": {"parent_library": "evil"}}),
}


@pytest.mark.parametrize("what", CODE)
def test_a_model_that_brings_code_is_refused(places: Places, what: str) -> None:
    name, content = CODE[what]
    folder, path = places.models / NAME, places.models / NAME / name
    path.parent.mkdir(exist_ok=True)
    before = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(before | content if isinstance(content, dict) else content))
    if "/" in name:
        parts = [{"path": name.split("/")[0], "type": "sentence_transformers.models.Dense"}]
        (folder / "modules.json").write_text(json.dumps(parts))
    assert any(f"{name}: has {what.partition(' of a ')[0]}" in line for line in refusals(places))


def test_code_is_found_in_a_file_whose_folders_are_cut(places: Places) -> None:
    config = {"base_model_name_or_path": "/home/jane.doe/encoder", "auto_mapping": {"parent_library": "evil"}}
    (places.models / NAME / "adapter_config.json").write_text(json.dumps(config))
    assert any("adapter_config.json: has 'auto_mapping' of evil" in line for line in refusals(places))


@pytest.mark.parametrize("name", ["checkpoint", "checkpoint.part", "checkpoint.old"])
def test_a_training_that_goes_on_is_waited_for(places: Places, name: str) -> None:
    (places.models / NAME / name).mkdir()
    assert f"{name}: a training into this folder goes on" in refusals(places)[0]


@pytest.mark.parametrize(
    ("trained", "left"),
    [
        ({"ema_decay": 0.995}, {}),
        ({"loss": "asymmetric"}, {}),
        ({"lora": {"rank": 4}}, {"lora": {"rank": 4}}),
        ({}, {}),
    ],
)
def test_a_recipe_that_lost_a_key_is_another_one(places: Places, trained: dict[str, Any], left: dict[str, Any]) -> None:
    """What a recipe leaves out is its default, and the training may have had another value."""
    recipe, record = places.recipes / f"{NAME}.yaml", places.models / NAME / "training.json"
    made = json.loads(record.read_text())["recipe"]
    whole = {"rank": 16, "alpha": 32, "dropout": 0.05, "publish": "merged"}
    nested = {"lora": whole | trained["lora"]} if "lora" in trained else trained
    change(record, recipe=made | nested)
    needed = ("name", "base_model", "dataset", "config", "epochs", "learning_rate", "head_learning_rate")
    recipe.write_text(yaml.safe_dump({key: made[key] for key in needed} | left))
    lines = refusals(places)
    assert len(lines) == (trained != left)
    for key, value in () if trained == left else trained.items():
        assert f"{key} {json.dumps(value)}, not " in lines[0]


def test_a_file_of_the_corpus_is_what_its_name_says(own_corpus: Places) -> None:
    path = next((own_corpus.corpus / "contextless").glob("train-*"))
    rows = pq.read_table(path)
    pq.write_table(rows.slice(0, 5), path)
    assert [line for line in refusals(own_corpus) if "holds other rows than those it is named after" in line] != []
    path.unlink()
    [line] = refusals(own_corpus)
    assert "its files are not those of its manifest.json" in line


def test_descriptors_are_checked_as_well(places: Places) -> None:
    descriptors_alone(places.corpus, places.descriptors)
    shutil.copy(places.cards / f"{NAME}.md", places.cards / "emo-pillars-descriptors.md")
    assert refusals(places) == []
    change(places.descriptors / "manifest.json", revision="other")
    assert "revision other" in refusals(places)[0]


def test_names_of_configs_are_whole(places: Places) -> None:
    """Under a pattern `datasets` would take another corpus of the same README for this one."""
    card = yaml.safe_load((places.corpus / "README.md").read_text().split("---")[1])
    paths = [file["path"] for config in card["configs"] for file in config["data_files"]]
    assert sorted(paths) == sorted(str(path.relative_to(places.corpus)) for path in places.corpus.rglob("*.parquet"))


BROKEN: dict[str, Callable[[Places], Any]] = {
    "modules.json: cannot be read": lambda p: (p.models / NAME / "modules.json").write_text("{"),
    "modules.json: cannot be read as": lambda p: (p.models / NAME / "modules.json").write_text('{"path": 1}'),
    "training.json: cannot be read": lambda p: (p.models / NAME / "training.json").write_text("[]"),
    "training.json: its recipe cannot be read": lambda p: change(p.models / NAME / "training.json", recipe="x"),
    "x.parquet: no file of a dataset": lambda p: (p.corpus / "x.parquet").mkdir(),
    "README.md: names no configs": lambda p: (p.corpus / "README.md").write_text("no yaml"),
    "README.md: no card that can be read": lambda p: (p.corpus / "README.md").write_text("---\na: !!python/x y\n---\n"),
    f"{NAME}.md: no card that can be read": lambda p: (p.cards / f"{NAME}.md").write_bytes(b"\xff\xfe"),
    "space/README.md: no card that can be read": lambda p: (p.space / "README.md").write_text("---\n- a\n---\n"),
    "manifest.json: cannot be read": lambda p: (p.corpus / "manifest.json").write_text("[" * 100_000),
}


@pytest.mark.parametrize("said", BROKEN)
def test_what_cannot_be_read_is_said_in_a_line(own_corpus: Places, said: str) -> None:
    BROKEN[said](own_corpus)
    assert any(said in line for line in refusals(own_corpus))


def test_a_pipe_is_no_file(places: Places) -> None:
    os.mkfifo(places.models / NAME / "pipe.txt")
    assert refusals(places) == []


def test_the_namespace_is_no_pattern(places: Places) -> None:
    assert b"\\1/emo-pillars" in make("\\1", places).repositories[-1].files["app.py"]  # type: ignore[operator]


def git(root: Path, *arguments: str) -> None:
    who = ["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(root), *who, *arguments], check=True, capture_output=True)


def test_git_cannot_be_told_to_hide_what_is_not_committed(tmp_path: Path) -> None:
    git(tmp_path, "init")
    for name in ("a", "b"):
        (tmp_path / name).write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    git(tmp_path, "config", "status.showUntrackedFiles", "no")
    (tmp_path / "new").mkdir()
    (tmp_path / "new/x.py").write_text("")
    assert "not committed: new/x.py" in checks.source_tree(tmp_path)[1][0]
    shutil.rmtree(tmp_path / "new")
    for name, flag in (("a", "--assume-unchanged"), ("b", "--skip-worktree")):
        git(tmp_path, "update-index", flag, name)
        (tmp_path / name).write_text("2")
        [line] = checks.source_tree(tmp_path)[1]
        assert f"git does not look at changes of {name}" in line
        git(tmp_path, "update-index", flag.replace("--", "--no-"), name)
        (tmp_path / name).write_text("1")
