"""A corpus without twins: of equal and near-equal texts, and of texts of the same meaning, one is kept.

Test rows are looked at before validation rows and those before train rows, in all configs, so that of twins and of
stories on two sides of a split the training rows go. What is removed is kept with its reason and its twin.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builder.corpus import Corpus, column_faults, open_corpus, open_parquet
from dataset_builder.files.shards import clear, to_line, write_json, write_whole
from dataset_builder.files.texts import benchmark_texts
from dataset_builder.filters.deduplicate import ACROSS, REWRITTEN, DuplicateFilter
from dataset_builder.filters.encoder import load_static_encoder
from dataset_builder.inputs import InputError
from dataset_builder.pipeline.assemble import seal
from dataset_builder.pipeline.engine import MANIFEST
from dataset_builder.provenance import without_place
from dataset_builder.recipe import Similarity
from dataset_builder.schema import CONFIGS, SPLITS

REMOVED = "removed.jsonl"
ROWS_OF_A_GROUP = 2_000  # of the files that are written
COLUMNS = ["id", "text", "context", "variant", "narrative_id"]
# Twins are far closer than any other neighbour, so little effort finds them: of 3,000 planted at a cosine of .955 among
# 300,000 texts, 2,997. All components and the library's own effort find 3,000 in five times the time.
NEIGHBOURS = 10
LOOKED_UP = 64  # components; an index of all 256 outgrows a CPU's cache
EFFORT = 32


def deduplicate(
    place: str | Path,
    target: Path,
    near_duplicate_at: float | None = 0.7,
    semantic_at: float | None = None,
    benchmarks: Sequence[str] = (),
) -> dict[str, Any]:
    """Write the corpus of `place` to `target` without its twins and without benchmarks' texts; returns the manifest.

    Args:
        near_duplicate_at: Jaccard index of token 3-grams from which two texts are twins; None: equal words only.
        semantic_at: cosine of static embeddings from which two texts are twins; None: not compared.
        benchmarks: as `benchmark_texts` takes them.

    Raises:
        InputError: no corpus there, a target that exists, a config of unknown form, or a bad benchmark file.
    """
    corpus = open_corpus(place)
    if target.exists():
        raise InputError(f"{target}: exists already. Give another --out, or delete it.")
    for config in corpus.files:
        if config not in CONFIGS:
            raise InputError(f"{corpus.folder / config}: unknown config; known are {', '.join(CONFIGS)}.")
        if faults := column_faults(corpus, config):
            raise InputError(f"{corpus.folder}: {faults[0]}. Validate the corpus first.")
    known = [pair for benchmark in benchmarks for pair in benchmark_texts(benchmark)]
    building = target.with_name(f"{target.name}.part")
    clear(building)
    gone = _Removal(corpus, DuplicateFilter(near_duplicate_at, known), semantic_at).run()
    removed = [line for config in corpus.files for line in gone[config].values()]
    kept = {config: left for config in corpus.files if (left := _write(corpus, config, gone[config], building))}
    if not kept:
        raise InputError(f"{corpus.folder}: no row would be left; the first is '{removed[0]['reason']}'.")
    write_whole(building / REMOVED, (to_line(line) for line in removed))
    revision = seal(building, kept)
    manifest = {
        "stage": "deduplicate",
        "of": without_place(corpus.place),
        "near_duplicate_at": near_duplicate_at,
        "semantic_at": semantic_at,
        "benchmarks": [without_place(benchmark) for benchmark in benchmarks],
        "benchmark_texts": len(known),
        "rows": kept,
        "removed": {
            config: dict(Counter(line["reason"] for line in removed if line["config"] == config))
            for config in corpus.files
        },
        "revision": revision,
    }
    write_json(building / MANIFEST, manifest)
    building.rename(target)
    return manifest


class _Removal:
    """Which rows to remove, by config and id: their place, reason, twin and text."""

    def __init__(self, corpus: Corpus, twins: DuplicateFilter, semantic_at: float | None) -> None:
        self._corpus, self._twins, self._semantic_at = corpus, twins, semantic_at
        self._gone: dict[str, dict[str, dict[str, Any]]] = {config: {} for config in corpus.files}
        self._split_of_story: dict[str, str] = {}
        self._left: dict[str, list[dict[str, Any]]] = {config: [] for config in corpus.files}  # to compare by meaning

    def run(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Go through all rows but rewritings, then through these: they follow their originals, wherever those are.

        Raises:
            InputError: an id is there twice in a config.
        """
        seen: dict[str, set[str]] = {config: set() for config in self._corpus.files}
        rewritten: dict[str, None] = {}  # configs that have some
        for config, row in self._in_order(self._corpus.files):
            if row["id"] in seen[config]:
                place = self._corpus.folder / config
                raise InputError(f"{place}: the id '{row['id']}' is there twice. Validate the corpus first.")
            seen[config].add(row["id"])
            story = row.get("narrative_id")
            if story and self._split_of_story.setdefault(story, row["split"]) != row["split"]:
                self._twins.drop(row, config)
                self._remove(config, row, "story_in_two_splits", story)
            elif row.get("variant") == REWRITTEN:
                rewritten[config] = None
            else:
                self._look_at(config, row)
        if self._semantic_at is not None:
            self._compare_meaning(self._semantic_at)
        for config, row in self._in_order(rewritten):
            if row.get("variant") == REWRITTEN and row["id"] not in self._gone[config]:
                self._look_at(config, row)
        return self._gone

    def _look_at(self, config: str, row: dict[str, Any]) -> None:
        if found := self._twins.check(row, config, row["split"]):
            self._remove(config, row, found[0].removesuffix(ACROSS), found[1])
        elif self._semantic_at is not None and config in self._left:
            self._left[config].append({name: row.get(name) for name in ("id", "text", "variant", "split")})

    def _compare_meaning(self, threshold: float) -> None:
        for config in list(self._left):
            rows = self._left.pop(config)
            for row, twin in _same_meaning(rows, threshold) if rows else ():
                self._twins.drop(row, config)
                self._remove(config, row, "same_meaning", twin)

    def _remove(self, config: str, row: dict[str, Any], reason: str, twin: str) -> None:
        place = {"config": config, "split": row["split"]}
        self._gone[config][row["id"]] = {"id": row["id"], **place, "reason": reason, "twin": twin, "text": row["text"]}

    def _in_order(self, configs: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The rows of configs, split by split, the held-out ones first."""
        splits = dict.fromkeys(split for files in self._corpus.files.values() for split in files)
        known = [split for split in SPLITS if split in splits]
        for split in (*(split for split in splits if split not in SPLITS), *reversed(known)):
            for config in configs:
                for row in self._corpus.rows(config, split, COLUMNS) if split in self._corpus.files[config] else ():
                    yield config, row


def _same_meaning(rows: list[dict[str, Any]], threshold: float) -> Iterator[tuple[dict[str, Any], str]]:
    """Rows whose meaning an earlier row has, with that row's id."""
    method = Similarity(method="similarity")
    vectors = load_static_encoder(method.encoder, method.wheel).encode([row["text"] for row in rows])
    for number, twin in sorted(nearest_twins(np.asarray(vectors, dtype=np.float32), threshold).items()):
        yield rows[number], rows[twin]["id"]


def nearest_twins(vectors: np.ndarray, threshold: float) -> dict[int, int]:
    """Rows that repeat an earlier row, with that row: cosine of at least `threshold`; the earlier row repeats none.

    Neighbours are looked up in an approximate index (HNSW) of the vectors' first components and compared by all of
    them. A row that has more twins than neighbours are asked for may miss an earlier one, so the search is repeated on
    what is left.

    Args:
        vectors: (rows, size), of any length, the components of greatest variance first; a row of zeros has no twin.
    """
    from usearch.index import Index

    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    twins: dict[int, int] = {}
    left = np.arange(len(unit))
    crowded = True
    while crowded and len(left) > 1:
        first = np.ascontiguousarray(unit[left, :LOOKED_UP])
        index = Index(ndim=first.shape[1], metric="cos", dtype="f16", expansion_add=EFFORT, expansion_search=EFFORT)
        index.add(left, first)
        found = index.search(first, NEIGHBOURS).keys.astype(np.int64).reshape(len(left), -1)
        crowded = False
        for row, neighbours in zip(left.tolist(), found, strict=True):
            earlier = sorted({twins.get(other, other) for other in neighbours.tolist() if other < row})
            alike = unit[earlier] @ unit[row] >= threshold if earlier else np.zeros(0, dtype=bool)
            if alike.any():
                twins[row] = earlier[int(alike.argmax())]
            crowded = crowded or bool((unit[neighbours] @ unit[row] >= threshold).all())
        left = np.asarray([row for row in left.tolist() if row not in twins])
    for row in sorted(twins):  # a twin may have been found to repeat an earlier row in a later search
        twins[row] = twins.get(twins[row], twins[row])
    return twins


def _write(corpus: Corpus, config: str, gone: dict[str, dict[str, Any]], folder: Path) -> dict[str, int]:
    """The files of a config without the rows that are gone; rows left in each split."""
    counts: dict[str, int] = {}
    for split, paths in corpus.files[config].items():
        target = folder / config / f"{split}-.parquet"  # `seal` names it
        target.parent.mkdir(parents=True, exist_ok=True)
        schema = open_parquet(paths[0]).schema_arrow
        with pq.ParquetWriter(target, schema) as writer:
            counts[split] = 0
            for path in paths:
                for batch in open_parquet(path).iter_batches(batch_size=ROWS_OF_A_GROUP):
                    left = batch.filter(pa.array([name not in gone for name in batch["id"].to_pylist()]))
                    writer.write_batch(left)
                    counts[split] += left.num_rows
        if not counts[split]:
            target.unlink()
    return {split: count for split, count in counts.items() if count}
