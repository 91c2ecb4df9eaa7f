"""Losses that align texts with descriptors: pure functions of logits and targets, both (texts, descriptors).

A logit is cosine / temperature + bias. A target in [0, 1] is the weight of a descriptor for a text, 0 if the text
does not have it. Columns are distinct descriptors, so that a descriptor of several texts is positive for each of them.
"""

from collections.abc import Callable

import torch
from torch.nn.functional import log_softmax, logsigmoid

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def sigmoid(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """-t log σ(x) - (1 - t) log σ(-x): every pair is a separate decision.

    Paper B, with SigLIP's loss (Zhai et al. 2023, arXiv 2303.15343); a target t counts as t of a positive. The sum over
    descriptors is divided by the number of texts only, so that more negatives do not make the positives count less.
    """
    return -(targets * logsigmoid(logits) + (1 - targets) * logsigmoid(-logits)).sum() / len(logits)


def distribution(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy between each text's softmax over descriptors and its weights, scaled to a sum of 1.

    With a teacher's weights for all words, including small ones, this distils a distribution (Hinton et al. 2015, arXiv
    1503.02531): the student learns the ranking of the words, and which of them do not apply. Texts without any weight
    are left out.
    """
    total = targets.sum(dim=1)
    there = total > 0
    wanted = targets[there] / total[there, None]
    return -(wanted * log_softmax(logits[there], dim=1)).sum() / there.sum().clamp(min=1)


def info_nce(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean of `distribution` over both directions: descriptors for each text, texts for each descriptor.

    Radford et al. 2021 (CLIP), arXiv 2103.00020, with several soft positives.
    """
    return (distribution(logits, targets) + distribution(logits.T, targets.T)) / 2


LOSSES: dict[str, Loss] = {"sigmoid": sigmoid, "distribution": distribution, "info_nce": info_nce}


def fit_scale(cosines: torch.Tensor, targets: torch.Tensor) -> tuple[float, float]:
    """Fit the temperature and bias with which sigmoid(cosine / temperature + bias) is closest to the targets.

    Both arguments have any shape, the same one.
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
