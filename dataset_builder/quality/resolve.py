"""From the labeler's words to the 28 classes (paper A, section on out-of-taxonomy labels).

The paper sends frequent words outside the taxonomy to the nearest class by a small hand-made map and drops the rest;
these are the pairs of it that are known. Raw words are always kept beside the resolved ones.
"""

from collections.abc import Sequence
from typing import Final

from dataset_builder.schema import RawLabel
from dataset_builder.taxonomy import LABEL_TO_INDEX, LABELS

PAPER_MAP: Final[dict[str, str]] = {"anxiety": "nervousness", "hope": "optimism", "indignation": "anger"}


def class_of(word: str) -> int | None:
    """Index of the class that takes this emotion word, or None when none does."""
    return LABEL_TO_INDEX.get(PAPER_MAP.get(word, word))


def resolve(raw: Sequence[RawLabel]) -> list[float]:
    """Scores of the 28 classes, in taxonomy order; of two words for one class the stronger counts."""
    scores = [0.0] * len(LABELS)
    for label in raw:
        index = class_of(label.label)
        if index is not None:
            scores[index] = max(scores[index], label.score)
    return scores
