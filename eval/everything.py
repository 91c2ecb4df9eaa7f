"""Every published model on every benchmark that is at hand; what is missing is said."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dataset_builder.files.reading import json_file
from dataset_builder.inputs import InputError
from eval.benchmarks import BENCHMARKS, Benchmark
from eval.classifiers import load_seeds
from eval.run import measure_models
from eval.zero_shot_benchmarks import TASKS
from eval.zero_shot_run import load_encoders, measure_encoders

DOMAINS = Path("work/domains")
PUBLISHED = "emo-pillars-"  # the names of what is published; variants have others


def places(given: Sequence[str]) -> dict[str, str]:
    """Where each set's files are: as given by NAME=PLACE, else the folder of that name in work/domains.

    Raises:
        InputError: not of that form, or no such benchmark.
    """
    found = {path.name: str(path) for path in DOMAINS.glob("*") if (path / "manifest.json").exists()}
    for one in given:
        name, equals, place = one.partition("=")
        if not equals or name not in {*BENCHMARKS, *TASKS}:
            raise InputError(f"--data {one}: with --all, give BENCHMARK=PLACE. Known: {', '.join(sorted(BENCHMARKS))}.")
        found[name] = place
    return found


def published(folder: Path) -> dict[str, list[Path]]:
    """The model folders that training ended in, by the published name; several are seeds of one recipe.

    Raises:
        InputError: there is none.
    """
    found: dict[str, list[tuple[int, Path]]] = {}
    for path in sorted(folder.glob("*/training.json")):
        record = json_file(path)
        try:
            name, seed = str(record["name"]), int(record["recipe"]["seed"])
        except (KeyError, TypeError, ValueError):
            raise InputError(f"{path}: is no training record. Train the model again, or move its folder.") from None
        if name.startswith(PUBLISHED):
            found.setdefault(name, []).append((seed, path.parent))
    if not found:
        raise InputError(f"{folder}: no model folder in it. Train one, or give a folder of models after --all.")
    return {name: [path for _, path in sorted(seeds)] for name, seeds in found.items()}


def measure_all(folder: Path, data: dict[str, str], out: Path) -> None:
    """Measure and write; at the end say which benchmarks no model was measured on, and why."""
    missing: set[str] = set()
    for name, seeds in published(folder).items():
        print(f"=== {name}: {len(seeds)} seed{'s' if len(seeds) > 1 else ''}", flush=True)
        if (seeds[0] / "modules.json").exists():
            missing |= _encoder(seeds, data, out)
        else:
            missing |= _classifier(seeds, data, out)
    for name in sorted(missing):
        print(f"not measured: {name}, no data here. {_how(name)}")


def _classifier(seeds: Sequence[Path], data: dict[str, str], out: Path) -> set[str]:
    models, missing = load_seeds([str(place) for place in seeds]), set()
    of_set: dict[str, list[Benchmark]] = {}
    for benchmark in BENCHMARKS.values():
        of_set.setdefault(benchmark.rows_of, []).append(benchmark)
    for name, benchmarks in of_set.items():
        place = _trained_on(models[0].record, data) if name == "own" else data.get(name)
        if (place and Path(place).exists()) or (place is None and benchmarks[0].hub):
            measure_models(models, [benchmark.name for benchmark in benchmarks], place, out)
        else:
            missing.add(name)
    return missing


def _trained_on(record: dict[str, Any], data: dict[str, str]) -> str:
    """The corpus that a model was trained on: where its record says or, where that names no place here, own=PLACE."""
    named, given = str(record.get("dataset")), data.get("own", "")
    return given if not Path(named).exists() and Path(given).name == Path(named).name else named


def _encoder(seeds: Sequence[Path], data: dict[str, str], out: Path) -> set[str]:
    models, missing = load_encoders([str(place) for place in seeds]), set()
    for name, load in TASKS.items():
        is_ours = name.startswith("labels-")
        of_set = BENCHMARKS[name].rows_of if name in BENCHMARKS else name
        place = None if is_ours else data.get(of_set)
        if is_ours or place or (name in BENCHMARKS and BENCHMARKS[name].hub):
            measure_encoders(models, name, load(place), out=out)
        else:
            missing.add(of_set)
    return missing


def _how(name: str) -> str:
    """What to give for a benchmark, and on which terms it is had."""
    if name not in BENCHMARKS:
        return f"Give --data {name}=PLACE."
    benchmark = BENCHMARKS[name]
    return f"Terms: {benchmark.licence}. Give --data {name}=PLACE with {benchmark.local}."
