"""The metrics of one config, from its survey: diversity, duplicates, labels, similarity. Each step is timed."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from dataset_builder.analysis.diversity_metrics import (
    distinct,
    entropy,
    first_tokens,
    gzip_ratio,
    near_duplicates,
    pair_cosines,
    self_bleu,
    shared_four_grams,
    vendi_score,
)
from dataset_builder.analysis.label_errors import label_errors
from dataset_builder.analysis.survey import Survey, Text
from dataset_builder.files.reading import package_table
from dataset_builder.filters.near_duplicates import tokens
from dataset_builder.taxonomy import LABELS, NEUTRAL

PAPER_SHARES = Path(__file__).with_name("paper_class_shares.tsv")
Encode = Callable[[list[str]], np.ndarray]
Metric = dict[str, float]
# Sample sizes: Self-BLEU, embeddings and the eigenvalues of the Vendi score take seconds at these sizes.
NGRAM_TEXTS = 10_000
BLEU_TEXTS = 1_000
EMBEDDED_TEXTS = 2_500
VENDI_TEXTS = 2_000
GZIP_BYTES = 500_000  # as the reference values of human text
TOKEN_BUDGET = 15_000  # and BYTE_BUDGET: sizes at which a small corpus is comparable with a large one
BYTE_BUDGET = 60_000


@dataclass
class CorpusMetrics:
    """`metrics` by name, and the `seconds` of each step."""

    metrics: dict[str, Metric] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, value: float, **more: float) -> None:
        """Add a metric, unless it is undefined (NaN)."""
        if not math.isnan(value):
            self.metrics[name] = {"value": round(float(value), 4)} | more

    def add_cosines(self, name: str, cosines: np.ndarray) -> None:
        """Add the mean of some cosines, if there are any."""
        if len(cosines):
            spread = round(float(cosines.std()), 4)
            self.add(f"cosine_{name}", float(cosines.mean()), deviation=spread, pairs=len(cosines))

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Note how long a step takes."""
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 2)


def measure_config(found: Survey, encode: Encode | None) -> CorpusMetrics:
    """Compute all metrics of a config; without an encoder, only those that need none."""
    made = CorpusMetrics()
    _diversity(found, made)
    if found.labelled:
        with made.timed("labels"):
            _labels(found, made)
            _requested(found, made)
    if encode and found.sample:
        _similarity(found, encode, made)
    return made


def _mean(counts: Counter[int]) -> float:
    return sum(size * count for size, count in counts.items()) / max(counts.total(), 1)


def _deviation(counts: Counter[int]) -> float:
    return math.sqrt(max(0.0, _mean(Counter({size**2: count for size, count in counts.items()})) - _mean(counts) ** 2))


def _diversity(found: Survey, made: CorpusMetrics) -> None:
    texts = [tokens(text.text) for text in found.sample[:NGRAM_TEXTS]]
    size = len(texts)
    made.add("rows", found.rows)
    made.add("tokens_per_text", _mean(found.text_lengths))
    if found.context_lengths:
        made.add("tokens_per_context", _mean(found.context_lengths))
    with made.timed("gzip_ratio"):
        for name, limit in (("gzip_ratio", GZIP_BYTES), ("gzip_ratio_of_60_kb", BYTE_BUDGET)):
            ratio, taken = gzip_ratio((text.text for text in found.sample), limit)
            if limit == GZIP_BYTES or taken == limit:
                made.add(name, ratio, bytes=taken)
    with made.timed("distinct"):
        values = [distinct(texts, n) for n in range(1, 5)]
        for n, value in enumerate(values, 1):
            made.add(f"distinct_{n}", value, texts=size)
        made.add("ngd", sum(values), texts=size)
        if budget := first_tokens(texts, TOKEN_BUDGET):
            for n in range(1, 5):
                made.add(f"distinct_{n}_of_15k_tokens", distinct(budget, n))
    with made.timed("shared_four_grams"):
        for name, value in shared_four_grams(texts).items():
            made.add(name, value, texts=size)
    with made.timed("self_bleu"):
        made.add("self_bleu", self_bleu(texts[:BLEU_TEXTS]), texts=min(size, BLEU_TEXTS))
    made.add("exact_duplicates", found.exact / max(found.sampled_from, 1), texts=found.sampled_from)
    with made.timed("near_duplicates"):
        in_order = [tokens(text.text) for text in sorted(found.sample, key=lambda text: text.number)]
        made.add("near_duplicates", near_duplicates(in_order), texts=len(in_order))


