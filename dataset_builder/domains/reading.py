"""What the readers of domain sets share: examples in the set's own terms, and tables read strictly."""

from collections.abc import Iterator
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


def lines(path: Path, what: str) -> Iterator[tuple[str, str]]:
    """Lines that are not blank, each with its place (`file, line N`).

    Raises:
        InputError: the file cannot be read; the message ends with `what` to give.
    """
    try:
        with open(path, encoding="utf-8", newline="\n") as found:
            for number, line in enumerate(found, start=1):
                if line.strip():
                    yield f"{path}, line {number}", line.rstrip("\r\n")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file. {what}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}). {what}") from None


def table(path: Path, header: tuple[str, ...], what: str) -> Iterator[tuple[str, list[str]]]:
    """Rows of a tab-separated file with this header, each with its place; quotes are text.

    Raises:
        InputError: another header, or a row with more or fewer fields (file and line are named).
    """
    form = f"expected {', '.join(header)}, tab-separated"
    rows = lines(path, what)
    place, first = next(rows, (f"{path}, line 1", ""))
    if tuple(name.strip().lower() for name in first.removeprefix("\ufeff").split("\t")) != header:
        raise InputError(f"{place}: {form}, found {first[:80]!r}. {what}")
    for place, line in rows:
        fields = [part.strip() for part in line.split("\t")]
        if len(fields) != len(header):
            raise InputError(f"{place}: {form}, found {len(fields)} fields. Mend or delete it.")
        yield place, fields


def class_in(name: str, classes: tuple[str, ...], place: str) -> str:
    """The name, if it is one of the classes. Raises InputError with the place where it is not."""
    if name not in classes:
        raise InputError(f"{place}: unknown class {name!r}; the set has {', '.join(classes)}.")
    return name


def drawn(names: list[str], share: float) -> set[str]:
    """At least one of the names, a seeded share of them."""
    order = np.random.default_rng(SEED).permutation(len(names))
    return {names[index] for index in order[: max(1, round(share * len(names)))]}
