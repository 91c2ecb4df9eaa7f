"""Real-looking replies of teachers, good and bad."""

import asyncio
import contextlib
import gc
import time

import pytest

from dataset_builder.pipeline.ask import Ask, usable
from dataset_builder.pipeline.replies import (
    check_refusal_and_echo,
    chosen_labels,
    descriptors,
    items,
    names,
    paragraph,
    scored_labels,
    sentence,
    utterances,
    valence,
)
from dataset_builder.recipe import Decoding
from dataset_builder.schema import Usage
from dataset_builder.teachers.base import Reply, Request
from dataset_builder.teachers.reply_text import BadReply, strip_reasoning

FIELDS = {"emotions": "- joy", "examples": True}


@pytest.mark.parametrize(
    "reply",
    [
        "1. grief: 1.0\n2. sadness: 0.9\n3. love: 0.6\n4. remorse: 0.2",
        "1. neutral: 1.0\n2. realization: 0.1\n3. approval: 0.1\n4. caring: 0.0\n5. curiosity: 0.0",
        "1. joy: 1.0\n2. excitement: 0.8\n3. gratitude: 0.6",
    ],
)
def test_labels_like_those_of_an_example_are_no_echo(reply: str) -> None:
    class Teacher:
        async def generate(self, request: Request) -> Reply:
            return Reply(reply, False, Usage())

    ask = Ask(Teacher(), 13, "labels", "u", {})  # type: ignore[arg-type]
    asked = ask.text("labels_verbalised", Decoding(max_new_tokens=60, attempts=1), scored_labels, text="x", **FIELDS)
    found = asyncio.run(asked)
    assert [f"{n}. {label.label}: {label.score}" for n, label in enumerate(found, start=1)] == reply.splitlines()


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


def test_several_names_in_one_item_are_several() -> None:
    text = "1. Lucy, Edmund and Peter\n2. Mr. Jones\n3. Susan, her sister and friend\n4. Old Tom and Mrs. Hale"
    assert names(text, cut=False) == ["Lucy", "Edmund", "Peter", "Mr. Jones", "Susan", "Old Tom", "Mrs. Hale"]


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
        ("1. joy: Expressiveness level: 0.8\n2. fear - level of 0.3", {"joy": 0.8, "fear": 0.3}),
        ("1. Nervousness, level 0.8\n2. joy with an intensity of 0.4", {"nervousness": 0.8, "joy": 0.4}),
        ("joy, level 0.8, fear, level 0.2", {"joy": 0.8, "fear": 0.2}),
        ("joy: 8/10", {"joy": 0.8}),
    ],
)
def test_scored_labels(text: str, expected: dict[str, float]) -> None:
    assert {label.label: label.score for label in scored_labels(text, cut=False)} == expected


@pytest.mark.parametrize(
    ("text", "single", "expected"),
    [
        ("Joy, quiet pride.", False, ["joy", "quiet pride"]),
        ("1. joy\n2. fear", False, ["joy", "fear"]),
        ('"fear"', True, ["fear"]),
        ("joy, fear", True, None),
        ("joy, elation", False, None),
        ("The writer feels joy.", False, None),
        ("", False, None),
    ],
)
def test_labels_of_a_closed_list(text: str, single: bool, expected: list[str] | None) -> None:
    labels = ("joy", "fear", "quiet pride")
    if expected is None:
        with pytest.raises(BadReply, match="not_in_list"):
            chosen_labels(text, False, labels, single)
    else:
        assert chosen_labels(text, False, labels, single) == expected


@pytest.mark.parametrize(("text", "expected"), [("4", 4), ("Valence: 2", 2), ("3.", 3), ("6", None), ("45", None)])
def test_a_valence(text: str, expected: int | None) -> None:
    if expected is None:
        with pytest.raises(BadReply, match="no_scores"):
            valence(text, False)
    else:
        assert valence(text, False) == expected


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
        "\"I'm sorry, but I can't assist with that.",
        "1. [joy] I'm sorry, but I can't assist with that.",
        "Sorry, but I can't assist with that request.",
        "I'm sorry, but as an AI I cannot feel.",
        "I'm just an AI, I have no mother.",
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "1. 5:30 already, and nobody came!\n2. 7.15 on the clock.",
            ["5:30 already, and nobody came!", "7.15 on the clock."],
        ),
        ("1) 10:45.\n2) 1.5 litres are gone.", ["10:45.", "1.5 litres are gone."]),
        ("1. 12. December it was.", ["12. December it was."]),
        ("5:30 already!\n7.15 on the clock.", ["5:30 already!", "7.15 on the clock."]),
        ("- 5:30 already!", ["5:30 already!"]),
        ("- 1. Mara\n- 2. Tomas", ["Mara", "Tomas"]),
        ("1. - Mara\n2. - Tomas", ["Mara", "Tomas"]),
        ("1.Mara\n2.Tomas", ["Mara", "Tomas"]),
        ("(1) Mara\n[2] Tomas", ["Mara", "Tomas"]),
        ("1.  Mara \t was here", ["Mara was here"]),
    ],
)
def test_a_list_loses_its_markers_and_no_number_of_its_texts(text: str, expected: list[str]) -> None:
    assert items(text, cut=False) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'Tis the dogs' bowl", "'Tis the dogs' bowl."),
        ("'I never saw it coming.'", "I never saw it coming."),
        ("I never saw it coming.'", "I never saw it coming."),
        ("'I never saw it", "I never saw it."),
        ("He said 'go away!'", "He said 'go away!'."),
        ("It is the dogs'", "It is the dogs'."),
        ("“‘I never!’”", "I never!"),
    ],
)
def test_apostrophes_are_no_quotation_marks(text: str, expected: str) -> None:
    assert sentence(text, cut=False) == expected


