"""Datasets as they lie in folders: what is there is what is read, and what is wrong is said in a line."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_builder.files.data_sets import check_label_numbers, read_data_set
from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import LABELS
from eval.benchmark_rows import own
from train.bi_encoder.data import read_corpus as read_pairs
from train.bi_encoder.recipe import BiEncoderRecipe
from train.classifier.data import read_corpus
from train.classifier.recipe import ClassifierRecipe

Row = dict[str, Any]


def rows(count: int = 4, label: int = 3) -> list[Row]:
    scores = [float(index == label) for index in range(len(LABELS))]
    return [{"id": f"r{row}", "text": f"river {row}", "labels": [label], "scores": scores} for row in range(count)]


def write(folder: Path, of_split: dict[str, list[Row]], config: str = "contextless", **columns: str) -> Path:
    """A corpus of one's own: Parquet files and a README that names the labels."""
    (folder / config).mkdir(parents=True, exist_ok=True)
    for split, found in of_split.items():
        pq.write_table(pa.Table.from_pylist(found), folder / config / f"{split}.parquet")
    files = "".join(f"  - split: {split}\n    path: {config}/{split}.parquet\n" for split in of_split)
    kinds = {"id": "dtype: string", "text": "dtype: string", "scores": "list: float64"} | columns
    kinds = {name: kind for name, kind in kinds.items() if name in next(iter(of_split.values()))[0]}
    described = "".join(f"  - name: {name}\n    {kind}\n" for name, kind in kinds.items())
    if "labels" in next(iter(of_split.values()))[0]:
        names = "".join(f"          '{number}': {name}\n" for number, name in enumerate(LABELS))
        described += "  - name: labels\n    list:\n      class_label:\n        names:\n" + names
    (folder / "README.md").write_text(
        f"---\nconfigs:\n- config_name: {config}\n  data_files:\n{files}"
        f"dataset_info:\n- config_name: {config}\n  features:\n{described}---\n"
    )
    return folder


def recipe(corpus: Path, **changes: object) -> ClassifierRecipe:
    values: Row = {"name": "x", "base_model": "none", "dataset": str(corpus), "config": "contextless", "epochs": 1}
    return ClassifierRecipe.model_validate(values | {"learning_rate": 1e-3, "head_learning_rate": 1e-3} | changes)


def both(found: list[Row]) -> dict[str, list[Row]]:
    return {"train": found, "validation": rows(), "test": rows()}


def test_what_is_there_is_what_is_read(tmp_path: Path) -> None:
    """Edited in place, and another folder of the same name: `datasets` would tell none of them from the first."""
    seen = []
    for place, count, label in (("a", 40, 3), ("a", 25, 17), ("b", 10, 25)):
        folder = write(tmp_path / place / "corpus", both(rows(count, label)))
        data = read_corpus(recipe(folder), None)
        assert data.splits["train"]["labels"][0] == [label]
        assert data.about()["rows"]["train"] == count == len(data.rows("train"))
        assert own(str(folder), "contextless").revision == data.revision
        seen.append((data.revision, data.files["contextless/train.parquet"]))
    assert len(set(seen)) == 3
    write(tmp_path / "a/corpus", both(rows(25, 17)))
    assert read_corpus(recipe(tmp_path / "a/corpus"), None).revision == seen[1][0], "equal content is equal"


def test_an_edited_folder_loses_its_manifest_s_revision(scripted_work: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(scripted_work / "corpus", tmp_path / "corpus")
    stated = json.loads((folder / "manifest.json").read_text())["revision"]
    assert read_data_set(str(folder), "contextless").revision == stated
    path = next((folder / "contextless").glob("test-*"))
    table = pq.read_table(path)
    pq.write_table(table.set_column(1, "text", pa.array(["other"] * len(table))), path)
    data = read_data_set(str(folder), "contextless")
    assert data.revision != stated
    assert set(data.splits["test"]["text"]) == {"other"}


def _with(column: str, value: Any) -> Callable[[list[Row]], list[Row]]:
    return lambda found: [row | {column: value} if row["id"] == "r2" else row for row in found]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_with("text", None), "train row 'r2' has no 'text'"),
        (_with("text", " "), "train row 'r2' has no 'text'"),
        (_with("scores", None), "train row 'r2' does not have 28 values"),
        (_with("scores", [0.5] * 27), "train row 'r2' does not have 28 values"),
        (_with("scores", [0.5] * 27 + [math.nan]), r"train row 'r2' .* not from 0 to 1 \(neutral nan\)"),
        (_with("scores", [0.5] * 27 + [None]), "train row 'r2' .* not from 0 to 1"),
        (_with("scores", [math.inf] + [0.5] * 27), r"train row 'r2' .* \(admiration inf\)"),
        (_with("scores", [1.5] + [0.5] * 27), r"train row 'r2' .* \(admiration 1.5\)"),
        (_with("scores", [-0.5] + [0.5] * 27), "train row 'r2' .* not from 0 to 1"),
        (_with("labels", [28]), r"train\.parquet: row 'r2' has the label 28"),
        (_with("labels", [1, -1]), "train row 'r2' has the label -1 .*unlabelled"),
        (_with("labels", None), "train row 'r2' has no 'labels'"),
        (lambda found: [{k: v for k, v in row.items() if k != "scores"} for row in found], "'scores': 28 numbers"),
        (lambda found: [{k: v for k, v in row.items() if k != "text"} for row in found], "'text': what is classified"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, change: Callable[[list[Row]], list[Row]], says: str) -> None:
    folder = write(tmp_path / "corpus", {split: change(rows()) for split in ("train", "validation")})
    with pytest.raises(InputError, match=says) as raised:
        read_corpus(recipe(folder), None)
    assert "\n" not in str(raised.value)


