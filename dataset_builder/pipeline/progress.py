"""The progress of a run: finished and expected units of each stage, for the progress bar, logs and `status`."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from tqdm import tqdm

from dataset_builder.escaping import one_line
from dataset_builder.files.shards import read_model, write_json
from dataset_builder.pipeline.stages import Stage
from dataset_builder.recipe import Run
from dataset_builder.run_state import NARRATIVES, PROGRESS
from dataset_builder.schema import UnitRecord, Usage

SECONDS_BETWEEN_TICKS = 1.0  # between updates of the bar and of the file
SECONDS_BETWEEN_LINES = 5.0  # between lines in a log, where no bar is shown
SECONDS_BETWEEN_SAMPLES = 10.0
LONGEST_SAMPLE = 100  # characters


class StageCounts(BaseModel):
    """Counts of a stage: `units`, `busy_seconds` and `tokens` of all runs; `done` and `known` units of the last run."""

    units: int = 0
    busy_seconds: float = 0.0
    tokens: int = 0
    done: int = 0
    known: int = 0


class StoryCounts(BaseModel):
    """Numbers of stories: opened by the last run, finished in all stages, and in total."""

    opened: int = 0
    done: int = 0
    all: int = 0


class ShardProgress(BaseModel):
    """The content of `progress/<shard>.json`. `at_once` is the number of shards that run at a time."""

    seconds: float = 0.0
    at_once: int = 1
    stories: StoryCounts = StoryCounts()
    stages: dict[str, StageCounts] = {}


def read_progress(work_dir: Path) -> list[ShardProgress]:
    """Return the progress of all shards that have started. Raises InputError if a progress file is damaged."""
    return [read_model(path, ShardProgress) for path in sorted((work_dir / PROGRESS).glob("*.json"))]


def elapsed(work_dir: Path) -> float:
    """Return the duration of all runs in seconds: the shards' seconds divided by the number of parallel shards."""
    return sum(shard.seconds / shard.at_once for shard in read_progress(work_dir))


def reset_stages(work_dir: Path, stages: Sequence[str]) -> None:
    """Remove restarted stages and their share of the seconds from the counts."""
    for path in sorted((work_dir / PROGRESS).glob("*.json")):
        shard = read_model(path, ShardProgress)
        before = sum(stage.busy_seconds for stage in shard.stages.values())
        shard.stages = {name: stage for name, stage in shard.stages.items() if name not in stages}
        after = sum(stage.busy_seconds for stage in shard.stages.values())
        shard.seconds = round(shard.seconds * (after / before if before else 0.0), 2)
        write_json(path, shard.model_dump())


def expected_units(
    after: Mapping[str, str], counts: Mapping[str, StageCounts], stories: StoryCounts
) -> dict[str, float]:
    """Estimate the number of units per stage from the known units and the current ratio to the previous stage.

    Args:
        after: maps each stage, in order, to the stage whose rows it reads.

    Returns:
        The estimates of all stages that can be estimated so far.
    """
    expected: dict[str, float] = {NARRATIVES: stories.all}
    for stage, former in after.items():
        before = stories.opened if former == NARRATIVES else counts[former].done
        known = counts[stage].known
        if former in expected and before:
            expected[stage] = known + known / before * max(expected[former] - before, 0.0)
    del expected[NARRATIVES]
    return expected


def minutes_left(counts: Mapping[str, StageCounts], expected: Mapping[str, float], spent: float) -> float | None:
    """Return the estimated minutes until all units are finished, or None while a stage has no unit yet.

    Units wait for each other and for other stages, so a stage's share of the time is its share of the waiting.

    Args:
        spent: seconds so far.
    """
    waited = left = 0.0
    for name, stage in counts.items():
        if name not in expected or (expected[name] and not stage.units):
            return None
        waited += stage.busy_seconds
        left += stage.busy_seconds / max(stage.units, 1) * max(expected[name] - stage.units, 0.0)
    return left / waited * spent / 60 if waited else None


