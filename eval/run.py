"""python -m eval.run --model DIR_OR_ID --benchmark goemotions [--data DIR] [--out DIR]

Measures one model on one benchmark and writes <out>/<model>/<benchmark>.json. Thresholds are the model's own, chosen
on its development split; where a text has one of the set's own classes, the largest score decides. Nothing is chosen
here.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.bridges import native_scores
from dataset_builder.inputs import run_command
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

Metrics = dict[str, dict[str, float]]


def decide(benchmark: Benchmark, scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Predictions (rows, the benchmark's classes) from scores (rows, 28): by thresholds, or one of its own classes."""
    if benchmark.bridge is None:
        return (scores >= thresholds).astype(np.int8)
    return largest(native_scores(benchmark.bridge, scores))


def measure(benchmark: Benchmark, gold: np.ndarray, scores: np.ndarray, thresholds: np.ndarray) -> Metrics:
    """All metrics of a benchmark's kind as {name: {value, low, high}}; intervals are by bootstrap over the rows."""
    predicted = decide(benchmark, scores, thresholds)
    metrics: Metrics = {"macro_f1": _with_interval(macro_f1, gold, predicted)}
    if benchmark.bridge is None:
        at_half = (scores >= 0.5).astype(np.int8)
        metrics["micro_f1"] = _with_interval(micro_f1, gold, predicted)
        metrics["macro_f1_at_05"] = _with_interval(macro_f1, gold, at_half)
        metrics["micro_f1_at_05"] = _with_interval(micro_f1, gold, at_half)
        metrics["ece"] = {"value": expected_calibration_error(gold, scores)}
        metrics["labels_per_text"] = {"value": float(predicted.sum(axis=1).mean())}
    else:
        metrics["accuracy"] = _with_interval(accuracy, gold, predicted)
        metrics["weighted_f1"] = _with_interval(weighted_f1, gold, predicted)
    if benchmark.emotions:
        columns = [benchmark.classes.index(name) for name in benchmark.emotions]
        metrics["micro_f1_emotions"] = _with_interval(micro_f1, gold[:, columns], predicted[:, columns])
    return {name: {key: round(value, 4) for key, value in found.items()} for name, found in metrics.items()}


def _with_interval(function: Measure, gold: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    low, high = bootstrap(function, gold, predicted)
    return {"value": function(gold, predicted), "low": low, "high": high}


def result(model: Model, benchmark: Benchmark, rows: Rows, scores: np.ndarray) -> dict[str, Any]:
    """A result file's content: metrics and where they come from."""
    f1 = per_class_f1(rows.gold, decide(benchmark, scores, model.thresholds))
    support = rows.gold.sum(axis=0).tolist()
    chosen = model.record.get("threshold_source", "the model's config")
    return {
        "name": model.name,
        "benchmark": benchmark.name,
        "metrics": measure(benchmark, rows.gold, scores, model.thresholds),
        "per_label": {
            name: {"f1": round(f1[i], 4), "support": int(support[i])} for i, name in enumerate(benchmark.classes)
        },
        "support": len(rows.texts),
        "threshold_source": chosen if benchmark.bridge is None else "argmax over the set's own classes",
        "seeds": [model.record["recipe"]["seed"]] if "recipe" in model.record else [],
        "model_revision": model.revision,
        "data_revision": rows.revision,
        "protocol": rows.protocol,
        "trained_on": {key: model.record.get(key) for key in ("dataset", "dataset_revision", "train_rows", "steps")},
        "recipe_hash": model.record.get("recipe_hash", "unknown"),
        **provenance(),
    }


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m eval.run", description="Measures a model on a benchmark.")
    parser.add_argument("--model", required=True, help="a model folder or Hub id")
    parser.add_argument("--benchmark", required=True, help=", ".join(sorted(BENCHMARKS)))
    parser.add_argument(
        "--data",
        help="its files, or a folder of `dataset_builder domain`, or the corpus for 'own'; default: from the Hub",
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    args = parser.parse_args()
    benchmark = find(args.benchmark)
    model = load_model(args.model)
    rows = benchmark.load(args.data, model.record.get("recipe", {}).get("config", "contextless"))
    scores = probabilities(model, rows.texts, rows.contexts)
    content = result(model, benchmark, rows, scores)
    path = write_result(content, args.out, model.name, benchmark.name)
    headline = content["metrics"][benchmark.headline]
    print(
        f"{path}: {benchmark.headline} {headline['value']:.4f} [{headline['low']:.4f}, {headline['high']:.4f}] on "
        f"{content['support']} rows"
    )


if __name__ == "__main__":
    run_command(main)
