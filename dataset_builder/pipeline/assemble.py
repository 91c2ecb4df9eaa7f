"""Turns the stages' rows into the published corpus: resolve labels, check, drop duplicates, split, write Parquet.

Each row is read, resolved and checked once. The split of a story depends on the rows of all stories, so accepted rows
are written to one file per config until all splits are known. Memory holds only an index of the texts.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dataset_builder.files.parquet_rows import read_rows
from dataset_builder.files.shards import clear, stage_rows, to_line, write_whole
from dataset_builder.files.texts import benchmark_texts
from dataset_builder.filters.deduplicate import DuplicateFilter
from dataset_builder.filters.resolve import class_of, resolve
from dataset_builder.filters.split import split_narratives
from dataset_builder.filters.validate import MOST_LABELS, check_row, check_texts
from dataset_builder.hashing import fingerprint
from dataset_builder.inputs import InputError
from dataset_builder.parquet import CORPUS, SplitWriter, whole_folder, write_manifest, write_splits
from dataset_builder.pipeline.ask import prompt_versions
from dataset_builder.recipe import BuildRecipe
from dataset_builder.run_state import REJECTS
from dataset_builder.schema import (
    CONFIGS,
    SPLITS,
    UNNAMED,
    ContextlessRow,
    ContextualRow,
    DescribedRow,
    DescriptorsRow,
    LabelledRow,
    PublishedRow,
    Rejected,
    RewrittenRow,
    UtteranceRow,
)
from dataset_builder.taxonomy import LABELS
from dataset_builder.text_hygiene import cleaned_row

STAGE = "publish"  # the stage's name in manifests and for --restart-from
DEPENDS_ON = ("recipe.split", "recipe.name", "recipe.quality.near_duplicate_at", "recipe.quality.benchmarks")
DEFAULT_CONFIG = "contextless"
KEPT = "kept"  # the folder for accepted rows until their split is known
MOST_UNRESOLVED = 1_000  # the manifest counts at most this many words without a class, the most frequent first


def assemble(recipe: BuildRecipe, work_dir: Path, teachers: Mapping[str, str]) -> None:
    """Write `<work>/corpus`. `teachers` names each stage's teacher.

    Raises:
        InputError: no row of the default config was kept.
    """
    with whole_folder(work_dir / CORPUS) as building:
        rows = _PublishedRows(recipe, work_dir, teachers)
        kept = building / KEPT
        # `keep` is a generator: writing the rejects runs it to its end. Only then are the counts for manifest and split
        # complete.
        rejected = (to_line(reject.model_dump()) for reject in rows.keep(kept))
        write_whole(work_dir / REJECTS / f"{STAGE}.jsonl", rejected)
        manifest = rows.manifest()
        # All configs share one split, computed from the default config's rows, so no story is in two splits.
        split_of = split_narratives(rows.of_story, recipe.split.contextless, recipe.seed)
        counts = {}
        for config in CONFIGS:
            if files := [*(kept / config).glob("*")]:
                passed = ((split_of[row["narrative_id"]], row) for file in files for row in read_rows(file))
                counts[config] = write_splits(passed, config, building)
        if DEFAULT_CONFIG not in counts:
            raise InputError(
                f"no row was kept; {work_dir / REJECTS}/*.jsonl lists the reasons. Use another teacher or more stories."
            )
        # Everything in this folder becomes part of the corpus.
        clear(kept)
        write_manifest(building, manifest | {"rows": counts})


class _PublishedRows:
    """Converts the stages' rows to published rows and selects the rows to keep."""

    def __init__(self, recipe: BuildRecipe, work_dir: Path, teachers: Mapping[str, str]) -> None:
        self._recipe, self._work_dir, self._teachers = recipe, work_dir, teachers
        self._prompt_version = fingerprint(prompt_versions())
        self._reasons: Counter[str] = Counter()
        self._unresolved: Counter[str] = Counter()  # words without a class
        self.of_story: Counter[str] = Counter()  # rows in the default config, which may be 0

    def keep(self, folder: Path) -> Iterator[Rejected]:
        """Write accepted rows to `folder`, config by config, and yield the rejected rows."""
        quality = self._recipe.quality
        texts = (text for benchmark in quality.benchmarks for text in benchmark_texts(benchmark))
        # All configs share one filter: no other utterance may repeat a kept text in any config.
        duplicates = DuplicateFilter(quality.near_duplicate_at, texts)
        for config in CONFIGS:
            with SplitWriter(config, folder) as passed:
                for row in self._rows(config):
                    if reason := self._fault(row, config, duplicates):
                        self._reasons[reason] += 1
                        yield Rejected.of(row.id, f"{STAGE}/{config}", reason, row.text)
                    else:
                        self.of_story[row.narrative_id] += config == DEFAULT_CONFIG
                        passed.add(SPLITS[0], row.model_dump())  # until its split is known

    def manifest(self) -> dict[str, Any]:
        """Return the content of the corpus's manifest."""
        return {
            "stage": STAGE,
            "recipe": self._recipe.name,
            "recipe_hash": fingerprint(self._recipe.model_dump(mode="json")),
            "teacher": self._teachers["utterances"],
            "teachers": dict(self._teachers),
            "prompt_version": self._prompt_version,
            "prompts": prompt_versions(),
            "seed": self._recipe.seed,
            "rejected": dict(sorted(self._reasons.items())),
            "unresolved_labels": dict(self._unresolved.most_common(MOST_UNRESOLVED)),
        }

    def _rows(self, config: str) -> Iterator[PublishedRow]:
        """Yield all rows of a config in story order, with resolved labels, before any check."""
        stage = {"contextless": "labels", "contextual": "rewriting", "descriptors": "descriptors"}[config]
        for row in map(cleaned_row, stage_rows(self._work_dir / stage, range(self._recipe.executor.shards))):
            if config == "contextless":
                yield ContextlessRow(**self._labelled(LabelledRow.model_validate(row)))
            elif config == "contextual":
                yield from self._variants(RewrittenRow.model_validate(row))
            else:
                described = DescribedRow.model_validate(row)
                describer = self._with_teacher(described.describer, "descriptors")
                yield DescriptorsRow(
                    **self._origin(described), descriptors=list(described.descriptors), describer=describer
                )

    def _origin(self, row: UtteranceRow) -> dict[str, Any]:
        return {
            "id": row.id,
            "text": row.text,
            "character": row.character,
            "narrative_id": row.narrative_id,
            "source": row.source,
            "requested_emotion": row.requested_emotion if row.requested_emotion in LABELS else UNNAMED,
            "teacher": self._teachers["utterances"],
            "prompt_version": self._prompt_version,
            "seed": self._recipe.seed,
        }

    def _labelled(self, row: LabelledRow) -> dict[str, Any]:
        scores = resolve(row.raw_labels[:MOST_LABELS], self._recipe.resolve)  # a row with more is rejected
        return self._origin(row) | {
            "labels": [index for index, score in enumerate(scores) if score >= self._recipe.labels.keep_at],
            "scores": scores,
            "raw_labels": list(row.raw_labels),
            "labeler": self._with_teacher(row.labeler, "labels"),
        }

    def _variants(self, row: RewrittenRow) -> Iterator[ContextualRow]:
        common = self._labelled(row) | {"context": row.context, "original_text": row.text}
        # The original comes first, because the filter drops a rewriting whose original it has dropped.
        yield ContextualRow(**common | {"id": f"{row.id}/original", "variant": "original"})
        if row.rewritten is not None:
            rewritten = {"id": f"{row.id}/rewritten", "variant": "rewritten", "text": row.rewritten}
            yield ContextualRow(**common | rewritten)

    def _with_teacher(self, method: str, stage: str) -> str:
        """Return how a stage produced its part of a row, and its teacher if it differs from the utterances' teacher."""
        teacher = self._teachers[stage]
        return method if teacher == self._teachers["utterances"] else f"{method} by {teacher}"

    def _fault(self, row: PublishedRow, config: str, duplicates: DuplicateFilter) -> str | None:
        reason = check_row(row, self._recipe.quality)
        # Count unresolved words only in rows whose texts and labels are within bounds.
        if config == DEFAULT_CONFIG and isinstance(row, ContextlessRow) and (not reason or not check_texts(row)):
            words = (raw.label for raw in row.raw_labels)
            self._unresolved.update(word for word in words if class_of(word, self._recipe.resolve) is None)
        compared = {"id": row.id, "text": row.text, "variant": getattr(row, "variant", None)}
        if reason:
            # Tell the filter, or it would keep the rewriting without its original.
            duplicates.drop(compared)
            return reason
        repeated = duplicates.check(compared)
        return repeated[0] if repeated else None
