"""python -m eval.folds --domain isear --source FOLDER --recipe RECIPE [--folds 5] [--base-model MODEL]

Cross-validation, as paper A did it on ISEAR: for each fold, prepares the data set, trains by the recipe and measures
the test rows. Writes the mean of the folds and their standard deviation to <out>/system/folds-<recipe>.json. A killed
run continues with the fold in which it stopped.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.files.reading import json_file
from dataset_builder.files.shards import Journal, clear
from dataset_builder.hashing import fingerprint
from dataset_builder.inputs import InputError, run_command
from dataset_builder.label_maps import DOMAINS
from dataset_builder.parquet import MANIFEST
from dataset_builder.provenance import RESULTS, provenance, results_folder, shareable, weights_digest, write_result
from eval.benchmarks import BENCHMARKS
from eval.cards.columns import COLUMNS
from eval.curves.students import POINTS, load_student, read_recipe_file, train_student
from eval.run import classifier_result


def measure_fold(
    domain: str, source: Path, fold: int, folds: int, recipe: Mapping[str, Any], work_dir: Path
) -> dict[str, float]:
    """Return the metrics of a model that is trained on the other folds.

    Raises InputError if the data set has no folds, or the training fails; a message says why.
    """
    place = work_dir / "part"
    clear(place)
    command = [sys.executable, "-m", "dataset_builder", "domain", domain, "--source", str(source), "--out", str(place)]
    if subprocess.run([*command, "--fold", str(fold), "--folds", str(folds)], check=False).returncode:
        raise InputError(f"fold {fold} of {folds} was not prepared; see the message above.")
    manifest = json_file(place / MANIFEST)
    (config,) = manifest["rows"]
    train_student(recipe, manifest["rows"][config]["train"], work_dir)
    model, benchmark = load_student(work_dir), BENCHMARKS[domain]
    rows = benchmark.load(str(place), config)
    found = classifier_result(benchmark, rows, [model], [model.predict(rows.texts, rows.contexts, rows.characters)])
    for name in ("part", "student"):
        clear(work_dir / name)
    return {name: of["value"] for name in COLUMNS[benchmark.kind] if (of := found["metrics"].get(name))}


def main() -> None:
    """Parse the command line, train and measure each fold, write the result."""
    parser = argparse.ArgumentParser(prog="python -m eval.folds", description="Cross-validates a recipe.")
    parser.add_argument("--domain", required=True, choices=DOMAINS)
    parser.add_argument("--source", type=Path, required=True, help="the folder with the data set's own files")
    parser.add_argument("--recipe", type=Path, required=True, help="such as train/recipes/paper/X.yaml")
    parser.add_argument("--folds", type=int, default=5, help="default: 5")
    parser.add_argument("--base-model", help="the model to continue from, instead of the recipe's")
    parser.add_argument("--work-dir", type=Path, default=Path("work/folds"), help="default: work/folds")
    parser.add_argument("--out", type=results_folder, default=RESULTS, help=f"default: {RESULTS}")
    args = parser.parse_args()
    recipe = read_recipe_file(args.recipe) | ({"base_model": args.base_model} if args.base_model else {})
    base = Path(recipe["base_model"])
    weights = weights_digest(base) if base.is_dir() else ""
    args.work_dir.mkdir(parents=True, exist_ok=True)
    journal, of_folds = Journal(args.work_dir / POINTS), []
    for number in range(1, args.folds + 1):
        key = fingerprint([args.domain, number, args.folds, recipe, weights])
        point = journal.get(key)
        if point is None:
            print(f"fold {number} of {args.folds}", flush=True)
            metrics = measure_fold(args.domain, args.source, number, args.folds, recipe, args.work_dir)
            point = {"unit": key, "fold": number, "metrics": metrics}
            journal.append(key, point)
        of_folds.append(point["metrics"])
    name = f"folds-{recipe['name']}"
    averaged = {metric: _mean([found[metric] for found in of_folds]) for metric in of_folds[0]}
    content = {
        "name": name,
        "benchmark": f"{BENCHMARKS[args.domain].title}, mean of {args.folds} random folds",
        "metrics": averaged,
        "threshold_source": "the validation rows of each fold",
        "recipe": recipe | {"base_model": shareable(recipe["base_model"])},
    }
    print(write_result(content | provenance(), args.out, "system", name))
    for metric, found in averaged.items():
        print(f"{metric:<24}{found['value']:.4f} ± {found['deviation']:.4f}")


def _mean(values: list[float]) -> dict[str, Any]:
    return {"value": round(float(np.mean(values)), 4), "deviation": round(float(np.std(values)), 4), "seeds": values}


if __name__ == "__main__":
    run_command(main)
