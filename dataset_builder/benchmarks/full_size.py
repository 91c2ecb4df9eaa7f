"""The whole way at full size with the scripted teacher: rows, wall time, memory, and how they grow with the stories."""

import sys
from pathlib import Path
from typing import Any

from dataset_builder.benchmarks.sizes import merge
from dataset_builder.benchmarks.stories import write_stories
from dataset_builder.benchmarks.watch import GIB, Spent, watch
from dataset_builder.pipeline.assemble import CORPUS
from dataset_builder.pipeline.engine import MANIFEST, read_manifest
from dataset_builder.pipeline.stages import STAGES
from dataset_builder.pipeline.status import elapsed

RECIPE = """
name: full-size
teacher: {{kind: scripted, bad_reply_share: 0.02, in_flight: 64}}
narratives: {{source: {stories}}}
characters: {{limit: 15}}
descriptors: {{share: 0.34, describer: generated}}
situations: {{share: 0.3333333}}
executor: {{shards: 8, workers: 2}}
"""


def measure(folder: Path, sizes: tuple[int, ...] = (200, 2000)) -> dict[str, Any]:
    """Build at each size in turn; `linearity` is seconds a story at the last size over those at the first.

    Metrics of the full size have no suffix, those of the others their number of stories.
    """
    found = {size: _build(folder / str(size), size) for size in sizes}
    per_story = [one["seconds"] / size for size, one in found.items()]
    metrics = merge(found) | {"linearity": {"value": round(per_story[-1] / per_story[0], 3)}}
    return {"name": "builder-full-size", "metrics": metrics, "support": sum(sizes), "sizes": list(sizes), "seeds": [13]}


def prepare(folder: Path, stories: int) -> tuple[Path, list[str]]:
    """Write the stories and the recipe; the work folder and the command that builds in it."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe, work = folder / "full-size.yaml", folder / "work"
    recipe.write_text(RECIPE.format(stories=write_stories(folder / "stories.jsonl", stories)), encoding="utf-8")
    return work, [sys.executable, "-m", "dataset_builder", "build", "--recipe", str(recipe), "--work-dir", str(work)]


def _build(folder: Path, stories: int) -> dict[str, float]:
    work, command = prepare(folder, stories)
    spent = watch(command, lambda: "publish" if (work / STAGES[-1].name / MANIFEST).exists() else "stages")
    seconds = sum(one.seconds for one in spent.values())
    publishing = spent.get("publish", Spent())
    corpus = read_manifest(work / CORPUS)
    rows = {config: sum(splits.values()) for config, splits in corpus["rows"].items()}
    busy = {stage.name: read_manifest(work / stage.name) for stage in STAGES}
    total = sum(made["busy_seconds"] for made in busy.values())
    metrics = {f"{config}_rows": float(count) for config, count in rows.items()}
    metrics |= {
        "seconds": round(seconds, 1),
        "minutes": round(seconds / 60, 2),
        "publish_seconds": round(publishing.seconds, 1),
        "rows_per_second": round(sum(rows.values()) / seconds, 1),
        "calls": float(sum(made["calls"] for made in busy.values())),
        "peak_memory_gib": round(max(one.memory for one in spent.values()) / GIB, 3),
        "peak_memory_gib_stages": round(spent["stages"].memory / GIB, 3),
        "peak_memory_gib_publish": round(publishing.memory / GIB, 3),
    }
    for stage, made in busy.items():  # stages overlap: a stage's seconds are its part of the time with the teacher
        own = elapsed(work) * made["busy_seconds"] / max(total, 1e-9)
        metrics[f"{stage}_seconds"] = round(own, 1)
        metrics[f"{stage}_rows_per_second"] = round(made["rows"] / max(own, 1e-9), 1)
    return metrics
