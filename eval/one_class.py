"""Metrics of benchmarks with one class per text."""

from collections.abc import Sequence

import numpy as np

from dataset_builder.label_maps import LABEL_MAPS
from dataset_builder.statistics import macro_f1, macro_recall, weighted_f1
from dataset_builder.taxonomy import LABELS, NEUTRAL
from eval.benchmark_rows import Rows
from eval.benchmarks import Benchmark
from eval.metrics import Metrics, accuracy, over_seeds, share_in_group

ONE_CLASS = {"macro_f1": macro_f1, "accuracy": accuracy, "weighted_f1": weighted_f1}


def one_class(
    benchmark: Benchmark, rows: Rows, decided: np.ndarray, scores: Sequence[np.ndarray] | None = None
) -> Metrics:
    """Return metrics, those of `ONE_CLASS` and others:

    - `macro_recall`: unweighted average recall (UAR), as papers on speech and affect report it.
    - `accuracy_second_reader`: accuracy by the labels of a second reader.
    - `sets_right`: the share of sets with all rows right.
    - `feelings_as_neutral`: the share of neutral among texts of other classes. Where no class is neutral, as in ISEAR,
      the share of texts for which neutral has the highest score of the 28 labels.
    - `neutral_as_feeling`: the share of other classes among neutral texts.

    Args:
        decided: (rows, seeds, classes), with one 1 per row and seed.
        scores: (rows, 28), of each seed, if the model scored the 28 labels.
    """
    measures = ONE_CLASS | {"macro_recall": macro_recall}
    metrics = {name: over_seeds(measure, rows.gold, decided, rows.clusters) for name, measure in measures.items()}
    if rows.second_gold is not None:
        metrics["accuracy_second_reader"] = over_seeds(accuracy, rows.second_gold, decided, rows.clusters)
    if rows.set_size > 1:
        metrics["sets_right"] = over_seeds(accuracy, *by_set(rows, decided))
    groups: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    column = _neutral_class(benchmark, rows)
    if column is not None:
        of_class, decided_neutral = rows.gold[:, column], decided[:, :, column]
        groups["feelings_as_neutral"] = 1 - of_class, decided_neutral
        groups["neutral_as_feeling"] = of_class, 1 - decided_neutral
    elif scores is not None:  # every text expresses a feeling
        neutral = np.stack([of_seed.argmax(axis=1) == NEUTRAL for of_seed in scores], axis=1)
        groups["feelings_as_neutral"] = np.ones(len(neutral)), neutral
    for name, (group, is_wrong) in groups.items():
        if group.any():
            metrics[name] = over_seeds(share_in_group, group, is_wrong, rows.clusters)
    return metrics


def _neutral_class(benchmark: Benchmark, rows: Rows) -> int | None:
    """Return the column of the class that has the label neutral; None without one, as in ISEAR."""
    own = LABEL_MAPS[benchmark.label_map].values() if benchmark.label_map else [(name,) for name in rows.classes]
    return next((column for column, labels in enumerate(own) if LABELS[NEUTRAL] in labels), None)


def by_set(rows: Rows, decided: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str] | None]:
    """Return gold (sets, n), decisions (sets, seeds, n) and the sets' clusters: a set is right if all its rows are."""
    size, (seeds, classes) = rows.set_size, decided.shape[1:]
    of_sets = decided.reshape(-1, size, seeds, classes).swapaxes(1, 2).reshape(-1, seeds, size * classes)
    return rows.gold.reshape(len(of_sets), -1), of_sets, rows.clusters and rows.clusters[::size]
