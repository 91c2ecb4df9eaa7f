"""Turns a model's scores into a benchmark's numbers: decisions, metrics, F1 of each class, reliability."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import expit

from dataset_builder.inputs import InputError
from dataset_builder.label_maps import class_scores
from dataset_builder.statistics import (
    SEED,
    Measure,
    average_precision,
    brier_skill,
    classwise_calibration_error,
    expected_calibration_error,
    macro_f1,
    micro_f1,
    roc_auc,
    weighted_f1,
)
from dataset_builder.taxonomy import LABELS, VALENCE
from dataset_builder.thresholds import choose_thresholds
from eval.benchmark_rows import Rows
from eval.benchmarks import Benchmark
from eval.decision_rules import DEFAULT, RULES, apply_rule
from eval.metrics import (
    Metrics,
    absolute_error,
    accuracy,
    by_class,
    concordance,
    jaccard,
    largest,
    of_seeds,
    over_seeds,
    pearson,
    reliability,
)
from eval.models import BiEncoder, Scores
from eval.one_class import one_class
from eval.valence import CIRCLE_AROUSAL, CIRCLE_VALENCE, TAXONOMY, values_by_anchors

SIGNS = np.array([VALENCE[label] for label in LABELS], dtype=float)
ARGMAX = "argmax over the classes"
ANY_NUMBER = {"macro_f1": macro_f1, "micro_f1": micro_f1, "jaccard": jaccard}
# `check_order` needs this many rows, and this many rows of a label: with fewer, columns correlate by chance.
MIN_ROWS, MIN_GOLD = 500, 5
# A larger gain in mean correlation by another order is an error. With 500 rows at GoEmotions' frequencies the
# best order of random scores gains up to .09.
MAX_GAIN = 0.15


def classifier_numbers(
    benchmark: Benchmark, rows: Rows, scores: Sequence[np.ndarray], thresholds: Sequence[np.ndarray], chosen: str
) -> dict[str, Any]:
    """Return metrics, F1 of each class, reliability, and how labels were decided, for scores of the 28 labels.

    Args:
        scores: (rows, 28), of each seed.
        thresholds: (28,), of each seed; `chosen` describes their source.

    Metrics are {name: {value, low, high, seeds}}, of the seeds' mean; an interval that is not defined is left out, and
    `seeds` has each seed's value if there are several.

    Raises InputError if the scores' columns are in another order than the labels.
    """
    if benchmark.kind == "affect":
        # Of another system there may be ratings themselves.
        valence = np.stack([of[:, 0] if of.shape[1] == 1 else valence_of(of) for of in scores], axis=1)
        measures = {"pearson_valence": pearson, "concordance_valence": concordance, "mae_valence": absolute_error}
        metrics = {name: over_seeds(of, rows.gold[:, 0], valence, rows.clusters) for name, of in measures.items()}
        source = "none: the valence of the labels, 3 + 2 (positive - negative)"
        return {"metrics": metrics, "per_label": {}, "threshold_source": source}
    if benchmark.label_map is None and scores[0].shape[1] == len(LABELS):
        for of_seed in scores:
            check_order(rows.gold, of_seed)
    decided = np.stack([decide(benchmark, of, own) for of, own in zip(scores, thresholds, strict=True)], axis=1)
    # A class of several labels has several thresholds, and with one class per text there are none.
    own = thresholds[0] if benchmark.kind == "several" and benchmark.label_map is None else None
    found: dict[str, Any] = {"metrics": {}, "per_label": by_class(rows.classes, rows.gold, decided, own, rows.clusters)}
    if benchmark.kind == "single":
        of_labels = scores if scores[0].shape[1] == len(LABELS) else None
        found |= {"metrics": one_class(benchmark, rows, decided, of_labels), "threshold_source": ARGMAX}
    else:
        found |= {**_any_number(benchmark, rows, scores, decided), "threshold_source": chosen}
    if benchmark.emotions:
        columns = [rows.classes.index(name) for name in benchmark.emotions]
        emotions = rows.gold[:, columns], decided[:, :, columns]
        found["metrics"]["micro_f1_emotions"] = over_seeds(micro_f1, *emotions, rows.clusters)
    if benchmark.hub and benchmark.label_map is None:
        hub = benchmark.hub._asdict()  # local files of the same split have no revision on the Hub
        found["hub_dataset"] = {key: hub[key] for key in hub if key != "revision" or hub[key] == rows.revision}
    return found


def _any_number(benchmark: Benchmark, rows: Rows, scores: Sequence[np.ndarray], decided: np.ndarray) -> dict[str, Any]:
    """Return metrics and reliability for any number of classes per text."""
    own = [own_scores(benchmark, of_seed) for of_seed in scores]
    at_half = np.stack([(of_seed >= 0.5).astype(np.int8) for of_seed in own], axis=1)
    metrics = _with_intervals(ANY_NUMBER | {"weighted_f1": weighted_f1, "subset_accuracy": accuracy}, rows, decided)
    metrics |= _with_intervals({"macro_f1_at_05": macro_f1, "micro_f1_at_05": micro_f1}, rows, at_half)
    metrics |= _without_thresholds(rows.gold, own, decided)
    return {"metrics": metrics, "reliability": reliability(np.concatenate([rows.gold] * len(own)), np.concatenate(own))}


def development_numbers(
    rows: Rows, scores: Sequence[np.ndarray], development: Rows, of_development: Sequence[np.ndarray]
) -> dict[str, Any]:
    """Return metrics with thresholds that are chosen, by the trainer's rule, on the benchmark's development split.

    Args:
        scores: (rows, 28), of each seed; `of_development` are those of the development rows.
    """
    chosen = [choose_thresholds(of_seed, development.gold, SEED) for of_seed in of_development]
    decided = np.stack([of >= own for of, (own, _) in zip(scores, chosen, strict=True)], axis=1).astype(np.int8)
    measures = {"macro_f1_dev_thresholds": macro_f1, "micro_f1_dev_thresholds": micro_f1}
    source = f"{chosen[0][1]}, development split, {development.revision}"
    return {"metrics": _with_intervals(measures, rows, decided), "dev_threshold_source": source}


def own_scores(benchmark: Benchmark, scores: np.ndarray) -> np.ndarray:
    """Return scores (rows, the benchmark's classes) from scores (rows, 28): each class gets its best label's."""
    return scores if benchmark.label_map is None else class_scores(benchmark.label_map, scores)


def decide(benchmark: Benchmark, scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return predictions (rows, the benchmark's classes) from scores (rows, 28).

    With any number of classes: those with a label above its threshold (28,). With one class: the largest score.
    """
    if benchmark.kind == "single":
        return largest(own_scores(benchmark, scores))
    return own_scores(benchmark, (scores >= thresholds).astype(np.int8))


def valence_of(scores: np.ndarray) -> np.ndarray:
    """Valence (rows,) on EmoBank's scale of 1 to 5: 3 + 2 (positive labels' scores - negative ones'), within it."""
    clipped: np.ndarray = np.clip(3 + 2 * scores @ SIGNS, 1, 5)
    return clipped


def bi_encoder_numbers(
    benchmark: Benchmark, rows: Rows, models: Sequence[BiEncoder], defined: bool = False
) -> dict[str, Any]:
    """Do the same for the seeds of a bi-encoder that uses the class names as labels.

    Args:
        defined: labels are embedded with their definitions.
    """
    if benchmark.kind == "affect":
        metrics, source = _affect(rows, models), "none: valence from anchor words"
        return {"metrics": metrics, "per_label": {}, "threshold_source": source}
    definitions = rows.definitions if defined else None
    scores = [model.predict(rows.texts, rows.classes, definitions) for model in models]
    if benchmark.kind == "several":
        metrics, decided = _several(rows, scores)
        source = f"rule {DEFAULT} on {scores[0].source}, without labels"
    else:
        metrics, decided = _single(benchmark, rows, scores)
        source = "argmax over the class names"
    per_label = by_class(rows.classes, rows.gold, decided, clusters=rows.clusters) if rows.gold.size else {}
    return {"metrics": metrics, "per_label": per_label, "threshold_source": source}


def _several(rows: Rows, scores: Sequence[Scores]) -> tuple[Metrics, np.ndarray]:
    """Metrics, and decisions (rows, seeds, classes) by the default rule; macro-F1 of every rule, for comparison."""
    # With `neutral` among the classes every text has a class, so each gets at least one.
    exhaustive = "neutral" in rows.classes
    by_rule = {
        rule: np.stack([apply_rule(rule, one.logits, one.reference_logits, exhaustive) for one in scores], axis=1)
        for rule in RULES
    }
    decided = by_rule[DEFAULT]
    metrics = _with_intervals(ANY_NUMBER, rows, decided)
    metrics |= _without_thresholds(rows.gold, [expit(one.logits) for one in scores], decided)
    for rule, found in by_rule.items():
        metrics[f"macro_f1_{rule}"] = of_seeds([macro_f1(rows.gold, found[:, seed]) for seed in range(len(scores))])
    return metrics, decided


def _single(benchmark: Benchmark, rows: Rows, scores: Sequence[Scores]) -> tuple[Metrics, np.ndarray]:
    """Metrics, and decisions (rows, seeds, classes) by the largest cosine; without gold each class's share of the rows.

    For `macro_f1_centred` each label's mean cosine over the reference texts is subtracted first.
    """
    decided = np.stack([largest(one.cosines) for one in scores], axis=1)
    if not rows.gold.size:
        shares = decided.mean(axis=0)
        return {f"share_{name}": of_seeds(shares[:, i].tolist()) for i, name in enumerate(rows.classes)}, decided
    centred = [largest(one.cosines - one.reference_cosines.mean(axis=0)) for one in scores]
    metrics = one_class(benchmark, rows, decided)
    return metrics | {"macro_f1_centred": of_seeds([macro_f1(rows.gold, found) for found in centred])}, decided


def _affect(rows: Rows, models: Sequence[BiEncoder]) -> Metrics:
    """Return correlations of ratings with values by anchor words (eval/valence.py)."""
    wanted = {
        "pearson_valence": (TAXONOMY, 0),
        "pearson_valence_circle": (CIRCLE_VALENCE, 0),
        "pearson_arousal_circle": (CIRCLE_AROUSAL, 1),
    }
    embedded = [(model, model.embed_texts(rows.texts)) for model in models]
    metrics: Metrics = {}
    for name, (anchors, column) in wanted.items():
        found = np.stack([values_by_anchors(model, texts, anchors) for model, texts in embedded], axis=1)
        metrics[name] = over_seeds(pearson, rows.gold[:, column], found, rows.clusters)
        if name == "pearson_valence":
            metrics["mae_valence"] = over_seeds(absolute_error, rows.gold[:, column], 3 + 2 * found, rows.clusters)
    return metrics


def _with_intervals(measures: Mapping[str, Measure], rows: Rows, decided: np.ndarray) -> Metrics:
    return {name: over_seeds(measure, rows.gold, decided, rows.clusters) for name, measure in measures.items()}


def _without_thresholds(gold: np.ndarray, probabilities: Sequence[np.ndarray], decided: np.ndarray) -> Metrics:
    """Return ranking and calibration metrics of each seed's probabilities (rows, classes), and labels per text."""
    functions: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
        "average_precision": average_precision,
        "roc_auc": roc_auc,
        "classwise_ece": classwise_calibration_error,
        "ece": expected_calibration_error,
        "brier_skill": brier_skill,
    }
    metrics = {name: of_seeds([function(gold, of) for of in probabilities]) for name, function in functions.items()}
    return metrics | {"labels_per_text": of_seeds(decided.sum(axis=2).mean(axis=0).tolist())}


