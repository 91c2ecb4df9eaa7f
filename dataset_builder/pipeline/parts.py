"""The rows that a finished work folder has for the corpus, in the form in which they are published."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dataset_builder.files.shards import read_json, stage_rows
from dataset_builder.filters.ensemble import RAW_FROM, Judged
from dataset_builder.filters.resolve import resolve
from dataset_builder.filters.validate import MOST_LABELS
from dataset_builder.hashing import fingerprint
from dataset_builder.inputs import InputError
from dataset_builder.parquet import MANIFEST
from dataset_builder.pipeline.stages import stages_of_run
from dataset_builder.recipe import NoTeacher, Resolve
from dataset_builder.run_state import RUN
from dataset_builder.schema import (
    UNNAMED,
    ContextlessRow,
    ContextualRow,
    DescribedRow,
    DescriptorsRow,
    LabelledRow,
    PublishedRow,
    RawLabel,
    RewrittenRow,
    Source,
    UtteranceRow,
)
from dataset_builder.taxonomy import LABELS
from dataset_builder.text_hygiene import cleaned_row

LAST_STAGE = {"contextless": "labels", "contextual": "rewriting", "descriptors": "descriptors"}  # of each config
# Who wrote the texts that no teacher of the recipe made (dataset_builder/written/, dataset_builder/collected/).
WRITERS = {"written": "a large language model", "collected": "people", "quoted": "people"}
SOURCES: dict[str, Source] = {
    "list": "generated",
    "single": "generated",
    "written": "written",
    "collected": "collected",
    "quoted": "quoted",
}  # by utterances.mode


class Labelling(NamedTuple):
    """How the rows of a corpus get their labels: the recipe's rules, and what judges say, if there are any."""

    resolve: Resolve
    keep_at: float
    judged: Judged | None


@dataclass(frozen=True)
class Part:
    """A work folder whose stages are finished, with the content of its run.json."""

    work_dir: Path
    run: Mapping[str, Any]

    @property
    def source(self) -> Source:
        """How its utterances came to be."""
        return SOURCES[self.run["recipe"]["utterances"]["mode"]]

    @property
    def author(self) -> str:
        """Who wrote the utterances: the language model that made them, or people."""
        return WRITERS.get(self.source) or str(self.run["teachers"]["utterances"])

    @property
    def prompt_version(self) -> str:
        """A hash of all prompts; empty if its stages ask nothing."""
        return fingerprint(self.run["prompts"]) if self.run["prompts"] else ""

    def about(self) -> dict[str, Any]:
        """Return its entry in the manifest of a corpus of several parts."""
        recipe = self.run["recipe"]
        return {
            "recipe": recipe["name"],
            "recipe_hash": fingerprint(recipe),
            "source": self.source,
            "teachers": self.run["teachers"],
            "prompts": self.run["prompts"],
            "seed": recipe["seed"],
            "narratives": self.run["narratives"],
        }

    def stage_rows(self, config: str) -> Iterator[dict[str, Any]]:
        """Yield the last stage's rows of a config in the order of the items, cleaned; none without such a stage."""
        stage = LAST_STAGE[config]
        if (self.work_dir / stage).is_dir():
            yield from map(cleaned_row, stage_rows(self.work_dir / stage, range(self.run["shards"])))

    def rows(self, config: str, labelling: Labelling) -> Iterator[tuple[PublishedRow, str | None]]:
        """Yield all rows of a config, not yet checked, each with why its judges reject it (None: keep it)."""
        for row in self.stage_rows(config):
            if config == "contextless":
                yield self._labelled(LabelledRow.model_validate(row), labelling)
            elif config == "contextual":
                yield from self._variants(RewrittenRow.model_validate(row), labelling)
            else:
                described = DescribedRow.model_validate(row)
                describer = self._with_teacher(described.describer, "descriptors")
                words = list(described.descriptors)
                yield DescriptorsRow(**self._origin(described), descriptors=words, describer=describer), None

    def _origin(self, row: UtteranceRow) -> dict[str, Any]:
        return {
            "id": row.id,
            "text": row.text,
            "character": row.character,
            "narrative_id": row.narrative_id,
            "group": row.group,
            "source": self.source,
            "provenance": row.source,
            "requested_emotion": row.requested_emotion if row.requested_emotion in ("", *LABELS) else UNNAMED,
            "teacher": self.author,
            "prompt_version": self.prompt_version,
            "seed": self.run["recipe"]["seed"],
        }

    def _labelled(self, row: LabelledRow, labelling: Labelling) -> tuple[ContextlessRow, str | None]:
        labels, reason = self._labels(row, row.text, None, labelling)
        return ContextlessRow(**self._origin(row) | labels), reason

    def _variants(self, row: RewrittenRow, labelling: Labelling) -> Iterator[tuple[ContextualRow, str | None]]:
        common = self._origin(row) | {"context": row.context, "original_text": row.text}
        for variant, text in (("original", row.text), ("rewritten", row.rewritten)):
            if text is not None:
                labels, reason = self._labels(row, text, row.context, labelling)
                own = {"id": f"{row.id}/{variant}", "variant": variant, "text": text}
                yield ContextualRow(**common | labels | own), reason

    def _labels(
        self, row: LabelledRow, text: str, situation: str | None, labelling: Labelling
    ) -> tuple[dict[str, Any], str | None]:
        """Return the fields about labels: the judges' where nobody has labelled the row before, else the row's own."""
        judged = labelling.judged
        if judged and row.labeler == "none":
            expected = row.requested_emotion if row.requested_emotion in LABELS else ""
            found = judged.decide(text, situation, expected)
            raw = [RawLabel(label=LABELS[n], score=found.scores[n]) for n in np.argsort(-found.scores, kind="stable")]
            return {
                "labels": found.labels,
                "scores": found.scores.tolist(),
                "raw_labels": [one for one in raw if one.score >= RAW_FROM],
                "labeler": "ensemble",
                "agreement": found.agreement,
            }, found.reason
        scores = resolve(row.raw_labels[:MOST_LABELS], labelling.resolve)  # a row with more is rejected
        first = LABELS[int(np.argmax(scores))] if any(scores) else ""
        agreement = judged.agreement(text, situation, first) if judged else None
        return {
            "labels": [index for index, score in enumerate(scores) if score >= labelling.keep_at],
            "scores": scores,
            "raw_labels": list(row.raw_labels),
            "labeler": self._with_teacher(row.labeler, "labels"),
            "agreement": 1.0 if agreement is None else agreement,
        }, None

    def _with_teacher(self, method: str, stage: str) -> str:
        """Return how a stage produced its part of a row, with its teacher if another teacher wrote the utterances."""
        teacher = self.run["teachers"][stage]
        return method if teacher in (self.author, NoTeacher().name) else f"{method} by {teacher}"


def read_part(work_dir: Path) -> Part:
    """Return a work folder as a part of a corpus.

    Raises:
        InputError: it contains no build, or one whose stages are not finished.
    """
    if not (work_dir / RUN).exists():
        raise InputError(f"{work_dir}: contains no build. Give work folders of dataset_builder build.")
    run = read_json(work_dir / RUN)
    unfinished = [stage.name for stage in stages_of_run(run) if not (work_dir / stage.name / MANIFEST).exists()]
    if unfinished or "shards" not in run:
        raise InputError(f"{work_dir}: its build is not finished. Run its build command again.")
    return Part(work_dir, run)
