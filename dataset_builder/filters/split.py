"""Assigns narratives to the splits train, validation and test: all rows of a story are in one split."""

from collections.abc import Collection, Mapping

from dataset_builder.hashing import stable_hash
from dataset_builder.schema import SPLITS


def split_narratives(
    rows_of: Mapping[str, int],
    shares: tuple[float, float, float],
    seed: int,
    validation: Collection[str] = (),
) -> dict[str, str]:
    """Assign each narrative to a split, so that the splits' row counts come close to `shares`.

    Narratives are ordered by a hash of seed and id. The first go to test, the next to validation, the rest to train.
    With three or more narratives that have rows, no split is empty. A corpus is split once, by the rows of one config,
    for all its configs: other counts or shares would put a narrative into other splits.

    Args:
        validation: narratives that are in the validation split whatever their hash.
    """
    drawn = rows_of.keys() - set(validation)
    order = sorted(drawn, key=lambda narrative: (stable_hash(seed, "split", narrative), narrative))
    total = sum(rows_of.values())
    last = max(
        (place for place, narrative in enumerate(order) if rows_of[narrative]), default=0
    )  # the last one with rows is left for train
    split_of = dict.fromkeys(validation, SPLITS[1])
    position = 0
    already = sum(rows_of[narrative] for narrative in validation)
    for split, share, taken in ((SPLITS[2], shares[2], 0), (SPLITS[1], shares[1], already)):
        while position < last and (taken == 0 or taken + rows_of[order[position]] / 2 <= share * total):
            taken += rows_of[order[position]]
            split_of[order[position]] = split
            position += 1
    return split_of | dict.fromkeys(order[position:], SPLITS[0])
