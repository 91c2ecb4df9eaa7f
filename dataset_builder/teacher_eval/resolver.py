"""Evaluates how words outside the taxonomy are mapped to labels, against the labels of vocabulary/word_classes.tsv.

A hash divides the words into two halves: the margin was chosen on one, and the reported numbers come from the other.
"""

from collections.abc import Sequence
from typing import Any

from dataset_builder.filters.resolve import class_of
from dataset_builder.filters.word_classes import NO_LABEL, WordClass, word_classes
from dataset_builder.hashing import stable_hash
from dataset_builder.recipe import PaperMap, Resolve, Similarity
from dataset_builder.taxonomy import LABELS

MARGINS = (0.0, 0.01, 0.02, 0.05, 0.08)  # around the default, 0.04


def half_of_words(held_out: bool) -> list[WordClass]:
    """Return the words that are reported on (`held_out`), or those on which parameters may be chosen."""
    return [row for row in word_classes() if (stable_hash("homes", row.word) % 2 == 0) is held_out]


def accuracy(rows: Sequence[WordClass], method: Resolve) -> dict[str, float]:
    """Return how many words a method maps to a label, and how many of those labels are right.

    Returns:
        coverage: share of the words that get a label.
        accuracy: share of these that get the label of the table; accuracy_lenient: that or the second one.
        none_dropped: share of the words labelled `none` that get no label.
    """
    found = [class_of(row.word, method) for row in rows]
    mapped = [(row, LABELS[index]) for row, index in zip(rows, found, strict=True) if index is not None]
    dropped = [index is None for row, index in zip(rows, found, strict=True) if row.label == NO_LABEL]
    return {
        "coverage": len(mapped) / len(rows),
        "accuracy": sum(label == row.label for row, label in mapped) / max(len(mapped), 1),
        "accuracy_lenient": sum(label in (row.label, row.second) for row, label in mapped) / max(len(mapped), 1),
        "none_dropped": sum(dropped) / max(len(dropped), 1),
    }


def measure() -> dict[str, Any]:
    """Return the content of a result file: both methods on the held-out half, and ours with other margins."""
    rows = half_of_words(held_out=True)
    ours = Similarity(method="similarity")
    methods: dict[str, Resolve] = {"ours": ours, "map": PaperMap()}
    methods |= {f"ours_margin_{margin}": ours.model_copy(update={"margin": margin}) for margin in MARGINS}
    metrics = {
        f"{metric}_{name}": {"value": round(value, 4)}
        for name, method in methods.items()
        for metric, value in accuracy(rows, method).items()
    }
    return {
        "name": "out-of-taxonomy",
        "metrics": {"words": {"value": len(rows)}} | metrics,
        "support": len(rows),
        "margin": ours.margin,
        "margin_source": f"chosen on {len(half_of_words(held_out=False))} other words, of which it keeps about half",
        "encoder": ours.encoder,
    }
