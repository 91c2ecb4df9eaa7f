"""python -m eval.context_use --model DIR_OR_ID [--benchmark own contrast meld …] [--data PLACE] [--out DIR]

Does a context-aware model use the situation? Predicts the labels of a benchmark's rows with their own situation, with
none, and with another story's (another utterance's in `contrast`, another dialogue's in `meld`). Writes
<out>/<model>/context.json for its corpus, and context-<benchmark>.json for other benchmarks. `--needs` reads the marks
from `dataset_builder context-test`: rows of the corpus whose label depends on the situation.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.files.data_sets import check_columns, read_data_set
from dataset_builder.files.reading import json_lines
from dataset_builder.inputs import InputError, run_command
from dataset_builder.provenance import RESULTS, provenance, results_folder, write_result
from dataset_builder.statistics import Measure, bootstrap, interval_fields, macro_f1, micro_f1
from eval.benchmark_rows import Rows, own
from eval.benchmarks import BENCHMARKS, DEVELOPMENT, Benchmark, find
from eval.measure import ARGMAX, decide
from eval.metrics import Clusters, Metrics, about_intervals, accuracy, over_seeds, shown
from eval.models import Classifier, about_weights, load_classifier
from eval.one_class import ONE_CLASS, by_set

CORPUS = "own"  # the benchmark that is a model's own corpus
COLUMNS = {"id": "what marks name it by", "narrative_id": "its story", "variant": "how it was made: 'original', …"}
SITUATIONS = ("own", "none", "other")
ANY_NUMBER = {"macro_f1": macro_f1, "micro_f1": micro_f1}
SEED = 13  # of the draw of other stories' situations


def rows_of_other_stories(narratives: list[str]) -> list[int]:
    """Return the number of a random row of another story per row. Raises InputError if there is only one story."""
    if len(set(narratives)) < 2:
        raise InputError(
            "all rows are from one story, so there is no other story's situation. Build from more stories."
        )
    draw, names = np.random.default_rng(SEED), np.array(narratives)
    return [int(draw.choice(np.flatnonzero(names != name))) for name in narratives]


def compare(
    gold: np.ndarray,
    predicted: dict[str, np.ndarray],
    groups: dict[str, np.ndarray],
    clusters: Clusters = None,
    measures: Mapping[str, Measure] = ANY_NUMBER,
) -> Metrics:
    """Return measures with each situation in each group of rows, and the gain by the own one, with paired intervals.

    Args:
        gold: (rows, 28), 0 or 1.
        predicted: the same, for each of SITUATIONS.
        groups: masks (rows,) by name.
        clusters: each row's story.
    """
    metrics: Metrics = {}
    for group, mask in groups.items():
        if not mask.any():
            continue
        stories = None if clusters is None else [clusters[row] for row in np.flatnonzero(mask).tolist()]
        of = {situation: found[mask] for situation, found in predicted.items()}
        for name, measure in measures.items():
            for situation, found in of.items():
                metrics[f"{name}_{situation}_{group}"] = over_seeds(measure, gold[mask], found[:, None], stories)
            for other in ("none", "other"):
                pair = np.stack([of["own"], of[other]], axis=1)
                metrics[f"{name}_gain_over_{other}_{group}"] = _gain(measure, gold[mask], pair, stories)
    return metrics


def _gain(measure: Measure, gold: np.ndarray, pair: np.ndarray, clusters: Clusters) -> dict[str, Any]:
    """Return the score of the first of two predictions, (rows, 2, classes), minus that of the second."""
    gain = measure.difference()
    low, high = bootstrap(gain, gold, pair, clusters=clusters)
    return {"value": round(gain(gold, pair), 4), **interval_fields(low, high)}


def read_marks(path: Path) -> dict[str, bool]:
    """Marks by row id. Raises InputError for a line that is not a mark."""
    marks = {}
    for place, mark in json_lines(path, "Pass a file written by `dataset_builder context-test`."):
        if not isinstance(mark, dict) or "id" not in mark or not isinstance(mark.get("needs_context"), bool):
            raise InputError(f'{place}: not the marks of `dataset_builder context-test`: {{"id", "needs_context"}}.')
        marks[str(mark["id"])] = mark["needs_context"]
    return marks


def groups_of(variants: list[str], ids: list[str], marks: dict[str, bool]) -> dict[str, np.ndarray]:
    """Masks (rows,) of all rows, of each variant and, if there are marks, of the rows that need their situation."""
    groups = {"all": np.ones(len(ids), dtype=bool)}
    groups |= {variant: np.array(variants) == variant for variant in sorted(set(variants))}
    if marks:
        needs = [marks.get(row_id) for row_id in ids]
        groups["needing"] = np.array([need is True for need in needs])
        groups["not_needing"] = np.array([need is False for need in needs])
    return groups


def measure(model: Classifier, benchmark: Benchmark, rows: Rows, groups: dict[str, np.ndarray]) -> Metrics:
    """Return the metrics of a model with each situation, in each group of rows."""
    clusters = rows.clusters or list(map(str, range(len(rows.texts))))
    contexts = rows.contexts or []
    others = [contexts[row] for row in rows_of_other_stories(clusters)]
    predicted = {
        situation: decide(benchmark, model.predict(rows.texts, given, rows.characters), model.thresholds)
        for situation, given in zip(SITUATIONS, (contexts, None, others), strict=True)
    }
    measures = ONE_CLASS if benchmark.kind == "single" else ANY_NUMBER
    metrics = compare(rows.gold, predicted, groups, clusters, measures)
    if rows.set_size > 1:
        of_sets = {situation: by_set(rows, found[:, None]) for situation, found in predicted.items()}
        gold, _, of = of_sets["own"]
        decided = {situation: found[:, 0] for situation, (_, found, _) in of_sets.items()}
        metrics |= compare(gold, decided, {"all": np.ones(len(gold), dtype=bool)}, of, {"sets_right": accuracy})
    return metrics


def corpus_groups(place: str, split: str, needs: Path | None) -> dict[str, np.ndarray]:
    """Return the groups of a corpus's rows, `groups_of`. A warning is printed if no row is marked in `needs`."""
    marks = read_marks(needs) if needs else {}
    data = read_data_set(place, "contextual")
    check_columns(data, split, COLUMNS)
    rows = data.rows(split)
    ids = [str(value) for value in rows["id"]]
    if marks and not set(ids) & set(marks):
        print(f"{needs}: marks no row of the {split} split. Does the file belong to this corpus?", file=sys.stderr)
    return groups_of([str(value) for value in rows["variant"]], ids, marks)


