"""Maps the labeler's words to the 28 classes (paper A, section on out-of-taxonomy labels).

The paper maps a few words outside the taxonomy by hand and drops the rest. We choose the class that is closest in
meaning, if it is closest by a margin. Raw words are always kept along with the classes. The corpus's manifest counts
words without a class.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Final

import numpy as np

from dataset_builder.filters.encoder import load_encoder
from dataset_builder.recipe import PaperMap, Resolve, Similarity
from dataset_builder.schema import RawLabel
from dataset_builder.taxonomy import EMOTIONS, LABEL_TO_INDEX, LABELS, NEUTRAL

PAPER_MAP: Final[dict[str, str]] = {"anxiety": "nervousness", "hope": "optimism", "indignation": "anger"}


def resolve(raw: Sequence[RawLabel], method: Resolve) -> list[float]:
    """Return the scores of the 28 classes, in taxonomy order. The strongest word of a class counts."""
    return class_scores(((label.label, label.score) for label in raw), lambda word: class_of(word, method))


def class_scores(weighted: Iterable[tuple[str, float]], find_class: Callable[[str], int | None]) -> list[float]:
    """Return the scores of the 28 classes from weighted words. The strongest word of a class counts."""
    scores = [0.0] * len(LABELS)
    for word, weight in weighted:
        if (index := find_class(word)) is not None:
            scores[index] = max(scores[index], weight)
    return scores


def class_of(word: str, method: Resolve) -> int | None:
    """Return the index of the class of an emotion word; None if no class is close enough."""
    if word in LABEL_TO_INDEX:
        return LABEL_TO_INDEX[word]
    if isinstance(method, PaperMap):
        return LABEL_TO_INDEX.get((PAPER_MAP | method.pairs).get(word, ""))
    return _nearest(word, method)


@cache
def _nearest(word: str, method: Similarity) -> int | None:
    best, second = np.argsort(-(found := similarities([word], method)[0]))[:2]
    # Without the margin, a word far from all classes would get the class that happens to be closest.
    return int(best) if found[best] - found[second] >= method.margin else None


def similarities(words: list[str], method: Similarity) -> np.ndarray:
    """Return the similarity of each word to the 27 emotions, (words, 27): the mean of two cosines.

    The first compares the word with "name: definition", the second "a feeling of WORD" with "a feeling of NAME".
    Neutral is left out, because it is the absence of emotion.
    """
    encode = load_encoder(method.encoder, method.wheel)
    defined, felt = _classes(method)
    return np.asarray((encode(words) @ defined.T + encode([_felt(word) for word in words]) @ felt.T) / 2)


@cache
def _classes(method: Similarity) -> tuple[np.ndarray, np.ndarray]:
    encode = load_encoder(method.encoder, method.wheel)
    emotions = EMOTIONS[:NEUTRAL]
    return (
        encode([f"{emotion.name}: {emotion.definition}" for emotion in emotions]),
        encode([_felt(emotion.name) for emotion in emotions]),
    )


def _felt(word: str) -> str:
    return f"a feeling of {word}"
