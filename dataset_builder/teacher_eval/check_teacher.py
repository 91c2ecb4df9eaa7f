"""Checks whether a teacher is good enough, before a build costs GPU hours: it labels the gold set and runs some tales.

The minimum values are ours. A teacher that reaches all of them is likely to build a corpus worth training on, as far as
such a small check can show. A teacher that reaches half of every minimum only shows that the pipeline works.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.gold_set import read_gold_set
from dataset_builder.parquet import read_manifest
from dataset_builder.pipeline.build import build
from dataset_builder.pipeline.label_texts import label
from dataset_builder.pipeline.stages import STAGES
from dataset_builder.recipe import BuildRecipe, Executor, Narratives
from dataset_builder.taxonomy import LABELS
from dataset_builder.teacher_eval.labelers import hits_by_rank
from dataset_builder.teachers import teacher_name

# Minimum shares of gold utterances whose best label (one of the best three) is right, and of kept items.
TOP1, TOP3, PASSED = 0.6, 0.85, 0.8
VERDICTS = {
    "fit": "fit: every threshold is met. Build a pilot, look at its report, then start the full build.",
    "weak": "weak: the pipeline runs with this teacher, but do not train on its output.",
    "unfit": "unfit: at least one value is below half of its threshold. Try another teacher, labeler, mode or prompt.",
}


@dataclass(frozen=True)
class Check:
    """A measured value and the bar that it should meet."""

    name: str
    value: float
    bar: float
    detail: str = ""


def check_teacher(recipe: BuildRecipe, stories: int, work_dir: Path) -> tuple[str, list[Check]]:
    """Return the verdict (a key of VERDICTS) and all checks; the tales' rows are written to `work_dir`."""
    checks = [*_labeler(recipe), *_writer(recipe, stories, work_dir)]
    if all(check.value >= check.bar for check in checks):
        return "fit", checks
    return ("weak" if all(check.value >= check.bar / 2 for check in checks) else "unfit"), checks


def page(recipe: BuildRecipe, verdict: str, checks: list[Check]) -> str:
    """Return the checks and the verdict as a table for the terminal."""
    lines = [f"teacher: {teacher_name(recipe.teacher)}", f"{'':<24}{'found':>7}{'bar':>7}"]
    lines += [f"{check.name:<24}{check.value:>7.2f}{check.bar:>7.2f}  {check.detail}".rstrip() for check in checks]
    return "\n".join([*lines, VERDICTS[verdict]])


def _labeler(recipe: BuildRecipe) -> list[Check]:
    """Label the gold set: check whether texts were answered, and whether the best label or one of three is right."""
    rows = read_gold_set("scored")
    found = label([row.text for row in rows], recipe, any_answer=True)
    gold = np.array([[name in {label.label for label in row.labels} for name in LABELS] for row in rows])
    hits = hits_by_rank(gold, found.scores)
    three = np.asarray(hits[:, :3].any(axis=1))
    missed = Counter(row.labels[0].label for row, hit in zip(rows, three, strict=True) if not hit)
    worst = ", ".join(f"{count} of {name}" for name, count in missed.most_common(4))
    labeler = recipe.labels.labeler
    return [
        Check(
            f"{labeler}: answered",
            1 - found.failed / len(rows),
            PASSED,
            f"{found.chosen.sum() / len(rows):.2f} labels per text (the paper: 3.17)",
        ),
        Check(f"{labeler}: best is right", float(hits[:, 0].mean()), TOP1, f"{len(rows)} gold utterances, chance .04"),
        Check(f"{labeler}: one of three", float(three.mean()), TOP3, f"missed: {worst}" if worst else ""),
    ]


def _writer(recipe: BuildRecipe, stories: int, work_dir: Path) -> list[Check]:
    """Run tales through every stage: return the share of requested items kept, and how often calls were repeated."""
    places = {"narratives": Narratives(limit=stories), "executor": Executor()}
    recipe = recipe.model_copy(update=places)
    build(recipe, work_dir, publish=False)
    checks = []
    for stage in STAGES:
        made = read_manifest(work_dir / stage.name)
        asked, kept = _asked_and_kept(stage.name, made, recipe)
        if not asked:
            continue  # the recipe leaves this stage out, or the stage before gave no rows, which its own check shows
        again = sum(made["retried"].values())
        questions = made["calls"] - again
        reasons = Counter(made["rejected"]) + Counter(made["retried"])
        most = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(3))
        detail = f"of {asked}; {again / max(questions, 1):.2f} repeated calls per question"
        checks.append(Check(f"{stage.name}: kept", kept / asked, PASSED, detail + (f"; {most}" if most else "")))
    return checks


def _asked_and_kept(stage: str, made: dict[str, Any], recipe: BuildRecipe) -> tuple[int, int]:
    """Return the number of items requested from a stage, and the number kept. More than requested is not a fault."""
    if stage == "characters":
        invented = made["rejected"].get("not_in_story", 0)
        whole = sum(count for reason, count in made["rejected"].items() if reason not in ("not_in_story", "over_limit"))
        return made["rows"] + invented + whole, made["rows"]
    if stage == "utterances":
        return made["units"] * (recipe.utterances.emotional + recipe.utterances.neutral), made["rows"]
    if stage == "rewriting":  # a rejected rewriting leaves the row in the corpus
        return made["units"], made["units"] - sum(made["rejected"].values())
    return made["units"], made["rows"]
