"""Diversity of texts: pure functions of texts, tokens and embeddings; nothing is read or sampled here.

The definitions reproduce the values of human text in reference_values.tsv (measure_corpora.py compares them).
Distinct-n falls and compression rises with the number of tokens, so values are comparable only at equal size. All
metrics use the tokens of filters/near_duplicates.py.
"""

import gzip
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from dataset_builder.filters.near_duplicates import NearDuplicates, shingles

Tokens = Sequence[str]


def n_grams(text: Tokens, n: int) -> list[tuple[str, ...]]:
    """Return all n-grams of a text, repeated ones too."""
    return list(zip(*(text[i:] for i in range(n)), strict=False))


def gzip_ratio(texts: Iterable[str], size: int = 500_000) -> tuple[float, int]:
    """Return the gzip (level 9) compression ratio of the first `size` bytes, one text per line, and the byte count.

    The order of the texts changes it by about .01. Compression ratio of Shaib et al. 2024 (arXiv 2403.00553).
    """
    joined = bytearray()
    for text in texts:
        joined += text.encode() + b"\n"
        if len(joined) >= size:
            break
    joined = joined[:size]
    return (len(joined) / len(gzip.compress(joined, 9)) if joined else math.nan), len(joined)


def distinct(texts: Iterable[Tokens], n: int) -> float:
    """Return distinct n-grams over all n-grams (Li et al. 2016); NaN without any."""
    counts = Counter(gram for text in texts for gram in n_grams(text, n))
    return len(counts) / counts.total() if counts else math.nan


def first_tokens(texts: Iterable[Tokens], budget: int) -> list[Tokens] | None:
    """Return the first texts that together have `budget` tokens, the last one cut; None if there are fewer."""
    taken: list[Tokens] = []
    for text in texts:
        taken.append(text[:budget])
        budget -= len(taken[-1])
        if budget == 0:
            return taken
    return None


def shared_four_grams(texts: Sequence[Tokens]) -> dict[str, float]:
    """Return how much of the texts' 4-grams occurs in more than one text, by three measures; NaN without a 4-gram.

    `shared_four_grams`: share of the texts' distinct 4-grams, pooled over texts. `texts_with_shared_four_gram`: share
    of the texts that have a 4-gram. `self_repetition`: mean of log(1 + a text's shared 4-grams) (Salkar et al. 2022).
    """
    grams = [n_grams(text, 4) for text in texts]
    texts_with = Counter(gram for found in grams for gram in set(found))
    shared = [sum(texts_with[gram] > 1 for gram in found) for found in grams]
    long_enough = sum(map(bool, grams))
    names = ("shared_four_grams", "texts_with_shared_four_gram", "self_repetition")
    if not long_enough:
        return dict.fromkeys(names, math.nan)
    values = (
        sum(count for count in texts_with.values() if count > 1) / texts_with.total(),
        sum(map(bool, shared)) / long_enough,
        sum(map(math.log1p, shared)) / len(texts),
    )
    return dict(zip(names, values, strict=True))


def self_bleu(texts: Sequence[Tokens]) -> float:
    """Mean BLEU-4 of each text against all others (Zhu et al. 2018); an order without a match counts 0.1 matches.

    A text of fewer than four tokens is scored on the orders that it has. Time and memory are linear in the tokens:
    for every n-gram, only the two largest counts in a single text are kept.
    """
    texts = [text for text in texts if text]
    if len(texts) < 2:
        return math.nan
    counts = [[Counter(n_grams(text, n)) for n in range(1, 5)] for text in texts]
    most: dict[tuple[str, ...], tuple[int, int, int]] = {}  # n-gram: largest count, the text that has it, second
    for number, orders in enumerate(counts):
        for order in orders:
            for gram, count in order.items():
                first, owner, second = most.get(gram, (0, -1, 0))
                most[gram] = (count, number, first) if count > first else (first, owner, max(second, count))
    lengths = sorted(len(text) for text in texts)
    scores = []
    for number, orders in enumerate(counts):
        logs = []
        for order in filter(None, orders):
            matched = 0
            for gram, count in order.items():
                first, owner, second = most[gram]
                matched += min(count, second if owner == number else first)
            # An order without a match would make the whole score 0.
            logs.append(math.log(max(matched, 0.1) / order.total()))
        # Brevity penalty relative to the other text with the closest length; of two, the shorter.
        own = len(texts[number])
        place = bisect_left(lengths, own)
        others = [*lengths[max(place - 1, 0) : place], *lengths[place + 1 : place + 2]]
        closest = min(others, key=lambda length: (abs(length - own), length))
        scores.append(math.exp(sum(logs) / len(logs) + min(0.0, 1 - closest / own)))
    return sum(scores) / len(scores)


def near_duplicates(texts: Sequence[Tokens], at: float = 0.7) -> float:
    """Return the share of texts with an equal or near-duplicate earlier text at this Jaccard index.

    The definition and the index are those of the filters, so a filtered corpus has no duplicates here.
    """
    index = NearDuplicates(at)
    known: set[frozenset[int]] = set()
    repeated = 0
    for found in map(shingles, texts):
        if found in known:
            repeated += 1
            continue
        known.add(found)
        repeated += any(True for _ in index.matches(found))
        index.add(found)
    return repeated / len(texts) if texts else math.nan


def vendi_score(embedded: np.ndarray) -> float:
    """Return the effective number of different texts, 1 to n (Friedman and Dieng 2023), from unit embeddings (n, size).

    The kernel is the cosine; its eigenvalues are those of the smaller (size, size) matrix.
    """
    values = np.linalg.eigvalsh(embedded.T @ embedded / len(embedded))
    # 0 · log 0 counts as 0; rounding may leave tiny negative eigenvalues.
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def pair_cosines(embedded: np.ndarray, groups: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosines of all pairs of unit embeddings (n, size): pairs within a group, and pairs across groups."""
    names = np.array(groups)
    same = names[:, None] == names[None, :]
    upper = np.triu(np.ones_like(same), k=1)
    cosines = embedded @ embedded.T
    return cosines[same & upper], cosines[~same & upper]


def entropy(counts: np.ndarray) -> float:
    """Entropy in bits of counts or weights along the last axis, averaged over the others; empty rows count 0."""
    weights = np.asarray(counts, dtype=float)
    shares = weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-12)
    bits = -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=-1)
    return float(bits.mean())
