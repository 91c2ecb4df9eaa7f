"""The whole way at full size with the scripted teacher: rows, wall time, memory, and how they grow with the stories."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from dataset_builder.benchmarks.stories import write_stories
from dataset_builder.engine import MANIFEST, read_manifest
from dataset_builder.publish import CORPUS
from dataset_builder.stages import STAGES
from dataset_builder.status import elapsed

RECIPE = """
name: full-size
teacher: {{kind: scripted, bad_reply_share: 0.02, in_flight: 64}}
narratives: {{source: {stories}}}
characters: {{limit: 15}}
descriptors: {{share: 0.34, describer: generated}}
situations: {{share: 0.3333333}}
executor: {{shards: 8, workers: 2}}
"""
GIB = 2**30


def measure(folder: Path, sizes: tuple[int, ...] = (200, 2000)) -> dict[str, Any]:
    """Build at each size in turn; `linearity` is seconds a story at the last size over those at the first."""
    metrics: dict[str, dict[str, float]] = {}
    per_story: list[float] = []
    for size in sizes:
        found = _build(folder / str(size), size)
        per_story.append(found["seconds"] / size)
        last = size == sizes[-1]
        metrics |= {name if last else f"{name}_{size}": {"value": value} for name, value in found.items()}
    metrics["linearity"] = {"value": round(per_story[-1] / per_story[0], 3)}
    return {"name": "builder-full-size", "metrics": metrics, "support": sizes[-1], "sizes": list(sizes), "seeds": [13]}


def _build(folder: Path, stories: int) -> dict[str, float]:
    folder.mkdir(parents=True, exist_ok=True)
    recipe, work = folder / "full-size.yaml", folder / "work"
    recipe.write_text(RECIPE.format(stories=write_stories(folder / "stories.jsonl", stories)), encoding="utf-8")
    command = [sys.executable, "-m", "dataset_builder", "build", "--recipe", str(recipe), "--work-dir", str(work)]
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = {"stages": 0, "publish": 0}
    publishing = 0.0
    while process.poll() is None:
        phase = "publish" if (work / STAGES[-1].name / MANIFEST).exists() else "stages"
        if phase == "publish" and not publishing:
            publishing = time.monotonic()
        peak[phase] = max(peak[phase], _memory(process.pid))
        time.sleep(0.2)
    seconds = time.monotonic() - started
    if process.returncode:
        raise RuntimeError(f"the build of {stories} stories failed; run it to see why: {' '.join(command)}")
    corpus = read_manifest(work / CORPUS)
    rows = {config: sum(splits.values()) for config, splits in corpus["rows"].items()}
    busy = {stage.name: read_manifest(work / stage.name) for stage in STAGES}
    total = sum(made["busy_seconds"] for made in busy.values())
    metrics = {f"{config}_rows": float(count) for config, count in rows.items()}
    metrics |= {
        "seconds": round(seconds, 1),
        "minutes": round(seconds / 60, 2),
        "publish_seconds": round(started + seconds - publishing, 1),
        "rows_per_second": round(sum(rows.values()) / seconds, 1),
        "calls": float(sum(made["calls"] for made in busy.values())),
        "peak_memory_gib": round(max(peak.values()) / GIB, 3),
        "peak_memory_gib_stages": round(peak["stages"] / GIB, 3),
        "peak_memory_gib_publish": round(peak["publish"] / GIB, 3),
    }
    for stage, made in busy.items():  # stages overlap: a stage's seconds are its part of the time with the teacher
        own = elapsed(work) * made["busy_seconds"] / max(total, 1e-9)
        metrics[f"{stage}_seconds"] = round(own, 1)
        metrics[f"{stage}_rows_per_second"] = round(made["rows"] / max(own, 1e-9), 1)
    return metrics


def _memory(pid: int) -> int:
    """Bytes of resident memory of a process and all below it; what they share is counted once each."""
    total = 0
    for one in (pid, *_below(pid)):
        try:
            found = re.search(
                r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{one}/status").read_text(encoding="ascii"), re.MULTILINE
            )
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += int(found[1]) * 1024 if found else 0
    return total


def _below(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_text(encoding="ascii", errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry))
    found, waiting = [], [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found
