"""Pairs neutral remarks with situations: rows that cannot be labelled without their situation.

"They are here." fits any emotion; after "I was walking home alone at night." it expresses fear. The situations are
texts that a teacher wrote for emotion words and that were described (describe.py). Their descriptors, mapped to the 28
labels, become the labels of the remark. No teacher is called; the result is the config `contextual`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from dataset_builder.descriptors.merge import (
    CONFIG,
    SplitRow,
    check_corpora,
    corpora_rows,
    is_written,
    publish_rows,
    reference_to,
)
from dataset_builder.filters.resolve import class_scores
from dataset_builder.filters.word_classes import class_by_hand
from dataset_builder.hashing import stable_hash
from dataset_builder.inputs import InputError, read_list
from dataset_builder.run_state import run_lock
from dataset_builder.schema import ContextualRow, DescriptorsRow, RawLabel

REMARKS = Path(__file__).parent.parent / "vocabulary" / "open_remarks.txt"
KEEP_AT = 0.3  # as the labels of a corpus
SEED = 13
SHARES = {"test": 0.15, "validation": 0.1}  # word limits of the remarks, and of the situations


def situate(described: Path, work_dir: Path, others: Sequence[Path] = ()) -> None:
    """Write `<work>/corpus`: remarks in situations, and other corpora's contextual rows in their splits.

    Args:
        described: a corpus with texts that were written for emotion words, in its config `descriptors`.

    Raises:
        InputError: a corpus lacks the required config, or has no text that was written for a word.
    """
    check_corpora([described], CONFIG)
    check_corpora(others, "contextual")
    with run_lock(work_dir):
        written = [row for _, row in corpora_rows([described], CONFIG) if is_written(row)]
        rows: list[SplitRow] = list(remarks_in_situations(written))
        if not rows:
            raise InputError(
                f"{described}: contains no text that was written for an emotion word of one of the 28 classes."
            )
        rows += corpora_rows(others, "contextual")
        manifest = {
            "stage": "situate",
            "recipe": "open-remarks",
            "seed": SEED,
            "described": reference_to(described),
            "with": [reference_to(other) for other in others],
        }
        publish_rows(rows, work_dir, manifest, "contextual")


def remarks_in_situations(written: Sequence[DescriptorsRow]) -> Iterator[tuple[str, ContextualRow]]:
    """Pair each written text, as the situation, with a remark, in hash order; each split has its own remarks."""
    remarks = {split: [one for one in read_list(REMARKS) if _split(one) == split] for split in (*SHARES, "train")}
    for row in sorted(written, key=lambda row: (stable_hash(SEED, row.text), row.id)):
        scores = class_scores(((one.text, one.weight) for one in row.descriptors), class_by_hand)
        labels = [index for index, score in enumerate(scores) if score >= KEEP_AT]
        if not labels:
            continue
        split = _split(row.text)
        remark = remarks[split][stable_hash(SEED, "remark", row.text) % len(remarks[split])]
        common = row.model_dump(exclude={"descriptors", "describer", "text", "source", "provenance", "character"})
        yield (
            split,
            ContextualRow(
                **common,
                text=remark,
                context=row.text,
                labels=labels,
                scores=scores,
                raw_labels=[RawLabel(label=one.text, score=one.weight) for one in row.descriptors],
                source="generated",
                provenance="open remarks",
                labeler="described situation",
                variant="open",
                original_text=remark,
            ),
        )


def _split(text: str) -> str:
    place = stable_hash(SEED, "split", text) / 2**31
    for split, share in SHARES.items():
        if place < share:
            return split
        place -= share
    return "train"
