"""What cards say of the figures in their tables: how they came about, which have no interval, which are older."""

from collections.abc import Sequence
from typing import Any

from dataset_builder.statistics import MIN_GOLD_ROWS
from eval.benchmarks import Benchmark

Result = dict[str, Any]


def before(results: Sequence[Result]) -> list[str]:
    """A footnote where some of the results are older than what is measured today."""
    older = dict.fromkeys(found["measured_before"] for found in results if "measured_before" in found)
    return [
        f"Rows without brackets were measured before {what}; their intervals and calibration figures follow when they "
        "are measured again."
        for what in older
    ]


def how_measured(measured: Sequence[tuple[Benchmark, Result]]) -> list[str]:
    """How a class is decided, what the calibration figures say, how valence is computed."""
    single = [f"{b.title}: {r['protocol']}" for b, r in measured if b.kind == "single"]
    notes = []
    if single:
        notes.append(f"Of several classes the one whose labels score highest is predicted. {'; '.join(single)}.")
    if any("classwise_ece" in r["metrics"] for _, r in measured):
        notes.append(
            "The class-wise calibration error is the mean of the classes' own errors: how far off probabilities are. "
            "The pooled one is small for any model that knows how rare labels are. Brier skill: 1 is perfect, 0 is no "
            "better than each class's share of the rows."
        )
    if any(b.kind == "affect" for b, _ in measured):
        notes.append("Valence is told by the labels: 3 + 2 (scores of positive labels - scores of negative ones).")
    return notes


def about_labels(result: Result) -> list[str]:
    """Which labels have no interval of their own F1, and which are not in macro-F1."""
    support = {label: int(row["support"]) for label, row in result["per_label"].items()}
    notes = []
    if rare := [f"{label} ({rows})" for label, rows in support.items() if rows < MIN_GOLD_ROWS]:
        notes.append(
            f"Labels with fewer than {MIN_GOLD_ROWS} rows, whose F1 has no interval of its own: {', '.join(rare)}."
        )
    if absent := [label for label, rows in support.items() if not rows]:
        notes.append(f"Macro-F1 is the mean over the labels that have a row, without {', '.join(absent)}.")
    left = [label for label, row in result["per_label"].items() if support[label] >= MIN_GOLD_ROWS and "low" not in row]
    if left and "measured_before" not in result:
        notes.append(
            f"No interval either, since all resamples are alike or the rows come from fewer than {MIN_GOLD_ROWS} of "
            f"what is resampled: {', '.join(left)}."
        )
    return notes


def how_certain(result: Result) -> str:
    """What the brackets are, where there are any, and the seeds."""
    seeds = result["seeds"]
    said = (
        f"mean of {len(seeds)} seeds ({', '.join(map(str, seeds))})"
        if len(seeds) > 1
        else f"seed {seeds[0]}"
        if seeds
        else "no seed"
    )
    return f"Brackets are {result['intervals']}; {said}" if "intervals" in result else said[:1].upper() + said[1:]


def commit_of(result: Result) -> str:
    """The commit that a result was measured at, and whether the code had changed since."""
    return f"commit `{result['commit'][:12]}`" + (
        " with changes that were not committed" if result.get("dirty") else ""
    )


def where_from(result: Result) -> str:
    """Seeds, thresholds, training data, weights, recipe, commit, hardware."""
    trained = result["trained_on"]
    weights = " The published weights are the first seed's." if len(result["seeds"]) > 1 else ""
    return (
        f"{how_certain(result)}.{weights} Thresholds: {result['threshold_source']}. Trained for {trained['steps']} "
        f"steps on {trained['train_rows']} rows of corpus revision `{trained['dataset_revision']}`; weights "
        f"`{result['model_revision']}`; recipe `{result['recipe_hash']}`; measured at "
        f"{commit_of(result)} on {result['hardware']}."
    )
