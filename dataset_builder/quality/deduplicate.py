"""Exact and near duplicates, within a corpus and of benchmarks' texts. Of a group of twins the first is kept."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from datasketch import LeanMinHash, MinHash, MinHashLSH

from dataset_builder.inputs import InputError
from dataset_builder.quality.validate import words
from dataset_builder.reading_texts import texts_of

PERMUTATIONS = 128
ORIGINAL, REWRITTEN = "original", "rewritten"


class Deduplicator:
    """Says of each text whether one like it was seen before: the same words, or MinHash Jaccard of word 3-grams.

    With `near_duplicate_at=None` only the same words count.
    """

    def __init__(self, near_duplicate_at: float | None) -> None:
        self._seen: dict[bytes, str] = {}  # digests: a corpus's words would take as much room as its index
        self._threshold = near_duplicate_at
        # Candidates are compared below; the index itself takes no bound close to 1.
        self._index = MinHashLSH(threshold=min(near_duplicate_at or 1.0, 0.9), num_perm=PERMUTATIONS)
        self._hashes: dict[str, LeanMinHash] = {}
        self._blank = MinHash(num_perm=PERMUTATIONS, seed=1)  # drawing the permutations takes as long as using them

    def check(self, key: str, text: str, *, remember: bool = True) -> tuple[str, str] | None:
        """`(duplicate | near_duplicate, key of the twin)`, or None; new texts are remembered, under keys all different.

        A text without a word, such as an emoji, is compared as it is.
        """
        tokens = words(text)
        normal = hashlib.blake2b((" ".join(tokens) or text.strip()).encode(), digest_size=16).digest()
        if normal in self._seen:
            return "duplicate", self._seen[normal]
        if remember:
            self._seen[normal] = key
        if self._threshold is None or not tokens:
            return None
        shingles = {" ".join(tokens[i : i + 3]).encode() for i in range(max(1, len(tokens) - 2))}
        minhash = self._blank.copy()
        minhash.update_batch(sorted(shingles))
        for twin in sorted(self._index.query(minhash)):
            if minhash.jaccard(self._hashes[twin]) >= self._threshold:
                return "near_duplicate", twin
        if remember:
            self._index.insert(key, minhash)
            self._hashes[key] = LeanMinHash(minhash)
        return None


class Twins:
    """Which rows of a config repeat an earlier one or a benchmark's text.

    A rewriting is like its original by intent: it is compared with benchmarks only, and goes where its original goes,
    which must come before it. The two have ids that differ in the last part, `…/original` and `…/rewritten`.
    """

    def __init__(self, near_duplicate_at: float | None, benchmarks: Iterable[tuple[str, str]] = ()) -> None:
        self._seen = Deduplicator(near_duplicate_at)
        self._benchmarks = Deduplicator(near_duplicate_at)
        self._names: dict[str, str] = {}
        self._gone: set[str] = set()
        for number, (name, text) in enumerate(benchmarks):
            self._names[str(number)] = name
            self._benchmarks.check(str(number), text)

    def check(self, row: Mapping[str, Any]) -> tuple[str, str] | None:
        """`(reason, key of the twin)` of a row to be dropped: duplicate, near_duplicate, benchmark_text, …"""
        found = self._benchmarks.check("", row["text"], remember=False) if self._names else None
        if found:
            found = "benchmark_text", self._names[found[1]]
        elif row.get("variant") != REWRITTEN:
            found = self._seen.check(row["id"], row["text"])
        elif utterance_of(row) in self._gone:
            found = "original_rejected", f"{utterance_of(row)}/{ORIGINAL}"
        if found:
            self.drop(row)
        return found

    def drop(self, row: Mapping[str, Any]) -> None:
        """The row is dropped, perhaps for another reason: its rewriting follows it."""
        if row.get("variant") == ORIGINAL:
            self._gone.add(utterance_of(row))


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
    what = "Give the benchmark's texts as .jsonl, .csv or .tsv, in a field or column that is called 'text'."
    for number, (_, _, text) in enumerate(texts_of(path, "text", what)):
        yield f"{name}:{number}", text


def _from_hub(place: str) -> Iterator[tuple[str, str]]:
    from datasets import load_dataset
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    name, _, config = place.partition(":")
    try:
        rows = load_dataset(name, config or None, split="test")
    except (HFValidationError, HfHubHTTPError, OSError, ValueError) as error:
        raise InputError(f"'{place}': no such file, and no data set of the Hub with a test split ({error}).") from None
    if "text" not in rows.column_names:
        raise InputError(f"'{place}': no column 'text' among {', '.join(rows.column_names)}.")
    for number, text in enumerate(rows["text"]):
        if not isinstance(text, str):
            raise InputError(f"'{place}', row {number}: no text.")
        yield f"{place}:{number}", text
