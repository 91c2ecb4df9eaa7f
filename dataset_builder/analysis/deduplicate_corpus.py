"""Writes a corpus without duplicates, near-duplicates and texts with the same meaning; keeps the first of each group.

Test rows come first, then validation rows, then train rows, in all configs: if duplicates or the rows of a
story are in two splits, the training rows are removed. Removed rows are written with the reason and the row that they
duplicate.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builder.corpus import Corpus, column_faults, open_corpus
from dataset_builder.files.parquet_rows import open_parquet
from dataset_builder.files.shards import to_line, write_whole
from dataset_builder.files.texts import benchmark_texts
from dataset_builder.filters.deduplicate import ACROSS, REWRITTEN, DuplicateFilter
from dataset_builder.inputs import InputError, first_line, wheel_path
from dataset_builder.parquet import COMPRESSION, whole_folder, write_manifest
from dataset_builder.provenance import shareable
from dataset_builder.recipe import Similarity
from dataset_builder.schema import CONFIGS, SPLITS

REMOVED = "removed.jsonl"
ROWS_OF_A_GROUP = 2_000  # of the files that are written
COLUMNS = ["id", "text", "context", "variant", "narrative_id", "group"]
STATIC_SIZE = 256  # components of a static embedding
# Duplicates are far closer than any other neighbour, so little effort finds them: of 3,000 planted at a cosine of .955
# among 300,000 texts, 2,997. All components and the library's default effort find 3,000 in five times the time.
NEIGHBOURS = 10
SEARCHED_SIZE = 64  # components; an index of all 256 outgrows a CPU's cache
EFFORT = 32

Removed = dict[str, dict[str, dict[str, Any]]]  # by config and row id, what REMOVED says of the row


def deduplicate(
    place: str | Path,
    target: Path,
    near_duplicate_at: float | None = 0.7,
    semantic_at: float | None = None,
    benchmarks: Sequence[str] = (),
) -> dict[str, Any]:
    """Write the corpus of `place` to `target` without duplicates and without texts of benchmarks; return the manifest.

    Args:
        near_duplicate_at: Jaccard index of token 3-grams of near-duplicates; None: only texts with equal words count.
        semantic_at: cosine of static embeddings of texts with the same meaning; None: meaning is not compared.
        benchmarks: as for `benchmark_texts`.

    Raises:
        InputError: no corpus there, a target that exists, an unknown config, or a bad benchmark file.
    """
    corpus = open_corpus(place)
    if target.exists():
        raise InputError(f"{target}: already exists. Use another --out, or delete it.")
    for config in corpus.files:
        if config not in CONFIGS:
            raise InputError(f"{corpus.folder / config}: unknown config; known are {', '.join(CONFIGS)}.")
        if faults := column_faults(corpus, config):
            raise InputError(f"{corpus.folder}: {faults[0]}. Validate the corpus first.")
    known = [pair for benchmark in benchmarks for pair in benchmark_texts(benchmark)]
    removed = _Removal(corpus, DuplicateFilter(near_duplicate_at, known), semantic_at).run()
    lines = [line for rows in removed.values() for line in rows.values()]
    with whole_folder(target) as part:
        kept = {config: rows for config in corpus.files if (rows := _write(corpus, config, removed[config], part))}
        if not kept:
            raise InputError(f"{corpus.folder}: no row would be left; the first reason is '{lines[0]['reason']}'.")
        write_whole(part / REMOVED, map(to_line, lines))
        manifest = {
            "stage": "deduplicate",
            "of": shareable(corpus.place),
            "near_duplicate_at": near_duplicate_at,
            "semantic_at": semantic_at,
            "benchmarks": [shareable(benchmark) for benchmark in benchmarks],
            "benchmark_texts": len(known),
            "rows": kept,
            "removed": {
                config: dict(Counter(row["reason"] for row in rows.values())) for config, rows in removed.items()
            },
        }
        return write_manifest(part, manifest)


class _Removal:
    """Decides which rows are removed."""

    def __init__(self, corpus: Corpus, duplicates: DuplicateFilter, semantic_at: float | None) -> None:
        self._corpus, self._duplicates, self._semantic_at = corpus, duplicates, semantic_at
        self._removed: Removed = {config: {} for config in corpus.files}
        self._split_of_story: dict[str, str] = {}
        self._to_compare: dict[str, list[dict[str, Any]]] = {config: [] for config in corpus.files}  # by meaning

    def run(self) -> Removed:
        """Check all rows except rewritings, then the rewritings, which are removed with their originals.

        Raises:
            InputError: an id occurs twice in a config.
        """
        seen: dict[str, set[str]] = {config: set() for config in self._corpus.files}
        with_rewritings: dict[str, None] = {}
        for config, row in self._held_out_first(self._corpus.files):
            if row["id"] in seen[config]:
                place = self._corpus.folder / config
                raise InputError(f"{place}: the id '{row['id']}' occurs twice. Validate the corpus first.")
            seen[config].add(row["id"])
            story = row.get("narrative_id")
            if story and self._split_of_story.setdefault(story, row["split"]) != row["split"]:
                self._remove(config, row, "story_in_two_splits", story)
            elif row.get("variant") == REWRITTEN:
                with_rewritings[config] = None
            elif not self._is_duplicate(config, row) and self._semantic_at is not None:
                wanted = ("id", "text", "variant", "split", "group")
                self._to_compare[config].append({name: row.get(name) for name in wanted})
        for config, rows in self._to_compare.items():
            for row, earlier in _same_meaning(rows, self._semantic_at) if self._semantic_at and rows else ():
                self._remove(config, row, "same_meaning", earlier)
        for config, row in self._held_out_first(with_rewritings):
            if row.get("variant") == REWRITTEN and row["id"] not in self._removed[config]:
                self._is_duplicate(config, row)
        return self._removed

    def _is_duplicate(self, config: str, row: dict[str, Any]) -> bool:
        found = self._duplicates.check(row, config, row["split"])
        if found:
            self._remove(config, row, found[0].removesuffix(ACROSS), found[1])
        return bool(found)

    def _remove(self, config: str, row: dict[str, Any], reason: str, earlier: str) -> None:
        self._duplicates.drop(row, config)
        line = {"id": row["id"], "config": config, "split": row["split"], "reason": reason}
        self._removed[config][row["id"]] = line | {"twin": earlier, "text": row["text"]}

    def _held_out_first(self, configs: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the rows of configs: splits of other names, then test, validation and train, each in all configs."""
        splits = dict.fromkeys(split for files in self._corpus.files.values() for split in files)
        others = [split for split in splits if split not in SPLITS]
        for split in (*others, *reversed(SPLITS)):
            for config in configs:
                if split in self._corpus.files[config]:
                    yield from ((config, row) for row in self._corpus.rows(config, split, COLUMNS))


