"""python -m eval.context_use --model DIR_OR_ID --data CORPUS [--needs MARKS.jsonl] [--out DIR]

Does a context-aware model use the situation? Predicts the labels of its corpus's test rows with their own situation,
with none, and with another story's; writes <out>/<model>/context.json. `--needs` reads the marks from `dataset_builder
context-test`: rows whose label depends on the situation.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.files.data_sets import check_columns, check_label_numbers, checked_rows, read_data_set
from dataset_builder.files.reading import json_lines
from dataset_builder.inputs import InputError, run_command
from dataset_builder.provenance import RESULTS, provenance, results_folder, write_result
from dataset_builder.statistics import Measure, bootstrap, interval_fields, macro_f1, micro_f1
from eval.benchmark_rows import multi_hot
from eval.metrics import Clusters, Metrics, about_intervals, over_seeds
from eval.models import about_weights, load_classifier

COLUMNS = {"id": "what marks name it by", "narrative_id": "its story", "variant": "how it was made: 'original', …"}
SITUATIONS = ("own", "none", "other")
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
    gold: np.ndarray, predicted: dict[str, np.ndarray], groups: dict[str, np.ndarray], clusters: Clusters = None
) -> Metrics:
    """Return F1 with each situation in each group of rows, and the gain by the own situation, with paired intervals.

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
        for name, measure in (("macro_f1", macro_f1), ("micro_f1", micro_f1)):
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


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m eval.context_use", description="Does a model use situations?")
    parser.add_argument("--model", required=True, help="a context-aware model: a folder or Hub id")
    parser.add_argument("--data", required=True, help="its corpus: a folder or Hub id")
    parser.add_argument("--split", default="test", help="default: test")
    parser.add_argument("--needs", type=Path, help="file that marks the rows whose label depends on the situation")
    parser.add_argument("--out", type=results_folder, default=RESULTS, help=f"default: {RESULTS}")
    args = parser.parse_args()
    marks = read_marks(args.needs) if args.needs else {}
    data = read_data_set(args.data, "contextual")
    rows = checked_rows(data, args.split, contextual=True)
    check_label_numbers(data, args.split)
    check_columns(data, args.split, COLUMNS)
    ids, stories, variants = ([str(value) for value in rows[column]] for column in COLUMNS)
    if marks and not set(ids) & set(marks):
        print(
            f"{args.needs}: marks no row of the {args.split} split. Does the file belong to this corpus?",
            file=sys.stderr,
        )
    model = load_classifier(args.model)
    texts, contexts = list(rows["text"]), list(rows["context"])
    others = [contexts[row] for row in rows_of_other_stories(stories)]
    predicted = {
        situation: (model.predict(texts, given) >= model.thresholds).astype(np.int8)
        for situation, given in zip(SITUATIONS, (contexts, None, others), strict=True)
    }
    groups = groups_of(variants, ids, marks)
    content: dict[str, Any] = {
        "name": model.name,
        "benchmark": "context",
        "metrics": compare(multi_hot(rows["labels"]), predicted, groups, stories),
        "support": len(texts),
        "intervals": about_intervals(len(texts), stories, "stories"),
        "split": args.split,
        "groups": {name: int(mask.sum()) for name, mask in groups.items()},
        "threshold_source": model.record.get("threshold_source", "the model's config"),
        **about_weights([model]),
        **provenance(),
    }
    path = write_result(content, args.out, model.name, "context")
    own, none, other = (content["metrics"][f"micro_f1_{name}_all"]["value"] for name in SITUATIONS)
    print(f"{path}: micro-F1 {own} with its situation, {none} without, {other} with another's")


if __name__ == "__main__":
    run_command(main)
