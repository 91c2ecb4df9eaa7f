"""A contrastive loss over all processes.

The loss compares every text of a batch with every descriptor, so unlike a classifier's loss it cannot be split. Each
process embeds every n-th row, the embeddings are gathered, and every process computes the loss of the whole batch. The
gradients of the weights are then summed here: DistributedDataParallel would average them over the processes.
"""

from collections.abc import Sequence

import torch
from accelerate import Accelerator
from torch.nn.functional import pad

from train.bi_encoder.data import Batch
from train.bi_encoder.losses import Loss
from train.bi_encoder.model import BiEncoder, Ids, embed

EVALUATED_ROWS = 128  # embedded at a time without gradients


def backward(model: BiEncoder, batch: Batch, loss: Loss, accelerator: Accelerator) -> torch.Tensor:
    """Return the loss of all processes' batch, detached; its gradients are added to those of all parameters.

    Args:
        model: as returned by `accelerator.prepare_model`.
    """
    number, rank = accelerator.num_processes, accelerator.process_index
    embedded = [_embed(model, rows[rank::number]) for rows in (batch.texts, batch.labels)]
    # Backpropagation stops at detached copies of all rows' embeddings. The copies receive the gradients of all rows;
    # each process passes the gradients of its own rows on to the encoder.
    texts, labels = (
        gather_rows(own.detach(), len(rows), accelerator).requires_grad_()
        for own, rows in zip(embedded, (batch.texts, batch.labels), strict=True)
    )
    value = loss(texts @ labels.T * model.scale + model.bias, batch.targets.to(accelerator.device))
    accelerator.backward(value)
    for copy, own in zip((texts, labels), embedded, strict=True):
        assert copy.grad is not None
        if len(own):
            own.backward(copy.grad[rank::number])
    if number > 1:
        for parameter in model.encoder.parameters():  # temperature and bias have the whole gradient everywhere
            if parameter.grad is not None:
                parameter.grad = accelerator.reduce(parameter.grad, reduction="sum")
    return value.detach()


def _embed(model: BiEncoder, rows: Sequence[Ids]) -> torch.Tensor:
    """Return embeddings (rows, size); there may be no rows if a batch has fewer rows than there are processes."""
    return embed(model, rows) if rows else torch.zeros((0, model.size), device=model.bias.device)


def gather_rows(mine: torch.Tensor, rows: int, accelerator: Accelerator) -> torch.Tensor:
    """Return embeddings (rows, size) in order, from those of every process, which has every n-th row."""
    number = accelerator.num_processes
    if number == 1:
        return mine
    # `gather` needs the same number of rows from every process: the missing ones are padding, which is cut off below.
    each = -(-rows // number)
    everything = accelerator.gather(pad(mine, (0, 0, 0, each - len(mine))))
    # Process r has rows r, r + n, …: transposing puts them back in order.
    ordered: torch.Tensor = everything.view(number, each, -1).transpose(0, 1).reshape(number * each, -1)
    return ordered[:rows].contiguous()


@torch.no_grad()  # type: ignore[untyped-decorator]
def embed_all(model: BiEncoder, rows: Sequence[Ids], accelerator: Accelerator) -> torch.Tensor:
    """Return embeddings (rows, size) on the CPU, without dropout; each process embeds its part of the rows."""
    model.eval()
    mine = rows[accelerator.process_index :: accelerator.num_processes]
    order = sorted(range(len(mine)), key=lambda row: -len(mine[row]))  # similar lengths together: little padding
    found = torch.zeros((len(mine), model.size), device=accelerator.device)
    for start in range(0, len(order), EVALUATED_ROWS):
        chosen = order[start : start + EVALUATED_ROWS]
        found[chosen] = embed(model, [mine[row] for row in chosen]).float()
    return gather_rows(found, len(rows), accelerator).cpu()
