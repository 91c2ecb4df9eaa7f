"""Is this teacher good enough? Asked before anybody spends GPU-hours: a golden set labelled, some tales written.

The bars are ours. A teacher that meets all of them writes a corpus worth training on, as far as so small a check can
tell; one that meets each at least half way runs through the pipeline and shows that it works, no more.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.build import claimed
from dataset_builder.engine import read_manifest, run_stages
from dataset_builder.golden import read_golden
from dataset_builder.quality.measure_labelers import label
from dataset_builder.recipe import BuildRecipe, Executor, Narratives
from dataset_builder.stages import STAGES
from dataset_builder.taxonomy import LABEL_TO_INDEX
from dataset_builder.teachers import teacher_name

TOP1, TOP3, PASSED = 0.6, 0.85, 0.8
VERDICTS = {
    "fit": "fit: every bar is met. Build a pilot, look at its report, then spend the hours.",
    "weak": "weak: it runs through the pipeline; what it writes shows that the plumbing works and is not to train on.",
    "unfit": "unfit: at least one stage is not even half way. Try another teacher, labeler, mode or prompt.",
}


@dataclass(frozen=True)
class Check:
    """One figure of a teacher, and the bar it should meet."""

    name: str
    value: float
    bar: float
    detail: str = ""


def check_teacher(recipe: BuildRecipe, stories: int, work_dir: Path) -> tuple[str, list[Check]]:
    """The verdict (a key of VERDICTS) and all figures; the tales are written to `work_dir`."""
    checks = [*_labeler(recipe), *_writer(recipe, stories, work_dir)]
    if all(check.value >= check.bar for check in checks):
        return "fit", checks
    return ("weak" if all(check.value >= check.bar / 2 for check in checks) else "unfit"), checks


def page(recipe: BuildRecipe, verdict: str, checks: list[Check]) -> str:
    """The figures and the verdict, for people."""
    lines = [f"teacher: {teacher_name(recipe.teacher)}", f"{'':<24}{'found':>7}{'bar':>7}"]
    lines += [f"{check.name:<24}{check.value:>7.2f}{check.bar:>7.2f}  {check.detail}".rstrip() for check in checks]
    return "\n".join([*lines, VERDICTS[verdict]])


def _labeler(recipe: BuildRecipe) -> list[Check]:
    """The golden utterances labelled: is the main label the best, are the best three right, are all labels found?"""
    rows = read_golden("scored")
    found = label([row.text for row in rows], recipe, any_answer=True)
    order = np.argsort(-found.scores, axis=1, kind="stable")
    gold = [{LABEL_TO_INDEX[label.label] for label in row.labels} for row in rows]
    answered = found.scores.max(axis=1) > 0
    best = [bool(ok) and first in right for ok, first, right in zip(answered, order[:, 0], gold, strict=True)]
    # A label without a score is none of the three: where fewer than three have one, the order is that of the alphabet.
    three = [
        any(label in right and scores[label] > 0 for label in top)
        for scores, top, right in zip(found.scores, order[:, :3], gold, strict=True)
    ]
    missed = Counter(row.labels[0].label for row, hit in zip(rows, three, strict=True) if not hit)
    worst = ", ".join(f"{count} of {name}" for name, count in missed.most_common(4))
    labeler = recipe.labels.labeler
    return [
        Check(
            f"{labeler}: answered",
            1 - found.failed / len(rows),
            PASSED,
            f"{found.chosen.sum() / len(rows):.2f} labels a text (the paper: 3.17)",
        ),
        Check(f"{labeler}: best is right", float(np.mean(best)), TOP1, f"{len(rows)} golden utterances, chance .04"),
        Check(f"{labeler}: one of three", float(np.mean(three)), TOP3, f"missed: {worst}" if worst else ""),
    ]


def _writer(recipe: BuildRecipe, stories: int, work_dir: Path) -> list[Check]:
    """Tales through every stage: which share of what was asked for was kept, of how many questions the first reply."""
    places = {"narratives": Narratives(limit=stories), "executor": Executor()}
    tales = recipe.model_copy(update=places)
    with claimed(tales, work_dir):
        run_stages(tales, work_dir)
    checks = []
    for stage in STAGES:
        made = read_manifest(work_dir / stage.name)
        asked, kept = _asked_and_kept(stage.name, made, recipe)
        if not asked:
            continue  # the recipe leaves this stage out, or the one before gave nothing, which its own figure says
        again = sum(made["retried"].values())
        questions = made["calls"] - again
        reasons = Counter(made["rejected"]) + Counter(made["retried"])
        most = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(3))
        detail = f"of {asked}; {again / max(questions, 1):.2f} times asked again a question"
        checks.append(Check(f"{stage.name}: kept", kept / asked, PASSED, detail + (f"; {most}" if most else "")))
    return checks


def _asked_and_kept(stage: str, made: dict[str, Any], recipe: BuildRecipe) -> tuple[int, int]:
    """How many things a stage was asked for, and how many are there. More than was asked for is no fault."""
    if stage == "characters":
        invented = made["rejected"].get("not_in_story", 0)
        whole = sum(count for reason, count in made["rejected"].items() if reason not in ("not_in_story", "over_limit"))
        return made["rows"] + invented + whole, made["rows"]
    if stage == "utterances":
        return made["units"] * (recipe.utterances.emotional + recipe.utterances.neutral), made["rows"]
    if stage == "rewriting":  # the row stays without its rewriting
        return made["units"], made["units"] - sum(made["rejected"].values())
    return made["units"], made["rows"]