def _labels(found: Survey, made: CorpusMetrics) -> None:
    """Compute the number of labels per text, their balance and their strength."""
    rows = found.labels_of_a_text.total()
    most = round(math.log2(len(LABELS)), 4)
    deviation = round(_deviation(found.labels_of_a_text), 4)
    made.add("labels_per_text", _mean(found.labels_of_a_text), deviation=deviation)
    made.add("texts_without_label", found.labels_of_a_text[0] / rows)
    made.add("neutral_share", found.label_counts[NEUTRAL] / rows)
    made.add("neutral_share_of_labels", found.label_counts[NEUTRAL] / max(found.label_counts.sum(), 1))
    if len({*found.label_counts.tolist()}) > 1:  # a rank correlation of equal numbers is not defined
        percent = {row["label"]: float(row["percent"]) for row in package_table(PAPER_SHARES)}
        found_and_paper = spearmanr(found.label_counts, [percent[label] for label in LABELS])
        made.add("class_shares_like_paper", float(found_and_paper.statistic))
    made.add("label_entropy", entropy(found.label_counts), most=most)
    made.add("rarest_label", int(found.label_counts.min()))
    scored = [(text.scores, list(text.labels)) for text in found.sample if text.scores is not None]
    if scored:
        made.add("score_entropy", entropy(np.stack([scores for scores, _ in scored])), most=most)
        kept = np.concatenate([scores[labels] for scores, labels in scored])
        if len(kept):
            made.add("label_score", float(kept.mean()), deviation=round(float(kept.std()), 4))
            made.add("labels_at_full_score", float((kept > 0.995).mean()))


def _requested(found: Survey, made: CorpusMetrics) -> None:
    """Compute how often the labels match the requested emotion."""
    asked = [(text.requested, text.top, text.labels) for text in found.sample]
    known = [(wish, top, labels) for wish, top, labels in asked if wish is not None and top is not None]
    if known:
        wishes, tops = [wish for wish, _, _ in known], [top for _, top, _ in known]
        made.add("requested_is_a_label", sum(wish in labels for wish, _, labels in known) / len(known))
        made.add("requested_is_top_label", sum(wish == top for wish, top, _ in known) / len(known))
        one_class = len({*wishes, *tops}) == 1  # kappa is not defined then
        made.add("requested_kappa", 1.0 if one_class else cohen_kappa_score(wishes, tops))


def _similarity(found: Survey, encode: Encode, made: CorpusMetrics) -> None:
    """Compute the metrics that need embeddings, on at most about 3,000 texts."""
    base = found.sample[:EMBEDDED_TEXTS]
    wanted = list(dict.fromkeys(text.text for text in (*base, *found.speakers, *found.neutrals)))
    with made.timed("embeddings"):
        vectors = dict(zip(wanted, encode(wanted), strict=True))

    def embedded(texts: Sequence[Text]) -> np.ndarray:
        return np.stack([vectors[text.text] for text in texts])

    with made.timed("vendi_score"):
        some = base[:VENDI_TEXTS]
        made.add("vendi_score", vendi_score(embedded(some)), texts=len(some))
    with made.timed("cosines"):
        everyone = [text.speaker or f"row {number}" for number, text in enumerate(base)]
        made.add_cosines("across_characters", pair_cosines(embedded(base), everyone)[1])
        if found.speakers:
            speakers = [text.speaker for text in found.speakers]
            made.add_cosines("within_character", pair_cosines(embedded(found.speakers), speakers)[0])
        if found.neutrals:
            speakers = [text.speaker for text in found.neutrals]
            within, across = pair_cosines(embedded(found.neutrals), speakers)
            made.add_cosines("neutral_within_character", within)
            made.add_cosines("neutral_across_characters", across)
    labelled = [text for text in base if text.labels]
    if labelled:
        with made.timed("label_errors"):
            given = np.zeros((len(labelled), len(LABELS)), dtype=bool)
            for number, text in enumerate(labelled):
                given[number, list(text.labels)] = True
            top = np.array([text.top for text in labelled])
            groups = [text.narrative or text.key or text.text for text in labelled]
            if errors := label_errors(embedded(labelled), given, top, groups):
                made.add("label_errors", errors.share, texts=len(labelled))
                made.add("label_errors_classifier", errors.accuracy, texts=len(labelled))
