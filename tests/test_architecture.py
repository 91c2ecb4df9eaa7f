"""Who imports whom, and names that must not be used."""

import ast
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GROUND = "taxonomy schema inputs provenance bridges figures text_hygiene escaping statistics reading data_sets"
SHARED = {f"dataset_builder.{name}" for name in GROUND.split()}
SHARED_WITH_EVAL = {f"dataset_builder.{name}" for name in ("domains.goemotions", "reading_texts", "known_files")}
FOLDERS = ("dataset_builder", "train", "eval", "publish", "space")
OURS = (*FOLDERS, "push", "demo", "tests")
LIBRARY_NAMES = {
    "accelerate", "common", "datasets", "evaluate", "helpers", "logging", "random", "tokenizers", "transformers",
    "types", "utils",
}  # fmt: skip


def breaches(root: Path) -> list[str]:
    """Every forbidden import or file name below a root."""
    found = []
    for path in sorted([*root.glob("*.py"), *(p for name in FOLDERS for p in (root / name).rglob("*.py"))]):
        place = path.relative_to(root)
        package = place.parts[0].removesuffix(".py")
        if path.stem in LIBRARY_NAMES:
            found.append(f"{place}: named like a library")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
                if any(name.split(".")[0] == "eval" for name in names):
                    found.append(f"{place}: `import eval` hides the builtin; write `from eval.x import y`")
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                names = [f"{base}.{alias.name}" if base in OURS else base for alias in node.names]
            else:
                continue
            found += [f"{place}: may not import {name}" for name in names if not _allowed(package, name, place)]
    return found


def _allowed(package: str, name: str, place: Path) -> bool:
    top = name.split(".")[0]
    if top == "torch" and package == "dataset_builder":
        return place.parts[1] == "teachers"
    if top == "vllm":
        return False
    if package == "space":  # on the Hub its files stand alone
        return top not in OURS
    if top not in OURS or top == package:
        return True
    if package in ("train", "eval"):
        shared = SHARED | SHARED_WITH_EVAL if package == "eval" else SHARED
        return name in shared or name.rpartition(".")[0] in shared
    return (package, top) in {("push", "publish"), ("demo", "tests")}


def test_nobody_imports_what_it_may_not() -> None:
    assert breaches(ROOT) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("eval/run.py", "from train.classifier.data import tokenise"),
        ("eval/run.py", "import train.classifier.recipe"),
        ("train/classifier/data.py", "from eval.metrics import macro_f1"),
        ("train/classifier/data.py", "import eval.metrics"),
        ("train/classifier/data.py", "from dataset_builder import publish"),
        ("train/classifier/data.py", "from dataset_builder.pipeline.assemble import publish"),
        ("train/classifier/data.py", "from dataset_builder.domains.goemotions import comments"),
        ("eval/run.py", "from dataset_builder.domains.isear import read"),
        ("dataset_builder/pipeline/build.py", "from train import data"),
        ("dataset_builder/pipeline/build.py", "import torch"),
        ("dataset_builder/teachers/endpoint.py", "import vllm"),
        ("dataset_builder/pipeline/stages/utils.py", ""),
        ("push.py", "from dataset_builder.taxonomy import LABELS"),
        ("push.py", "from eval.cards import render"),
        ("publish/checks.py", "from dataset_builder.provenance import digest_of"),
        ("eval/run.py", "from publish.plan import make"),
        ("space/app.py", "from dataset_builder.taxonomy import LABELS"),
        ("space/app.py", "from space.chart import page"),
    ],
)
def test_a_planted_breach_is_found(tmp_path: Path, file: str, line: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(line + "\n")
    assert breaches(tmp_path)
    path.write_text("import json\n")
    assert bool(breaches(tmp_path)) is (path.stem == "utils")


def test_the_packages_are_ours() -> None:
    for name in ("dataset_builder", "train", "eval", "publish"):
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        assert Path(spec.origin).is_relative_to(ROOT)
