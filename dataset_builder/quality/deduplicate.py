"""Exact and near duplicates, within a corpus and of benchmarks' texts. Of a group of twins the first is kept."""

import csv
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from datasketch import LeanMinHash, MinHash, MinHashLSH

from dataset_builder.inputs import InputError
from dataset_builder.quality.validate import words

PERMUTATIONS = 128
BENCHMARK = "benchmark:"  # how the keys of benchmarks' texts begin


class Deduplicator:
    """Says of each text whether one like it was seen before: the same words, or MinHash Jaccard of word 3-grams.

    With `near_duplicate_at=None` only the same words count.
    """

    def __init__(self, near_duplicate_at: float | None) -> None:
        self._seen: dict[str, str] = {}
        self._threshold = near_duplicate_at
        # Candidates are compared below; the index itself takes no bound close to 1.
        self._index = MinHashLSH(threshold=min(near_duplicate_at or 1.0, 0.9), num_perm=PERMUTATIONS)
        self._hashes: dict[str, LeanMinHash] = {}
        self._blank = MinHash(num_perm=PERMUTATIONS, seed=1)  # drawing the permutations takes as long as using them

    def check(self, key: str, text: str) -> tuple[str, str] | None:
        """`(duplicate | near_duplicate, key of the twin)`, or None; new texts are remembered."""
        tokens = words(text)
        normal = " ".join(tokens)
        if normal in self._seen:
            return "duplicate", self._seen[normal]
        self._seen[normal] = key
        if self._threshold is None:
            return None
        shingles = {" ".join(tokens[i : i + 3]).encode() for i in range(max(1, len(tokens) - 2))}
        minhash = self._blank.copy()
        minhash.update_batch(sorted(shingles))
        for twin in sorted(self._index.query(minhash)):
            if minhash.jaccard(self._hashes[twin]) >= self._threshold:
                return "near_duplicate", twin
        self._index.insert(key, minhash)
        self._hashes[key] = LeanMinHash(minhash)
        return None


class Twins:
    """Which rows of a config repeat an earlier one or a benchmark's text.

    A rewriting is like its original by intent: it is not compared, it goes where its original goes.
    """

    def __init__(self, near_duplicate_at: float | None, benchmarks: Iterable[tuple[str, str]] = ()) -> None:
        self._seen = Deduplicator(near_duplicate_at)
        self._gone: set[str] = set()
        for key, text in benchmarks:
            self._seen.check(f"{BENCHMARK}{key}", text)

    def check(self, row: Mapping[str, object]) -> tuple[str, str] | None:
        """`(reason, key of the twin)` of a row to be dropped: duplicate, near_duplicate, benchmark_text, …"""
        name, original = str(row["id"]), str(row["id"]).rpartition("/")[0]
        if row.get("variant") == "rewritten":
            return ("original_rejected", f"{original}/original") if original in self._gone else None
        found = self._seen.check(name, str(row["text"]))
        if found is None:
            return None
        self.drop(row)
        reason, twin = found
        return ("benchmark_text", twin.removeprefix(BENCHMARK)) if twin.startswith(BENCHMARK) else (reason, twin)

    def drop(self, row: Mapping[str, object]) -> None:
        """The row is dropped for another reason: its rewriting follows it."""
        if row.get("variant") == "original":
            self._gone.add(str(row["id"]).rpartition("/")[0])


def benchmark_texts(place: str | Path) -> Iterator[tuple[str, str]]:
    """The texts of a benchmark, each with the key `<name>:<number>`, to be kept out of a corpus.

    A file of JSON lines (`.jsonl`), a table (`.csv`, `.tsv`) with a column `text` or without a head and the text
    first, each also gzipped, or a Hub data set's test split (`owner/name` or `owner/name:config`, column `text`).

    Raises:
        InputError: nothing of that kind there, or a row without a text; file and line are named.
    """
    path = Path(place)
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if not path.exists():
        yield from _from_hub(str(place))
        return
    if kind not in ("jsonl", "csv", "tsv"):
        raise InputError(f"{path}: not a .jsonl, .csv or .tsv file. Give the benchmark's texts as one of them.")
    name = f"{path.parent.name}/{path.name}"
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8", newline="") as lines:
            texts = _from_json(path, lines) if kind == "jsonl" else _from_table(lines, "\t" if kind == "tsv" else ",")
            for number, text in enumerate(texts):
                yield f"{name}:{number}", text
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from None


def _from_json(path: Path, lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        try:
            text = json.loads(line)["text"]
        except (ValueError, KeyError, TypeError):
            text = None
        if not isinstance(text, str):
            raise InputError(f"{path}, line {number}: not an object with a 'text'.")
        yield text


def _from_table(lines: Iterable[str], delimiter: str) -> Iterator[str]:
    # Tab-separated benchmarks are not quoted: a quote in a text is a quote.
    rows = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL)
    first = next(rows, [])
    place = first.index("text") if "text" in first else 0
    if first and "text" not in first:
        yield first[0]
    yield from (row[place] for row in rows if len(row) > place)


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
        yield f"{place}:{number}", text
