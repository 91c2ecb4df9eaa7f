"""Stage 1: the characters of a story (paper A, Table 15, actor extraction)."""

import re
from functools import partial

from dataset_builder.pipeline.ask import Ask
from dataset_builder.pipeline.replies import names
from dataset_builder.recipe import BuildRecipe
from dataset_builder.schema import CharacterRow, Item
from dataset_builder.teachers.reply_text import BadReply


async def run(narrative: Item, story: Item, ask: Ask, recipe: BuildRecipe) -> list[CharacterRow]:
    """Return one row per listed character that the story mentions, in the order of the list.

    Raises:
        UnitRejected: no character of the list occurs in the story.
    """
    decoding = recipe.characters.decoding
    listed = await ask.text(
        "characters", decoding, partial(_parse, story=story.text), title=story.fields["title"], story=story.text
    )
    found = [name for name in listed if _occurs(name, story.text)]
    for name in listed:
        if name not in found:
            ask.reject("not_in_story", name)
    for name in found[recipe.characters.limit :]:
        ask.reject("over_limit", name)
    return [
        CharacterRow(
            id=f"{story.id}/c{index:02d}", narrative_id=story.id, source=story.fields["source"], character=name
        )
        for index, name in enumerate(found[: recipe.characters.limit])
    ]


def _parse(text: str, cut: bool, story: str) -> list[str]:
    listed = names(text, cut)
    if not any(_occurs(name, story) for name in listed):
        raise BadReply("no_character_in_story")
    return listed


def _occurs(name: str, story: str) -> bool:
    """Return whether the story contains this name or role as whole words, regardless of a leading article."""
    bare = re.sub(r"^(?:the|an?)\s+", "", name, flags=re.IGNORECASE)
    return re.search(rf"(?<!\w){re.escape(bare)}(?!\w)", story, re.IGNORECASE) is not None
