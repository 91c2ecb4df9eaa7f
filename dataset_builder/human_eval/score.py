"""Agreement between annotators, and accuracy of the teacher against them (paper A, human evaluation).

A pick is a set, for which Cohen's kappa is not defined. So each option of each task counts as one yes-or-no decision.
As in GoEmotions (Demszky et al. 2020), kappa is computed for each label and then averaged. If it were computed over all
decisions together, the many options that nobody picks would dominate the agreement.

Intervals are those of `dataset_builder.statistics`. Tasks are resampled, not answers: the answers to one task depend on
each other. In simulations, the intervals of shares have their nominal coverage; that of kappa covers .91 to .92.
"""

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any, Final

import numpy as np

from dataset_builder.human_eval.answers import Answer
from dataset_builder.human_eval.sample import NONE, Key
from dataset_builder.markdown import cell, code, table
from dataset_builder.statistics import MIN_GOLD_ROWS, RESAMPLES, SEED, Array, interval_fields, intervals, ratio_of_sums
from dataset_builder.taxonomy import LABEL_TO_INDEX, LABELS, NEUTRAL

COLUMNS: Final[dict[str, int]] = {**LABEL_TO_INDEX, NONE: len(LABELS)}
# Each metric with its definition and the value in paper A.
METRICS: Final[dict[str, tuple[str, str]]] = {
    "kappa": (
        "Cohen's kappa of yes-or-no decisions, mean over labels, then over pairs of annotators",
        ".365 (GoEmotions: .293)",
    ),
    "accuracy_all_agree": ("All share a pick: the teacher's strongest label is among the shared picks", ".86"),
    "accuracy_two_agree": ("At least two share a pick: at least two pick the teacher's strongest label", ".70"),
    "accuracy_two_agree_corpus": ("The same, each task weighted by the rows of the corpus that it stands for", ""),
    "neutral_recall": ("At least two pick neutral: it is the teacher's strongest label", ".9"),
    "strongest_picked": ("Answers that pick the teacher's strongest label", ""),
    "none_share": ("Answers that pick none of these", ""),
    "distractor_share": ("Answers that pick the distractor", ""),
    "revealed_share": ("Answers to tasks with a situation that opened it", ""),
    "rewritten_weaker": ("Answers to pairs in which the rewritten text shows the emotion less", ".67, .71, .92"),
}
Estimate = dict[str, float]
People = Mapping[str, Mapping[str, Answer]]


def decisions(key: Key, people: People) -> Array:
    """1 or 0 for each option, NaN if it was not offered or not answered: (annotators, tasks, 28 labels and none)."""
    picks = np.full((len(people), len(key.tasks), len(COLUMNS)), np.nan)
    for row, answers in enumerate(people.values()):
        for column, task in enumerate(key.tasks):
            if answer := answers.get(task.id):
                picks[row, column, [COLUMNS[option] for option in (*task.options, NONE)]] = 0
                picks[row, column, [COLUMNS[pick] for pick in answer.picks]] = 1
    return picks


def kappa_counts(picks: Array) -> Array:
    """Return the sums over tasks that kappa needs, from (annotators, tasks, labels): (tasks, pairs x 4 x labels).

    For each pair of annotators: decisions of both, the yes of each, and those on which they agree.
    """
    rows = []
    for first, second in combinations(picks, 2):
        shared = ~np.isnan(first) & ~np.isnan(second)
        one, two = (np.where(shared, side, 0.0) for side in (first, second))
        rows.append(np.stack([shared, one, two, shared & (one == two)], axis=1))
    return np.stack(rows, axis=1).reshape(picks.shape[1], -1).astype(float)


