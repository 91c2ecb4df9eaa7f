"""Linear layers with int8 weights: a quarter of the memory of float32, and faster on a CPU.

Weights have a scale per row and activations a scale per token, so that a token's result does not depend on its batch.
With 8 bits, a token with outliers would lose most of its other values (the outliers of the first token are thousands of
times larger than the rest of its row; those before the last feed-forward layer are large too). Such rows get 15 bits: a
second int8 number stores what the first one rounds away. (Dettmers et al. 2022, arXiv 2208.07339, keep such columns in
float16 instead.)
"""

import math
from collections.abc import Iterable

import torch
from torch import nn

STEPS = 127  # of an int8 number, to either side of 0
LOW_STEPS = 254  # steps of the second number within one step of the first: half a step to either side
ROWS = 256  # tokens that are multiplied at a time: more take memory and are not faster
OUTLIER = 64  # a row whose largest value is over so many times its mean gets 15 bits
LEAST = 1e-30  # the scale of a row of zeros
CHUNK = 4096  # rows of weights that are quantised at a time


class Int8Linear(nn.Module):  # type: ignore[misc]
    """A linear layer, (…, in) to (…, out), with int8 weights (out, in), which `fill` sets."""

    def __init__(self, size_in: int, size_out: int, bias: torch.Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("weight", torch.empty(size_out, size_in, dtype=torch.int8))
        self.register_buffer("scale", torch.empty(size_out), persistent=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Return the output of `nn.Linear`, up to rounding."""
        rows = states.reshape(-1, states.shape[-1])
        found = torch.empty(len(rows), len(self.weight))
        for start in range(0, len(rows), ROWS):
            self._multiply(rows[start : start + ROWS], found[start : start + ROWS])
        if self.bias is not None:
            found += self.bias
        return found.reshape(*states.shape[:-1], -1)

    def _multiply(self, rows: torch.Tensor, found: torch.Tensor) -> None:
        # The scale of a row follows from that row alone, so a token's result does not depend on its batch.
        peak = torch.linalg.vector_norm(rows, math.inf, dim=-1, keepdim=True).clamp_(min=LEAST)
        step = peak / STEPS
        scaled = rows / step
        high = scaled.round()
        torch.mul(torch._int_mm(high.to(torch.int8), self.weight.t()), step, out=found)
        mean = torch.linalg.vector_norm(rows, 1, dim=-1, keepdim=True) / rows.shape[-1]
        if len(wide := (peak > OUTLIER * mean).squeeze(-1).nonzero().squeeze(-1)):
            # What rounding lost, at most half a step, as a second int8 number; its product with the same weights is
            # added.
            low = (scaled[wide] - high[wide]).mul_(LOW_STEPS).round_().to(torch.int8)
            found.index_add_(0, wide, torch._int_mm(low, self.weight.t()) * (step[wide] / LOW_STEPS))
        found *= self.scale


class Int8Embedding(nn.Module):  # type: ignore[misc]
    """An embedding, token ids (…) to (…, size), with int8 weights (tokens, size)."""

    def __init__(self, tokens: int, size: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.empty(tokens, size, dtype=torch.int8))
        self.register_buffer("scale", torch.empty(tokens), persistent=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the rows of these ids."""
        return self.weight[ids] * self.scale[ids][..., None]


def fill(layer: Int8Linear | Int8Embedding, weights: Iterable[torch.Tensor]) -> None:
    """Set the weights of a layer, given from its first row to its last in parts of any number of rows."""
    start = 0
    for part in weights:
        for rows in part.split(CHUNK):
            end = start + len(rows)
            scale = rows.float().abs().amax(dim=-1).clamp_(min=LEAST) / STEPS
            layer.scale[start:end] = scale
            layer.weight[start:end] = (rows.float() / scale[:, None]).round_().to(torch.int8)
            start = end
    if start != len(layer.weight):
        raise ValueError(f"{start} rows of weights for a layer with {len(layer.weight)}")


def replace_layers(model: nn.Module, *, filled: bool) -> None:
    """Replace a model's linear layers and its input embedding by int8 ones.

    Args:
        filled: the model has its weights, which are moved into the new layers; otherwise `fill` sets them later.
            Layers with shared weights share them afterwards, too.
    """
    shared: dict[int, Int8Linear | Int8Embedding] = {}
    for name, layer in list(model.named_modules()):
        made: Int8Linear | Int8Embedding
        if type(layer) is nn.Linear:  # a subclass may do more than multiply
            bias = None if layer.bias is None else layer.bias.detach().float()
            made = Int8Linear(layer.in_features, layer.out_features, bias)
        elif type(layer) is nn.Embedding and layer is model.get_input_embeddings():
            made = Int8Embedding(layer.num_embeddings, layer.embedding_dim)
        else:
            continue
        # Input embedding and output layer often share one matrix, which is then quantised once.
        first = shared.setdefault(id(layer.weight), made)
        if first is not made:
            made.weight, made.scale = first.weight, first.scale
        elif filled:
            fill(made, [layer.weight.detach()])
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, made)
        del layer  # frees its weights before the next layer is made
