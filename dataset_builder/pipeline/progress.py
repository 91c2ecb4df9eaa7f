"""How far a build is: units done against what is known of each stage, for the bar, for logs and for `status`."""

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dataset_builder.files.escaping import one_line
from dataset_builder.files.shards import read_json, write_json
from dataset_builder.pipeline.stages import Stage
from dataset_builder.recipe import Run
from dataset_builder.schema import UnitRecord, Usage

NARRATIVES = "narratives"
PROGRESS = "progress"
SECONDS_BETWEEN_NOTES = 2.0
SECONDS_BETWEEN_TICKS = 1.0
SECONDS_BETWEEN_LINES = 5.0  # in a log, which shows no bar
SECONDS_BETWEEN_SAMPLES = 10.0
SHOWN = 100  # characters of a sample


def read_progress(work_dir: Path) -> list[dict[str, Any]]:
    """The notes of all shards that began, in any order: seconds, stories, units and tokens of each stage."""
    return [read_json(path) for path in sorted((work_dir / PROGRESS).glob("*.json"))]


def forget_stages(work_dir: Path, stages: Sequence[str]) -> None:
    """Take stages that are made again out of the notes, with their part of the seconds."""
    for path in sorted((work_dir / PROGRESS).glob("*.json")):
        note = read_json(path)
        before = sum(stage["busy_seconds"] for stage in note["stages"].values())
        note["stages"] = {name: stage for name, stage in note["stages"].items() if name not in stages}
        after = sum(stage["busy_seconds"] for stage in note["stages"].values())
        note["seconds"] = round(note["seconds"] * (after / before if before else 0.0), 2)
        write_json(path, note)


def expected_units(
    stages: Iterable[Stage], noted: Mapping[str, Mapping[str, float]], opened: int, stories: int
) -> dict[str, float]:
    """How many units each stage will have: those that are known, and as many more a unit before it as so far.

    Args:
        noted: of each stage how many of its units are `done` and how many `known`.
        opened: how many stories are being worked on or through.
        stories: how many there are in all.

    Returns:
        Only stages of which something can be said.
    """
    expected: dict[str, float] = {NARRATIVES: stories}
    for stage in stages:
        before = opened if stage.after == NARRATIVES else noted[stage.after]["done"]
        known = noted[stage.name]["known"]
        if stage.after in expected and before:
            expected[stage.name] = known + known / before * max(expected[stage.after] - before, 0.0)
    del expected[NARRATIVES]
    return expected


def minutes_left(
    stages: Mapping[str, Mapping[str, float]], expected: Mapping[str, float], spent: float
) -> float | None:
    """Minutes until all units are done, None as long as a stage has none yet.

    Units wait for each other and for other stages': a stage's part of the time is its part of the waiting.

    Args:
        stages: of each stage its `units`, how many of them are `done`, and their `busy_seconds`.
        spent: seconds so far.
    """
    waited = left = 0.0
    for name, stage in stages.items():
        if name not in expected or (expected[name] and not stage["units"]):
            return None
        waited += stage["busy_seconds"]
        left += stage["busy_seconds"] / max(stage["units"], 1) * max(expected[name] - stage["units"], 0.0)
    return left / waited * spent / 60 if waited else None


