"""A classifier's forward pass with less work and the same logits, made to be exported.

Three things are left out that no logit needs: the rows of padding (tokens are packed before the encoder and only
attention sees the padded shape), the last layer's queries, projections and feed-forward of every token but the first,
and two of the three products of queries, keys and values (one product of their joined weights). Attention is one
operator of onnxruntime, `com.microsoft.MultiHeadAttention`, which its builds for CPU and WebAssembly have.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

ARCHITECTURES = ("bert", "mpnet", "roberta")  # encoders that norm after each half of a layer and classify by token 0
DOMAIN = "com.microsoft"


class _Attention(torch.autograd.Function):  # type: ignore[misc]
    """Attention of packed heads; as ONNX it is one operator, in PyTorch it is only traced."""

    @staticmethod
    def forward(
        context: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor,
        bias: torch.Tensor | None,
        heads: int,
    ) -> torch.Tensor:
        del context

        def split(rows: torch.Tensor) -> torch.Tensor:
            return rows.view(*rows.shape[:2], heads, -1).transpose(1, 2)

        allowed = torch.zeros(mask.shape).masked_fill(mask == 0, torch.finfo(torch.float32).min)[:, None, None]
        added = allowed if bias is None else allowed + bias
        found = nn.functional.scaled_dot_product_attention(split(query), split(key), split(value), attn_mask=added)
        return found.transpose(1, 2).flatten(2)

    @staticmethod
    def symbolic(graph: Any, query: Any, key: Any, value: Any, mask: Any, bias: Any, heads: int) -> Any:
        nothing = graph.op("prim::Constant")
        nothing.setType(torch._C.OptionalType.ofTensor())
        inputs = (query, key, value, nothing, mask, *(() if bias is None else (bias,)))
        return graph.op(f"{DOMAIN}::MultiHeadAttention", *inputs, num_heads_i=heads).setType(query.type())


@dataclass(frozen=True)
class _Layer:
    """A layer's parts under one set of names."""

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    output: nn.Linear
    attention_norm: nn.LayerNorm
    intermediate: nn.Module
    down: nn.Linear
    norm: nn.LayerNorm


def _parts(layer: Any, kind: str) -> _Layer:
    attention = layer.attention
    if kind == "mpnet":
        own = attention.attn
        projections = (own.q, own.k, own.v, own.o, attention.LayerNorm)
    else:
        own = attention.self
        projections = (own.query, own.key, own.value, attention.output.dense, attention.output.LayerNorm)
    return _Layer(*projections, layer.intermediate, layer.output.dense, layer.output.LayerNorm)


class LeanClassifier(nn.Module):  # type: ignore[misc]
    """A stock `...ForSequenceClassification` of `ARCHITECTURES`, for batches padded on the right."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.kind = model.config.model_type
        self.heads = model.config.num_attention_heads
        self.model = model
        self.encoder = model.base_model
        layers = [_parts(layer, self.kind) for layer in self.encoder.encoder.layer]
        self.layers = layers
        joined = [_join(part.query, part.key, part.value) for part in layers[:-1]]
        self.joined = nn.ModuleList([*joined, _join(layers[-1].key, layers[-1].value)])

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits (batch, labels) of ids, mask and token types (batch, length)."""
        batch, length = input_ids.shape
        flat = attention_mask.flatten()
        kept = flat.nonzero()[:, 0]  # where the packed tokens are in the padded batch
        place = (flat.cumsum(0) - 1).clamp(min=0)  # and back; padding shows some token, which the mask then hides
        mask = attention_mask.to(torch.int32)
        hidden = self._embed(input_ids, token_type_ids, kept)  # (1, tokens, width), as onnxruntime's fusions expect it
        bias = self._bias(input_ids)
        width = self.model.config.hidden_size

        def pad(rows: torch.Tensor) -> Any:
            return rows[0, place].view(batch, length, rows.shape[-1]).split(width, dim=-1)

        for layer, product in zip(self.layers[:-1], self.joined[:-1], strict=True):
            seen = _Attention.apply(*pad(product(hidden)), mask, bias, self.heads)
            hidden = _rest(layer, hidden, seen.view(1, batch * length, width)[:, kept])
        last = self.layers[-1]
        first = hidden[:, place.view(batch, length)[:, 0]]
        asked = last.query(first).view(batch, 1, width)
        bias = None if bias is None else bias[:, :, :1]
        seen = _Attention.apply(asked, *pad(self.joined[-1](hidden)), mask, bias, self.heads)
        first = _rest(last, first, seen.view(1, batch, width)).view(batch, 1, width)
        logits: torch.Tensor = self.model.classifier(self.encoder.pooler(first) if self.kind == "bert" else first)
        return logits

    def _embed(self, ids: torch.Tensor, types: torch.Tensor | None, kept: torch.Tensor) -> torch.Tensor:
        embeddings = self.encoder.embeddings
        if self.kind == "bert":
            positions = torch.arange(ids.shape[1]).expand(ids.shape)
        else:
            real = ids.ne(embeddings.padding_idx).long()
            positions = real.cumsum(1) * real + embeddings.padding_idx
        given = {} if self.kind == "mpnet" else {"token_type_ids": _packed(types, ids, kept)}
        found: torch.Tensor = embeddings(_packed(ids, ids, kept), position_ids=_packed(positions, ids, kept), **given)
        return found

    def _bias(self, ids: torch.Tensor) -> torch.Tensor | None:
        if self.kind != "mpnet":
            return None
        found: torch.Tensor = self.encoder.encoder.compute_position_bias(ids[:1, :, None])
        return found


def _packed(values: torch.Tensor | None, ids: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    return (torch.zeros_like(ids) if values is None else values).flatten()[kept][None]


def _join(*parts: nn.Linear) -> nn.Linear:
    """Several projections of the same rows as one."""
    weight = torch.cat([part.weight.detach() for part in parts])
    joined = nn.Linear(weight.shape[1], weight.shape[0])
    joined.weight = nn.Parameter(weight, requires_grad=False)
    joined.bias = nn.Parameter(torch.cat([part.bias.detach() for part in parts]), requires_grad=False)
    return joined


def _rest(layer: _Layer, hidden: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """What follows attention in a layer, for rows (1, tokens, width)."""
    hidden = layer.attention_norm(layer.output(seen) + hidden)
    found: torch.Tensor = layer.norm(layer.down(layer.intermediate(hidden)) + hidden)
    return found
