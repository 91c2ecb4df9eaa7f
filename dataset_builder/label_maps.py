"""How the classes of other datasets map to the 28 labels: one table for training and for scoring.

It is based only on the definitions of the 28 labels and on GoEmotions' own Ekman groups, and was fixed before any model
was scored with it. Do not tune it: any change makes earlier numbers incomparable.

- Training: a row of a class gets the class's first label (shame is embarrassment, guilt is remorse).
- Scoring: a class's score is the highest score of its labels, and the class with the highest score is predicted. This
  works both for a 28-label model that never saw the set and for a model fine-tuned on it, which knows only the first
  label of each class.

In a set without a catch-all class (ISEAR), a class has its whole Ekman group, without the first labels of the other
classes. If a set has a catch-all class (`others`, `neu`), attitudes (approval, disapproval, caring, desire) count for
no emotion. EmoContext's `others` is everything that is not happy, sad or angry: neutral and all labels of no other
class. IEMOCAP's `neu` and MELD's `neutral` are what annotators heard as neutral, and have only the label neutral.
MELD's other classes are the six Ekman emotions; each has its whole group, without attitudes.

ISEAR has no neutral class: if neutral has the highest score of all 28 labels, the best of the seven classes is still
predicted. `feelings_as_neutral` (eval/measure.py) counts how often that happens.

GoEmotions' Ekman and sentiment groups have the same form, for scoring only. So does SemEval-2018 E-c, whose rows have
any number of classes: the labels that its definitions name (trust "also includes acceptance, liking, admiration").
"""

from collections.abc import Iterable
from typing import Final, Literal

import numpy as np

from dataset_builder.taxonomy import EMOTIONS, LABEL_TO_INDEX, LABELS

LabelMap = dict[str, tuple[str, ...]]


def _grouped(group: Literal["ekman", "sentiment"]) -> LabelMap:
    names = dict.fromkeys(getattr(emotion, group) for emotion in EMOTIONS)
    return {name: tuple(e.name for e in EMOTIONS if getattr(e, group) == name) for name in names}


_JOYS = tuple(emotion.name for emotion in EMOTIONS if emotion.ekman == "joy" and emotion.name != "joy")
_HAPPY = ("joy", "admiration", "amusement", "excitement", "gratitude", "love", "optimism", "pride", "relief")
_SAD = ("sadness", "disappointment", "grief")
_ANGRY = ("anger", "annoyance")
_ATTITUDES = ("approval", "disapproval", "caring", "desire")
_OTHERS = tuple(name for name in LABELS if name != "neutral" and name not in (*_HAPPY, *_SAD, *_ANGRY))

LABEL_MAPS: Final[dict[str, LabelMap]] = {
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
    "meld": {
        group: (group, *(name for name in names if name not in (group, *_ATTITUDES)))
        for group, names in _grouped("ekman").items()
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
DOMAINS: Final[tuple[str, ...]] = tuple(name for name in LABEL_MAPS if name not in FOR_SCORING)


def training_labels(domain: str, classes: Iterable[str]) -> list[int]:
    """Return sorted indices of the labels that a row with these classes is trained on."""
    assert domain in DOMAINS, f"{domain} is for scoring"
    return sorted({LABEL_TO_INDEX[LABEL_MAPS[domain][name][0]] for name in classes})


def class_scores(label_map: str, scores: np.ndarray) -> np.ndarray:
    """Return scores of a set's classes (rows, classes), in the table's order, from scores of the labels (rows, 28)."""
    columns = [[LABEL_TO_INDEX[label] for label in labels] for labels in LABEL_MAPS[label_map].values()]
    return np.stack([scores[:, indices].max(axis=1) for indices in columns], axis=1)
