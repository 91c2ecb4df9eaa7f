"""Reads a column of texts from JSON lines, tables, Parquet files and Hub datasets, and refuses other columns.

A column of ids, numbers or labels is refused. In labelled sets, no text may be empty and ids are unique.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from dataset_builder.files.reading import json_lines, table_rows
from dataset_builder.inputs import InputError

# Words in the paths of held-out splits.
HELD_OUT_NAMES = {"test", "dev", "devel", "development", "eval", "evaluation", "val", "valid", "validation", "heldout"}
SNIFFED_ROWS = 1000  # at the beginning of a file, to decide whether a column holds texts
FEW, MANY = 5, 20  # fewer texts than FEW decide nothing, fewer than MANY cannot be labels
MOST = 0.9  # share of the texts
# Names of columns that show that the first line of a table is a header.
NAMES = set(
    "id key index comment_id tweet_id text texts tweet sentence utterance comment body message content document post "
    "review statement dialogue label labels emotion emotions sentiment class category target score split".split()
)
_NUMBER = re.compile(r"\[?[-+]?[\d.,\s]+%?\]?")
_ID = re.compile(r"(?=.*\d)[\w./:@#-]+")
_DELIMITERS = {"csv": ",", "tsv": "\t"}


@dataclass
class RowCheck:
    """Checks that no text of a set is empty and that ids are unique. `places` has the place of each id."""

    places: dict[str, str] = field(default_factory=dict)

    def check(self, key: str, text: str, place: str) -> None:
        """Raise InputError, with the place, for an empty text or id, or a second row with the id."""
        if not text.strip():
            raise InputError(f"{place}: the text is empty. Correct or delete the row.")
        if not key.strip():
            raise InputError(f"{place}: the id is empty. Every row needs a unique id.")
        if key in self.places:
            raise InputError(f"{place}: the id '{key[:80]}' occurs twice, first at {self.places[key]}. Delete one.")
        self.places[key] = place


def texts_of(path: Path, column: str, what: str) -> Iterator[tuple[str, str, str]]:
    """Place, id ("" if there is none) and text of each row of a `.jsonl`, `.csv`, `.tsv` (also gzipped) or `.parquet`.

    A table's first line may be a header, with `column` in it in any case; without one, a `.tsv` has its texts first.

    Raises:
        InputError: as `json_lines` and `table_rows`; there is no such column, or it contains no texts.
    """
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind in ("jsonl", "parquet"):
        return _looked_at(path, _of_objects(path, kind, column, what), f"'{column}'", what)
    if kind in _DELIMITERS:
        return _of_table(path, _DELIMITERS[kind], column, what)
    raise InputError(f"{path}: not a .jsonl, .csv, .tsv or .parquet file. {what}")


def benchmark_texts(place: str | Path) -> Iterator[tuple[str, str]]:
    """Yield the texts of a benchmark, which a corpus must not have, each with the key `<name>:<number>`.

    A file of JSON lines (`.jsonl`), a table (`.csv`, `.tsv`) with a column `text`, or a `.tsv` without a header and
    the text first, each also gzipped, or a Hub dataset's test split (`owner/name` or `owner/name:config`, column
    `text`).

    Raises:
        InputError: nothing of that kind there, or a row without a text; the message names file and line.
    """
    path = Path(place)
    if not path.exists():
        yield from _of_hub(str(place))
        return
    if path.is_dir():
        raise InputError(f"{path}: is a folder. Pass the benchmark's texts as a .jsonl, .csv or .tsv file.")
    name = f"{path.parent.name}/{path.name}"
    what = "Pass the benchmark's texts as .jsonl, .csv, .tsv or .parquet, in a field or column called 'text'."
    number = -1
    for number, (_, _, text) in enumerate(texts_of(path, "text", what)):
        yield f"{name}:{number}", text
    if number < 0:
        raise InputError(f"{path}: contains no text. {what}")


def _of_hub(place: str) -> Iterator[tuple[str, str]]:
    from dataset_builder.files.data_sets import read_data_set

    name, _, config = place.partition(":")
    try:
        rows = read_data_set(name, config or None).rows("test")
    except InputError as error:
        raise InputError(
            f"'{place}': no such file, and not a dataset on the Hub with a test split ({error})."
        ) from None
    if "text" not in rows.column_names:
        raise InputError(f"'{place}': no column 'text' among {', '.join(rows.column_names)}.")
    for number, text in enumerate(rows["text"]):
        if not isinstance(text, str):
            raise InputError(f"'{place}', row {number}: no text.")
        yield f"{place}:{number}", text


def path_words(path: Path) -> set[str]:
    """Return the words of a path, which may name the split that a file holds."""
    return set(re.split(r"[^a-z]+", str(path).lower()))


def not_texts(values: list[str]) -> str | None:
    """`numbers`, `ids` or `labels` if the values of a column are that; None for texts."""
    values = [value.strip() for value in values if value.strip()]
    if len(values) < FEW:
        return None
    if _share(values, _NUMBER) >= MOST:
        return "numbers"
    if _share(values, _ID) >= MOST:
        return "ids"
    few_words = sum(len(value.split()) <= 2 for value in values) >= MOST * len(values)
    if len(values) >= MANY and few_words and len({value.casefold() for value in values}) <= len(values) / 4:
        return "labels"
    return None


def _share(values: list[str], pattern: re.Pattern[str]) -> float:
    return sum(pattern.fullmatch(value) is not None for value in values) / len(values)


def _of_objects(path: Path, kind: str, column: str, what: str) -> Iterator[tuple[str, str, str]]:
    for place, row in json_lines(path, what) if kind == "jsonl" else _parquet_rows(path):
        text = row.get(column) if isinstance(row, dict) else None
        if not isinstance(text, str):
            has = f"has {_listed(row)}" if isinstance(row, dict) else f"is {type(row).__name__}"
            raise InputError(f"{place}: no text in '{column}' (it {has}). {what}")
        yield place, str(row.get("id") or ""), text


def _parquet_rows(path: Path) -> Iterator[tuple[str, Any]]:
    from dataset_builder.files.parquet_rows import read_rows

    return ((f"{path}, row {number}", row) for number, row in enumerate(read_rows(path)))


def _of_table(path: Path, delimiter: str, column: str, what: str) -> Iterator[tuple[str, str, str]]:
    rows = table_rows(path, delimiter, what)
    first = next(rows, None)
    if first is None:
        return
    names = [name.strip().casefold() for name in first[1]]
    places = [at for at, name in enumerate(names) if name == column.casefold()]
    if len(places) > 1:
        raise InputError(f"{first[0]}: the column '{column}' occurs twice. Rename one.")
    if not places and (delimiter == "," or sum(name in NAMES for name in names) >= min(2, len(names))):
        raise InputError(f"{first[0]}: no column '{column}' in its header ({_listed(first[1])}). {what}")
    if places:
        name, at = f"the column '{first[1][places[0]].strip()}'", places[0]
    else:
        name, at, rows = "the first column", 0, chain([first], rows)
    beginning = list(islice(rows, SNIFFED_ROWS))
    _refuse_words_beside_texts([fields for _, fields in beginning], at, path, name, what)
    found = ((place, "", fields[at]) for place, fields in chain(beginning, rows))
    yield from _looked_at(path, found, name, what)


def _refuse_words_beside_texts(rows: list[list[str]], at: int, path: Path, name: str, what: str) -> None:
    """Raise InputError for a column of single words if another column has texts of several words."""
    if not rows or any(len(fields[at].split()) > 1 for fields in rows):
        return
    for other in range(len(rows[0])):
        if sum(len(fields[other].split()) > 1 for fields in rows) > len(rows) / 2:
            raise InputError(
                f"{path}: {name} contains single words ({_listed([fields[at] for fields in rows])}), and column "
                f"{other + 1} seems to hold the texts. {what}"
            )


def _looked_at(
    path: Path, rows: Iterator[tuple[str, str, str]], name: str, what: str
) -> Iterator[tuple[str, str, str]]:
    beginning = list(islice(rows, SNIFFED_ROWS))
    values = [text for _, _, text in beginning]
    if kind := not_texts(values):
        raise InputError(f"{path}: {name} contains {kind} ({_listed(values)}), not texts. {what}")
    yield from chain(beginning, rows)


def _listed(values: Any) -> str:
    """Return the first few of some values, shortened."""
    return ", ".join(str(value)[:40] for value in islice(values, 5))
