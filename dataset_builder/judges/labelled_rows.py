"""Texts with a reader's labels: written rows (written_rows.py), JSON lines with text, situation and labels, or a table.

A table has the columns `alone`, `situated` and `text`: the labels of a text alone, and those in its situation (`=` for
the same, empty if it was read alone only). It does not repeat the situations, so a text must have only one.
"""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from dataset_builder.files.reading import json_lines, lines
from dataset_builder.inputs import InputError, Strict, validation_message
from dataset_builder.taxonomy import LABELS
from dataset_builder.text_hygiene import cleaned
from dataset_builder.written_rows import labels_fault, labels_of, read_written, weights_of

FORM = (
    'Give JSON lines as {"text": "…", "situation": "…", "labels": {"joy": 1}}, files of written rows, '
    "or a .tsv with the columns alone, situated and text."
)
COLUMNS = ["alone", "situated", "text"]
IN_ITS_SITUATION = "*"  # the situation of a text in a table, whatever it is


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

    The situation of a text in a table is `IN_ITS_SITUATION`.

    Raises:
        InputError: a file is missing or of another form, a label is not in the taxonomy, or a weight is not above 0
            and at most 1; the message names file and line.
    """
    found: list[LabelledText] = []
    for file in map(Path, files):
        if _is_table(file):
            found += _of_table(file)
        else:
            found += _plain(file) if _is_plain(file) else _written(str(file))
    return found


def _is_table(path: Path) -> bool:
    return path.suffix == ".tsv" and next(lines(path, FORM), ("", ""))[1].split("\t") == COLUMNS


def _of_table(path: Path) -> list[LabelledText]:
    found = []
    for place, line in islice(lines(path, FORM), 1, None):
        cells = line.split("\t")
        if len(cells) != len(COLUMNS):
            raise InputError(f"{place}: {len(cells)} columns instead of {len(COLUMNS)}. {FORM}")
        alone, situated, text = cells[0], cells[1], cleaned(cells[2]).strip()
        for labels, situation in ((alone, None), (alone if situated == "=" else situated, IN_ITS_SITUATION)):
            if labels and (fault := labels_fault(labels)):
                raise InputError(f"{place}: {fault}. Correct it.")
            if labels:
                found.append(LabelledText(place, text, situation, weights_of(labels)))
    return found


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
