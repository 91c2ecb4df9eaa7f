"""Grouped-query attention that does not copy keys and values for every query head, which is most of a step on a CPU.

The query heads of one key-value head are folded into the length of the query: the same sums, no copies.
"""

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "grouped_sdpa"


def grouped_sdpa(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of query (batch, heads, length, size) on key and value (batch, key-value heads, past, size).

    Returns:
        (batch, length, heads, size), as every attention function of `transformers`.
    """
    batch, heads, length, size = query.shape
    if attention_mask is None and length > 1:  # a causal mask is implied, which folding would break
        output, _ = sdpa_attention_forward(module, query, key, value, None, scaling=scaling, **options)
        return output, None
    groups = heads // key.shape[1]
    folded = query.reshape(batch, key.shape[1], groups * length, size)
    mask = None if attention_mask is None else attention_mask.repeat(1, 1, groups, 1)
    output = scaled_dot_product_attention(folded, key, value, attn_mask=mask, scale=scaling)
    return output.reshape(batch, heads, length, size).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, grouped_sdpa)
AttentionMaskInterface.register(NAME, sdpa_mask)
