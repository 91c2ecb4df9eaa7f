"""Losses over sigmoid outputs: pure functions of logits and targets, both (batch, labels), targets in [0, 1].

Each is a scalar, the mean over all decisions. A soft target t counts as t of a positive and 1 - t of a negative. Only
cross-entropy is proper for soft targets: the minimum of the asymmetric loss is not at probability t, so recipes refuse
it.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from train.classifier.recipe import ClassifierRecipe

SMALLEST_BASE = 1e-6  # the smallest base of a power: with an exponent below 1 the gradient at 0 is not finite

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def asymmetric(logits: torch.Tensor, targets: torch.Tensor, gamma_negative: float, clip: float) -> torch.Tensor:
    """Cross-entropy in which easy negatives count less: a negative with probability p by max(p - clip, 0)^gamma.

    Ridnik et al. 2021, arXiv 2009.14119, without a discount for positives.
    """
    # Where nothing is clipped, log(1 - p) is computed from the logits: it stays finite for any logit.
    clipped = (torch.sigmoid(logits) - clip).clamp(min=0, max=1 - SMALLEST_BASE)
    log_negative = torch.log1p(-clipped) if clip else logsigmoid(-logits)
    of_positives = targets * logsigmoid(logits)
    of_negatives = (1 - targets) * clipped.clamp(min=SMALLEST_BASE) ** gamma_negative * log_negative
    return -(of_positives + of_negatives).mean()


def loss_of(recipe: ClassifierRecipe) -> Loss:
    """Return the loss that a recipe names, with the recipe's values."""
    if recipe.loss == "asymmetric":
        return partial(asymmetric, gamma_negative=recipe.gamma_negative, clip=recipe.clip)
    return binary_cross_entropy_with_logits
