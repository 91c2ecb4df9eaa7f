"""Measures of predictions: pure functions of (rows, classes) arrays of 0 and 1, with one 1 a row or with any number.

Classes without a gold row still count in macro-F1, with 0 if the model predicts them and 0 if it does not, as
scikit-learn has it; supports are reported beside it.
"""

from collections.abc import Callable

import numpy as np
from sklearn.metrics import f1_score, jaccard_score, precision_recall_fscore_support

Measure = Callable[[np.ndarray, np.ndarray], float]
SAMPLES = 200  # of a bootstrap
BINS = 15


def macro_f1(gold: np.ndarray, predicted: np.ndarray) -> float:
    """Mean of the classes' F1."""
    return float(f1_score(gold, predicted, average="macro", zero_division=0))


def per_class(gold: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """Each class's `f1` (their mean is macro-F1), `precision` and `recall`, all (classes,)."""
    found = precision_recall_fscore_support(gold, predicted, average=None, zero_division=0)
    return dict(zip(("precision", "recall", "f1"), found[:3], strict=True))


def micro_f1(gold: np.ndarray, predicted: np.ndarray) -> float:
    """F1 over all decisions together."""
    return float(f1_score(gold, predicted, average="micro", zero_division=0))


def weighted_f1(gold: np.ndarray, predicted: np.ndarray) -> float:
    """Mean of the classes' F1, weighted by their gold rows."""
    return float(f1_score(gold, predicted, average="weighted", zero_division=0))


def accuracy(gold: np.ndarray, predicted: np.ndarray) -> float:
    """Share of rows with all their classes right and no other."""
    return float((gold == predicted).all(axis=1).mean())


def largest(scores: np.ndarray) -> np.ndarray:
    """1 for each row's class of the largest score, the first of equals, else 0: (rows, classes)."""
    chosen: np.ndarray = np.eye(scores.shape[1], dtype=np.int8)[scores.argmax(axis=1)]
    return chosen


def expected_calibration_error(gold: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> float:
    """Mean |probability - frequency| over equal-width bins of all decisions, weighted by their sizes."""
    sizes, confidence, frequency = _binned(gold, probabilities, bins)
    return float(np.abs(confidence - frequency).sum() / max(sizes.sum(), 1))


def _binned(gold: np.ndarray, probabilities: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each bin the number of decisions, the sum of their probabilities and of their truths."""
    flat, truth = probabilities.ravel(), gold.ravel()
    which = np.minimum((flat * bins).astype(int), bins - 1)
    sums = [np.bincount(which, weights=weights, minlength=bins) for weights in (None, flat, truth)]
    return sums[0], sums[1], sums[2]


def bootstrap(
    measure: Measure, gold: np.ndarray, predicted: np.ndarray, samples: int | None = None, seed: int = 13
) -> tuple[float, float]:
    """95 % interval of a measure(gold, predicted) by resampling rows, `SAMPLES` times if nothing else is said."""
    draw = np.random.default_rng(seed)
    values = []
    for _ in range(SAMPLES if samples is None else samples):
        rows = draw.integers(0, len(gold), len(gold))
        values.append(measure(gold[rows], predicted[rows]))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def average_precision(gold: np.ndarray, scores: np.ndarray) -> float:
    """Mean over the classes with a gold row of the mean precision at each of these rows, ranked by score.

    Knows no threshold. Equal scores are ranked as they come. 0 where no class has a row.
    """
    ranked = np.take_along_axis(gold, np.argsort(-scores, axis=0, kind="stable"), axis=0)
    precision = np.cumsum(ranked, axis=0) / np.arange(1, len(gold) + 1)[:, None]
    there = gold.any(axis=0)
    if not there.any():
        return 0.0
    return float(((precision * ranked).sum(axis=0)[there] / gold.sum(axis=0)[there]).mean())


def roc_auc(gold: np.ndarray, scores: np.ndarray) -> float:
    """Mean over the classes of the share of pairs, a row with it and one without, that are ranked right.

    0.5, as of a coin, where no class has both.
    """
    ranks = np.stack([_ranks(column) for column in scores.T], axis=1)
    positives = gold.sum(axis=0)
    there = (positives > 0) & (positives < len(gold))
    if not there.any():
        return 0.5
    of_positives, number = (ranks * gold).sum(axis=0)[there], positives[there]
    return float(((of_positives - number * (number + 1) / 2) / (number * (len(gold) - number))).mean())


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share their mean rank."""
    ordered = np.sort(values)
    ranks: np.ndarray = (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right") + 1) / 2
    return ranks


def pearson(gold: np.ndarray, predicted: np.ndarray) -> float:
    """Correlation of two (rows,) arrays; 0 where one of them is constant."""
    if not np.ptp(gold) or not np.ptp(predicted):
        return 0.0
    return float(np.corrcoef(gold, predicted)[0, 1])


def jaccard(gold: np.ndarray, predicted: np.ndarray) -> float:
    """Mean over the rows of shared classes by classes of either; 1 where both have none (SemEval-2018's accuracy)."""
    return float(jaccard_score(gold, predicted, average="samples", zero_division=1))


def concordance(gold: np.ndarray, predicted: np.ndarray) -> float:
    """Lin's concordance of two (rows,) arrays of one scale: correlation less what mean and spread differ by."""
    spread = gold.var() + predicted.var() + (gold.mean() - predicted.mean()) ** 2
    covariance = ((gold - gold.mean()) * (predicted - predicted.mean())).mean()
    return float(2 * covariance / spread) if spread else 0.0


def reliability(gold: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> list[dict[str, float]]:
    """The bins of `expected_calibration_error` that hold a decision: mean probability, frequency, and how many."""
    sizes, confidence, frequency = _binned(gold, probabilities, bins)
    return [
        {"probability": round(p / n, 4), "frequency": round(f / n, 4), "decisions": int(n)}
        for n, p, f in zip(sizes, confidence, frequency, strict=True)
        if n
    ]
