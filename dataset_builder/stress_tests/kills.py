"""Kills a build at random moments, in every stage, and compares its corpus with that of an undisturbed build."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dataset_builder.files.shards import read_lines, to_line
from dataset_builder.parquet import CORPUS, MANIFEST
from dataset_builder.pipeline.assemble import STAGE as PUBLISH
from dataset_builder.pipeline.build import delete_from_stage
from dataset_builder.pipeline.stages import STAGES
from dataset_builder.stress_tests.stories import write_stories

SECONDS_BETWEEN_LOOKS = 0.005
RECIPE = """
name: kills
teacher: {{kind: scripted, bad_reply_share: 0.05, in_flight: 32}}
narratives: {{source: {stories}}}
executor: {{shards: 2}}
"""


def measure(folder: Path, kills: int = 50, stories: int = 20, seed: int = 1) -> dict[str, Any]:
    """Kill -9 a build `kills` times, then let it finish.

    Each kill is meant for a stage, or for the writing of the corpus, in turn: it comes when that stage's journal has
    grown by a random share of what is missing. Finished work is undone first, as `--restart-from` does.
    """
    recipe = folder / "kills.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    recipe.write_text(RECIPE.format(stories=write_stories(folder / "stories.jsonl", stories)), encoding="utf-8")
    whole, work = folder / "undisturbed", folder / "killed"
    started = time.monotonic()
    assert _start(recipe, whole).wait() == 0, "the undisturbed build must succeed"
    seconds = time.monotonic() - started
    full = {stage.name: _written(whole, stage.name) for stage in STAGES}
    draw = random.Random(seed)
    hit: Counter[str] = Counter()
    torn: Counter[str] = Counter()
    runs = 1
    while hit.total() < kills:
        target = [*full, CORPUS][hit.total() % (len(full) + 1)]
        if (work / CORPUS / MANIFEST).exists() or (target in full and _written(work, target) >= full[target]):
            delete_from_stage(work, PUBLISH if target == CORPUS else target)
        if target == CORPUS:  # a build deletes it too; deleted here so that `_wait` sees only the new one
            shutil.rmtree(work / f"{CORPUS}.part", ignore_errors=True)
        process = _start(recipe, work)
        runs += 1
        if _wait(process, work, target, full, draw):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            hit[target] += 1
            torn.update(_torn(work))
    assert _start(recipe, work).wait() == 0, "the last run must succeed"
    lost, doubled = _compare(whole, work)
    metrics: dict[str, float] = {"kills": hit.total(), "lost": lost, "doubled": doubled}
    metrics["identical"] = float(_parquet(whole) == _parquet(work))
    metrics |= {f"kills_{name}": count for name, count in hit.items()}
    metrics |= {name: torn[name] for name in ("half_written_files", "torn_lines")}
    metrics |= {"runs": runs, "seconds_undisturbed": round(seconds, 1)}
    values = {name: {"value": value} for name, value in metrics.items()}
    return {"name": "builder-kills", "metrics": values, "support": stories, "seeds": [seed]}


def _start(recipe: Path, work: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "dataset_builder", "build", "--recipe", str(recipe), "--work-dir", str(work)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, start_new_session=True, stdout=quiet, stderr=quiet)


def _wait(
    process: "subprocess.Popen[bytes]", work: Path, target: str, full: dict[str, int], draw: random.Random
) -> bool:
    """Wait for the moment of the kill; return False if the build ends first."""
    before = _written(work, target) if target in full else 0
    wanted = before + draw.random() * (full[target] - before) if target in full else 0

    def reached() -> bool:
        return _written(work, target) > wanted if target in full else (work / f"{CORPUS}.part").exists()

    while not reached():
        if process.poll() is not None:
            return False
        time.sleep(SECONDS_BETWEEN_LOOKS)
    if target == CORPUS:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(draw.uniform(0, 1.5))
    return process.poll() is None


def _written(work: Path, stage: str) -> int:
    """Return the bytes of a stage's journals, or of its lines if its shards are written."""
    journals = sum(path.stat().st_size for path in (work / stage / "journal").glob("*.jsonl") if path.exists())
    return journals or sum(len(to_line(line)) for line in _lines(work, stage))


def _lines(work: Path, stage: str) -> Iterator[dict[str, Any]]:
    for path in sorted((work / stage).glob("*.jsonl.gz")):
        yield from read_lines(path)


def _torn(work: Path) -> Counter[str]:
    """Return what a kill left unfinished: half-written files, and journals that end within a line."""
    halves = sum(1 for path in work.rglob("*.part") if path.is_file()) + (work / f"{CORPUS}.part").exists()
    ends = [path.read_bytes()[-1:] for path in work.glob("*/journal/*.jsonl")]
    return Counter(half_written_files=halves, torn_lines=sum(end not in (b"", b"\n") for end in ends))


def _parquet(work: Path) -> dict[str, bytes]:
    return {str(path.relative_to(work)): path.read_bytes() for path in sorted((work / CORPUS).rglob("*.parquet"))}


def _compare(before: Path, after: Path) -> tuple[int, int]:
    """Return units that are missing after the kills, and units that occur more than once, over all stages."""
    lost = doubled = 0
    for stage in STAGES:
        wanted, found = (Counter(line["unit"] for line in _lines(work, stage.name)) for work in (before, after))
        lost += (wanted - found).total()
        doubled += sum(count - 1 for count in found.values() if count > 1)
    return lost, doubled
