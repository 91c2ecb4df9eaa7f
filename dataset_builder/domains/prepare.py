"""Converts a dataset's official local files to a folder in the published format, with a manifest.

No data is bundled, downloaded or uploaded: users convert their own copy on their own machine.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dataset_builder.domains import emocontext, goemotions, iemocap, isear, meld
from dataset_builder.domains.examples import SEED, DataSet, Fold, Source
from dataset_builder.files.known_files import WITHOUT_READER
from dataset_builder.files.texts import RowCheck
from dataset_builder.hashing import digest_of
from dataset_builder.inputs import InputError
from dataset_builder.label_maps import LABEL_MAPS, training_labels
from dataset_builder.parquet import whole_folder, write_manifest, write_splits
from dataset_builder.schema import DOMAIN_CONFIGS, DomainDialogueRow, DomainRow
from dataset_builder.taxonomy import LABELS

DATA_SETS = {
    "goemotions": goemotions.SET,
    "isear": isear.SET,
    "emocontext": emocontext.SET,
    "iemocap-4": iemocap.FOUR_CLASSES,
    "iemocap-6": iemocap.SIX_CLASSES,
    "meld": meld.SET,
}


def prepare(name: str, source: Path, out: Path, fold: Fold | None = None) -> dict[str, Any]:
    """Write a dataset to the folder `out` and return its manifest.

    Args:
        source: the folder with the dataset's official files.
        fold: the part to use as the test split, for datasets that are evaluated by cross-validation.

    Raises:
        InputError: an unknown dataset, files in another format (the message names file and line), a split without rows,
            an empty text, a repeated id, an impossible fold, or a folder `out` that exists.
    """
    if name not in DATA_SETS:
        other = f" {WITHOUT_READER[name]}." if name in WITHOUT_READER else ""
        raise InputError(f"unknown dataset '{name}'. Known: {', '.join(DATA_SETS)}.{other}")
    if not source.is_dir():
        raise InputError(
            f"{source}: no such folder. Set --source to the folder with the official files of the dataset."
        )
    if out.exists():
        raise InputError(f"{out}: already exists. Use another --out, or delete it.")
    data_set = DATA_SETS[name]
    found = _read(name, data_set, source, fold)
    with whole_folder(out) as building:
        counts = write_splits(_rows(name, found), data_set.config, building, DOMAIN_CONFIGS)
        manifest = _manifest(name, source, found, {data_set.config: counts})
        return write_manifest(building, manifest, DOMAIN_CONFIGS)


def _read(name: str, data_set: DataSet, source: Path, fold: Fold | None) -> Source:
    """Read the dataset and check it."""
    if fold is None:
        found = data_set.read(source)
    elif data_set.read_fold is None:
        raise InputError(f"--fold {fold.number}: {name} has official splits, not folds. Remove --fold.")
    elif fold.of < 2 or not 1 <= fold.number <= fold.of:
        raise InputError(
            f"--fold {fold.number} --folds {fold.of}: use at least 2 folds, and a fold from 1 to that number."
        )
    else:
        found = data_set.read_fold(source, fold)
    check = RowCheck()
    for split, examples in found.splits.items():
        if not examples:
            raise InputError(f"{source}: no rows are left for {split} ({found.protocol}). Are the files complete?")
        for example in examples:
            check.check(example.id, example.text, example.place)
    return found


def _rows(name: str, found: Source) -> Iterator[tuple[str, DomainRow]]:
    for split, examples in found.splits.items():
        for example in examples:
            labels = training_labels(name, example.classes)
            row = DomainRow(
                id=example.id,
                text=example.text,
                labels=labels,
                scores=[float(index in labels) for index in range(len(LABELS))],
                own_label=list(example.classes),
            )
            if DATA_SETS[name].config == "contextual":
                row = DomainDialogueRow(**row.model_dump(), context=example.context, character=example.character)
            yield split, row


def _manifest(name: str, source: Path, found: Source, counts: dict[str, dict[str, int]]) -> dict[str, Any]:
    data_set, label_map = DATA_SETS[name], LABEL_MAPS[name]
    classes = {split: Counter(c for example in rows for c in example.classes) for split, rows in found.splits.items()}
    trained = {example.text for split in ("train", "validation") for example in found.splits[split]}
    return {
        "stage": "domain",
        "domain": name,
        "protocol": found.protocol,
        "seed": SEED,
        "licence": data_set.licence,
        "terms": data_set.terms,
        "citation": data_set.citation,
        "bridge": {own: list(labels) for own, labels in label_map.items()},
        "rows": counts,
        "classes": {split: {own: counted[own] for own in label_map} for split, counted in classes.items()},
        "handled": dict(sorted(found.counts.items())),
        "test_texts_also_in_train_or_validation": sum(example.text in trained for example in found.splits["test"]),
        "sources": {path.relative_to(source).as_posix(): digest_of(path) for path in found.files},
    }
