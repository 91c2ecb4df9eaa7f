"""The project's own test sets, in `held_out/`: rows that are only measured and never trained on.

`everyday.tsv` and `contrast.jsonl` have a column `text`, so a recipe can name them under `quality.benchmarks`.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from dataset_builder.files.reading import json_lines, package_table

FOLDER = Path(__file__).with_name("held_out")
EVERYDAY, SECOND_READER = FOLDER / "everyday.tsv", FOLDER / "everyday-second-reader.tsv"
CONTRAST = FOLDER / "contrast.jsonl"
SITUATIONS = 3  # in each contrast set


class HeldOutRow(NamedTuple):
    """A test row with its first label, the strongest; `context` and `character` are "" in `everyday`."""

    text: str
    label: str
    context: str = ""
    character: str = ""


def everyday(path: Path = EVERYDAY) -> list[HeldOutRow]:
    """Return the everyday sentences with the writer's labels, or those of SECOND_READER, in the same order."""
    return [HeldOutRow(row["text"], row["labels"].partition(":")[0]) for row in package_table(path)]


def contrast() -> list[HeldOutRow]:
    """Return the rows of the contrast sets: SITUATIONS for each set, one after the other."""
    return [
        HeldOutRow(text, max(one["labels"], key=one["labels"].get), one["situation"], one["character"])
        for text, situations in _contrast_sets()
        for one in situations
    ]


def is_contrast_test(text: str) -> bool:
    """Return whether an utterance is one of the contrast test's, whatever its case and punctuation."""
    return _plain(text) in _contrast_texts()


@cache
def _contrast_texts() -> frozenset[str]:
    return frozenset(_plain(text) for text, _ in _contrast_sets())


def _contrast_sets() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    return ((found["text"], found["situations"]) for _, found in json_lines(CONTRAST))


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
