"""What annotators' answers say about the teacher and about each other (paper A, human evaluation).

Intervals are those of `dataset_builder.statistics`: tasks are drawn again, not answers, as the answers to one task hang
together. Of shares they hold the true value as often as they say (tested); of the mean of the labels' kappas, which is
not linear in the tasks, in .91 and .92 of 300 simulations of 200 and 500 tasks, of alpha in .93 and .94.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np

from dataset_builder.human_eval.agreement import Array, alpha_counts, alpha_of, kappa_counts, kappa_of
from dataset_builder.human_eval.answers import Answers
from dataset_builder.human_eval.sample import NONE, Key
from dataset_builder.statistics import MIN_GOLD_ROWS, RESAMPLES, SEED, interval_fields, intervals, ratio_of_sums
from dataset_builder.taxonomy import LABEL_TO_INDEX, LABELS, NEUTRAL

COLUMNS: Final[dict[str, int]] = {**LABEL_TO_INDEX, NONE: len(LABELS)}
DEFINITIONS: Final[dict[str, str]] = {
    "kappa": "Cohen's kappa of yes-or-no decisions, mean over the labels, then over the pairs of annotators",
    "kappa_decisions": "Cohen's kappa over all decisions (each option of each task) together, mean over the pairs",
    "alpha": "Krippendorff's alpha, nominal, over all decisions (each option of each task)",
    "accuracy_all_agree": "where all share a pick: the teacher's strongest label is among the shared picks",
    "accuracy_two_agree": "where at least two share a pick: the teacher's strongest label is picked by at least two",
    "accuracy_two_agree_corpus": "the same, each task weighted by the rows of the corpus that it stands for",
    "neutral_recall": "where at least two pick neutral: it is the teacher's strongest label",
    "neutral_precision": "where neutral is the teacher's strongest label: at least two pick it",
    "strongest_picked": "answers that pick the teacher's strongest label",
    "kept_picked": "offered labels that the corpus keeps, as decisions: picked",
    "none_share": "answers that pick none of these",
    "distractor_share": "answers that pick the distractor",
    "revealed_share": "answers to tasks with a situation that opened it",
    "revealed_before_share": "… before the first pick",
    "picks_per_answer": "labels picked in an answer",
    "rewritten_weaker": "answers to pairs that say that the rewritten text shows the emotion less",
}
TWO_NEEDED: Final = (
    "kappa", "kappa_decisions", "alpha", "accuracy_all_agree", "accuracy_two_agree",
    "accuracy_two_agree_corpus", "neutral_recall", "neutral_precision",
)  # fmt: skip
Ratio = tuple[Array, Array]
Estimate = dict[str, float]


class Panel:
    """All answers as arrays: `picks` (annotators, tasks, 28 labels and none), NaN where not offered or not answered."""

    def __init__(self, key: Key, answers: Sequence[Answers]) -> None:
        self.key, self.answers = key, answers
        self.picks = np.full((len(answers), len(key.tasks), len(COLUMNS)), np.nan)
        self.revealed = np.full((len(answers), len(key.tasks)), np.nan)
        self.before = self.revealed.copy()
        for row, one in enumerate(answers):
            for column, task in enumerate(key.tasks):
                if answer := one.tasks.get(task.id):
                    self.picks[row, column, [COLUMNS[option] for option in (*task.options, NONE)]] = 0
                    self.picks[row, column, [COLUMNS[pick] for pick in answer.picks]] = 1
                    if task.context and answer.revealed:
                        self.revealed[row, column] = answer.revealed != "no"
                        self.before[row, column] = answer.revealed == "before"
        self.votes = np.nansum(self.picks, axis=0)
        self.raters = (~np.isnan(self.picks[:, :, COLUMNS[NONE]])).sum(axis=0).astype(float)
        self.strongest = np.array([COLUMNS[task.strongest] for task in key.tasks])
        self.distractor = np.array([COLUMNS[task.distractor] for task in key.tasks])

    def of(self, columns: np.ndarray) -> Array:
        """Votes for one column of each task, (tasks,)."""
        return np.asarray(self.votes[np.arange(len(columns)), columns])

    def ratio(self, ratio: Ratio, only: np.ndarray | None = None) -> Estimate | None:
        """Sum over sum of two (tasks,) arrays, with its interval and the denominator as support; None without any."""
        above, below = (np.where(only, part, 0.0) if only is not None else part for part in ratio)
        return share_of(above, below)


def share_of(above: Array, below: Array) -> Estimate | None:
    """The sum of one array over that of another, with its interval and the latter as support; None where that is 0.

    No interval where it comes from fewer than five tasks: drawing three tasks again says nothing about others.
    """
    if not below.sum():
        return None
    support = {"support": round(float(below.sum()), 3)}
    if (below > 0).sum() < MIN_GOLD_ROWS:
        return {"value": _rounded(above.sum() / below.sum())} | support
    most = 1.0 if (above <= below).all() else np.inf
    return _estimate(np.stack([above, below], axis=1), ratio_of_sums, 0.0, most) | support


def score(key: Key, answers: Sequence[Answers], name: str) -> dict[str, Any]:
    """A result file's content: agreement, the teacher's accuracy, neutral, none, distractors, situations, labels."""
    panel = Panel(key, answers)
    ratios = ratios_of(panel)
    metrics = {metric: found for metric, ratio in ratios.items() if (found := panel.ratio(ratio))}
    metrics |= _agreement(panel) | _pairs(key, answers)
    ordered = {metric: metrics.pop(metric) for metric in DEFINITIONS if metric in metrics}
    return {
        "name": name,
        "metrics": ordered | metrics,
        "support": int((panel.raters > 0).sum()),
        "tasks": len(key.tasks),
        "pairs": len(key.pairs),
        "not_defined": {
            metric: "needs two annotators" if metric in TWO_NEEDED and len(answers) < 2 else "no such answers"
            for metric in DEFINITIONS
            if metric not in ordered
        },
        "definitions": {metric: DEFINITIONS[metric] for metric in ordered},
        "annotators": [_annotator(key, one) for one in answers],
        "per_label": _per_label(panel, ratios),
        "by_order": _groups(panel, ratios, [task.order for task in key.tasks]),
        "by_variant": _groups(panel, ratios, [task.variant for task in key.tasks]),
        "corpus": key.corpus,
        "data_revision": key.data_revision,
        "config": key.config,
        "split": key.split,
        "teacher": ", ".join(key.teachers),
        "sample": key.sample,
        "seeds": [key.seed, SEED],
        "intervals": f"95 % bootstrap intervals, {RESAMPLES:,} resamples of the tasks",
    }


def ratios_of(panel: Panel) -> dict[str, Ratio]:
    """Every measure that is a share: numerator and denominator of each task, (tasks,)."""
    votes, raters, many = panel.votes, panel.raters, sum(bool(one.tasks) for one in panel.answers)
    strongest = panel.of(panel.strongest)
    neutral, says_neutral = votes[:, NEUTRAL], panel.strongest == NEUTRAL
    two = (votes >= 2).any(axis=1)
    everyone = (raters == many) & (many >= 2) & (votes == many).any(axis=1)
    kept = np.zeros(votes.shape, dtype=bool)
    for row, task in enumerate(panel.key.tasks):
        kept[row, [COLUMNS[label] for label in set(task.kept) & set(task.options)]] = True
    weights = np.array([task.weight for task in panel.key.tasks])
    found: dict[str, tuple[Any, Any]] = {
        "accuracy_all_agree": (everyone & (strongest == many), everyone),
        "accuracy_two_agree": (strongest >= 2, two),
        "accuracy_two_agree_corpus": (weights * (strongest >= 2), weights * two),
        "neutral_recall": ((neutral >= 2) & says_neutral, neutral >= 2),
        "neutral_precision": ((neutral >= 2) & says_neutral, says_neutral & (raters >= 2)),
        "strongest_picked": (strongest, raters),
        "kept_picked": ((votes * kept).sum(axis=1), kept.sum(axis=1) * raters),
        "none_share": (votes[:, COLUMNS[NONE]], raters),
        "distractor_share": (panel.of(panel.distractor), raters),
        "revealed_share": (np.nansum(panel.revealed, axis=0), (~np.isnan(panel.revealed)).sum(axis=0)),
        "revealed_before_share": (np.nansum(panel.before, axis=0), (~np.isnan(panel.before)).sum(axis=0)),
        "picks_per_answer": (votes[:, : len(LABELS)].sum(axis=1), raters),
    }
    return {name: (np.asarray(above, float), np.asarray(below, float)) for name, (above, below) in found.items()}


def _agreement(panel: Panel) -> dict[str, Estimate]:
    """Kappas and alphas; empty for one annotator, or where no two answered the same task."""
    found: dict[str, Estimate] = {}
    per_label, pooled = [], []
    for one, two in combinations(range(len(panel.answers)), 2):
        counts = kappa_counts(panel.picks[one], panel.picks[two])
        per_label.append(counts)
        pooled.append(counts.reshape(len(counts), 4, -1).sum(axis=2))
        names = f"{panel.answers[one].annotator}_{panel.answers[two].annotator}"
        found[f"kappa_{names}"] = _estimate(per_label[-1], _mean_kappa, -1.0)
        found[f"kappa_decisions_{names}"] = _estimate(pooled[-1], _mean_kappa, -1.0)
    for metric, parts in (("kappa", per_label), ("kappa_decisions", pooled)):
        if parts:
            found[metric] = _estimate(np.concatenate(parts, axis=1), _over(len(parts)), -1.0)
    if (panel.raters >= 2).any():
        found["alpha"] = _estimate(alpha_counts(panel.picks[:, panel.raters >= 2]), alpha_of, -1.0)
    return {metric: estimate for metric, estimate in found.items() if np.isfinite(estimate["value"])}


def _mean_kappa(sums: Array) -> Array:
    """Mean of the labels' kappas of one pair of annotators, or the one of all their decisions, (…)."""
    return _mean(kappa_of(sums)[..., : len(LABELS)])


