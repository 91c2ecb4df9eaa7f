"""Prefix cache: computes the key-value states of a common prompt prefix once, and joins them into batches.

A batch may mix stories. Each row is laid out as `[pad] prefix [pad] rest`, with all prefixes ending in the same column
and all rests in another. Padding is masked, so that positions and results are those of the prompt alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from dataset_builder.schema import Usage
from dataset_builder.teachers.encoding import Prompt

SHORTEST = 24  # tokens; keeping the states of fewer costs more than it saves


@dataclass(frozen=True)
class Batch:
    """Model inputs: token `ids` and attention `mask`, (prompts, columns). `cache` holds the first `read` columns.

    `usages` is what reading costs each prompt, with the number of tokens that were in the prefix cache.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    cache: DynamicCache
    read: int
    usages: list[Usage]


class PrefixCache:
    """The most recent prompt prefixes of a model, with their states."""

    def __init__(self, model: Any, pad: int, size: int) -> None:
        self._model, self._pad, self._size = model, pad, size
        self._kept: list[tuple[list[int], DynamicCache]] = []
        # Sliding windows and recurrent layers do not keep one state for each token.
        layers = DynamicCache(config=model.config).layers
        self.usable = all(type(layer) is DynamicLayer for layer in layers)

    def lay_out(self, prompts: Sequence[Prompt], new_tokens: int) -> Batch:
        """Return a batch of prompts, with room for new tokens. Those on one story share their first tokens."""
        of_beginning: dict[tuple[str, str], list[list[int]]] = {}
        for prompt in prompts:
            of_beginning.setdefault(prompt.beginning, []).append(prompt.tokens)
        shared = {beginning: self._common_length(rows) for beginning, rows in of_beginning.items()}
        lengths = [shared[prompt.beginning] for prompt in prompts]
        front = max(lengths)
        back = max(len(prompt.tokens) - length for prompt, length in zip(prompts, lengths, strict=True))
        ids, mask, states, usages = [], [], [], []
        for tokens, length in zip((prompt.tokens for prompt in prompts), lengths, strict=True):
            rest = len(tokens) - length
            left, middle = front - length, back - rest
            ids.append([self._pad] * left + tokens[:length] + [self._pad] * middle + tokens[length:])
            mask.append([0] * left + [1] * length + [0] * middle + [1] * rest)
            cache, known = self._states(tokens[:length]) if length else (None, False)
            states.append(cache)
            # The cost of the prefix is counted for the first prompt.
            usages.append(Usage(calls=1, prompt_tokens=len(tokens), cached_tokens=length if known else 0))
        joined = _join(states, lengths, back + new_tokens) if front else DynamicCache(config=self._model.config)
        return Batch(torch.tensor(ids), torch.tensor(mask), joined, front, usages)

    def _common_length(self, rows: Sequence[list[int]]) -> int:
        """Return the number of first tokens worth sharing; at least one token of each prompt is left to read."""
        equal = takewhile(lambda column: len(set(column)) == 1, zip(*rows, strict=False))
        # At least one token must be left: the model returns logits only for tokens that it reads.
        common = min(sum(1 for _ in equal), min(map(len, rows)) - 1)
        return common if self.usable and common >= SHORTEST else 0

    def _states(self, tokens: list[int]) -> tuple[DynamicCache, bool]:
        """States of a beginning (perhaps of more tokens than asked for), and whether they were in the cache."""
        for index, (known, cache) in enumerate(self._kept):
            if known[: len(tokens)] == tokens:
                # The most recently used is first; the last ones are dropped when there are too many.
                self._kept.insert(0, self._kept.pop(index))
                return cache, True
        cache = DynamicCache(config=self._model.config)
        self._model(input_ids=torch.tensor([tokens]), past_key_values=cache, logits_to_keep=1)
        self._kept.insert(0, (tokens, cache))
        del self._kept[self._size :]
        return cache, False


def _join(states: Sequence[DynamicCache | None], lengths: Sequence[int], room: int) -> DynamicCache:
    """One cache of all rows from the first `lengths` states of each, with room for more tokens."""
    count = next(len(cache.layers) for cache in states if cache is not None)
    joined = DynamicCache()
    joined.layers = [
        _RoomyLayer([None if cache is None else cache.layers[index] for cache in states], lengths, room)
        for index in range(count)
    ]
    return joined


class _RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """States of one layer with room for more: the stock layer copies all states for every new token."""

    def __init__(self, rows: Sequence[DynamicLayer | None], lengths: Sequence[int], room: int) -> None:
        super().__init__()
        first = next(layer for layer in rows if layer is not None)
        self.dtype, self.device, self.is_initialized = first.dtype, first.device, True
        longest = max(lengths)
        _, heads, _, size = first.keys.shape
        # Zeros, not empty memory: masked values are multiplied by 0, and 0 times a stray NaN is NaN.
        self._buffers = [first.keys.new_zeros(len(rows), heads, longest + room, size) for _ in range(2)]
        for index, (layer, length) in enumerate(zip(rows, lengths, strict=True)):
            if layer is not None:
                for buffer, states in zip(self._buffers, (layer.keys, layer.values), strict=True):
                    # Right-aligned, so that all prefixes end in the same column.
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
