"""Phrases: which n-grams they are, how they score, which descriptors a text gets from them."""

from pathlib import Path

import numpy as np
import pytest

from dataset_builder.descriptors import phrases
from dataset_builder.descriptors.embed import embed
from dataset_builder.descriptors.phrases import find_phrases, phrase_scores, text_scores, word_ngrams, z_scores
from dataset_builder.descriptors.recipe import Cues


def test_tokens_are_words_marks_and_emoji() -> None:
    tokens = {"oh", "no", "don't", "!!!", "really", "??", "😂", "times"}
    assert word_ngrams("Oh no, [NAME] don’t!!! Really?? 😂 42 times", 1) == tokens


def test_phrases_are_ngrams_that_texts_share_and_not_of_function_words_alone() -> None:
    texts = ["I am so sorry!", "so sorry for you", "I am here !", "thx", "thx 😂", "😂"]
    found = find_phrases(texts, Cues(in_texts=(2, 2)))
    assert found == ["am", "i", "so", "so sorry", "sorry", "thx", "😂"], "neither 'i am' nor '!'"
    assert find_phrases(texts, Cues(in_texts=(3,))) == []


def test_a_phrase_that_fits_every_word_scores_nothing() -> None:
    values = np.array([[9.0, 9.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    found = z_scores(values)
    assert found[0] == pytest.approx([0, 0])
    assert found[1, 0] == pytest.approx(-found[1, 1])
    assert found[1, 0] > 0


def test_a_text_scores_as_its_strongest_phrase() -> None:
    recipe = Cues(in_texts=(1, 1), clear_at=2, full_at=4, most=2)
    scores = np.array([[3.0, 0.0, -1.0], [5.0, 2.5, 1.0], [0.0, 1.0, 0.0]])
    words, known = ["joy", "relief", "neutral"], ["glad", "so glad", "then"]
    found = text_scores(scores, known, ["So glad!", "glad", "then", "nothing of it"], None, recipe)
    assert found.tolist() == [[5, 2.5, 1], [3, 0, -1], [0, 1, 0], [0, 0, 0]]
    made = [[(one.text, one.weight) for one in phrases.descriptors(row, words, recipe)] for row in found]
    assert made == [[("joy", 1.0), ("relief", 0.25)], [("joy", 0.5)], [], []]


def test_the_whole_text_scores_too() -> None:
    draw = np.random.default_rng(0)
    scores, similar = draw.normal(size=(1, 3)), draw.normal(size=(4, 3))
    found = text_scores(scores, ["glad"], ["glad", "x", "y", "z"], similar, Cues(whole=2))
    assert found[0] == pytest.approx(scores[0] + 2 * z_scores(similar)[0], abs=1e-6)
    assert found[1:] == pytest.approx(2 * z_scores(similar)[1:], abs=1e-6)


def test_texts_are_embedded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def encode(texts: list[str]) -> np.ndarray:
        if "bad" in texts:
            raise InterruptedError
        asked.append(texts)
        return np.array([[len(text), 1.0] for text in texts])

    monkeypatch.setattr("dataset_builder.descriptors.embed.PIECE", 2)
    with pytest.raises(InterruptedError):
        embed(["a", "bb", "ccc", "bad"], "an encoder", encode, tmp_path)
    assert embed(["a", "bb", "ccc", "dddd", "e"], "an encoder", encode, tmp_path)[:, 0].tolist() == [1, 2, 3, 4, 1]
    assert asked == [["a", "bb"], ["ccc", "dddd"], ["e"]], "what a run that broke off has encoded is kept"
    assert embed(["new", "e", "new", "a"], "an encoder", encode, tmp_path)[:, 0].tolist() == [3, 1, 3, 1]
    assert asked[3:] == [["new"]], "of another list only what is new"
    embed(["a", "bb"], "another encoder", encode, tmp_path)
    assert len(asked) == 5


def test_the_encoder_has_its_share() -> None:
    draw = np.random.default_rng(0)
    teachers, similar = draw.normal(size=(5, 3)), draw.normal(size=(5, 3))
    mixed = phrase_scores(teachers, similar, Cues(encoder_share=0.25))
    assert mixed == pytest.approx(0.75 * z_scores(teachers) + 0.25 * z_scores(similar))
    assert phrase_scores(teachers, None, Cues()) == pytest.approx(z_scores(teachers))


def test_weights_must_rise_and_a_label_has_its_place() -> None:
    with pytest.raises(ValueError, match=r"has no {word}"):
        Cues(label="I feel")
    with pytest.raises(ValueError, match=r"full_at 1\.0 must be above"):
        Cues(clear_at=2, full_at=1)
