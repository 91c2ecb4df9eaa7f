"""Turns log-probabilities of words into weighted descriptors with pure functions, without a teacher or labels.

A teacher prefers some words regardless of the text, and other words after short texts than after long texts. A word's
advantage is its log-probability minus its usual log-probability, that is, its mean after texts of the same length
(pointwise mutual information under a geometric mean).
"""

from collections.abc import Sequence

import numpy as np

from dataset_builder.descriptors.recipe import Weights
from dataset_builder.schema import Descriptor

NEUTRAL = "neutral"


def advantages(found: np.ndarray, texts: Sequence[str], recipe: Weights) -> np.ndarray:
    """Return the advantage of each word after each text, (texts, words), averaged over prompts; a text's mean is 0.

    Args:
        found: log-probabilities, (texts, prompts, words).
    """
    found = found.mean(axis=1, dtype=np.float64)  # the fit is linear, so the fit of the mean is the mean of the fits
    lengths = np.log([len(text.split()) for text in texts])
    known = np.stack([np.ones(len(texts)), lengths - lengths.mean()], axis=1)
    usual = known @ np.linalg.lstsq(known, found, rcond=None)[0]
    left = found - recipe.calibration * usual
    return np.asarray(left - left.mean(axis=1, keepdims=True))


def descriptors(advantage: np.ndarray, words: Sequence[str], recipe: Weights) -> list[Descriptor]:
    """Return the descriptors of one text, strongest first, ties in alphabetical order; empty if no word stands out.

    Args:
        advantage: the advantage of each word, (words,).
    """
    highest = advantage.max()
    if highest < recipe.clear_at:
        return []
    weights = np.exp((advantage - highest) / recipe.temperature)
    rounded = [(round(float(weight), 3), word) for weight, word in zip(weights, words, strict=True)]
    kept = sorted((-weight, word) for weight, word in rounded if weight >= recipe.keep_at)
    return [Descriptor(text=word, weight=-weight) for weight, word in kept[: recipe.most]]


def agreement(found: np.ndarray, texts: Sequence[str], recipe: Weights) -> float:
    """Return the mean correlation of two prompts' advantages over one text's words: high values mean little noise.

    No label is needed. `found` is (texts, prompts, words), with at least 2 prompts. The usual log-probability is always
    subtracted in full, because agreement on the teacher's general preferences says nothing about a text.
    """
    recipe = recipe.model_copy(update={"calibration": 1.0})
    each = [advantages(found[:, [prompt]], texts, recipe) for prompt in range(found.shape[1])]
    unit = [one / np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-12) for one in each]
    pairs = [(unit[a] * unit[b]).sum(axis=1).mean() for a in range(len(unit)) for b in range(a)]
    return float(np.mean(pairs))
