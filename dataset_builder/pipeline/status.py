"""Shows the state of a work folder, whether its run is finished, running or interrupted."""

from pathlib import Path

from pydantic import BaseModel

from dataset_builder.files.shards import read_json, read_model
from dataset_builder.inputs import InputError
from dataset_builder.parquet import CORPUS, MANIFEST
from dataset_builder.pipeline.progress import (
    StageCounts,
    StoryCounts,
    elapsed,
    expected_units,
    minutes_left,
    read_progress,
)
from dataset_builder.pipeline.stages import stages_of_run
from dataset_builder.run_state import NARRATIVES, RUN
from dataset_builder.schema import Usage


class StageManifest(Usage, extra="ignore"):
    """A stage's sums over all shards, as written by engine.py."""

    units: int
    rows: int
    rejected: dict[str, int]
    busy_seconds: float


class ItemsManifest(BaseModel):
    """The number of items at the start of a run."""

    rows: int


class CorpusManifest(BaseModel):
    """The counts in a corpus's manifest."""

    rows: dict[str, dict[str, int]]
    rejected: dict[str, int] = {}


def read_stage(work_dir: Path, stage: str) -> StageManifest:
    """Return the sums of a finished stage. Raises InputError if they are missing or damaged."""
    return read_model(work_dir / stage / MANIFEST, StageManifest)


def status(work_dir: Path) -> str:
    """Return rows, rejects, tokens and seconds per stage, and rows per split; for an unfinished run, its progress.

    Raises:
        InputError: the folder contains no run, or a file of the run is damaged.
    """
    if not (work_dir / RUN).exists():
        raise InputError(f"{work_dir}: contains no run. Start one with `dataset_builder build`.")
    after = _stages(work_dir)
    if not (work_dir / [*after][-1] / MANIFEST).exists():
        return _unfinished(work_dir, after)
    lines = [f"{'stage':<12}{'units':>9}{'rows':>9}{'rejected':>10}{'tokens':>12}{'busy s':>9}  reasons"]
    for stage in after:
        made = read_stage(work_dir, stage)
        lines.append(
            f"{stage:<12}{made.units:>9}{made.rows:>9}{sum(made.rejected.values()):>10}"
            f"{made.prompt_tokens + made.completion_tokens:>12,}{made.busy_seconds:>9.0f}  {_counted(made.rejected)}"
        )
    lines.append(f"{elapsed(work_dir):.0f} s; busy seconds are summed over all units and include waiting for a batch")
    if not (work_dir / CORPUS / MANIFEST).exists():
        return "\n".join([*lines, "publish: not finished; run the same command again to resume"])
    corpus = read_model(work_dir / CORPUS / MANIFEST, CorpusManifest)
    lines.append(f"publish: {sum(corpus.rejected.values())} rejected  {_counted(corpus.rejected)}")
    for config, splits in corpus.rows.items():
        counts = ", ".join(f"{count} {split}" for split, count in splits.items())
        lines.append(f"{work_dir / CORPUS} {config}: {counts}")
    return "\n".join(lines)


def _stages(work_dir: Path) -> dict[str, str]:
    """Return the stages of the run, each with the stage whose rows it reads: a build's, or another run's."""
    build = {stage.name: stage.after for stage in stages_of_run(read_json(work_dir / RUN))}
    others = [name for shard in read_progress(work_dir) for name in shard.stages if name not in build]
    return dict.fromkeys(others, NARRATIVES) or build


def _unfinished(work_dir: Path, after: dict[str, str]) -> str:
    """Return finished units, expected units where they can be estimated, and the remaining time."""
    shards = read_progress(work_dir)
    begun = work_dir / NARRATIVES / MANIFEST
    stories = StoryCounts(
        opened=sum(shard.stories.opened or shard.stories.done for shard in shards),
        done=sum(shard.stories.done for shard in shards),
        all=read_model(begun, ItemsManifest).rows if begun.exists() else 0,
    )
    counts = {name: _sum([shard.stages[name] for shard in shards if name in shard.stages]) for name in after}
    expected = expected_units(after, counts, stories)
    spent = elapsed(work_dir)
    left = minutes_left(counts, expected, spent)
    lines = [
        f"not finished: {stories.done} of {stories.all} stories are finished; run the same command again to resume",
        f"{'stage':<12}{'units':>9}{'of about':>10}{'units/s':>9}{'tokens/s':>10}",
    ]
    for name, counted in counts.items():
        about = f"{max(expected[name], counted.units):.0f}" if name in expected else "?"
        rate, speed = counted.units / max(spent, 1e-9), counted.tokens / max(spent, 1e-9)
        lines.append(f"{name:<12}{counted.units:>9}{about:>10}{rate:>9.1f}{speed:>10,.0f}")
    lines.append(
        f"about {left:.0f} minutes left" if left is not None else "minutes left: unknown until each stage has units"
    )
    return "\n".join(lines)


def _sum(shards: list[StageCounts]) -> StageCounts:
    return StageCounts(**{key: sum(getattr(shard, key) for shard in shards) for key in StageCounts.model_fields})


def _counted(reasons: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items(), key=lambda item: -item[1]))
