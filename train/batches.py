"""Batches of texts of similar length, for both training programs."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import BatchSampler

SPLITS = ("train", "validation")
# Batches that are sorted by length together. More save more padding and make batches less random; 50 is also the
# most that the samplers of transformers take.
POOL = 50


def count_updates(epochs: int, batches: int, max_steps: int | None, accumulated: int = 1) -> int:
    """Return the number of updates of a training: one per `accumulated` batches of an epoch, at most `max_steps`."""
    # The batches that are left at the end of an epoch are an update too.
    updates = epochs * -(-batches // accumulated)
    return min(updates, max_steps or updates)


class LengthGroupedBatches(BatchSampler):  # type: ignore[misc]
    """Shuffled batches of rows of similar length: rows are sorted by length within pools of 50 batches.

    `set_epoch` gives each epoch its own order, from the seed alone. All batches are full, so that each splits evenly
    over processes. The remaining rows, fewer than a batch and different in every epoch, are not used in that epoch. If
    there are fewer rows than a batch, they are one batch.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.drop_last = True  # accelerate asks for it
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which determines the order."""
        self.epoch = epoch

    def __len__(self) -> int:
        return max(1, len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        draw = np.random.default_rng((self.seed, self.epoch))
        order = draw.permutation(len(self.lengths))[: len(self) * self.batch_size]
        batches = []
        for start in range(0, len(order), POOL * self.batch_size):
            pool = order[start : start + POOL * self.batch_size]
            pool = pool[np.argsort(-self.lengths[pool], kind="stable")]
            batches += [pool[i : i + self.batch_size].tolist() for i in range(0, len(pool), self.batch_size)]
        # Batches of all pools are mixed; otherwise every pool would run from long texts to short ones.
        yield from (batches[index] for index in draw.permutation(len(batches)))
