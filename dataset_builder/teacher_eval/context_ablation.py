"""Evaluates whether situations matter: texts labelled with their own situation, with none, and with another text's.

If the situation carries what the text leaves out, it changes the labels, changes them more than another situation
does, and brings back the label of the corpus. Rows whose strongest label depends on the situation are marked: a test
set of these rows separates context-aware models from others.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.distance import jensenshannon

from dataset_builder.corpus import Corpus, column_faults, open_corpus
from dataset_builder.filters.deduplicate import utterance_of
from dataset_builder.hashing import stable_hash
from dataset_builder.inputs import InputError
from dataset_builder.pipeline.label_texts import label
from dataset_builder.recipe import BuildRecipe
from dataset_builder.statistics import RESAMPLES, mean_with_interval
from dataset_builder.taxonomy import LABELS
from dataset_builder.teachers import load_teacher

CONFIG = "contextual"
LEAST_SHIFT = 0.05  # bits of Jensen-Shannon divergence; below it, a change of the strongest label is only a tie
SITUATIONS = ("own", "none", "other")


@dataclass(frozen=True)
class Shifts:
    """Rows with their scores (rows, 28) in each situation: `own`, `none`, `other`."""

    rows: list[dict[str, Any]]
    scores: dict[str, np.ndarray]

    def strongest(self, situation: str) -> np.ndarray:
        """Return the strongest label of every row, -1 if it has none. Shape (rows,)."""
        scores = self.scores[situation]
        return np.asarray(np.where(scores.max(axis=1) > 0, scores.argmax(axis=1), -1))

    def divergence(self, one: str, two: str) -> np.ndarray:
        """Jensen-Shannon divergence of two situations' scores in bits, from 0 to 1; 0 if one is empty: (rows,)."""
        with np.errstate(invalid="ignore"):  # without scores: NaN
            found = jensenshannon(self.scores[one], self.scores[two], base=2, axis=1) ** 2
        return np.asarray(np.nan_to_num(found))

    def needs_context(self) -> np.ndarray:
        """Return whether the situation changes a row's strongest label, by more than a tie. Shape (rows,)."""
        changed = self.strongest("own") != self.strongest("none")
        return np.asarray(changed & (self.divergence("own", "none") >= LEAST_SHIFT))


def context_test(
    place: str | Path, recipe: BuildRecipe, rows: int, split: str = "test"
) -> tuple[Shifts, dict[str, Any]]:
    """Label a sample of a corpus's contextual rows in three situations with the recipe's teacher.

    Args:
        rows: the largest number of rows, which are drawn by hash, each original with its rewriting.

    Returns:
        the scores of each row, and the content of a result file.

    Raises:
        InputError: no contextual rows in that split, or all of one story, so that there is no other situation.
    """
    drawn = _draw(open_corpus(place), rows, split)
    others = other_contexts(drawn)
    texts = {
        "own": [_with_situation(row["text"], row["context"]) for row in drawn],
        "none": [row["text"] for row in drawn],
        "other": [_with_situation(row["text"], other) for row, other in zip(drawn, others, strict=True)],
    }
    labelled = {situation: label(texts[situation], recipe) for situation in SITUATIONS}
    answered = np.all([made.scores.any(axis=1) for made in labelled.values()], axis=0)
    if not answered.any():
        raise InputError("no row was labelled in all three situations: check the teacher.")
    found = Shifts(
        [row for row, kept in zip(drawn, answered, strict=True) if kept],
        {situation: made.scores[answered] for situation, made in labelled.items()},
    )
    return found, {
        "name": "context-test",
        "metrics": metrics(found),
        "support": len(found.rows),
        "intervals": f"95% bootstrap intervals, {RESAMPLES:,} resamples of the stories",
        "failed": {situation: made.failed for situation, made in labelled.items()},
        "split": split,
        "variants": dict(Counter(row["variant"] for row in drawn)),
        "labeler": f"{recipe.labels.labeler} by {load_teacher(recipe.teacher).name}",
        "least_move": LEAST_SHIFT,
        "seeds": [recipe.seed],
    }


def metrics(found: Shifts) -> dict[str, dict[str, float]]:
    """How often and how far labels change, and how often they match the corpus; for all rows and for each variant."""
    published = np.array([int(np.argmax(row["scores"])) for row in found.rows])
    values: dict[str, np.ndarray] = {"needs_context": found.needs_context()}
    for one, two in (("own", "none"), ("other", "none"), ("own", "other")):
        values[f"changed_{one}_{two}"] = found.strongest(one) != found.strongest(two)
        values[f"moved_{one}_{two}"] = found.divergence(one, two)
    for situation in SITUATIONS:
        values[f"as_published_{situation}"] = found.strongest(situation) == published
    stories = np.array([row["narrative_id"] for row in found.rows])
    variants = np.array([row["variant"] for row in found.rows])
    groups = {"": np.ones(len(stories), dtype=bool)}
    groups |= {f"_{variant}": variants == variant for variant in sorted(set(variants))}
    return {
        f"{name}{suffix}": mean_with_interval(row_values[group].astype(float), stories[group].tolist())
        for suffix, group in groups.items()
        for name, row_values in values.items()
    }


def marks(found: Shifts) -> list[dict[str, Any]]:
    """Return one line per row: whether it needs its situation, and how far its own and another situation shift it."""
    needs, own, other = found.needs_context(), found.divergence("own", "none"), found.divergence("other", "none")
    strongest = {situation: found.strongest(situation) for situation in SITUATIONS}
    return [
        {
            "id": row["id"],
            "needs_context": bool(needs[number]),
            "moved_by_own": round(float(own[number]), 4),
            "moved_by_other": round(float(other[number]), 4),
            **{name: LABELS[index[number]] if index[number] >= 0 else None for name, index in strongest.items()},
        }
        for number, row in enumerate(found.rows)
    ]


def other_contexts(rows: list[dict[str, Any]]) -> list[str]:
    """Return, for each row, the situation of a row of another story, drawn by hash."""
    found = []
    for row in rows:
        others = [other for other in rows if other["narrative_id"] != row["narrative_id"]]
        if not others:
            raise InputError(
                f"all sampled rows are from the story '{row['narrative_id']}', so no row can get another story's "
                "situation. Use more --rows, another --split, or a corpus whose rows name their stories."
            )
        found.append(others[stable_hash("stranger", row["id"]) % len(others)]["context"])
    return found


def _draw(corpus: Corpus, rows: int, split: str) -> list[dict[str, Any]]:
    if split not in corpus.files.get(CONFIG, {}):
        raise InputError(f"{corpus.folder}: no {CONFIG} rows in the split '{split}'.")
    if faults := column_faults(corpus, CONFIG):
        raise InputError(f"{corpus.folder}: {faults[0]}. Validate the corpus first.")
    utterances = {utterance_of(row) for row in corpus.rows(CONFIG, split, ["id", "variant"])}
    wanted = set(sorted(utterances, key=lambda text: (stable_hash("context", text), text))[: max(1, rows // 2)])
    columns = ["id", "text", "context", "variant", "narrative_id", "scores"]
    return [row for row in corpus.rows(CONFIG, split, columns) if utterance_of(row) in wanted][:rows]


def _with_situation(text: str, context: str) -> str:
    return f"{text}\nSituation: {context}"
