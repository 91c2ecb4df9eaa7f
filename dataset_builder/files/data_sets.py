"""Reads datasets with `datasets`: a folder by the content of its files, or the Hub at one commit.

`datasets` identifies a local folder by its name and README only: its cache would return old rows after a file was
edited, or rows of another folder of that name. Here the name of the cache's folder is a digest of the files.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Dataset, DatasetBuilder, DatasetDict, load_dataset_builder

from dataset_builder.files.reading import json_file
from dataset_builder.hashing import digest_of
from dataset_builder.inputs import SHOWN, InputError, first_line
from dataset_builder.taxonomy import LABELS

_COMMIT = re.compile(r"@([0-9a-f]{40})/")


@dataclass(frozen=True)
class DataSet:
    """One config of a dataset. `files` are the SHA-256 of a folder's files by relative path; {} for the Hub's.

    `revision` is the Hub's commit, a built folder's own revision while its files are those that it was built with, or
    a hash of the files.
    """

    where: str
    config: str
    splits: DatasetDict
    revision: str
    files: dict[str, str]

    def __str__(self) -> str:
        return f"dataset '{self.where}', config '{self.config}'"

    def rows(self, split: str) -> Dataset:
        """Return the rows of a split. Raises InputError if there are none."""
        if split not in self.splits or not len(self.splits[split]):
            raise InputError(
                f"{self}: has no {split} rows; it has {', '.join(self.splits)}. Use more stories; in your own data, "
                f"give the split a file, such as {split}.jsonl."
            )
        return self.splits[split]

    def about(self) -> dict[str, Any]:
        """Return what was read, for a record: config, rows of each split, the folder's files with their SHA-256."""
        return {
            "config": self.config,
            "rows": {split: len(rows) for split, rows in self.splits.items()},
            "files": self.files,
        }


def read_data_set(where: str, config: str | None, revision: str | None = None) -> DataSet:
    """Return all splits of a config of a folder or Hub dataset; without a name, of its default config.

    Raises:
        InputError: the dataset cannot be loaded; the message names the file at fault, if any.
    """
    folder = Path(where)
    if folder.is_dir():
        return _from_folder(folder, where, config)
    if folder.exists():
        raise InputError(f"dataset '{where}': is a file. Pass its folder, or a Hub id.")
    builder, splits = _load(where, config, revision=revision)
    paths = (path for paths in (builder.config.data_files or {}).values() for path in paths)
    commit = next((found[1] for found in map(_COMMIT.search, paths) if found), str(builder.hash or "unknown"))
    return DataSet(where, builder.config.name, splits, commit, {})


def _load(where: str, config: str | None, **options: Any) -> tuple[DatasetBuilder, DatasetDict]:
    try:
        builder = load_dataset_builder(where, config, **options)
        builder.download_and_prepare()
        return builder, builder.as_dataset()
    except Exception as error:  # of the Hub, the network or a format; the library does not say which kinds it raises
        raise InputError(_does_not_load(where, config, error)) from None


def _from_folder(folder: Path, where: str, config: str | None) -> DataSet:
    try:
        found = load_dataset_builder(where, config).config.data_files or {}
    except Exception as error:
        raise InputError(_does_not_load(where, config, error)) from None
    paths = [Path(path) for of_split in found.values() for path in of_split if Path(path).is_file()]
    _check_parquet(paths)
    files = {_relative(path, folder): digest_of(path) for path in sorted(paths)}
    content = hashlib.sha256(json.dumps(files).encode()).hexdigest()[:16]
    try:
        cache = Path(datasets.config.HF_DATASETS_CACHE) / "by-content" / content
        builder, splits = _load(where, config, cache_dir=str(cache))
    except InputError:
        _check_parquet(paths, whole=True)  # raises an error that names the file, if one is broken
        raise
    return DataSet(where, builder.config.name, splits, _revision(folder, files) or content, files)


