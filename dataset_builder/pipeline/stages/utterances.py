"""Stage 2: what a character thinks aloud (paper A, Table 15: 8 emotional and 2 neutral utterances in one call)."""

import asyncio
from functools import partial
from pathlib import Path

from dataset_builder.filters.validate import check_label_word, check_utterance
from dataset_builder.hashing import stable_hash
from dataset_builder.inputs import read_list
from dataset_builder.pipeline.ask import Ask, UnitRejected, emotion_list
from dataset_builder.pipeline.replies import sentence, utterances
from dataset_builder.recipe import BuildRecipe
from dataset_builder.schema import UNNAMED, CharacterRow, Item, UtteranceRow
from dataset_builder.taxonomy import EMOTIONS, LABELS
from dataset_builder.teachers.reply_text import BadReply

MadeUtterance = tuple[int, str, str]  # its place among those asked for, the requested emotion, the text
NEUTRAL_ACTS = Path(__file__).parents[2] / "vocabulary" / "neutral_acts.txt"


async def run(row: CharacterRow, story: Item, ask: Ask, recipe: BuildRecipe) -> list[UtteranceRow]:
    """The character's utterances; those that fail a check are rejected one by one."""
    made = await (_one_call if recipe.utterances.mode == "list" else _one_call_each)(row, story, ask, recipe)
    known = {"narrative_id": row.narrative_id, "source": row.source, "character": row.character}
    return [
        UtteranceRow(id=f"{row.id}/u{index:02d}", requested_emotion=emotion, text=text, **known)
        for index, emotion, text in made
    ]


def neutral_acts() -> tuple[str, ...]:
    """The speech acts of vocabulary/neutral_acts.txt, in their order."""
    return read_list(NEUTRAL_ACTS)


def acts_of(row: CharacterRow, recipe: BuildRecipe) -> list[str]:
    """The speech acts of a character's neutral utterances, "" where the recipe wants none.

    The list is turned by the story and gone through by its characters in order: an act comes again, in a story, only
    after all others.
    """
    wanted, acts = recipe.utterances.neutral, neutral_acts()
    if not recipe.utterances.neutral_acts:
        return [""] * wanted
    number = int(row.id.rpartition("/c")[2])
    start = stable_hash(recipe.seed, "neutral acts", row.narrative_id) + number * wanted
    return [acts[(start + index) % len(acts)] for index in range(wanted)]


async def _one_call(row: CharacterRow, story: Item, ask: Ask, recipe: BuildRecipe) -> list[MadeUtterance]:
    asked = recipe.utterances
    made = await ask.text(
        "utterances_list",
        asked.decoding,
        utterances,
        title=story.fields["title"],
        story=story.text,
        character=row.character,
        emotions=emotion_list(neutral=False),
        emotional=asked.emotional,
        neutral=asked.neutral,
        acts=[act for act in acts_of(row, recipe) if act],
    )
    kept: list[MadeUtterance] = []
    wanted = asked.emotional + asked.neutral
    for index, (emotion, text) in enumerate(made):
        reason = _fault(text, emotion, row.character, recipe)
        if index >= wanted:
            reason = "over_limit"
        elif not emotion:  # the list's order says which were to be neutral
            emotion = "neutral" if index >= asked.emotional else UNNAMED
        if reason:
            ask.reject(reason, text, part=f"u{index:02d}")
        else:
            kept.append((index, emotion, text))
    for index in range(len(made), wanted):
        ask.reject("missing", "", part=f"u{index:02d}")
    return kept


async def _one_call_each(row: CharacterRow, story: Item, ask: Ask, recipe: BuildRecipe) -> list[MadeUtterance]:
    asked = recipe.utterances
    emotional = [emotion for emotion in EMOTIONS if emotion.name != "neutral"]
    emotional.sort(key=lambda emotion: stable_hash(recipe.seed, "emotion", row.id, emotion.name))
    wanted = [(emotion, "") for emotion in emotional[: asked.emotional]]
    wanted += [(EMOTIONS[-1], act) for act in acts_of(row, recipe)]

    async def one(index: int) -> MadeUtterance | None:
        emotion, act = wanted[index]
        try:
            text = await ask.text(
                "utterances_single",
                asked.decoding,
                partial(_parse_one, emotion=emotion.name, character=row.character, recipe=recipe),
                part=f"u{index:02d}",
                stop=('"', "\n"),
                title=story.fields["title"],
                story=story.text,
                character=row.character,
                emotion=emotion.name,
                definition=emotion.definition,
                act=act,
            )
        except UnitRejected as rejected:
            ask.reject(rejected.reason, rejected.text, part=f"u{index:02d}")
            return None
        return index, emotion.name, text

    made = await asyncio.gather(*(one(index) for index in range(len(wanted))))
    return [utterance for utterance in made if utterance]


def _parse_one(text: str, cut: bool, emotion: str, character: str, recipe: BuildRecipe) -> str:
    said = sentence(text, cut)
    if reason := _fault(said, emotion, character, recipe):
        raise BadReply(reason)
    return said


def _fault(text: str, emotion: str, character: str, recipe: BuildRecipe) -> str | None:
    named = [emotion] if emotion in LABELS else []
    return check_utterance(text, character, recipe.quality) or check_label_word(text, named, recipe.quality)
