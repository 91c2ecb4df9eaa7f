"""Decision thresholds, chosen on the development split and nowhere else."""

import numpy as np

GRID = np.round(np.arange(0.05, 0.951, 0.01), 2)  # the paper's sweep


def global_threshold(probabilities: np.ndarray, gold: np.ndarray) -> tuple[float, float]:
    """The one threshold with the best macro-F1, and that macro-F1 (paper A, evaluation).

    Args:
        probabilities: (rows, 28), of the development split.
        gold: (rows, 28), 0 or 1. Classes without a gold row are left out: they would reward silence.
    """
    present = gold.sum(axis=0) > 0
    gold = gold[:, present].astype(bool)
    best = (0.5, -1.0)
    for threshold in GRID:
        predicted = probabilities[:, present] >= threshold
        hits = (predicted & gold).sum(axis=0)
        f1 = 2 * hits / np.maximum(predicted.sum(axis=0) + gold.sum(axis=0), 1)
        if f1.mean() > best[1] + 1e-12:
            best = (float(threshold), float(f1.mean()))
    return best
