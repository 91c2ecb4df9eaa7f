"""Losses that align texts with descriptors: pure functions of a (texts, descriptors) matrix and targets alike in shape.

A target in [0, 1] is the weight of a descriptor for a text, 0 where it is none of the text's. Columns are distinct, so
that a descriptor of several texts is positive for each of them. Each is a scalar: summed over descriptors, mean over
texts, as SigLIP has it, so that more negatives do not make the positives count less.
"""

from collections.abc import Callable

import torch
from torch.nn.functional import log_softmax, logsigmoid

from train.bi_encoder.recipe import BiEncoderRecipe

Contrast = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def sigmoid_contrastive(logits: torch.Tensor, targets: torch.Tensor, positive_weight: float = 1.0) -> torch.Tensor:
    """-w t log σ(x) - (1 - t) log σ(-x), with x = cosine / τ + b: every pair is a decision of its own.

    Paper B, with SigLIP's loss (Zhai et al. 2023, arXiv 2303.15343); a target t counts as t of a positive.
    """
    of_positives = positive_weight * targets * logsigmoid(logits)
    of_negatives = (1 - targets) * logsigmoid(-logits)
    return -(of_positives + of_negatives).sum() / len(logits)


def info_nce(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each text's softmax over descriptors with its weights, and of each descriptor's over texts.

    Radford et al. 2021 (CLIP), arXiv 2103.00020, with several soft positives: weights are scaled to a sum of 1, rows
    or columns without any are left out, and the loss is the mean of the two directions.
    """
    return (distribution(logits, targets) + distribution(logits.T, targets.T)) / 2


def distribution(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each text's softmax over descriptors with its weights: the first of InfoNCE's two directions.

    With a teacher's weights for all words, the light ones too, it is distillation of a distribution (Hinton et al.
    2015, arXiv 1503.02531): a word that came second is told from one that is out of the question.
    """
    total = targets.sum(dim=1)
    there = total > 0
    wanted = targets[there] / total[there, None]
    return -(wanted * log_softmax(logits[there], dim=1)).sum() / there.sum().clamp(min=1)


def cosine_regression(cosines: torch.Tensor, targets: torch.Tensor, positive_weight: float = 1.0) -> torch.Tensor:
    """(cosine - t)², where pairs with t > 0 count `positive_weight` times. The plainest; knows no temperature."""
    weights = torch.where(targets > 0, positive_weight, 1.0)
    return (weights * (cosines - targets) ** 2).sum() / len(cosines)


def loss_of(recipe: BiEncoderRecipe) -> Contrast:
    """The loss that a recipe names, of cosines, 1 / temperature, bias and targets."""

    def contrast(cosines: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if recipe.loss == "cosine":
            # the other two have no part in it; a gradient of 0 keeps them where the optimiser expects one
            return cosine_regression(cosines, targets, recipe.positive_weight) + 0 * (scale + bias)
        if recipe.loss == "info_nce":
            return info_nce(cosines * scale + bias, targets)
        if recipe.loss == "distribution":
            return distribution(cosines * scale + bias, targets)
        return sigmoid_contrastive(cosines * scale + bias, targets, recipe.positive_weight)

    return contrast


def fit_scale(cosines: torch.Tensor, targets: torch.Tensor) -> tuple[float, float]:
    """Temperature and bias with which sigmoid(cosine / temperature + bias) is closest to the targets.

    For losses that do not learn them. Both arguments have any shape, the same one.
    """
    log_scale = torch.tensor(10.0).log().requires_grad_()
    bias = torch.tensor(-3.0, requires_grad=True)
    optimiser = torch.optim.LBFGS([log_scale, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        logits = cosines * log_scale.exp() + bias
        value = -(targets * logsigmoid(logits) + (1 - targets) * logsigmoid(-logits)).mean()
        value.backward()
        return value

    optimiser.step(closure)
    return float((-log_scale).exp().detach()), float(bias.detach())
