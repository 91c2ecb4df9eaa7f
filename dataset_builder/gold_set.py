"""Utterances that we wrote and labelled ourselves: one part is only scored, the other only shown as exemplars.

Each has its character, its situation and its labels. `scored` (4 a label) is what check-teacher measures a teacher on;
`exemplar` (2 a label) is what a base model, which follows no instructions, is shown, and what defaults are chosen on.
"""

from functools import cache
from pathlib import Path
from typing import Literal

import jinja2
from pydantic import ValidationError

from dataset_builder.files.reading import json_lines
from dataset_builder.inputs import InputError, describe
from dataset_builder.schema import RawLabel, Row
from dataset_builder.taxonomy import EMOTIONS, LABEL_TO_INDEX, LABELS

GOLDEN = Path(__file__).parent / "gold_set.jsonl"
SHOWN = 3  # exemplars in a prompt


class GoldenRow(Row):
    """A golden utterance; `rewritten`, where there is one, is its form that needs the situation."""

    part: Literal["scored", "exemplar"]
    text: str
    labels: tuple[RawLabel, ...]
    character: str
    situation: str
    rewritten: str | None = None


@cache
def read_golden(part: Literal["scored", "exemplar"]) -> tuple[GoldenRow, ...]:
    """One part of the golden set. Raises InputError naming the line that is not of this form."""
    rows = []
    for place, found in json_lines(GOLDEN):
        try:
            row = GoldenRow.model_validate(found)
        except ValidationError as error:
            raise InputError(f"{place}: {describe(error)}") from None
        for label in row.labels:
            if label.label not in LABELS:
                raise InputError(f"{place}: '{label.label}' is not of the taxonomy.")
        rows.append(row)
    return tuple(row for row in rows if row.part == part)


def exemplars(prompt: str, user: jinja2.Template) -> tuple[tuple[str, str], ...]:
    """Questions of a prompt file with their answers, made from golden exemplars: (user message, whole answer) each.

    Empty for the labelers' prompts, which have their own, for `context`, which would show no more than how to copy, and
    for `utterances_list`, which a base model does not follow.
    """
    rows = read_golden("exemplar")
    if prompt == "rewriting":
        rows = tuple(row for row in rows if row.rewritten)
    elif prompt == "utterances_single":
        rows = tuple(row for row in rows if row.text.startswith("I "))
    chosen = rows[:: max(1, len(rows) // SHOWN)][:SHOWN]
    shown = ((row, _answer(prompt, row)) for row in chosen)
    return tuple((user.render(**_fields(row)), answer) for row, answer in shown if answer)


def _fields(row: GoldenRow) -> dict[str, object]:
    """What any prompt may ask for; the situation stands for the story."""
    first = row.labels[0].label
    expressed = " and ".join(label.label for label in row.labels)
    return {
        "title": "A moment",
        "story": row.situation,
        "character": row.character,
        "text": row.text,
        "emotion": first,
        "definition": EMOTIONS[LABEL_TO_INDEX[first]].definition,
        "act": "",
        "emotions": expressed,
        "context": f"{row.situation} {row.character} felt {first}.",
    }


def _answer(prompt: str, row: GoldenRow) -> str:
    answers = {
        "characters": f"1. {row.character}",
        "utterances_single": f'"{row.text}"',
        "descriptors_generated": "Emotions: " + ", ".join(label.label for label in row.labels),
        "cleaning": row.situation,
        "rewriting": f'"{row.rewritten}"',
    }
    return answers.get(prompt, "")
