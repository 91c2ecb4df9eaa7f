"""python -m eval.zero_shot_run --model M [M …] --benchmark goemotions [--data DIR] [--beside MODEL] [--out DIR]

Measures a bi-encoder on a benchmark that it was not trained for and writes <out>/<model>/<benchmark>.json. Several
models are one recipe trained with several seeds. The rule that decides is the shipped one (eval/decision_rules.py) or the one
that --rule names; the other rules' values are there to be seen, not to be chosen from. `--beside` measures another
encoder, such as the untrained one, by the same rule.
"""

import argparse
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.inputs import run_command
from dataset_builder.provenance import RESULTS, provenance, results_folder, write_result
from eval.classifiers import check_seeds
from eval.decision_rules import DEFAULT, RULES, decide, sigmoid
from eval.encoder import Encoder, Scores, embed_texts, load_encoder, score
from eval.measure import Metrics, about_intervals, by_class, calibration, of_seeds, over_seeds, shown
from eval.metrics import (
    accuracy,
    average_precision,
    jaccard,
    largest,
    macro_f1,
    micro_f1,
    pearson,
    roc_auc,
    weighted_f1,
)
from eval.valence import CIRCLE_AROUSAL, CIRCLE_VALENCE, TAXONOMY
from eval.zero_shot import by_anchors
from eval.zero_shot_benchmarks import Task, find_task

HEADLINES = {"several": "macro_f1", "single": "macro_f1", "affect": "pearson_valence"}


def several(task: Task, scores: Sequence[Scores], rule: str) -> tuple[Metrics, np.ndarray]:
    """Metrics of a task of kind `several`, and the rule's decisions (rows, seeds, labels)."""
    gold = task.gold
    assert gold is not None
    exhaustive = "neutral" in task.labels
    decided = {
        name: np.stack([decide(name, one.logits, one.reference_logits, exhaustive) for one in scores], axis=1)
        for name in RULES
    }
    probabilities = [sigmoid(one.logits) for one in scores]
    measures = {"macro_f1": macro_f1, "micro_f1": micro_f1, "jaccard": jaccard}
    metrics = {name: over_seeds(one, gold, decided[rule], task.clusters) for name, one in measures.items()}
    metrics |= {
        "average_precision": of_seeds([average_precision(gold, of_seed) for of_seed in probabilities]),
        "roc_auc": of_seeds([roc_auc(gold, of_seed) for of_seed in probabilities]),
        "labels_per_text": of_seeds(decided[rule].sum(axis=2).mean(axis=0).tolist()),
        **calibration(gold, probabilities),
    }
    for name, found in decided.items():
        metrics[f"macro_f1_{name}"] = of_seeds([macro_f1(gold, found[:, seed]) for seed in range(len(scores))])
    return metrics, decided[rule]


def single(task: Task, scores: Sequence[Scores]) -> tuple[Metrics, np.ndarray]:
    """Metrics of a task of kind `single`, and decisions (rows, seeds, labels) by the largest cosine.

    `macro_f1_centred` has each label's mean cosine over the reference texts taken off before.
    """
    decided = np.stack([largest(one.cosines) for one in scores], axis=1)
    if task.gold is None:
        shares = decided.mean(axis=0)
        return {f"share_{name}": of_seeds(shares[:, i].tolist()) for i, name in enumerate(task.labels)}, decided
    centred = [largest(one.cosines - one.reference_cosines.mean(axis=0)) for one in scores]
    measures = {"accuracy": accuracy, "macro_f1": macro_f1, "weighted_f1": weighted_f1}
    metrics = {name: over_seeds(one, task.gold, decided, task.clusters) for name, one in measures.items()}
    return metrics | {"macro_f1_centred": of_seeds([macro_f1(task.gold, found) for found in centred])}, decided


def affect(task: Task, models: Sequence[Encoder]) -> Metrics:
    """Correlations of ratings with values by anchor words (eval/valence.py)."""
    assert task.gold is not None
    wanted = {
        "pearson_valence": (TAXONOMY, 0),
        "pearson_valence_circle": (CIRCLE_VALENCE, 0),
        "pearson_arousal_circle": (CIRCLE_AROUSAL, 1),
    }
    metrics: Metrics = {}
    embedded = [embed_texts(model, task.texts) for model in models]
    for name, (anchors, column) in wanted.items():
        found = np.stack([by_anchors(*of, anchors) for of in zip(models, embedded, strict=True)], axis=1)
        metrics[name] = over_seeds(pearson, task.gold[:, column], found, task.clusters)
    return metrics


