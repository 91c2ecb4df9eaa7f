"""Computes embeddings of many texts, cached per text: a text that an earlier run encoded is not encoded again."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
from tqdm import tqdm

PIECE = 1024  # texts that are encoded and then stored together: a kill loses at most one batch
DATABASE = "embeddings.sqlite"


def embed(texts: list[str], encoder: str, encode: Callable[[list[str]], np.ndarray], folder: Path) -> np.ndarray:
    """Return embeddings (texts, size) as float16, from the cache in `folder` where it has them from this encoder.

    Args:
        encoder: name and revision of the weights that `encode` uses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(folder / DATABASE)) as kept:
        kept.execute("CREATE TABLE IF NOT EXISTS embeddings (encoder, text, vector, PRIMARY KEY (encoder, text))")
        distinct = dict.fromkeys(texts)
        known: dict[str, bytes] = {}
        for text in distinct:
            asked = "SELECT text, vector FROM embeddings WHERE encoder = ? AND text = ?"
            known.update(kept.execute(asked, (encoder, text)))
        missing = [text for text in distinct if text not in known]
        for start in tqdm(range(0, len(missing), PIECE), "embeddings", unit_scale=PIECE, unit=" texts", disable=None):
            piece = missing[start : start + PIECE]
            vectors = [vector.tobytes() for vector in encode(piece).astype(np.float16)]
            with kept:
                rows = ((encoder, text, vector) for text, vector in zip(piece, vectors, strict=True))
                kept.executemany("INSERT INTO embeddings VALUES (?, ?, ?)", rows)
            known.update(zip(piece, vectors, strict=True))
    return np.stack([np.frombuffer(known[text], np.float16) for text in texts])
