"""Takes over the released Emo Pillars corpus: its JSONL files into our typed configs, so that models can train on it.

The released rows hold `utterance`, `all_emotions` and `all_emotions_mapped`, the latter lists of [label, score] pairs,
whose mixed types `load_dataset` cannot read (papers: A3). `all_emotions` become `raw_labels`; `all_emotions_mapped`
become `scores` over the 28 classes, and labels from 0.3 on. The names of the fields that hold situations and characters
in the context-aware files are given on the command line: with `--context-field` the config is `contextual`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_builder.files.reading import json_lines
from dataset_builder.files.shards import clear, to_line, write_json, write_whole
from dataset_builder.files.text_hygiene import cleaned, damage_of
from dataset_builder.filters.resolve import class_of
from dataset_builder.filters.validate import check_texts
from dataset_builder.hashing import fingerprint
from dataset_builder.inputs import InputError
from dataset_builder.pipeline.ask import LONGEST_KEPT
from dataset_builder.pipeline.assemble import CORPUS, seal, write_parquet
from dataset_builder.pipeline.engine import MANIFEST, REJECTS
from dataset_builder.provenance import digest_of
from dataset_builder.recipe import PaperMap
from dataset_builder.schema import SPLITS, ContextlessRow, ContextualRow, RawLabel, Rejected
from dataset_builder.taxonomy import LABELS

SOURCE = "alex-shvets/EmoPillars"
TEACHER = "mistralai/Mistral-7B-Instruct-v0.2"
KEEP_AT = 0.3  # paper A
SPLIT_OF = {"train": "train", "dev": "validation", "validation": "validation", "valid": "validation", "test": "test"}
TEXT, RAW, MAPPED = "utterance", "all_emotions", "all_emotions_mapped"
Pairs = list[tuple[str, float]]


@dataclass(frozen=True)
class Fields:
    """Names of the fields that not every file has."""

    context: str | None = None
    character: str | None = None


def adopt(files: Sequence[Path], work_dir: Path, fields: Fields) -> dict[str, Any]:
    """Write `<work>/corpus` from released files, the split taken from each file's name; returns its manifest.

    Rows without a label from 0.3 on are rejected with a reason, as the paper does.

    Raises:
        InputError: a file whose name says no split, a row that is not of the released form (file and line are
            named), or a work folder that holds a corpus.
    """
    target, building = work_dir / CORPUS, work_dir / f"{CORPUS}.part"
    if target.exists():
        raise InputError(f"{target}: exists already. Give another --work-dir, or delete it.")
    clear(building)
    splits = {path: _split_of(path) for path in files}
    config = "contextual" if fields.context else "contextless"
    rejected: list[Rejected] = []
    unresolved: Counter[str] = Counter()
    rows = (row for path in files for row in _rows(path, splits[path], fields, rejected, unresolved))
    # Released rows name no story: each split stands for one, so that write_parquet keeps the released split.
    counts = write_parquet(config, rows, {_story(split): split for split in SPLITS}, building)
    if not counts:
        raise InputError(f"{', '.join(map(str, files))}: no row was kept.")
    write_whole(work_dir / REJECTS / "adopt.jsonl", (to_line(reject.model_dump()) for reject in rejected))
    revision = seal(building, {config: counts})
    manifest = {
        "stage": "adopt",
        "recipe": "adopted",
        "recipe_hash": fingerprint([digest_of(path) for path in files]),
        "teacher": TEACHER,
        "rows": {config: counts},
        "rejected": dict(sorted(Counter(reject.reason for reject in rejected).items())),
        "unresolved_labels": dict(unresolved.most_common()),
        "revision": revision,
    }
    write_json(building / MANIFEST, manifest)
    building.rename(target)
    return manifest


def _story(split: str) -> str:
    return f"released {split}"


def _split_of(path: Path) -> str:
    """The split that a file's name says."""
    name = path.name.split(".")[0].lower()
    found = {split for word, split in SPLIT_OF.items() if word in name.replace("-", "_").split("_")}
    if len(found) != 1:
        raise InputError(f"{path}: its name says no split. Name it train, dev or test (.jsonl).")
    return found.pop()


def _rows(
    path: Path, split: str, fields: Fields, rejected: list[Rejected], unresolved: Counter[str]
) -> Iterator[ContextlessRow]:
    for place, found in json_lines(path, "Give the released JSONL files."):
        if not isinstance(found, dict):
            raise InputError(f"{place}: a row is an object with {TEXT}, {RAW}, {MAPPED}.")
        number = place.rpartition(" ")[2]
        row = _row(found, place, f"{path.absolute().parent.name}-{path.stem}/{number}", split, fields, unresolved)
        reason = check_texts(row) or (None if row.labels else "no_label")
        if reason is None:
            yield row
        else:
            rejected.append(Rejected(id=row.id, stage="adopt", reason=reason, text=row.text[:LONGEST_KEPT]))


def _row(
    found: dict[str, Any], place: str, key: str, split: str, fields: Fields, unresolved: Counter[str]
) -> ContextlessRow:
    scores = [0.0] * len(LABELS)
    for label, score in _pairs(found, MAPPED, place):
        index = class_of(label, PaperMap())
        if index is None:
            unresolved[label] += 1
        else:
            scores[index] = max(scores[index], score)
    raw = _pairs(found, RAW if RAW in found else MAPPED, place)
    text = _text(found, TEXT, place)
    common: dict[str, Any] = {
        "id": key,
        "text": text,
        "labels": [index for index, score in enumerate(scores) if score >= KEEP_AT],
        "scores": scores,
        "raw_labels": [RawLabel(label=label, score=score) for label, score in raw],
        "character": _text(found, fields.character, place) if fields.character else "",
        "narrative_id": _story(split),
        "source": SOURCE,
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
        found_fields = ", ".join(found)[:200]
        raise InputError(f"{place}: field '{field}' must be text, found {str(value)[:80]}; the row has {found_fields}.")
    if damage := damage_of(value := cleaned(value)):
        raise InputError(f"{place}: field '{field}' holds {damage}. Mend the file.")
    return value.strip()


def _pairs(found: dict[str, Any], field: str, place: str) -> Pairs:
    """Pairs of label and score; the score may be a number or its text."""
    value = found.get(field)
    if not isinstance(value, list):
        raise InputError(f"{place}: field '{field}' must be a list of [label, score], found {str(value)[:80]}.")
    pairs: Pairs = []
    for pair in value:
        try:
            label, score = pair
            pairs.append((cleaned(label).strip().lower(), float(score)))
        except (TypeError, ValueError, AttributeError):
            raise InputError(f"{place}: field '{field}': expected [label, score], found {str(pair)[:80]}.") from None
        if not 0 <= pairs[-1][1] <= 1:
            raise InputError(f"{place}: field '{field}': the score of {pair!r} is not within 0 and 1.")
        if damage := damage_of(pairs[-1][0], one_line=True):
            raise InputError(f"{place}: field '{field}' holds {damage}. Mend the file.")
    return pairs
