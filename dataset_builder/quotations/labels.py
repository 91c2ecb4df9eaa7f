"""A reader's labels of quotations: a table with the columns `alone`, `situated` and `text`.

`alone` has the labels of a text by itself, such as `joy:1,relief:.4`; `situated` those in its situation: `=` for the
same, empty if the reader did not read it there.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

from dataset_builder.files.reading import lines
from dataset_builder.inputs import InputError
from dataset_builder.text_hygiene import cleaned
from dataset_builder.written_rows import labels_fault, weights_of

COLUMNS = ["alone", "situated", "text"]
FORM = f"Give a .tsv with the columns {', '.join(COLUMNS)}."


class Reading(NamedTuple):
    """The weights of the labels of a text alone and in its situation; empty where it was not read."""

    alone: dict[str, float]
    situated: dict[str, float]


@cache
def read_labels(path: Path) -> dict[str, Reading]:
    """Return the readings of a table by text.

    Raises:
        InputError: a file or line of another form, or an unknown label; the message names file and line.
    """
    rows = lines(path, FORM)
    place, header = next(rows, (f"{path}, line 1", ""))
    if header.split("\t") != COLUMNS:
        raise InputError(f"{place}: the header is {header[:80]!r}. {FORM}")
    found = {}
    for place, line in rows:
        cells = line.split("\t")
        if len(cells) != len(COLUMNS):
            raise InputError(f"{place}: {len(cells)} columns instead of {len(COLUMNS)}. {FORM}")
        alone, situated, text = cells[0], cells[0] if cells[1] == "=" else cells[1], cleaned(cells[2]).strip()
        for labels in filter(None, (alone, situated)):
            if fault := labels_fault(labels):
                raise InputError(f"{place}: {fault}. Correct it.")
        found[text] = Reading(weights_of(alone), weights_of(situated))
    return found
