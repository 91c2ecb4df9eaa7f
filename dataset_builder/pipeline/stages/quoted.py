"""The stages of quoted rows: the direct speech of a story by rules, with a reader's labels; judges label the rest."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataset_builder.hashing import stable_hash
from dataset_builder.pipeline.ask import Ask
from dataset_builder.quotations.extract import quotations
from dataset_builder.quotations.labels import Reading, read_labels
from dataset_builder.recipe import BuildRecipe
from dataset_builder.schema import Item, LabelledRow, QuotedRow, RawLabel, RewrittenRow

UNREAD = Reading({}, {})


async def run(row: Item, story: Item, ask: Ask, recipe: BuildRecipe) -> list[QuotedRow]:
    """Return the utterances of a story; what the rules leave out is rejected with the reason."""
    kept: dict[str, QuotedRow] = {}
    for found in quotations(story.text, recipe.quotations):
        key = f"q{stable_hash(found.text):08x}"  # stays the same when a rule changes that concerns other texts
        if found.fault or key in kept:
            ask.reject(found.fault or "repeated", found.text, part=key)
            continue
        kept[key] = QuotedRow(
            id=f"{story.id}/{key}",
            narrative_id=whole_story(story.id),
            source=f"{_place(story)}, sentence {found.sentence}",
            character=found.speaker,
            requested_emotion="",
            text=found.text,
            context=found.situation,
        )
    return list(kept.values())


async def labels(row: QuotedRow, story: Item, ask: Ask, recipe: BuildRecipe) -> list[LabelledRow]:
    """Return the utterance with the labels that a reader gave to it alone; without labels, if nobody has read it."""
    return [LabelledRow(**_utterance(row), **_labels(_reading(row, recipe).alone))]


async def situation(row: QuotedRow, story: Item, ask: Ask, recipe: BuildRecipe) -> list[RewrittenRow]:
    """Return the utterance in its situation, with the labels that a reader gave to it there."""
    texts = {"context": row.context, "context_original": row.context, "rewritten": None}
    return [RewrittenRow(**_utterance(row), **texts, **_labels(_reading(row, recipe).situated))]


def has_situation(row: QuotedRow, recipe: BuildRecipe) -> bool:
    """Select utterances with a situation and a known speaker."""
    return bool(row.context and row.character)


def whole_story(part: str) -> str:
    """Return the id of a story by that of its part: `pg503-004-p2` -> `pg503-004`. Its parts stay in one split."""
    return re.sub(r"-p\d+$", "", part)


def _place(story: Item) -> str:
    """Return book, author and licence, as far as the story file names them, and the title."""
    about = [
        story.fields[key] for key in ("book", "collection", "author", "translator", "license") if key in story.fields
    ]
    part = re.search(r"-p(\d+)$", story.id)
    return f"{story.fields['source']}, {', '.join([*about, story.fields['title']])}" + (
        f", part {part[1]}" if part else ""
    )


def _reading(row: QuotedRow, recipe: BuildRecipe) -> Reading:
    path = recipe.quotations.labels
    return read_labels(Path(path)).get(row.text, UNREAD) if path else UNREAD


def _labels(weights: Mapping[str, float]) -> dict[str, Any]:
    raw = tuple(RawLabel(label=label, score=weight) for label, weight in weights.items())
    return {"raw_labels": raw, "labeler": "reader" if raw else "none"}


def _utterance(row: QuotedRow) -> dict[str, Any]:
    return row.model_dump(exclude={"context"})
