import json
from pathlib import Path

import pytest

from dataset_builder.taxonomy import EMOTIONS, LABELS, NEUTRAL, VALENCE

GOEMOTIONS = Path(__file__).parent.parent.parent / "shared/data/goemotions"


def test_the_order_is_goemotions_own() -> None:
    assert len(LABELS) == 28
    assert list(LABELS[:27]) == sorted(LABELS[:27])
    assert LABELS[NEUTRAL] == "neutral"
    assert NEUTRAL == 27


def test_every_emotion_has_its_words() -> None:
    for emotion in EMOTIONS:
        assert emotion.definition.endswith(".")
        assert emotion.name.islower()
        assert VALENCE[emotion.name] in (-1, 0, 1)


@pytest.mark.skipif(not GOEMOTIONS.exists(), reason="GoEmotions' files are not here")
def test_groups_are_the_official_ones() -> None:
    assert (GOEMOTIONS / "emotions.txt").read_text().split() == list(LABELS)
    ekman = json.loads((GOEMOTIONS / "ekman_mapping.json").read_text())
    sentiment = json.loads((GOEMOTIONS / "sentiment_mapping.json").read_text())
    for emotion in EMOTIONS[:-1]:
        assert emotion.name in ekman[emotion.ekman]
        assert emotion.name in sentiment[emotion.sentiment]