def _does_not_load(where: str, config: str | None, error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    named, says = f"dataset '{where}', config '{config or 'default'}'", " ".join(str(error).split())[:SHOWN]
    if not Path(where).is_dir():
        return (
            f"{named}: cannot be loaded ({says or type(error).__name__}). Build one with `make demo`, or pass a "
            "folder or Hub id with --data; for the Hub's, check the network and HF_ENDPOINT."
        )
    if pattern := set("*?[]") & set(str(Path(where).resolve())):
        return f"{named}: its path has a {min(pattern)!r}, which `datasets` treats as a pattern. Rename it."
    if says.startswith("BuilderConfig"):
        return (
            f"{named}: cannot be loaded ({says}). Name its files in the folder's README.md, 'configs: - config_name: "
            f"{config}', as a built corpus does; `python -m dataset_builder domain` does this for known sets."
        )
    return f"{named}: cannot be loaded ({says or type(error).__name__}). Correct the folder's files or its README.md."


def _relative(path: Path, folder: Path) -> str:
    path, folder = path.resolve(), folder.resolve()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def _check_parquet(paths: Sequence[Path], *, whole: bool = False) -> None:
    """Raise InputError for a broken Parquet file, or if its columns differ from the first. `whole` reads all rows."""
    first: tuple[Path, set[str]] | None = None
    for path in (path for path in paths if path.suffix == ".parquet"):
        try:
            table = pq.read_table(path) if whole else pq.read_schema(path).empty_table()
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"{path}: not a complete Parquet file ({first_line(error)}). Create it or copy it again."
            ) from None
        labels = table.column("labels") if "labels" in table.column_names else None
        if labels is not None and _holds_integers(labels) and (fault := _wrong_label(labels)):
            row, why = fault  # `datasets` refuses such a label without naming its row
            raise InputError(f"{path}: {row_name(Dataset(table), row)} has {why} in 'labels'. Correct or delete it.")
        first = first or (path, set(table.column_names))
        if differing := sorted(first[1].symmetric_difference(table.column_names)):
            raise InputError(
                f"{path}: has other columns than {first[0].name}: they differ in {', '.join(differing)}. "
                "All files of a config must have the same columns."
            )


def _revision(folder: Path, files: Mapping[str, str]) -> str | None:
    """The revision in a built folder's manifest, as long as each file still has the digest that is in its name."""
    path = folder / "manifest.json"
    if not path.exists() or any(digest[:16] not in name for name, digest in files.items()):
        return None
    manifest = json_file(path, "Create the folder again.", "not a manifest")
    if not isinstance(manifest, dict) or "revision" not in manifest:
        raise InputError(f"{path}: not a manifest (it has no 'revision'). Create the folder again.")
    return str(manifest["revision"])


def check_columns(data: DataSet, split: str, wanted: Mapping[str, str]) -> None:
    """Raise InputError if a split lacks one of the wanted columns, which are described in words."""
    found = data.rows(split).column_names
    if missing := [name for name in wanted if name not in found]:
        raise InputError(
            f"{data}: its {split} rows have no {', '.join(map(repr, missing))}, only {', '.join(found)}. They need "
            + "; ".join(f"'{name}': {words}" for name, words in wanted.items())
            + ". `python -m dataset_builder domain` creates them for known sets."
        )


def check_descriptors(data: DataSet, split: str) -> None:
    """Raise InputError unless every row has a list of descriptors, each a text with a weight from 0 to 1."""

    def is_wrong(found: Any) -> bool:
        try:
            return not all(isinstance(word["text"], str) and 0 <= word["weight"] <= 1 for word in found)  # so is NaN
        except (TypeError, KeyError):
            return True

    wrong = [is_wrong(found) for found in data.rows(split)["descriptors"]]
    why = "has a descriptor that is not a text with a weight from 0 to 1. Correct or delete the row."
    _refuse(data, split, wrong, why)


