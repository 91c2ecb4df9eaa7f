"""Stage 6: rewrites the utterance so that it is ambiguous without its situation (paper A, Table 15)."""

from functools import partial

from dataset_builder.filters.validate import check_label_word, check_utterance, words
from dataset_builder.pipeline.ask import Ask, UnitRejected
from dataset_builder.pipeline.replies import sentence
from dataset_builder.pipeline.stages.labels import taxonomy_labels
from dataset_builder.recipe import BuildRecipe
from dataset_builder.schema import Item, RewrittenRow, SituatedRow
from dataset_builder.teachers.reply_text import BadReply


async def run(row: SituatedRow, story: Item, ask: Ask, recipe: BuildRecipe) -> list[RewrittenRow]:
    """Return the row with its rewritten utterance, or with None if no rewriting passed: the original stays usable."""
    labels = taxonomy_labels(row, recipe)
    try:
        rewritten: str | None = await ask.text(
            "rewriting",
            recipe.situations.rewriting,
            partial(_parse, row=row, labels=labels, recipe=recipe),
            stop=('"', "\n"),
            character=row.character,
            text=row.text,
            emotions=" and ".join(labels),
        )
    except UnitRejected as rejected:
        ask.reject(rejected.reason, rejected.text)
        rewritten = None
    return [RewrittenRow(**row.model_dump(), rewritten=rewritten)]


def _parse(text: str, cut: bool, row: SituatedRow, labels: list[str], recipe: BuildRecipe) -> str:
    rewritten = sentence(text, cut)
    if reason := check_utterance(rewritten, row.character, recipe.quality) or check_label_word(
        rewritten, labels, recipe.quality
    ):
        raise BadReply(reason)
    if words(rewritten) == words(row.text):
        raise BadReply("unchanged")
    return rewritten
