"""A build with a server that fails in every way and is down for half a minute: every row is generated or rejected."""

import contextlib
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from dataset_builder.parquet import read_manifest
from dataset_builder.pipeline.stages import STAGES
from dataset_builder.run_state import NARRATIVES
from dataset_builder.stress_tests.server import ANSWERED, CUT_OFF, FAULTS, NO_FAULT
from dataset_builder.stress_tests.stories import write_stories

ALIVE_SECONDS, DEAD_SECONDS = 20.0, 30.0
LOST = "lost"
# A truncated reply is a reply: the question is asked with another seed.
REPEATED = tuple(fault for fault in FAULTS if fault != CUT_OFF)
REASONS = (*REPEATED, "no_connection")  # for which units are rejected
RECIPE = """
name: faults
teacher: {{kind: endpoint, model: scripted, urls: ["http://127.0.0.1:{port}/v1"], in_flight: 64, timeout: 3}}
narratives: {{source: {stories}}}
labels: {{labeler: verbalised}}
descriptors: {{share: 0.3, describer: generated}}
situations: {{share: 0.3333333}}
"""


def measure(folder: Path, stories: int = 10) -> dict[str, Any]:
    """Build with the failing server; it is killed 20 seconds after the first call and restarted 30 seconds later."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    recipe, work, log = folder / "faults.yaml", folder / "work", folder / "calls.log"
    source = write_stories(folder / "stories.jsonl", stories)
    recipe.write_text(RECIPE.format(port=port, stories=source), encoding="utf-8")
    command = [sys.executable, "-m", "dataset_builder", "build", "--recipe", str(recipe), "--work-dir", str(work)]
    server = _start_server(port, log)
    try:
        build = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while not log.stat().st_size and build.poll() is None:
            time.sleep(0.1)
        time.sleep(ALIVE_SECONDS)
        server.kill()
        server.wait()
        time.sleep(DEAD_SECONDS)
        server = _start_server(port, log)
        _, errors = build.communicate()
        if build.returncode:
            raise RuntimeError(f"the build failed: {errors.decode()[-500:]}")
    finally:
        server.kill()
        server.wait()
    manifests = {stage.name: read_manifest(work / stage.name) for stage in STAGES}
    calls, needless = read_log(log)
    rejected = sum((Counter(manifest["rejected"]) for manifest in manifests.values()), Counter())
    metrics = {
        "units": sum(manifest["units"] for manifest in manifests.values()),
        "rows_unaccounted": _unaccounted(work, manifests),
        "calls": calls.total(),
        "questions": calls.total() - sum(calls[kind] for kind in (*REPEATED, LOST)),
        "calls_failed": sum(calls[kind] for kind in REPEATED),
        "calls_lost_at_the_kill": calls[LOST],
        "calls_repeated_without_need": needless,
        "units_rejected_by_fault": sum(rejected[reason] for reason in REASONS),
        "dead_seconds": DEAD_SECONDS,
    }
    return {
        "name": "builder-faults",
        "metrics": {name: {"value": value} for name, value in metrics.items()},
        "support": calls.total(),
        "server": dict(sorted(calls.items())),
        "rejected": {stage: manifest["rejected"] for stage, manifest in manifests.items()},
        "retried": {stage: manifest["retried"] for stage, manifest in manifests.items()},
    }


def _start_server(port: int, log: Path) -> "subprocess.Popen[bytes]":
    """Start the failing server in another process, and wait until it accepts connections."""
    process = subprocess.Popen([sys.executable, "-m", "dataset_builder.stress_tests.server", str(port), str(log)])
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return process
        time.sleep(0.1)
    raise RuntimeError("the scripted server did not start")


def read_log(log: Path) -> tuple[Counter[str], int]:
    """Return the number of calls by outcome, and the number of calls for questions that had already been answered."""
    unanswered: Counter[str] = Counter()  # calls without a fault, by question
    kinds: Counter[str] = Counter()
    answered: set[str] = set()
    needless = 0
    for line in log.read_text(encoding="ascii").splitlines():
        question, what = line.split()
        if what == ANSWERED:
            unanswered[question] -= 1
        else:
            needless += question in answered
        if what == NO_FAULT:
            unanswered[question] += 1
        else:
            kinds[what] += 1
        if what in (ANSWERED, CUT_OFF):
            answered.add(question)
    return kinds + Counter({LOST: unanswered.total()}), needless


def _unaccounted(work: Path, manifests: dict[str, dict[str, Any]]) -> int:
    """Return rows of a stage for which the next stage has no unit."""
    pairs = (("characters", "utterances"), ("utterances", "labels"), ("context", "cleaning"), ("cleaning", "rewriting"))
    missing = sum(abs(manifests[before]["rows"] - manifests[after]["units"]) for before, after in pairs)
    stories = read_manifest(work / NARRATIVES)["rows"]
    return int(missing + abs(stories - manifests["characters"]["units"]))
