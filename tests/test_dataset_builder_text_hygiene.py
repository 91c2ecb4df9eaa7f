"""What no published text may hold: each kind is found, what is harmless is cleaned, and human text passes."""

import pytest

from dataset_builder.text_hygiene import cleaned, cleaned_row, damage_of, first_fault, row_faults, text_faults


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("I have \x00 lost.", "control_character"),
        ("I have lost \x1b[2J it.", "control_character"),
        ("I have \x7f lost.", "control_character"),
        ("I can\x92t go.", "control_character"),
        ("I have \ufffe lost.", "control_character"),
        ("I have \ud83d lost.", "lone_surrogate"),
        ("\ufeffI have lost.", "byte_order_mark"),
        ("I have\ufeff lost.", "byte_order_mark"),
        ("ï»¿I have lost.", "byte_order_mark"),
        ("I have\u200b lost.", "invisible_character"),
        ("I have \u202elost\u202c.", "invisible_character"),
        ("I have lost.\U000e0041\U000e0042", "invisible_character"),
        ("I\u200dhave lost.", "invisible_character"),
        ("I have lost\ufffd.", "replacement_character"),
        ("<think>She is sad.</think> I have lost.", "reasoning"),
        ("She is sad.</think> I have lost.", "reasoning"),
        ("I have lost. <THINKING >", "reasoning"),
        ("I have lost. <think", "reasoning"),
        ("<th\u00adink>I have lost.", "invisible_character"),
        ("<reasoning effort='low'>I have lost.", "reasoning"),
        ("[THINK]She is sad.[/THINK]I have lost.", "reasoning"),
        ("◁think▷She is sad.◁/think▷", "reasoning"),
        ("<seed:think>She is sad.", "reasoning"),
        ("&lt;think&gt;She is sad.", "reasoning"),
        ("<|channel|>analysis<|message|>She is sad.", "reasoning"),
        ("analysisThe user wants a line.assistantfinalI have lost.", "reasoning"),
        ("<|START_THINKING|>She is sad.<|END_THINKING|>", "reasoning"),
        ("<unused94>thought\nShe is sad.", "reasoning"),
        ("I have lost.<|im_end|>", "chat_token"),
        ("<|im_start|>assistant I have lost.", "chat_token"),
        ("I have lost.<|eot_id|>", "chat_token"),
        ("I have lost.<｜end▁of▁sentence｜>", "chat_token"),
        ("[INST] I have lost. [/INST]", "chat_token"),
        ("I have lost.</s>", "chat_token"),
        ("I have lost.<end_of_turn>", "chat_token"),
        ("<tool_call>I have lost.", "chat_token"),
    ],
)
def test_each_kind_is_found(text: str, fault: str) -> None:
    assert first_fault(text) == fault
    assert first_fault(f"So it is.\n{text}" if not text.startswith(("ï", "analysis")) else text) == fault


@pytest.mark.parametrize(
    "text",
    [
        "I have lost it all, again…",
        "Two lines,\nand a\ttab.",
        "[NAME] and [RELIGION] <3 <- I think > you <smile> [thinking] 1 < 2 & 3",
        "I love my family 👨\u200d👩\u200d👧 and ❤\ufe0f.",
        "Come on 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f!",
        "Crème brûlée — “quoted”, naïve ½ ©.",
        "One line\u2028and another.",
        "The assistant finally read my analysis.",
        "<|:-) is a party hat.",
    ],
)
def test_human_text_passes_and_is_not_changed(text: str) -> None:
    assert first_fault(text) is None
    assert cleaned(text) == text


def test_what_is_harmless_is_cleaned_and_nothing_else() -> None:
    assert (
        cleaned("\ufeffI\u200b have\u00ad \u202elost\u202c.\r\nAll.\x0cNext\rpage") == "I have lost.\nAll.\nNext\npage"
    )
    assert cleaned("a\x00b\ud83d") == "a\x00b\ud83d"
    assert list(text_faults("\x00\ud83d<think>")) == ["lone_surrogate", "control_character", "reasoning"]
    assert first_fault(cleaned("<th\u200bink>I have lost.")) == "reasoning"


def test_what_is_damaged_is_told_from_what_is_unwanted() -> None:
    assert damage_of("I have \ud83d lost.") == "half a character (a lone surrogate)"
    assert damage_of("I have \x00 lost.") == "the control character U+0000"
    assert damage_of("Two\nlines") is None
    assert damage_of("Two\nlines", one_line=True) == "the control character U+000A"
    assert damage_of("<think>\ufeff") is None


def test_every_text_of_a_row_is_looked_at() -> None:
    row = {
        "id": "s/c00",
        "text": "Two\nlines.",
        "character": "Ma\nra",
        "raw_labels": [{"label": "j\x00oy", "score": 0.5}],
        "descriptors": ({"text": "<think>", "weight": 1.0},),
        "own_label": ["joy\ufeff"],
        "scores": [0.1, 0.2],
        "seed": 1,
    }
    assert list(row_faults(row)) == [
        ("character", "control_character"),
        ("raw_labels", "control_character"),
        ("descriptors", "reasoning"),
        ("own_label", "byte_order_mark"),
    ]
    assert cleaned_row(row)["own_label"] == ["joy"]
    assert cleaned_row(row)["raw_labels"] == row["raw_labels"]
