"""Merges the rows of several corpora into one, and publishes them.

Each source has its own splits. If one source holds out a story, a text or the situation of an open remark, no other
source may have it in its train split.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from dataset_builder.corpus import open_corpus
from dataset_builder.descriptors.phrases import one_line
from dataset_builder.files.shards import to_line, write_whole
from dataset_builder.filters.deduplicate import OPEN, words_digest
from dataset_builder.filters.validate import check_texts
from dataset_builder.hashing import is_drawn, stable_hash
from dataset_builder.inputs import InputError
from dataset_builder.parquet import (
    CORPUS,
    MANIFEST,
    finished_corpus,
    read_manifest,
    whole_folder,
    write_manifest,
    write_splits,
)
from dataset_builder.run_state import REJECTS
from dataset_builder.schema import CONFIGS, SPLITS, ContextualRow, DescriptorsRow, PublishedRow, Rejected

CONFIG = "descriptors"
SplitRow = tuple[str, PublishedRow]


def check_corpora(places: Sequence[Path], config: str) -> None:
    """Raise InputError if one of the corpora to merge does not have this config."""
    for place in places:
        if config not in open_corpus(place).files:
            raise InputError(f"{place}: has no config '{config}', which --with requires.")


def corpora_rows(places: Sequence[Path], config: str) -> Iterator[SplitRow]:
    """Yield rows of other corpora with their splits."""
    for place in places:
        for row in open_corpus(place).rows(config):
            split = row.pop("split")
            yield split, CONFIGS[config].model_validate(row)


def is_written(row: PublishedRow) -> TypeGuard[DescriptorsRow]:
    """Return whether a row's text was written for an emotion word (write-texts)."""
    return isinstance(row, DescriptorsRow) and row.describer == "written"


def reference_to(place: Path) -> dict[str, Any]:
    """Return another corpus's entry for our manifest: its recipe and revision."""
    folder = open_corpus(place).folder
    manifest = read_manifest(folder) if (folder / MANIFEST).exists() else {}
    return {"name": manifest.get("recipe", place.name), "revision": manifest.get("revision", "unknown")}


def split_by_hash(rows: Iterable[DescriptorsRow], validation: float, seed: int) -> list[SplitRow]:
    """Return rows ordered by a hash of their texts; a share, also drawn by hash, is in `validation`."""
    ordered = sorted(rows, key=lambda row: (stable_hash(seed, row.text), row.id))
    held = [is_drawn(validation, seed, "validation", one_line(row.text)) for row in ordered]
    return [("validation" if is_held else "train", row) for is_held, row in zip(held, ordered, strict=True)]


def publish_rows(split: Iterable[SplitRow], work_dir: Path, manifest: dict[str, Any], config: str = CONFIG) -> None:
    """Write `<work>/corpus` from rows with their splits.

    Rows with a fault (`check_texts`) and rows whose story or text is held out by another row are left out. They are
    written to `rejects/publish.jsonl` and counted in the manifest.

    Raises:
        InputError: no row is left, or the folder contains a corpus of another kind.
    """
    finished_corpus(work_dir, manifest["stage"])
    rows = list(split)
    held_out = _held_out(rows)
    kept: list[SplitRow] = []
    rejected: list[Rejected] = []
    for place, row in rows:
        reason = check_texts(row)
        if reason is None and any(_side(place) < held_out.get(key, 0) for key in _keys(row)):
            reason = "held_out_elsewhere"
        if reason is None:
            kept.append((place, row))
        else:
            rejected.append(Rejected.of(row.id, "publish", reason, row.text))
    write_whole(work_dir / REJECTS / "publish.jsonl", (to_line(reject.model_dump()) for reject in rejected))
    if not kept:
        raise InputError(f"no row is left to publish; {work_dir / REJECTS}/publish.jsonl lists the reasons.")
    reasons = Counter(manifest.get("rejected", {})) + Counter(reject.reason for reject in rejected)
    if reasons:
        manifest = manifest | {"rejected": dict(sorted(reasons.items()))}
    with whole_folder(work_dir / CORPUS) as building:
        write_manifest(building, manifest | {"rows": {config: write_splits(kept, config, building)}})


def _held_out(rows: Iterable[SplitRow]) -> dict[bytes, int]:
    """Map each story and text outside train to the split that keeps it: test takes precedence over validation."""
    found: dict[bytes, int] = {}
    for place, row in rows:
        if side := _side(place):
            for key in _keys(row):
                found[key] = max(side, found.get(key, 0))
    return found


def _side(split: str) -> int:
    return SPLITS.index(split) if split in SPLITS else len(SPLITS)


def _keys(row: PublishedRow) -> tuple[bytes, ...]:
    """Return the keys that a row must not share with another split: its story, text and open remark's situation."""
    keys = [b"story " + row.narrative_id.encode(errors="replace"), words_digest(row.text)]
    if isinstance(row, ContextualRow) and row.variant == OPEN:
        keys.append(words_digest(row.context))
    return tuple(keys)
