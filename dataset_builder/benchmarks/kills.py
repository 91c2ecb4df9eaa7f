"""Kills a build at random moments, in every stage, and compares its corpus with that of an undisturbed one."""

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

from dataset_builder.benchmarks.stories import write_stories
from dataset_builder.files.shards import read_lines, to_line
from dataset_builder.pipeline.assemble import CORPUS
from dataset_builder.pipeline.build import PUBLISH, make_again
from dataset_builder.pipeline.engine import MANIFEST
from dataset_builder.pipeline.stages import STAGES

POLL = 0.005  # seconds
RECIPE = """
name: kills
teacher: {{kind: scripted, bad_reply_share: 0.05, in_flight: 32}}
narratives: {{source: {stories}}}
executor: {{shards: 2}}
"""


def measure(folder: Path, kills: int = 50, stories: int = 20, seed: int = 1) -> dict[str, Any]:
    """Kill -9 a build `kills` times, then let it end.

    Each kill is meant for a stage, or for the writing of the corpus, in turn: it comes when that stage's journal has
    grown by a drawn share of what it lacks. What is finished already is undone first, as `--restart-from` does.
    """
    recipe = folder / "kills.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    recipe.write_text(RECIPE.format(stories=write_stories(folder / "stories.jsonl", stories)), encoding="utf-8")
    whole, work = folder / "undisturbed", folder / "killed"
    started = time.monotonic()
    assert _start(recipe, whole).wait() == 0, "the undisturbed run must come to its end"
    seconds = time.monotonic() - started
    full = {stage.name: sum(len(to_line(line)) for line in _lines(whole, stage.name)) for stage in STAGES}
    draw = random.Random(seed)
    hit: Counter[str] = Counter()
    torn: Counter[str] = Counter()
    runs = 0
    while sum(hit.values()) < kills:
        target = [*full, CORPUS][sum(hit.values()) % (len(full) + 1)]
        if (work / CORPUS / MANIFEST).exists() or (target in full and _written(work, target) >= full[target]):
            make_again(work, PUBLISH if target == CORPUS else target)
        if target == CORPUS:  # a build deletes it first, too; here, so that the new one can be told from it
            shutil.rmtree(work / f"{CORPUS}.part", ignore_errors=True)
        process = _start(recipe, work)
        runs += 1
        if _wait(process, work, target, full, draw):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            hit[target] += 1
            torn.update(_torn(work))
    assert _start(recipe, work).wait() == 0, "the last run must come to its end"
    lost, doubled = _compare(whole, work)
    return {
        "name": "builder-kills",
        "metrics": {
            "kills": {"value": sum(hit.values())},
            "lost": {"value": lost},
            "doubled": {"value": doubled},
            "identical": {"value": float(_parquet(whole) == _parquet(work))},
            **{f"kills_{name}": {"value": count} for name, count in hit.items()},
            **{name: {"value": torn[name]} for name in ("half_written_files", "torn_lines")},
            "runs": {"value": runs + 1},
            "seconds_undisturbed": {"value": round(seconds, 1)},
        },
        "support": stories,
        "seeds": [seed],
    }


def _wait(
    process: "subprocess.Popen[bytes]", work: Path, target: str, full: dict[str, int], draw: random.Random
) -> bool:
    """Wait for the moment of the kill; False when the build came to its end before."""
    if target == CORPUS:
        while not (work / f"{CORPUS}.part").exists():
            if process.poll() is not None:
                return False
            time.sleep(POLL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(draw.uniform(0, 1.5))
        return process.poll() is None
    before = _written(work, target)
    wanted = before + draw.random() * (full[target] - before)
    while _written(work, target) <= wanted:
        if process.poll() is not None:
            return False
        time.sleep(POLL)
    return process.poll() is None


def _written(work: Path, stage: str) -> int:
    """Bytes of a stage's journals, or of its lines where its shards are written."""
    journals = sum(path.stat().st_size for path in (work / stage / "journal").glob("*.jsonl") if path.exists())
    return journals or sum(len(to_line(line)) for line in _lines(work, stage))


def _lines(work: Path, stage: str) -> Iterator[dict[str, Any]]:
    for path in sorted((work / stage).glob("*.jsonl.gz")):
        yield from read_lines(path)


def _torn(work: Path) -> Counter[str]:
    """What the kill left behind in the middle: half-written files, and journals that end within a line."""
    halves = sum(1 for path in work.rglob("*.part") if path.is_file()) + (work / f"{CORPUS}.part").exists()
    ends = [path.read_bytes()[-1:] for path in work.glob("*/journal/*.jsonl")]
    return Counter(half_written_files=halves, torn_lines=sum(end not in (b"", b"\n") for end in ends))


def _start(recipe: Path, work: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "dataset_builder", "build", "--recipe", str(recipe), "--work-dir", str(work)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, start_new_session=True, stdout=quiet, stderr=quiet)


def _parquet(work: Path) -> dict[str, bytes]:
    return {str(path.relative_to(work)): path.read_bytes() for path in sorted((work / CORPUS).rglob("*.parquet"))}


def _compare(before: Path, after: Path) -> tuple[int, int]:
    """Units that are missing after the kills, and units that are there more than once, over all stages."""
    lost = doubled = 0
    for stage in STAGES:
        wanted, found = (Counter(line["unit"] for line in _lines(work, stage.name)) for work in (before, after))
        lost += sum((wanted - found).values())
        doubled += sum(count - 1 for count in found.values() if count > 1)
    return lost, doubled
