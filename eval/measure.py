"""From scores of the 28 labels to a benchmark's numbers: decisions, metrics, one row for each class, reliability."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dataset_builder.label_maps import class_scores
from dataset_builder.statistics import MIN_GOLD_ROWS, RESAMPLES, f1_by_class, interval_fields, intervals
from dataset_builder.taxonomy import LABELS, VALENCE
from eval.benchmarks import Benchmark
from eval.metrics import (
    Measure,
    accuracy,
    average_precision,
    bootstrap,
    brier_skill,
    classwise_calibration_error,
    concordance,
    expected_calibration_error,
    jaccard,
    largest,
    macro_f1,
    micro_f1,
    pearson,
    per_class,
    reliability,
    roc_auc,
    weighted_f1,
)

Metrics = dict[str, dict[str, Any]]
Clusters = Sequence[str] | None
SIGNS = np.array([VALENCE[label] for label in LABELS], dtype=float)


def own_scores(benchmark: Benchmark, scores: np.ndarray) -> np.ndarray:
    """Scores (rows, the benchmark's classes) from scores (rows, 28): each class's best label."""
    return scores if benchmark.bridge is None else class_scores(benchmark.bridge, scores)


def decide(benchmark: Benchmark, scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Predictions (rows, the benchmark's classes) from scores (rows, 28).

    Any number of classes: those with a label over its threshold (28,). One class: that of the largest score.
    """
    if benchmark.kind == "single":
        return largest(own_scores(benchmark, scores))
    return own_scores(benchmark, (scores >= thresholds).astype(np.int8))


def valence_of(scores: np.ndarray) -> np.ndarray:
    """Valence (rows,) on EmoBank's scale of 1 to 5: 3 + 2 (positive labels' scores - negative ones'), within it."""
    clipped: np.ndarray = np.clip(3 + 2 * scores @ SIGNS, 1, 5)
    return clipped


def measure(
    benchmark: Benchmark,
    gold: np.ndarray,
    scores: Sequence[np.ndarray],
    thresholds: Sequence[np.ndarray],
    clusters: Clusters = None,
) -> Metrics:
    """All metrics of a benchmark's kind as {name: {value, low, high, seeds}}: the mean of the seeds.

    Args:
        gold: (rows, the benchmark's classes), or ratings (rows, 2).
        scores: (rows, 28), of each seed.
        thresholds: (28,), of each seed.
        clusters: an id for each row, the same for rows that hang together, such as a person's.

    Intervals are of that mean, by bootstrap over the rows or clusters (`dataset_builder.statistics.intervals`); `low`
    and `high` are left out where there is none. `seeds` has each one's value where there are several.
    """
    if benchmark.kind == "affect":
        told = np.stack([valence_of(of_seed) for of_seed in scores], axis=1)
        found = {"pearson_valence": pearson, "concordance_valence": concordance}
        return {name: over_seeds(function, gold[:, 0], told, clusters) for name, function in found.items()}
    predicted = _decided(benchmark, scores, thresholds)
    metrics: Metrics = {"macro_f1": over_seeds(macro_f1, gold, predicted, clusters)}
    if benchmark.kind == "several":
        metrics |= _of_several(benchmark, gold, predicted, scores, clusters)
    else:
        metrics["accuracy"] = over_seeds(accuracy, gold, predicted, clusters)
        metrics["weighted_f1"] = over_seeds(weighted_f1, gold, predicted, clusters)
    if benchmark.emotions:
        columns = [benchmark.classes.index(name) for name in benchmark.emotions]
        metrics["micro_f1_emotions"] = over_seeds(micro_f1, gold[:, columns], predicted[:, :, columns], clusters)
    return metrics


def _decided(benchmark: Benchmark, scores: Sequence[np.ndarray], thresholds: Sequence[np.ndarray]) -> np.ndarray:
    """The predictions of all seeds, (rows, seeds, the benchmark's classes)."""
    return np.stack([decide(benchmark, of, own) for of, own in zip(scores, thresholds, strict=True)], axis=1)


def _of_several(
    benchmark: Benchmark, gold: np.ndarray, predicted: np.ndarray, scores: Sequence[np.ndarray], clusters: Clusters
) -> Metrics:
    """What a text with any number of classes adds; what ranks and calibrates knows no threshold."""
    own = [own_scores(benchmark, of_seed) for of_seed in scores]
    at_half = np.stack([(of_seed >= 0.5).astype(np.int8) for of_seed in own], axis=1)
    return {
        "micro_f1": over_seeds(micro_f1, gold, predicted, clusters),
        "weighted_f1": over_seeds(weighted_f1, gold, predicted, clusters),
        "jaccard": over_seeds(jaccard, gold, predicted, clusters),
        "subset_accuracy": over_seeds(accuracy, gold, predicted, clusters),
        "macro_f1_at_05": over_seeds(macro_f1, gold, at_half, clusters),
        "micro_f1_at_05": over_seeds(micro_f1, gold, at_half, clusters),
        "average_precision": of_seeds([average_precision(gold, of_seed) for of_seed in own]),
        "roc_auc": of_seeds([roc_auc(gold, of_seed) for of_seed in own]),
        **calibration(gold, own),
        "labels_per_text": of_seeds(predicted.sum(axis=2).mean(axis=0).tolist()),
    }


def calibration(gold: np.ndarray, probabilities: Sequence[np.ndarray]) -> Metrics:
    """How far the probabilities (rows, classes) of each seed are what they say: by class, pooled, and Brier skill."""
    functions = {
        "classwise_ece": classwise_calibration_error, "ece": expected_calibration_error, "brier_skill": brier_skill,
    }  # fmt: skip
    return {name: of_seeds([function(gold, of) for of in probabilities]) for name, function in functions.items()}


def over_seeds(function: Measure, gold: np.ndarray, predicted: np.ndarray, clusters: Clusters = None) -> dict[str, Any]:
    """A measure's mean over the seeds of (rows, seeds, classes) or (rows, seeds), with its interval."""
    seeds = predicted.shape[1]
    values = of_seeds([function(gold, predicted[:, seed]) for seed in range(seeds)])
    low, high = bootstrap(function.mean_over_seeds(seeds), gold, predicted, clusters=clusters)
    return {"value": values["value"], **interval_fields(low, high), **values}


def shown(metric: Mapping[str, Any], digits: int = 4) -> str:
    """`0.1230 [0.1100, 0.1350]`, without the brackets where there is no interval."""
    value = f"{metric['value']:.{digits}f}"
    return f"{value} [{metric['low']:.{digits}f}, {metric['high']:.{digits}f}]" if "low" in metric else value


def of_seeds(values: list[float]) -> dict[str, Any]:
    """A value for each seed as a metric: their mean and, where there are several, each one."""
    mean = {"value": round(float(np.mean(values)), 4)}
    return mean | {"seeds": [round(value, 4) for value in values]} if len(values) > 1 else mean


def about_intervals(rows: int, clusters: Clusters = None, units: str = "rows") -> str:
    """What a result file says of its intervals: how many resamples, and of what."""
    drawn = rows if clusters is None else len(set(clusters))
    return f"95 % bootstrap intervals, {RESAMPLES:,} resamples of {drawn:,} {units}"


def by_class(
    classes: Sequence[str],
    gold: np.ndarray,
    predicted: np.ndarray,
    thresholds: np.ndarray | None = None,
    clusters: Clusters = None,
) -> dict[str, dict[str, float]]:
    """Of each class F1, precision and recall, the mean of the seeds of (rows, seeds, classes), and its gold rows.

    F1 has its interval, `low` and `high`, where five rows or more have the class, and as many clusters.
    `thresholds` (classes,) are named beside where each class has one.
    """
    seeds = range(predicted.shape[1])
    found = [per_class(gold, predicted[:, seed]) for seed in seeds]
    means = {name: np.mean([of_seed[name] for of_seed in found], axis=0) for name in ("f1", "precision", "recall")}
    every = f1_by_class.mean_over_seeds(len(seeds))
    low, high = intervals(every.rows(gold, predicted), every.of, clusters)
    rows = {}
    for column, name in enumerate(classes):
        rows[name] = {measured: round(float(values[column]), 4) for measured, values in means.items()}
        if groups_with(gold[:, column], clusters) >= MIN_GOLD_ROWS:
            rows[name] |= interval_fields(low[column], high[column])
        rows[name] |= {} if thresholds is None else {"threshold": round(float(thresholds[column]), 4)}
        rows[name]["support"] = int(gold[:, column].sum())
    return rows


def groups_with(gold: np.ndarray, clusters: Clusters) -> int:
    """How many rows, or clusters of rows, have a class, from its gold (rows,)."""
    rows = np.flatnonzero(gold).tolist()
    return len(rows) if clusters is None else len({clusters[row] for row in rows})


def details(
    benchmark: Benchmark,
    gold: np.ndarray,
    scores: Sequence[np.ndarray],
    thresholds: Sequence[np.ndarray],
    clusters: Clusters = None,
) -> dict[str, Any]:
    """What a card shows besides the metrics: the classes one by one and, of probabilities, their reliability."""
    if benchmark.kind == "affect":
        return {"per_label": {}}
    predicted = _decided(benchmark, scores, thresholds)
    named = thresholds[0] if benchmark.kind == "several" and benchmark.bridge is None else None
    found: dict[str, Any] = {"per_label": by_class(benchmark.classes, gold, predicted, named, clusters)}
    if benchmark.kind == "several":
        every = np.concatenate([own_scores(benchmark, of_seed) for of_seed in scores])
        found["reliability"] = reliability(np.concatenate([gold] * len(scores)), every)
    return found
