"""Trains a student on a part of a corpus, measures it on development rows, and keeps the point; then deletes it."""

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from dataset_builder.files.shards import Journal, clear, write_whole
from dataset_builder.hashing import fingerprint
from dataset_builder.inputs import InputError
from eval.benchmarks import BENCHMARKS, Benchmark
from eval.curves.parts import Part, Row, write_part
from eval.measure import development_numbers
from eval.models import Classifier, load_classifier
from eval.run import classifier_result

POINTS = "points.jsonl"
# A part of a thousand rows would get 30 updates in two epochs: too few to learn anything. With at least this many, the
# epoch with the best validation macro-F1 is still the one that is kept.
LEAST_UPDATES = 200
# What a student is measured on, by its config: the benchmark and the metrics of its result. Benchmarks with a
# development split are measured there; everyday and contrast are this project's own tests, on which nothing is chosen.
# `dev_thresholds` are chosen on the very rows that are measured: an upper bound, for what better thresholds could give.
MEASURED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "contextless": {
        "own": ("macro_f1",),
        "goemotions": ("macro_f1", "macro_f1_dev_thresholds"),
        "isear": ("macro_f1", "feelings_as_neutral"),
        "everyday": ("accuracy", "feelings_as_neutral"),
    },
    "contextual": {"own": ("macro_f1",), "contrast": ("accuracy", "sets_right")},
}


def read_recipe_file(path: Path) -> dict[str, Any]:
    """Return a recipe as it is in its file. Raises InputError if it is not a classifier's with a config."""
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read ({error}). Give a recipe of train/recipes/.") from None
    if not isinstance(recipe, dict) or recipe.get("config") not in MEASURED:
        raise InputError(f"{path}: has no 'config' of {' or '.join(MEASURED)}. Give a recipe of a classifier.")
    return recipe


def read_base_recipe(path: Path) -> dict[str, Any]:
    """Return the recipe of the students, who see their own rows alone: without `mixed_with`.

    Raises InputError if there is none, or it starts from a model of ours.
    """
    recipe = read_recipe_file(path)
    if str(recipe.get("base_model")).startswith("NAMESPACE/"):
        raise InputError(
            f"{path}: starts from a model of ours. Set 'base_model' to its folder in a copy of the recipe."
        )
    return {key: value for key, value in recipe.items() if key != "mixed_with"}


def pairs(given: Iterable[str], option: str) -> dict[str, str]:
    """Return `NAME=PLACE` arguments by name. Raises InputError for others."""
    found = {}
    for pair in given:
        name, equals, place = pair.partition("=")
        if not equals or not name or not place:
            raise InputError(f"{option} {pair}: pass NAME=PLACE.")
        found[name] = place
    return found


def measure_parts(
    parts: Iterable[Part],
    validation: Sequence[Row],
    recipe: Mapping[str, Any],
    places: Mapping[str, str],
    work_dir: Path,
) -> list[dict[str, Any]]:
    """Return a point for each part: its rows and the metrics of its student.

    Points that `work_dir` has already are not measured again, so a killed run can be continued.

    Args:
        recipe: of `train.classifier`, as it is in its file; data set, name and epochs are replaced.
        places: where the files of benchmarks are; benchmarks whose files are not given are not measured.
    """
    journal, wanted = Journal(work_dir / POINTS), MEASURED[recipe["config"]]
    benchmarks = [benchmark for name in wanted if (benchmark := BENCHMARKS[name]).bundled or name in (*places, "own")]
    settings = {key: value for key, value in recipe.items() if key not in ("name", "dataset")}
    points = []
    for part in parts:
        key = fingerprint([part.key, settings, [(one.name, wanted[one.name]) for one in benchmarks]])
        point = journal.get(key)
        if point is None:
            print(f"{part.kind} {part.name}: {len(part.rows):,} rows", flush=True)
            metrics = _measure(part, validation, recipe, benchmarks, places, work_dir)
            point = {"unit": key, "kind": part.kind, "name": part.name, "rows": len(part.rows), "metrics": metrics}
            journal.append(key, point)
        points.append(point)
    return points


def _measure(
    part: Part,
    validation: Sequence[Row],
    recipe: Mapping[str, Any],
    benchmarks: Sequence[Benchmark],
    places: Mapping[str, str],
    work_dir: Path,
) -> dict[str, float]:
    corpus = work_dir / "part"
    write_part(part, validation, recipe["config"], corpus)
    train_student(recipe, len(part.rows), work_dir)
    student = load_student(work_dir)
    metrics = {}
    for benchmark in benchmarks:
        chosen = benchmark.development() if benchmark.has_development else benchmark
        place = str(corpus) if benchmark.name == "own" else places.get(benchmark.name)
        rows = chosen.load(place, recipe["config"])
        scores = [student.predict(rows.texts, rows.contexts, rows.characters)]
        found = classifier_result(chosen, rows, [student], scores)["metrics"]
        wanted = MEASURED[recipe["config"]][benchmark.name]
        if "macro_f1_dev_thresholds" in wanted:
            found |= development_numbers(rows, scores, rows, scores)["metrics"]
        for metric in wanted:
            metrics[f"{benchmark.name} {metric}"] = found[metric]["value"]
    clear(work_dir / "student")
    clear(corpus)
    return metrics


def load_student(work_dir: Path) -> Classifier:
    """Return the model that `train_student` has trained."""
    return load_classifier(str(work_dir / "student"))


def train_student(recipe: Mapping[str, Any], rows: int, work_dir: Path) -> None:
    """Train on the data set `part` of the folder `work_dir`, which has `rows` train rows; the model is `student` there.

    Raises InputError if the training fails; it has said why.
    """
    updates = -(-rows // recipe["batch_size"])
    epochs = max(recipe["epochs"], -(-LEAST_UPDATES // updates))
    model, changed = work_dir / "student", work_dir / "student.yaml"
    clear(model)
    values = {**recipe, "name": "student", "dataset": str(work_dir / "part"), "epochs": epochs}
    write_whole(changed, yaml.safe_dump(values).encode())
    command = [sys.executable, "-m", "accelerate.commands.launch", "--quiet", "--num_machines", "1", "-m"]
    command += ["train.classifier", "--recipe", str(changed), "--output-dir", str(model)]
    if subprocess.run(command, check=False, env=os.environ).returncode:
        raise InputError(f"the student of {rows:,} rows was not trained; see the message above.")
