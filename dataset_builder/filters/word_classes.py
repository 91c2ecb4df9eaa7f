"""Emotion words outside the taxonomy, each with a manually assigned label (vocabulary/word_classes.tsv)."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

from dataset_builder.files.reading import package_table
from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import LABEL_TO_INDEX, LABELS

WORD_CLASSES = Path(__file__).parent.parent / "vocabulary" / "word_classes.tsv"
NO_LABEL = "none"


class WordClass(NamedTuple):
    """An emotion word, its label (or `none`), and another label that is acceptable (or "")."""

    word: str
    label: str
    second: str


@cache
def word_classes() -> tuple[WordClass, ...]:
    """Return all words of the table. Raises InputError if a label is not in the taxonomy."""
    rows = tuple(WordClass(**row) for row in package_table(WORD_CLASSES))
    for row in rows:
        if row.label not in (*LABELS, NO_LABEL) or row.second not in (*LABELS, ""):
            raise InputError(f"{WORD_CLASSES}: '{row.word}': '{row.label}' or '{row.second}' is not in the taxonomy.")
    return rows


@cache
def class_by_hand(word: str) -> int | None:
    """Return the index of the word's label: the word itself if it is a label, else the table's label, else None."""
    labels = {row.word: row.label for row in word_classes()}
    return LABEL_TO_INDEX.get(word if word in LABEL_TO_INDEX else labels.get(word, ""))
