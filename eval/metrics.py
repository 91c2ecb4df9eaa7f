"""Measures of predictions: functions of (rows, classes) arrays of 0 and 1, with one 1 a row or with any number.

What training measures too, and the bootstrap, are in `dataset_builder.statistics` and have their names here as well.
"""

import numpy as np

from dataset_builder.statistics import (
    BINS,
    Measure,
    average_precision,
    bootstrap,
    brier_skill,
    calibration_bins,
    classwise_calibration_error,
    expected_calibration_error,
    label_counts,
    macro_f1,
    micro_f1,
    ratio_of_sums,
    roc_auc,
    weighted_f1,
)

__all__ = [
    "Measure",
    "accuracy",
    "average_precision",
    "bootstrap",
    "brier_skill",
    "classwise_calibration_error",
    "concordance",
    "expected_calibration_error",
    "jaccard",
    "largest",
    "macro_f1",
    "micro_f1",
    "pearson",
    "per_class",
    "reliability",
    "roc_auc",
    "weighted_f1",
]


def per_class(gold: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """Each class's `f1`, `precision` and `recall`, all (classes,); 0 where it is not defined, as without a gold row."""
    hits, true, found = np.split(label_counts(gold, predicted).sum(axis=0), 3)
    of = {"precision": (hits, found), "recall": (hits, true), "f1": (2 * hits, true + found)}
    return {name: np.asarray(above / np.maximum(below, 1), dtype=float) for name, (above, below) in of.items()}


def _mean_of_rows(values: np.ndarray) -> np.ndarray:
    """Rows whose sums are the values' sum and how many there are."""
    return np.stack([values, np.ones(len(values))], axis=1)


def _right(gold: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return _mean_of_rows((gold == predicted).all(axis=1).astype(float))


def _shared(gold: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    true, found = gold != 0, predicted != 0
    either = (true | found).sum(axis=1)
    return _mean_of_rows(np.where(either > 0, (true & found).sum(axis=1) / np.maximum(either, 1), 1.0))


def _moments(gold: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """How many, and first and second moments, of two (rows,); one value is taken off both, for precision."""
    one, two = np.asarray(gold, dtype=float) - np.mean(gold), np.asarray(predicted, dtype=float) - np.mean(gold)
    return np.stack([np.ones(len(one)), one, two, one * one, two * two, one * two], axis=1)


def _spreads(sums: np.ndarray) -> tuple[np.ndarray, ...]:
    """Variances, covariance and difference of the means, from sums of moments."""
    number, one, two, one_two, two_two, both = np.moveaxis(sums, -1, 0)
    first, second = one / number, two / number
    return one_two / number - first**2, two_two / number - second**2, both / number - first * second, first - second


def _correlation(sums: np.ndarray) -> np.ndarray:
    first, second, both, _ = _spreads(sums)
    varies = (first > TINY) & (second > TINY)
    return np.asarray(np.where(varies, both / np.sqrt(np.where(varies, first * second, 1.0)), 0.0))


def _concordance(sums: np.ndarray) -> np.ndarray:
    first, second, both, apart = _spreads(sums)
    spread = first + second + apart**2
    return np.asarray(np.where(spread > TINY, 2 * both / np.where(spread > TINY, spread, 1.0), 0.0))


TINY = 1e-12  # variances below are rounding
# Share of rows with all their classes right and no other.
accuracy = Measure(_right, ratio_of_sums)
# Mean over the rows of shared classes by classes of either; 1 where both have none (SemEval-2018's accuracy).
jaccard = Measure(_shared, ratio_of_sums)
# Correlation of two (rows,) arrays; 0 where one of them is constant.
pearson = Measure(_moments, _correlation, least=-1.0)
# Lin's concordance of two (rows,) arrays of one scale: correlation less what mean and spread differ by.
concordance = Measure(_moments, _concordance, least=-1.0)


def largest(scores: np.ndarray) -> np.ndarray:
    """1 for each row's class of the largest score, the first of equals, else 0: (rows, classes)."""
    chosen: np.ndarray = np.eye(scores.shape[1], dtype=np.int8)[scores.argmax(axis=1)]
    return chosen


def reliability(gold: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> list[dict[str, float]]:
    """The bins of `expected_calibration_error` that hold a decision: mean probability, frequency, and how many."""
    sizes, confidence, frequency = calibration_bins(gold, probabilities, bins)
    return [
        {"probability": round(p / n, 4), "frequency": round(f / n, 4), "decisions": int(n)}
        for n, p, f in zip(sizes, confidence, frequency, strict=True)
        if n
    ]
