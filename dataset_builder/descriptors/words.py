"""The stage for given texts: the teacher scores emotion words after each text, or writes its own descriptors.

Raw answers are stored. Calibration, averaging over prompts and the selection of words come later (calibration.py), so
that other settings need no further calls.
"""

import asyncio

from dataset_builder.descriptors.recipe import WORD_PROMPTS, TextsRecipe
from dataset_builder.pipeline.ask import Ask
from dataset_builder.pipeline.replies import descriptors
from dataset_builder.pipeline.stages import Stage
from dataset_builder.run_state import NARRATIVES
from dataset_builder.schema import Item, WordsRow

DIGITS = 3


async def run(text: Item, story: Item, ask: Ask, recipe: TextsRecipe) -> list[WordsRow]:
    """Return the text with the teacher's answer. Raises UnitRejected if it failed or wrote no list."""
    row = WordsRow(id=text.id, text=text.text, source=text.fields["source"])
    if recipe.describer == "generated":
        made = await ask.text("descriptors_generated", recipe.decoding, descriptors, text=text.text)
        return [row.model_copy(update={"written": tuple(made)})]
    found = await log_probabilities(text.text, recipe.words, recipe.prompts, ask)
    return [row.model_copy(update={"found": found})]


async def log_probabilities(
    text: str, words: tuple[str, ...], prompts: tuple[str, ...], ask: Ask
) -> tuple[tuple[float, ...], ...]:
    """Return the log-probability of each word as the next word after each prompt, (prompts, words), rounded."""
    choices = tuple(f" {word}" for word in words)
    line = " ".join(text.split())  # one line, like the examples in the prompts
    asked = [ask.scores(f"{WORD_PROMPTS}/{prompt}", choices, text=line) for prompt in prompts]
    scores = await asyncio.gather(*asked)
    return tuple(tuple(round(value, DIGITS) for value in row) for row in scores)


WORDS = Stage("words", after=NARRATIVES, reads=Item, run=run)