def test_a_situation_may_be_empty_but_not_missing(tmp_path: Path) -> None:
    for context, says in (("", None), (None, "train row 'r2' has no 'context'")):
        found = _with("context", context)([row | {"context": "before"} for row in rows()])
        kinds = {"context": "dtype: string"}
        folder = write(tmp_path / str(context), {"train": found, "validation": found}, "contextual", **kinds)
        if says is None:
            assert read_corpus(recipe(folder, config="contextual"), None).rows("train")
            continue
        with pytest.raises(InputError, match=says):
            read_corpus(recipe(folder, config="contextual"), None)


def test_validation_needs_a_label(tmp_path: Path) -> None:
    low = [row | {"scores": [0.25] * 28} for row in rows()]
    folder = write(tmp_path / "corpus", {"train": rows(), "validation": low})
    with pytest.raises(InputError, match=r"no validation row has a label.*0\.3"):
        read_corpus(recipe(folder), None)
    assert read_corpus(recipe(folder, hard_at=0.2), None).rows("train")
    folder = write(tmp_path / "hard", {"train": low, "validation": rows()})
    assert read_corpus(recipe(folder), None).rows("train"), "soft targets learn from low scores"
    with pytest.raises(InputError, match="no train row has a label"):
        read_corpus(recipe(folder, targets="hard"), None)


@pytest.mark.parametrize("number", [28, -1])
def test_a_test_split_with_wrong_labels_is_not_measured_on(tmp_path: Path, number: int) -> None:
    folder = write(tmp_path / "corpus", both(rows()) | {"test": _with("labels", [number])(rows())})
    with pytest.raises(InputError, match=f"test.* row 'r2' has the label {number}"):
        own(str(folder), "contextless")
    if number == -1:
        check_label_numbers(read_data_set(str(folder), "contextless"), "validation")
    folder = write(tmp_path / "null", both(rows()) | {"test": _with("text", None)(rows())})
    with pytest.raises(InputError, match="test row 'r2' has no 'text'"):
        own(str(folder), "contextless")


def test_broken_and_differing_files_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "corpus", both(rows(400)))
    path = folder / "contextless/train.parquet"
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"PAR1" + bytes(400) + whole[404:]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"train\.parquet: not a complete Parquet file") as raised:
            read_corpus(recipe(folder), None)
        assert "\n" not in str(raised.value)
        with pytest.raises(InputError, match=r"train\.parquet"):
            own(str(folder), "contextless")
    folder = write(tmp_path / "drift", {"train": rows(), "validation": [row | {"notes": "x"} for row in rows()]})
    with pytest.raises(InputError, match=r"validation\.parquet: has other columns than train\.parquet.* notes"):
        read_corpus(recipe(folder), None)


def test_other_forms_are_told_what_is_wanted(tmp_path: Path) -> None:
    """`text`, `label` in CSV, as many sets on the Hub have it; JSON lines; labels without names or of another set."""
    readme = "---\nconfigs:\n- config_name: contextless\n  data_files:\n  - split: train\n    path: t.{0}\n"
    readme += "  - split: validation\n    path: t.{0}\n---\n"
    lines = {
        "csv": "text,label\ni am here,0\n",
        "jsonl": json.dumps(rows(1)[0]) + "\n",
        "json": '{"text": "half',
    }
    said = {}
    for kind, content in lines.items():
        folder = tmp_path / kind
        folder.mkdir()
        (folder / f"t.{kind}").write_text(content)
        (folder / "README.md").write_text(readme.format(kind))
        with pytest.raises(InputError) as raised:
            read_corpus(recipe(folder), None)
        said[kind] = str(raised.value)
        assert "\n" not in said[kind]
    assert "no 'scores', 'labels', only text, label. They need" in said["csv"]
    assert "its labels have no names" in said["jsonl"]
    assert "cannot be loaded" in said["json"]
    folder = write(tmp_path / "renamed", both(rows()))
    card = (folder / "README.md").read_text()
    (folder / "README.md").write_text(card.replace("'3': annoyance", "'3': anger2"))
    with pytest.raises(InputError, match="not the 28 labels in their order"):
        read_corpus(recipe(folder), None)
    with pytest.raises(InputError, match="config 'contextual': cannot be loaded"):
        read_corpus(recipe(folder, config="contextual"), None)
    with pytest.raises(InputError, match="is a file"):
        read_corpus(recipe(folder / "README.md"), None)
    with pytest.raises(InputError, match="has no validation rows"):
        read_corpus(recipe(write(tmp_path / "one", {"train": rows()})), None)


@pytest.mark.parametrize(
    "found",
    [[{"text": None, "weight": 0.5}], [{"text": "glad", "weight": math.nan}], [{"text": "glad", "weight": 2.0}]],
)
def test_a_descriptor_is_a_text_with_a_weight(tmp_path: Path, found: list[Row]) -> None:
    good = [{"id": f"r{row}", "text": "river", "descriptors": [{"text": "glad", "weight": 1.0}]} for row in range(4)]
    kind = "list:\n    - name: text\n      dtype: string\n    - name: weight\n      dtype: float64"
    splits = {"train": _with("descriptors", found)(good), "validation": good}
    folder = write(tmp_path / "corpus", splits, "descriptors", descriptors=kind)
    asked = BiEncoderRecipe(name="x", base_model="none", dataset=str(folder), epochs=1, learning_rate=1e-3)
    with pytest.raises(InputError, match="train row 'r2' has a descriptor that is not a text with a weight"):
        read_pairs(asked, None)
