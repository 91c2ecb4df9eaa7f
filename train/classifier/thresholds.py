"""Calibration and decision thresholds, fitted on the development split and nowhere else."""

from dataclasses import dataclass

import numpy as np
import torch

from dataset_builder import statistics

GRID = np.round(np.arange(0.05, 0.951, 0.01), 2)  # the paper's sweep
SHRINK = 30  # a label with so many development positives gets half of its own threshold, half of the global one
FOLDS = 5
PRIOR = 10.0  # weight of a label's agreement with the other labels, in nats; a label without positives follows them


@dataclass(frozen=True)
class Calibration:
    """Calibrated logits are `logits / temperature + shift`, both (labels,); the head's last layer takes them up."""

    temperature: np.ndarray
    shift: np.ndarray

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated logits (rows, labels)."""
        calibrated: np.ndarray = logits / self.temperature + self.shift
        return calibrated


def calibrate(logits: np.ndarray, gold: np.ndarray) -> Calibration:
    """A temperature and a shift for each label (Platt scaling): least cross-entropy on the development split.

    A rare label's own optimum is noise, so each label pays for its distance from the mean of all labels.

    Args:
        logits: (rows, labels).
        gold: (rows, labels), 0 or 1.
    """
    inputs, targets = torch.tensor(logits, dtype=torch.float64), torch.tensor(gold, dtype=torch.float64)
    log_scale = torch.zeros(inputs.shape[1], dtype=torch.float64, requires_grad=True)
    shift = torch.zeros(inputs.shape[1], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([log_scale, shift], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        scaled = inputs * log_scale.exp() + shift
        loss = torch.nn.functional.binary_cross_entropy_with_logits(scaled, targets, reduction="sum")
        loss = loss + PRIOR * ((log_scale - log_scale.mean()) ** 2 + (shift - shift.mean()) ** 2).sum()
        loss = loss + log_scale.mean() ** 2  # a model that knows nothing still ranks
        loss.backward()
        return loss

    optimiser.step(closure)
    return Calibration((-log_scale).exp().detach().numpy(), shift.detach().numpy())


def calibration_error(probabilities: np.ndarray, gold: np.ndarray) -> float:
    """Calibration error of all decisions together, as evaluation has it; both (rows, labels)."""
    return statistics.expected_calibration_error(gold, probabilities)


def global_threshold(probabilities: np.ndarray, gold: np.ndarray) -> tuple[float, float]:
    """The one threshold with the best macro-F1, and that macro-F1 (paper A, evaluation).

    Args:
        probabilities: (rows, labels), of the development split.
        gold: (rows, labels), 0 or 1. Labels without a gold row are left out: they would reward silence.
    """
    present = gold.sum(axis=0) > 0
    f1 = _f1_of_grid(probabilities[:, present], gold[:, present]).mean(axis=1)
    best = int(f1.argmax())
    return float(GRID[best]), float(f1[best])


def label_thresholds(probabilities: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """One threshold for each label, (labels,): its own best F1, shrunk towards the global one where it is rare."""
    shared, _ = global_threshold(probabilities, gold)
    own = GRID[_f1_of_grid(probabilities, gold).argmax(axis=0)]
    positives = gold.sum(axis=0)
    thresholds: np.ndarray = (positives * own + SHRINK * shared) / (positives + SHRINK)
    return thresholds.round(4)


def choose_thresholds(probabilities: np.ndarray, gold: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    """Thresholds (labels,) and how they were chosen: per label where that is better on rows they were not fitted on.

    The two kinds are compared by 5-fold cross-validation within the development split.
    """
    fold = np.random.default_rng(seed).permutation(len(gold)) % FOLDS
    found = {"one for all labels": np.zeros_like(gold, dtype=bool), "one for each label": np.zeros_like(gold, bool)}
    for number in range(FOLDS):
        fit, held = fold != number, fold == number
        if not gold[fit].any() or not held.any():
            continue
        shared, _ = global_threshold(probabilities[fit], gold[fit])
        found["one for all labels"][held] = probabilities[held] >= shared
        found["one for each label"][held] = probabilities[held] >= label_thresholds(probabilities[fit], gold[fit])
    scores = {kind: macro_f1(predicted, gold) for kind, predicted in found.items()}
    compared = f"macro-F1 by {FOLDS}-fold cross-validation there: " + ", ".join(
        f"{score:.4f} with {kind}" for kind, score in scores.items()
    )
    if scores["one for each label"] > scores["one for all labels"]:
        thresholds, kind = label_thresholds(probabilities, gold), "one for each label, rare labels shrunk to the rest"
    else:
        shared, _ = global_threshold(probabilities, gold)
        thresholds, kind = np.full(gold.shape[1], shared), "one value for all labels"
    return thresholds, f"{kind}; best F1 on {len(gold)} validation rows ({compared})"


def macro_f1(predicted: np.ndarray, gold: np.ndarray) -> float:
    """Macro-F1 as evaluation has it, the mean over the labels that occur in `gold`; both (rows, labels), 0 or 1."""
    return statistics.macro_f1(gold, predicted)


def _f1_of_grid(probabilities: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """F1 of each label at each threshold, (thresholds, labels); 0 for a label without a gold row."""
    gold = gold.astype(bool)
    f1 = np.empty((len(GRID), gold.shape[1]))
    for row, threshold in enumerate(GRID):
        predicted = probabilities >= threshold
        hits, found = (predicted & gold).sum(axis=0), predicted.sum(axis=0)
        f1[row] = np.nan_to_num(statistics.f1_from_counts(hits, gold.sum(axis=0), found))
    return f1
