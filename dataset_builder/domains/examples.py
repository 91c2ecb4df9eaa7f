"""The return types of all dataset readers: rows with the set's own classes, their splits, and the terms of use."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from dataset_builder.inputs import InputError

SEED = 13  # for every random draw: validation rows, folds


@dataclass(frozen=True)
class Example:
    """A row with the dataset's own classes. `context` and `character` (who speaks) are empty without dialogues."""

    id: str
    text: str
    classes: tuple[str, ...]
    context: str = ""
    character: str = ""
    place: str = ""  # file and line, for messages


@dataclass(frozen=True)
class Fold:
    """Fold `number` (from 1) of `of`: the test split of a cross-validation."""

    number: int
    of: int


@dataclass(frozen=True)
class Source:
    """The result of a reader: examples by split, the files read, how the dataset was split, and counts of changes."""

    splits: dict[str, list[Example]]
    files: list[Path]
    protocol: str
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class DataSet:
    """An external dataset. `config` is `contextual` for dialogues.

    `read(folder)` returns the dataset in its usual splits, `read_fold(folder, fold)` one fold of a cross-validation.
    """

    config: Literal["contextless", "contextual"]
    read: Callable[[Path], Source]
    licence: str
    terms: str
    citation: str
    read_fold: Callable[[Path, Fold], Source] | None = None


def class_in(name: str, classes: tuple[str, ...], place: str) -> str:
    """Return the name if it is one of the classes. Raises InputError, naming the place, if it is not."""
    if name not in classes:
        raise InputError(f"{place}: unknown class {name!r}; the dataset has {', '.join(classes)}.")
    return name


def draw_share(names: list[str], share: float) -> set[str]:
    """Return a random share of the names, at least one."""
    order = np.random.default_rng(SEED).permutation(len(names))
    return {names[index] for index in order[: max(1, round(share * len(names)))]}
