"""Texts with a reader's labels: written rows (written_rows.py), or JSON lines with text, situation and labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from dataset_builder.files.reading import json_lines
from dataset_builder.inputs import InputError, Strict, validation_message
from dataset_builder.taxonomy import LABELS
from dataset_builder.text_hygiene import cleaned
from dataset_builder.written_rows import labels_of, read_written

FORM = 'Give JSON lines as {"text": "…", "situation": "…", "labels": {"joy": 1}}, or files of written rows.'


class LabelledText(NamedTuple):
    """A text, alone or in a situation, with the weights of its labels."""

    id: str
    text: str
    situation: str | None
    labels: dict[str, float]

    @property
    def first(self) -> str:
        """The label with the largest weight."""
        return max(self.labels, key=lambda label: self.labels[label])


class _Line(Strict):
    text: str
    situation: str | None = None
    labels: dict[str, float]


def read_labelled(files: Sequence[str | Path]) -> list[LabelledText]:
    """Return the labelled texts of files in order; texts without labels are left out.

    Raises:
        InputError: a file is missing or of another form, a label is not in the taxonomy, or a weight is not above 0
            and at most 1; the message names file and line.
    """
    return [row for file in files for row in (_plain(Path(file)) if _is_plain(Path(file)) else _written(str(file)))]


def _is_plain(path: Path) -> bool:
    """Return whether a file has one labelled text a line, and not a contrast set."""
    if not path.name.removesuffix(".gz").endswith(".jsonl"):
        return False
    first = next(json_lines(path, FORM), ("", None))[1]
    return not (isinstance(first, dict) and "situations" in first)


def _plain(path: Path) -> list[LabelledText]:
    found = []
    for place, value in json_lines(path, FORM):
        try:
            line = _Line.model_validate(value)
        except ValidationError as error:
            raise InputError(f"{place}: {validation_message(error)}. {FORM}") from None
        wrong = [label for label, weight in line.labels.items() if label not in LABELS or not 0 < weight <= 1]
        if wrong or not line.labels:
            named = f"'{wrong[0]}' is no label with a weight above 0 and at most 1" if wrong else "no label"
            raise InputError(f"{place}: {named}. {FORM}")
        situation = cleaned(line.situation) if line.situation else None
        found.append(LabelledText(place, cleaned(line.text), situation, line.labels))
    return found


def _written(source: str) -> list[LabelledText]:
    labelled = ((item, labels_of(item)) for item in read_written([source]))
    return [LabelledText(item.id, item.text, item.fields.get("context"), labels) for item, labels in labelled if labels]
