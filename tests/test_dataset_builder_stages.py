"""Every stage with replies as real teachers give them: what is read from good ones, why bad ones are rejected."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from dataset_builder.inputs import read_list
from dataset_builder.pipeline.ask import LONGEST_REPLY, Ask, UnitRejected
from dataset_builder.pipeline.stages import STAGES
from dataset_builder.pipeline.stages.utterances import NEUTRAL_ACTS, acts_of
from dataset_builder.recipe import BuildRecipe, Decoding, ScriptedTeacher
from dataset_builder.schema import (
    CharacterRow,
    Item,
    LabelledRow,
    RawLabel,
    Row,
    SituatedRow,
    Usage,
    UtteranceRow,
)
from dataset_builder.teachers.base import Reply, Request, Scores, TeacherError

STORY = Item(
    id="s",
    text="Mara lost the ring. Old Tomas helped her look for it until night.",
    fields={"title": "The Ring", "source": "tales"},
)
CHARACTER = CharacterRow(id="s/c00", narrative_id="s", source="tales", character="Mara")
UTTERANCE = UtteranceRow(
    **CHARACTER.model_dump(exclude={"id"}),
    id="s/c00/u00",
    requested_emotion="joy",
    text="I found it under the old chair!",
)
LABELLED = LabelledRow(**UTTERANCE.model_dump(), raw_labels=(RawLabel(label="joy", score=1.0),), labeler="verbalised")
CONTEXT = "Mara had looked for the ring all day. Tomas lit a lamp. She felt great joy when she saw it."
SITUATED = SituatedRow(**LABELLED.model_dump(), context=CONTEXT, context_original=CONTEXT)
RECIPE = BuildRecipe.model_validate(
    {
        "name": "x",
        "teacher": ScriptedTeacher(kind="scripted"),
        "characters": {"decoding": {"max_new_tokens": 9, "attempts": 1}},
        "utterances": {"emotional": 2, "neutral": 1, "decoding": {"max_new_tokens": 9, "attempts": 1}},
        "labels": {"labeler": "verbalised", "decoding": {"max_new_tokens": 9, "attempts": 1}},
        "descriptors": {"describer": "generated", "decoding": {"max_new_tokens": 9, "attempts": 1}},
        "situations": {name: {"max_new_tokens": 9, "attempts": 1} for name in ("context", "cleaning", "rewriting")},
    }
)
SINGLE = RECIPE.model_copy(update={"utterances": RECIPE.utterances.model_copy(update={"mode": "single"})})


class Says:
    """Gives the same reply to everything."""

    name = "says"

    def __init__(self, text: str, cut: bool = False) -> None:
        self.text, self.cut = text, cut
        self.asked: list[Request] = []

    async def generate(self, request: Request) -> Reply:
        self.asked.append(request)
        if self.text.startswith("!"):
            raise TeacherError(self.text[1:], retryable=self.text.startswith("!http_5"))
        return Reply(self.text, self.cut, Usage(calls=1))

    async def score(self, request: Request, choices: Sequence[str]) -> Scores:
        raise NotImplementedError

    async def close(self) -> None:
        pass


def run(
    stage: str, row: Row, text: str, cut: bool = False, recipe: BuildRecipe = RECIPE
) -> tuple[list[Any], Ask, Says]:
    teacher = Says(text, cut)
    ask = Ask(teacher, 1, stage, row.id, {})
    found = next(one for one in STAGES if one.name == stage)
    return list(asyncio.run(found.run(row, STORY, ask, recipe))), ask, teacher  # type: ignore[arg-type]


def reasons(ask: Ask) -> list[str]:
    return [reject.reason for reject in ask.rejected]


@pytest.mark.parametrize(
    ("reply", "characters", "rejected"),
    [
        ("1. Mara\n2. Old Tomas", ["Mara", "Old Tomas"], []),
        ("(1) Mara - who lost it\n(2) Tomas: her friend", ["Mara", "Tomas"], []),
        ("Sure! Here they are:\n\n- **Mara**\n- *Tomas*\n\nAnything else?", ["Mara", "Tomas"], []),
        ('```json\n["Mara", "Tomas"]\n```', ["Mara", "Tomas"], []),
        ('{"characters": [{"name": "Mara", "role": "loser"}, {"name": "Ben"}]}', ["Mara"], ["not_in_story"]),
        ("1. A ring\n2. The Mara", ["A ring", "The Mara"], []),
        ("Mara, Tomas and Lena", ["Mara", "Tomas"], ["not_in_story"]),
        ('1. "Mara"\n2. Lena\n3. MARA', ["Mara"], ["not_in_story"]),
        ("1. Miss Mara\n2. Mara Lindqvist\n3. Tomas's old mother", ["Miss Mara", "Mara Lindqvist"], ["not_in_story"]),
    ],
)
def test_characters(reply: str, characters: list[str], rejected: list[str]) -> None:
    rows, ask, _ = run("characters", STORY, reply)
    assert [row.character for row in rows] == characters
    assert reasons(ask) == rejected


def test_characters_whom_the_story_does_not_name() -> None:
    recipe = RECIPE.model_copy(update={"characters": RECIPE.characters.model_copy(update={"in_story": False})})
    rows, ask, _ = run("characters", STORY, "1. Lena\n2. Mara", recipe=recipe)
    assert [row.character for row in rows] == ["Lena", "Mara"]
    assert reasons(ask) == []


@pytest.mark.parametrize(
    ("reply", "cut", "reason"),
    [
        ("", False, "empty"),
        ("1. Lena\n2. Ben", False, "no_character_in_story"),
        ('["Mar', True, "cut_off"),
        ('["Mara", "Tomas"', False, "broken_json"),
        ("[]", False, "no_character_in_story"),
        ("I'm sorry, but I cannot assist with that.", False, "refusal"),
        ("Who are the characters of this story? List each one by the name or role", False, "prompt_echo"),
        ("1. Mar", True, "cut_off"),
        ("!http_500", False, "http_500"),
        ("!prompt_too_long", False, "prompt_too_long"),
    ],
)
def test_no_characters(reply: str, cut: bool, reason: str) -> None:
    with pytest.raises(UnitRejected) as error:
        run("characters", STORY, reply, cut)
    assert error.value.reason == reason


@pytest.mark.parametrize(
    ("reply", "kept", "rejected"),
    [
        (
            '1. [joy] "I found it at last!"\n2. [Fear] Who is there, I wonder?\n3. [neutral] I lock the door at nine.',
            [
                ("joy", "I found it at last!"),
                ("fear", "Who is there, I wonder?"),
                ("neutral", "I lock the door at nine."),
            ],
            [],
        ),
        (
            "1) joy: I found it at last!\n2) I could not believe it.\n3) The shop opens at nine.",
            [
                ("joy", "I found it at last!"),
                ("unnamed", "I could not believe it."),
                ("neutral", "The shop opens at nine."),
            ],
            [],
        ),
        (
            '```json\n{"utterances": [{"emotion": "joy", "text": "I found it at last!"}]}\n```',
            [("joy", "I found it at last!")],
            ["missing", "missing"],
        ),
        (
            "1. [joy] My joy is great today.\n2. [fear] Mara is running away.",
            [],
            ["label_word", "third_person", "missing"],
        ),
        (
            "1. [joy] Ich habe den Ring gefunden heute Abend.\n2. [fear] Ok.",
            [],
            ["not_english", "too_short", "missing"],
        ),
        (
            "1. [joy] I did it now.\n2. [fear] I hide here now.\n3. I go home now.\n4. I sleep in the barn.",
            [("joy", "I did it now."), ("fear", "I hide here now."), ("neutral", "I go home now.")],
            ["over_limit"],
        ),
    ],
)
def test_utterances_of_one_call(reply: str, kept: list[tuple[str, str]], rejected: list[str]) -> None:
    rows, ask, _ = run("utterances", CHARACTER, reply)
    assert [(row.requested_emotion, row.text) for row in rows] == kept
    assert reasons(ask) == rejected
    assert all(row.id.startswith("s/c00/u") for row in rows)


def test_a_cut_json_reply_loses_only_its_end() -> None:
    rows, *_ = run("characters", STORY, '{"characters": ["Mara", "Old Tomas", "Ma', cut=True)
    assert [row.character for row in rows] == ["Mara", "Old Tomas"]
    rows, *_ = run("labels", UTTERANCE, '```json\n{"joy": 0.9, "relief": 0.5, "pri', cut=True)
    assert [raw.label for raw in rows[0].raw_labels] == ["joy", "relief"]
    said = '{"utterances": [{"emotion": "joy", "text": "I did it, \\"he\\" said, now."}, {"emotion": "fear", "te'
    rows, *_ = run("utterances", CHARACTER, said, cut=True)
    assert [row.text for row in rows] == ['I did it, "he" said, now.']


def test_utterances_one_a_call() -> None:
    rows, ask, teacher = run("utterances", CHARACTER, '"I looked for it all day long, you know', recipe=SINGLE)
    assert [row.text for row in rows] == ["I looked for it all day long, you know."] * 3
    assert len({request.seed for request in teacher.asked}) == 3
    rows, ask, _ = run("utterances", CHARACTER, '"I looked for', cut=True, recipe=SINGLE)
    assert (rows, reasons(ask)) == ([], ["cut_off"] * 3)


def test_neutral_utterances_take_turns_in_speech_acts() -> None:
    known = read_list(NEUTRAL_ACTS)
    asked = RECIPE.model_copy(update={"utterances": SINGLE.utterances.model_copy(update={"neutral": 2})})
    several = [CHARACTER.model_copy(update={"id": f"s/c{index:02d}"}) for index in range(len(known) // 2)]
    acts = [act for row in several for act in acts_of(row, asked)]
    assert len(set(acts)) == len(acts), "none twice before all had their turn"
    *_, teacher = run("utterances", CHARACTER, '"I look for it here.', recipe=asked)
    assert sum(act in request.user for act in known for request in teacher.asked) == 2
    free = asked.model_copy(update={"utterances": asked.utterances.model_copy(update={"neutral_acts": False})})
    *_, teacher = run("utterances", CHARACTER, '"I look for it here.', recipe=free)
    assert not any(act in request.user for act in known for request in teacher.asked)


@pytest.mark.parametrize(
    ("reply", "labels"),
    [
        ("1. joy: 0.9\n2. relief: 0.44", {"joy": 0.9, "relief": 0.4}),
        ("Top 5:\n1. **Joy** - 0.9\n2. **Relief** - 0.4\nHope this helps!", {"joy": 0.9, "relief": 0.4}),
        ('```json\n{"joy": 0.9, "relief": "0.4"}\n```', {"joy": 0.9, "relief": 0.4}),
        ('{"labels": [{"emotion": "Joy", "level": 0.9}]}', {"joy": 0.9}),
        ("1. joy: 0.9 - the speaker is happy\n2. Relief: .4.", {"joy": 0.9, "relief": 0.4}),
        ("1. Joy [0.9]\n2. relief: 0.4 (weak)", {"joy": 0.9, "relief": 0.4}),
        ('[["joy", 0.9], ["relief", 0.4]]', {"joy": 0.9, "relief": 0.4}),
    ],
)
def test_labels(reply: str, labels: dict[str, float]) -> None:
    rows, *_ = run("labels", UTTERANCE, reply)
    assert {raw.label: raw.score for raw in rows[0].raw_labels} == labels


@pytest.mark.parametrize(
    ("reply", "cut", "reason"),
    [
        ("The sentence expresses joy and relief.", False, "no_scores"),
        ("1. joy: 9", False, "score_out_of_range"),
        ('{"joy": 9}', False, "score_out_of_range"),
        ('{"joy": 0.', True, "cut_off"),
        ('["joy", "relief"]', False, "no_scores"),
        ("1. joy: 0.", True, "cut_off"),
        ('{"joy": NaN}', False, "broken_json"),
        ('{"\\ud83d joy": 0.5}', False, "broken_json"),
        ("[" * 100_000, False, "broken_json"),
        ('{"joy": 1' + "0" * 400 + "}", False, "empty"),
    ],
)
def test_no_labels(reply: str, cut: bool, reason: str) -> None:
    with pytest.raises(UnitRejected) as error:
        run("labels", UTTERANCE, reply, cut)
    assert error.value.reason == reason


@pytest.mark.parametrize(
    ("reply", "cut", "found"),
    [
        ("Emotions: relief, quiet pride.", False, ["relief", "quiet pride"]),
        ("Emotions: Relief, relief and joy", False, ["relief", "joy"]),
        ("1. **relief**\n2. joy", False, ["relief", "joy"]),
        ('["relief", "joy"]', False, ["relief", "joy"]),
        ("Emotions: relief, joy, a feeling that nobody else could ever have", False, ["relief", "joy"]),
        ("Emotions: relief, jo", True, ["relief"]),
    ],
)
def test_descriptors(reply: str, cut: bool, found: list[str]) -> None:
    rows, *_ = run("descriptors", UTTERANCE, reply, cut)
    assert [(descriptor.text, descriptor.weight) for descriptor in rows[0].descriptors] == [(text, 1) for text in found]


@pytest.mark.parametrize(
    ("reply", "cut", "reason"),
    [
        ("Emotions:", False, "empty"),
        ("Emotions: reli", True, "cut_off"),
        ("Emotions: the sentence is about a ring that somebody lost", False, "empty"),
        ("As an AI, I have no feelings", False, "refusal"),
    ],
)
def test_no_descriptors(reply: str, cut: bool, reason: str) -> None:
    with pytest.raises(UnitRejected) as error:
        run("descriptors", UTTERANCE, reply, cut)
    assert error.value.reason == reason


def test_context() -> None:
    rows, *_ = run("context", LABELLED, "Text: Mara lost the ring.\nTomas helped her to look for it. And th", cut=True)
    assert rows[0].context == rows[0].context_original == "Mara lost the ring. Tomas helped her to look for it."


@pytest.mark.parametrize(
    ("reply", "cut", "reason"),
    [
        ("Mara", False, "too_short"),
        ("Mara lost", True, "cut_off"),
        ("瑪拉丟了戒指,湯瑪斯幫她找了一整天。 她 很 難過", False, "not_english"),
        ("He ran and he ran and he ran and he ran and he ran and he ran.", False, "repetitive"),
        ("word and " * 300, False, "too_long"),
        ("Do not say what the character feels. Tell events only, from as early as needed", False, "prompt_echo"),
    ],
)
def test_no_context(reply: str, cut: bool, reason: str) -> None:
    with pytest.raises(UnitRejected) as error:
        run("context", LABELLED, reply, cut)
    assert error.value.reason == reason


def test_cleaning() -> None:
    kept = "Mara had looked for the ring all day. Tomas lit a lamp."
    rows, *_ = run("cleaning", SITUATED, f'"{kept}"')
    assert (rows[0].context, rows[0].context_original) == (kept, CONTEXT)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (CONTEXT, "label_word"),
        ("The weather in the valley was bright and the birds were singing all morning.", "not_a_deletion"),
        ("", "empty"),
    ],
)
def test_a_situation_that_cannot_be_cleaned(reply: str, reason: str) -> None:
    with pytest.raises(UnitRejected) as error:
        run("cleaning", SITUATED, reply)
    assert error.value.reason == reason
    plain = SITUATED.model_copy(update={"context": "Mara had looked for the ring all day."})
    if reply != CONTEXT:
        rows, ask, _ = run("cleaning", plain, reply)
        assert rows[0].context == plain.context, "it names no emotion: it stays"
        assert reasons(ask) == [f"kept_original_{reason}"]


@pytest.mark.parametrize(
    ("reply", "rewritten", "rejected"),
    [
        ('"There it was, under my chair."', "There it was, under my chair.", []),
        ("**There it was**, under my chair,", "There it was, under my chair.", []),
        ('"I found it under the old chair!"', None, ["unchanged"]),
        ('"What joy it was to find it under my chair!"', None, ["label_word"]),
        ('"Mara sees a thing below the chair."', None, ["third_person"]),
        ('"', None, ["empty"]),
        ("I cannot rewrite this, I cannot assist with it.", None, ["refusal"]),
    ],
)
def test_rewriting(reply: str, rewritten: str | None, rejected: list[str]) -> None:
    rows, ask, _ = run("rewriting", SITUATED, reply)
    assert rows[0].rewritten == rewritten
    assert reasons(ask) == rejected


def test_few_shot_examples_are_shown_and_not_to_be_repeated() -> None:
    *_, teacher = run("rewriting", SITUATED, '"There it was, under my chair."')
    shots = teacher.asked[0].shots
    assert len(shots) == 3
    _, ask, _ = run("rewriting", SITUATED, shots[0][1])
    assert reasons(ask) == ["prompt_echo"]


def test_a_reply_without_an_end_is_read_so_far() -> None:
    decoding = Decoding(max_new_tokens=10)
    ask = Ask(Says("a" * (LONGEST_REPLY + 1), False), 1, "cleaning", "u", {})
    asyncio.run(ask.text("labels_verbalised", decoding, _length, text="x", emotions="x", context="", examples=True))
    assert ask.rejected == []


def _length(text: str, cut: bool) -> None:
    assert (len(text), cut) == (LONGEST_REPLY, True)
