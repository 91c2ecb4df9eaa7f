"""Stage 4: writes the situation of an utterance (paper A, Table 15), for a share of the utterances."""

from functools import partial

from dataset_builder.filters.validate import check_context
from dataset_builder.hashing import is_drawn
from dataset_builder.pipeline.ask import Ask
from dataset_builder.pipeline.replies import paragraph
from dataset_builder.pipeline.stages.labels import taxonomy_labels
from dataset_builder.recipe import BuildRecipe
from dataset_builder.schema import Item, LabelledRow, SituatedRow
from dataset_builder.teachers.reply_text import BadReply


def selects(row: LabelledRow, recipe: BuildRecipe) -> bool:
    """Return whether this utterance gets a situation: a share of those with a label, drawn by hash."""
    return is_drawn(recipe.situations.share, recipe.seed, "context", row.id) and bool(taxonomy_labels(row, recipe))


async def run(row: LabelledRow, story: Item, ask: Ask, recipe: BuildRecipe) -> list[SituatedRow]:
    """Return the utterance with its situation. It may still name feelings: the next stage cleans it."""
    situation = await ask.text(
        "context",
        recipe.situations.context,
        partial(_parse, recipe=recipe),
        title=story.fields["title"],
        story=story.text,
        brief=recipe.situations.brief,
        character=row.character,
        text=row.text,
        emotions=" and ".join(taxonomy_labels(row, recipe)),
    )
    return [SituatedRow(**row.model_dump(), context=situation, context_original=situation)]


def _parse(text: str, cut: bool, recipe: BuildRecipe) -> str:
    situation = paragraph(text, cut)
    if reason := check_context(situation, (), recipe.quality):
        raise BadReply(reason)
    return situation
