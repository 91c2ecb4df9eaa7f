"""Real-looking replies of teachers, good and bad."""

import pytest

from dataset_builder.replies import (
    BadReply,
    check_refusal_and_echo,
    items,
    names,
    paragraph,
    scored_labels,
    sentence,
    utterances,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1. Mara\n2. Tomas", ["Mara", "Tomas"]),
        ("1) Mara\n2) Tomas", ["Mara", "Tomas"]),
        ("- Mara\n* Tomas\n• Ilse", ["Mara", "Tomas", "Ilse"]),
        ("Here are the characters:\n\n1. **Mara**\n2. `Tomas`\n\nLet me know!", ["Mara", "Tomas"]),
        ("```\n1. Mara\n2. Tomas\n```", ["Mara", "Tomas"]),
        ("Mara\nTomas", ["Mara", "Tomas"]),
        ("1. 1. Mara", ["Mara"]),
    ],
)
def test_lists_in_every_style(text: str, expected: list[str]) -> None:
    assert items(text, cut=False) == expected


def test_a_cut_list_loses_its_last_item() -> None:
    assert items("1. Mara\n2. Tom", cut=True) == ["Mara"]
    with pytest.raises(BadReply, match="cut_off"):
        items("1. Mar", cut=True)


def test_names_lose_what_explains_them() -> None:
    text = '1. Mara - the cleaner\n2. Tomas: a young man\n3. Ilse (the night manager)\n4. mara\n5. "The baker"'
    assert names(text, cut=False) == ["Mara", "Tomas", "Ilse", "The baker"]


def test_utterances_with_their_emotions() -> None:
    text = '1. [joy] "We did it!"\n2. (Anger) I told him so.\n3. fear: What was that?\n4. I go home now.'
    assert utterances(text, cut=False) == [
        ("joy", "We did it!"),
        ("anger", "I told him so."),
        ("fear", "What was that?"),
        ("", "I go home now."),
    ]


@pytest.mark.parametrize(
    ("text", "cut", "expected"),
    [
        ('"I never saw it coming,"', False, "I never saw it coming."),
        ("I never saw it coming", False, "I never saw it coming."),
        ("**I** never!", False, "I never!"),
        ("I saw it. I ran. And then the", True, "I saw it. I ran."),
    ],
)
def test_sentences(text: str, cut: bool, expected: str) -> None:
    assert sentence(text, cut) == expected


@pytest.mark.parametrize(
    ("text", "cut", "reason"), [("", False, "empty"), ('""', False, "empty"), ("I a", True, "cut_off")]
)
def test_bad_sentences(text: str, cut: bool, reason: str) -> None:
    with pytest.raises(BadReply, match=reason):
        sentence(text, cut)


def test_paragraphs() -> None:
    assert paragraph("Text: He lost it.\nShe helped.", cut=False) == "He lost it. She helped."
    assert paragraph("He lost it. She hel", cut=True) == "He lost it."
    with pytest.raises(BadReply, match="cut_off"):
        paragraph("He lost", cut=True)
    with pytest.raises(BadReply, match="empty"):
        paragraph("```\n```", cut=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1. joy: 0.8\n2. pride: 0.55\n3. longing - 0,3", {"joy": 0.8, "pride": 0.6, "longing": 0.3}),
        ("joy: 0.8, pride: 0.4", {"joy": 0.8, "pride": 0.4}),
        ("1. [Joy] (0.9)", {"joy": 0.9}),
    ],
)
def test_scored_labels(text: str, expected: dict[str, float]) -> None:
    assert {label.label: label.score for label in scored_labels(text, cut=False)} == expected


def test_labels_without_scores() -> None:
    with pytest.raises(BadReply, match="no_scores"):
        scored_labels("joy and pride", cut=False)
    with pytest.raises(BadReply, match="score_out_of_range"):
        scored_labels("joy: 1.5", cut=False)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "As an AI language model, I do not have feelings.",
        "I cannot assist with this request.",
    ],
)
def test_refusals(text: str) -> None:
    with pytest.raises(BadReply, match="refusal"):
        check_refusal_and_echo(text, "")


@pytest.mark.parametrize(
    "text",
    [
        "I can't help but smile at him.",
        "I cannot help it, I love her.",
        "I'm sorry, but I can't stay here.",
        "I can't write to him any more.",
        "I won't do this again.",
    ],
)
def test_what_characters_say_is_no_refusal(text: str) -> None:
    check_refusal_and_echo(text, "")


def test_echo_of_the_prompt() -> None:
    instructions = "Write one short sentence in the first person and do not use the word."
    with pytest.raises(BadReply, match="prompt_echo"):
        check_refusal_and_echo(f"Sure: {instructions}", instructions)
    check_refusal_and_echo("I can't believe that he would say such a thing.", instructions)
