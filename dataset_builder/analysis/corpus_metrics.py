"""The figures of one config, from a survey of it: variety, duplicates, labels, similarity. Each is timed."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from dataset_builder.analysis.diversity_metrics import (
    distinct,
    entropy,
    first_tokens,
    gzip_ratio,
    kappa,
    near_duplicates,
    pair_cosines,
    self_bleu,
    shared_four_grams,
    vendi_score,
)
from dataset_builder.analysis.label_errors import label_errors
from dataset_builder.analysis.survey import Survey, Text
from dataset_builder.filters.near_duplicates import tokens
from dataset_builder.taxonomy import LABELS, NEUTRAL

Encode = Callable[[list[str]], np.ndarray]
Metric = dict[str, float]
NGRAM_TEXTS = 10_000
BLEU_TEXTS = 1_000
EMBEDDED_TEXTS = 2_500
VENDI_TEXTS = 2_000
TOKEN_BUDGET = 15_000  # and BYTE_BUDGET: sizes at which a small corpus compares with a large one
BYTE_BUDGET = 60_000


@dataclass
class Described:
    """`metrics` by name, the `seconds` that each took, and for plots: cosines of pairs, embeddings (texts, size)."""

    metrics: dict[str, Metric] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    cosines: dict[str, np.ndarray] = field(default_factory=dict)
    embedded: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    embedded_texts: list[Text] = field(default_factory=list)

    def put(self, name: str, value: float, **more: float) -> None:
        """Add a metric; one that cannot be had (nan) is left out."""
        if not math.isnan(value):
            self.metrics[name] = {"value": round(float(value), 4)} | more

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Note how long a measure takes."""
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 2)


def describe(found: Survey, encode: Encode | None) -> Described:
    """All figures of a config; without an encoder, those that need none."""
    made = Described()
    describe_texts(found, made)
    if found.labelled:
        with made.timed("labels"):
            _labels(found, made)
            _agreement(found, made)
    if encode and found.sample:
        _meaning(found, encode, made)
    return made


def describe_texts(found: Survey, made: Described) -> None:
    """Variety of the words and duplicates."""
    texts = [tokens(text.text) for text in found.sample]
    some = texts[:NGRAM_TEXTS]
    total = sum(found.text_lengths.values())
    made.put("rows", found.rows)
    made.put("tokens_per_text", sum(size * count for size, count in found.text_lengths.items()) / max(total, 1))
    if found.context_lengths:
        tokens_read = sum(size * count for size, count in found.context_lengths.items())
        made.put("tokens_per_context", tokens_read / found.context_lengths.total())
    with made.timed("gzip_ratio"):
        for name, size in (("gzip_ratio", 500_000), ("gzip_ratio_of_60_kb", BYTE_BUDGET)):
            ratio, taken = gzip_ratio((text.text for text in found.sample), size)
            if size == 500_000 or taken == size:
                made.put(name, ratio, bytes=taken)
    with made.timed("distinct"):
        values = [distinct(some, n) for n in range(1, 5)]
        for n, value in enumerate(values, 1):
            made.put(f"distinct_{n}", value, texts=len(some))
        made.put("ngd", sum(values), texts=len(some))
        if budget := first_tokens(some, TOKEN_BUDGET):
            for n in range(1, 5):
                made.put(f"distinct_{n}_of_15k_tokens", distinct(budget, n))
    with made.timed("shared_four_grams"):
        shared = shared_four_grams(some)
        made.put("shared_four_grams", shared.four_grams, texts=len(some))
        made.put("texts_with_shared_four_gram", shared.texts, texts=len(some))
        made.put("self_repetition", shared.self_repetition, texts=len(some))
    with made.timed("self_bleu"):
        made.put("self_bleu", self_bleu(some[:BLEU_TEXTS]), texts=min(len(some), BLEU_TEXTS))
    made.put("exact_duplicates", found.exact / max(found.sampled_from, 1), texts=found.sampled_from)
    with made.timed("near_duplicates"):
        as_they_come = [tokens(text.text) for text in sorted(found.sample, key=lambda text: text.number)]
        made.put("near_duplicates", near_duplicates(as_they_come), texts=len(as_they_come))


