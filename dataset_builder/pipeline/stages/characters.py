"""Stage 1: the characters of a story (paper A, Table 15, actor extraction)."""

import re
from functools import partial

from dataset_builder.pipeline.ask import Ask
from dataset_builder.pipeline.replies import names
from dataset_builder.recipe import BuildRecipe
from dataset_builder.schema import CharacterRow, Item
from dataset_builder.teachers.reply_text import BadReply

# An article, and titles: longer ones first.
_BEFORE_NAME = re.compile(
    r"^(?:(?:the|an?|mrs?|ms|miss|mx|dr|doctor|prof|professor|sir|madam|madame|lady|lord|captain|capt|colonel|col|major"
    r"|sergeant|sgt|lieutenant|lt|officer|detective|inspector|father|fr|brother|sister|st|saint|uncle|aunt|king|queen"
    r"|prince|princess|count|countess|judge|reverend|rev)\b\.?\s+)+",
    re.IGNORECASE,
)


async def run(narrative: Item, story: Item, ask: Ask, recipe: BuildRecipe) -> list[CharacterRow]:
    """Return one row per listed character that the story mentions (`characters.in_story`), in the order of the list.

    Raises:
        UnitRejected: no character of the list occurs in the story.
    """
    decoding = recipe.characters.decoding
    listed = await ask.text(
        "characters",
        decoding,
        partial(_parse, story=story.text if recipe.characters.in_story else None),
        title=story.fields["title"],
        story=story.text,
    )
    found = [name for name in listed if not recipe.characters.in_story or _occurs(name, story.text)]
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


def _parse(text: str, cut: bool, story: str | None) -> list[str]:
    listed = names(text, cut)
    if story is not None and not any(_occurs(name, story) for name in listed):
        raise BadReply("no_character_in_story")
    return listed


def _occurs(name: str, story: str) -> bool:
    """Return whether the story contains this name or role, as people write names: with or without an article or title.

    "Mr. Jones" is in a story of "Jones", and "Elizabeth Bennet" in one of "Elizabeth" or "Miss Bennet".
    """
    bare = _BEFORE_NAME.sub("", name)
    # A name of several capitalised words may be shortened to one of them; a role ("old miller") may not.
    parts = bare.split()
    short = parts if all(part[0].isupper() for part in parts) else []
    return any(
        re.search(rf"(?<!\w){re.escape(form)}(?!\w)", story, re.IGNORECASE)
        for form in dict.fromkeys([name, bare, *(part for part in short if len(part) > 2)])
        if form
    )