def measure(
    task: Task, models: Sequence[Encoder], rule: str = DEFAULT, by_targets: bool = False, defined: bool = False
) -> dict[str, Any]:
    """Metrics, the labels' F1 where there are labels, and how they were decided.

    Args:
        by_targets: the rule's reference are the task's own texts, instead of those that the model brings.
        defined: labels are embedded with their definitions.
    """
    if task.kind == "affect":
        return {"metrics": affect(task, models), "per_label": {}, "threshold_source": "none: values by anchor words"}
    definitions = task.definitions if defined else None
    scores = [score(model, task.texts, task.labels, definitions, by_targets) for model in models]
    if task.kind == "several":
        metrics, decided = several(task, scores, rule)
        source = f"rule {rule} over {scores[0].source}, without labels"
    else:
        metrics, decided = single(task, scores)
        source = "argmax over the set's own names"
    per_label = {} if task.gold is None else by_class(task.labels, task.gold, decided, clusters=task.clusters)
    return {"metrics": metrics, "per_label": per_label, "threshold_source": source}


def result(task: Task, benchmark: str, models: Sequence[Encoder], beside: Encoder | None, **how: Any) -> dict[str, Any]:
    """A result file's content: metrics and where they come from. Revision and recipe are the first model's."""
    model = models[0]
    content = {
        "name": model.name,
        "benchmark": benchmark,
        "headline": HEADLINES[task.kind],
        **measure(task, models, **how),
        "support": len(task.texts),
        "intervals": about_intervals(len(task.texts), task.clusters, task.units),
        "labels": list(task.labels),
        "definitions": bool(how.get("defined")),
        "prompts": {name: model.model.prompts.get(name, "") for name in ("query", "document")},
        "temperature": model.temperature,
        "bias": model.bias,
        "seeds": [one.record["recipe"]["seed"] for one in models if "recipe" in one.record],
        "model_revision": model.revision,
        "data_revision": task.revision,
        "protocol": f"zero-shot; {task.protocol}",
        "trained_on": {key: model.record.get(key) for key in ("dataset", "dataset_revision", "train_rows", "steps")},
        "recipe_hash": model.record.get("recipe_hash", "unknown"),
        "recipe": model.record.get("recipe"),
    }
    if beside:
        other = {"name": beside.name, "model_revision": beside.revision}
        content["beside"] = other | measure(task, [beside], **how)
    about = provenance()
    about["libraries"] |= {"sentence-transformers": importlib.metadata.version("sentence-transformers")}
    return content | about


def load_encoders(places: Sequence[str]) -> list[Encoder]:
    """The bi-encoders of one recipe. Raises InputError as `check_seeds` does."""
    models = [load_encoder(place) for place in places]
    check_seeds([model.record for model in models], places)
    return models


def measure_encoders(
    models: Sequence[Encoder], name: str, task: Task, beside: str | None = None, out: Path = RESULTS, **how: Any
) -> None:
    """Measure the seeds of a bi-encoder on a benchmark's task, write the file, print its headline."""
    content = result(task, name, models, load_encoder(beside) if beside else None, **how)
    print(write_result(content, out, models[0].name, name))
    for of in (content, content.get("beside")):
        if of:
            headline = of["metrics"].get(HEADLINES[task.kind])
            print(f"  {of['name']}: {f'{HEADLINES[task.kind]} {shown(headline)}' if headline else 'shares alone'}")


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m eval.zero_shot_run", description="Measures a bi-encoder.")
    parser.add_argument("--model", required=True, nargs="+", help="a model folder or Hub id, or one of each seed")
    parser.add_argument("--benchmark", required=True, help="goemotions, isear, emobank, descriptors, labels-6, …")
    parser.add_argument("--data", help="its files or folder; for labels-N a file with one text a line, or nothing")
    parser.add_argument("--beside", metavar="MODEL", help="another encoder, measured in the same way")
    parser.add_argument("--rule", choices=RULES, default=DEFAULT, help=f"default: {DEFAULT}")
    parser.add_argument("--by-targets", action="store_true", help="the rule's reference are the texts asked about")
    parser.add_argument("--definitions", action="store_true", help="labels are embedded with their definitions")
    parser.add_argument("--out", type=results_folder, default=RESULTS, help=f"default: {RESULTS}")
    args = parser.parse_args()
    how = {"rule": args.rule, "by_targets": args.by_targets, "defined": args.definitions}
    task = find_task(args.benchmark)(args.data)
    measure_encoders(load_encoders(args.model), args.benchmark, task, args.beside, args.out, **how)


if __name__ == "__main__":
    run_command(main)
