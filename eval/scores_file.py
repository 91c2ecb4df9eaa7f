"""Scores that another system gave for the texts of a benchmark."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dataset_builder.files.reading import json_lines
from dataset_builder.hashing import digest_of
from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import LABELS


def read_scores(path: Path, texts: Sequence[str]) -> tuple[np.ndarray, str]:
    """Return scores (texts, 28) from a file, and its revision: for each text, in order, a JSON line
    {"text": …, "scores": {label: score}}; labels that are not named have 0.

    Raises InputError if a line is malformed or has another text, names a label that is not one of the 28, or has a
    score that is not from 0 to 1.
    """
    form = 'not {"text": …, "scores": {label: score}}'
    found_lines = list(json_lines(path, "Pass a line for each text of the benchmark.", form))
    if len(found_lines) != len(texts):
        raise InputError(f"{path}: {len(found_lines)} lines for {len(texts)} texts. Write one line per text, in order.")
    scores = np.zeros((len(texts), len(LABELS)))
    for row, ((place, line), text) in enumerate(zip(found_lines, texts, strict=True)):
        try:
            given = line["text"]
            named = {label: float(score) for label, score in line["scores"].items()}
        except (ValueError, OverflowError, KeyError, TypeError, AttributeError):
            raise InputError(f"{place}: {form}.") from None
        if given != text:
            raise InputError(f"{place}: does not have the text of the benchmark's row, {text[:60]!r}.")
        if unknown := sorted(named.keys() - set(LABELS)):
            raise InputError(f"{place}: '{unknown[0][:80]}' is not one of the 28 labels.")
        if wrong := [label for label, score in named.items() if not 0 <= score <= 1]:  # NaN is neither
            raise InputError(
                f"{place}: the score of '{wrong[0]}' is {named[wrong[0]]:g}, which is not from 0 to 1. Write "
                "probabilities: divide percentages by 100, apply a sigmoid to logits."
            )
        scores[row] = [named.get(label, 0.0) for label in LABELS]
    return scores, f"sha256 {digest_of(path)[:16]}"
