"""python -m eval.run --model DIR_OR_ID [DIR_OR_ID …] --benchmark goemotions [--data DIR] [--out DIR]

Measures a model on a benchmark and writes <out>/<model>/<benchmark>.json. Several models are the same recipe trained
with several seeds: the result is their mean, and each one's value is kept. Thresholds are the model's own, chosen on
its development split; where a text has one of the set's own classes, the largest score decides. Nothing is chosen here.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.bridges import native_scores
from dataset_builder.inputs import InputError, run_command
from dataset_builder.provenance import RESULTS, provenance, write_result
from eval.benchmarks import BENCHMARKS, Benchmark, Rows, find
from eval.metrics import (
    Measure,
    accuracy,
    bootstrap,
    expected_calibration_error,
    largest,
    macro_f1,
    micro_f1,
    per_class_f1,
    weighted_f1,
)
from eval.predict import Model, load_model, probabilities

Metrics = dict[str, dict[str, Any]]


def decide(benchmark: Benchmark, scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Predictions (rows, the benchmark's classes) from scores (rows, 28): by thresholds, or one of its own classes."""
    if benchmark.bridge is None:
        return (scores >= thresholds).astype(np.int8)
    return largest(native_scores(benchmark.bridge, scores))


def measure(
    benchmark: Benchmark, gold: np.ndarray, scores: Sequence[np.ndarray], thresholds: Sequence[np.ndarray]
) -> Metrics:
    """All metrics of a benchmark's kind as {name: {value, low, high, seeds}}: the mean of the seeds.

    Intervals are of that mean, by bootstrap over the rows; `seeds` has each one's value where there are several.
    """
    predicted = np.stack(
        [decide(benchmark, of_seed, own) for of_seed, own in zip(scores, thresholds, strict=True)], axis=1
    )
    metrics: Metrics = {"macro_f1": over_seeds(macro_f1, gold, predicted)}
    if benchmark.bridge is None:
        at_half = np.stack([(of_seed >= 0.5).astype(np.int8) for of_seed in scores], axis=1)
        metrics["micro_f1"] = over_seeds(micro_f1, gold, predicted)
        metrics["macro_f1_at_05"] = over_seeds(macro_f1, gold, at_half)
        metrics["micro_f1_at_05"] = over_seeds(micro_f1, gold, at_half)
        metrics["ece"] = of_seeds([expected_calibration_error(gold, of_seed) for of_seed in scores])
        metrics["labels_per_text"] = of_seeds(predicted.sum(axis=2).mean(axis=0).tolist())
    else:
        metrics["accuracy"] = over_seeds(accuracy, gold, predicted)
        metrics["weighted_f1"] = over_seeds(weighted_f1, gold, predicted)
    if benchmark.emotions:
        columns = [benchmark.classes.index(name) for name in benchmark.emotions]
        metrics["micro_f1_emotions"] = over_seeds(micro_f1, gold[:, columns], predicted[:, :, columns])
    return metrics


def over_seeds(function: Measure, gold: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    """A measure's mean over the seeds of (rows, seeds, classes), with its interval."""

    def mean(of: np.ndarray, found: np.ndarray) -> float:
        return float(np.mean([function(of, found[:, seed]) for seed in range(found.shape[1])]))

    low, high = bootstrap(mean, gold, predicted)
    values = of_seeds([function(gold, predicted[:, seed]) for seed in range(predicted.shape[1])])
    return {"value": values["value"], "low": round(low, 4), "high": round(high, 4)} | values


def of_seeds(values: list[float]) -> dict[str, Any]:
    """A value for each seed as a metric: their mean and, where there are several, each one."""
    mean = {"value": round(float(np.mean(values)), 4)}
    return mean | {"seeds": [round(value, 4) for value in values]} if len(values) > 1 else mean


def result(models: Sequence[Model], benchmark: Benchmark, rows: Rows, scores: Sequence[np.ndarray]) -> dict[str, Any]:
    """A result file's content: metrics and where they come from. Revision and recipe are the first model's."""
    model = models[0]
    by_seed = [
        per_class_f1(rows.gold, decide(benchmark, found, one.thresholds))
        for one, found in zip(models, scores, strict=True)
    ]
    f1, support = np.mean(by_seed, axis=0), rows.gold.sum(axis=0).tolist()
    chosen = model.record.get("threshold_source", "the model's config")
    return {
        "name": model.name,
        "benchmark": benchmark.name,
        "headline": benchmark.headline,
        "metrics": measure(benchmark, rows.gold, scores, [one.thresholds for one in models]),
        "per_label": {
            name: {"f1": round(float(f1[i]), 4), "support": int(support[i])} for i, name in enumerate(benchmark.classes)
        },
        "support": len(rows.texts),
        "threshold_source": chosen if benchmark.bridge is None else "argmax over the set's own classes",
        "seeds": [one.record["recipe"]["seed"] for one in models if "recipe" in one.record],
        "model_revision": model.revision,
        "data_revision": rows.revision,
        "protocol": rows.protocol,
        "trained_on": {key: model.record.get(key) for key in ("dataset", "dataset_revision", "train_rows", "steps")},
        "recipe_hash": model.record.get("recipe_hash", "unknown"),
        **provenance(),
    }


def load_seeds(places: Sequence[str]) -> list[Model]:
    """The models of one recipe.

    Raises:
        InputError: they are of several recipes, or two have the same seed.
    """
    models = [load_model(place) for place in places]
    check_seeds([model.record for model in models], places)
    return models


def check_seeds(records: Sequence[dict[str, Any]], places: Sequence[str]) -> None:
    """Raises InputError where training records are of several recipes, or two have the same seed."""
    about = [record.get("recipe", {}) for record in records]
    if len({json.dumps(recipe | {"seed": None}, sort_keys=True) for recipe in about}) > 1:
        raise InputError(f"--model {' '.join(places)}: not of one recipe. Measure them one by one.")
    if len(about) > 1 and len({recipe.get("seed") for recipe in about}) < len(about):
        raise InputError(f"--model {' '.join(places)}: two have the same seed. Give each once.")


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m eval.run", description="Measures a model on a benchmark.")
    parser.add_argument("--model", required=True, nargs="+", help="a model folder or Hub id, or one of each seed")
    parser.add_argument("--benchmark", required=True, help=", ".join(sorted(BENCHMARKS)))
    parser.add_argument(
        "--data",
        help="its files, or a folder of `dataset_builder domain`, or the corpus for 'own'; default: from the Hub",
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    args = parser.parse_args()
    benchmark = find(args.benchmark)
    models = load_seeds(args.model)
    rows = benchmark.load(args.data, models[0].record.get("recipe", {}).get("config", "contextless"))
    scores = [probabilities(model, rows.texts, rows.contexts) for model in models]
    content = result(models, benchmark, rows, scores)
    path = write_result(content, args.out, models[0].name, benchmark.name)
    headline = content["metrics"][benchmark.headline]
    print(
        f"{path}: {benchmark.headline} {headline['value']:.4f} [{headline['low']:.4f}, {headline['high']:.4f}] on "
        f"{content['support']} rows"
    )


if __name__ == "__main__":
    run_command(main)
