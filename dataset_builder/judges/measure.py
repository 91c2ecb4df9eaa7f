"""Fits an ensemble on held-out rows and measures it and each of its judges, on these and on human labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dataset_builder.filters.ensemble import Ensemble, Fit
from dataset_builder.filters.judgements import key_of, read_judgements, seconds_per_text
from dataset_builder.inputs import InputError
from dataset_builder.judges.fit import LEAST_ROWS, fit_all, out_of_fold
from dataset_builder.judges.gold import GOEMOTIONS, Gold
from dataset_builder.judges.judge import judge_texts
from dataset_builder.judges.recipe import EnsembleRecipe, JudgeRecipe
from dataset_builder.label_maps import class_scores
from dataset_builder.statistics import macro_f1
from dataset_builder.taxonomy import LABELS, NEUTRAL


class Measured(NamedTuple):
    """An ensemble, and the content of the result file about it."""

    ensemble: Ensemble
    content: dict[str, Any]


def measure(
    recipe: EnsembleRecipe,
    judges: Sequence[JudgeRecipe],
    fitted_on: Sequence[Gold],
    measured_on: Sequence[Gold],
    work_dir: Path,
) -> Measured:
    """Have the judges read all gold rows, fit the ensemble, and measure.

    Args:
        judges: those of the recipe, in its order.
        fitted_on: held-out and marked rows; measured too, by fits that have not seen them.
        measured_on: rows with which nothing is chosen.
        work_dir: the folder of the judges' scores; a second run reads them there.

    Raises:
        InputError: a judge cannot work, or too few rows were read by a judge to fit on.
    """
    for judge, member in zip(judges, recipe.judges, strict=True):
        wanted = (text for gold in (*fitted_on, *measured_on) for text in gold.first(member.rows).texts)
        judge_texts(wanted, judge, work_dir)
    names = [judge.name for judge in judges]
    found = {name: read_judgements(work_dir, name) for name in names}
    ensemble = _fit(recipe, names, found, fitted_on)
    metrics: dict[str, dict[str, float]] = {}
    support: dict[str, int] = {}
    for gold in (*fitted_on, *measured_on):
        judged = judged_scores(gold, names, found)
        chosen_by = [[name] for name in names] + [names] * (len(names) > 1)
        for chosen in chosen_by:
            name = chosen[0] if len(chosen) == 1 else recipe.name
            part, rows = _measure_one(chosen, names, judged, gold, ensemble, fitted=gold in fitted_on)
            metrics |= {f"{name}_{gold.name}_{metric}": {"value": round(value, 4)} for metric, value in part.items()}
            support[f"{name}_{gold.name}"] = rows
    for name in names:
        metrics[f"{name}_seconds_per_text"] = {"value": round(seconds_per_text(work_dir, name), 5)}
    content = {
        "name": "judges",
        "benchmark": "weights and thresholds from held-out rows; these rows by fits that have not seen them",
        "metrics": metrics,
        "support": support,
        "judges": {judge.name: judge.model_dump(mode="json") for judge in judges},
        "weights": {kind: _weights(getattr(ensemble, kind)) for kind in ("contextless", "contextual")},
    }
    return Measured(ensemble, content)


def judged_scores(gold: Gold, judges: Sequence[str], found: Mapping[str, Mapping[str, np.ndarray]]) -> np.ndarray:
    """Return the judges' scores of gold texts, (texts, judges, 28); NaN where a judge gave none."""
    nothing = np.full(len(LABELS), np.nan)
    keys = [key_of(*text) for text in gold.texts]
    return np.array([[found[judge].get(key, nothing) for judge in judges] for key in keys])


def _fit(
    recipe: EnsembleRecipe,
    names: list[str],
    found: Mapping[str, Mapping[str, np.ndarray]],
    fitted_on: Sequence[Gold],
) -> Ensemble:
    fits: dict[bool, tuple[Fit, ...]] = {False: (), True: ()}
    for contextual in fits:
        parts = [gold for gold in fitted_on if bool(gold.texts[0].situation) == contextual]
        if parts:
            judged = np.concatenate([judged_scores(gold, names, found) for gold in parts])
            fits[contextual] = fit_all(names, judged, np.concatenate([gold.labels for gold in parts]))
            alone = {fit.judges for fit in fits[contextual]}
            if missing := [name for name in names if (name,) not in alone]:
                raise InputError(
                    f"judge '{missing[0]}': has scores for fewer than {LEAST_ROWS} rows to fit on. Raise its 'rows'."
                )
    return Ensemble(
        name=recipe.name,
        judges=tuple(names),
        least_agreement=recipe.least_agreement,
        contextless=fits[False],
        contextual=fits[True],
    )


def _measure_one(
    chosen: list[str], names: list[str], judged: np.ndarray, gold: Gold, ensemble: Ensemble, *, fitted: bool
) -> tuple[dict[str, float], int]:
    """Return the measures of some judges together on the texts that all of them have read, and how many these are."""
    columns = [names.index(name) for name in chosen]
    read = np.isfinite(judged[:, columns]).all(axis=(1, 2))
    judged, truth = judged[read][:, columns], gold.labels[read]
    if not len(truth):
        return {}, 0
    groups = gold.groups[read] if gold.groups is not None else np.arange(len(truth))
    if fitted:
        scores, labels = out_of_fold(chosen, judged, truth, groups)
    else:
        made = ensemble.fit_for(chosen, contextual=bool(gold.texts[0].situation))
        scores = made.scores(judged)
        labels = scores >= made.threshold
    values = {"neutral_first": float((scores.argmax(axis=1) == NEUTRAL).mean())}
    if gold.label_map != GOEMOTIONS:  # a data set's own classes: one for each text
        scores = class_scores(gold.label_map, scores)
        labels = np.eye(scores.shape[1])[scores.argmax(axis=1)] > 0
    first = scores.argmax(axis=1)
    right = first == truth.argmax(axis=1)
    values |= {
        "macro_f1": macro_f1(truth > 0, labels),
        "first_right": float(right.mean()),
        "first_among_labels": float((truth[np.arange(len(truth)), first] > 0).mean()),
    }
    if len(np.unique(groups)) < len(groups):  # contrast sets
        values["sets_right"] = float(np.mean([right[groups == group].all() for group in np.unique(groups)]))
    return values, len(truth)


def _weights(fits: Sequence[Fit]) -> dict[str, Any]:
    """Return the weights of all judges together, and the threshold."""
    if not fits:
        return {}
    largest = max(fits, key=lambda fit: len(fit.judges))
    return {"judges": dict(zip(largest.judges, largest.weights, strict=True)), "threshold": largest.threshold}
