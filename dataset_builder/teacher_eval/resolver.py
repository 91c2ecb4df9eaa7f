"""Measures the resolution of words outside the taxonomy on vocabulary/homes.tsv, whose homes were marked by hand.

The words are halved by hash. The margin may be chosen on one half; what is reported comes from the other.
"""

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from dataset_builder.files.reading import own_table
from dataset_builder.filters.resolve import class_of
from dataset_builder.hashing import stable_hash
from dataset_builder.inputs import InputError
from dataset_builder.recipe import PaperMap, Resolve, Similarity
from dataset_builder.taxonomy import LABEL_TO_INDEX, LABELS

HOMES = Path(__file__).parent.parent / "vocabulary" / "homes.tsv"
NO_HOME = "none"


class Home(NamedTuple):
    """An emotion word, the class that should take it (or `none`), and another acceptable one (or "")."""

    word: str
    home: str
    second: str


def read_homes(held_out: bool) -> list[Home]:
    """One half of the words: the one that is reported on, or the one that parameters may be chosen on."""
    rows = [Home(**row) for row in own_table(HOMES)]
    for row in rows:
        if row.home not in (*LABELS, NO_HOME) or row.second not in (*LABELS, ""):
            raise InputError(f"{HOMES}: '{row.word}' has the home '{row.home}', '{row.second}': not of the taxonomy.")
    return [row for row in rows if (stable_hash("homes", row.word) % 2 == 0) is held_out]


@cache
def home_of(word: str) -> int | None:
    """Index of the class whose name the word is, or that is its home; None for neither."""
    homes = {row.word: row.home for held_out in (True, False) for row in read_homes(held_out)}
    return LABEL_TO_INDEX.get(word if word in LABEL_TO_INDEX else homes.get(word, ""))


def accuracy(rows: list[Home], method: Resolve) -> dict[str, float]:
    """How many words a method takes on, and how often it is right.

    Returns:
        coverage: share of the words that get a class.
        accuracy: of these, the share that get their home; accuracy_lenient: or the other acceptable one.
        none_dropped: of the words without a home, the share that is dropped.
    """
    found = [class_of(row.word, method) for row in rows]
    taken = [(row, LABELS[index]) for row, index in zip(rows, found, strict=True) if index is not None]
    homeless = [index is None for row, index in zip(rows, found, strict=True) if row.home == NO_HOME]
    return {
        "coverage": len(taken) / len(rows),
        "accuracy": sum(label == row.home for row, label in taken) / max(len(taken), 1),
        "accuracy_lenient": sum(label in (row.home, row.second) for row, label in taken) / max(len(taken), 1),
        "none_dropped": sum(homeless) / max(len(homeless), 1),
    }


def measure() -> dict[str, Any]:
    """Both methods on the held-out half, and ours at other margins, as a result file's metrics."""
    rows = read_homes(held_out=True)
    ours = Similarity(method="similarity")
    metrics: dict[str, dict[str, float]] = {"words": {"value": len(rows)}}
    methods: dict[str, Resolve] = {"ours": ours, "map": PaperMap()}
    methods |= {f"ours_margin_{m}": ours.model_copy(update={"margin": m}) for m in (0.0, 0.01, 0.02, 0.05, 0.08)}
    for name, method in methods.items():
        for measured, value in accuracy(rows, method).items():
            metrics[f"{measured}_{name}"] = {"value": round(value, 4)}
    return {
        "name": "out-of-taxonomy",
        "metrics": metrics,
        "support": len(rows),
        "margin": ours.margin,
        "margin_source": f"chosen on {len(read_homes(held_out=False))} other words, of which it keeps about half",
        "encoder": ours.encoder,
    }
