"""Assigns narratives to the splits train, validation and test: all rows of a story are in one split."""

from collections.abc import Mapping

from dataset_builder.hashing import stable_hash
from dataset_builder.schema import SPLITS


def split_narratives(rows_of: Mapping[str, int], shares: tuple[float, float, float], seed: int) -> dict[str, str]:
    """Assign each narrative to a split, so that the splits' row counts are close to `shares`.

    Narratives are ordered by a hash of seed and id. The first go to test, the next to validation, the rest to train.
    If at least three narratives have rows, no split is empty. A corpus is split once, by the rows of one config, for
    all its configs: with other counts or shares, a narrative could be in different splits.
    """
    # Ordering by hash, not by source, gives every split stories from all sources. The id breaks ties.
    order = sorted(rows_of, key=lambda narrative: (stable_hash(seed, "split", narrative), narrative))
    total = sum(rows_of.values())
    # The last narrative with rows is left for train.
    last = max((place for place, narrative in enumerate(order) if rows_of[narrative]), default=0)
    split_of: dict[str, str] = {}
    position = 0
    for split, share in ((SPLITS[2], shares[2]), (SPLITS[1], shares[1])):
        taken = 0
        # Take a story if at least half of its rows fit: this brings the split closer to its share.
        while position < last and (taken == 0 or taken + rows_of[order[position]] / 2 <= share * total):
            taken += rows_of[order[position]]
            split_of[order[position]] = split
            position += 1
    return split_of | dict.fromkeys(order[position:], SPLITS[0])
