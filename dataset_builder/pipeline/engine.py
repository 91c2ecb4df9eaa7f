"""Runs the stages on datatrove's executors and sums up what became of the units.

A build is one datatrove step, `Flow` (flow.py), and its shards are datatrove's ranks: which machine runs them is the
executor's matter. Its own `InferenceRunner` is not used: it turns a failed write into a warning, ends on one HTTP 500,
ignores its time-out on loopback servers, commits to SQLite per call, and drops the log-probabilities that labels are
made from.

State on disk: `<work>/<stage>/00000.jsonl.gz` is there when the shard is done, `journal/00000.jsonl` holds the units
finished so far, `manifest.json` the sums over all shards. The number of shards is part of the state.
"""

import shlex
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datatrove.executor import LocalPipelineExecutor, RayPipelineExecutor, SlurmPipelineExecutor

from dataset_builder.files.shards import read_json, read_lines, shard_path, to_line, write_json, write_whole
from dataset_builder.inputs import InputError
from dataset_builder.pipeline.flow import JOURNAL, Flow, rows_in
from dataset_builder.pipeline.progress import NARRATIVES, read_progress
from dataset_builder.pipeline.stages import STAGES
from dataset_builder.processes import forks_exit_with_parent
from dataset_builder.recipe import EmbeddedTeacher, Run
from dataset_builder.schema import Narrative, UnitRecord, Usage
from dataset_builder.teachers import unload_teachers

ROOT = Path(__file__).resolve().parents[2]
HERE = f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
REJECTS = "rejects"
MANIFEST = "manifest.json"
ALL_STAGES = tuple(stage.name for stage in STAGES)


def run_stages(recipe: Run, work_dir: Path, stages: tuple[str, ...] = ALL_STAGES) -> None:
    """Run stages on the recipe's executor and write their manifests; what is done is not done again.

    Raises:
        InputError: shards are missing at the end, because the executor (Slurm) still works on them.
    """
    missing = [rank for rank in range(recipe.executor.shards) if not _shard_done(work_dir, stages, rank)]
    if not missing and all((work_dir / stage / MANIFEST).exists() for stage in stages):
        return
    if missing:
        for stage in stages:  # sums of shards that somebody deleted since
            (work_dir / stage / MANIFEST).unlink(missing_ok=True)
        make_room(recipe, len(missing))
        with forks_exit_with_parent():
            _executor(recipe, work_dir, stages).run()
    missing = [rank for rank in missing if not _shard_done(work_dir, stages, rank)]
    if missing:
        raise InputError(
            f"{work_dir}: {len(missing)} of {recipe.executor.shards} shards are not done yet. Where the executor has "
            "only submitted them (Slurm), run the same command again when its jobs have ended."
        )
    for stage in stages:
        _summarise(stage, work_dir, recipe.executor.shards)


def works_here(recipe: Run) -> bool:
    """Whether this process is the one worker, so that a teacher that is loaded in it serves all stages."""
    return recipe.executor.kind == "local" and recipe.executor.workers == 1


def make_room(recipe: Run, shards: int) -> None:
    """Free the memory of this process's teacher where others do the work; refuse more workers than fit."""
    here = works_here(recipe)
    if not here:
        unload_teachers()
    if isinstance(recipe.teacher, EmbeddedTeacher) and recipe.executor.kind == "local":
        from dataset_builder.teachers.memory import check_memory  # here: an endpoint needs no psutil and no torch

        workers = min(recipe.executor.workers, shards)
        fit = check_memory(recipe.teacher, workers, here=here)
        if fit is not None and not here:
            print(f"{workers} workers at a time; {fit} fit in the memory that is available", file=sys.stderr)


def _shard_done(work_dir: Path, stages: tuple[str, ...], rank: int) -> bool:
    return all(shard_path(work_dir / stage, rank).exists() for stage in stages)


