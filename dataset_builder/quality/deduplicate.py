"""Exact and near duplicates. Rows come in a fixed order; of a group of twins the first is kept."""

from datasketch import LeanMinHash, MinHash, MinHashLSH

from dataset_builder.quality.validate import words

PERMUTATIONS = 128


class Deduplicator:
    """Says of each text whether one like it was seen before: the same words, or MinHash Jaccard of word 3-grams.

    With `near_duplicate_at=None` only the same words count.
    """

    def __init__(self, near_duplicate_at: float | None) -> None:
        self._seen: dict[str, str] = {}
        self._threshold = near_duplicate_at
        self._index = MinHashLSH(threshold=near_duplicate_at or 1.0, num_perm=PERMUTATIONS)
        self._hashes: dict[str, LeanMinHash] = {}
        self._blank = MinHash(num_perm=PERMUTATIONS, seed=1)  # drawing the permutations takes as long as using them

    def check(self, key: str, text: str) -> tuple[str, str] | None:
        """`(duplicate | near_duplicate, key of the twin)`, or None; new texts are remembered."""
        tokens = words(text)
        normal = " ".join(tokens)
        if normal in self._seen:
            return "duplicate", self._seen[normal]
        self._seen[normal] = key
        if self._threshold is None:
            return None
        shingles = {" ".join(tokens[i : i + 3]).encode() for i in range(max(1, len(tokens) - 2))}
        minhash = self._blank.copy()
        minhash.update_batch(sorted(shingles))
        for twin in sorted(self._index.query(minhash)):
            if minhash.jaccard(self._hashes[twin]) >= self._threshold:
                return "near_duplicate", twin
        self._index.insert(key, minhash)
        self._hashes[key] = LeanMinHash(minhash)
        return None
