"""python -m eval.run --model DIR_OR_ID [DIR_OR_ID …] --benchmark goemotions [--data DIR] [--out DIR]

Measures a model on a benchmark and writes <out>/<model>/<benchmark>.json. Several models are the same recipe trained
with several seeds: the result is their mean, and each one's value is kept. Thresholds are the model's own, chosen on
its development split; where a text has one of the set's own classes, the largest score decides. Nothing is chosen here.

    python -m eval.run --all [--data isear=DIR emobank=DIR …]                every model on all that is at hand
    python -m eval.run --texts FILE --benchmark goemotions                   only write its texts, for any system
    python -m eval.run --scores FILE --name NAME --benchmark goemotions      what it gave for them, measured alike
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.inputs import InputError, option_name, run_command
from dataset_builder.provenance import RESULTS, results_folder, write_result
from eval.benchmarks import BENCHMARKS, TOLERANCE, Benchmark, Rows, find
from eval.classifiers import load_seeds, read_scores, result, result_of_scores
from eval.measure import shown
from eval.predict import Model, probabilities

MODELS = Path("work/models")


def measure_models(models: Sequence[Model], names: Sequence[str], data: str | None, out: Path) -> None:
    """Measure the seeds of a model on benchmarks and write a file for each; rows that they share are scored once."""
    config = models[0].record.get("recipe", {}).get("config", "contextless")
    known: dict[str, list[np.ndarray]] = {}
    for benchmark in map(find, names):
        rows = benchmark.load(data, config)
        if benchmark.rows_of not in known:
            known[benchmark.rows_of] = [probabilities(model, rows.texts, rows.contexts) for model in models]
        content = result(models, benchmark, rows, known[benchmark.rows_of])
        show(benchmark, content, write_result(content, out, models[0].name, benchmark.name))


def measure_scores(path: Path, name: str, names: Sequence[str], data: str | None, threshold: float, out: Path) -> None:
    """The same for the scores of a file; see `eval.classifiers.read_scores` for its form."""
    for benchmark in map(find, names):
        rows: Rows = benchmark.load(data, "contextless")
        scores, revision = read_scores(path, rows)
        content = result_of_scores(name, benchmark, rows, scores, threshold, revision)
        show(benchmark, content, write_result(content, out, name, benchmark.name))


def show(benchmark: Benchmark, content: dict[str, Any], path: Path) -> None:
    """Print a result's headline and, where a value is expected, whether it is that."""
    headline = content["metrics"][benchmark.headline]
    print(f"{path}: {benchmark.headline} {shown(headline)} on {content['support']} rows")
    expected = benchmark.expected.get(content["name"])
    if expected is not None:
        near = abs(headline["value"] - expected) <= TOLERANCE
        print(f"  expected {expected:.3f} ± {TOLERANCE}: {'yes' if near else 'NO, it is another'}")


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m eval.run", description="Measures a model on a benchmark.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", nargs="+", help="a model folder or Hub id, or one of each seed")
    what.add_argument("--scores", type=Path, help="a file with the scores that a system gave, a line for each row")
    what.add_argument("--texts", type=Path, help="write the benchmark's texts there, for `dataset_builder label-texts`")
    what.add_argument("--all", type=Path, nargs="?", const=MODELS, help=f"a folder of models; default: {MODELS}")
    parser.add_argument("--benchmark", nargs="+", help=", ".join(sorted(BENCHMARKS)))
    parser.add_argument(
        "--data",
        nargs="+",
        default=[],
        help="its files, or a folder of `dataset_builder domain`, or the corpus for 'own'; default: from the Hub. With "
        "--all as BENCHMARK=PLACE",
    )
    parser.add_argument("--name", type=option_name, help="of the system that gave --scores")
    parser.add_argument("--threshold", type=float, default=0.5, help="of --scores, for all labels; default: 0.5")
    parser.add_argument("--out", type=results_folder, default=RESULTS, help=f"default: {RESULTS}")
    args = parser.parse_args()
    if args.all:
        if args.benchmark:
            raise InputError("--all measures on every benchmark that is at hand. Leave --benchmark out.")
        from eval.everything import measure_all, places

        measure_all(args.all, places(args.data), args.out)
        return
    if not args.benchmark or len(args.data) > 1:
        raise InputError("give --benchmark, and at most one --data.")
    if not 0 <= args.threshold <= 1:  # NaN is neither
        raise InputError(f"--threshold {args.threshold:g}: give one from 0 to 1, as the scores are.")
    for name in args.benchmark:
        find(name)  # a wrong name is said before a model is loaded
    data = args.data[0] if args.data else None
    if args.texts:
        if len(args.benchmark) > 1:
            raise InputError("--texts writes those of one --benchmark.")
        rows = find(args.benchmark[0]).load(data, "contextless")
        lines = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in rows.texts]
        args.texts.parent.mkdir(parents=True, exist_ok=True)
        args.texts.write_text("".join(lines), encoding="utf-8")
        print(f"{args.texts}: {len(lines)} texts")
    elif args.scores:
        if not args.name:
            raise InputError("--scores needs the --name of the system that gave them.")
        measure_scores(args.scores, args.name, args.benchmark, data, args.threshold, args.out)
    else:
        measure_models(load_seeds(args.model), args.benchmark, data, args.out)


if __name__ == "__main__":
    run_command(main)
