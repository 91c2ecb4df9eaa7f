"""Texts whose labels are known: to fit an ensemble on, and to measure judges on. No test split is read."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset_builder.corpus import open_corpus
from dataset_builder.domains import isear
from dataset_builder.domains.goemotions import file_comments
from dataset_builder.files.texts import path_words
from dataset_builder.hashing import stable_hash
from dataset_builder.inputs import InputError
from dataset_builder.judges.judge import ToJudge
from dataset_builder.judges.labelled_rows import LabelledText, read_labelled
from dataset_builder.label_maps import LABEL_MAPS
from dataset_builder.taxonomy import LABEL_TO_INDEX, LABELS

GOEMOTIONS, ISEAR = "goemotions", "isear"
WRITTEN, IN_SITUATIONS, MARKED = "written", "written_in_situations", "marked"
HELD_OUT = "validation"  # the split of the written rows that no judge has learned from


@dataclass(frozen=True, eq=False)
class Gold:
    """Labelled texts. `labels` (texts, classes): weights of the labels, 0 for the others.

    The classes are those of a label map: the 28 labels, or a data set's own. Texts of one group (a contrast set) have
    the same number in `groups`.
    """

    name: str
    texts: list[ToJudge]
    labels: np.ndarray
    label_map: str = GOEMOTIONS
    groups: np.ndarray | None = None

    def first(self, rows: int | None) -> "Gold":
        """Return the first rows: a random sample, since rows are ordered by hash; part of every larger one."""
        groups = self.groups[:rows] if self.groups is not None else None
        return Gold(self.name, self.texts[:rows], self.labels[:rows], self.label_map, groups)


def goemotions_dev(path: Path) -> Gold:
    """Return GoEmotions' dev.tsv. Raises InputError for another form, no row, or the test split."""
    if "test" in path_words(Path(path.name)):
        raise InputError(f"{path}: this is the test split, on which nothing may be chosen. Give dev.tsv.")
    found = sorted(file_comments(path), key=lambda comment: stable_hash("labelers", comment.id))
    if not found:
        raise InputError(f"{path}: no row in it. Give dev.tsv.")
    labels = np.zeros((len(found), len(LABELS)))
    for row, comment in zip(labels, found, strict=True):
        row[comment.labels] = 1
    return Gold(GOEMOTIONS, [ToJudge(comment.text, None) for comment in found], labels)


def isear_development(folder: Path) -> Gold:
    """Return the reports of the persons of ISEAR's train.tsv that are held out. Raises InputError as its reader."""
    found = isear.read(folder).splits["validation"]
    found.sort(key=lambda example: stable_hash("judges", example.id))
    classes = [*LABEL_MAPS[ISEAR]]
    labels = np.array([[float(name in example.classes) for name in classes] for example in found])
    return Gold(ISEAR, [ToJudge(example.text, None) for example in found], labels, ISEAR)


def written_held_out(corpus: str | Path) -> list[Gold]:
    """Return the written rows of a corpus that are held out: the texts alone, and those in situations, if any.

    Raises:
        InputError: no corpus, or no written row in its validation split.
    """
    opened, found = open_corpus(corpus), []
    for config, name in (("contextless", WRITTEN), ("contextual", IN_SITUATIONS)):
        if HELD_OUT not in opened.files.get(config, {}):
            continue
        rows = [row for row in opened.rows(config, HELD_OUT) if row["source"] == WRITTEN]
        texts = [
            LabelledText(
                row.get("group") or row["id"],
                row["text"],
                row.get("context"),
                {label: score for label, score in zip(LABELS, row["scores"], strict=True) if score},
            )
            for row in rows
        ]
        if texts:
            found.append(_of_texts(name, texts))
    if not found:
        raise InputError(f"{corpus}: no written row in the split '{HELD_OUT}'. Build one with mode: written.")
    return found


def marked(files: Iterable[Path]) -> list[Gold]:
    """Return texts that a reader has marked: the texts alone, and those in situations. Raises as `read_labelled`."""
    rows = read_labelled([*files])
    alone = [row for row in rows if not row.situation]
    placed = [row for row in rows if row.situation]
    parts = ((MARKED, alone), (f"{MARKED}_in_situations", placed))
    return [_of_texts(name, part) for name, part in parts if part]


def _of_texts(name: str, rows: list[LabelledText]) -> Gold:
    """Return gold rows ordered by a hash of their groups, so that a contrast set stays together."""
    rows = sorted(rows, key=lambda row: (stable_hash("judges", row.id), row.id))
    labels = np.zeros((len(rows), len(LABELS)))
    numbers: dict[str, int] = {}
    for number, row in enumerate(rows):
        for label, weight in row.labels.items():
            labels[number, LABEL_TO_INDEX[label]] = weight
        numbers.setdefault(row.id, len(numbers))
    groups = np.array([numbers[row.id] for row in rows])
    return Gold(name, [ToJudge(row.text, row.situation) for row in rows], labels, GOEMOTIONS, groups)
