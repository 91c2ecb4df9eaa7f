"""What results say of where they come from, and that every JSON file is one that any parser reads."""

import json
import math
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_builder.descriptors.embed import embed
from dataset_builder.files.shards import to_line, write_json
from dataset_builder.narratives import read_narratives
from dataset_builder.provenance import provenance, shareable, write_result
from dataset_builder.recipe import Narratives
from eval.cards.results import Result


def _git(folder: Path, *asked: str) -> None:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", *who, *asked], cwd=folder, check=True, capture_output=True)


def where_measured() -> str:
    return Result.model_validate({"name": "x", "metrics": {}, **provenance()}).where


def test_changes_that_are_not_committed_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "eval/results").mkdir(parents=True)
    for name in ("code.py", "eval/results/x.json"):
        (tmp_path / name).write_text("1")
    _git(tmp_path, "init")
    _git(tmp_path, "add", "-A")
    _git(tmp_path, "commit", "-m", "x")
    monkeypatch.chdir(tmp_path)
    assert provenance()["dirty"] is False
    assert "not committed" not in where_measured()
    (tmp_path / "eval/results/x.json").write_text("2")  # what measuring writes
    (tmp_path / "notes.txt").write_text("x")
    assert provenance()["dirty"] is False
    (tmp_path / "code.py").write_text("2")
    assert provenance()["dirty"] is True
    assert " with changes that were not committed on " in where_measured()
    monkeypatch.chdir(tmp_path.parent)
    assert provenance()["commit"] == "unknown"


def test_a_path_is_told_without_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shareable(str(tmp_path / "work/corpus")) == "work/corpus"
    assert shareable("/elsewhere/corpus") == "…/corpus"
    assert shareable("work/corpus") == "work/corpus"


def test_no_json_holds_what_is_no_number(tmp_path: Path) -> None:
    """A metric that is undefined is left out; elsewhere such a number is an error."""
    content = {
        "metrics": {"a": {"value": math.nan, "low": 0.1}, "b": {"value": 0.5, "low": -math.inf}},
        "c": [math.inf, 1],
    }
    path = write_result(content, tmp_path, "x", "y")
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == {
        "metrics": {"b": {"value": 0.5}},
        "c": [None, 1],
    }
    for write in (lambda value: write_json(tmp_path / "z.json", value), to_line):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write({"a": math.nan})
    assert not (tmp_path / "z.json").exists()


def test_embeddings_are_of_an_encoder_s_weights(tmp_path: Path) -> None:
    """Only what is asked for is read, and another revision of an encoder shares nothing."""
    asked: list[str] = []

    def encode(texts: list[str]) -> np.ndarray:
        asked.extend(texts)
        return np.array([[len(text), 1.0] for text in texts])

    texts = [f"text {number}" for number in range(1200)]
    first = embed(texts, "a/b@1", encode, tmp_path)
    assert len(asked) == 1200
    asked.clear()
    assert np.array_equal(embed([*texts[5:900], "new", texts[7]], "a/b@1", encode, tmp_path)[:895], first[5:900])
    assert asked == ["new"]
    embed(["new"], "a/b@2", encode, tmp_path)
    assert asked == ["new", "new"]


def test_stories_of_an_edited_folder_are_those_that_are_there(tmp_path: Path) -> None:
    folder = tmp_path / "stories"
    folder.mkdir()
    for title in ("First", "Second"):
        row = {"id": "a", "title": title, "text": "One day Ana met Ben."}
        pq.write_table(pa.Table.from_pylist([row]), folder / "train.parquet")
        assert [story.fields["title"] for story in read_narratives(Narratives(source=str(folder)))] == [title]
