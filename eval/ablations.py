"""python -m eval.ablations --name MODEL --run VARIANT=FOLDER [--run VARIANT=FOLDER …] [--out DIR]

Compares variants of a bi-encoder: <out>/<MODEL>/ablations.json has the main metric of every variant on every benchmark.
FOLDER contains a variant's results from eval.run, one `<benchmark>.json` each.
"""

import argparse
from pathlib import Path
from typing import Any

from dataset_builder.inputs import InputError, run_command
from dataset_builder.provenance import RESULTS, provenance, results_folder, write_result
from eval.benchmarks import BENCHMARKS
from eval.cards.results import ModelResult, VariantResult, read_result
from eval.cards.sections import by_name, variants_table

ABOUT = ("trained_on", "recipe_hash", "model_revision", "threshold_source", "data_revision", "seeds", "definitions")


def read_runs(given: list[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return results as {variant: {benchmark: result}} from `VARIANT=FOLDER`s.

    Raises InputError if a pair is malformed or given twice, or its folder has no result of a zero-shot benchmark.
    """
    runs: dict[str, dict[str, dict[str, Any]]] = {}
    for pair in given:
        variant, equals, place = pair.partition("=")
        if not equals or not variant or variant in runs:
            raise InputError(f"--run {pair}: pass VARIANT=FOLDER, each variant only once.")
        paths = [path for path in (Path(place) / f"{name}.json" for name in BENCHMARKS) if path.exists()]
        if not paths:
            raise InputError(f"--run {pair}: contains no result of eval.run. Evaluate the variant first.")
        runs[variant] = {path.stem: read_result(path, ModelResult).model_dump(exclude_unset=True) for path in paths}
    return runs


def together(runs: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return metrics `<variant>: <benchmark> <metric>`, and how each variant was trained and measured."""
    metrics, variants = {}, {}
    for variant, results in runs.items():
        for benchmark, found in results.items():
            for metric in by_name(benchmark):
                if metric in found["metrics"]:
                    metrics[f"{variant}: {benchmark} {metric}"] = found["metrics"][metric]
        variants[variant] = {benchmark: {key: found.get(key) for key in ABOUT} for benchmark, found in results.items()}
    older = [found["measured_before"] for of in runs.values() for found in of.values() if "measured_before" in found]
    return {"metrics": metrics, "variants": variants} | ({"measured_before": older[0]} if older else {})


def main() -> None:
    """Parse the command line, write, print a table."""
    parser = argparse.ArgumentParser(prog="python -m eval.ablations", description="Compares variants.")
    parser.add_argument("--name", required=True, help="the published model of the variants")
    parser.add_argument("--run", action="append", required=True, metavar="VARIANT=FOLDER", help="may be repeated")
    parser.add_argument("--out", type=results_folder, default=RESULTS, help=f"default: {RESULTS}")
    args = parser.parse_args()
    content = {"name": args.name, "benchmark": "ablations", **together(read_runs(args.run)), **provenance()}
    print(write_result(content, args.out, args.name, "ablations"))
    print(variants_table(VariantResult.model_validate(content)))


if __name__ == "__main__":
    run_command(main)
