"""Measures classifiers over the 28 labels, or scores that any system gave, and says where the numbers come from."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from dataset_builder.files.reading import json_lines
from dataset_builder.inputs import InputError
from dataset_builder.provenance import digest_of, provenance
from dataset_builder.taxonomy import LABELS
from eval.benchmarks import Benchmark, Rows
from eval.measure import about_intervals, details, measure
from eval.predict import Model, load_model

MANY = 500  # rows; of fewer, columns agree by chance
ENOUGH = 5  # rows with a label, for its column to be compared with the others
CLEARLY = 0.15  # mean correlation with the labels that another order of the columns has more than ours


def result(models: Sequence[Model], benchmark: Benchmark, rows: Rows, scores: Sequence[np.ndarray]) -> dict[str, Any]:
    """A result file's content: metrics and where they come from. Revision and recipe are the first model's."""
    model = models[0]
    chosen = model.record.get("threshold_source", "the model's config")
    content = numbers(benchmark, rows, scores, [one.thresholds for one in models], chosen)
    return {
        "name": model.name,
        **content,
        "seeds": [one.record["recipe"]["seed"] for one in models if "recipe" in one.record],
        "model_revision": model.revision,
        "trained_on": {key: model.record.get(key) for key in ("dataset", "dataset_revision", "train_rows", "steps")},
        "recipe_hash": model.record.get("recipe_hash", "unknown"),
        "recipe": model.record.get("recipe"),
        **provenance(),
    }


def result_of_scores(
    name: str, benchmark: Benchmark, rows: Rows, scores: np.ndarray, threshold: float, revision: str
) -> dict[str, Any]:
    """The same for scores (rows, 28) that another system gave, decided by one threshold."""
    source = f"{threshold} for all labels, as given"
    content = numbers(benchmark, rows, [scores], [np.full(len(LABELS), threshold)], source)
    about = {"seeds": [], "model_revision": revision, "trained_on": {}, "recipe_hash": "none"}
    return {"name": name, **content, **about, **provenance()}


def numbers(
    benchmark: Benchmark,
    rows: Rows,
    scores: Sequence[np.ndarray],
    thresholds: Sequence[np.ndarray],
    chosen: str,
) -> dict[str, Any]:
    """What is measured, and of which rows; `chosen` says where the thresholds are from.

    Raises:
        InputError: the scores' columns are in another order than the labels.
    """
    if benchmark.bridge is None:
        for of_seed in scores:
            check_order(rows.gold, of_seed)
    sources = {
        "several": chosen,
        "single": "argmax over the set's own classes",
        "affect": "none: the valence of the labels, 3 + 2 (positive - negative)",
    }
    content = {
        "benchmark": benchmark.name,
        "headline": benchmark.headline,
        "metrics": measure(benchmark, rows.gold, scores, thresholds, rows.clusters),
        **details(benchmark, rows.gold, scores, thresholds, rows.clusters),
        "support": len(rows.texts),
        "intervals": about_intervals(len(rows.texts), rows.clusters, rows.units),
        "threshold_source": sources[benchmark.kind],
        "data_revision": rows.revision,
        "protocol": rows.protocol,
    }
    if benchmark.hub and benchmark.bridge is None:
        of_hub = benchmark.hub._asdict()
        if rows.revision != benchmark.hub.revision:  # files of the same split, which the Hub's name no revision of
            del of_hub["revision"]
        content["hub_dataset"] = of_hub
    return content


def check_order(gold: np.ndarray, scores: np.ndarray) -> None:
    """Do the columns of scores (rows, 28) tell the labels that they stand for?

    Raises:
        InputError: in another order they would tell the labels of `gold` much better, as where outputs were saved
            sorted by name, or shifted by one.
    """
    there = [label for label in range(gold.shape[1]) if ENOUGH <= gold[:, label].sum() < len(gold)]
    if len(gold) < MANY or len(there) < 2:
        return
    told = _standardised(gold[:, there]).T @ _standardised(scores[:, there]) / len(gold)
    of_gold, of_scores = linear_sum_assignment(-told)
    if told[of_gold, of_scores].mean() - told.diagonal().mean() > CLEARLY:
        wrong = [(there[g], there[s]) for g, s in zip(of_gold, of_scores, strict=True) if g != s]
        example = "; ".join(f"what is given for '{LABELS[s]}' tells '{LABELS[g]}'" for g, s in wrong[:3])
        raise InputError(
            f"the scores are in another order than the labels: {example}. Give them in the order of "
            "dataset_builder/taxonomy.py, and check the model's id2label."
        )


def _standardised(columns: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and deviation 1; constant ones are all 0."""
    centred = columns - columns.mean(axis=0)
    deviation = centred.std(axis=0)
    standard: np.ndarray = centred / np.where(deviation > 0, deviation, 1)
    return standard


def read_scores(path: Path, rows: Rows) -> tuple[np.ndarray, str]:
    """Scores (rows, 28) from a file, and its revision: for each text of the benchmark, in order, a JSON line
    {"text": …, "scores": {label: score}}; labels that are not named have 0.

    Raises:
        InputError: a line is broken or another text's, names a label that is none of ours, or has a score that is not
            from 0 to 1.
    """
    form = 'not {"text": …, "scores": {label: score}}'
    found_lines = list(json_lines(path, "Give a line for each text of the benchmark.", form))
    if len(found_lines) != len(rows.texts):
        raise InputError(f"{path}: {len(found_lines)} lines for {len(rows.texts)} texts. Give one for each, in order.")
    scores = np.zeros((len(found_lines), len(LABELS)))
    for number, ((where, found), text) in enumerate(zip(found_lines, rows.texts, strict=True)):
        try:
            given, by_label = found["text"], found["scores"].items()
            named = {label: float(score) for label, score in by_label}
        except (ValueError, OverflowError, KeyError, TypeError, AttributeError):
            raise InputError(f"{where}: {form}.") from None
        if given != text:
            raise InputError(f"{where}: has another text than the benchmark's row, {text[:60]!r}.")
        unknown = sorted(named.keys() - set(LABELS))
        if unknown:
            raise InputError(f"{where}: '{unknown[0][:80]}' is none of the 28 labels.")
        scores[number] = [named.get(label, 0.0) for label in LABELS]
        if wrong := [label for label, score in named.items() if not 0 <= score <= 1]:  # NaN is neither
            raise InputError(
                f"{where}: the score of '{wrong[0]}' is {named[wrong[0]]:g} and not from 0 to 1. Give probabilities: "
                "percentages over 100, logits through a sigmoid."
            )
    return scores, f"sha256 {digest_of(path)[:16]}"


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
