"""Which component imports which, and file names that must not be used."""

import importlib.util
from pathlib import Path

import pytest

from tools import architecture
from tools.architecture import ROOT, breaches, page


def test_there_is_no_forbidden_import() -> None:
    assert breaches() == []


def test_the_chart_is_up_to_date() -> None:
    text = (ROOT / architecture.PAGE).read_text(encoding="utf-8")
    assert text == page(text), "run `python -m tools.architecture`"


@pytest.mark.parametrize(
    ("file", "line"),
    [
        # to a higher layer
        ("dataset_builder/schema.py", "from dataset_builder.teachers.base import Teacher"),
        ("dataset_builder/files/reading.py", "from dataset_builder.pipeline import build"),
        ("dataset_builder/filters/split.py", "from dataset_builder.pipeline.build import build"),
        ("dataset_builder/teachers/endpoint.py", "import dataset_builder.pipeline.replies"),
        ("dataset_builder/pipeline/build.py", "from dataset_builder.analysis.report import report"),
        ("dataset_builder/pipeline/build.py", "def late():\n    from dataset_builder.descriptors import write"),
        ("dataset_builder/analysis/report.py", "from dataset_builder.__main__ import main"),
        # within a layer
        ("dataset_builder/filters/split.py", "from dataset_builder.teachers.base import Teacher"),
        ("dataset_builder/domains/isear.py", "from dataset_builder.descriptors.sources import sources"),
        ("dataset_builder/teacher_eval/labelers.py", "from dataset_builder.human_eval.sample import draw"),
        # between programs
        ("eval/run.py", "from train.classifier.data import tokenise"),
        ("train/classifier/data.py", "from eval.metrics import macro_f1"),
        ("train/classifier/data.py", "from dataset_builder.pipeline import assemble"),
        ("train/classifier/data.py", "from dataset_builder.domains.goemotions import comments"),
        ("eval/run.py", "from dataset_builder.domains.isear import read"),
        ("dataset_builder/pipeline/build.py", "from train import classifier"),
        ("push.py", "from dataset_builder.taxonomy import LABELS"),
        ("publish/checks.py", "from dataset_builder.provenance import digest_of"),
        ("eval/run.py", "from publish.plan import make"),
        ("space/app.py", "from dataset_builder.taxonomy import LABELS"),
        ("demo.py", "from tests.conftest import ROOT"),
        # libraries
        ("dataset_builder/pipeline/build.py", "import torch"),
        ("dataset_builder/teachers/endpoint.py", "import vllm"),
    ],
)
def test_a_planted_breach_is_found(tmp_path: Path, file: str, line: str) -> None:
    empty_source_tree(tmp_path)
    assert breaches(tmp_path) == []
    (tmp_path / file).write_text(f"{line}\n", encoding="utf-8")
    assert len(breaches(tmp_path)) == 1


def test_an_import_cycle_is_found(tmp_path: Path) -> None:
    empty_source_tree(tmp_path)
    package = tmp_path / "dataset_builder/pipeline"
    (package / "build.py").write_text("from dataset_builder.pipeline import assemble\n", encoding="utf-8")
    (package / "assemble.py").write_text("def late():\n    import dataset_builder.pipeline.build\n", encoding="utf-8")
    (found,) = breaches(tmp_path)
    assert found.startswith("import cycle: ")


def test_a_file_with_the_name_of_a_library_is_found(tmp_path: Path) -> None:
    empty_source_tree(tmp_path)
    (tmp_path / "eval/datasets.py").touch()
    assert breaches(tmp_path) == ["eval/datasets.py: shadows a library"]


def empty_source_tree(root: Path) -> None:
    """Every module of the product, empty."""
    for path in architecture.read(ROOT).modules.values():
        copy = root / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.touch()


def test_the_packages_are_ours() -> None:
    for name in ("dataset_builder", "train", "eval", "publish", "tools"):
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        assert Path(spec.origin).is_relative_to(ROOT)
