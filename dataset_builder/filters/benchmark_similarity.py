"""Finds texts that say nearly what a text of a benchmark says, by cosine similarity of sentence embeddings."""

from collections.abc import Sequence

import numpy as np

from dataset_builder.filters.encoder import default_encoder

AT_ONCE = 1_024  # texts embedded together: the encoder puts texts of about the same length into a batch


class BenchmarkSimilarity:
    """Compares texts with all texts of benchmarks, exactly. Without benchmarks or a limit, nothing is similar."""

    def __init__(self, benchmarks: Sequence[str], at: float | None) -> None:
        self._at = at if benchmarks else None
        self._vectors = default_encoder()(list(benchmarks)) if self._at else np.zeros((0, 0))
        self._found: dict[int, bool] = {}  # by the hash of a text: configs and contrast sets have the same texts

    @property
    def compares(self) -> bool:
        """Whether any text can be similar."""
        return self._at is not None

    def __call__(self, texts: Sequence[str]) -> list[bool]:
        """Return for each text whether its cosine with a benchmark's text is at least the limit."""
        if self._at is None:
            return [False] * len(texts)
        new = [text for text in dict.fromkeys(texts) if hash(text) not in self._found]
        if new:
            nearest = (default_encoder()(new) @ self._vectors.T).max(axis=1)
            self._found |= {hash(text): near >= self._at for text, near in zip(new, nearest.tolist(), strict=True)}
        return [self._found[hash(text)] for text in texts]
