"""Metrics of predictions, means over seeds, and F1 of each class, based on `dataset_builder.statistics`.

Metrics are functions of (rows, classes) arrays of 0 and 1, with exactly one 1 per row or any number.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dataset_builder.statistics import (
    MIN_GOLD_ROWS,
    RESAMPLES,
    Measure,
    bootstrap,
    calibration_bins,
    f1_by_class,
    interval_fields,
    intervals,
    label_counts,
    ratio_of_sums,
)

Metrics = dict[str, dict[str, Any]]
Clusters = Sequence[str] | None
TINY = 1e-12  # smaller variances are rounding errors


def _mean_of_rows(values: np.ndarray) -> np.ndarray:
    """Return rows whose sums are the sum of the values and their number."""
    return np.stack([values, np.ones(len(values))], axis=1)


def _exact_matches(gold: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return _mean_of_rows((gold == predicted).all(axis=1).astype(float))


def _overlaps(gold: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    true, found = gold != 0, predicted != 0
    either = (true | found).sum(axis=1)
    return _mean_of_rows(np.where(either > 0, (true & found).sum(axis=1) / np.maximum(either, 1), 1.0))


def _in_group(group: np.ndarray, is_true: np.ndarray) -> np.ndarray:
    """Return rows whose sums are the rows of the group for which it is true, and all rows of the group."""
    return np.stack([group * is_true, group], axis=1).astype(float)


def _moments(gold: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the number and the first and second moments of two (rows,); a value is subtracted first, for precision."""
    # Values far from 0 would lose digits in the differences of sums of squares.
    one, two = np.asarray(gold, dtype=float) - np.mean(gold), np.asarray(predicted, dtype=float) - np.mean(gold)
    return np.stack([np.ones(len(one)), one, two, one * one, two * two, one * two], axis=1)