class Progress:
    """Counts the units of one shard, in a file that every run adds to.

    `stories` is the number of the shard's stories. The stages in `empty` have no unit yet, regardless of the file.
    """

    def __init__(self, path: Path, stages: Sequence[Stage], recipe: Run, stories: int, empty: Sequence[str]) -> None:
        self._path = path
        self._after = {stage.name: stage.after for stage in stages}
        self._started = time.monotonic()
        self._usage = Usage()  # of this run only
        former = read_model(path, ShardProgress) if path.exists() else ShardProgress()
        self._seconds_before = former.seconds
        self.stories = StoryCounts(all=stories)
        known = {name: counts for name, counts in former.stages.items() if name not in empty}
        self.stages = {name: known.get(name, StageCounts()) for name in self._after}
        for stage in self.stages.values():
            stage.done = stage.known = 0
        self._at_once = min(recipe.executor.workers, recipe.executor.shards)
        self.sample = ""  # the latest row, in one line
        self.write()

    def asked(self, stage: str, record: UnitRecord, seconds: float) -> None:
        """Count a unit for which the teacher was called, whatever the result."""
        self._usage.add(record.usage)
        self.stages[stage].busy_seconds += seconds
        self.stages[stage].tokens += record.usage.prompt_tokens + record.usage.completion_tokens

    def done(self, stage: str, rows: Sequence[Mapping[str, Any]], *, new: bool) -> None:
        """Count a finished unit: finished now (`new`), or by an earlier run."""
        self.stages[stage].done += 1
        if new:
            self.stages[stage].units += 1
            self.sample = next(filter(None, map(sample, rows)), self.sample)

    def count(self) -> tuple[int, int]:
        """Return the finished units, and the expected units as far as they are known."""
        expected = expected_units(self._after, self.stages, self.stories)
        done = sum(stage.done for stage in self.stages.values())
        return done, max(done, round(sum(expected.values())))

    def rates(self) -> str:
        """Return the finished stories, calls per second and tokens per second of this run."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        tokens = self._usage.prompt_tokens + self._usage.completion_tokens
        stories = f"{self.stories.done} of {self.stories.all} stories"
        return f"{stories}, {self._usage.calls / seconds:,.1f} calls/s, {tokens / seconds:,.0f} tok/s"

    def write(self) -> None:
        """Write the file atomically."""
        seconds = round(self._seconds_before + time.monotonic() - self._started, 2)
        shard = ShardProgress(seconds=seconds, at_once=self._at_once, stories=self.stories, stages=self.stages)
        write_json(self._path, shard.model_dump())


class Bar:
    """Shows a shard's progress: as a bar on a terminal, otherwise as a line every few seconds."""

    def __init__(self, progress: Progress, shard: int, position: int | None) -> None:
        self._progress, self._shard = progress, shard
        self._live = sys.stderr.isatty()
        self._shown = ""  # the last sample
        self._started = self._last_line = self._last_sample = time.monotonic()
        self._bar = tqdm(desc=f"shard {shard}", unit="unit", position=position, disable=not self._live)

    def tick(self) -> None:
        """Show the progress; call this about once a second."""
        now = time.monotonic()
        if self._live:
            self._draw()
        elif now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._write_units("of about")
        if now - self._last_sample >= SECONDS_BETWEEN_SAMPLES and self._progress.sample != self._shown:
            self._last_sample, self._shown = now, self._progress.sample
            self._write(self._shown)

    def close(self) -> None:
        """Show the final state."""
        if self._live:
            self._draw()
            self._bar.close()
        else:
            self._write_units("of")

    def _draw(self) -> None:
        self._bar.n, self._bar.total = self._progress.count()
        self._bar.set_postfix_str(self._progress.rates(), refresh=False)
        self._bar.refresh()

    def _write_units(self, of: str) -> None:
        done, expected = self._progress.count()
        seconds = time.monotonic() - self._started
        self._write(f"{done} {of} {expected} units, {self._progress.rates()}, {seconds:.0f} s")

    def _write(self, text: str) -> None:
        tqdm.write(one_line(f"shard {self._shard}: {text}"), file=sys.stderr)


def sample(row: Mapping[str, Any]) -> str:
    """Format a row as one line: its text and its strongest labels; empty if it has no text."""
    if not row.get("text"):
        return ""
    labels = [(one["label"], one["score"]) for one in row.get("raw_labels", ())]
    labels = labels or [(one["text"], one["weight"]) for one in row.get("descriptors", ())]
    strongest = ", ".join(f"{one_line(label)} {score:.2f}" for label, score in labels[:3])
    text = one_line(" ".join(row["text"].split()))
    text = text if len(text) <= LONGEST_SAMPLE else text[: LONGEST_SAMPLE - 1] + "…"
    return f"“{text}”" + (f" ({strongest})" if strongest else "")
