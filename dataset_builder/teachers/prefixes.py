"""What prompts have in common is read once: key-value states of their beginnings, joined into batches.

A batch may mix stories. Each row is laid out as `[pad] beginning [pad] rest`, beginnings aligned at their ends, rests
at theirs; padding is masked, so that positions and results are those of the prompt alone.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

SHORTEST = 24  # tokens; below, keeping states costs more than it saves


class Prefixes:
    """The last beginnings that a model has read, with their states."""

    def __init__(self, model: Any, kept: int) -> None:
        self._model = model
        self._most = kept
        self._kept: list[tuple[list[int], DynamicCache]] = []
        self._can_share = can_share(model)

    def length(self, rows: Sequence[list[int]]) -> int:
        """How many first tokens of these prompts are worth sharing; at least one of each is left to read."""
        common = min(min(common_length(rows[0], row) for row in rows), min(map(len, rows)) - 1)
        return common if self._can_share and common >= SHORTEST else 0

    def states(self, tokens: list[int]) -> tuple[DynamicCache, bool]:
        """States of a beginning (perhaps of more tokens than asked for), and whether they were kept."""
        for index, (known, cache) in enumerate(self._kept):
            if common_length(known, tokens) == len(tokens):
                self._kept.insert(0, self._kept.pop(index))
                return cache, True
        cache = DynamicCache(config=self._model.config)
        self._model(input_ids=torch.tensor([tokens]), past_key_values=cache, logits_to_keep=1)
        self._kept.insert(0, (tokens, cache))
        del self._kept[self._most :]
        return cache, False


def can_share(model: Any) -> bool:
    """Whether every layer keeps one state for each token; sliding windows and recurrent layers do not."""
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


def join(rows: Sequence[tuple[DynamicCache | None, int]], room: int) -> DynamicCache:
    """One cache for a batch from each row's states and how many of their tokens count, with room for more tokens."""
    first = next(cache for cache, _ in rows if cache is not None)
    joined = DynamicCache()
    joined.layers = [
        _RoomyLayer([(cache.layers[index] if cache else None, length) for cache, length in rows], room)
        for index in range(len(first.layers))
    ]
    return joined


class _RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """States of one layer with room for what comes: the stock layer copies all of them for every new token."""

    def __init__(self, rows: Sequence[tuple[DynamicLayer | None, int]], room: int) -> None:
        super().__init__()
        first = next(layer for layer, _ in rows if layer is not None)
        self.dtype, self.device, self.is_initialized = first.dtype, first.device, True
        longest = max(length for _, length in rows)
        _, heads, _, size = first.keys.shape
        # Zeros, not empty: what is masked is multiplied by 0, and 0 times a stray NaN is NaN.
        self._buffers = [first.keys.new_zeros(len(rows), heads, longest + room, size) for _ in range(2)]
        for index, (layer, length) in enumerate(rows):
            if layer is not None:
                for buffer, states in zip(self._buffers, (layer.keys, layer.values), strict=True):
                    buffer[index, :, longest - length : longest] = states[0, :, :length]
        self._show(longest)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append the states of new tokens, (batch, heads, tokens, size), and return all so far."""
        start, end = self.get_seq_length(), self.get_seq_length() + key_states.shape[-2]
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, start:end] = states
        self._show(end)
        return self.keys, self.values

    def _show(self, length: int) -> None:
        self.keys, self.values = (buffer[:, :, :length] for buffer in self._buffers)


def common_length(left: list[int], right: list[int]) -> int:
    """How many first tokens two prompts share."""
    length = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        length += 1
    return length
