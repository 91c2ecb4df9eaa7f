"""Exact and near duplicates, within a corpus and of benchmarks' texts. Of a group of twins the first is kept."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from dataset_builder.inputs import InputError
from dataset_builder.quality.near_duplicates import NearDuplicates, shingles, tokens
from dataset_builder.quality.validate import words
from dataset_builder.reading_texts import texts_of

ORIGINAL, REWRITTEN, OPEN = "original", "rewritten", "open"  # variants of contextual rows
DUPLICATE, NEAR_DUPLICATE = "duplicate", "near_duplicate"
ACROSS = "_across_splits"


class Texts:
    """Different texts, each with a number, and which of them a text repeats.

    Two texts are duplicates when their words are the same, whatever the case and the marks between them (a text
    without a word, such as an emoji, is compared as it is), and near-duplicates by near_duplicates.py: none is missed.
    With `near_duplicate_at=None` only duplicates count.
    """

    def __init__(self, near_duplicate_at: float | None) -> None:
        self._numbers: dict[bytes, int] = {}  # by digests: a corpus's words would take more room than its index
        self._near = NearDuplicates(near_duplicate_at) if near_duplicate_at else None

    def number(self, text: str) -> int | None:
        """The number of the text with the same words, if there is one."""
        return self._numbers.get(same_words(text))

    def repeated(self, text: str) -> Iterator[tuple[str, int]]:
        """`(duplicate | near_duplicate, number)` of each text that this one repeats, the duplicate first."""
        same = self.number(text)
        if same is not None:
            yield DUPLICATE, same
        if self._near is not None:
            near = self._near.matches(_shingles(text))
            yield from ((NEAR_DUPLICATE, number) for number in near if number != same)

    def add(self, text: str) -> int:
        """The number of the text, a new one where none has the same words."""
        number = self._numbers.setdefault(same_words(text), len(self._numbers))
        if self._near is not None and number == len(self._near):
            self._near.add(_shingles(text))
        return number


@lru_cache(maxsize=4)  # a text is looked up in the indexes of several splits, and then added to one
def _shingles(text: str) -> frozenset[int]:
    return shingles(tokens(text))


@lru_cache(maxsize=4)
def same_words(text: str) -> bytes:
    """A digest that texts of the same words have in common, whatever the case and the marks between the words."""
    return hashlib.blake2b((" ".join(words(text)) or text.strip()).encode(), digest_size=16).digest()


class Deduplicator:
    """Says of each text whether one like it was seen before: a duplicate or near-duplicate, as `Texts` defines them."""

    def __init__(self, near_duplicate_at: float | None) -> None:
        self._texts = Texts(near_duplicate_at)
        self._keys: list[str] = []

    def check(self, key: str, text: str) -> tuple[str, str] | None:
        """`(duplicate | near_duplicate, key of the first twin)`, or None; new texts are remembered under their keys."""
        if found := min(self._texts.repeated(text), default=None):  # a duplicate before near ones, then the first one
            return found[0], self._keys[found[1]]
        self._texts.add(text)
        self._keys.append(key)
        return None


class Twins:
    """Which rows of a corpus repeat an earlier one or a benchmark's text.

    Rows are compared within their config, and with other configs where those rows are in another split: a text may have
    rows of several kinds, in one split. Rows that are checked without config and split are all compared: there the rows
    of an utterance may repeat its text, and no others may.

    A rewriting is like its original by intent. It is compared with the rows of other utterances alone, and goes where
    its original goes, which must come before it. The two have ids that differ in the last part, `…/original` and
    `…/rewritten`. An open remark says nothing by itself: within its split it is compared together with its situation.
    """

    def __init__(self, near_duplicate_at: float | None, benchmarks: Iterable[tuple[str, str]] = ()) -> None:
        self._near_duplicate_at = near_duplicate_at
        self._texts: dict[str, Texts] = {}  # of each split
        self._ids: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)  # of each split and config, by text
        self._benchmarks = Texts(near_duplicate_at)  # every text: one that is like another has twins of its own
        self._names: dict[int, str] = {}
        self._gone: set[tuple[str, str]] = set()
        for name, text in benchmarks:
            self._names.setdefault(self._benchmarks.add(text), name)

    def check(self, row: Mapping[str, Any], config: str = "", split: str = "") -> tuple[str, str] | None:
        """`(reason, id of the twin)` of a row to be dropped; other rows are remembered.

        Reasons are `benchmark_text`, `original_rejected`, `duplicate` and `near_duplicate`, the last two with
        `_across_splits` behind them where the twin is in another split.
        """
        found: tuple[str, str] | None = None
        if self._names and (known := min(self._benchmarks.repeated(row["text"]), default=None)):
            found = "benchmark_text", self._names[known[1]]
        elif row.get("variant") == REWRITTEN and (config, utterance_of(row)) in self._gone:
            found = "original_rejected", f"{utterance_of(row)}/{ORIGINAL}"
        else:
            found = self._twin(row, config, split)
        if found:
            self.drop(row, config)
            return found
        texts = self._texts.setdefault(split, Texts(self._near_duplicate_at))
        for text in _compared(row):
            self._ids[split, config].setdefault(texts.add(text), str(row["id"]))
        return None

    def drop(self, row: Mapping[str, Any], config: str = "") -> None:
        """The row is dropped, perhaps for another reason: its rewriting follows it."""
        if row.get("variant") == ORIGINAL:
            self._gone.add((config, utterance_of(row)))

    def _twin(self, row: Mapping[str, Any], config: str, split: str) -> tuple[str, str] | None:
        compared = _compared(row)
        for other, texts in self._texts.items():
            for text in compared if other != split else ():
                if found := min(texts.repeated(text), default=None):
                    rows = (ids.get(found[1]) for (place, _), ids in self._ids.items() if place == other)
                    return f"{found[0]}{ACROSS}", next(filter(None, rows))
        if split not in self._texts:
            return None
        texts, ids, own = self._texts[split], self._ids[split, config], utterance_of(row)
        same = texts.number(compared[0])
        if same in ids and len(self._ids) == 1 and _utterance(ids[same]) == own:
            return None  # the same text was compared when it came
        twins = ((reason, twin) for reason, twin in texts.repeated(compared[0]) if twin in ids)
        found = min((twin for twin in twins if _utterance(ids[twin[1]]) != own), default=None)
        return (found[0], ids[found[1]]) if found else None


def _compared(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What of a row is compared: first the text that is compared within a split, then what is so across splits only."""
    said: str = row["text"]
    return (f"{row.get('context') or ''}\n{said}", said) if row.get("variant") == OPEN else (said,)


