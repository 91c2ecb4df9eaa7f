"""Runs stages on datatrove's executors and counts the results of the units.

A run is one datatrove step, `Flow` (flow.py), and its shards are datatrove's ranks: the executor decides which machine
runs them. Datatrove's own `InferenceRunner` is not used: it turns a failed write into a warning, stops at the first
HTTP 500, ignores its time-out for local servers, commits to SQLite on every call, and drops the log-probabilities that
the labels are computed from.

State on disk: `<work>/<stage>/00000.jsonl.gz` exists once the shard is finished, `journal/00000.jsonl` contains the
units finished so far, and `manifest.json` the sums over all shards. The number of shards is part of the state.
"""

import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datatrove.executor import LocalPipelineExecutor, RayPipelineExecutor, SlurmPipelineExecutor

from dataset_builder.files.shards import read_lines, shard_path, to_line, write_json, write_shards, write_whole
from dataset_builder.inputs import InputError
from dataset_builder.parquet import MANIFEST
from dataset_builder.pipeline.flow import Flow
from dataset_builder.pipeline.progress import read_progress
from dataset_builder.pipeline.stages import Stage
from dataset_builder.processes import forks_exit_with_parent
from dataset_builder.recipe import EmbeddedTeacher, Run
from dataset_builder.run_state import NARRATIVES, REJECTS
from dataset_builder.schema import Item, UnitRecord, Usage
from dataset_builder.teachers import unload_teachers

ROOT = Path(__file__).resolve().parents[2]
THIS_PYTHON = f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"


def run_stages(recipe: Run, items: Sequence[Item], stages: tuple[Stage, ...], work_dir: Path) -> None:
    """Run items through stages on the recipe's executor; finished work is not repeated.

    Raises:
        InputError: shards are missing at the end, because the executor (Slurm) still works on them.
    """
    names = [stage.name for stage in stages]
    missing = _missing_shards(work_dir, names, recipe.executor.shards)
    if not missing and all((work_dir / name / MANIFEST).exists() for name in names):
        return
    if missing:
        for name in names:  # its sums include shards that have been deleted since
            (work_dir / name / MANIFEST).unlink(missing_ok=True)
        # Do this before the workers start, because each of them loads its own teacher.
        make_room(recipe, len(missing))
        # Items are divided into shards once. Later runs read these shards, so every item stays in its shard.
        if not (work_dir / NARRATIVES / MANIFEST).exists():
            write_shards(work_dir / NARRATIVES, [item.model_dump() for item in items], recipe.executor.shards)
            counts = {"stage": NARRATIVES, "rows": len(items), "shards": recipe.executor.shards}
            write_json(work_dir / NARRATIVES / MANIFEST, counts)
        # Without this, the workers of a killed run would continue: they would lock their shards and use the teacher.
        with forks_exit_with_parent():
            _executor(recipe, work_dir, stages).run()
        missing = _missing_shards(work_dir, names, recipe.executor.shards)
    if missing:
        raise InputError(
            f"{work_dir}: {len(missing)} of {recipe.executor.shards} shards are not finished yet. If the executor has "
            "only submitted them (Slurm), run the same command again when its jobs have ended."
        )
    for name in names:
        _summarise(name, work_dir, recipe.executor.shards)


def works_here(recipe: Run) -> bool:
    """Return whether this process is the only worker, so that a teacher loaded in it serves all stages."""
    return recipe.executor.kind == "local" and recipe.executor.workers == 1


def make_room(recipe: Run, shards: int) -> None:
    """Free the memory of this process's teacher if other processes do the work; refuse more workers than fit."""
    here = works_here(recipe)
    if not here:
        unload_teachers()
    if isinstance(recipe.teacher, EmbeddedTeacher) and recipe.executor.kind == "local":
        from dataset_builder.teachers.memory import check_memory  # an endpoint needs no psutil or torch

        workers = min(recipe.executor.workers, shards)
        fit = check_memory(recipe.teacher, workers, here=here)
        if fit is not None and not here:
            print(f"{workers} workers at a time; {fit} fit into the available memory", file=sys.stderr)


def _missing_shards(work_dir: Path, names: Sequence[str], shards: int) -> list[int]:
    return [n for n in range(shards) if not all(shard_path(work_dir / name, n).exists() for name in names)]


def _executor(recipe: Run, work_dir: Path, stages: tuple[Stage, ...]) -> Any:
    """Return the datatrove executor that the recipe names; the pipeline is the same for all of them."""
    # Use an absolute path, because a Slurm job starts in another folder.
    executor, work_dir = recipe.executor, work_dir.resolve()
    shared: dict[str, Any] = {
        "pipeline": [Flow(recipe, work_dir, stages)],
        "tasks": executor.shards,
        "workers": executor.workers,
        "logging_dir": str(work_dir / "logs"),
        "skip_completed": False,  # only the shards show which work is done
    }
    if executor.kind == "local":
        return LocalPipelineExecutor(**shared)
    if executor.kind == "ray":
        # Only this executor needs Ray, which is not a dependency of the project.
        import ray

        if not ray.is_initialized():
            ray.init(address=executor.address, log_to_driver=False)
        return RayPipelineExecutor(cpus_per_task=executor.cpus_per_task, **shared)
    return SlurmPipelineExecutor(
        time=executor.time,
        partition=executor.partition,
        cpus_per_task=executor.cpus_per_task,
        # datatrove starts the job in another folder, so the job must be told where this package is.
        env_command=f"cd {shlex.quote(str(ROOT))} && export PYTHONPATH=$PWD\n{executor.env_command or THIS_PYTHON}",
        job_name=f"emo-pillars-{recipe.name}",
        **shared,
    )


def _summarise(name: str, work_dir: Path, shards: int) -> None:
    """Write `rejects/<stage>.jsonl`, then the stage's manifest, from the stage's shards."""
    if (work_dir / name / MANIFEST).exists():
        return
    rejected: Counter[str] = Counter()
    retried: Counter[str] = Counter()
    usage = Usage()
    units = rows = 0

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

    # Writing the rejects also fills the counts. The manifest is written last, because a stage that has a manifest is
    # not summarised again.
    write_whole(work_dir / REJECTS / f"{name}.jsonl", rejects())
    counts = [shard.stages[name] for shard in read_progress(work_dir) if name in shard.stages]
    manifest = {
        "stage": name,
        "units": units,
        "rows": rows,
        "rejected": dict(sorted(rejected.items())),
        "retried": dict(sorted(retried.items())),
        **usage.model_dump(),
        "busy_seconds": round(sum(stage.busy_seconds for stage in counts), 2),
        "shards": shards,
    }
    write_json(work_dir / name / MANIFEST, manifest)
