"""Imports the released Emo Pillars corpus: converts its JSONL files to typed configs for training.

The released rows hold `utterance`, `all_emotions` and `all_emotions_mapped`. The last two are lists of [label, score]
pairs whose mixed types `load_dataset` cannot read (papers: A3). `all_emotions` become `raw_labels`, and
`all_emotions_mapped` become `scores` of the 28 labels; a score of 0.3 or more makes a label. For the context-aware
files, options name the fields of situation and character; with `--context-field` the config is `contextual`. A row
without a story is a story of its own.

Side by side, the two lists show the paper's hand-made map of words outside the taxonomy, of which only three pairs are
published. `recovered_map.yaml` in the work folder has it as a recipe's section `resolve`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

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
RAW, MAPPED = "all_emotions", "all_emotions_mapped"
RECOVERED_MAP = "recovered_map.yaml"
MOST_SHOWN = 5  # classes that the manifest shows for a word


class Words:
    """The words outside the taxonomy: those without a class, and the classes that the released files give to them."""

    def __init__(self) -> None:
        self.unresolved: Counter[str] = Counter()
        self.mapped: dict[str, Counter[str]] = {}

    def add(self, raw: list[tuple[str, float]], mapped: list[tuple[str, float]]) -> None:
        """Count, for each raw word that is no class, the class that has its score without being among the words."""
        named = {word: score for word, score in raw if word in LABELS}
        added = [(label, score) for label, score in mapped if label in LABELS and named.get(label, -1.0) < score]
        for word, score in raw:
            if word not in LABELS:
                found = [label for label, of_label in added if of_label == score]
                # With two words of one score it cannot be told which class is whose, unless both have one.
                if len(found) == 1:
                    self.mapped.setdefault(word, Counter())[found[0]] += 1

    def pairs(self) -> dict[str, str]:
        """Return each word with its most frequent class, the most frequent word first."""
        ordered = sorted(self.mapped.items(), key=lambda item: (-item[1].total(), item[0]))
        return {word: classes.most_common(1)[0][0] for word, classes in ordered}


@dataclass(frozen=True)
class Fields:
    """Names of the fields that differ between files, or exist only in some."""

    text: str = "utterance"
    context: str | None = None
    character: str | None = None
    rewritten: str | None = None
    story: str | None = None


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
    words = Words()
    rows = ((splits[path], row) for path in files for row in _rows(path, fields, rejected, words))
    with whole_folder(target) as building:
        counts = write_splits(rows, config, building)
        if not counts:
            raise InputError(f"{', '.join(map(str, files))}: no row was kept.")
        write_whole(work_dir / REJECTS / "adopt.jsonl", (to_line(reject.model_dump()) for reject in rejected))
        section = {"resolve": {"method": "paper_map", "pairs": words.pairs()}}
        write_whole(work_dir / RECOVERED_MAP, yaml.safe_dump(section, sort_keys=False).encode())
        manifest = {
            "stage": "adopt",
            "recipe": "adopted",
            "recipe_hash": fingerprint([digest_of(path) for path in files]),
            "teacher": TEACHER,
            "rows": {config: counts},
            "rejected": dict(sorted(Counter(reject.reason for reject in rejected).items())),
            "unresolved_labels": dict(words.unresolved.most_common()),
            "recovered_map": {word: dict(words.mapped[word].most_common(MOST_SHOWN)) for word in words.pairs()},
        }
        return write_manifest(building, manifest)


def _split_of(path: Path) -> str:
    words = path.name.split(".")[0].lower().replace("-", "_").split("_")
    found = {split for word, split in SPLIT_OF.items() if word in words}
    if len(found) != 1:
        raise InputError(f"{path}: its name contains no split. Name it train, dev or test (.jsonl).")
    return found.pop()


def _rows(path: Path, fields: Fields, rejected: list[Rejected], words: Words) -> Iterator[ContextlessRow]:
    """Yield the accepted rows of a file; add the others to `rejected`, and words outside the taxonomy to `words`."""
    for place, found in json_lines(path, "Pass the released JSONL files."):
        if not isinstance(found, dict):
            raise InputError(f"{place}: expected an object with {fields.text}, {RAW}, {MAPPED}.")
        row_id = f"{path.absolute().parent.name}-{path.stem}/{place.rpartition(' ')[2]}"
        for row in _variants(found, place, row_id, fields, words):
            if reason := check_texts(row) or (None if row.labels else "no_label"):
                rejected.append(Rejected.of(row.id, "adopt", reason, row.text))
            else:
                yield row


def _variants(found: dict[str, Any], place: str, row_id: str, fields: Fields, words: Words) -> Iterator[ContextlessRow]:
    """Yield the row and, where the file has it, its rewritten variant."""
    scores, mapped = [0.0] * len(LABELS), _pairs(found, MAPPED, place)
    for label, score in mapped:
        if (index := class_of(label, PaperMap())) is None:
            words.unresolved[label] += 1
        else:
            scores[index] = max(scores[index], score)
    raw = _pairs(found, RAW if RAW in found else MAPPED, place)
    words.add(raw, mapped)
    text = _text(found, fields.text, place)
    common: dict[str, Any] = {
        "id": row_id,
        "text": text,
        "labels": [index for index, score in enumerate(scores) if score >= KEEP_AT],
        "scores": scores,
        "raw_labels": [RawLabel(label=label, score=score) for label, score in raw],
        "character": _text(found, fields.character, place) if fields.character else "",
        "narrative_id": _text(found, fields.story, place) if fields.story else row_id,
        "source": "released",
        "provenance": PROVENANCE,
        "requested_emotion": "",
        "teacher": TEACHER,
        "labeler": "verbalised",
        "prompt_version": "released",
        "seed": 0,
    }
    if fields.context is None:
        yield ContextlessRow(**common)
        return
    common |= {"context": _text(found, fields.context, place), "original_text": text}
    yield ContextualRow(**common, variant="original")
    if fields.rewritten:
        rewritten = {"id": f"{row_id}/rewritten", "text": _text(found, fields.rewritten, place)}
        yield ContextualRow(**common | rewritten, variant="rewritten")


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
