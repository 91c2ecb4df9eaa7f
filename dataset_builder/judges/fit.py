"""Fits ensembles: weights of judges, biases of labels and thresholds, on texts whose labels are known."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from dataset_builder.filters.ensemble import Fit, log_odds, sets_of
from dataset_builder.statistics import macro_f1
from dataset_builder.taxonomy import LABELS

# How far the biases of labels may differ: a normal distribution around their mean with this variance. A label has some
# 30 of 1,000 held-out rows, enough to tell its frequency, so the prior is weak.
BIAS_VARIANCE = 4.0
GRID = np.arange(0.05, 0.71, 0.01)  # thresholds that are tried
FOLDS = 5
LEAST_ROWS = 50  # for a fit of 28 biases and a threshold


def fit_all(judges: Sequence[str], judged: np.ndarray, gold: np.ndarray) -> tuple[Fit, ...]:
    """Fit every set of judges, each on the texts that all of them have read.

    Args:
        judged: scores (texts, judges, 28); NaN where a judge gave none.
        gold: weights of labels, (texts, 28).

    Returns:
        The fits; a set whose judges have too few texts in common has none.
    """
    found = []
    for chosen in sets_of(judges):
        columns = [judges.index(judge) for judge in chosen]
        read = np.isfinite(judged[:, columns]).all(axis=(1, 2))
        if read.sum() >= LEAST_ROWS:
            found.append(fit(chosen, judged[read][:, columns], gold[read]))
    return tuple(found)


def fit(judges: Sequence[str], judged: np.ndarray, gold: np.ndarray) -> Fit:
    """Return the weights (not negative) and biases that make the gold weights most likely, and the best threshold.

    Args:
        judged: scores (texts, judges, 28), all finite.
        gold: weights of labels in [0, 1], (texts, 28).
    """
    odds = log_odds(judged)

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the cross-entropy with the prior, and its gradient."""
        weights, bias = values[: len(judges)], values[len(judges) :]
        summed = np.einsum("tjl,j->tl", odds, weights) + bias
        off = bias - bias.mean()
        entropy = np.logaddexp(0, summed).sum() - (gold * summed).sum()
        error = expit(summed) - gold
        gradient = np.concatenate([np.einsum("tjl,tl->j", odds, error), error.sum(axis=0) + off / BIAS_VARIANCE])
        return float(entropy + (off**2).sum() / (2 * BIAS_VARIANCE)), gradient

    start = np.concatenate([np.full(len(judges), 1 / len(judges)), np.full(len(LABELS), -1.0)])
    bounds = [(0, None)] * len(judges) + [(None, None)] * len(LABELS)
    values = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x.round(4)
    made = Fit(
        judges=tuple(judges),
        weights=tuple(map(float, values[: len(judges)])),
        bias=tuple(map(float, values[len(judges) :])),
        threshold=0.5,
    )
    scores, truth = made.scores(judged), gold > 0
    best = max(GRID, key=lambda threshold: macro_f1(truth, scores >= threshold))
    return made.model_copy(update={"threshold": round(float(best), 2)})


def out_of_fold(
    judges: Sequence[str], judged: np.ndarray, gold: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores (texts, 28) and chosen labels (texts, 28) of texts by fits that have not seen them.

    Args:
        groups: texts with the same number are in the same fold.
    """
    scores, chosen = np.zeros(gold.shape), np.zeros(gold.shape, dtype=bool)
    for fold in range(FOLDS):
        held = groups % FOLDS == fold
        if held.any() and not held.all():
            made = fit(judges, judged[~held], gold[~held])
            scores[held] = made.scores(judged[held])
            chosen[held] = scores[held] >= made.threshold
    return scores, chosen
