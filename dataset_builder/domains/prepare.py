"""A domain set's official local files as a folder of the published form, with a manifest that says what was done.

Nothing of a set is bundled, downloaded or sent anywhere: whoever has a copy prepares it where it is.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_builder.domains import emocontext, goemotions, iemocap, isear
from dataset_builder.domains.reading import SEED, Example, Fold, Source
from dataset_builder.files.known_files import WITHOUT_READER
from dataset_builder.files.shards import clear, write_json
from dataset_builder.files.texts import RowCheck
from dataset_builder.inputs import InputError
from dataset_builder.label_maps import LABEL_MAPS, training_labels
from dataset_builder.pipeline.assemble import seal, write_splits
from dataset_builder.pipeline.engine import MANIFEST
from dataset_builder.provenance import digest_of
from dataset_builder.schema import DOMAIN_CONFIGS, DomainDialogueRow, DomainRow, features
from dataset_builder.taxonomy import LABELS


@dataclass(frozen=True)
class Domain:
    """A domain set: `read(folder, fold)` gives its examples; `config` is `contextual` for dialogues."""

    config: str
    read: Callable[[Path, Fold | None], Source]
    licence: str
    terms: str
    citation: str
    has_folds: bool = False


_IEMOCAP: dict[str, Any] = {
    "config": "contextual",
    "licence": "IEMOCAP release agreement of the University of Southern California",
    "terms": "for those who signed the agreement; neither the texts nor this folder may be passed on",
    "citation": "Busso et al. 2008, Language Resources and Evaluation 42, 335-359",
}
DOMAINS = {
    "goemotions": Domain(
        config="contextless",
        read=goemotions.read,
        licence="cc-by-4.0",
        terms="free with attribution: GoEmotions, Demszky et al. 2020, Google Research",
        citation="Demszky et al. 2020, arXiv 2005.00547",
    ),
    "isear": Domain(
        config="contextless",
        read=isear.read,
        licence="none stated",
        terms="offered for research by its authors; neither the texts nor this folder are to be published",
        citation="Scherer and Wallbott 1994, Journal of Personality and Social Psychology 66, 310-328",
        has_folds=True,
    ),
    "emocontext": Domain(
        config="contextual",
        read=emocontext.read,
        licence="terms of SemEval-2019 Task 3",
        terms="for participants of the task alone; neither the texts nor this folder may be passed on",
        citation="Chatterjee et al. 2019, SemEval-2019 Task 3, S19-2005",
    ),
    "iemocap-4": Domain(read=iemocap.read_four, **_IEMOCAP),
    "iemocap-6": Domain(read=iemocap.read_six, **_IEMOCAP),
}


def prepare(name: str, source: Path, out: Path, fold: Fold | None = None) -> dict[str, Any]:
    """Write a domain set to the folder `out`; returns its manifest.

    Args:
        source: the folder of the set's official files.
        fold: which part is the test split, for sets that are measured by cross-validation.

    Raises:
        InputError: an unknown set, files that are not of its form (file and line are named), a split without rows, a
            text that is empty, an id that is there twice, a fold that cannot be, or a folder `out` that exists.
    """
    if name not in DOMAINS:
        other = f" {WITHOUT_READER[name]}." if name in WITHOUT_READER else ""
        raise InputError(f"unknown domain set '{name}'. Known: {', '.join(DOMAINS)}.{other}")
    domain = DOMAINS[name]
    _check_fold(name, domain, fold)
    if not source.is_dir():
        raise InputError(f"{source}: no such folder. --source takes the folder of the set's official files.")
    if out.exists():
        raise InputError(f"{out}: exists already. Give another --out, or delete it.")
    found = domain.read(source, fold)
    once = RowCheck()
    for split, examples in found.splits.items():
        if not examples:
            raise InputError(f"{source}: no rows are left for {split} ({found.protocol}). Are the files whole?")
        for example in examples:
            once.check(example.id, example.text, example.place)
    building = out.with_name(f"{out.name}.part")
    clear(building)
    counts = write_splits(
        _rows(name, found), features(domain.config, DOMAIN_CONFIGS).arrow_schema, building / domain.config
    )
    revision = seal(building, {domain.config: counts}, DOMAIN_CONFIGS)
    manifest = _manifest(name, source, found, counts) | {"revision": revision}
    write_json(building / MANIFEST, manifest)
    building.rename(out)
    return manifest


def _check_fold(name: str, domain: Domain, fold: Fold | None) -> None:
    if fold is None:
        return
    if not domain.has_folds:
        raise InputError(f"--fold {fold.number}: {name} has official splits and no folds. Leave --fold out.")
    if fold.of < 2 or not 1 <= fold.number <= fold.of:
        raise InputError(f"--fold {fold.number} --folds {fold.of}: give 2 or more folds, and one of 1 to their number.")


def _rows(name: str, found: Source) -> Iterator[tuple[str, DomainRow]]:
    dialogue = DOMAINS[name].config == "contextual"
    for split, examples in found.splits.items():
        for example in examples:
            targets = training_labels(name, example.classes)
            row = DomainRow(
                id=example.id,
                text=example.text,
                labels=targets,
                scores=[float(index in targets) for index in range(len(LABELS))],
                own_label=list(example.classes),
            )
            yield split, _in_dialogue(row, example) if dialogue else row


def _in_dialogue(row: DomainRow, example: Example) -> DomainDialogueRow:
    return DomainDialogueRow(**row.model_dump(), context=example.context, speaker=example.speaker)


def _manifest(name: str, source: Path, found: Source, counts: dict[str, int]) -> dict[str, Any]:
    domain, bridge = DOMAINS[name], LABEL_MAPS[name]
    classes = {split: Counter(c for example in rows for c in example.classes) for split, rows in found.splits.items()}
    trained = {example.text for split in ("train", "validation") for example in found.splits[split]}
    shared = sum(example.text in trained for example in found.splits["test"])
    return {
        "stage": "domain",
        "domain": name,
        "protocol": found.protocol,
        "seed": SEED,
        "licence": domain.licence,
        "terms": domain.terms,
        "citation": domain.citation,
        "bridge": {own: list(labels) for own, labels in bridge.items()},
        "rows": {domain.config: counts},
        "classes": {split: {own: counted[own] for own in bridge} for split, counted in classes.items()},
        "handled": dict(sorted(found.counts.items())),
        "test_texts_also_in_train_or_validation": shared,
        "sources": {path.relative_to(source).as_posix(): digest_of(path) for path in found.files},
    }
