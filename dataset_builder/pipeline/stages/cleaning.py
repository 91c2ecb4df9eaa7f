"""Stage 5: removes the clauses of a situation that reveal the emotion (paper A, Table 15)."""

from difflib import SequenceMatcher
from functools import partial

from dataset_builder.filters.validate import check_context, words
from dataset_builder.pipeline.ask import Ask, UnitRejected
from dataset_builder.pipeline.replies import paragraph
from dataset_builder.pipeline.stages.labels import taxonomy_labels
from dataset_builder.recipe import BuildRecipe
from dataset_builder.schema import Item, SituatedRow
from dataset_builder.teachers.reply_text import BadReply

LEAST_KEPT = 0.5  # share of the cleaned words that must occur in the original, in order (the paper: .92 ± .08)


async def run(row: SituatedRow, story: Item, ask: Ask, recipe: BuildRecipe) -> list[SituatedRow]:
    """Return the row with its situation cleaned.

    If the teacher fails to clean a situation that names none of its emotions, the situation is kept unchanged: there is
    nothing to clean. Otherwise the row is rejected.
    """
    labels = taxonomy_labels(row, recipe)
    try:
        cleaned = await ask.text(
            "cleaning",
            recipe.situations.cleaning,
            partial(_parse, original=row.context, labels=labels, recipe=recipe),
            context=row.context,
            character=row.character,
            emotions=" and ".join(labels),
        )
    except UnitRejected as rejected:
        if check_context(row.context, labels, recipe.quality):
            raise
        ask.reject(f"kept_original_{rejected.reason}", rejected.text)
        cleaned = row.context
    return [row.model_copy(update={"context": cleaned})]


def _parse(text: str, cut: bool, original: str, labels: list[str], recipe: BuildRecipe) -> str:
    cleaned = paragraph(text, cut)
    if reason := check_context(cleaned, labels, recipe.quality):
        raise BadReply(reason)
    before, after = words(original), words(cleaned)
    # `autojunk` would ignore frequent words in texts of 200 or more words.
    matched = sum(block.size for block in SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks())
    if matched < LEAST_KEPT * len(after):
        raise BadReply("not_a_deletion")
    return cleaned