def _labels(found: Survey, made: Described) -> None:
    """How many labels, how even, how strong."""
    rows = found.labels_of_a_text.total()
    made.put("labels_per_text", sum(size * count for size, count in found.labels_of_a_text.items()) / rows)
    made.put("texts_without_label", found.labels_of_a_text[0] / rows)
    made.put("neutral_share", found.label_counts[NEUTRAL] / rows)
    made.put("label_entropy", entropy(found.label_counts), most=round(math.log2(len(LABELS)), 4))
    made.put("rarest_label", int(found.label_counts.min()))
    scored = [text for text in found.sample if text.scores is not None]
    if scored:
        scores = np.stack([text.scores for text in scored if text.scores is not None])
        kept = np.concatenate([text.scores[list(text.labels)] for text in scored if text.scores is not None])
        made.put("score_entropy", entropy(scores), most=round(math.log2(len(LABELS)), 4))
        if len(kept):
            made.put("label_score", float(kept.mean()), deviation=round(float(kept.std()), 4))
            made.put("labels_at_full_score", float((kept > 0.995).mean()))


def _agreement(found: Survey, made: Described) -> None:
    """Of two labelers of the same texts, where there are; else of the labels with what the teacher was asked for."""
    by_text: dict[tuple[str, str], dict[str, Text]] = {}
    if len({text.labeler for text in found.sample}) > 1:
        for text in found.sample:
            by_text.setdefault((text.text, text.context), {}).setdefault(text.labeler, text)
    counted = Counter(labeler for texts in by_text.values() if len(texts) > 1 for labeler in texts)
    two = sorted(sorted(counted), key=lambda labeler: -counted[labeler])[:2]  # the same two for all texts
    pairs = [(texts[two[0]], texts[two[1]]) for texts in by_text.values() if len(two) == 2 and {*two} <= texts.keys()]
    both = [(a.top, b.top) for a, b in pairs if a.top is not None and b.top is not None]
    if both:
        made.put("labelers_agree", sum(a == b for a, b in both) / len(both), texts=len(both))
        made.put("labelers_kappa", kappa([a for a, _ in both], [b for _, b in both]), texts=len(both))
        return
    asked = [(text.requested, text.top, text.labels) for text in found.sample]
    known = [(wish, top, labels) for wish, top, labels in asked if wish is not None and top is not None]
    if known:
        made.put("requested_is_a_label", sum(wish in labels for wish, _, labels in known) / len(known))
        made.put("requested_is_top_label", sum(wish == top for wish, top, _ in known) / len(known))
        made.put("requested_kappa", kappa([wish for wish, _, _ in known], [top for _, top, _ in known]))


def _meaning(found: Survey, encode: Encode, made: Described) -> None:
    """What needs embeddings, of at most some 3,000 texts."""
    base = found.sample[:EMBEDDED_TEXTS]
    wanted = list(dict.fromkeys(text.text for text in (*base, *found.speakers, *found.neutrals)))
    with made.timed("embeddings"):
        vectors = dict(zip(wanted, encode(wanted), strict=True))

    def embedded(texts: Sequence[Text]) -> np.ndarray:
        return np.stack([vectors[text.text] for text in texts])

    with made.timed("vendi_score"):
        some = embedded(base[:VENDI_TEXTS])
        made.put("vendi_score", vendi_score(some), texts=len(some))
    with made.timed("cosines"):
        everyone = [text.speaker or f"row {number}" for number, text in enumerate(base)]
        _cosines(made, "across_characters", pair_cosines(embedded(base), everyone)[1])
        if found.speakers:
            speakers = [text.speaker for text in found.speakers]
            _cosines(made, "within_character", pair_cosines(embedded(found.speakers), speakers)[0])
        if found.neutrals:
            speakers = [text.speaker for text in found.neutrals]
            within, across = pair_cosines(embedded(found.neutrals), speakers)
            _cosines(made, "neutral_within_character", within)
            _cosines(made, "neutral_across_characters", across)
    made.embedded, made.embedded_texts = some, base[:VENDI_TEXTS]
    labelled = [text for text in base if text.top is not None]
    if not labelled:
        return
    with made.timed("label_errors"):
        marked = np.zeros((len(labelled), len(LABELS)), dtype=bool)
        for number, text in enumerate(labelled):
            marked[number, list(text.labels)] = True
        top = np.array([text.top for text in labelled])
        groups = [text.narrative or text.key or text.text for text in labelled]
        if errors := label_errors(embedded(labelled), marked, top, groups):
            made.put("label_errors", errors.share, texts=len(labelled))
            made.put("label_errors_classifier", errors.accuracy, texts=len(labelled))


def _cosines(made: Described, name: str, found: np.ndarray) -> None:
    if len(found):
        made.cosines[name] = found
        made.put(f"cosine_{name}", float(found.mean()), deviation=round(float(found.std()), 4), pairs=len(found))
