"""Situations for remarks that anybody may make with any feeling: what is asked for, and the rows of `contextual`."""

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from dataset_builder.ask import stable_hash
from dataset_builder.schema import ContextualRow, Narrative, RawLabel, WrittenRow
from dataset_builder.taxonomy import LABELS
from dataset_builder.texts.writing_recipe import WritingRecipe

OPEN_REMARKS = Path(__file__).parent.parent / "vocabulary" / "open_remarks.txt"
VARIANT = "open"


@cache
def open_remarks() -> tuple[str, ...]:
    """The remarks of vocabulary/open_remarks.txt, in their order."""
    lines = OPEN_REMARKS.read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def asked_for(recipe: WritingRecipe) -> list[Narrative]:
    """For every remark `each` of the classes, drawn by hash: the class as a story's text, the remark as its source."""
    classes = recipe.words or LABELS[:-1]
    asked = []
    for number, remark in enumerate(open_remarks()):
        drawn = sorted(classes, key=lambda label: stable_hash(recipe.seed, remark, label))[: recipe.each]
        asked += [
            Narrative(
                id=f"remark/{number:04d}/{label}",
                title=recipe.prompts[turn % len(recipe.prompts)],
                text=label,
                source=remark,
            )
            for turn, label in enumerate(drawn)
        ]
    return asked


def contextual_rows(
    written: Iterable[WrittenRow], recipe: WritingRecipe, said: dict[str, Any]
) -> Iterator[tuple[str, ContextualRow]]:
    """Each remark in its situation, labelled with the class that was asked for; a remark has all in one split."""
    remarks = open_remarks()
    for row in written:
        story, number, label = row.id.split("/")
        remark = remarks[int(number)]
        yield (
            _split(remark, recipe),
            ContextualRow(
                id=row.id,
                text=remark,
                context=row.text,
                labels=[LABELS.index(label)],
                scores=[float(name == label) for name in LABELS],
                raw_labels=[RawLabel(label=label, score=1.0)],
                character="",
                narrative_id=f"{story}/{number}",
                source="open remarks",
                requested_emotion=label,
                teacher=said["teacher"],
                prompt_version=said["prompts"][row.prompt],
                seed=recipe.seed,
                labeler="requested",
                variant=VARIANT,
                original_text=remark,
            ),
        )


def _split(remark: str, recipe: WritingRecipe) -> str:
    place = stable_hash(recipe.seed, "split", remark) / 2**31
    return "test" if place < recipe.validation else "validation" if place < 2 * recipe.validation else "train"
