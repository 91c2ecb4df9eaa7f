"""The work folders of runs on texts: whose they are, and how what they publish gets its name."""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from dataset_builder.corpus import open_corpus
from dataset_builder.files.shards import clear, read_json, to_line, write_json, write_whole
from dataset_builder.files.text_hygiene import without_surrogates
from dataset_builder.filters.deduplicate import OPEN, words_digest
from dataset_builder.filters.validate import check_texts
from dataset_builder.inputs import InputError
from dataset_builder.pipeline.ask import LONGEST_KEPT
from dataset_builder.pipeline.assemble import CORPUS, seal, write_splits
from dataset_builder.pipeline.engine import ALL_STAGES, MANIFEST, REJECTS, nothing_made
from dataset_builder.pipeline.progress import NARRATIVES, PROGRESS
from dataset_builder.pipeline.stages import ALONE
from dataset_builder.schema import CONFIGS, SPLITS, ContextualRow, DescriptorsRow, PublishedRow, Rejected, features

CONFIG = "descriptors"
RUN = "run.json"
ANY_TIME = {"name", "executor", "weights", "cues", "validation"}  # of a recipe: no row of the teacher's depends on it
PLACES = {"urls", "api_key_env", "timeout", "retries", "patience", "in_flight", "kept_beginnings", "length_parameter"}


def run_before(work_dir: Path, mine: dict[str, Any]) -> dict[str, Any] | None:
    """What was written of the run that the folder belongs to; None where none began, or where it made nothing.

    Raises:
        InputError: it is another one.
    """
    path = work_dir / RUN
    if not path.exists():
        return None
    before: dict[str, Any] = read_json(path)
    if other := [key for key in mine if before.get(key) != mine[key]]:
        stages = [stage.name for stage in ALONE]
        if nothing_made(work_dir, *stages, *ALL_STAGES):  # as after a teacher that refused every call
            for folder in (NARRATIVES, PROGRESS, *stages):
                shutil.rmtree(work_dir / folder, ignore_errors=True)
            return None
        raise InputError(
            f"{work_dir}: holds a run with another {', '.join(other)}. Its rows would not fit the new ones: give "
            "another --work-dir."
        )
    return before


def check_others(others: Sequence[Path], config: str) -> None:
    """Raises InputError where one of other corpora, whose rows are to be published along, has not this config."""
    for other in others:
        if config not in open_corpus(other).files:
            raise InputError(f"{other}: has no config '{config}'. --with takes corpora that have it.")


def rows_of_others(places: Sequence[Path], config: str) -> Iterator[tuple[str, PublishedRow]]:
    """Rows of other corpora with their splits."""
    for place in places:
        for row in open_corpus(place).rows(config):
            split = row.pop("split")
            yield split, CONFIGS[config].model_validate(row)


def is_written(row: PublishedRow) -> TypeGuard[DescriptorsRow]:
    """Whether a row's text was written for an emotion word (write-texts)."""
    return isinstance(row, DescriptorsRow) and row.describer == "written"


def named(place: Path) -> dict[str, Any]:
    """Another corpus's entry in our manifest: its recipe and revision."""
    manifest = open_corpus(place).folder / MANIFEST
    said = read_json(manifest) if manifest.exists() else {}
    return {"name": said.get("recipe", place.name), "revision": said.get("revision", "unknown")}


def publish_rows(
    split: Iterable[tuple[str, PublishedRow]], work_dir: Path, said: dict[str, Any], config: str = CONFIG
) -> None:
    """Write `<work>/corpus` from rows with their splits; the folder appears under its name when it is whole.

    Rows with a fault (`check_texts`) are left out, and so are rows whose story or text is held out elsewhere among
    them: rows of several makers come with splits of their own. They are written to `rejects/publish.jsonl` and counted
    in the manifest.

    Raises:
        InputError: no row is left, or a corpus of another kind is there.
    """
    there = work_dir / CORPUS / MANIFEST
    if there.exists() and (stage := read_json(there).get("stage")) not in (None, said["stage"]):
        raise InputError(f"{work_dir}: holds a corpus of '{stage}', which is kept. Give another --work-dir.")
    rows = list(split)
    held_out = _held_out(rows)
    kept: list[tuple[str, PublishedRow]] = []
    rejected: list[Rejected] = []
    for place, row in rows:
        reason = check_texts(row)
        if reason is None and any(_side(place) < held_out.get(key, 0) for key in _known_by(row)):
            reason = "held_out_elsewhere"
        if reason is None:
            kept.append((place, row))
        else:
            rejected.append(
                Rejected(
                    id=without_surrogates(row.id),
                    stage="publish",
                    reason=reason,
                    text=without_surrogates(row.text[:LONGEST_KEPT]),
                )
            )
    write_whole(work_dir / REJECTS / "publish.jsonl", (to_line(reject.model_dump()) for reject in rejected))
    if not kept:
        raise InputError(f"no row is left to publish; {work_dir / REJECTS}/publish.jsonl says why.")
    building = work_dir / f"{CORPUS}.part"
    clear(building)
    counts = {config: write_splits(kept, features(config).arrow_schema, building / config)}
    reasons = Counter(said.get("rejected", {})) + Counter(reject.reason for reject in rejected)
    said |= {"rejected": dict(sorted(reasons.items()))} if reasons else {}
    write_json(building / MANIFEST, said | {"rows": counts, "revision": seal(building, counts)})
    clear(work_dir / CORPUS)
    building.rename(work_dir / CORPUS)


def _held_out(rows: Iterable[tuple[str, PublishedRow]]) -> dict[bytes, int]:
    """Of each story and text that is not in train alone, the side that has the first claim to it: test, validation."""
    found: dict[bytes, int] = {}
    for place, row in rows:
        if side := _side(place):
            for key in _known_by(row):
                found[key] = max(side, found.get(key, 0))
    return found


def _side(split: str) -> int:
    return SPLITS.index(split) if split in SPLITS else len(SPLITS)


def _known_by(row: PublishedRow) -> tuple[bytes, ...]:
    """By what a row must not be in two splits: its story, its text, and the situation of an open remark."""
    known = [b"story " + row.narrative_id.encode(errors="replace"), words_digest(row.text)]
    if isinstance(row, ContextualRow) and row.variant == OPEN:
        known.append(words_digest(row.context))
    return tuple(known)
