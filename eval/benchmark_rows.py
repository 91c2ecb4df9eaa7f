"""The rows of benchmarks: one loader for each dataset."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from datasets import Dataset

from dataset_builder.domains.goemotions import PROTOCOL, comments, split_files
from dataset_builder.files.data_sets import (
    check_columns,
    check_descriptors,
    check_label_numbers,
    checked_rows,
    read_data_set,
    row_name,
)
from dataset_builder.files.reading import json_file, lines
from dataset_builder.hashing import digest_of, fingerprint
from dataset_builder.inputs import InputError
from dataset_builder.label_maps import LABEL_MAPS, class_scores
from dataset_builder.taxonomy import DEFINITIONS, LABELS
from dataset_builder.text_template import CHARACTER
from eval.label_sets import find_set

# A descriptor of the teacher counts as gold from this weight, like a label in the published corpus.
GOLD_WEIGHT = 0.3


class HubData(NamedTuple):
    """Where the rows are on the Hub, at a fixed revision."""

    id: str
    config: str
    revision: str
    split: str = "test"


GOEMOTIONS = HubData("google-research-datasets/go_emotions", "simplified", "add492243ff905527e67aeb8b80c082af02207c3")


@dataclass(frozen=True)
class Rows:
    """The rows for an evaluation. `gold` is (rows, classes), 0 or 1; for `affect` ratings (rows, 2).

    `contexts` is None if there are no situations, or if the model reads none; `characters` are who says the texts in
    these situations, None if that is not known. Texts without gold have (rows, 0).
    `protocol` describes which rows of the set these are. `clusters` has an id per row, equal for rows that depend on
    each other (one story, person, dialogue); None if all rows are independent. `units` names what the bootstrap draws.
    `definitions` has the definitions of some of the classes. `second_gold` is the gold of a second reader. A `set_size`
    above 1 means that the rows are sets of so many, one set after the other.
    """

    texts: list[str]
    contexts: list[str] | None
    gold: np.ndarray
    revision: str
    protocol: str
    clusters: list[str] | None = None
    units: str = "rows"
    classes: tuple[str, ...] = LABELS
    definitions: Mapping[str, str] = field(default_factory=lambda: DEFINITIONS)
    second_gold: np.ndarray | None = None
    set_size: int = 1
    characters: list[str] | None = None


def goemotions(place: str | None, config: str, split: str = "test") -> Rows:
    """GoEmotions' official splits (test: 5,427 rows, 28 labels): official TSV files, a prepared folder, or the Hub."""
    if place is None:
        data = read_data_set(GOEMOTIONS.id, GOEMOTIONS.config, GOEMOTIONS.revision)
        rows = data.rows(split)
        return Rows(list(rows["text"]), None, multi_hot(rows["labels"]), GOEMOTIONS.revision, PROTOCOL)
    if (Path(place) / "manifest.json").exists():
        return prepared("goemotions", place, config, split)
    found = list(comments(Path(place), split))
    files = split_files(Path(place), split)
    digest = digest_of(files[0]) if len(files) == 1 else fingerprint([digest_of(path) for path in files])
    gold = multi_hot([comment.labels for comment in found])
    return Rows([comment.text for comment in found], None, gold, f"{files[0].name} sha256 {digest[:16]}", PROTOCOL)


def grouped(label_map: str, place: str | None, config: str, split: str = "test") -> Rows:
    """Return a split of GoEmotions in groups of its labels; a text has the groups that its labels are in."""
    rows = goemotions(place, config, split)
    return replace(
        rows,
        gold=class_scores(label_map, rows.gold),
        protocol=f"{rows.protocol}; labels in groups",
        classes=tuple(LABEL_MAPS[label_map]),
    )


# Rows of these sets depend on each other: the units they belong to, and the part of a row's id after the unit's id.
# ISEAR's last digit is the emotion, the rest is the person; IEMOCAP and MELD number the turns within a dialogue.
UNITS = {
    "isear": ("persons", re.compile(r"\d$")),
    "iemocap-4": ("dialogues", re.compile(r"_[^_]*$")),
    "iemocap-6": ("dialogues", re.compile(r"_[^_]*$")),
    "meld": ("dialogues", re.compile(r"_[^_]*$")),
}