def _over(pairs: int) -> Callable[[Array], Array]:
    """The mean over pairs of annotators, whose sums are side by side."""
    return lambda sums: _mean(np.stack([_mean_kappa(part) for part in np.split(sums, pairs, axis=-1)], axis=-1))


def _pairs(key: Key, answers: Sequence[Answers]) -> dict[str, Estimate]:
    """How often the rewritten text is said to show the emotion less, for each annotator and over all (paper A)."""
    if not key.pairs:
        return {}
    given = np.array([[pair.id in one.pairs for pair in key.pairs] for one in answers], dtype=float)
    weaker = np.array([[one.pairs.get(pair.id) == pair.rewritten for pair in key.pairs] for one in answers], float)
    found = {"rewritten_weaker": share_of(weaker.sum(axis=0), given.sum(axis=0))}
    for row, one in enumerate(answers):
        found[f"rewritten_weaker_{one.annotator}"] = share_of(weaker[row], given[row])
    return {name: estimate for name, estimate in found.items() if estimate}


def _annotator(key: Key, one: Answers) -> dict[str, Any]:
    seconds = [answer.seconds for answer in one.tasks.values() if answer.seconds is not None]
    strongest = {task.id: task.strongest for task in key.tasks}
    distractor = {task.id: task.distractor for task in key.tasks}
    size = max(len(one.tasks), 1)
    return {
        "annotator": one.annotator,
        "answers": len(one.tasks),
        "missing": len(key.tasks) - len(one.tasks),
        "pairs": len(one.pairs),
        "strongest_picked": _rounded(sum(strongest[t] in a.picks for t, a in one.tasks.items()) / size),
        "none_share": _rounded(sum(NONE in a.picks for a in one.tasks.values()) / size),
        "distractor_share": _rounded(sum(distractor[t] in a.picks for t, a in one.tasks.items()) / size),
        "median_seconds": _rounded(float(np.median(seconds))) if seconds else None,
    }


