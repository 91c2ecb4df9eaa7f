"""The rows of the project's own test sets, `everyday` and `contrast` (dataset_builder/held_out/README.md)."""

import numpy as np

from dataset_builder.hashing import digest_of
from dataset_builder.held_out import CONTRAST, EVERYDAY, SECOND_READER, SITUATIONS, HeldOutRow, contrast, everyday
from dataset_builder.taxonomy import LABEL_TO_INDEX
from eval.benchmark_rows import Rows, multi_hot


def everyday_rows(place: str | None, config: str) -> Rows:
    """Everyday sentences, each with its writer's first label; `second_gold` has the second reader's first labels."""
    rows = everyday()
    return Rows(
        texts=[row.text for row in rows],
        contexts=None,
        gold=_first_labels(rows),
        revision=f"{EVERYDAY.name} sha256 {digest_of(EVERYDAY)[:16]}",
        protocol="the writer's first label of each sentence",
        second_gold=_first_labels(everyday(SECOND_READER)),
    )


def contrast_rows(place: str | None, config: str) -> Rows:
    """Contrast sets: an utterance in three situations, each with its own first label. Clusters are the utterances."""
    rows = contrast()
    return Rows(
        texts=[row.text for row in rows],
        contexts=[row.context for row in rows] if config == "contextual" else None,
        gold=_first_labels(rows),
        revision=f"{CONTRAST.name} sha256 {digest_of(CONTRAST)[:16]}",
        protocol=f"the first label of an utterance in each of its {SITUATIONS} situations",
        clusters=[row.text for row in rows],
        units="utterances",
        set_size=SITUATIONS,
        characters=[row.character for row in rows] if config == "contextual" else None,
    )


def _first_labels(rows: list[HeldOutRow]) -> np.ndarray:
    return multi_hot([[LABEL_TO_INDEX[row.label]] for row in rows])
