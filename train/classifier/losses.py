"""Losses over sigmoid outputs: pure functions of logits and targets, both (batch, labels), targets in [0, 1].

Each is a mean over all decisions, a scalar. A soft target t counts as t of a positive and 1 - t of a negative. Only
cross-entropy is proper for soft targets: the others are least for another probability than t, and recipes refuse them.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from train.classifier.recipe import ClassifierRecipe

LEAST = 1e-6  # of what is raised to a power: below 1, an exponent has no finite gradient at 0

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def binary_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """-t log p - (1 - t) log(1 - p). Paper A, training, with hard targets."""
    return binary_cross_entropy_with_logits(logits, targets)


def focal(logits: torch.Tensor, targets: torch.Tensor, gamma: float) -> torch.Tensor:
    """Cross-entropy where a decision of which the model is sure counts less: by (1 - p of the truth)^gamma.

    Lin et al. 2017, arXiv 1708.02002, without the class weight.
    """
    return asymmetric(logits, targets, gamma_positive=gamma, gamma_negative=gamma, clip=0.0)


def asymmetric(
    logits: torch.Tensor, targets: torch.Tensor, gamma_positive: float, gamma_negative: float, clip: float
) -> torch.Tensor:
    """Focal loss with an exponent of its own for each side; negatives with p below `clip` do not count at all.

    Ridnik et al. 2021, arXiv 2009.14119.
    """
    positive = torch.sigmoid(logits)
    # log(1 - p) is taken from the logits where nothing is clipped: it stays finite for any logit
    clipped = (positive - clip).clamp(min=0, max=1 - LEAST)
    log_negative = torch.log1p(-clipped) if clip else logsigmoid(-logits)
    of_positives = targets * (1 - positive).clamp(min=LEAST) ** gamma_positive * logsigmoid(logits)
    of_negatives = (1 - targets) * clipped.clamp(min=LEAST) ** gamma_negative * log_negative
    return -(of_positives + of_negatives).mean()


def loss_of(recipe: ClassifierRecipe) -> Loss:
    """The loss that a recipe names, with the recipe's values."""
    if recipe.loss == "focal":
        return partial(focal, gamma=recipe.gamma_positive)
    if recipe.loss == "asymmetric":
        return partial(
            asymmetric,
            gamma_positive=recipe.gamma_positive,
            gamma_negative=recipe.gamma_negative,
            clip=recipe.clip,
        )
    return binary_cross_entropy
