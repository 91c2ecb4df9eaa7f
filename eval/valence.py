"""Valence and arousal of texts from anchor words whose values are known.

A text's valence is the mean of the anchors' values, weighted by how near the anchors are:
    v(text) = Σₖ wₖ vₖ, with w = softmaxₖ(cosine(text, anchorₖ) / τ) and τ the model's temperature; it is in [-1, 1].
Arousal is computed in the same way. Nothing is fitted, so no rated text is used.

Anchors: the 28 labels with the value of their sentiment group (GoEmotions: positive 1, negative -1, ambiguous and
neutral 0), or Russell's 28 words at their angles on the circle of affect (1980, Journal of Personality and Social
Psychology 39: pleasure is 0°, arousal 90°): valence is the cosine of the angle, arousal its sine.
"""

import numpy as np
from scipy.special import softmax

from dataset_builder.taxonomy import VALENCE
from eval.models import BiEncoder

ANGLES = {
    "happy": 7.8, "delighted": 24.9, "excited": 48.6, "astonished": 69.8, "aroused": 73.8, "tense": 92.8,
    "alarmed": 96.5, "angry": 99.0, "afraid": 116.0, "annoyed": 123.0, "distressed": 138.0, "frustrated": 141.0,
    "miserable": 188.7, "sad": 207.5, "gloomy": 209.0, "depressed": 210.0, "bored": 242.0, "droopy": 256.6,
    "tired": 267.7, "sleepy": 271.9, "calm": 316.2, "relaxed": 318.0, "satisfied": 319.0, "at ease": 321.0,
    "content": 323.0, "serene": 328.6, "glad": 349.0, "pleased": 353.2,
}  # fmt: skip
Anchors = dict[str, float]
TAXONOMY: Anchors = {name: float(value) for name, value in VALENCE.items()}
CIRCLE_VALENCE: Anchors = {word: float(np.cos(np.radians(angle))) for word, angle in ANGLES.items()}
CIRCLE_AROUSAL: Anchors = {word: float(np.sin(np.radians(angle))) for word, angle in ANGLES.items()}


def weighted_mean(cosines: np.ndarray, values: np.ndarray, temperature: float) -> np.ndarray:
    """Return values (texts,) of texts from cosines (texts, anchors) and the anchors' values (anchors,)."""
    return np.asarray(softmax(cosines / temperature, axis=1) @ values)


def values_by_anchors(model: BiEncoder, embedded: np.ndarray, anchors: Anchors = TAXONOMY) -> np.ndarray:
    """Return values (texts,) in [-1, 1] of embedded texts (texts, size): by default their valence."""
    cosines = embedded @ model.embed_labels(list(anchors)).T
    return weighted_mean(cosines, np.array(list(anchors.values())), model.temperature)
