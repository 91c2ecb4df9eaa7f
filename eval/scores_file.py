"""Scores that another system gave for the texts of a benchmark."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dataset_builder.files.reading import json_lines
from dataset_builder.hashing import digest_of
from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import LABELS

NEUTRAL_VALENCE = 3.0  # of a text without a rating
VALENCE = ("valence",)  # what a file for a benchmark of ratings has instead of labels, from 1 to 5


def read_scores(
    path: Path, texts: Sequence[str], classes: Sequence[str] = LABELS
) -> tuple[np.ndarray, tuple[str, ...], str]:
    """Return scores (texts, labels) from a file, the labels, and the file's revision.

    The file has for each text, in order, a JSON line {"text": …, "scores": {label: score}}; labels that are not named
    have 0. They are the benchmark's own `classes` if no other label occurs, else the 28 labels.

    Raises InputError if a line is malformed or has another text, names a label that is neither, or has a score that is
    not from 0 to 1 (a valence: from 1 to 5).
    """
    form = 'not {"text": …, "scores": {label: score}}'
    found_lines = list(json_lines(path, "Pass a line for each text of the benchmark.", form))
    if len(found_lines) != len(texts):
        raise InputError(f"{path}: {len(found_lines)} lines for {len(texts)} texts. Write one line per text, in order.")
    of_texts: list[dict[str, float]] = []
    names = tuple(classes)
    for (place, line), text in zip(found_lines, texts, strict=True):
        try:
            given = line["text"]
            named = {label: float(score) for label, score in line["scores"].items()}
        except (ValueError, OverflowError, KeyError, TypeError, AttributeError):
            raise InputError(f"{place}: {form}.") from None
        if given != text:
            raise InputError(f"{place}: does not have the text of the benchmark's row, {text[:60]!r}.")
        if not named.keys() <= set(names):
            names = LABELS
            if unknown := sorted(set().union(named, *of_texts) - set(names)):
                others = "" if tuple(classes) == LABELS else f", nor one of {', '.join(classes)}"
                raise InputError(f"{place}: '{unknown[0][:80]}' is not one of the 28 labels{others}.")
        low, high = (1, 5) if names == VALENCE else (0, 1)
        if wrong := [label for label, score in named.items() if not low <= score <= high]:  # NaN is neither
            advice = " Write probabilities: divide percentages by 100, apply a sigmoid to logits." if high == 1 else ""
            raise InputError(
                f"{place}: the score of '{wrong[0]}' is {named[wrong[0]]:g}, which is not from {low} to {high}.{advice}"
            )
        of_texts.append(named)
    missing = NEUTRAL_VALENCE if names == VALENCE else 0.0
    scores = np.array([[named.get(label, missing) for label in names] for named in of_texts])
    return scores, names, f"sha256 {digest_of(path)[:16]}"
