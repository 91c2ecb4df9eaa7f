"""The builder at full size, with the scripted teacher: rows, time, memory, and how they grow with the stories.

`measure_builds` runs `build`; `measure_checks` runs validate, deduplicate and report on the corpus of a build.
"""

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from dataset_builder.corpus import open_corpus
from dataset_builder.parquet import CORPUS, MANIFEST, read_manifest
from dataset_builder.pipeline.progress import elapsed
from dataset_builder.pipeline.stages import STAGES
from dataset_builder.stress_tests.stories import write_stories

FULL_SIZE = 2000  # stories: 300K context-less rows, 100K situations in two variants
GIB = 2**30
SECONDS_BETWEEN_LOOKS = 0.2
RECIPE = """
name: full-size
teacher: {{kind: scripted, bad_reply_share: 0.02, in_flight: 64}}
narratives: {{source: {stories}}}
characters: {{limit: 15}}
descriptors: {{share: 0.34, describer: generated}}
situations: {{share: 0.3333333}}
executor: {{shards: 8, workers: 2}}
"""
CHECKS = {
    "validate": (),
    "deduplicate": ("--out", "{folder}/clean", "--semantic", "0.95"),
    "report": ("--name", "full-size", "--out", "{folder}/results"),
}


def measure_builds(folder: Path, sizes: tuple[int, ...]) -> dict[str, Any]:
    """Build at each size; `linearity` is the last size's seconds per story over those of the first."""
    found = {size: _build(folder / str(size), size) for size in sizes}
    per_story = [metrics["seconds"] / size for size, metrics in found.items()]
    return _result("builder-full-size", found, per_story, support=sum(sizes))


def measure_checks(folder: Path, sizes: tuple[int, ...]) -> dict[str, Any]:
    """Check corpora of each size; `linearity` is the last corpus's seconds per row over those of the first.

    What a command costs before its first row (loading an encoder, distilling another) counts.
    """
    found = {size: _check(folder / str(size), size) for size in sizes}
    per_row = [metrics["seconds"] / metrics["rows"] for metrics in found.values()]
    return _result("quality-full-size", found, per_row, support=sum(int(metrics["rows"]) for metrics in found.values()))


def _result(name: str, found: Mapping[int, Mapping[str, float]], pace: list[float], support: int) -> dict[str, Any]:
    metrics = merge(found) | {"linearity": {"value": round(pace[-1] / pace[0], 3)}}
    return {"name": name, "metrics": metrics, "support": support, "sizes": list(found), "seeds": [13]}


def _prepare(folder: Path, stories: int) -> tuple[Path, list[str]]:
    """Write the stories and the recipe; returns the work folder and the command that builds in it."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe, work = folder / "full-size.yaml", folder / "work"
    recipe.write_text(RECIPE.format(stories=write_stories(folder / "stories.jsonl", stories)), encoding="utf-8")
    return work, [sys.executable, "-m", "dataset_builder", "build", "--recipe", str(recipe), "--work-dir", str(work)]


def _build(folder: Path, stories: int) -> dict[str, float]:
    work, command = _prepare(folder, stories)
    spent = watch(command, lambda: "publish" if (work / STAGES[-1].name / MANIFEST).exists() else "stages")
    seconds = sum(phase.seconds for phase in spent.values())
    publishing = spent.get("publish", Spent())
    rows = {config: sum(splits.values()) for config, splits in read_manifest(work / CORPUS)["rows"].items()}
    manifests = {stage.name: read_manifest(work / stage.name) for stage in STAGES}
    busy = sum(manifest["busy_seconds"] for manifest in manifests.values())
    metrics = {f"{config}_rows": float(count) for config, count in rows.items()}
    metrics |= {
        "seconds": round(seconds, 1),
        "minutes": round(seconds / 60, 2),
        "publish_seconds": round(publishing.seconds, 1),
        "rows_per_second": round(sum(rows.values()) / seconds, 1),
        "calls": float(sum(manifest["calls"] for manifest in manifests.values())),
        "peak_memory_gib": round(max(phase.memory for phase in spent.values()) / GIB, 3),
        "peak_memory_gib_stages": round(spent["stages"].memory / GIB, 3),
        "peak_memory_gib_publish": round(publishing.memory / GIB, 3),
    }
    for stage, manifest in manifests.items():  # stages overlap: each gets its part of the time with the teacher
        own = elapsed(work) * manifest["busy_seconds"] / max(busy, 1e-9)
        metrics[f"{stage}_seconds"] = round(own, 1)
        metrics[f"{stage}_rows_per_second"] = round(manifest["rows"] / max(own, 1e-9), 1)
    return metrics


def _check(folder: Path, stories: int) -> dict[str, float]:
    work, build = _prepare(folder, stories)
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    corpus = open_corpus(work)
    metrics = {f"{config}_rows": float(sum(corpus.count(config).values())) for config in corpus.files}
    metrics["rows"] = sum(metrics.values())
    shutil.rmtree(folder / "clean", ignore_errors=True)
    memory = seconds = 0.0
    for name, options in CHECKS.items():
        command = [sys.executable, "-m", "dataset_builder", name, str(work)]
        command += [option.format(folder=folder) for option in options]
        spent = watch(command, good_codes=(0, 1))[""]  # 1: the corpus has faults, which are not of interest here
        metrics[f"{name}_minutes"] = round(spent.seconds / 60, 2)
        metrics[f"{name}_peak_memory_gib"] = round(spent.memory / GIB, 3)
        seconds, memory = seconds + spent.seconds, max(memory, spent.memory)
    total = {"seconds": round(seconds, 1), "minutes": round(seconds / 60, 2)}
    return metrics | total | {"peak_memory_gib": round(memory / GIB, 3)}


def merge(found: Mapping[int, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Merge the metrics of several sizes: `minutes` of the full (or largest) size, `minutes_200` of a smaller size."""
    full = FULL_SIZE if FULL_SIZE in found else max(found)
    return {
        name if size == full else f"{name}_{size}": {"value": value}
        for size, metrics in sorted(found.items())
        for name, value in metrics.items()
    }


# ------------------------------------------------------------------ what a command costs


@dataclass
class Spent:
    """Wall time, and the largest sum of resident memory of all processes, in bytes; shared pages count in each."""

    seconds: float = 0.0
    memory: int = 0


def watch(
    command: list[str], phase: Callable[[], str] = lambda: "", good_codes: tuple[int, ...] = (0,)
) -> dict[str, Spent]:
    """Run a command to its end; returns what it and its children cost in each phase, which `phase()` names.

    Raises:
        RuntimeError: the command ended with a code that is not good.
    """
    spent: dict[str, Spent] = {}
    with tempfile.TemporaryFile() as errors:  # no pipe: progress bars would fill it
        process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        before = time.monotonic()
        while process.returncode is None:
            current = spent.setdefault(phase(), Spent())
            current.memory = max(current.memory, _memory(process))
            with contextlib.suppress(psutil.TimeoutExpired, subprocess.TimeoutExpired):
                process.wait(SECONDS_BETWEEN_LOOKS)
            now = time.monotonic()
            current.seconds += now - before
            before = now
        errors.seek(0)
        message = errors.read().decode(errors="replace")[-500:]
    if process.returncode not in good_codes:
        raise RuntimeError(f"{' '.join(command)} failed: {message}")
    return spent


def _memory(process: psutil.Process) -> int:
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += one.memory_info().rss
    return total
