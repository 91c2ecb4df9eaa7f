"""The plan of a push and its checks: what is sent, what is refused, and that every refusal names its file."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import DatasetCard, RepoCard

from publish import checks
from publish.files import sha256
from publish.plan import Folders, Plan, Repository, _card, _model_files, make_plan
from tests.publishable import descriptors_alone, one_model, refusals

NAME = "emo-pillars-contextless-minilm"


@pytest.fixture
def folders(scripted_work: Path, tiny_models: Path, evidence: Path, tmp_path: Path) -> Folders:
    """A release of one model for a test to change; the corpus is shared."""
    return one_model(NAME, {"work": scripted_work, "models": tiny_models, "evidence": evidence}, tmp_path)


@pytest.fixture
def own_corpus(folders: Folders, tmp_path: Path) -> Folders:
    """The same with a copy of the corpus."""
    shutil.copytree(folders.corpus, tmp_path / "corpus")
    return Folders(**vars(folders) | {"corpus": tmp_path / "corpus"})


def change(path: Path, **values: Any) -> None:
    """Set keys of a JSON or YAML file; a value of ... removes the key."""
    content = yaml.safe_load(path.read_text()) | values  # JSON is YAML
    content = {key: value for key, value in content.items() if value is not ...}
    path.write_text(json.dumps(content) if path.suffix == ".json" else yaml.safe_dump(content))


def test_a_consistent_release_is_not_refused(folders: Folders) -> None:
    assert refusals(folders) == []


# ---------------------------------------------------------------- what is sent


def test_texts_with_descriptors_are_a_data_set_of_their_own(folders: Folders) -> None:
    descriptors_alone(folders.corpus, folders.descriptors)
    card = folders.cards / "emo-pillars-descriptors.md"
    card.unlink()
    assert "emo-pillars-descriptors.md: not found" in refusals(folders)[0]
    card.write_text("---\npretty_name: Texts\n---\n\nOf NAMESPACE.\n")
    assert refusals(folders) == []
    [one] = [repository for repository in make_plan("tester", folders).repositories if repository.name == card.stem]
    assert (one.kind, one.note) == ("dataset", "Of tester.")
    assert {name.split("/")[0] for name in one.files} == {"README.md", "manifest.json", "descriptors"}
    assert [config["config_name"] for config in DatasetCard(one.card).data.configs] == ["descriptors"]
    change(folders.descriptors / "manifest.json", revision="other")
    assert "revision other" in refusals(folders)[0]
    (folders.descriptors / "manifest.json").unlink()
    assert "dataset_builder describe-texts`, or pass --descriptors." in refusals(folders)[0]


def test_plots_are_sent(folders: Folders) -> None:
    plot = folders.results / NAME / "curve.png"
    plot.write_bytes(b"\x89PNG")
    assert make_plan("tester", folders).repositories[1].files["plots/curve.png"] == plot


def test_the_space(folders: Folders) -> None:
    (folders.space / "example.png").write_bytes(b"\x89PNG\xff\xfe")
    (folders.space / "__pycache__").mkdir()
    (folders.space / "__pycache__/app.pyc").write_bytes(b"\x00")
    (folders.space / ".secret").write_text("")
    space = make_plan("\\1", folders).repositories[-1]  # a namespace is text, not a pattern
    assert (space.kind, set(space.files)) == ("space", {"README.md", "app.py", "example.png"})
    app = space.files["app.py"]
    assert isinstance(app, bytes)
    assert b'model="\\1/emo-pillars-contextual-minilm"' in app
    (folders.space / "README.md").write_text("---\ntitle: T\n---\n")
    assert "sdk: gradio" in refusals(folders)[0]
    shutil.rmtree(folders.space)
    plan = make_plan("someone", folders)
    assert "space" not in [repository.kind for repository in plan.repositories]
    assert plan.notes == [f"left out: {folder} is not a folder" for folder in (folders.descriptors, folders.space)]


def test_other_seeds_and_ablations_are_left_out(folders: Folders) -> None:
    for name in (f"{NAME}-14", "goemotions-frozen"):
        shutil.copytree(folders.models / NAME, folders.models / name)
    record = folders.models / "goemotions-frozen/training.json"
    change(record, recipe=json.loads(record.read_text())["recipe"] | {"name": "goemotions-frozen"})
    (folders.recipes / "ablations").mkdir()
    (folders.recipes / "ablations/goemotions-frozen.yaml").touch()
    plan = make_plan("tester", folders)
    assert [repository.name for repository in plan.repositories if repository.kind == "model"] == [NAME]
    assert f"{NAME}-14, which is {NAME} with another seed" in plan.notes[0]
    assert "goemotions-frozen, which is an ablation" in plan.notes[1]


def test_models_in_the_repository_are_sent_where_work_has_none_of_that_name(folders: Folders, tmp_path: Path) -> None:
    published = tmp_path / "published"
    for name in (NAME, "kept"):
        shutil.copytree(folders.models / NAME, published / name)
    (published / "emo-pillars").mkdir()  # the corpus
    plan = make_plan("tester", replace(folders, published=published))
    sent = {repository.name: repository.folder for repository in plan.repositories if repository.kind == "model"}
    assert sent == {NAME: folders.models / NAME, "kept": published / "kept"}


def test_a_note_is_the_first_sentence_of_the_card() -> None:
    card = b"---\nlicense: mit\n---\n\n# Title\n\n> Beware. Of it.\n\nReads a sentence\nalone. And more."
    assert Repository("name", "model", Path(), {"README.md": card}).note == "Reads a sentence alone."


def test_a_byte_order_mark_does_not_cost_a_card_its_yaml(tmp_path: Path) -> None:
    (tmp_path / "m.md").write_bytes("\ufeff---\r\nlicense: mit\r\n---\r\n# T\r\n".encode())
    card = _card(Plan(), tmp_path / "m.md", "tester")["README.md"]
    assert isinstance(card, bytes)
    assert RepoCard(card.decode()).data.to_dict() == {"license": "mit"}


def test_folders_of_this_machine_are_not_published(folders: Folders) -> None:
    path, recipe = folders.models / NAME / "training.json", folders.recipes / f"{NAME}.yaml"
    record = json.loads(path.read_text())
    home = {"base_model": "/home/jane.doe/tiny-encoder", "dataset": "NAMESPACE/emo-pillars"}
    change(path, recipe=record["recipe"] | home)
    sent = next(one for one in make_plan("tester", folders).repositories if one.name == NAME).files["training.json"]
    assert isinstance(sent, bytes)
    found = json.loads(sent)
    assert (found["recipe"]["base_model"], found["recipe"]["dataset"]) == ("…/tiny-encoder", "tester/emo-pillars")
    assert found["weights_sha256"] == record["weights_sha256"]
    assert b'"/' not in sent
    change(path, recipe=record["recipe"] | home | {"base_model": "…/tiny-encoder"})
    for base_model, differs in (("/home/jane.doe/tiny-encoder", False), ("/home/jane.doe/other", True)):
        change(recipe, **home | {"base_model": base_model})
        assert bool(refusals(folders)) is differs


# ---------------------------------------------------------------- which files a repository may hold

STRANGE = (
    ".env", ".netrc", ".git-credentials", ".npmrc", ".bash_history", ".DS_Store", "nohup.out", "scratch.ipynb",
    "customers.csv", "train.log", "events.out.tfevents.1", "modeling_x.py", "x.safetensors.bak", "pytorch_model.bin",
    "vectorizer.joblib.gz", "scaler.PKL", "state.dill", "x.p", "model.nemo", "a.Keras", "x.h5", "libops.so", "app.pyc",
    "onnx/notes.txt", "adapter/optimizer.json", "tokenizer.json~", "config (copy).json",
)  # fmt: skip
USUAL = ("model-00001-of-00002.safetensors", "merges.txt", "onnx/model_quantized.onnx")


def test_a_model_folder_holds_the_files_of_a_model_only(folders: Folders) -> None:
    paths = [folders.models / NAME / name for name in (*STRANGE, *USUAL)]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_text("anything")
    os.mkfifo(folders.models / NAME / "pipe.txt")  # not a file, so it is passed over
    refused = {
        line.partition(": does not belong in a model")[0] for line in refusals(folders) if "does not belong in" in line
    }
    assert refused == {str(path) for path in paths[: len(STRANGE)]}


@pytest.mark.parametrize("part", ["corpus", "space"])
def test_so_do_other_repositories(own_corpus: Folders, part: str) -> None:
    path = getattr(own_corpus, part) / ("rows.parquet" if part == "corpus" else "customers.csv")
    path.write_text("name,iban")
    kind = {"corpus": "dataset", "space": "space"}[part]
    assert any(line.startswith(f"{path}: does not belong in a {kind} repository") for line in refusals(own_corpus))


def test_a_bi_encoder_s_folder_is_allowed(folders: Folders, bi_encoder: Path) -> None:
    shutil.copytree(bi_encoder, folders.models / bi_encoder.name)
    absent = ("not found. Every repository needs a card", "no recipe", "no result")
    assert [line for line in refusals(folders) if not any(one in line for one in absent)] == []
    found = next(one for one in make_plan("tester", folders).repositories if one.name == bi_encoder.name)
    assert {"modules.json", "1_Pooling/config.json", "reference.safetensors"} <= found.files.keys()


def test_links_to_the_outside_are_not_followed(own_corpus: Folders, tmp_path: Path) -> None:
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
    (folder / "merges.txt").symlink_to("nothing")
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("config.json")
    said = "\n".join(refusals(own_corpus))
    assert all(f"{link}" in said and f" -> {target}" in said for link, target in links.items())
    assert said.count("points to nothing") == 2
    sent = [path for one in make_plan("tester", own_corpus).repositories for path in one.files.values()]
    assert not any(outside in path.resolve().parents for path in sent if isinstance(path, Path))


def test_links_inside_and_a_linked_folder_are_followed(folders: Folders, tmp_path: Path) -> None:
    folder = folders.models / NAME
    shutil.move(folder, tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    (folder / "vocab.txt").symlink_to("tokenizer.json")
    assert refusals(folders) == []


@pytest.mark.parametrize("path", ["1_Pooling/../../../outside", "../../outside", "/etc", "..", "a\0b"])
def test_paths_of_modules_stay_inside(folders: Folders, path: str) -> None:
    (folders.models / NAME / "1_Pooling").mkdir()
    kind = "sentence_transformers.models.Pooling"
    (folders.models / NAME / "modules.json").write_text(json.dumps([{"path": path, "type": kind}]))
    [line] = refusals(folders)
    assert f"modules.json: the path '{path}' points outside" in line


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
def test_a_model_that_brings_code_is_refused(folders: Folders, what: str) -> None:
    name, content = CODE[what]
    folder, path = folders.models / NAME, folders.models / NAME / name
    path.parent.mkdir(exist_ok=True)
    before = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(before | content if isinstance(content, dict) else content))
    if "/" in name:
        parts = [{"path": name.split("/")[0], "type": "sentence_transformers.models.Dense"}]
        (folder / "modules.json").write_text(json.dumps(parts))
    assert any(f"{name}: has {what.partition(' of a ')[0]}" in line for line in refusals(folders))


def test_code_is_found_in_a_file_whose_local_paths_are_hidden(folders: Folders) -> None:
    config = {"base_model_name_or_path": "/home/jane.doe/encoder", "auto_mapping": {"parent_library": "evil"}}
    (folders.models / NAME / "adapter_config.json").write_text(json.dumps(config))
    [line] = refusals(folders)
    assert "adapter_config.json: has 'auto_mapping' of evil" in line


# ---------------------------------------------------------------- what belongs together


@pytest.mark.parametrize("name", ["checkpoint", "checkpoint.part", "checkpoint.old"])
def test_a_training_that_is_not_finished_is_refused(folders: Folders, name: str) -> None:
    (folders.models / NAME / name).mkdir()
    assert f"{name}: a training run is still writing to this folder" in refusals(folders)[0]


def test_a_model_is_trained_by_its_recipe(folders: Folders) -> None:
    recipe = folders.recipes / f"{NAME}.yaml"
    change(recipe, epochs=3, lora={"rank": 4})
    [line] = refusals(folders)
    assert "epochs 1, not 3" in line
    assert "lora null" in line
    change(recipe, epochs=1, lora=..., learning_rate="1e-3", weight_decay=...)
    assert refusals(folders) == [], "a number as text is read, and a key that is left out has its default"
    text = recipe.read_text()
    for other, said in (
        (text.replace("base_model:", "base_model: 2024-01-01 #"), "not a recipe: key 'base_model'"),
        (text + "epocs: 3\n", "not a recipe: unknown key 'epocs'"),
        ("- a", "not a recipe: a mapping"),
    ):
        recipe.write_text(other)
        assert said in refusals(folders)[0]
    recipe.write_bytes(b"\xff\xfe")
    assert f"{recipe}: " in refusals(folders)[0]
    recipe.unlink()
    assert "no recipe of this name" in refusals(folders)[0]


@pytest.mark.parametrize(
    ("trained", "left"),
    [
        ({"ema_decay": 0.995}, {}),
        ({"seed": 14}, {}),
        ({"lora": {"rank": 4}}, {"lora": {"rank": 4}}),
        ({}, {}),
    ],
)
def test_a_recipe_that_lost_a_key_is_another_one(
    folders: Folders, trained: dict[str, Any], left: dict[str, Any]
) -> None:
    """A key that the recipe leaves out has its default, and the training may have had another value."""
    recipe, record = folders.recipes / f"{NAME}.yaml", folders.models / NAME / "training.json"
    made = json.loads(record.read_text())["recipe"]
    whole = {"rank": 16, "alpha": 32, "dropout": 0.05}
    nested = {"lora": whole | trained["lora"]} if "lora" in trained else trained
    change(record, recipe=made | nested)
    needed = ("name", "base_model", "dataset", "config", "epochs", "learning_rate", "head_learning_rate")
    recipe.write_text(yaml.safe_dump({key: made[key] for key in needed} | left))
    lines = refusals(folders)
    assert len(lines) == (trained != left)
    for key, value in () if trained == left else trained.items():
        assert f"{key} {json.dumps(value)}, not " in lines[0]


def test_results_are_of_these_weights(folders: Folders) -> None:
    result = folders.results / NAME / "own.json"
    change(result, model_revision="other", recipe_hash="another")
    [line] = refusals(folders)
    assert "own.json: evaluated with another model" in line
    assert "model_revision other" in line
    assert "recipe_hash another" in line
    result.unlink()
    assert "no result of" in refusals(folders)[0]
    shutil.copy(folders.models / NAME / "training.json", result)
    change(result, weights_sha256=...)
    weights = folders.models / NAME / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert "has other weights (model.safetensors) than those of its training.json" in refusals(folders)[0]


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("tokenizer_config.json", "has no tokenizer_config.json, so the model could not be loaded"),
        ("config.json", "has no config.json, so the model could not be loaded"),
        ("onnx/export.json", "onnx: has no readable export.json"),
        ("", ""),
    ],
)
def test_a_model_that_lacks_a_part_is_not_sent(missing: str, said: str, tmp_path: Path) -> None:
    names = ("config.json", "tokenizer_config.json", "model.safetensors", "onnx/export.json", "onnx/model.onnx")
    digest = sha256(b"weights")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("weights" if "model" in name else json.dumps({"weights_sha256": digest}))
    if missing:
        (tmp_path / missing).unlink()
    problems: list[str] = []
    repository = Repository("m", "model", tmp_path, _model_files(tmp_path, "tester", problems))
    found = [*problems, *checks._weights(repository, digest)]
    assert len(found) == bool(said)
    assert said in "".join(found)


def test_onnx_files_are_sent_with_the_weights_they_were_exported_from(folders: Folders) -> None:
    folder = folders.models / NAME
    (folder / "onnx").mkdir()
    (folder / "onnx/model.onnx").write_bytes(b"graph")
    weights = json.loads((folder / "training.json").read_text())["weights_sha256"]
    (folder / "onnx/export.json").write_text(json.dumps({"weights_sha256": weights}))
    assert refusals(folders) == []
    assert {"onnx/model.onnx", "onnx/export.json"} <= make_plan("tester", folders).repositories[1].files.keys()
    change(folder / "onnx/export.json", weights_sha256="other")
    assert "onnx: was exported from other weights" in refusals(folders)[0]


def test_the_numbers_of_a_data_set_are_of_this_corpus(folders: Folders) -> None:
    (folders.results / "emo-pillars").mkdir()
    described = folders.results / "emo-pillars/corpus.json"
    revision = json.loads((folders.corpus / "manifest.json").read_text())["revision"]
    described.write_text(json.dumps({"data_revision": revision}))
    assert refusals(folders) == []
    described.write_text(json.dumps({"data_revision": "before"}))
    assert "describes revision before" in refusals(folders)[0]
    described.write_text("{")
    assert "corpus.json: not the JSON" in refusals(folders)[0]


def test_a_file_of_the_corpus_matches_the_hash_in_its_name(own_corpus: Folders) -> None:
    path = next((own_corpus.corpus / "contextless").glob("train-*"))
    pq.write_table(pq.read_table(path).slice(0, 5), path)
    assert any("does not match the hash in its name" in line for line in refusals(own_corpus))
    path.unlink()
    [line] = refusals(own_corpus)
    assert "its files are not those of manifest.json" in line


def test_names_of_configs_are_complete(folders: Folders) -> None:
    """With a pattern, `datasets` would take another corpus with the same README for this one."""
    card = yaml.safe_load((folders.corpus / "README.md").read_text().split("---")[1])
    paths = [file["path"] for config in card["configs"] for file in config["data_files"]]
    assert sorted(paths) == sorted(str(path.relative_to(folders.corpus)) for path in folders.corpus.rglob("*.parquet"))


BROKEN: dict[str, Callable[[Folders], Any]] = {
    "modules.json: not the JSON": lambda f: (f.models / NAME / "modules.json").write_text("{"),
    "modules.json: not a list of modules": lambda f: (f.models / NAME / "modules.json").write_text('["path"]'),
    "training.json: not the JSON": lambda f: (f.models / NAME / "training.json").write_text("[]"),
    "training.json: has no readable 'recipe'": lambda f: change(f.models / NAME / "training.json", recipe="x"),
    "x.parquet: does not belong in a dataset": lambda f: (f.corpus / "x.parquet").mkdir(),
    "README.md: has no 'configs'": lambda f: (f.corpus / "README.md").write_text("no yaml"),
    "README.md: not a readable card": lambda f: (f.corpus / "README.md").write_text("---\na: !!python/x y\n---\n"),
    f"{NAME}.md: not a readable card": lambda f: (f.cards / f"{NAME}.md").write_bytes(b"\xff\xfe"),
    "space/README.md: not a readable card": lambda f: (f.space / "README.md").write_text("---\n- a\n---\n"),
    "manifest.json: not the JSON": lambda f: (f.corpus / "manifest.json").write_text("[" * 100_000),
}


@pytest.mark.parametrize("said", BROKEN)
def test_what_cannot_be_read_is_named(own_corpus: Folders, said: str) -> None:
    BROKEN[said](own_corpus)
    assert any(said in line for line in refusals(own_corpus))


# ---------------------------------------------------------------- git


def git(root: Path, *arguments: str) -> None:
    who = ["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(root), *who, *arguments], check=True, capture_output=True)


def test_the_source_tree_is_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit, [line] = checks.source_tree(tmp_path)
    assert (commit, "not a git repository" in line) == ("", True)
    git(tmp_path, "init")
    for name, content in ((".gitignore", "work/\n"), ("a", "1"), ("b", "1")):
        (tmp_path / name).write_text(content)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    (tmp_path / "work").mkdir()
    (tmp_path / "work/model").write_text("ignored")
    commit, problems = checks.source_tree(tmp_path)
    assert (len(commit), problems) == (40, [])
    assert "not a git repository" in checks.source_tree(tmp_path / "work")[1][0], "a folder inside a repository"
    git(tmp_path, "config", "status.showUntrackedFiles", "no")
    (tmp_path / "new").mkdir()
    (tmp_path / "new/x.py").write_text("")
    assert "not committed: new/x.py" in checks.source_tree(tmp_path)[1][0]
    shutil.rmtree(tmp_path / "new")
    for name, flag in (("a", "--assume-unchanged"), ("b", "--skip-worktree")):
        git(tmp_path, "update-index", flag, name)
        (tmp_path / name).write_text("2")
        [line] = checks.source_tree(tmp_path)[1]
        assert f"git ignores changes of {name}" in line
        git(tmp_path, "update-index", flag.replace("--", "--no-"), name)
        assert f"not committed: {name}" in checks.source_tree(tmp_path)[1][0]
        (tmp_path / name).write_text("1")
    (tmp_path / ".git/index").write_bytes(b"torn")
    commit, [line] = checks.source_tree(tmp_path)
    assert commit == "", "a state that git cannot report is not a clean one"
    assert "index file smaller than expected" in line
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "'git'" in checks.source_tree(tmp_path)[1][0]
