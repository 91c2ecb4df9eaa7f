"""Finds texts that say nearly what a text of a benchmark says, by cosine similarity of sentence embeddings."""

from collections.abc import Sequence

import numpy as np

from dataset_builder.filters.encoder import default_encoder


class BenchmarkSimilarity:
    """Compares texts with all texts of benchmarks, exactly. Without benchmarks or a limit, nothing is similar."""

    def __init__(self, benchmarks: Sequence[str], at: float | None) -> None:
        self._at = at if benchmarks else None
        self._vectors = default_encoder()(list(benchmarks)) if self._at else np.zeros((0, 0))

    def __call__(self, texts: Sequence[str]) -> list[bool]:
        """Return for each text whether its cosine with a benchmark's text is at least the limit."""
        if self._at is None:
            return [False] * len(texts)
        different = list(dict.fromkeys(texts))  # rows of a contrast set have the same text
        nearest = (default_encoder()(different) @ self._vectors.T).max(axis=1)
        found = dict(zip(different, (nearest >= self._at).tolist(), strict=True))
        return [found[text] for text in texts]
