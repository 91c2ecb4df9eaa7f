"""A build against a server that fails in every way, and dies once for half a minute: everything made or rejected."""

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from dataset_builder.benchmarks.overhead import count, free_port, start_server
from dataset_builder.benchmarks.server import ANSWERED, ASKED, CUT_OFF, FAULTS
from dataset_builder.benchmarks.stories import write_stories
from dataset_builder.pipeline.engine import read_manifest
from dataset_builder.pipeline.stages import STAGES

DEAD_SECONDS = 30.0
LOST = "lost"
REPEATED = tuple(fault for fault in FAULTS if fault != CUT_OFF)  # a reply cut short is a reply: asked with another seed
REASONS = (*REPEATED, "no_connection")  # as units are rejected for
RECIPE = """
name: faults
teacher: {{kind: endpoint, model: scripted, urls: ["{url}"], in_flight: 64, timeout: 3}}
narratives: {{source: {stories}}}
labels: {{labeler: verbalised}}
descriptors: {{share: 0.3, describer: generated}}
situations: {{share: 0.3333333}}
"""


def measure(folder: Path, stories: int = 10) -> dict[str, Any]:
    """Build against the failing server; it is killed 20 seconds after the first call and comes back 30 later."""
    folder.mkdir(parents=True, exist_ok=True)
    port, log = free_port(), folder / "calls.log"
    options = ("--latency", "0.3", "--faults", "--log", str(log))
    server = start_server(port, *options)
    root = f"http://127.0.0.1:{port}"
    recipe, work = folder / "faults.yaml", folder / "work"
    source = write_stories(folder / "stories.jsonl", stories)
    recipe.write_text(RECIPE.format(url=f"{root}/v1", stories=source), encoding="utf-8")
    command = [sys.executable, "-m", "dataset_builder", "build", "--recipe", str(recipe), "--work-dir", str(work)]
    try:
        build = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while not count(root).get("calls") and build.poll() is None:
            time.sleep(0.1)
        time.sleep(20)
        server.kill()
        server.wait()
        time.sleep(DEAD_SECONDS)
        server = start_server(port, *options)
        _, errors = build.communicate()
        if build.returncode:
            raise RuntimeError(f"the build ended: {errors.decode()[-500:]}")
    finally:
        server.kill()
        server.wait()
    made = {stage.name: read_manifest(work / stage.name) for stage in STAGES}
    calls, needless = read_log(log)
    rejected = sum((Counter(one["rejected"]) for one in made.values()), Counter())
    return {
        "name": "builder-faults",
        "metrics": {
            "units": {"value": sum(one["units"] for one in made.values())},
            "rows_unaccounted": {"value": _unaccounted(work, made)},
            "calls": {"value": calls.total()},
            "questions": {"value": calls.total() - sum(calls[kind] for kind in (*REPEATED, LOST))},
            "calls_failed": {"value": sum(calls[kind] for kind in REPEATED)},
            "calls_lost_at_the_kill": {"value": calls[LOST]},
            "calls_repeated_without_need": {"value": needless},
            "units_rejected_by_fault": {"value": sum(rejected[reason] for reason in REASONS)},
            "dead_seconds": {"value": DEAD_SECONDS},
        },
        "support": calls.total(),
        "server": dict(sorted(calls.items())),
        "rejected": {stage: one["rejected"] for stage, one in made.items()},
        "retried": {stage: one["retried"] for stage, one in made.items()},
    }


def read_log(log: Path) -> tuple[Counter[str], int]:
    """What became of the calls, and how many asked for what had been answered before."""
    asked: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    answered: set[str] = set()
    needless = 0
    for line in log.read_text(encoding="ascii").splitlines():
        question, what = line.split()
        if what == ANSWERED:
            answered.add(question)
            asked[question] -= 1
            faults[ANSWERED] += 1
            continue
        needless += question in answered
        if what == ASKED:
            asked[question] += 1
        else:
            faults[what] += 1
            if what == CUT_OFF:
                answered.add(question)
    return faults + Counter({LOST: asked.total()}), needless


def _unaccounted(work: Path, made: dict[str, dict[str, Any]]) -> int:
    """Rows of a stage that the next one should have taken on and has no unit for."""
    pairs = (("characters", "utterances"), ("utterances", "labels"), ("context", "cleaning"), ("cleaning", "rewriting"))
    missing = sum(abs(made[before]["rows"] - made[after]["units"]) for before, after in pairs)
    stories = json.loads((work / "narratives/manifest.json").read_text(encoding="utf-8"))["rows"]
    return int(missing + abs(stories - made["characters"]["units"]))