def _per_label(panel: Panel, ratios: Mapping[str, Ratio]) -> dict[str, dict[str, Any]]:
    """Of each label: tasks in which it is the strongest or is offered, what people say of it, and their kappa."""
    both = [kappa_counts(panel.picks[a], panel.picks[b]) for a, b in combinations(range(len(panel.answers)), 2)]
    kappas = [kappa_of(counts.sum(axis=0)) for counts in both]
    kappa = _mean(np.stack(kappas, axis=1)) if kappas else np.full(len(COLUMNS), np.nan)
    found: dict[str, dict[str, Any]] = {}
    for column, label in enumerate(LABELS):
        strongest = panel.strongest == column
        offered = np.array([label in task.options for task in panel.key.tasks])
        kept = np.array([label in task.kept and label in task.options for task in panel.key.tasks])
        decisions = (panel.votes[:, column], np.where(kept, panel.raters, 0.0))
        found[label] = {
            "strongest": int(strongest.sum()),
            "offered": int(offered.sum()),
            "kept": int(kept.sum()),
            "accuracy_two_agree": panel.ratio(ratios["accuracy_two_agree"], strongest),
            "strongest_picked": panel.ratio(ratios["strongest_picked"], strongest),
            "kept_picked": panel.ratio(decisions, kept),
            "kappa": _rounded(float(kappa[column])) if np.isfinite(kappa[column]) else None,
        }
    return found


def _groups(panel: Panel, ratios: Mapping[str, Ratio], groups: Sequence[str | None]) -> dict[str, dict[str, Any]]:
    """The shares for each kind of task, where there are several: ranked and shuffled, original and rewritten."""
    kinds = sorted({group for group in groups if group})
    if len(kinds) < 2:
        return {}
    return {
        kind: {name: found for name, ratio in ratios.items() if (found := panel.ratio(ratio, np.array(groups) == kind))}
        for kind in kinds
    }


def _mean(values: Array) -> Array:
    """Mean over the last axis of what is defined; NaN where nothing is."""
    defined = np.isfinite(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(defined, values, 0.0).sum(axis=-1) / defined.sum(axis=-1))


def _estimate(rows: Array, of: Callable[[Array], Array], least: float = 0.0, most: float = 1.0) -> Estimate:
    """What `of` makes of the sums of (tasks, sums), with its interval where it has one."""
    return {
        "value": _rounded(float(of(rows.sum(axis=0)))),
        **interval_fields(*intervals(rows, of, bounds=(least, most))),
    }


def _rounded(value: float) -> float:
    return round(float(value), 4)
