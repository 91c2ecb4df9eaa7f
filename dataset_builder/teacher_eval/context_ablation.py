"""Does the situation matter? The same text labelled with its own situation, with none, and with another text's.

A situation that carries what the text leaves out moves the labels, moves them more than a stranger's does in the right
direction, and brings back the label that the corpus gives the row. Rows whose strongest label is another one with the
situation are marked as needing it: a test set of those tells context-aware models from others.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.corpus import Corpus, column_faults, open_corpus
from dataset_builder.filters.deduplicate import utterance_of
from dataset_builder.hashing import stable_hash
from dataset_builder.inputs import InputError
from dataset_builder.recipe import BuildRecipe
from dataset_builder.statistics import RESAMPLES, mean_with_interval
from dataset_builder.taxonomy import LABELS
from dataset_builder.teacher_eval.labelers import label
from dataset_builder.teachers import load_teacher

CONFIG = "contextual"
LEAST_MOVE = 0.05  # Jensen-Shannon divergence in bits under which another strongest label is a tie's accident
TINY = 1e-12
SITUATIONS = ("own", "none", "other")


@dataclass(frozen=True)
class Moves:
    """Rows with their scores (rows, 28) in each situation: `own`, `none`, `other`."""

    rows: list[dict[str, Any]]
    scores: dict[str, np.ndarray]

    def strongest(self, situation: str) -> np.ndarray:
        """The strongest class of every row, -1 where the labeler gave none. Shape (rows,)."""
        scores = self.scores[situation]
        found: np.ndarray = np.where(scores.max(axis=1) > 0, scores.argmax(axis=1), -1)
        return found

    def moved(self, one: str, two: str) -> np.ndarray:
        """Jensen-Shannon divergence of two situations' scores, in bits, 0 to 1; 0 where one is empty. Shape (rows,)."""
        a, b = (
            scores / np.maximum(scores.sum(axis=1, keepdims=True), TINY)
            for scores in (self.scores[one], self.scores[two])
        )
        middle = (a + b) / 2
        both = a.any(axis=1) & b.any(axis=1)
        found: np.ndarray = np.where(both, _entropy(middle) - (_entropy(a) + _entropy(b)) / 2, 0.0)
        return found

    def needs_context(self) -> np.ndarray:
        """Whether the situation changes a row's strongest label, and not by a hair. Shape (rows,)."""
        found: np.ndarray = self.strongest("own") != self.strongest("none")
        return found & (self.moved("own", "none") >= LEAST_MOVE)


def context_test(
    place: str | Path, recipe: BuildRecipe, rows: int, split: str = "test"
) -> tuple[Moves, dict[str, Any]]:
    """Label a sample of a corpus' contextual rows in three situations by the recipe's teacher.

    Args:
        rows: at most so many, whole pairs of original and rewritten, drawn by hash.

    Returns:
        what was found for each row, and a result file's content.

    Raises:
        InputError: no contextual rows in that split, or all of one story, so that nobody has another's situation.
    """
    corpus = open_corpus(place)
    drawn = _draw(corpus, rows, split)
    others = _strangers(drawn)
    texts = {
        "own": [_situated(row["text"], row["context"]) for row in drawn],
        "none": [row["text"] for row in drawn],
        "other": [_situated(row["text"], other) for row, other in zip(drawn, others, strict=True)],
    }
    labelled = {situation: label(texts[situation], recipe) for situation in SITUATIONS}
    answered = np.all([made.scores.any(axis=1) for made in labelled.values()], axis=0)
    if not answered.any():
        raise InputError("no row was labelled in all three situations: see to the teacher.")
    found = Moves(
        [row for row, kept in zip(drawn, answered, strict=True) if kept],
        {situation: made.scores[answered] for situation, made in labelled.items()},
    )
    return found, {
        "name": "context-test",
        "metrics": metrics(found),
        "support": len(found.rows),
        "intervals": f"95 % bootstrap intervals, {RESAMPLES:,} resamples of the stories",
        "failed": {situation: made.failed for situation, made in labelled.items()},
        "split": split,
        "variants": dict(Counter(row["variant"] for row in drawn)),
        "labeler": f"{recipe.labels.labeler} by {load_teacher(recipe.teacher).name}",
        "least_move": LEAST_MOVE,
        "seeds": [recipe.seed],
    }


def metrics(found: Moves) -> dict[str, dict[str, float]]:
    """How often and how far labels move, and how often they are the corpus' own; with intervals by stories."""
    variants = np.array([row["variant"] for row in found.rows])
    published = np.array([int(np.argmax(row["scores"])) for row in found.rows])
    of_rows: dict[str, np.ndarray] = {"needs_context": found.needs_context().astype(float)}
    for one, two in (("own", "none"), ("other", "none"), ("own", "other")):
        of_rows[f"changed_{one}_{two}"] = (found.strongest(one) != found.strongest(two)).astype(float)
        of_rows[f"moved_{one}_{two}"] = found.moved(one, two)
    for situation in SITUATIONS:
        of_rows[f"as_published_{situation}"] = (found.strongest(situation) == published).astype(float)
    stories = [row["narrative_id"] for row in found.rows]
    whole = {name: mean_with_interval(values, stories) for name, values in of_rows.items()}
    for variant in sorted(set(variants)):
        mine = variants == variant
        there = [story for story, kept in zip(stories, mine, strict=True) if kept]
        whole |= {f"{name}_{variant}": mean_with_interval(values[mine], there) for name, values in of_rows.items()}
    return whole


def marks(found: Moves) -> list[dict[str, Any]]:
    """A line for each row: whether it needs its situation, and how far own and strange situations move it."""
    needs, own, other = found.needs_context(), found.moved("own", "none"), found.moved("other", "none")
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


def _draw(corpus: Corpus, rows: int, split: str) -> list[dict[str, Any]]:
    if split not in corpus.files.get(CONFIG, {}):
        raise InputError(f"{corpus.folder}: no {CONFIG} rows in the split '{split}'.")
    columns = ["id", "text", "context", "variant", "narrative_id", "scores"]
    if faults := column_faults(corpus, CONFIG):
        raise InputError(f"{corpus.folder}: {faults[0]}. Validate the corpus first.")
    texts = {utterance_of(row) for row in corpus.rows(CONFIG, split, ["id", "variant"])}
    order = sorted((stable_hash("context", text), text) for text in texts)
    wanted = {text for _, text in order[: max(1, rows // 2)]}
    return [row for row in corpus.rows(CONFIG, split, columns) if utterance_of(row) in wanted][:rows]


def _strangers(rows: list[dict[str, Any]]) -> list[str]:
    """For each row the situation of a row of another story, drawn by hash."""
    found = []
    for row in rows:
        others = [other for other in rows if other["narrative_id"] != row["narrative_id"]]
        if not others:
            raise InputError(
                f"all sampled rows are of the story '{row['narrative_id']}': none has another's situation. Take more "
                "--rows, another --split, or a corpus whose rows name their stories."
            )
        found.append(others[stable_hash("stranger", row["id"]) % len(others)]["context"])
    return found


def _situated(text: str, context: str) -> str:
    """What a labeler reads: the text, then the situation."""
    return f"{text}\nSituation: {context}"


def _entropy(distributions: np.ndarray) -> np.ndarray:
    """Entropy of each row in bits."""
    found: np.ndarray = -(distributions * np.log2(np.maximum(distributions, TINY))).sum(axis=1)
    return found
