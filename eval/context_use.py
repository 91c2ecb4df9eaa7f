"""python -m eval.context_use --model DIR_OR_ID --data CORPUS [--needs MARKS.jsonl] [--out DIR]

Does a context-aware model use the situation? Its corpus's test rows with their own situation, with none, and with
another story's; writes <out>/<model>/context.json. `--needs` takes what `dataset_builder context-test` marked: rows
whose label cannot be told without the situation.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.files.data_sets import check_columns, check_label_numbers, checked_rows, read_data_set
from dataset_builder.files.reading import json_lines
from dataset_builder.inputs import InputError, run_command
from dataset_builder.provenance import RESULTS, provenance, results_folder, write_result
from dataset_builder.statistics import interval_fields
from eval.benchmarks import multi_hot
from eval.measure import about_intervals, over_seeds
from eval.metrics import Measure, bootstrap, macro_f1, micro_f1
from eval.predict import load_model, probabilities

COLUMNS = {"id": "what marks name it by", "narrative_id": "its story", "variant": "how it was made: 'original', …"}
SITUATIONS = ("own", "none", "other")


def strangers(narratives: list[str], seed: int) -> list[int]:
    """For each row the number of a row of another story, drawn from the seed.

    Raises:
        InputError: all rows are of one story.
    """
    if len(set(narratives)) < 2:
        raise InputError("all rows are of one story: nobody has another's situation. Build from more stories.")
    draw, names = np.random.default_rng(seed), np.array(narratives)
    return [int(draw.choice(np.flatnonzero(names != name))) for name in narratives]


def compare(
    gold: np.ndarray,
    predicted: dict[str, np.ndarray],
    groups: dict[str, np.ndarray],
    clusters: Sequence[str] | None = None,
) -> dict[str, dict[str, float]]:
    """F1 of each situation in each group of rows, and what the own situation gains, with paired bootstrap intervals.

    Args:
        gold: (rows, 28), 0 or 1.
        predicted: by situation, alike.
        groups: masks (rows,) by name.
        clusters: each row's story.
    """
    metrics: dict[str, dict[str, float]] = {}
    for group, mask in groups.items():
        if not mask.any():
            continue
        stories = None if clusters is None else [clusters[row] for row in np.flatnonzero(mask).tolist()]
        for name, measure in (("macro_f1", macro_f1), ("micro_f1", micro_f1)):
            of = {situation: found[mask] for situation, found in predicted.items()}
            for situation in SITUATIONS:
                metrics[f"{name}_{situation}_{group}"] = over_seeds(
                    measure, gold[mask], of[situation][:, None], stories
                )
            for other in ("none", "other"):
                both = np.stack([of["own"], of[other]], axis=1)
                metrics[f"{name}_gain_over_{other}_{group}"] = _gain(measure, gold[mask], both, stories)
    return metrics


def _gain(measure: Measure, gold: np.ndarray, both: np.ndarray, clusters: Sequence[str] | None) -> dict[str, float]:
    """How much more the first of two predictions, (rows, 2, classes), scores than the second on the same rows."""
    gain = measure.difference()
    low, high = bootstrap(gain, gold, both, clusters=clusters)
    return {"value": round(gain(gold, both), 4), **interval_fields(low, high)}


def read_needs(path: Path) -> dict[str, bool]:
    """Marks by row id. Raises InputError for a line that is not a mark."""
    marks = {}
    for place, mark in json_lines(path, "Give the marks of `dataset_builder context-test`."):
        if not isinstance(mark, dict) or "id" not in mark or not isinstance(mark.get("needs_context"), bool):
            raise InputError(f'{place}: not the marks of `dataset_builder context-test`: {{"id", "needs_context"}}.')
        marks[str(mark["id"])] = mark["needs_context"]
    return marks


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m eval.context_use", description="Does a model use situations?")
    parser.add_argument("--model", required=True, help="a context-aware model, folder or Hub id")
    parser.add_argument("--data", required=True, help="its corpus, folder or Hub id")
    parser.add_argument("--split", default="test", help="default: test")
    parser.add_argument("--needs", type=Path, help="marks of rows that need their situation")
    parser.add_argument("--out", type=results_folder, default=RESULTS, help=f"default: {RESULTS}")
    args = parser.parse_args()
    needs = read_needs(args.needs) if args.needs else {}
    data = read_data_set(args.data, "contextual")
    rows = checked_rows(data, args.split, contextual=True)
    check_label_numbers(data, args.split)
    check_columns(data, args.split, COLUMNS)
    if needs and not set(map(str, rows["id"])) & set(needs):
        print(f"{args.needs}: marks no row of the {args.split} split. Are they of this corpus?", file=sys.stderr)
    model = load_model(args.model)
    texts, contexts = list(rows["text"]), list(rows["context"])
    stories = [str(story) for story in rows["narrative_id"]]
    others = strangers(stories, seed=13)
    gold = multi_hot(rows["labels"])
    asked = {"own": contexts, "none": None, "other": [contexts[row] for row in others]}
    predicted = {
        situation: (probabilities(model, texts, given) >= model.thresholds).astype(np.int8)
        for situation, given in asked.items()
    }
    variants = np.array([str(variant) for variant in rows["variant"]])
    groups = {"all": np.ones(len(texts), dtype=bool)}
    groups |= {variant: variants == variant for variant in sorted(set(variants))}
    if needs:
        marks = [needs.get(str(name)) for name in rows["id"]]
        groups["needing"] = np.array([mark is True for mark in marks])
        groups["not_needing"] = np.array([mark is False for mark in marks])
    content: dict[str, Any] = {
        "name": model.name,
        "benchmark": "context",
        "metrics": compare(gold, predicted, groups, stories),
        "support": len(texts),
        "intervals": about_intervals(len(texts), stories, "stories"),
        "split": args.split,
        "groups": {name: int(mask.sum()) for name, mask in groups.items()},
        "threshold_source": model.record.get("threshold_source", "the model's config"),
        "seeds": [model.record["recipe"]["seed"]] if "recipe" in model.record else [],
        "model_revision": model.revision,
        "recipe_hash": model.record.get("recipe_hash", "unknown"),
        **provenance(),
    }
    path = write_result(content, args.out, model.name, "context")
    shown = {name: content["metrics"][f"micro_f1_{name}_all"]["value"] for name in SITUATIONS}
    print(
        f"{path}: micro-F1 {shown['own']} with its situation, {shown['none']} without, {shown['other']} with another's"
    )


if __name__ == "__main__":
    run_command(main)
