"""How the classes of other data sets sit among the 28 labels: one table, for training and for scoring.

It was fixed before any model's score on any split was looked at, from the definitions of the 28 labels and GoEmotions'
own Ekman groups alone; it is not tuned, and a change of it makes the numbers measured before incomparable.

- Training: the target of a class is the first of its labels (shame is embarrassment, guilt is remorse).
- Scoring: the score of a class is the largest score of its labels; the prediction is the class with the largest. So a
  model that knows the 28 labels and nothing of the set is scored by all that it says, and one that was fine-tuned on
  the set, whose other labels have gone to 0, by the target.

A set without a class for the rest (ISEAR) reads whole Ekman groups, less what another class has for its target. In a
set with such a class (`others`, `neu`) stances (approval, disapproval, caring, desire) are no evidence of an emotion.
EmoContext's `others` is all that is not happy, sad or angry: it reads neutral and every label that those three do not.
IEMOCAP's `neu` is what people heard as neutral, and reads neutral alone.

GoEmotions' Ekman and sentiment groups are here in the same form, for scoring; their rows have targets of their own.
So is SemEval-2018's E-c, whose rows have any number of its classes: those of the labels that its definitions name
(trust "also includes acceptance, liking, admiration").
"""

from collections.abc import Iterable
from typing import Final, Literal

import numpy as np

from dataset_builder.taxonomy import EMOTIONS, LABEL_TO_INDEX, LABELS

Bridge = dict[str, tuple[str, ...]]


def _grouped(group: Literal["ekman", "sentiment"]) -> Bridge:
    names = dict.fromkeys(getattr(emotion, group) for emotion in EMOTIONS)
    return {name: tuple(e.name for e in EMOTIONS if getattr(e, group) == name) for name in names}


_JOYS = tuple(emotion.name for emotion in EMOTIONS if emotion.ekman == "joy" and emotion.name != "joy")
_HAPPY = ("joy", "admiration", "amusement", "excitement", "gratitude", "love", "optimism", "pride", "relief")
_SAD = ("sadness", "disappointment", "grief")
_ANGRY = ("anger", "annoyance")
_OTHERS = tuple(name for name in LABELS if name != "neutral" and name not in (*_HAPPY, *_SAD, *_ANGRY))

BRIDGES: Final[dict[str, Bridge]] = {
    "goemotions": {name: (name,) for name in LABELS},
    "isear": {
        "joy": ("joy", *_JOYS),
        "fear": ("fear", "nervousness"),
        "anger": ("anger", "annoyance", "disapproval"),
        "sadness": _SAD,
        "disgust": ("disgust",),
        "shame": ("embarrassment",),
        "guilt": ("remorse",),
    },
    "emocontext": {"happy": _HAPPY, "sad": _SAD, "angry": _ANGRY, "others": ("neutral", *_OTHERS)},
    "iemocap-4": {"hap": _HAPPY, "sad": _SAD, "neu": ("neutral",), "ang": _ANGRY},
    "iemocap-6": {
        "hap": tuple(name for name in _HAPPY if name != "excitement"),
        "sad": ("sadness", "grief"),
        "neu": ("neutral",),
        "ang": ("anger",),
        "exc": ("excitement",),
        "fru": ("annoyance", "disappointment"),
    },
    "semeval2018-ec": {
        "anger": ("anger", "annoyance"),
        "anticipation": ("curiosity", "desire"),
        "disgust": ("disgust", "disapproval"),
        "fear": ("fear", "nervousness"),
        "joy": ("joy", "amusement", "excitement", "gratitude", "pride", "relief"),
        "love": ("love", "caring"),
        "optimism": ("optimism",),
        "pessimism": ("disappointment",),
        "sadness": ("sadness", "grief", "remorse"),
        "surprise": ("surprise",),
        "trust": ("admiration", "approval"),
    },
    "goemotions-ekman": _grouped("ekman"),
    "goemotions-sentiment": _grouped("sentiment"),
}
FOR_SCORING = ("semeval2018-ec", "goemotions-ekman", "goemotions-sentiment")
DOMAINS: Final[tuple[str, ...]] = tuple(name for name in BRIDGES if name not in FOR_SCORING)


def native_targets(domain: str, classes: Iterable[str]) -> list[int]:
    """The labels, as sorted indices, that a row of these classes of a domain set is trained on."""
    assert domain in DOMAINS, f"{domain} is for scoring"
    return sorted({LABEL_TO_INDEX[BRIDGES[domain][name][0]] for name in classes})


def native_scores(bridge: str, scores: np.ndarray) -> np.ndarray:
    """Scores (rows, classes) of a set's own classes, in the table's order, from scores (rows, 28) of the labels."""
    columns = [[LABEL_TO_INDEX[label] for label in labels] for labels in BRIDGES[bridge].values()]
    return np.stack([scores[:, indices].max(axis=1) for indices in columns], axis=1)
