"""Defines near-duplicates and provides an exact index of them, for the filters, `validate` and the report.

Two texts are near-duplicates if the Jaccard index of their sets of token 3-grams reaches a threshold. Tokens are
lower-case words and single punctuation marks. A text with fewer than three tokens counts as one shorter n-gram.
"""

import math
import re
from array import array
from collections.abc import Iterator, Sequence

import numpy as np

SHINGLE = 3
_TOKEN = re.compile(r"\w+|[^\w\s]")
_ROUNDING = 1e-9  # .07 * 100 is more than 7
_FIRST_COUNT = 1_000  # number of texts at the first frequency count; repeated whenever the number has doubled


def tokens(text: str) -> list[str]:
    """Return the lower-case words and single punctuation marks of a text."""
    return _TOKEN.findall(text.lower())


def shingles(text: Sequence[str]) -> frozenset[int]:
    """Return a text's token 3-grams as 64-bit hashes; among n texts, two collide with probability n² / 2⁶⁴."""
    words = tuple(text)
    # Python's string hashes differ between processes, so shingles are never stored.
    return frozenset(hash(words[i : i + SHINGLE]) for i in range(max(1, len(words) - SHINGLE + 1)))


class NearDuplicates:
    """An index of shingle sets that finds all sets with a Jaccard index of at least `at`, and no others.

    Two such sets of sizes a and b share at least `at * max(a, b)` shingles. In any fixed order of shingles, each set
    therefore has a shared shingle among its first `size - ceil(at * size) + 1` (prefix filter, Bayardo et al. 2007).
    Rare shingles come first, so that few sets are compared. Frequencies are counted again whenever the number of texts
    has doubled, which costs less than one more pass.

    Memory: 8 bytes per shingle, plus about 150 bytes per indexed shingle (a third of all at a threshold of .7).
    """

    def __init__(self, at: float) -> None:
        if not 0 < at <= 1:
            raise ValueError(f"a Jaccard threshold must be above 0 and at most 1, found {at}")
        self._at = at
        self._flat = array("q")  # the shingles of all sets, one set after the other
        self._ends = array("Q", [0])
        # A shingle that occurs in one text maps to a plain number, because lists would need more memory.
        self._index: dict[int, int | list[int]] = {}
        # Shingles that occurred once have no entry and count as 0.
        self._common: dict[int, int] = {}  # frequency of shingles that occurred at least twice
        self._count_at = _FIRST_COUNT

    def __len__(self) -> int:
        return len(self._ends) - 1

    def add(self, found: frozenset[int]) -> int:
        """Add a set and return its number, counted from 0."""
        number = len(self)
        self._flat.extend(found)
        self._ends.append(len(self._flat))
        if number + 1 >= self._count_at:
            self._reorder()
        else:
            self._insert(number, found)
        return number

    def matches(self, found: frozenset[int]) -> Iterator[int]:
        """Yield the number of each added set that is a near-duplicate of this set, once, in arbitrary order."""
        size, seen = len(found), set[int]()
        # Sets of other sizes cannot reach the threshold; comparing sizes is cheaper than intersecting.
        shortest, longest = self._at * size - _ROUNDING, size / self._at + _ROUNDING
        for shingle in self._prefix(found):
            numbers = self._index.get(shingle, ())
            for number in (numbers,) if isinstance(numbers, int) else numbers:
                if number in seen:
                    continue
                seen.add(number)
                start, end = self._ends[number], self._ends[number + 1]
                if shortest <= end - start <= longest:
                    common = len(found.intersection(self._flat[start:end]))
                    if common >= self._at * (size + end - start - common) - _ROUNDING:
                        yield number

    def _prefix(self, found: frozenset[int]) -> list[int]:
        ordered = sorted(found, key=lambda shingle: (self._common.get(shingle, 0), shingle))
        return ordered[: len(found) - math.ceil(self._at * len(found) - _ROUNDING) + 1]

    def _insert(self, number: int, found: frozenset[int]) -> None:
        for shingle in self._prefix(found):
            there = self._index.get(shingle)
            if there is None:
                self._index[shingle] = number
            elif isinstance(there, int):
                self._index[shingle] = [there, number]
            else:
                there.append(number)

    def _reorder(self) -> None:
        values, counts = np.unique(np.frombuffer(self._flat, dtype=np.int64), return_counts=True)
        often = counts > 1
        self._common = dict(zip(values[often].tolist(), counts[often].tolist(), strict=True))
        self._index = {}
        self._count_at = 2 * len(self)
        for number in range(len(self)):
            self._insert(number, frozenset(self._flat[self._ends[number] : self._ends[number + 1]]))
