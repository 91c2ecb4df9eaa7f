"""What story-first order is worth: the embedded teacher asked about several stories, in order and shuffled."""

import asyncio
import random
import time
from typing import Any

from dataset_builder.narratives import read_narratives
from dataset_builder.pipeline.ask import Ask
from dataset_builder.pipeline.stages import utterances
from dataset_builder.recipe import BuildRecipe, EmbeddedTeacher, Narratives
from dataset_builder.schema import CharacterRow, Usage
from dataset_builder.teachers.embedded import Embedded

QUESTIONS = 6  # a story
BATCH = 6
KEPT = 3  # stories in the cache


def measure(recipe: BuildRecipe, stories: int = 12, rounds: int = 2) -> dict[str, Any]:
    """Tokens from the cache and wall time of the same questions, story by story and shuffled, in turns.

    Each order has a teacher of its own, with an empty cache, that holds fewer stories than there are, as an engine's
    does at full size.
    """
    assert isinstance(recipe.teacher, EmbeddedTeacher), "the recipe's teacher must be embedded"
    tales = read_narratives(Narratives(limit=stories))
    asked = [(tale, number) for tale in tales for number in range(QUESTIONS)]
    seconds: dict[str, list[float]] = {"story_first": [], "shuffled": []}
    usages: dict[str, Usage] = {}
    for round_ in range(rounds):
        for order in seconds:
            wanted = asked if order == "story_first" else random.Random(round_).sample(asked, len(asked))
            teacher = Embedded(recipe.teacher.model_copy(update={"batch_size": BATCH, "kept_beginnings": KEPT}))
            usage, spent = asyncio.run(_ask(teacher, recipe, wanted))
            seconds[order].append(spent)
            usages[order] = usage
    shares = {order: usage.cached_tokens / usage.prompt_tokens for order, usage in usages.items()}
    best = {order: min(found) for order, found in seconds.items()}
    return {
        "name": "builder-prefix",
        "metrics": {
            "cached_share_story_first": {"value": round(shares["story_first"], 3)},
            "cached_share_shuffled": {"value": round(shares["shuffled"], 3)},
            "seconds_story_first": {"value": round(best["story_first"], 1)},
            "seconds_shuffled": {"value": round(best["shuffled"], 1)},
            "speed_up": {"value": round(best["shuffled"] / best["story_first"], 2)},
            "prompt_tokens": {"value": usages["story_first"].prompt_tokens},
        },
        "support": len(asked),
        "teacher": teacher.name,
    }


async def _ask(teacher: Embedded, recipe: BuildRecipe, asked: list[tuple[Any, int]]) -> tuple[Usage, float]:
    """Ask in batches of neighbours; the first question of all, which loads the model, is not timed."""
    usage = Usage()
    single = recipe.utterances.model_copy(update={"mode": "single", "emotional": 1, "neutral": 0})
    recipe = recipe.model_copy(update={"utterances": single})

    async def one(tale: Any, number: int) -> None:
        row = CharacterRow(
            id=f"{tale.id}/c{number:02d}", narrative_id=tale.id, source="tales", character="the narrator"
        )
        ask = Ask(teacher, recipe.seed, "utterances", row.id, {})
        await utterances.run(row, tale, ask, recipe)  # what it says does not matter here
        usage.add(ask.usage)

    await teacher.load()
    started = time.monotonic()
    for start in range(0, len(asked), BATCH):
        await asyncio.gather(*(one(*question) for question in asked[start : start + BATCH]))
    return usage, time.monotonic() - started
