"""Kills a build at random moments until it has had enough of it, and compares its corpus with an undisturbed one."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from dataset_builder.benchmarks.stories import write_stories
from dataset_builder.build import RUN
from dataset_builder.flow import PROGRESS
from dataset_builder.publish import CORPUS
from dataset_builder.shards import read_lines
from dataset_builder.stages import STAGES

RECIPE = """
name: kills
teacher: {{kind: scripted, bad_reply_share: 0.05, in_flight: 32}}
narratives: {{source: {stories}}}
executor: {{shards: 2}}
"""


def measure(folder: Path, kills: int = 50, stories: int = 20, seed: int = 1) -> dict[str, Any]:
    """Kill -9 a build `kills` times at random moments, then let it end.

    A restart has less left to do than the run before it, so that kills meet its start, every stage and the corpus; a
    run that comes to its end has a part of it undone, as `--restart-from` does, and there is something to kill again.
    """
    recipe = folder / "kills.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    recipe.write_text(RECIPE.format(stories=write_stories(folder / "stories.jsonl", stories)), encoding="utf-8")
    started = time.monotonic()
    _start(recipe, folder / "undisturbed").wait()
    whole = time.monotonic() - started
    draw = random.Random(seed)
    hit: Counter[str] = Counter()
    work = folder / "killed"
    runs = 0
    while sum(hit.values()) < kills:
        process = _start(recipe, work)
        runs += 1
        # A restart reads what is finished, so that any run may be killed anywhere between its start and its end.
        try:
            process.wait(timeout=draw.uniform(0.25, 0.85) * whole)
        except subprocess.TimeoutExpired:
            hit[_where(work)] += 1
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            continue
        _forget(work, draw)  # it came to its end: undo a part of it, so that there is something to kill again
    final = _start(recipe, work)
    assert final.wait() == 0, "the last run must come to its end"
    lost, doubled = _compare(folder / "undisturbed", work)
    return {
        "name": "builder-kills",
        "metrics": {
            "kills": {"value": sum(hit.values())},
            "lost": {"value": lost},
            "doubled": {"value": doubled},
            "identical": {"value": float(_parquet(folder / "undisturbed") == _parquet(work))},
            "runs": {"value": runs + 1},
            "seconds_undisturbed": {"value": round(whole, 1)},
        },
        "support": stories,
        "hit": dict(sorted(hit.items())),
        "seeds": [seed],
    }


def _start(recipe: Path, work: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "dataset_builder", "build", "--recipe", str(recipe), "--work-dir", str(work)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, start_new_session=True, stdout=quiet, stderr=quiet)


def _where(work: Path) -> str:
    """What the build was at: the last file that it began."""
    if not (work / RUN).exists():
        return "start"
    if list(work.glob(f"{CORPUS}.part/**/*")):
        return "corpus"
    newest = max((path for path in work.rglob("*") if path.is_file() and PROGRESS not in path.parts), key=_age)
    return f"{newest.relative_to(work).parts[0]}" + (", half a file" if newest.suffix == ".part" else "")


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # it was moved to its place just now
        return 0.0


def _forget(work: Path, draw: random.Random) -> None:
    """Delete the corpus and the shards of a stage and of those that follow from it, as --restart-from would."""
    from dataset_builder.build import make_again

    make_again(work, draw.choice([stage.name for stage in STAGES]))


def _parquet(work: Path) -> dict[str, bytes]:
    return {str(path.relative_to(work)): path.read_bytes() for path in sorted((work / CORPUS).rglob("*.parquet"))}


def _compare(before: Path, after: Path) -> tuple[int, int]:
    """Units that are missing after the kills, and units that are there more than once, over all stages."""
    lost = doubled = 0
    for stage in STAGES:
        wanted, found = (
            Counter(
                line["unit"] for path in sorted((work / stage.name).glob("*.jsonl.gz")) for line in read_lines(path)
            )
            for work in (before, after)
        )
        lost += sum((wanted - found).values())
        doubled += sum(count - 1 for count in found.values() if count > 1)
    return lost, doubled
