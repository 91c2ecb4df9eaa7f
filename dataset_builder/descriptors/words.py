"""Of texts that are given: how probable emotion words are after each of them, or descriptors of the teacher's own.

What is stored is raw. Calibration, the mean over prompts and the choice of words come later (texts/weights.py), from
what is here, so that other values of theirs ask the teacher nothing.
"""

import asyncio

from dataset_builder.descriptors.recipe import FOLDER, TextsRecipe
from dataset_builder.pipeline.ask import Ask
from dataset_builder.pipeline.replies import descriptors
from dataset_builder.schema import Narrative, WordsRow

DIGITS = 3


async def run(text: Narrative, story: Narrative, ask: Ask, recipe: TextsRecipe) -> list[WordsRow]:
    """One row; a text stands here for its own story.

    Raises:
        UnitRejected: the teacher failed, or wrote nothing that is a list of descriptors.
    """
    row = WordsRow(id=text.id, text=text.text, source=text.source)
    if recipe.describer == "generated":
        made = await ask.text("descriptors_generated", recipe.decoding, descriptors, text=text.text)
        return [row.model_copy(update={"written": tuple(made)})]
    found = await log_probabilities(text.text, recipe.words, recipe.prompts, ask)
    return [row.model_copy(update={"found": found})]


async def log_probabilities(
    text: str, words: tuple[str, ...], prompts: tuple[str, ...], ask: Ask
) -> tuple[tuple[float, ...], ...]:
    """Log-probability of each word as the next one, by each prompt: (prompts, words), rounded."""
    choices = tuple(f" {word}" for word in words)
    line = " ".join(text.split())  # as the examples of the prompts
    asked = [ask.scores(f"{FOLDER}/{prompt}", choices, text=line) for prompt in prompts]
    scores = await asyncio.gather(*asked)
    return tuple(tuple(round(value, DIGITS) for value in row) for row in scores)
