"""The work folders of runs on texts: whose they are, and how what they publish gets its name."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from dataset_builder.engine import MANIFEST, nothing_made
from dataset_builder.flow import NARRATIVES, PROGRESS
from dataset_builder.inputs import InputError
from dataset_builder.publish import CORPUS, seal, write_splits
from dataset_builder.quality.corpus import open_corpus
from dataset_builder.schema import CONFIGS, DescriptorsRow, PublishedRow, features
from dataset_builder.shards import clear, read_json, write_json
from dataset_builder.stages import ALONE

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
        if nothing_made(work_dir, *stages):  # as after a teacher that refused every call
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
    """Write `<work>/corpus` from rows with their splits; the folder appears under its name when it is whole."""
    building = work_dir / f"{CORPUS}.part"
    clear(building)
    counts = {config: write_splits(iter(split), features(config).arrow_schema, building / config)}
    write_json(building / MANIFEST, said | {"rows": counts, "revision": seal(building, counts)})
    clear(work_dir / CORPUS)
    building.rename(work_dir / CORPUS)
