"""Imports the released Emo Pillars corpus: converts its JSONL files to typed configs for training.

The released rows hold `utterance`, `all_emotions` and `all_emotions_mapped`. The last two are lists of [label, score]
pairs whose mixed types `load_dataset` cannot read (papers: A3). `all_emotions` become `raw_labels`, and
`all_emotions_mapped` become `scores` of the 28 labels; a score of 0.3 or more makes a label. For the context-aware
files, options name the fields of situation and character; with `--context-field` the config is `contextual`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_builder.files.reading import json_lines
from dataset_builder.files.shards import to_line, write_whole
from dataset_builder.filters.resolve import class_of
from dataset_builder.filters.validate import check_texts
from dataset_builder.hashing import digest_of, fingerprint
from dataset_builder.inputs import InputError
from dataset_builder.parquet import CORPUS, whole_folder, write_manifest, write_splits
from dataset_builder.recipe import PaperMap
from dataset_builder.run_state import REJECTS
from dataset_builder.schema import ContextlessRow, ContextualRow, RawLabel, Rejected
from dataset_builder.taxonomy import LABELS
from dataset_builder.text_hygiene import cleaned, damage_of

PROVENANCE = "alex-shvets/EmoPillars"
TEACHER = "mistralai/Mistral-7B-Instruct-v0.2"
KEEP_AT = 0.3  # paper A
SPLIT_OF = {"train": "train", "dev": "validation", "validation": "validation", "valid": "validation", "test": "test"}
TEXT, RAW, MAPPED = "utterance", "all_emotions", "all_emotions_mapped"


@dataclass(frozen=True)
class Fields:
    """Names of the fields that exist only in some files."""

    context: str | None = None
    character: str | None = None


def import_released(files: Sequence[Path], work_dir: Path, fields: Fields) -> dict[str, Any]:
    """Write `<work>/corpus` from released files and return its manifest. Each file's name contains its split.

    Rows without a score of 0.3 or more are rejected with a reason, as in the paper.

    Raises:
        InputError: a file whose name contains no split, a row in another format (the message names file and line), or
            a work folder that contains a corpus.
    """
    target = work_dir / CORPUS
    if target.exists():
        raise InputError(f"{target}: already exists. Use another --work-dir, or delete it.")
    splits = {path: _split_of(path) for path in files}
    config = "contextual" if fields.context else "contextless"
    rejected: list[Rejected] = []
    unresolved: Counter[str] = Counter()
    rows = ((splits[path], row) for path in files for row in _rows(path, splits[path], fields, rejected, unresolved))
    with whole_folder(target) as building:
        counts = write_splits(rows, config, building)
        if not counts:
            raise InputError(f"{', '.join(map(str, files))}: no row was kept.")
        write_whole(work_dir / REJECTS / "adopt.jsonl", (to_line(reject.model_dump()) for reject in rejected))
        manifest = {
            "stage": "adopt",
            "recipe": "adopted",
            "recipe_hash": fingerprint([digest_of(path) for path in files]),
            "teacher": TEACHER,
            "rows": {config: counts},
            "rejected": dict(sorted(Counter(reject.reason for reject in rejected).items())),
            "unresolved_labels": dict(unresolved.most_common()),
        }
        return write_manifest(building, manifest)


def _split_of(path: Path) -> str:
    words = path.name.split(".")[0].lower().replace("-", "_").split("_")
    found = {split for word, split in SPLIT_OF.items() if word in words}
    if len(found) != 1:
        raise InputError(f"{path}: its name contains no split. Name it train, dev or test (.jsonl).")
    return found.pop()


def _rows(
    path: Path, split: str, fields: Fields, rejected: list[Rejected], unresolved: Counter[str]
) -> Iterator[ContextlessRow]:
    """Yield the accepted rows of a file; add the others to `rejected`, and words without a label to `unresolved`."""
    for place, found in json_lines(path, "Pass the released JSONL files."):
        if not isinstance(found, dict):
            raise InputError(f"{place}: expected an object with {TEXT}, {RAW}, {MAPPED}.")
        row_id = f"{path.absolute().parent.name}-{path.stem}/{place.rpartition(' ')[2]}"
        row = _row(found, place, row_id, split, fields, unresolved)
        if reason := check_texts(row) or (None if row.labels else "no_label"):
            rejected.append(Rejected.of(row.id, "adopt", reason, row.text))
        else:
            yield row


def _row(
    found: dict[str, Any], place: str, row_id: str, split: str, fields: Fields, unresolved: Counter[str]
) -> ContextlessRow:
    scores = [0.0] * len(LABELS)
    for label, score in _pairs(found, MAPPED, place):
        if (index := class_of(label, PaperMap())) is None:
            unresolved[label] += 1
        else:
            scores[index] = max(scores[index], score)
    raw = _pairs(found, RAW if RAW in found else MAPPED, place)
    text = _text(found, TEXT, place)
    common: dict[str, Any] = {
        "id": row_id,
        "text": text,
        "labels": [index for index, score in enumerate(scores) if score >= KEEP_AT],
        "scores": scores,
        "raw_labels": [RawLabel(label=label, score=score) for label, score in raw],
        "character": _text(found, fields.character, place) if fields.character else "",
        "narrative_id": f"released {split}",  # released rows name no story: each split stands for one
        "source": "released",
        "provenance": PROVENANCE,
        "requested_emotion": "",
        "teacher": TEACHER,
        "labeler": "verbalised",
        "prompt_version": "released",
        "seed": 0,
    }
    if fields.context is None:
        return ContextlessRow(**common)
    context = _text(found, fields.context, place)
    return ContextualRow(**common, context=context, variant="original", original_text=text)


def _text(found: dict[str, Any], field: str, place: str) -> str:
    value = found.get(field)
    if not isinstance(value, str) or not value.strip():
        has = ", ".join(found)[:200]
        raise InputError(f"{place}: field '{field}' must be text, found {str(value)[:80]}; the row has {has}.")
    return _undamaged(value, field, place)


def _pairs(found: dict[str, Any], field: str, place: str) -> list[tuple[str, float]]:
    """Return pairs of label and score; the score in the file may be a number or a string."""
    value = found.get(field)
    if not isinstance(value, list):
        raise InputError(f"{place}: field '{field}' must be a list of [label, score], found {str(value)[:80]}.")
    pairs = []
    for pair in value:
        try:
            label, score = pair
            label, score = _undamaged(label, field, place, one_line=True).lower(), float(score)
        except (TypeError, ValueError, AttributeError):
            raise InputError(f"{place}: field '{field}': expected [label, score], found {str(pair)[:80]}.") from None
        if not 0 <= score <= 1:
            raise InputError(f"{place}: field '{field}': the score of {pair!r} is not between 0 and 1.")
        pairs.append((label, score))
    return pairs


def _undamaged(value: str, field: str, place: str, *, one_line: bool = False) -> str:
    value = cleaned(value).strip(" \t\n")
    if damage := damage_of(value, one_line=one_line):
        raise InputError(f"{place}: field '{field}' contains {damage}. Correct the file.")
    return value.strip()
