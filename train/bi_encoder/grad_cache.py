"""Contrastive steps over batches that do not fit: cached gradients, and the loss of all processes together.

A contrastive loss sees all texts and descriptors of a batch at once. GradCache (Gao et al. 2021, arXiv 2101.06983): a
first pass embeds the batch in chunks and keeps no graph; the loss of the embeddings gives their gradients; a second
pass embeds each chunk again, with a graph, and takes its gradients on to the weights. What is gained is the gradient
of the whole batch, exactly: dropout draws the same in both passes.

Over processes each one embeds every n-th row, the embeddings are gathered, and every process has the loss of all;
the weights' gradients are summed by hand, because DistributedDataParallel takes one backward pass a step.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch.nn.functional import pad

from train.bi_encoder.model import BiEncoder, Ids, embed

EVALUATED = 128  # rows at a time where there are no gradients


@dataclass(frozen=True)
class Randomness:
    """What dropout draws from: the state of the CPU's generator and of the current GPU's."""

    cpu: torch.Tensor
    gpu: torch.Tensor | None

    @classmethod
    def now(cls) -> "Randomness":
        """The present state."""
        return cls(torch.get_rng_state(), torch.cuda.get_rng_state() if torch.cuda.is_available() else None)

    @contextmanager
    def again(self) -> Iterator[None]:
        """Draw once more what was drawn from this state on; afterwards all is as before."""
        with torch.random.fork_rng([torch.cuda.current_device()] if self.gpu is not None else []):
            torch.set_rng_state(self.cpu)
            if self.gpu is not None:
                torch.cuda.set_rng_state(self.gpu)
            yield


def backward(
    model: BiEncoder,
    texts: Sequence[Ids],
    labels: Sequence[Ids],
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    accelerator: Accelerator,
    chunk_size: int | None,
) -> torch.Tensor:
    """The loss of a batch, detached, with its gradients in all parameters.

    Args:
        model: as `accelerator.prepare_model` gives it.
        texts: token ids of all processes' texts; labels: of all the batch's distinct descriptors.
        loss: of the embeddings of both, rows of length 1.
        chunk_size: rows embedded at a time; None: all at once, in one pass.
    """
    number, rank = accelerator.num_processes, accelerator.process_index
    leaves, graphs = [], []
    for rows in (texts, labels):
        mine = rows[rank::number]
        size = chunk_size or max(len(mine), 1)
        chunks = [mine[start : start + size] for start in range(0, len(mine), size)]
        states, found = [], [torch.zeros((0, model.size), device=accelerator.device)]
        for chunk in chunks:
            states.append(Randomness.now())
            with torch.set_grad_enabled(chunk_size is None):
                found.append(embed(model, chunk))
        embedded = torch.cat(found)
        leaves.append(gathered(embedded.detach(), len(rows), accelerator).requires_grad_())
        graphs.append((chunks, states, embedded))
    value = loss(*leaves)
    accelerator.backward(value)
    for leaf, (chunks, states, embedded) in zip(leaves, graphs, strict=True):
        assert leaf.grad is not None
        gradient = leaf.grad[rank::number]
        if chunk_size is None and chunks:
            embedded.backward(gradient)
            continue
        for chunk, state, part in zip(chunks, states, gradient.split(chunk_size or 1), strict=False):
            with state.again():
                embed(model, chunk).backward(part)
    if number > 1:
        for parameter in model.encoder.parameters():  # temperature and bias have the whole gradient everywhere
            if parameter.grad is not None:
                parameter.grad = accelerator.reduce(parameter.grad, reduction="sum")
    return value.detach()


def gathered(mine: torch.Tensor, rows: int, accelerator: Accelerator) -> torch.Tensor:
    """Embeddings (rows, size) in order from those of every process, which has every n-th."""
    number = accelerator.num_processes
    if number == 1:
        return mine
    each = -(-rows // number)
    everything = accelerator.gather(pad(mine, (0, 0, 0, each - len(mine))))
    ordered: torch.Tensor = everything.view(number, each, -1).transpose(0, 1).reshape(number * each, -1)
    return ordered[:rows].contiguous()


@torch.no_grad()  # type: ignore[untyped-decorator]
def embed_all(model: BiEncoder, rows: Sequence[Ids], accelerator: Accelerator) -> torch.Tensor:
    """Embeddings (rows, size) on the CPU, without dropout, each process doing its part."""
    model.eval()
    mine = rows[accelerator.process_index :: accelerator.num_processes]
    order = sorted(range(len(mine)), key=lambda row: -len(mine[row]))
    found = torch.zeros((len(mine), model.size), device=accelerator.device)
    for start in range(0, len(order), EVALUATED):
        chosen = order[start : start + EVALUATED]
        found[chosen] = embed(model, [mine[row] for row in chosen]).float()
    return gathered(found, len(rows), accelerator).cpu()
