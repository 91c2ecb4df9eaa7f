"""What a work folder holds, for people: of a finished, a running or a dead build."""

from pathlib import Path

from dataset_builder.inputs import InputError
from dataset_builder.pipeline.assemble import CORPUS
from dataset_builder.pipeline.build import RUN
from dataset_builder.pipeline.engine import MANIFEST, read_manifest
from dataset_builder.pipeline.progress import NARRATIVES, expected_units, minutes_left, read_progress
from dataset_builder.pipeline.stages import ALONE, STAGES, Stage


def status(work_dir: Path) -> str:
    """Rows, rejects, tokens and seconds a stage, rows a split; of an unfinished build what is left of each stage.

    Raises:
        InputError: no build began in the folder.
    """
    if not (work_dir / RUN).exists():
        raise InputError(f"{work_dir}: no run began here. Build one with dataset_builder build.")
    stages = _stages(work_dir)
    if not (work_dir / stages[-1].name / MANIFEST).exists():
        return _unfinished(work_dir)
    lines = [f"{'stage':<12}{'units':>9}{'rows':>9}{'rejected':>10}{'tokens':>12}{'busy s':>9}  reasons"]
    for stage in stages:
        manifest = read_manifest(work_dir / stage.name)
        tokens = manifest["prompt_tokens"] + manifest["completion_tokens"]
        rejected = manifest["rejected"]
        lines.append(
            f"{stage.name:<12}{manifest['units']:>9}{manifest['rows']:>9}{sum(rejected.values()):>10}"
            f"{tokens:>12,}{manifest['busy_seconds']:>9.0f}  {_counted(rejected)}"
        )
    lines.append(f"{elapsed(work_dir):.0f} s; busy seconds are those of all units, also while they wait for a batch")
    if not (work_dir / CORPUS / MANIFEST).exists():
        return "\n".join([*lines, "publish: not finished; the same build command goes on from there"])
    corpus = read_manifest(work_dir / CORPUS)
    lines.append(f"publish: {sum(corpus['rejected'].values())} rejected  {_counted(corpus['rejected'])}")
    for config, splits in corpus["rows"].items():
        counts = ", ".join(f"{count} {split}" for split, count in splits.items())
        lines.append(f"{work_dir / CORPUS} {config}: {counts}")
    return "\n".join(lines)


def _stages(work_dir: Path) -> tuple[Stage, ...]:
    """Those of a build, or the one of a run that describes given texts."""
    return tuple(stage for stage in ALONE if (work_dir / stage.name).exists()) or STAGES


def elapsed(work_dir: Path) -> float:
    """Seconds that all runs took with the teacher: those of the shards, by how many of them ran at once."""
    return float(sum(note["seconds"] / note["at_once"] for note in read_progress(work_dir)))


def _unfinished(work_dir: Path) -> str:
    """From the shards' notes: units so far, how many there will be as far as is known, and the time that is left."""
    notes = read_progress(work_dir)
    stories = read_manifest(work_dir / NARRATIVES)["rows"] if (work_dir / NARRATIVES / MANIFEST).exists() else 0
    through = sum(note["stories"]["done"] for note in notes)
    opened = sum(note["stories"].get("opened", note["stories"]["done"]) for note in notes)
    spent = elapsed(work_dir)
    stages = _stages(work_dir)
    sums = {stage.name: _sum([note["stages"].get(stage.name, {}) for note in notes]) for stage in stages}
    expected = expected_units(stages, sums, opened, stories)
    left = minutes_left(sums, expected, spent)
    lines = [
        f"not finished: {through} of {stories} stories are through; the same build command goes on from there",
        f"{'stage':<12}{'units':>9}{'of about':>10}{'units/s':>9}{'tokens/s':>10}",
    ]
    for name, noted in sums.items():
        units, about = noted["units"], f"{max(expected[name], noted['units']):.0f}" if name in expected else "?"
        rate, speed = units / max(spent, 1e-9), noted["tokens"] / max(spent, 1e-9)
        lines.append(f"{name:<12}{units:>9.0f}{about:>10}{rate:>9.1f}{speed:>10,.0f}")
    lines.append(
        f"about {left:.0f} minutes left" if left is not None else "minutes left: unknown until each stage has units"
    )
    return "\n".join(lines)


def _sum(noted: list[dict[str, float]]) -> dict[str, float]:
    """What the shards noted of one stage, together."""
    fields = ("units", "done", "known", "tokens", "busy_seconds")
    return {field: sum(note.get(field, 0) for note in noted) for field in fields}


def _counted(reasons: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items(), key=lambda item: -item[1]))
