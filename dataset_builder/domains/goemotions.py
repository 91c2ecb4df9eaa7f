"""GoEmotions' official TSV files (Demszky et al. 2020): text, comma-separated label numbers, comment id.

Texts with quotes are CSV-quoted there; the quotes are taken off, as the Hub's copy has them.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dataset_builder.domains.reading import Example, Fold, Source
from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import LABELS

FILES = {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}
PROTOCOL = "official splits"
WHAT = "Give the folder of GoEmotions' official TSV files."


@dataclass(frozen=True)
class Comment:
    """A comment with its label indices."""

    id: str
    text: str
    labels: list[int]


def comments(folder: Path, split: str) -> Iterator[Comment]:
    """The rows of an official split (`train`, `validation` or `test`).

    Raises:
        InputError: a file is missing, the labels are in another order, or a line is malformed.
    """
    path, names = folder / FILES[split], folder / "emotions.txt"
    for file in (path, names):
        if not file.exists():
            raise InputError(f"{file}: no such file. {WHAT}")
    try:
        if tuple(names.read_text(encoding="utf-8").split()) != LABELS:
            raise InputError(f"{names}: not the 28 labels in GoEmotions' order. Take the official file.")
        with open(path, encoding="utf-8", newline="") as lines:
            for number, fields in enumerate(csv.reader(lines, delimiter="\t"), start=1):
                if len(fields) != 3 or not all(part.isdecimal() and int(part) < 28 for part in fields[1].split(",")):
                    raise InputError(
                        f"{path}, line {number}: expected text, label numbers 0-27 and an id, tab-separated."
                    )
                yield Comment(fields[2], fields[0], sorted({int(part) for part in fields[1].split(",")}))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}). {WHAT}") from None


def read(folder: Path, fold: Fold | None) -> Source:
    """The official splits as they are."""
    del fold
    splits = {
        split: [
            Example(f"goemotions/{found.id}", found.text, tuple(LABELS[label] for label in found.labels))
            for found in comments(folder, split)
        ]
        for split in FILES
    }
    return Source(splits, [folder / name for name in (*FILES.values(), "emotions.txt")], PROTOCOL)
