"""Finds exact duplicates, near-duplicates and benchmark texts in a corpus. The first row of a group is kept."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from dataset_builder.filters.near_duplicates import NearDuplicates, shingles, tokens
from dataset_builder.filters.validate import words

ORIGINAL, REWRITTEN, OPEN = "original", "rewritten", "open"  # variants of contextual rows
DUPLICATE, NEAR_DUPLICATE = "duplicate", "near_duplicate"
ACROSS = "_across_splits"


class TextIndex:
    """An index of numbered texts that finds the duplicates of another text.

    Two texts are duplicates if their words are the same, regardless of case and punctuation (a text without words, such
    as an emoji, is compared as it is). near_duplicates.py defines near-duplicates; the index misses none. With
    `near_duplicate_at=None`, only exact duplicates count.
    """

    def __init__(self, near_duplicate_at: float | None) -> None:
        self._numbers: dict[bytes, int] = {}  # keys are digests: the words would need more memory than the index
        self._near = NearDuplicates(near_duplicate_at) if near_duplicate_at else None

    def number(self, text: str) -> int | None:
        """Return the number of the text with the same words, if there is one."""
        return self._numbers.get(words_digest(text))

    def matches(self, text: str) -> Iterator[tuple[str, int]]:
        """Yield `(duplicate | near_duplicate, number)` for each text that this text duplicates."""
        same = self.number(text)
        if same is not None:
            yield DUPLICATE, same
        if self._near is not None:
            near = self._near.matches(_shingles(text))
            yield from ((NEAR_DUPLICATE, number) for number in near if number != same)

    def first_match(self, text: str) -> tuple[str, int] | None:
        """Return the duplicate of a text, else its near-duplicate with the lowest number, else None."""
        # "duplicate" sorts before "near_duplicate", so an exact match wins over a near one with a lower number.
        return min(self.matches(text), default=None)

    def add(self, text: str) -> int:
        """Add a text and return its number: a new number, or that of an earlier text with the same words."""
        number = self._numbers.setdefault(words_digest(text), len(self._numbers))
        if self._near is not None and number == len(self._near):
            self._near.add(_shingles(text))
        return number


@lru_cache(maxsize=4)  # a text is looked up in the indexes of several splits, and then added to one
def _shingles(text: str) -> frozenset[int]:
    return shingles(tokens(text))


@lru_cache(maxsize=4)
def words_digest(text: str) -> bytes:
    """Return a digest that is the same for texts with the same words, regardless of case and punctuation."""
    # 16 bytes: with 10^9 texts, the chance of any collision is below 10^-20.
    return hashlib.blake2b((" ".join(words(text)) or text.strip()).encode(), digest_size=16).digest()


class DuplicateFilter:
    """Finds the rows of a corpus that duplicate an earlier row or a benchmark's text.

    A row is compared with the rows of its config, and with rows of other configs that are in another split: one text
    may have rows of several configs, but in one split. Rows that are checked without config and split are all compared;
    rows of one utterance may then have the same text. Rows of a contrast set (`group`) count as one text.

    A rewriting resembles its original by design. It is compared only with rows of other utterances, and is dropped if
    its original was dropped, so the original must come first. Their ids differ in the last part: `…/original` and
    `…/rewritten`. An open remark is neutral without its situation, so within a split the situation and the remark are
    compared as one text.
    """

    def __init__(self, near_duplicate_at: float | None, benchmarks: Iterable[tuple[str, str]] = ()) -> None:
        self._near_duplicate_at = near_duplicate_at
        self._texts: dict[str, TextIndex] = {}  # by split
        # By split and config: for each text the row that has it, and its utterance or contrast set.
        self._rows: dict[tuple[str, str], dict[int, tuple[str, str]]] = defaultdict(dict)
        self._dropped: set[tuple[str, str]] = set()  # config and utterance
        self._benchmarks = TextIndex(near_duplicate_at)
        self._benchmark_keys: list[str] = []
        for key, text in benchmarks:
            # A repeated text gets the number of the first one, and only the first key is kept.
            if self._benchmarks.add(text) == len(self._benchmark_keys):
                self._benchmark_keys.append(key)

    def check(self, row: Mapping[str, Any], config: str = "", split: str = "") -> tuple[str, str] | None:
        """Return `(reason, id of the earlier row)` if the row must be dropped; otherwise add it and return None.

        Reasons are `benchmark_text`, `original_rejected`, `duplicate` and `near_duplicate`; the last two end with
        `_across_splits` if the earlier row is in another split.
        """
        found = self._fault(row, config, split)
        if found:
            self.drop(row, config)
            return found
        texts = self._texts.setdefault(split, TextIndex(self._near_duplicate_at))
        for text in _compared(row):
            self._rows[split, config].setdefault(texts.add(text), (str(row["id"]), _unit(row)))
        return None

    def drop(self, row: Mapping[str, Any], config: str = "") -> None:
        """Record that the row was dropped, for any reason, so that its rewriting is dropped too."""
        if row.get("variant") == ORIGINAL:
            self._dropped.add((config, utterance_of(row)))

    def _fault(self, row: Mapping[str, Any], config: str, split: str) -> tuple[str, str] | None:
        if self._benchmark_keys and (known := self._benchmarks.first_match(row["text"])):
            return "benchmark_text", self._benchmark_keys[known[1]]
        if row.get("variant") == REWRITTEN and (config, utterance_of(row)) in self._dropped:
            return "original_rejected", f"{utterance_of(row)}/{ORIGINAL}"
        return self._across_splits(row, split) or self._within_split(row, config, split)

    def _across_splits(self, row: Mapping[str, Any], split: str) -> tuple[str, str] | None:
        for other, texts in self._texts.items():
            for text in _compared(row) if other != split else ():
                if found := texts.first_match(text):
                    rows = (rows.get(found[1]) for (place, _), rows in self._rows.items() if place == other)
                    return f"{found[0]}{ACROSS}", next(filter(None, rows))[0]
        return None

    def _within_split(self, row: Mapping[str, Any], config: str, split: str) -> tuple[str, str] | None:
        if split not in self._texts:
            return None
        texts, rows, own = self._texts[split], self._rows[split, config], _unit(row)
        text = _compared(row)[0]
        same = texts.number(text)
        if same in rows and len(self._rows) == 1 and rows[same][1] == own:
            return None  # the same text was compared when it came
        others = (match for match in texts.matches(text) if match[1] in rows and rows[match[1]][1] != own)
        found = min(others, default=None)
        return (found[0], rows[found[1]][0]) if found else None


def _compared(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the texts of a row that are compared: the first one within a split, all of them across splits."""
    text: str = row["text"]
    return (f"{row.get('context') or ''}\n{text}", text) if row.get("variant") == OPEN else (text,)


def _unit(row: Mapping[str, Any]) -> str:
    """Return what counts as one text: a contrast set, or both variants of an utterance."""
    return str(row.get("group") or utterance_of(row))


def utterance_of(row: Mapping[str, Any]) -> str:
    """Return the part of a row's id that both variants of an utterance share."""
    return str(row["id"]).removesuffix(f"/{row.get('variant')}")
