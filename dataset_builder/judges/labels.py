"""The judge that is a reader: labels that were given to texts, from files."""

from collections.abc import Sequence

import numpy as np

from dataset_builder.filters.judgements import key_of
from dataset_builder.hashing import fingerprint
from dataset_builder.judges.labelled_rows import read_labelled
from dataset_builder.judges.recipe import LabelsKind


class Labels:
    """The weights that a reader gave; no answer about a text that the reader has not read."""

    def __init__(self, name: str, kind: LabelsKind) -> None:
        self.name = name
        self._given = {key_of(row.text, row.situation): row.labels for row in read_labelled(kind.files)}
        self.about = {"labels": fingerprint(self._given)}

    def score(self, texts: Sequence[str], situations: Sequence[str | None], labels: Sequence[str]) -> np.ndarray:
        """Return scores as `Judge.score`; 0 for labels that the reader did not name."""
        scores = np.full((len(texts), len(labels)), np.nan)
        for row, pair in enumerate(zip(texts, situations, strict=True)):
            if given := self._given.get(key_of(*pair)):
                scores[row] = [given.get(label, 0.0) for label in labels]
        return scores
