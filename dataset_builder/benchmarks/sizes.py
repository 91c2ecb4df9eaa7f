"""Metrics of one measure at several sizes, under one name each: those of the full size have no suffix."""

from collections.abc import Mapping, Sequence

FULL_SIZE = 2000  # stories: 300K context-less rows, 100K situations in two variants


def unnamed_size(sizes: Sequence[int]) -> int:
    """The size whose metrics have no suffix: the full size, or the largest."""
    return FULL_SIZE if FULL_SIZE in sizes else max(sizes)


def merge(found: Mapping[int, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Metrics by size as a result file's: `minutes` of the full size, `minutes_200` of another."""
    unnamed = unnamed_size([*found])
    return {
        name if size == unnamed else f"{name}_{size}": {"value": value}
        for size, metrics in sorted(found.items())
        for name, value in metrics.items()
    }


def columns(metrics: Mapping[str, Mapping[str, float]], sizes: Sequence[int]) -> list[tuple[str, list[float]]]:
    """Metrics with their value at each size, in the order of `sizes`; those that are of all sizes have one value."""
    unnamed = unnamed_size(sizes)
    others = [size for size in sizes if size != unnamed]
    names = [name for name in metrics if not any(name.endswith(f"_{size}") for size in others)]
    found = []
    for name in names:
        keys = [name if size == unnamed else f"{name}_{size}" for size in sizes]
        found.append((name, [metrics[key]["value"] for key in (keys if set(keys) <= metrics.keys() else [name])]))
    return found
