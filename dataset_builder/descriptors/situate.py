"""Remarks that say nothing by themselves, each after something that happened: rows that need their situation.

"They are here." may be said with any feeling; after "I was walking home alone at night." it is said with fear. What
happened comes from texts that a teacher wrote for emotion words and that were described (descriptors/describe.py); the
labels of its descriptors (vocabulary/word_classes.tsv) become the labels of the remark. No teacher is called; the
result is the config `contextual`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from dataset_builder.descriptors.work import CONFIG, check_others, is_written, named, publish_rows, rows_of_others
from dataset_builder.files.shards import held
from dataset_builder.filters.resolve import class_scores
from dataset_builder.filters.word_classes import class_by_hand
from dataset_builder.hashing import stable_hash
from dataset_builder.inputs import InputError, read_list
from dataset_builder.schema import ContextualRow, DescriptorsRow, PublishedRow, RawLabel

REMARKS = Path(__file__).parent.parent / "vocabulary" / "open_remarks.txt"
VARIANT, SOURCE = "open", "open remarks"
KEEP_AT = 0.3  # as the labels of a corpus
SHARES = {"test": 0.15, "validation": 0.1}  # of the remarks, and of what happened


def open_remarks() -> tuple[str, ...]:
    """The remarks of vocabulary/open_remarks.txt, in their order."""
    return read_list(REMARKS)


def situate(described: Path, work_dir: Path, others: Sequence[Path] = (), seed: int = 13) -> None:
    """Write `<work>/corpus`: remarks in situations, and other corpora's contextual rows in their splits.

    Args:
        described: a corpus with texts that were written for emotion words, in its config `descriptors`.

    Raises:
        InputError: a corpus without the config that is needed, or without a text that was written for a word.
    """
    check_others([described], CONFIG)
    check_others(others, "contextual")
    with held(work_dir / "run.lock", f"{work_dir}: another run is at work in it"):
        told = [row for _, row in rows_of_others([described], CONFIG) if is_written(row)]
        rows: list[tuple[str, PublishedRow]] = list(situated(told, seed))
        if not rows:
            raise InputError(f"{described}: no text in it was written for an emotion word and has a class of the 28.")
        rows += rows_of_others(others, "contextual")
        said = {
            "stage": "situate",
            "recipe": "open-remarks",
            "seed": seed,
            "described": named(described),
            "with": [named(other) for other in others],
        }
        publish_rows(rows, work_dir, said, "contextual")


def situated(told: Sequence[DescriptorsRow], seed: int) -> Iterator[tuple[str, ContextualRow]]:
    """What happened, each time before another remark, in the order of a hash; a split has its own remarks."""
    remarks = {split: [one for one in open_remarks() if _split(one, seed) == split] for split in (*SHARES, "train")}
    for row in sorted(told, key=lambda row: (stable_hash(seed, row.text), row.id)):
        scores = class_scores(((one.text, one.weight) for one in row.descriptors), class_by_hand)
        labels = [index for index, score in enumerate(scores) if score >= KEEP_AT]
        if not labels:
            continue
        split = _split(row.text, seed)
        remark = remarks[split][stable_hash(seed, "remark", row.text) % len(remarks[split])]
        common = row.model_dump(exclude={"descriptors", "describer", "text", "source", "character"})
        yield (
            split,
            ContextualRow(
                **common,
                text=remark,
                context=row.text,
                labels=labels,
                scores=scores,
                raw_labels=[RawLabel(label=one.text, score=one.weight) for one in row.descriptors],
                character="",
                source=SOURCE,
                labeler="described situation",
                variant=VARIANT,
                original_text=remark,
            ),
        )


def _split(text: str, seed: int) -> str:
    place = stable_hash(seed, "split", text) / 2**31
    for split, share in SHARES.items():
        if place < share:
            return split
        place -= share
    return "train"
