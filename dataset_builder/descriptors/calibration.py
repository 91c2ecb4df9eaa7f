"""From log-probabilities of words to weighted descriptors: pure functions, no teacher and no label.

A teacher prefers some words whatever the text is. What is left when that is taken off is how much more probable this
text makes a word than others do: its advantage (pointwise mutual information under a geometric mean). What is usual of
a word is its mean over the run's own texts; or that of texts of the same length, since a teacher names other words
after short texts than after long ones; or its mean over texts without content. Those are neutral themselves, so that
this word takes the mean of the others' values there.
"""

from collections.abc import Sequence

import numpy as np

from dataset_builder.descriptors.recipe import Weights
from dataset_builder.schema import Descriptor

NEUTRAL = "neutral"


def usual_without_content(found: np.ndarray, words: Sequence[str]) -> np.ndarray:
    """What is usual of each word by each prompt, (prompts, words), from content-free texts (texts, prompts, words)."""
    usual = np.asarray(found.mean(axis=0))
    others = [index for index, word in enumerate(words) if word != NEUTRAL]
    if others and len(others) < len(words):
        usual[:, list(words).index(NEUTRAL)] = usual[:, others].mean(axis=1)
    return usual


def advantages(found: np.ndarray, texts: Sequence[str], without_content: np.ndarray, recipe: Weights) -> np.ndarray:
    """How far each word stands out after each text: (texts, words), each text's mean 0, averaged over the prompts.

    Args:
        found: log-probabilities, (texts, prompts, words).
        without_content: what is usual of content-free texts, (prompts, words).
    """
    if recipe.calibrated_on == "content_free":
        usual = np.broadcast_to(without_content.mean(axis=0), (len(texts), found.shape[2]))
        found = found.mean(axis=1, dtype=np.float64)
    else:
        found = found.mean(axis=1, dtype=np.float64)  # the fit is linear: that of the mean is the mean of the fits
        known = np.ones((len(texts), 1))
        if recipe.calibrated_on == "length":
            lengths = np.log([len(text.split()) for text in texts])
            known = np.stack([known[:, 0], lengths - lengths.mean()], axis=1)
        usual = known @ np.linalg.lstsq(known, found, rcond=None)[0]
    left = found - recipe.calibration * usual
    return np.asarray(left - left.mean(axis=1, keepdims=True))


def descriptors(advantage: np.ndarray, words: Sequence[str], recipe: Weights) -> list[Descriptor]:
    """The descriptors of one text, the strongest first, of equals by the alphabet; none if no word stands out.

    Args:
        advantage: that of each word, (words,).
    """
    highest = advantage.max()
    if highest < recipe.clear_at:
        return []
    weights = np.exp((advantage - highest) / recipe.temperature)
    rounded = [(round(float(weight), 3), word) for weight, word in zip(weights, words, strict=True)]
    kept = sorted((-weight, word) for weight, word in rounded if weight >= recipe.keep_at)
    return [Descriptor(text=word, weight=-weight) for weight, word in kept[: recipe.most]]


def agreement(found: np.ndarray, texts: Sequence[str], recipe: Weights) -> float:
    """Mean correlation of two prompts' advantages of one text's words: what is not noise is common to them.

    It needs no label. `found` is (texts, prompts, words), prompts at least 2; calibrated wholly on the texts in any
    case, since what a teacher always says is no agreement on a text.
    """
    if recipe.calibrated_on == "content_free":
        recipe = recipe.model_copy(update={"calibrated_on": "texts"})
    recipe = recipe.model_copy(update={"calibration": 1.0})
    each = [
        advantages(found[:, [prompt]], texts, np.zeros((1, found.shape[2])), recipe) for prompt in range(found.shape[1])
    ]
    unit = [one / np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-12) for one in each]
    pairs = [(unit[a] * unit[b]).sum(axis=1).mean() for a in range(len(unit)) for b in range(a)]
    return float(np.mean(pairs))