class Notes:
    """What one shard notes down for `status` and the bar; added to by every run."""

    def __init__(self, path: Path, stages: Sequence[Stage], recipe: Run) -> None:
        self._path, self._order = path, stages
        self._at_once = min(recipe.executor.workers, recipe.executor.shards)
        self._started, self._written = time.monotonic(), 0.0
        self._usage = Usage()
        before = read_json(path) if path.exists() else {}
        self._before = float(before.get("seconds", 0.0))
        self._stories = {"opened": 0, "done": 0, "all": 0}
        nothing = {"units": 0, "busy_seconds": 0.0, "tokens": 0}
        noted = before.get("stages", {})
        self._stages = {
            stage.name: nothing | noted.get(stage.name, {}) | {"done": 0, "known": 0} for stage in self._order
        }
        self._sample = self._taken = ""

    def begin(self, stories: int, empty: Iterable[str]) -> None:
        """The shard has so many stories; the stages in `empty` have no unit yet, whatever was noted of them."""
        self._stories["all"] = stories
        for stage in empty:
            self._stages[stage] |= {"units": 0, "busy_seconds": 0.0, "tokens": 0}
        self.write()

    def opened(self) -> None:
        """A story is being worked on."""
        self._stories["opened"] += 1

    def through(self) -> None:
        """A story went through all stages."""
        self._stories["done"] += 1

    def known(self, stage: str, units: int) -> None:
        """A stage has so many more units to do."""
        self._stages[stage]["known"] += units

    def asked(self, stage: str, record: UnitRecord, seconds: float) -> None:
        """The teacher was asked about a unit, whatever came of it."""
        self._usage.add(record.usage)
        self._stages[stage]["busy_seconds"] += seconds
        self._stages[stage]["tokens"] += record.usage.prompt_tokens + record.usage.completion_tokens

    def done(self, stage: str, rows: Sequence[Mapping[str, Any]], *, new: bool) -> None:
        """A unit is finished: now (`new`), or by a former run."""
        self._stages[stage]["done"] += 1
        if new:
            self._stages[stage]["units"] += 1
            self._sample = next(filter(None, map(sample, rows)), self._sample)

    def count(self) -> tuple[int, int]:
        """Units done, and units expected as far as anything is known of them."""
        expected = expected_units(self._order, self._stages, self._stories["opened"], self._stories["all"])
        done = sum(stage["done"] for stage in self._stages.values())
        return done, max(done, round(sum(expected.values())))

    def say(self) -> str:
        """Stories that are through, calls a second and tokens a second of this run."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        tokens = self._usage.prompt_tokens + self._usage.completion_tokens
        stories = f"{self._stories['done']} of {self._stories['all']} stories"
        return f"{stories}, {self._usage.calls / seconds:,.1f} calls/s, {tokens / seconds:,.0f} tok/s"

    def take_sample(self) -> str:
        """A row that was made since the last one was taken, for people; empty where there is none or it is the same."""
        taken, self._sample = self._sample, ""
        if taken == self._taken:  # later stages make rows of the same text
            return ""
        self._taken = taken
        return taken

    def write_now_and_then(self) -> None:
        """Write the note when the last one is old."""
        if time.monotonic() - self._written >= SECONDS_BETWEEN_NOTES:
            self.write()

    def write(self) -> None:
        """Write the note, whole or not at all."""
        self._written = time.monotonic()
        seconds = self._before + self._written - self._started
        note = {
            "seconds": round(seconds, 2),
            "at_once": self._at_once,
            "stories": self._stories,
            "stages": self._stages,
        }
        write_json(self._path, note)


class Bar:
    """Shows a shard's progress: a bar on a terminal, elsewhere a line every few seconds."""

    def __init__(self, notes: Notes, shard: int, position: int | None) -> None:
        self._notes, self._shard = notes, shard
        self._live = sys.stderr.isatty()
        self._started = self._said = self._showed = time.monotonic()
        self._bar = tqdm(desc=f"shard {shard}", unit="unit", position=position, disable=not self._live)

    def tick(self) -> None:
        """Show how far it is; to be called about once a second."""
        now = time.monotonic()
        done, expected = self._notes.count()
        if self._live:
            self._bar.n, self._bar.total = done, expected
            self._bar.set_postfix_str(self._notes.say(), refresh=False)
            self._bar.refresh()
        elif now - self._said >= SECONDS_BETWEEN_LINES:
            self._said = now
            self._line(f"{done} of about {expected} units, {self._notes.say()}, {now - self._started:.0f} s")
        if now - self._showed >= SECONDS_BETWEEN_SAMPLES and (made := self._notes.take_sample()):
            self._showed = now
            self._line(made)

    def close(self) -> None:
        """Show the end."""
        done, expected = self._notes.count()
        if self._live:
            self._bar.n, self._bar.total = done, expected
            self._bar.close()
        else:
            self._line(f"{done} of {expected} units, {self._notes.say()}, {time.monotonic() - self._started:.0f} s")

    def _line(self, said: str) -> None:
        tqdm.write(one_line(f"shard {self._shard}: {said}"), file=sys.stderr)


def sample(row: Mapping[str, Any]) -> str:
    """A row in one line for people, its text with its strongest labels; empty where it has no text."""
    if not row.get("text"):
        return ""
    labels = [(one["label"], one["score"]) for one in row.get("raw_labels", ())]
    labels = labels or [(one["text"], one["weight"]) for one in row.get("descriptors", ())]
    said = ", ".join(f"{printable(label)} {score:.2f}" for label, score in labels[:3])
    text = printable(" ".join(row["text"].split()))
    text = text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
    return f"“{text}”" + (f" ({said})" if said else "")


def printable(text: str) -> str:
    """The text with everything escaped that a terminal would act on: control and format characters, half ones."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
