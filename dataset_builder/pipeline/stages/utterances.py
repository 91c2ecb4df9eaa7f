"""Stage 2: writes the utterances of a character (paper A, Table 15: 8 emotional and 2 neutral ones in one call)."""

import asyncio
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

MadeUtterance = tuple[int, str, str]  # index among the requested utterances, requested emotion, text
NEUTRAL_ACTS = Path(__file__).parents[2] / "vocabulary" / "neutral_acts.txt"


async def run(row: CharacterRow, story: Item, ask: Ask, recipe: BuildRecipe) -> list[UtteranceRow]:
    """Return the character's utterances. An utterance that fails a check is rejected alone."""
    made = await (_one_list if recipe.utterances.mode == "list" else _one_by_one)(row, story, ask, recipe)
    known = {"narrative_id": row.narrative_id, "source": row.source, "character": row.character}
    return [
        UtteranceRow(id=f"{row.id}/u{index:02d}", requested_emotion=emotion, text=text, **known)
        for index, emotion, text in made
    ]


def acts_of(row: CharacterRow, recipe: BuildRecipe) -> list[str]:
    """Return the speech acts of a character's neutral utterances, "" if the recipe sets none.

    Each story starts at a position in the list that depends on its id, and its characters continue from there: within a
    story, an act is repeated only after all others.
    """
    wanted, acts = recipe.utterances.neutral, read_list(NEUTRAL_ACTS)
    if not recipe.utterances.neutral_acts:
        return [""] * wanted
    number = int(row.id.rpartition("/c")[2])
    start = stable_hash(recipe.seed, "neutral acts", row.narrative_id) + number * wanted
    return [acts[(start + index) % len(acts)] for index in range(wanted)]


async def _one_list(row: CharacterRow, story: Item, ask: Ask, recipe: BuildRecipe) -> list[MadeUtterance]:
    asked = recipe.utterances
    made = await ask.text(
        "utterances_list",
        asked.decoding,
        utterances,
        title=story.fields["title"],
        story=story.text,
        character=row.character,
        emotions=emotion_list(neutral=False),
        unnamed=not recipe.quality.label_words,
        emotional=asked.emotional,
        neutral=asked.neutral,
        acts=[act for act in acts_of(row, recipe) if act],
    )
    kept: list[MadeUtterance] = []
    wanted = asked.emotional + asked.neutral
    for index, (emotion, text) in enumerate(made):
        reason = "over_limit" if index >= wanted else _fault(text, emotion, row.character, recipe)
        if reason:
            ask.reject(reason, text, part=f"u{index:02d}")
        else:  # if no emotion is named, the position in the list decides whether the utterance is neutral
            kept.append((index, emotion or ("neutral" if index >= asked.emotional else UNNAMED), text))
    for index in range(len(made), wanted):
        ask.reject("missing", "", part=f"u{index:02d}")
    return kept


async def _one_by_one(row: CharacterRow, story: Item, ask: Ask, recipe: BuildRecipe) -> list[MadeUtterance]:
    asked = recipe.utterances
    emotional = [emotion for emotion in EMOTIONS if emotion.name != "neutral"]
    emotional.sort(key=lambda emotion: stable_hash(recipe.seed, "emotion", row.id, emotion.name))
    wanted = [(emotion, "") for emotion in emotional[: asked.emotional]]
    wanted += [(EMOTIONS[-1], act) for act in acts_of(row, recipe)]

    async def one(index: int) -> list[MadeUtterance]:
        emotion, act = wanted[index]

        def parse(reply: str, cut: bool) -> str:
            text = sentence(reply, cut)
            if reason := _fault(text, emotion.name, row.character, recipe):
                raise BadReply(reason)
            return text

        try:
            text = await ask.text(
                "utterances_single",
                asked.decoding,
                parse,
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
            return []
        return [(index, emotion.name, text)]

    made = await asyncio.gather(*(one(index) for index in range(len(wanted))))
    return [utterance for found in made for utterance in found]


def _fault(text: str, emotion: str, character: str, recipe: BuildRecipe) -> str | None:
    named = [emotion] if emotion in LABELS else []
    return check_utterance(text, character, recipe.quality) or check_label_word(text, named, recipe.quality)
