"""python -m eval.run --model DIR_OR_ID --benchmark goemotions [--data DIR] [--out DIR]

Measures one model on one benchmark and writes <out>/<model>/<benchmark>.json. Thresholds are the model's own, chosen
on its development split; nothing is chosen here.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.inputs import run_command
from dataset_builder.provenance import RESULTS, provenance, write_result
from dataset_builder.taxonomy import LABELS
from eval.benchmarks import BENCHMARKS, Rows, find
from eval.metrics import bootstrap, expected_calibration_error, macro_f1, micro_f1, per_class_f1
from eval.predict import Model, load_model, probabilities


def measure(rows: Rows, scores: np.ndarray, thresholds: np.ndarray) -> dict[str, dict[str, float]]:
    """All metrics as {name: {value, low, high}}; F1 has bootstrap intervals over the rows."""
    predicted = (scores >= thresholds).astype(np.int8)
    at_half = (scores >= 0.5).astype(np.int8)
    metrics: dict[str, dict[str, float]] = {}
    for name, function, decided in (
        ("macro_f1", macro_f1, predicted),
        ("micro_f1", micro_f1, predicted),
        ("macro_f1_at_05", macro_f1, at_half),
        ("micro_f1_at_05", micro_f1, at_half),
    ):
        low, high = bootstrap(function, rows.gold, decided)
        metrics[name] = {"value": function(rows.gold, decided), "low": low, "high": high}
    metrics["ece"] = {"value": expected_calibration_error(rows.gold, scores)}
    metrics["labels_per_text"] = {"value": float(predicted.sum(axis=1).mean())}
    return {name: {key: round(value, 4) for key, value in found.items()} for name, found in metrics.items()}


def result(model: Model, benchmark: str, rows: Rows, scores: np.ndarray) -> dict[str, Any]:
    """A result file's content: metrics and where they come from."""
    predicted = (scores >= model.thresholds).astype(np.int8)
    f1, support = per_class_f1(rows.gold, predicted), rows.gold.sum(axis=0).tolist()
    per_label = {label: {"f1": round(f1[i], 4), "support": int(support[i])} for i, label in enumerate(LABELS)}
    return {
        "name": model.name,
        "benchmark": benchmark,
        "metrics": measure(rows, scores, model.thresholds),
        "per_label": per_label,
        "support": len(rows.texts),
        "threshold_source": model.record.get("threshold_source", "the model's config"),
        "seeds": [model.record["recipe"]["seed"]] if "recipe" in model.record else [],
        "model_revision": model.revision,
        "data_revision": rows.revision,
        "trained_on": {key: model.record.get(key) for key in ("dataset", "dataset_revision", "train_rows", "steps")},
        "recipe_hash": model.record.get("recipe_hash", "unknown"),
        **provenance(),
    }


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m eval.run", description="Measures a model on a benchmark.")
    parser.add_argument("--model", required=True, help="a model folder or Hub id")
    parser.add_argument("--benchmark", required=True, help=", ".join(sorted(BENCHMARKS)))
    parser.add_argument("--data", help="the benchmark's own files, or the corpus for 'own'; default: from the Hub")
    parser.add_argument("--out", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    args = parser.parse_args()
    benchmark = find(args.benchmark)
    model = load_model(args.model)
    rows = benchmark.load(args.data, model.record.get("recipe", {}).get("config", "contextless"))
    scores = probabilities(model, rows.texts, rows.contexts)
    content = result(model, benchmark.name, rows, scores)
    path = write_result(content, args.out, model.name, benchmark.name)
    headline = content["metrics"][benchmark.headline]
    print(
        f"{path}: {benchmark.headline} {headline['value']:.4f} [{headline['low']:.4f}, {headline['high']:.4f}] on "
        f"{content['support']} rows"
    )


if __name__ == "__main__":
    run_command(main)