def _variances(sums: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return variances, covariance and difference of the means, from sums of moments."""
    number, one, two, one_two, two_two, both = np.moveaxis(sums, -1, 0)
    first, second = one / number, two / number
    return one_two / number - first**2, two_two / number - second**2, both / number - first * second, first - second


def _correlation(sums: np.ndarray) -> np.ndarray:
    first, second, both, _ = _variances(sums)
    varies = (first > TINY) & (second > TINY)
    return np.asarray(np.where(varies, both / np.sqrt(np.where(varies, first * second, 1.0)), 0.0))


def _concordance(sums: np.ndarray) -> np.ndarray:
    first, second, both, apart = _variances(sums)
    spread = first + second + apart**2
    return np.asarray(np.where(spread > TINY, 2 * both / np.where(spread > TINY, spread, 1.0), 0.0))


# Share of rows with all their classes right and no other.
accuracy = Measure(_exact_matches, ratio_of_sums)
# Share of the rows of a group, (rows,) 0 or 1, for which something is true, (rows,).
share_in_group = Measure(_in_group, ratio_of_sums)
# Mean over rows of shared classes divided by classes of either; 1 if both have none (SemEval-2018's accuracy).
jaccard = Measure(_overlaps, ratio_of_sums)
# Correlation of two (rows,) arrays; 0 if one of them is constant.
pearson = Measure(_moments, _correlation, least=-1.0)
# Lin's concordance of two (rows,) arrays on the same scale: correlation, penalised for other means and spreads.
concordance = Measure(_moments, _concordance, least=-1.0)


def _absolute_errors(gold: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return _mean_of_rows(np.abs(np.asarray(gold, dtype=float) - predicted))


# Mean absolute error of two (rows,) arrays on EmoBank's scale of 1 to 5.
absolute_error = Measure(_absolute_errors, ratio_of_sums, most=4.0)


def largest(scores: np.ndarray) -> np.ndarray:
    """1 for each row's class of the largest score, the first of equals, else 0: (rows, classes)."""
    chosen: np.ndarray = np.eye(scores.shape[1], dtype=np.int8)[scores.argmax(axis=1)]
    return chosen


def per_class(gold: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """Each class's `f1`, `precision` and `recall`, all (classes,); 0 if it is not defined, as without a gold row."""
    hits, true, found = np.split(label_counts(gold, predicted).sum(axis=0), 3)
    of = {"precision": (hits, found), "recall": (hits, true), "f1": (2 * hits, true + found)}
    return {name: np.asarray(above / np.maximum(below, 1), dtype=float) for name, (above, below) in of.items()}


def reliability(gold: np.ndarray, probabilities: np.ndarray) -> list[dict[str, float]]:
    """The bins of `expected_calibration_error` that hold a decision: mean probability, frequency, and how many."""
    sizes, confidence, frequency = calibration_bins(gold, probabilities)
    return [
        {"probability": round(p / n, 4), "frequency": round(f / n, 4), "decisions": int(n)}
        for n, p, f in zip(sizes, confidence, frequency, strict=True)
        if n
    ]


def of_seeds(values: list[float]) -> dict[str, Any]:
    """Return a value for each seed as a metric: their mean and, if there are several, each of them."""
    mean = {"value": round(float(np.mean(values)), 4)}
    return mean | {"seeds": [round(value, 4) for value in values]} if len(values) > 1 else mean


def over_seeds(measure: Measure, gold: np.ndarray, predicted: np.ndarray, clusters: Clusters = None) -> dict[str, Any]:
    """Return a measure's mean over the seeds of (rows, seeds, classes) or (rows, seeds), with its interval."""
    seeds = predicted.shape[1]
    values = of_seeds([measure(gold, predicted[:, seed]) for seed in range(seeds)])
    low, high = bootstrap(measure.mean_over_seeds(seeds), gold, predicted, clusters=clusters)
    return {"value": values["value"], **interval_fields(low, high), **values}


def by_class(
    classes: Sequence[str],
    gold: np.ndarray,
    predicted: np.ndarray,
    thresholds: np.ndarray | None = None,
    clusters: Clusters = None,
) -> dict[str, dict[str, float]]:
    """F1, precision and recall of each class, the mean of the seeds of (rows, seeds, classes), and its gold rows.

    F1 has an interval, `low` and `high`, if five or more rows have the class, and as many clusters. `thresholds`
    (classes,) are added if each class has one.
    """
    seeds = range(predicted.shape[1])
    found = [per_class(gold, predicted[:, seed]) for seed in seeds]
    means = {name: np.mean([of_seed[name] for of_seed in found], axis=0) for name in ("f1", "precision", "recall")}
    every = f1_by_class.mean_over_seeds(len(seeds))
    low, high = intervals(every.rows(gold, predicted), every.of, clusters)
    rows = {}
    for column, name in enumerate(classes):
        rows[name] = {measured: round(float(values[column]), 4) for measured, values in means.items()}
        with_class = np.flatnonzero(gold[:, column]).tolist()
        if len(with_class if clusters is None else {clusters[row] for row in with_class}) >= MIN_GOLD_ROWS:
            rows[name] |= interval_fields(low[column], high[column])
        if thresholds is not None:
            rows[name]["threshold"] = round(float(thresholds[column]), 4)
        rows[name]["support"] = len(with_class)
    return rows


def shown(metric: Mapping[str, Any]) -> str:
    """`0.1230 [0.1100, 0.1350]`, without the brackets if there is no interval."""
    value = f"{metric['value']:.4f}"
    return f"{value} [{metric['low']:.4f}, {metric['high']:.4f}]" if "low" in metric else value


def about_intervals(rows: int, clusters: Clusters, units: str) -> str:
    """Return how a result file describes its intervals: how many resamples, and of what."""
    drawn = rows if clusters is None else len(set(clusters))
    return f"95% bootstrap intervals, {RESAMPLES:,} resamples of {drawn:,} {units}"