def kappas(sums: Array, labels: int = len(LABELS)) -> Array:
    """Cohen's kappa of each pair of annotators and label, (…, pairs, labels), from sums of `kappa_counts`.

    NaN if agreement by chance is complete: both always decide the same, or share no decision.
    """
    size, yes_one, yes_two, same = np.moveaxis(sums.reshape(*sums.shape[:-1], -1, 4, labels), -2, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        chance = (yes_one * yes_two + (size - yes_one) * (size - yes_two)) / size**2
        return np.asarray(np.where(np.isclose(chance, 1), np.nan, (same / size - chance) / (1 - chance)))


def mean_kappa(sums: Array) -> Array:
    """Return the mean over labels, then over pairs of annotators."""
    return _mean(_mean(kappas(sums)))


def shares(key: Key, people: People) -> dict[str, tuple[Array, Array]]:
    """Numerator and denominator of every share: two arrays, (tasks,) or (pairs,)."""
    picks = decisions(key, people)
    votes, answered = np.nansum(picks, axis=0), ~np.isnan(picks[:, :, COLUMNS[NONE]])
    raters, everybody = answered.sum(axis=0), answered.any(axis=1).sum()
    task = np.arange(len(key.tasks))
    strongest = np.array([COLUMNS[one.strongest] for one in key.tasks])
    picked = votes[task, strongest]  # how many annotators picked the teacher's strongest label
    distractor = votes[task, [COLUMNS[one.distractor] for one in key.tasks]]
    weight = np.array([one.weight for one in key.tasks])
    two = (votes >= 2).any(axis=1)
    all_agree = (everybody >= 2) & (raters == everybody) & (votes == everybody).any(axis=1)
    neutral = votes[:, NEUTRAL] >= 2
    situated = np.array([bool(one.context) for one in key.tasks])
    revealed = np.array(
        [sum(one.id in given and given[one.id].revealed for given in people.values()) for one in key.tasks]
    )
    answers = [[given[pair.id].picks[0] for given in people.values() if pair.id in given] for pair in key.pairs]
    weaker = [given.count(pair.rewritten) for pair, given in zip(key.pairs, answers, strict=True)]
    found = {
        "accuracy_all_agree": (all_agree & (picked == everybody), all_agree),
        "accuracy_two_agree": (picked >= 2, two),
        "accuracy_two_agree_corpus": (weight * (picked >= 2), weight * two),
        "neutral_recall": (neutral & (strongest == NEUTRAL), neutral),
        "strongest_picked": (picked, raters),
        "none_share": (votes[:, COLUMNS[NONE]], raters),
        "distractor_share": (distractor, raters),
        "revealed_share": (revealed * situated, raters * situated),
        "rewritten_weaker": (np.array(weaker), np.array([len(given) for given in answers])),
    }
    return {name: (above.astype(float), below.astype(float)) for name, (above, below) in found.items()}


def share(above: Array, below: Array) -> Estimate | None:
    """Return the ratio of the two sums with its interval, and the denominator as `support`; None if it is 0.

    There is no interval for fewer than five tasks: resampling so few tasks says little about other tasks.
    """
    if not below.sum():
        return None
    found = {"value": round(float(above.sum() / below.sum()), 4), "support": round(float(below.sum()), 3)}
    if (below > 0).sum() >= MIN_GOLD_ROWS:
        found |= _interval(np.stack([above, below], axis=1), ratio_of_sums, 0.0)
    return found


def score(key: Key, people: People, name: str) -> dict[str, Any]:
    """Return the content of a result file: agreement, accuracy, each annotator, each label."""
    found = shares(key, people)
    metrics = {metric: share(*parts) for metric, parts in found.items()}
    per_label = np.full(len(LABELS), np.nan)
    if len(people) > 1:
        rows = kappa_counts(decisions(key, people)[:, :, : len(LABELS)])
        value = float(mean_kappa(rows.sum(axis=0)))
        if np.isfinite(value):
            metrics["kappa"] = {"value": round(value, 4), **_interval(rows, mean_kappa, -1.0)}
        per_label = _mean(kappas(rows.sum(axis=0)).T)
    defined = {metric: estimate for metric in METRICS if (estimate := metrics.get(metric))}
    return {
        "name": name,
        "metrics": defined,
        "support": int((found["none_share"][1] > 0).sum()),
        "tasks": len(key.tasks),
        "pairs": len(key.pairs),
        "definitions": {metric: METRICS[metric][0] for metric in defined},
        "annotators": [_annotator(key, one, answers) for one, answers in people.items()],
        "per_label": {label: _label(key, found, label, kappa) for label, kappa in zip(LABELS, per_label, strict=True)},
        **key.model_dump(include={"corpus", "data_revision", "config", "split", "sample"}),
        "teacher": ", ".join(key.teachers),
        "seeds": [key.seed, SEED],
        "intervals": f"95% bootstrap intervals, {RESAMPLES:,} resamples of the tasks",
    }


def _annotator(key: Key, name: str, answers: Mapping[str, Answer]) -> dict[str, Any]:
    found = shares(key, {name: answers})
    answered = sum(task.id in answers for task in key.tasks)
    wanted = ("strongest_picked", "none_share", "distractor_share", "rewritten_weaker")
    return {
        "annotator": name,
        "answers": answered,
        "missing": len(key.tasks) - answered,
        **{metric: share(*found[metric]) for metric in wanted},
    }


def _label(key: Key, found: Mapping[str, tuple[Array, Array]], label: str, kappa: float) -> dict[str, Any]:
    """Return the tasks in which a label is the teacher's strongest, and the annotators' agreement on it."""
    tasks = np.array([task.strongest == label for task in key.tasks])
    return {
        "strongest": int(tasks.sum()),
        "offered": sum(label in task.options for task in key.tasks),
        **{
            metric: share(*(np.where(tasks, part, 0.0) for part in found[metric]))
            for metric in ("accuracy_two_agree", "strongest_picked")
        },
        "kappa": round(float(kappa), 4) if np.isfinite(kappa) else None,
    }


def section(content: Mapping[str, Any]) -> str:
    """A result as a section of the dataset's card: the questions, the metrics and those of the paper, the labels."""
    metrics, people = content["metrics"], content["annotators"]
    lines = [
        "## Human evaluation",
        f"{len(people)} annotators gave {sum(one['answers'] for one in people)} answers to {content['support']} of "
        f"{content['tasks']} rows of {code(content['config'])} ({cell(content['split'])}) of {cell(content['corpus'])} "
        f"(revision {cell(content['data_revision'])}; teacher {code(content['teacher'])}). The rows are drawn by the "
        "teacher's strongest label, rare labels as often as common ones; a tenth is neutral. There are seven options: "
        "the teacher's five strongest labels, an implausible label, none of these. Several picks are allowed. The "
        f"situation is hidden until it is opened. In brackets: {content['intervals']}, where there are five or more.",
        table(
            ("metric", "here", "paper A"),
            [(cell(definition), _shown(metrics.get(name)), paper) for name, (definition, paper) in METRICS.items()],
        ),
        "The paper does not say how it computed kappa of several picks, nor which options its annotators saw: the two "
        "columns are comparable in kind, not to the second digit.",
        _table("annotator", people, ("answers", "missing", "strongest_picked", "none_share", "distractor_share",
                                     "rewritten_weaker")),
        _table("label", [{"label": label} | found for label, found in content["per_label"].items()],
               ("strongest", "accuracy_two_agree", "strongest_picked", "kappa")),
    ]  # fmt: skip
    return "\n\n".join(lines) + "\n"


def _table(first: str, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> str:
    head = (first, *(name.replace("_", " ") for name in columns))
    return table(head, [(cell(row[first]), *(_shown(row[name]) for name in columns)) for row in rows])


def _shown(value: Any) -> str:
    if not isinstance(value, dict):
        return "" if value is None else str(value)
    interval = f" [{value['low']:.2f}, {value['high']:.2f}]" if "low" in value else ""
    return f"{value['value']:.2f}{interval}"


def _mean(values: Array) -> Array:
    """Return the mean of the defined values over the last axis; NaN if none is."""
    defined = np.isfinite(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(defined, values, 0.0).sum(axis=-1) / defined.sum(axis=-1))


def _interval(rows: Array, of: Callable[[Array], Array], least: float) -> Estimate:
    return interval_fields(*intervals(rows, of, bounds=(least, 1.0)))