def main() -> None:
    """Parse the command line, measure, write."""
    known = [name for name, benchmark in BENCHMARKS.items() if benchmark.has_situations]
    parser = argparse.ArgumentParser(prog="python -m eval.context_use", description="Does a model use situations?")
    parser.add_argument("--model", required=True, help="a context-aware model, folder or Hub id")
    parser.add_argument("--benchmark", choices=known, default=CORPUS, help=f"default: {CORPUS}, the model's corpus")
    parser.add_argument("--data", help="the corpus, folder or Hub id, or the benchmark's files")
    parser.add_argument("--split", default="test", help="default: test")
    parser.add_argument("--needs", type=Path, help="marks of rows of the corpus that need their situation")
    parser.add_argument("--out", type=results_folder, default=RESULTS, help=f"default: {RESULTS}")
    args = parser.parse_args()
    benchmark = find(args.benchmark)
    if args.benchmark == CORPUS:
        if not args.data:
            raise InputError("give the model's corpus with --data.")
        rows = own(args.data, "contextual", args.split)
        groups, name = corpus_groups(args.data, args.split, args.needs), "context"
    else:
        if args.needs:
            raise InputError(f"--needs marks rows of a corpus. Remove it, or --benchmark {args.benchmark}.")
        benchmark = benchmark.development() if args.split == DEVELOPMENT else benchmark
        rows = benchmark.load(args.data, "contextual")
        groups, name = {"all": np.ones(len(rows.texts), dtype=bool)}, f"context-{benchmark.name}"
    model = load_classifier(args.model)
    chosen = model.record.get("threshold_source", "the model's config")
    content: dict[str, Any] = {
        "name": model.name,
        "benchmark": name,
        "metrics": measure(model, benchmark, rows, groups),
        "support": len(rows.texts),
        "intervals": about_intervals(len(rows.texts), rows.clusters, rows.units),
        "split": args.split,
        "groups": {group: int(mask.sum()) for group, mask in groups.items()},
        "threshold_source": ARGMAX if benchmark.kind == "single" else chosen,
        **about_weights([model]),
        **provenance(),
    }
    path = write_result(content, args.out, model.name, name)
    metric = "micro_f1" if args.benchmark == CORPUS else benchmark.headline
    own_, none, other = (shown(content["metrics"][f"{metric}_{situation}_all"]) for situation in SITUATIONS)
    gain = shown(content["metrics"][f"{metric}_gain_over_none_all"])
    print(f"{path}: {metric} {own_} with its situation, {none} without, {other} with another's; gain {gain}")


if __name__ == "__main__":
    run_command(main)