@cache
def _static_encoder() -> Any:
    """Return a static model distilled from the metrics' encoder: mean word vectors, 50 times as fast on a CPU."""
    from model2vec.distill import distill

    source = Similarity(method="similarity")
    try:
        return distill(str(wheel_path(source.wheel) or source.encoder), pca_dims=STATIC_SIZE)
    except (OSError, ValueError) as error:
        raise InputError(f"encoder '{source.encoder}': cannot be distilled ({first_line(error)}).") from None


def _same_meaning(rows: list[dict[str, Any]], threshold: float) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield rows with the meaning of an earlier row, each with that row's id."""
    vectors = np.asarray(_static_encoder().encode([row["text"] for row in rows]), dtype=np.float32)
    # Rows of a contrast set have the same text: the first is compared, and the others go with it.
    firsts: dict[str, int] = {}
    first_of = [firsts.setdefault(row.get("group") or row["id"], number) for number, row in enumerate(rows)]
    compared = sorted(firsts.values())
    found = semantic_duplicates(vectors[compared], threshold)
    earlier = {compared[number]: compared[before] for number, before in found.items()}
    for number, first in enumerate(first_of):
        if first in earlier:
            yield rows[number], rows[earlier[first]]["id"]


def semantic_duplicates(vectors: np.ndarray, threshold: float) -> dict[int, int]:
    """Map each row whose cosine with an earlier row is at least `threshold` to that row, which is itself kept.

    Neighbours are looked up in an approximate index (HNSW) of the first components and compared by all components.
    A row with more duplicates than NEIGHBOURS may miss the first one, so the search is repeated on what is left.

    Args:
        vectors: (rows, size), of any length, components of greatest variance first; a row of zeros has no duplicate.
    """
    from usearch.index import Index

    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    first: dict[int, int] = {}
    left, crowded = np.arange(len(unit)), True
    while crowded and len(left) > 1:
        searched = np.ascontiguousarray(unit[left, :SEARCHED_SIZE])
        index = Index(ndim=searched.shape[1], metric="cos", dtype="f16", expansion_add=EFFORT, expansion_search=EFFORT)
        index.add(left, searched)
        found = index.search(searched, NEIGHBOURS).keys.astype(np.int64).reshape(len(left), -1)
        crowded = False
        for row, neighbours in zip(left.tolist(), found, strict=True):
            earlier = sorted({first.get(other, other) for other in neighbours.tolist() if other < row})
            close = unit[earlier] @ unit[row] >= threshold if earlier else np.zeros(0, dtype=bool)
            if close.any():
                first[row] = earlier[int(close.argmax())]
            crowded = crowded or bool((unit[neighbours] @ unit[row] >= threshold).all())
        left = np.asarray([row for row in left.tolist() if row not in first])
    for row in sorted(first):  # a later search may have found that the earlier row is a duplicate too
        first[row] = first.get(first[row], first[row])
    return first


def _write(corpus: Corpus, config: str, removed: dict[str, dict[str, Any]], folder: Path) -> dict[str, int]:
    """Write the files of a config without the removed rows; return the rows of each split that has some."""
    counts: dict[str, int] = {}
    for split, paths in corpus.files[config].items():
        target = folder / config / f"{split}-.parquet"  # `write_manifest` completes the name
        target.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(target, open_parquet(paths[0]).schema_arrow, compression=COMPRESSION) as writer:
            for path in paths:
                for batch in open_parquet(path).iter_batches(batch_size=ROWS_OF_A_GROUP):
                    kept = batch.filter(pa.array([name not in removed for name in batch["id"].to_pylist()]))
                    writer.write_batch(kept)
                    counts[split] = counts.get(split, 0) + kept.num_rows
        if not counts.get(split):
            target.unlink()
    return {split: count for split, count in counts.items() if count}