def check_order(gold: np.ndarray, scores: np.ndarray) -> None:
    """Check that the columns of scores (rows, 28) are in the labels' order.

    Raises InputError if the columns would fit `gold` much better in another order, for example because outputs were
    sorted by name or shifted by one.
    """
    present = [label for label in range(gold.shape[1]) if MIN_GOLD <= gold[:, label].sum() < len(gold)]
    if len(gold) < MIN_ROWS or len(present) < 2:
        return
    correlations = _standardised(gold[:, present]).T @ _standardised(scores[:, present]) / len(gold)
    of_gold, of_scores = linear_sum_assignment(-correlations)  # the order with the largest sum of correlations
    if correlations[of_gold, of_scores].mean() - correlations.diagonal().mean() > MAX_GAIN:
        wrong = [(present[g], present[s]) for g, s in zip(of_gold, of_scores, strict=True) if g != s]
        example = "; ".join(f"the scores of '{LABELS[s]}' fit '{LABELS[g]}'" for g, s in wrong[:3])
        raise InputError(
            f"the scores are not in the order of the labels: {example}. Use the order of "
            "dataset_builder/taxonomy.py, and check the model's id2label."
        )


def _standardised(columns: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and deviation 1; constant ones are all 0."""
    centred = columns - columns.mean(axis=0)
    deviation = centred.std(axis=0)
    standard: np.ndarray = centred / np.where(deviation > 0, deviation, 1)
    return standard