def nothing_made(work_dir: Path, *stages: str) -> bool:
    """Whether no unit of these stages is done, in a finished shard or in a journal."""
    shards = (path for stage in stages for path in (work_dir / stage).glob("*.jsonl.gz"))
    journals = (path for stage in stages for path in (work_dir / stage / JOURNAL).glob("*.jsonl"))
    return not any(shards) and all(path.stat().st_size == 0 for path in journals)


def _executor(recipe: Run, work_dir: Path, stages: tuple[str, ...]) -> Any:
    """The datatrove executor that the recipe names; the pipeline is the same for all."""
    executor, work_dir = recipe.executor, work_dir.resolve()
    shared: dict[str, Any] = {
        "pipeline": [Flow(recipe, str(work_dir), stages)],
        "tasks": executor.shards,
        "logging_dir": str(work_dir / "logs"),
        "skip_completed": False,  # the shards are the one truth about what is done
    }
    if executor.kind == "local":
        return LocalPipelineExecutor(workers=executor.workers, **shared)
    if executor.kind == "ray":
        import ray

        if not ray.is_initialized():
            ray.init(address=executor.address, log_to_driver=False)
        return RayPipelineExecutor(workers=executor.workers, cpus_per_task=executor.cpus_per_task, **shared)
    return SlurmPipelineExecutor(
        workers=executor.workers,
        time=executor.time,
        partition=executor.partition,
        cpus_per_task=executor.cpus_per_task,
        # A job starts by a command of datatrove's, in no folder of ours: it must find this package.
        env_command=f"cd {shlex.quote(str(ROOT))} && export PYTHONPATH=$PWD\n{executor.env_command or HERE}",
        job_name=f"emo-pillars-{recipe.name}",
        **shared,
    )


def _summarise(name: str, work_dir: Path, shards: int) -> None:
    """Write `rejects/<stage>.jsonl` and then the stage's manifest, from its shards."""
    if (work_dir / name / MANIFEST).exists():
        return
    rejected: Counter[str] = Counter()
    retried: Counter[str] = Counter()
    usage, units, rows = Usage(), 0, 0

    def rejects() -> Iterator[bytes]:
        nonlocal units, rows
        for shard in range(shards):
            for line in read_lines(shard_path(work_dir / name, shard)):
                record = UnitRecord.model_validate(line)
                units += 1
                rows += len(record.rows)
                retried.update(record.retried)
                usage.add(record.usage)
                for reject in record.rejected:
                    rejected[reject.reason] += 1
                    yield to_line(reject.model_dump())

    write_whole(work_dir / REJECTS / f"{name}.jsonl", rejects())
    notes = [note["stages"].get(name, {}) for note in read_progress(work_dir)]
    manifest = {
        "stage": name,
        "units": units,
        "rows": rows,
        "rejected": dict(sorted(rejected.items())),
        "retried": dict(sorted(retried.items())),
        **usage.model_dump(),
        "busy_seconds": round(sum(note.get("busy_seconds", 0.0) for note in notes), 2),
        "shards": shards,
    }
    write_json(work_dir / name / MANIFEST, manifest)


def write_narratives(narratives: list[Narrative], work_dir: Path, shards: int) -> None:
    """Cut the narratives into shards of neighbours; concatenated, the shards are in the source's order."""
    folder = work_dir / NARRATIVES
    if (folder / MANIFEST).exists():
        return
    for shard in range(shards):
        part = narratives[shard * len(narratives) // shards : (shard + 1) * len(narratives) // shards]
        write_whole(shard_path(folder, shard), (to_line(narrative.model_dump()) for narrative in part))
    write_json(folder / MANIFEST, {"stage": NARRATIVES, "rows": len(narratives), "shards": shards})


def rows_of(folder: Path, shard: int) -> Iterator[dict[str, Any]]:
    """The rows of one shard of a stage's folder (or of the narratives), in order."""
    return rows_in(shard_path(folder, shard))


def read_manifest(folder: Path) -> dict[str, Any]:
    """A stage's manifest. Raises InputError when the stage is not done."""
    manifest: dict[str, Any] = read_json(folder / MANIFEST)
    return manifest
