"""What the readers of domain sets share: examples in the set's own terms."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dataset_builder.inputs import InputError

SEED = 13  # of what is drawn: validation rows, folds


@dataclass(frozen=True)
class Example:
    """A row in its set's own terms. `context` and `speaker` are empty where the set has no dialogues."""

    id: str
    text: str
    classes: tuple[str, ...]
    context: str = ""
    speaker: str = ""
    place: str = ""  # file and line, for messages


@dataclass(frozen=True)
class Fold:
    """Fold `number` (from 1) of `of`: the test split of a cross-validation."""

    number: int
    of: int


@dataclass(frozen=True)
class Source:
    """A set as its reader found it: examples by split, the files they came from, how they were split, what was done."""

    splits: dict[str, list[Example]]
    files: list[Path]
    protocol: str
    counts: dict[str, int] = field(default_factory=dict)


def class_in(name: str, classes: tuple[str, ...], place: str) -> str:
    """The name, if it is one of the classes. Raises InputError with the place where it is not."""
    if name not in classes:
        raise InputError(f"{place}: unknown class {name!r}; the set has {', '.join(classes)}.")
    return name


def drawn(names: list[str], share: float) -> set[str]:
    """At least one of the names, a seeded share of them."""
    order = np.random.default_rng(SEED).permutation(len(names))
    return {names[index] for index in order[: max(1, round(share * len(names)))]}
