"""The gold set: utterances that we wrote and labelled ourselves, each with its character, situation and labels.

`scored` utterances (4 for each label) are what check-teacher measures a teacher on. `few_shot` utterances (2 for each
label) are the examples in prompts for base models, which follow no instructions; defaults were chosen on them.
"""

from functools import cache
from pathlib import Path
from typing import Literal

import jinja2
from pydantic import ValidationError

from dataset_builder.files.reading import json_lines
from dataset_builder.inputs import InputError, validation_message
from dataset_builder.schema import RawLabel, Row
from dataset_builder.taxonomy import DEFINITIONS, LABELS

GOLD_SET = Path(__file__).parent / "gold_set.jsonl"
SHOTS = 3  # examples in a prompt


class GoldRow(Row):
    """A gold utterance; `rewritten`, if there is one, is a form of it that needs the situation."""

    part: Literal["scored", "few_shot"]
    text: str
    labels: tuple[RawLabel, ...]
    character: str
    situation: str
    rewritten: str | None = None


@cache
def read_gold_set(part: Literal["scored", "few_shot"]) -> tuple[GoldRow, ...]:
    """One part of the gold set. Raises InputError with the line that is not of this form."""
    rows = []
    for place, found in json_lines(GOLD_SET):
        try:
            row = GoldRow.model_validate(found)
        except ValidationError as error:
            raise InputError(f"{place}: {validation_message(error)}") from None
        if unknown := [label.label for label in row.labels if label.label not in LABELS]:
            raise InputError(f"{place}: '{unknown[0]}' is not in the taxonomy.")
        rows.append(row)
    return tuple(row for row in rows if row.part == part)


def few_shot_examples(prompt: str, user: jinja2.Template) -> tuple[tuple[str, str], ...]:
    """Examples for a prompt file, made from gold utterances: (user message, answer) each.

    There are none for the labelers' prompts, which have their own examples; for `context`, where an example would
    only show how to copy; and for `utterances_list`, whose form a base model does not follow.
    """
    rows = read_gold_set("few_shot")
    if prompt == "rewriting":
        rows = tuple(row for row in rows if row.rewritten)
    elif prompt == "utterances_single":
        rows = tuple(row for row in rows if row.text.startswith("I "))
    chosen = rows[:: max(1, len(rows) // SHOTS)][:SHOTS]  # evenly spaced, so that labels differ
    answered = ((row, _answer(prompt, row)) for row in chosen)
    return tuple((user.render(**_fields(row)), answer) for row, answer in answered if answer)


def _fields(row: GoldRow) -> dict[str, object]:
    """Return every field that a prompt may contain; the situation takes the place of the story."""
    first = row.labels[0].label
    return {
        "title": "A moment",
        "story": row.situation,
        "character": row.character,
        "text": row.text,
        "emotion": first,
        "definition": DEFINITIONS[first],
        "act": "",
        "emotions": " and ".join(label.label for label in row.labels),
        "context": f"{row.situation} {row.character} felt {first}.",
    }


def _answer(prompt: str, row: GoldRow) -> str:
    answers = {
        "characters": f"1. {row.character}",
        "utterances_single": f'"{row.text}"',
        "descriptors_generated": "Emotions: " + ", ".join(label.label for label in row.labels),
        "cleaning": row.situation,
        "rewriting": f'"{row.rewritten}"',
    }
    return answers.get(prompt, "")
