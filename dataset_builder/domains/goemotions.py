"""Reads GoEmotions (Demszky et al. 2020) in all file formats in which the simplified split is distributed.

The official TSV files have no header: text, comma-separated label numbers, comment id. Texts that contain a quote are
CSV-quoted there (1,097 of 43,410 in train); they are unquoted, as in the Hub's copy. Files with a header (text, labels,
id in any order and case, labels as `2,14` or `[2, 14]`) and the Hub's Parquet files are read too. The raw dataset, with
one row per annotator, is recognised by its columns and rejected.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_builder.domains.examples import DataSet, Example, Source
from dataset_builder.files.known_files import find_file, missing_file
from dataset_builder.files.reading import find_columns, lines, named_columns, table_rows
from dataset_builder.files.texts import RowCheck
from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import LABELS

FILES = {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}
NAMES = "emotions.txt"
PROTOCOL = "official splits"
WHAT = "Pass the folder with GoEmotions' official TSV files."
RAW = (
    "these are the raw annotations, one row per rater. Use the simplified split: the official train.tsv, dev.tsv "
    "and test.tsv, or the Hub's config 'simplified'"
)
ONE_HOT = "one 0/1 column per emotion. Write one column 'labels' instead: label numbers 0-27, separated by commas"
COLUMNS = {
    "text": ("text", "comment", "comment_text"),
    "labels": ("labels", "label", "label_ids", "emotion_ids", "emotions", "emotion"),
    "id": ("id", "comment_id", "comment_ids"),
}
FOLDERS = ("", "simplified", "data", "original")  # where the files may be inside the given folder
STEMS = {"train": ("train",), "validation": ("dev", "validation", "valid", "val"), "test": ("test",)}


@dataclass(frozen=True)
class Comment:
    """A comment with its label indices and its place (file and line)."""

    id: str
    text: str
    labels: list[int]
    place: str = ""


def comments(folder: Path, split: str) -> Iterator[Comment]:
    """Yield the rows of an official split (`train`, `validation` or `test`).

    Raises:
        InputError: a file is missing or in another format, the labels are in another order, a line is malformed, a text
            is empty, or an id occurs twice.
    """
    files = split_files(folder, split)
    if files[0].suffix != ".parquet":
        _check_names(files[0].parent / NAMES)
    check = RowCheck()
    for path in files:
        for found in file_comments(path):
            check.check(found.id, found.text, found.place)
            yield found


def split_files(folder: Path, split: str) -> list[Path]:
    """Return the files of a split: one table, or Parquet files. Raises InputError if there are none."""
    for place in (folder / name for name in FOLDERS):
        for stem in STEMS[split]:
            if path := find_file(place, [f"{stem}.tsv", f"{stem}.csv"]):
                return [path]
            if shards := sorted([*place.glob(f"{stem}.parquet"), *place.glob(f"{stem}-*.parquet")]):
                return shards
    raise missing_file(folder / FILES[split], WHAT)


def source_files(folder: Path) -> list[Path]:
    """Return all files that the reader uses."""
    files = [path for split in FILES for path in split_files(folder, split)]
    return files + [path for path in dict.fromkeys(file.parent / NAMES for file in files) if path.exists()]


def file_comments(path: Path) -> Iterator[Comment]:
    """Return the rows of one file in any format. Raises InputError like `comments`, except for faults across files."""
    if path.suffix == ".parquet":
        return _of_parquet(path)
    place, line = next(lines(path, WHAT), (f"{path}, line 1", ""))
    names = {name.strip(' "').casefold() for name in re.split(r"[\t,;|]", line)}
    _refuse_other_forms(names, place)
    if names & set(COLUMNS["text"]) and names & set(COLUMNS["labels"]):
        return _with_header(path)
    return _official(path)


def _official(path: Path) -> Iterator[Comment]:
    form = "expected text, label numbers 0-27 and an id, tab-separated"
    for place, fields in table_rows(path, "\t", WHAT, form):
        if len(fields) != 3 or (labels := _numbers(fields[1])) is None:
            if len(fields) == 3 and _numbers(fields[2]) is not None and " " not in fields[0].strip():
                form += ", but the id comes first. Reorder the columns, or add a header: id, text, labels"
            raise InputError(f"{place}: {form}.")
        yield Comment(fields[2], fields[0], labels, place)


def _with_header(path: Path) -> Iterator[Comment]:
    find_columns(path, COLUMNS, WHAT)  # fail here, not at the first row
    for place, row in named_columns(path, COLUMNS, WHAT):
        labels = _numbers(row["labels"])
        if labels is None:
            raise InputError(f"{place}: labels {row['labels'][:80]!r}: expected label numbers 0-27, as in 2,14.")
        yield Comment(row["id"].strip(), row["text"], labels, place)


def _of_parquet(path: Path) -> Iterator[Comment]:
    from dataset_builder.files.parquet_rows import open_parquet, read_rows

    names = set(open_parquet(path).schema_arrow.names)
    _refuse_other_forms(names, str(path))
    if not {"text", "labels", "id"} <= names:
        raise InputError(f"{path}: expected the columns text, labels and id, found {', '.join(sorted(names)[:5])}.")
    for number, row in enumerate(read_rows(path, ["text", "labels", "id"])):
        place, labels = f"{path}, row {number}", row["labels"]
        if not isinstance(labels, list) or not labels or not all(_is_label(label) for label in labels):
            raise InputError(f"{place}: labels {str(labels)[:80]}: expected a list of label numbers 0-27.")
        if not isinstance(row["text"], str) or not isinstance(row["id"], str):
            raise InputError(f"{place}: text and id must be strings, found {str(row['text'])[:40]}.")
        yield Comment(row["id"], row["text"], sorted(set(labels)), place)


def _refuse_other_forms(names: set[str], place: str) -> None:
    if names & {"rater_id", "example_very_unclear"}:
        raise InputError(f"{place}: {RAW}.")
    if len(names & set(LABELS)) > len(LABELS) // 2:
        raise InputError(f"{place}: {ONE_HOT}.")


def _check_names(path: Path) -> None:
    names = [name for _, line in lines(path, f"{WHAT} It gives the label of each number.") for name in line.split()]
    if tuple(names) != LABELS:
        raise InputError(f"{path}: not the 28 labels in GoEmotions' order. Use the official file.")


def _numbers(field: str) -> list[int] | None:
    """Return the sorted label indices in a field like `2,14`, `[2, 14]` or `[ 2 14]`; None for anything else."""
    parts = re.sub(r"[\[\]'\",]", " ", field).split()
    found = {int(part) if part.isdecimal() and len(part) < 3 else -1 for part in parts}
    return sorted(found) if found and all(map(_is_label, found)) else None


def _is_label(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < len(LABELS)


def read(folder: Path) -> Source:
    """Return the official splits."""
    splits = {
        split: [
            Example(f"goemotions/{found.id}", found.text, tuple(LABELS[n] for n in found.labels), place=found.place)
            for found in comments(folder, split)
        ]
        for split in FILES
    }
    return Source(splits, source_files(folder), PROTOCOL)


SET = DataSet(
    config="contextless",
    read=read,
    licence="cc-by-4.0",
    terms="free with attribution: GoEmotions, Demszky et al. 2020, Google Research",
    citation="Demszky et al. 2020, arXiv 2005.00547",
)