def _utterance(row_id: str) -> str:
    return row_id.removesuffix(f"/{ORIGINAL}").removesuffix(f"/{REWRITTEN}")


def utterance_of(row: Mapping[str, Any]) -> str:
    """What the two variants of an utterance have in common in their ids."""
    return str(row["id"]).removesuffix(f"/{row.get('variant')}")


def benchmark_texts(place: str | Path) -> Iterator[tuple[str, str]]:
    """The texts of a benchmark, each with the key `<name>:<number>`, to be kept out of a corpus.

    A file of JSON lines (`.jsonl`), a table (`.csv`, `.tsv`) with a column `text`, or a `.tsv` without a header and
    the text first, each also gzipped, or a Hub data set's test split (`owner/name` or `owner/name:config`, column
    `text`).

    Raises:
        InputError: nothing of that kind there, or a row without a text; file and line are named.
    """
    path = Path(place)
    if not path.exists():
        yield from _from_hub(str(place))
        return
    if path.is_dir():
        raise InputError(f"{path}: a folder. Give the benchmark's texts as a .jsonl, .csv or .tsv file.")
    name = f"{path.parent.name}/{path.name}"
    what = "Give the benchmark's texts as .jsonl, .csv, .tsv or .parquet, in a field or column that is called 'text'."
    number = -1
    for number, (_, _, text) in enumerate(texts_of(path, "text", what)):
        yield f"{name}:{number}", text
    if number < 0:
        raise InputError(f"{path}: no text in it. {what}")


def _from_hub(place: str) -> Iterator[tuple[str, str]]:
    from dataset_builder.data_sets import read_data_set

    name, _, config = place.partition(":")
    try:
        rows = read_data_set(name, config or None).rows("test")
    except InputError as error:
        raise InputError(f"'{place}': no such file, and no data set of the Hub with a test split ({error}).") from None
    if "text" not in rows.column_names:
        raise InputError(f"'{place}': no column 'text' among {', '.join(rows.column_names)}.")
    for number, text in enumerate(rows["text"]):
        if not isinstance(text, str):
            raise InputError(f"'{place}', row {number}: no text.")
        yield f"{place}:{number}", text
