"""The stages of written and collected rows: each takes the labels or descriptors of the item, and calls no teacher."""

from typing import Any

from dataset_builder.pipeline.ask import Ask
from dataset_builder.recipe import BuildRecipe
from dataset_builder.schema import DescribedRow, Descriptor, Item, LabelledRow, RawLabel, RewrittenRow
from dataset_builder.written_rows import labels_of

# A writer lists the best words first, without weights: each weighs this much less than the one before. Most texts have
# three to five words; the sixth, where there is one, is still above the descriptors' usual limit of 0.3.
WEIGHT_STEP = 0.13


async def labels(row: Item, item: Item, ask: Ask, recipe: BuildRecipe) -> list[LabelledRow]:
    """Return a text with its writer's or reader's labels; without labels, if nobody has labelled it."""
    return [LabelledRow(**_labelled(row, recipe))]


async def situation(row: Item, item: Item, ask: Ask, recipe: BuildRecipe) -> list[RewrittenRow]:
    """Return a row of a contrast set: an utterance in one of its situations."""
    context = row.fields["context"]
    return [RewrittenRow(**_labelled(row, recipe), context=context, context_original=context, rewritten=None)]


async def descriptors(row: Item, item: Item, ask: Ask, recipe: BuildRecipe) -> list[DescribedRow]:
    """Return a text with its writer's free emotion words."""
    words = dict.fromkeys(word.strip() for word in row.fields["descriptors"].split(","))
    weighted = [
        Descriptor(text=word, weight=round(max(0.0, 1 - WEIGHT_STEP * rank), 2)) for rank, word in enumerate(words)
    ]
    return [DescribedRow(**_utterance(row), descriptors=tuple(weighted), describer="writer")]


def has_context(row: Item, recipe: BuildRecipe) -> bool:
    """Select rows of contrast sets."""
    return "context" in row.fields


def has_no_context(row: Item, recipe: BuildRecipe) -> bool:
    """Select texts by themselves."""
    return "context" not in row.fields


def has_descriptors(row: Item, recipe: BuildRecipe) -> bool:
    """Select texts for which a writer has given free emotion words."""
    return "descriptors" in row.fields


def _labelled(row: Item, recipe: BuildRecipe) -> dict[str, Any]:
    labeler = "writer" if recipe.utterances.mode == "written" else "reader"
    raw = tuple(RawLabel(label=label, score=weight) for label, weight in labels_of(row).items())
    return _utterance(row) | {"raw_labels": raw, "labeler": labeler if raw else "none"}


def _utterance(row: Item) -> dict[str, Any]:
    return {
        "id": row.id,
        "text": row.text,
        "character": row.fields.get("character", ""),
        "narrative_id": row.fields["story"],
        "source": row.fields["source"],
        "group": row.fields.get("group", ""),
        "requested_emotion": "",
    }
