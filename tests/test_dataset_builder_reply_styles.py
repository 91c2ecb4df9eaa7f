"""Replies in the styles of many teachers: levels, tables, JSON behind a sentence, what is said around an answer."""

import pytest

from dataset_builder.pipeline.replies import descriptors, names, paragraph, scored_labels, sentence, utterances
from dataset_builder.teachers.reply_text import BadReply

TABLE = "| # | Emotion | {} |\n|---|:--|---|\n| 1 | joy | {} |\n| 2 | fear | {} |"
JSON = 'Here is the JSON:\n```json\n[{"emotion": "joy", "text": "I did it."}, {"emotion": "fear", "text": "Run!"}]\n```'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1. joy: 8/10\n2. anger: 1/10", {"joy": 0.8, "anger": 0.1}),
        ("joy: 80%\nanger: 1 %", {"joy": 0.8, "anger": 0.0}),
        ("joy: 7 out of 10", {"joy": 0.7}),
        ("joy: 0.8 / 1.0", {"joy": 0.8}),
        ("joy: 1e-3\nfear: ,5", {"joy": 0.0, "fear": 0.5}),
        (TABLE.format("Level", "0.8", "20%"), {"joy": 0.8, "fear": 0.2}),
        ("joy — 0.8\nfear → 0.2\nanger：0.3\npride 0.4", {"joy": 0.8, "fear": 0.2, "anger": 0.3, "pride": 0.4}),
        ("**1. Joy**: 0.8\n**2. Fear (of loss)**: 0.3", {"joy": 0.8, "fear": 0.3}),
        ('Sure:\n```json\n{"joy": 0.8, "fear": "10%"}\n```\nI hope it helps!', {"joy": 0.8, "fear": 0.1}),
        ('[{"emotion": "joy", "level": "8/10", "reason": "She laughs."}]', {"joy": 0.8}),
        ('{"labels": {"joy": 0.8}}', {"joy": 0.8}),
    ],
)
def test_levels_as_teachers_write_them(text: str, expected: dict[str, float]) -> None:
    assert {label.label: label.score for label in scored_labels(text, False)} == expected


@pytest.mark.parametrize("text", ["joy: -0.5", "joy: 8", "joy: 120%", "joy: 11/10"])
def test_a_level_out_of_range_is_none(text: str) -> None:
    with pytest.raises(BadReply, match="score_out_of_range"):
        scored_labels(text, False)


@pytest.mark.parametrize(
    "text",
    [
        JSON,
        TABLE.format("Utterance", "I did it.", "Run!"),
        "a) [joy] I did it.\nb) [fear] Run!",
        "Utterance 1: [Joy] I did it.\nUtterance 2: [Fear] Run!",
        "① 【joy】 “I did it.”\n② 【fear】 “Run!”",
        "1. [joy] I did it. 2. [fear] Run!",
        "**1. [joy]** I did it.\n**2. [fear]** Run!",
        '{"joy": "I did it.", "fear": "Run!"}',
        '[{"emotion": "joy", "utterance": "I did it."}, {"emotion": "fear", "says": "Run!"}]',
    ],
)
def test_utterances_lose_what_numbers_and_names_them(text: str) -> None:
    assert utterances(text, False) == [("joy", "I did it."), ("fear", "Run!")]


def test_words_outside_the_classes_are_no_part_of_what_is_said() -> None:
    assert utterances("1. Joy: I did it.\n2. Sad: Oh no.", False) == [("joy", "I did it."), ("sad", "Oh no.")]
    assert utterances("1. Joy: I did it.\n2. Well - I never.", False)[1] == ("", "Well - I never.")
    assert utterances("1. I am [almost] there.\n2. Go: now", False)[0] == ("", "I am [almost] there.")
    with pytest.raises(BadReply, match="empty"):
        utterances('[{"emotion": "joy"}]', False)


@pytest.mark.parametrize(
    "text",
    [
        "Characters: Ana, Ben",
        "The main characters are: Ana and Ben.",
        "| Name | Role |\n|---|---|\n| Ana | miller |\n| Ben | his son |",
        "**1. Ana**\n**2. Ben**\n3. None",
        'Here they are:\n["Ana", "Ben"]',
    ],
)
def test_names_in_every_style(text: str) -> None:
    assert names(text, False) == ["Ana", "Ben"]


@pytest.mark.parametrize(
    "text",
    [
        'Sure, here is the rewriting:\n\n"I did it!"\n\nI hope this helps!',
        "Sure! Here is what you asked for:\nI did it!\nNote: I removed the name.",
        '1. "I did it!"',
        'Ana: "I did it!"',
        '{"text": "I did it!"}',
        "Rewritten utterance: I did it!",
        "> I did it!",
    ],
)
def test_what_is_around_a_sentence_is_no_part_of_it(text: str) -> None:
    assert sentence(text, False) == "I did it!"
    assert paragraph('Here is the text:\n{"text": "It rained. Ana slept."}', False) == "It rained. Ana slept."


@pytest.mark.parametrize(
    "text",
    [
        "Tell me your answer: no.",
        "Here is my plan: we run.",
        "12. That is my number.",
        "Ana: I did it.",
        "OK, I hope so.",
    ],
)
def test_what_is_said_stays_whole(text: str) -> None:
    assert sentence(text, False) == text


def test_an_announcement_alone_is_no_answer() -> None:
    with pytest.raises(BadReply, match="empty"):
        sentence("Sure, here is the rewriting:", False)


@pytest.mark.parametrize(
    "text",
    [
        "Sure! The emotions are: joy, dread",
        "joy (0.8), dread (0.3)",
        'Here:\n["joy", "dread", "none"]',
        "joy, dread, None",
    ],
)
def test_descriptors_in_every_style(text: str) -> None:
    assert descriptors(text, False) == ["joy", "dread"]
