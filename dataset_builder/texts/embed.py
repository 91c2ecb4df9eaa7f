"""Embeddings of many texts, kept in pieces: what a former run has encoded, or half of it, is not encoded again."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dataset_builder.inputs import fingerprint

PIECE = 1024  # texts


def embed(texts: list[str], encoder: str, encode: Callable[[list[str]], np.ndarray], folder: Path) -> np.ndarray:
    """Embeddings (texts, size) as float16, from the files of `folder` where they are there.

    Args:
        encoder: the Hub id of what `encode` is; with the texts of a piece it names the piece's file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pieces = []
    for start in tqdm(range(0, len(texts), PIECE), desc="embeddings", unit_scale=PIECE, unit=" texts", disable=None):
        piece = texts[start : start + PIECE]
        path = folder / f"{fingerprint([encoder, piece])}.npy"
        if not path.exists():
            part = path.with_suffix(".part")
            with part.open("wb") as file:
                np.save(file, encode(piece).astype(np.float16))
            part.rename(path)
        pieces.append(np.load(path))
    return np.concatenate(pieces)
