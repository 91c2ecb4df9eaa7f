"""Calibration of the probabilities, fitted only on the validation split."""

from dataclasses import dataclass

import numpy as np
import torch

from dataset_builder.taxonomy import LABELS

# How strongly a label's calibration is shrunk to the mean of all labels, in nats: a label without positives gets the
# mean's calibration, a label with hundreds of positives its own.
PRIOR = 10.0


@dataclass(frozen=True)
class Calibration:
    """Calibrated logits are `logits / temperature + shift`; both have the shape (labels,)."""

    temperature: np.ndarray
    shift: np.ndarray

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated logits (rows, labels)."""
        calibrated: np.ndarray = logits / self.temperature + self.shift
        return calibrated


NO_CALIBRATION = Calibration(np.ones(len(LABELS)), np.zeros(len(LABELS)))


def calibrate(logits: np.ndarray, gold: np.ndarray) -> Calibration:
    """A temperature and a shift for each label (Platt scaling), by the least cross-entropy on the validation split.

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
        # Without this, the best scale of an uninformative model is 0, and its scores would no longer rank anything.
        loss = loss + log_scale.mean() ** 2
        loss.backward()
        return loss

    optimiser.step(closure)
    return Calibration((-log_scale).exp().detach().numpy(), shift.detach().numpy())
