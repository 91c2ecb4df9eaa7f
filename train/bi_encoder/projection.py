"""A linear projection of label embeddings, fitted after the encoder is trained.

One encoder embeds texts and labels, so any label has a position among texts; but the best position of a single word
differs slightly from its embedding. Texts and labels are embedded once, so a step needs no pass of the encoder, and the
encoder is not changed. Labels that did not occur in training are projected too.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import normalize

from train.bi_encoder.data import Pair, target_matrix
from train.bi_encoder.losses import LOSSES
from train.bi_encoder.recipe import BiEncoderRecipe


def project(labels: torch.Tensor, projection: torch.Tensor | None) -> torch.Tensor:
    """Return embeddings of labels (labels, size) after the map (size, size), of length 1; unchanged without one."""
    return labels if projection is None else normalize(labels @ projection.T, dim=-1)


def fit_projection(
    texts: torch.Tensor,
    labels: torch.Tensor,
    pairs: Sequence[Pair],
    start: tuple[float, float],
    recipe: BiEncoderRecipe,
) -> torch.Tensor:
    """The map (size, size) with the lowest loss, starting from the identity; temperature and bias are learned with it.

    Args:
        texts: embeddings (texts, size); labels: embeddings (labels, size) of the whole vocabulary. Rows of length 1, on
            the CPU, as `embed_all` gives them.
        pairs: the texts' descriptors.
        start: temperature and bias to begin with.
    """
    assert recipe.projection is not None
    settings, draw = recipe.projection, np.random.default_rng(recipe.seed)
    # Starts as the identity: labels are then embedded like texts.
    projection = torch.eye(texts.shape[1]).requires_grad_()
    log_scale = torch.tensor(1 / start[0]).log().requires_grad_()
    bias = torch.tensor(start[1], requires_grad=True)
    optimiser = torch.optim.Adam([projection, log_scale, bias], lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, settings.steps)
    for _ in range(settings.steps):
        rows = draw.integers(len(texts), size=min(settings.batch_size, len(texts)))
        # Against the whole vocabulary instead of a batch's descriptors: all embeddings are ready, so this is one
        # product.
        targets = target_matrix([pairs[row] for row in rows], range(len(labels)))
        cosines = texts[torch.from_numpy(rows)] @ project(labels, projection).T
        value = LOSSES[recipe.loss](cosines * log_scale.exp() + bias, targets)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        schedule.step()
    return projection.detach()