def check_texts(data: DataSet, split: str, column: str) -> None:
    """Raise InputError if a row has no text in a column; a situation may be empty, as at the start of a dialogue."""
    values = data.rows(split).data.column(column)
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        raise InputError(f"{data}: column '{column}' of its {split} rows contains {values.type}, not texts.")
    blank = pc.equal(pc.utf8_trim_whitespace(values), "")
    empty = pc.is_null(values) if column == "context" else pc.fill_null(blank, True)
    _refuse(data, split, empty, f"has no '{column}'. Fill it or delete the row.")


def check_scores(data: DataSet, split: str) -> None:
    """Raise InputError if a row does not have 28 numbers from 0 to 1."""
    values = data.rows(split).data.column("scores")
    numbers = getattr(values.type, "value_type", None)
    if numbers is None or not (pa.types.is_floating(numbers) or pa.types.is_integer(numbers)):
        raise InputError(f"{data}: column 'scores' of its {split} rows contains {values.type}, not lists of numbers.")
    lengths = pc.fill_null(pc.list_value_length(values), -1).to_numpy()
    _refuse(
        data, split, lengths != len(LABELS), f"does not have {len(LABELS)} values in 'scores'. Correct or delete it."
    )
    scores = pc.list_flatten(values).to_numpy().astype(np.float64).reshape(-1, len(LABELS))
    wrong = ~((scores >= 0) & (scores <= 1))  # so is NaN
    first = next((f" ({LABELS[label]} {scores[row, label]:g})" for row, label in np.argwhere(wrong)), "")
    why = f"has a value in 'scores' that is not from 0 to 1{first}. Correct or delete it."
    _refuse(data, split, wrong.any(axis=1), why)


def check_label_numbers(data: DataSet, split: str) -> None:
    """Raise InputError if a row's labels are missing or invalid; -1 stands for an unlabelled row."""
    rows = data.rows(split)
    values = rows.data.column("labels")
    if not _holds_integers(values):
        raise InputError(f"{data}: column 'labels' of its {split} rows contains {values.type}, not lists of numbers.")
    _refuse(data, split, pc.is_null(values), "has no 'labels'. Label it or delete it.")
    if fault := _wrong_label(values):
        row, why = fault
        raise InputError(f"{data}: {split} {row_name(rows, row)} has {why} in 'labels'. Correct or delete it.")


def _holds_integers(values: pa.ChunkedArray) -> bool:
    return bool(pa.types.is_integer(getattr(values.type, "value_type", pa.null())))


def _wrong_label(values: pa.ChunkedArray) -> tuple[int, str] | None:
    """Return the first row with a label that is not one of the 28, and what is wrong; None without one."""
    flat = pc.fill_null(pc.list_flatten(values), -1).to_numpy()
    wrong = np.flatnonzero((flat < 0) | (flat >= len(LABELS)))
    if not len(wrong):
        return None
    number = int(flat[wrong[0]])
    why = "unlabelled rows cannot be used" if number == -1 else f"labels are 0 to {len(LABELS) - 1}"
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy()
    return int(np.searchsorted(np.cumsum(lengths), wrong[0], side="right")), f"the label {number} ({why})"


def checked_rows(data: DataSet, split: str, *, contextual: bool, labels: str = "labels") -> Dataset:
    """Return the rows of a split. Raises InputError if one has no text or, if wanted, no situation."""
    texts = {"text": "what is classified"} | ({"context": "its situation"} if contextual else {})
    check_columns(data, split, texts | {labels: "the gold labels"})
    for column in texts:
        check_texts(data, split, column)
    return data.rows(split)


def row_name(rows: Dataset, row: int) -> str:
    """Return the name of a row in messages: its id, or else its number from 0."""
    return f"row '{rows[row]['id']}'" if "id" in rows.column_names else f"row {row}, counted from 0,"


def _refuse(data: DataSet, split: str, wrong: Any, why: str) -> None:
    """Raise InputError with the first of the wrong rows, (rows,) of truth values."""
    found = np.flatnonzero(np.asarray(wrong))
    if len(found):
        more = f" ({len(found)} such rows)" if len(found) > 1 else ""
        raise InputError(f"{data}: {split} {row_name(data.rows(split), int(found[0]))} {why}{more}")