def prepared(domain: str, place: str, config: str, split: str = "test") -> Rows:
    """A split of a folder that `python -m dataset_builder domain` wrote; gold is over the set's own classes."""
    command = f"python -m dataset_builder domain {domain}"
    if place is None:
        raise InputError(f"benchmark '{domain}': pass a folder written by `{command}` to --data.")
    path = Path(place) / "manifest.json"
    manifest = json_file(path) if path.exists() else {}
    if not isinstance(manifest, dict):
        raise InputError(
            f"{path}: contains {type(manifest).__name__} instead of an object. Create the folder again: `{command}`."
        )
    if manifest.get("domain") != domain:
        raise InputError(
            f"{place}: contains {manifest.get('domain', 'no domain set')}. Pass a folder written by `{command}`."
        )
    if not isinstance(manifest.get("rows"), dict) or not manifest["rows"] or "protocol" not in manifest:
        raise InputError(f"{path}: has no 'rows' or no 'protocol'. Create the folder again: `{command}`.")
    own_config = next(iter(manifest["rows"]))
    data = read_data_set(place, own_config)
    contextual = own_config == config == "contextual"
    rows = checked_rows(data, split, contextual=contextual, labels="own_label")
    classes = tuple(LABEL_MAPS[domain])
    for row, names in enumerate(rows["own_label"]):
        if names is None or not set(names) <= set(classes):
            raise InputError(
                f"{data}: {split} {row_name(rows, row)} has the classes {names}; those of {domain} are "
                f"{', '.join(classes)}. Make the folder again: `{command}`."
            )
    gold = multi_hot([[classes.index(name) for name in names] for names in rows["own_label"]], len(classes))
    contexts = list(rows["context"]) if contextual else None
    units, own_part = UNITS.get(domain, ("rows", None))
    check_columns(data, split, {"id": f"which of the {units} a row is of"} if own_part else {})
    clusters = [own_part.sub("", row_id) for row_id in rows["id"]] if own_part else None
    protocol = str(manifest["protocol"])
    characters = _characters(rows) if contextual else None
    return Rows(
        list(rows["text"]), contexts, gold, data.revision, protocol, clusters, units, classes, characters=characters
    )


def own(place: str, config: str, split: str = "test") -> Rows:
    """Return a split of the corpus that a model was trained on, in the model's own config."""
    data = read_data_set(place, config)
    rows = checked_rows(data, split, contextual=config == "contextual")
    check_label_numbers(data, split)
    contexts = list(rows["context"]) if config == "contextual" else None
    stories = list(rows["narrative_id"]) if "narrative_id" in rows.column_names else None
    protocol, units = f"the corpus's own {split} split", "stories" if stories else "rows"
    characters = _characters(rows) if contexts else None
    gold = multi_hot(rows["labels"])
    return Rows(list(rows["text"]), contexts, gold, data.revision, protocol, stories, units, characters=characters)


def _characters(rows: Dataset) -> list[str] | None:
    return list(rows[CHARACTER]) if CHARACTER in rows.column_names else None


def descriptors(place: str, config: str) -> Rows:
    """Return the validation split of a corpus: the teacher's descriptors that are among the 28 labels.

    It contains no human label, so prompts, rules and recipes may be chosen on it.
    """
    data = read_data_set(place, "descriptors")
    rows = checked_rows(data, "validation", contextual=False, labels="descriptors")
    check_columns(data, "validation", {"narrative_id": "the text's source"})
    check_descriptors(data, "validation")
    every = multi_hot(
        [
            [LABELS.index(name) for one in found if one["weight"] >= GOLD_WEIGHT and (name := _name(one)) in LABELS]
            for found in rows["descriptors"]
        ]
    )
    # Only texts with one of the labels, and only labels that a text has.
    kept, columns = np.flatnonzero(every.any(axis=1)), np.flatnonzero(every.any(axis=0))
    if not len(kept):
        raise InputError(f"dataset '{place}': no validation text has one of the 28 labels for a descriptor.")
    chosen = rows.select(kept)
    return Rows(
        texts=list(chosen["text"]),
        contexts=None,
        gold=every[np.ix_(kept, columns)],
        revision=data.revision,
        protocol=f"validation texts with one of {len(columns)} labels among the teacher's descriptors, weight ≥ "
        f"{GOLD_WEIGHT}",
        clusters=list(chosen["narrative_id"]),
        units="sources",
        classes=tuple(LABELS[column] for column in columns),
    )


def _name(descriptor: dict[str, Any]) -> str:
    return str(descriptor["text"]).strip().lower()


def own_labels(name: str, place: str | None, config: str) -> Rows:
    """Return one of our label sets on its own sentences or, with `place`, on a file with one text per line."""
    labels = find_set(name).labels
    definitions = {label.name: label.definition for label in labels}
    if place is None:
        pairs = [(text, column) for column, label in enumerate(labels) for text in label.examples]
        texts, gold = [text for text, _ in pairs], multi_hot([[column] for _, column in pairs], len(labels))
        revision, protocol = "in this repository", "sentences of our own, written with one label each in mind"
    else:
        what = "Pass a text file with one text per line."
        texts = [line.strip() for _, line in lines(Path(place), what)]
        if not texts:
            raise InputError(f"{place}: has no text. {what}")
        gold, protocol = multi_hot([[]] * len(texts), 0), "a user's texts, nothing known of them"
        digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
        revision = f"sha256 {digest[:16]}"
    return Rows(texts, None, gold, revision, protocol, classes=tuple(definitions), definitions=definitions)


def multi_hot(labels: Sequence[Sequence[int]], classes: int = len(LABELS)) -> np.ndarray:
    """Label numbers of each row as (rows, classes), 0 or 1."""
    gold = np.zeros((len(labels), classes), dtype=np.int8)
    for row, numbers in enumerate(labels):
        gold[row, list(numbers)] = 1
    return gold
