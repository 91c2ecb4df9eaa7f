"""The judge that was trained: a classifier of the 28 labels, loaded as its users load it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.inputs import InputError, first_line
from dataset_builder.judges.recipe import ClassifierKind
from dataset_builder.provenance import weights_digest
from dataset_builder.taxonomy import LABELS

BATCH = 64


class Classifier:
    """Probabilities of a model that train.classifier wrote; the situation is its second text."""

    def __init__(self, name: str, kind: ClassifierKind) -> None:
        from transformers import pipeline

        self.name, self._kind = name, kind
        try:
            options = {"top_k": None, "trust_remote_code": False}
            self._pipeline = pipeline("text-classification", model=kind.model, **options)
        except Exception as error:  # torn files, the Hub, unknown architectures: the library promises no kinds
            raise InputError(f"judge '{name}': model '{kind.model}' does not load ({first_line(error)}).") from None
        known = self._pipeline.model.config.id2label
        if tuple(map(known.get, range(len(known)))) != LABELS:
            raise InputError(f"judge '{name}': the outputs of '{kind.model}' are not the 28 emotions in order.")
        folder = Path(kind.model)
        commit = str(getattr(self._pipeline.model.config, "_commit_hash", None))
        self.about = {"weights": weights_digest(folder)[:16] if folder.is_dir() else commit}

    def score(self, texts: Sequence[str], situations: Sequence[str | None], labels: Sequence[str]) -> np.ndarray:
        """Return scores as `Judge.score`; 0 for a label that the model does not know."""
        column = {label: position for position, label in enumerate(labels)}
        scores = np.zeros((len(texts), len(labels)))
        paired = [bool(situation) and self._kind.situation for situation in situations]
        for with_situation in (False, True):
            chosen = [row for row, pair in enumerate(paired) if pair == with_situation]
            # Texts of similar length need little padding.
            chosen.sort(key=lambda row: -len(texts[row]) - len(situations[row] or ""))
            inputs: list[Any] = [texts[row] for row in chosen]
            if with_situation:
                inputs = [{"text": texts[row], "text_pair": situations[row]} for row in chosen]
            if not chosen:  # the pipeline accepts no empty list
                continue
            strategy = "only_second" if with_situation else True  # the utterance stays whole
            for row, output in zip(chosen, self._pipeline(inputs, batch_size=BATCH, truncation=strategy), strict=True):
                for one in output:
                    if one["label"] in column:
                        scores[row, column[one["label"]]] = one["score"]
        if not np.isfinite(scores).all():
            raise InputError(f"judge '{self.name}': scores of '{self._kind.model}' are not finite: train it again.")
        return scores
