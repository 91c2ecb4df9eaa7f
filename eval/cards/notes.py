"""Notes below the tables of cards: how the figures were computed, which have no interval, which are older."""

from collections.abc import Sequence

from dataset_builder.statistics import MIN_GOLD_ROWS
from eval.benchmarks import TEST_SETS
from eval.cards.results import ModelResult, Result


def older(results: Sequence[Result]) -> list[str]:
    """Return a footnote if some results lack metrics that are computed today."""
    lacking = dict.fromkeys(found.measured_before for found in results if found.measured_before)
    return [
        f"Rows without brackets were measured before this project computed {what}. They get intervals and calibration "
        "errors when they are measured again."
        for what in lacking
    ]


def how_measured(measured: Sequence[ModelResult]) -> list[str]:
    """Return notes on how a class is decided, what the calibration figures mean, how valence is computed."""
    kinds = {found.benchmark: TEST_SETS[found.benchmark].kind for found in measured}
    protocols = [f"{TEST_SETS[r.benchmark].title}: {r.protocol}" for r in measured if kinds[r.benchmark] == "single"]
    notes = []
    if protocols:
        notes.append(f"The predicted class is the one whose labels have the highest score. {'; '.join(protocols)}.")
    if any("classwise_ece" in found.metrics for found in measured):
        notes.append(
            "The class-wise calibration error is the gap between predicted probabilities and observed frequencies, "
            "averaged over the classes. The pooled error is small for any model that has learned how rare the labels "
            "are. A Brier skill of 1 is perfect; 0 is no better than always predicting the class frequencies."
        )
    if "affect" in kinds.values():
        notes.append(
            "Valence is computed from the labels: 3 + 2 (scores of positive labels - scores of negative ones)."
        )
    return notes


def about_labels(result: ModelResult) -> list[str]:
    """Return notes on labels without an interval, and on labels left out of macro-F1."""
    support = {label: row.support for label, row in result.per_label.items()}
    notes = []
    if rare := [f"{label} ({rows})" for label, rows in support.items() if rows < MIN_GOLD_ROWS]:
        notes.append(f"Labels with fewer than {MIN_GOLD_ROWS} rows have no interval: {', '.join(rare)}.")
    if absent := [label for label, rows in support.items() if not rows]:
        notes.append(f"Macro-F1 is the mean over the labels that occur, so it leaves out {', '.join(absent)}.")
    frequent = [label for label, rows in support.items() if rows >= MIN_GOLD_ROWS]
    if (left := [name for name in frequent if result.per_label[name].low is None]) and not result.measured_before:
        notes.append(
            "The following labels have no interval either, because all resamples give the same value or because their "
            f"rows come from fewer than {MIN_GOLD_ROWS} of the resampled groups: {', '.join(left)}."
        )
    return notes


def how_certain(result: ModelResult) -> str:
    """Return a description of the brackets, if there are any, and the seeds."""
    seeds = ", ".join(map(str, result.seeds))
    of_seeds = f"mean of {len(result.seeds)} seeds ({seeds})" if len(result.seeds) > 1 else f"seed {seeds or 'unknown'}"
    return f"Brackets show {result.intervals}; {of_seeds}" if result.intervals else of_seeds.capitalize()


def where_from(result: ModelResult, rows: str = "rows") -> str:
    """Return a sentence on training data, weights, recipe, commit and hardware."""
    trained = result.trained_on
    training = (
        f"Trained for {trained['steps']} steps on {trained.get('train_rows')} {rows} of corpus revision "
        f"`{trained.get('dataset_revision')}`; weights"
        if trained.get("steps")
        else "Weights"
    )
    return f"{training} `{result.model_revision}`; recipe `{result.recipe_hash}`; measured at {result.where}."