@pytest.mark.parametrize(
    "text",
    [
        "<think>\n1. joy: 0.1 is wrong.\n</think>\n\n1. Mara",
        "1. joy: 0.1 is wrong.\n</think>\n1. Mara",
        "<think></think>1. Mara",
        "<think>One.</think><think>Two.</think>1. Mara",
        "<thinking>Hm.</thinking><answer>1. Mara</answer>",
        "[THINK]Hm.[/THINK]1. Mara",
        "<seed:think>Hm.</seed:think>1. Mara",
        "◁think▷Hm.◁/think▷1. Mara",
        "<|START_THINKING|>Hm.<|END_THINKING|>1. Mara",
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>1. Mara<|return|>",
        "analysisHm, well.assistantfinal1. Mara",
        "1. Mara<|im_end|>\n<|im_start|>user\nAnd now?",
        "1. Mara</s>",
        "1. Mara",
        "1. Mara\n<think>Is that all?",
    ],
)
def test_the_answer_behind_reasoning(text: str) -> None:
    assert items(strip_reasoning(text), cut=False) == ["Mara"]


@pytest.mark.parametrize(
    "text",
    [
        "<think>\nI should list them.\n1. Mara?",
        "<think>Hm.</think>",
        "</think>\n",
        "<|channel|>analysis<|message|>1. Hm.",
    ],
)
def test_reasoning_alone_is_no_answer(text: str) -> None:
    with pytest.raises(BadReply, match="only_reasoning"):
        strip_reasoning(text)


def test_what_a_reply_may_not_hold_is_lost_alone() -> None:
    def said(text: str, cut: bool = False) -> str:
        return usable(Reply(text, cut, Usage()))

    assert said("1. Mara \ud83d and\n2. Tomas") == "1. Mara \ufffd and\n2. Tomas"
    assert said("I saw it. \ud83d", cut=True) == "I saw it. "
    assert said("I saw it. \U0001f600", cut=True) == "I saw it. \U0001f600"
    assert said("\ufeffI saw\u200b it.") == "I saw it."


@pytest.mark.parametrize(
    "text",
    [
        '[["joy", "nan"], ["fear", 0.5]]',
        '[["joy", "inf"], ["fear", 0.5]]',
        '{"joy": true, "fear": 0.5}',
        '[["<script>alert(1)</script>", 0.9], ["fear", 0.5]]',
        '[["| a |\\n# b", 0.9], ["fear", 0.5]]',
        f'[["{"j" * 1000}", 0.9], ["fear", 0.5]]',
        "fear: 0.5",
        "1. fear: 0.5\n2. " + "joy" * 100 + ": 0.9",
    ],
)
def test_levels_are_numbers_and_labels_words(text: str) -> None:
    assert [(label.label, label.score) for label in scored_labels(text, cut=False)] == [("fear", 0.5)]


def test_a_text_has_no_more_labels_than_there_can_be() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    assert len(scored_labels("\n".join(f"{a}{b}: 0.5" for a in letters for b in letters), cut=False)) == 40


REPEATED = ["`", "*", "**", "__", "**__", " ", "\n", "\t", "1.", "1. ", "- ", " -", "[", "(", "]", "a", "a ", "a: "]
REPEATED += [":", "=", ".", ")", '"', "'", " '", "<", "<think>", "</think>", "<think ", "<|", "<|channel|>", "[["]
REPEATED += ["[1,", '{"a":', "\\", '"\\', "9", "0.", ",", ", ", "; ", " and ", "i'm sorry ", "```\n", "\n ", "\u2028"]
REPEATED += ["joy: 0.1, ", "a-", "&lt;"]


@pytest.mark.parametrize("begins", ["", "1. ", '["', "1. [a", "a"])
def test_a_sign_that_is_repeated_takes_no_time(begins: str) -> None:
    """100,000 characters each, in a tenth of a second; here a fifth of them, with room for a busy machine."""
    readers = (items, names, utterances, sentence, paragraph, scored_labels, descriptors)
    for sign in REPEATED:
        text = begins + sign * (20_000 // len(sign)) + "x"
        for reader in (*readers, lambda said, cut: check_refusal_and_echo(strip_reasoning(said), "x")):
            for cut in (False, True):
                gc.disable()  # a collection takes as long as what else the process holds wants
                started = time.process_time()
                with contextlib.suppress(BadReply):
                    reader(text, cut)
                took = time.process_time() - started
                gc.enable()
                assert took < 0.25, (reader, sign, cut)
