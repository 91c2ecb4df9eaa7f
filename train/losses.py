"""Losses over 28 sigmoid outputs: pure functions of logits and targets, both (batch, 28), targets in [0, 1]."""

import torch
from torch.nn.functional import binary_cross_entropy_with_logits


def binary_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean binary cross-entropy, a scalar; soft targets are allowed (paper A trains on hard ones)."""
    return binary_cross_entropy_with_logits(logits, targets)
