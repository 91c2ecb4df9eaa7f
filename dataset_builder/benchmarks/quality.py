"""A whole corpus validated, deduplicated and reported on: minutes, memory, and how they grow with its rows."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from dataset_builder.benchmarks.full_size import prepare
from dataset_builder.benchmarks.sizes import merge
from dataset_builder.benchmarks.watch import GIB, watch
from dataset_builder.corpus import open_corpus

CHECKS = {
    "validate": (),
    "deduplicate": ("--out", "{folder}/clean", "--semantic", "0.95"),
    "report": ("--name", "full-size", "--out", "{folder}/results"),
}


def measure(folder: Path, sizes: tuple[int, ...] = (500, 2000)) -> dict[str, Any]:
    """All three commands on corpora of the scripted teacher, made from so many stories.

    `linearity` is seconds a row of the last corpus over those of the first; what a command costs before its first row
    (loading an encoder, distilling another) counts.
    """
    found = {size: _check(folder / str(size), size) for size in sizes}
    per_row = [one["seconds"] / one["rows"] for one in found.values()]
    metrics = merge(found) | {"linearity": {"value": round(per_row[-1] / per_row[0], 3)}}
    rows = sum(int(one["rows"]) for one in found.values())
    return {"name": "quality-full-size", "metrics": metrics, "support": rows, "sizes": list(sizes), "seeds": [13]}


def _check(folder: Path, stories: int) -> dict[str, float]:
    work, build = prepare(folder, stories)
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    corpus = open_corpus(work)
    found: dict[str, float] = {f"{config}_rows": float(sum(corpus.count(config).values())) for config in corpus.files}
    found["rows"] = sum(found.values())
    shutil.rmtree(folder / "clean", ignore_errors=True)
    memory = seconds = 0.0
    for name, options in CHECKS.items():
        command = [sys.executable, "-m", "dataset_builder", name, str(work)]
        command += [option.format(folder=folder) for option in options]
        spent = watch(command, good_codes=(0, 1))[""]  # 1: the corpus is not good, which is not asked here
        found[f"{name}_minutes"] = round(spent.seconds / 60, 2)
        found[f"{name}_peak_memory_gib"] = round(spent.memory / GIB, 3)
        seconds, memory = seconds + spent.seconds, max(memory, spent.memory)
    spent_in_all = {"seconds": round(seconds, 1), "minutes": round(seconds / 60, 2)}
    return found | spent_in_all | {"peak_memory_gib": round(memory / GIB, 3)}
