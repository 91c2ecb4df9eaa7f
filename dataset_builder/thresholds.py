"""Decision thresholds of the labels, chosen on development rows: training and evaluation use the same rule."""

import numpy as np

from dataset_builder.statistics import f1_from_counts, macro_f1

GRID = np.round(np.arange(0.05, 0.951, 0.01), 2)  # paper A's sweep
# A label with this many validation positives gets the mean of its own best threshold and the global threshold; a rarer
# label is shrunk towards the global threshold, because its own optimum depends on a few rows.
SHRINK = 30
FOLDS = 5


def global_threshold(probabilities: np.ndarray, gold: np.ndarray) -> tuple[float, float]:
    """Return the shared threshold with the best macro-F1, and that macro-F1 (paper A, evaluation).

    Args:
        probabilities: (rows, labels), of the validation split.
        gold: (rows, labels), 0 or 1. Labels without a gold row are left out: they would reward high thresholds.
    """
    present = gold.sum(axis=0) > 0
    f1 = _f1_by_threshold(probabilities[:, present], gold[:, present]).mean(axis=1)
    best = int(f1.argmax())
    return float(GRID[best]), float(f1[best])


def label_thresholds(probabilities: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """One threshold for each label, (labels,): its own best F1, shrunk towards the global threshold if it is rare."""
    shared, _ = global_threshold(probabilities, gold)
    own = GRID[_f1_by_threshold(probabilities, gold).argmax(axis=0)]
    positives = gold.sum(axis=0)
    thresholds: np.ndarray = (positives * own + SHRINK * shared) / (positives + SHRINK)
    return thresholds.round(4)


def choose_thresholds(
    probabilities: np.ndarray, gold: np.ndarray, seed: int, one_for_all: bool = False
) -> tuple[np.ndarray, str]:
    """Return thresholds (labels,) and how they were chosen; with `one_for_all`, the shared threshold without a choice.

    Label thresholds fit noise if there are few positives. So both kinds are compared by cross-validation within the
    validation split, each on rows that it was not fitted to, and label thresholds are used only if they win.
    """
    if one_for_all:
        shared, score = global_threshold(probabilities, gold)
        chosen = f"one for all labels; chosen for F1 on {len(gold)} validation rows (macro-F1 {score:.4f})"
        return np.full(gold.shape[1], shared), chosen
    fold = np.random.default_rng(seed).permutation(len(gold)) % FOLDS
    found = {"one for all labels": np.zeros_like(gold, dtype=bool), "one per label": np.zeros_like(gold, bool)}
    for number in range(FOLDS):
        fit, held = fold != number, fold == number
        if not gold[fit].any() or not held.any():
            continue
        shared, _ = global_threshold(probabilities[fit], gold[fit])
        found["one for all labels"][held] = probabilities[held] >= shared
        found["one per label"][held] = probabilities[held] >= label_thresholds(probabilities[fit], gold[fit])
    scores = {kind: macro_f1(gold, predicted) for kind, predicted in found.items()}
    compared = f"macro-F1 in {FOLDS}-fold cross-validation: " + ", ".join(
        f"{score:.4f} with {kind}" for kind, score in scores.items()
    )
    if scores["one per label"] > scores["one for all labels"]:
        kind = "one per label, shrunk towards a shared threshold for rare labels"
        thresholds = label_thresholds(probabilities, gold)
    else:
        shared, _ = global_threshold(probabilities, gold)
        thresholds, kind = np.full(gold.shape[1], shared), "one for all labels"
    return thresholds, f"{kind}; chosen for F1 on {len(gold)} validation rows ({compared})"


def _f1_by_threshold(probabilities: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """Return F1 of each label at each threshold of the grid, (thresholds, labels); 0 for a label without a gold row."""
    gold = gold.astype(bool)
    f1 = np.empty((len(GRID), gold.shape[1]))
    for row, threshold in enumerate(GRID):
        predicted = probabilities >= threshold
        hits, found = (predicted & gold).sum(axis=0), predicted.sum(axis=0)
        f1[row] = np.nan_to_num(f1_from_counts(hits, gold.sum(axis=0), found))
    return f1
