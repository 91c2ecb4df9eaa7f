"""A linear map of labels' embeddings, fitted when the encoder is final: what a word says is not what a text says.

One encoder embeds both, so that any label has its place; but a label's best place among texts is not quite where the
encoder puts it. Texts and labels are embedded once, so that a step costs no pass of the encoder: some hundred of them
take a minute, and of the encoder nothing is forgotten. Labels that were not there are mapped as those that were.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import normalize

from train.bi_encoder.data import Pair, target_matrix
from train.bi_encoder.losses import loss_of
from train.bi_encoder.recipe import BiEncoderRecipe


def project(labels: torch.Tensor, projection: torch.Tensor | None) -> torch.Tensor:
    """Embeddings of labels (labels, size) through the map (size, size), of length 1; as they are without one."""
    return labels if projection is None else normalize(labels @ projection.T, dim=-1)


def fit_projection(
    texts: torch.Tensor,
    labels: torch.Tensor,
    pairs: Sequence[Pair],
    start: tuple[float, float],
    recipe: BiEncoderRecipe,
) -> torch.Tensor:
    """The map (size, size) with the lowest loss, from the identity on; temperature and bias are learned beside it.

    Args:
        texts: embeddings (texts, size); labels: embeddings (labels, size) of the whole vocabulary. Rows of length 1, on
            the CPU, as `embed_all` gives them.
        pairs: the texts' descriptors.
        start: temperature and bias to begin with.
    """
    assert recipe.projection is not None
    how, contrast, draw = recipe.projection, loss_of(recipe), np.random.default_rng(recipe.seed)
    projection = torch.eye(texts.shape[1]).requires_grad_()
    log_scale = torch.tensor(1 / start[0]).log().requires_grad_()
    bias = torch.tensor(start[1], requires_grad=True)
    optimiser = torch.optim.Adam([projection, log_scale, bias], lr=how.learning_rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, how.steps)
    for _ in range(how.steps):
        rows = draw.integers(len(texts), size=min(how.batch_size, len(texts)))
        targets = target_matrix([pairs[row] for row in rows], range(len(labels)))
        cosines = texts[torch.from_numpy(rows)] @ project(labels, projection).T
        value = contrast(cosines, log_scale.exp(), bias, targets)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        schedule.step()
    return projection.detach()
