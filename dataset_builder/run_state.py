"""The state of a run in its work folder: the lock, what the run is, and how it differs from the previous run.

A process holds `run.lock` while it works. `run.json` records what the rows depend on: recipe, prompts, items, shards.
Each stage has a folder with a shard per rank (`00000.jsonl.gz`); its `journal/` has the finished units of unfinished
shards. `progress/` counts units for display; no row depends on it.
"""

import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from dataset_builder.files.shards import file_lock, read_json
from dataset_builder.inputs import InputError
from dataset_builder.parquet import CORPUS

RUN = "run.json"
NARRATIVES = "narratives"  # the folder of the items: stories, texts, phrases, words
PROGRESS = "progress"
JOURNAL = "journal"
REJECTS = "rejects"
# Keys of a teacher that may differ between two runs in one folder: no answer depends on them.
RUNTIME_ONLY = frozenset(
    ("urls", "api_key_env", "timeout", "retries", "patience", "in_flight", "kept_beginnings", "length_parameter")
)
MOST_NAMED = 5  # differences in a message
LONGEST_VALUE = 80  # characters of two values that are shown with a difference


def run_lock(work_dir: Path) -> AbstractContextManager[None]:
    """Hold a work folder. Raises InputError if another process holds it."""
    return file_lock(work_dir / "run.lock", f"{work_dir}: another run is using it")


def former_run(
    work_dir: Path,
    run: dict[str, Any],
    stages: Sequence[str],
    may_differ: Callable[[str], bool] = lambda difference: False,
    advice: Callable[[list[str]], str] = lambda differences: "",
) -> dict[str, Any] | None:
    """Return the run.json of the run whose rows the folder contains; None if it contains no rows yet.

    The results of another run are kept, unless no unit of it was finished, as after a teacher that refused every call.

    Args:
        run: what this run is. Keys that only the former run has do not count.
        stages: the stages of this kind of run.
        may_differ: whether a difference, such as `recipe.seed (1 there, 2 now)`, is fine.
        advice: what else helps than another work folder, by the differences.

    Raises:
        InputError: the folder holds the rows of another run.
    """
    path = work_dir / RUN
    if not path.exists():
        if any((work_dir / stage).exists() for stage in stages):
            raise InputError(
                f"{work_dir}: contains stage output but no {RUN}, so its recipe is unknown. Use another --work-dir."
            )
        return None
    before = read_json(path)
    found = [found for key in run for found in _differences(before.get(key), run[key], key)]
    found = [difference for difference in found if not may_differ(difference)]
    if not found:
        return before
    # Nothing would be lost, so a run that failed from the start may be corrected in the same folder.
    if nothing_made(work_dir) and not (work_dir / CORPUS).exists():
        begun = [journal.parent for journal in work_dir.glob(f"*/{JOURNAL}")]
        for folder in (work_dir / NARRATIVES, work_dir / PROGRESS, *begun):
            shutil.rmtree(folder, ignore_errors=True)
        return None
    if missing := [key for key in run if key not in before]:
        raise InputError(f"{path}: belongs to another kind of run (it has no {missing[0]}). Use another --work-dir.")
    raise InputError(
        f"{work_dir}: contains a run that differs in {', '.join(found[:MOST_NAMED])}. Its rows would not match the new "
        f"ones: use another --work-dir{advice(found)}."
    )


def nothing_made(work_dir: Path, stage: str = "*") -> bool:
    """Return whether no unit is done, of a stage or of any, in a finished shard or in a journal."""
    shards = (path for path in work_dir.glob(f"{stage}/*.jsonl.gz") if path.parent.name != NARRATIVES)
    journals = work_dir.glob(f"{stage}/{JOURNAL}/*.jsonl")
    return not any(shards) and all(path.stat().st_size == 0 for path in journals)


def _differences(before: Any, now: Any, at: str) -> list[str]:
    """Return paths at which two nested values differ, with both values if they are short."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [*before, *(key for key in now if key not in before)]
        return [found for key in keys for found in _differences(before.get(key), now.get(key), f"{at}.{key}")]
    if before == now:
        return []
    values = f" ({before} there, {now} now)"
    return [at + (values if len(values) < LONGEST_VALUE else "")]
