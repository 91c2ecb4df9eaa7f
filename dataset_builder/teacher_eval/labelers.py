"""Evaluates both labelers of a teacher on texts with human labels: GoEmotions' dev split, never its test split.

The likelihood labeler has two parameters: its temperature, and the lowest score at which a label is kept. They are in
the recipe, were set to give a text about as many labels as in the paper, and are not fitted here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.domains.goemotions import file_comments
from dataset_builder.files.texts import path_words
from dataset_builder.hashing import stable_hash
from dataset_builder.inputs import InputError
from dataset_builder.pipeline.label_texts import Labelled, label
from dataset_builder.recipe import BuildRecipe
from dataset_builder.statistics import RESAMPLES, bootstrap, interval_fields, macro_f1
from dataset_builder.taxonomy import LABELS
from dataset_builder.teachers import load_teacher

LABELERS = ("likelihood", "verbalised")


@dataclass(frozen=True)
class Gold:
    """Texts with the labels that people gave them, (texts, 28) booleans."""

    texts: list[str]
    labels: np.ndarray


def read_dev(path: Path, rows: int) -> Gold:
    """Return rows of GoEmotions' official dev.tsv, drawn by hash.

    Raises:
        InputError: no such file, a malformed line, or the test split.
    """
    if "test" in path_words(Path(path.name)):
        raise InputError(f"{path}: this is the test split, which must not be used to choose anything. Pass dev.tsv.")
    found = list(file_comments(path))
    if rows < 1 or not found:
        raise InputError(f"{path}: {rows} rows requested, {len(found)} found. Request 1 or more.")
    drawn = sorted(found, key=lambda comment: stable_hash("labelers", comment.id))[:rows]
    gold = np.zeros((len(drawn), len(LABELS)), dtype=bool)
    for row, comment in zip(gold, drawn, strict=True):
        row[comment.labels] = True
    return Gold([comment.text for comment in drawn], gold)


def hits_by_rank(gold: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Whether the label with the highest score, the second highest, … is a gold label and has a score: (texts, 28)."""
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.asarray(np.take_along_axis(gold, order, axis=1) & (np.take_along_axis(scores, order, axis=1) > 0))


def quality(gold: Gold, found: Labelled) -> dict[str, dict[str, float]]:
    """Return macro-F1, the shares of texts whose best label (one of the best three) is a gold label, and the cost."""
    hits = hits_by_rank(gold.labels, found.scores)
    usage = found.usage
    values = {
        "macro_f1_dev": macro_f1(gold.labels, found.chosen),
        "top1_dev": hits[:, 0].mean(),
        "top3_dev": hits[:, :3].any(axis=1).mean(),
        "labels_per_text": found.chosen.sum(axis=1).mean(),
        "failed_share": found.failed / len(gold.texts),
        "calls_per_text": usage.calls / len(gold.texts),
        "tokens_per_text": (usage.prompt_tokens + usage.completion_tokens) / len(gold.texts),
        "tokens_not_cached_per_text": (usage.prompt_tokens - usage.cached_tokens + usage.completion_tokens)
        / len(gold.texts),
    }
    metrics = as_metrics(values)
    metrics["macro_f1_dev"] |= interval_fields(*bootstrap(macro_f1, gold.labels, found.chosen))
    return metrics


def compare(gold: Gold, found: dict[str, Labelled]) -> dict[str, dict[str, float]]:
    """Return both labelers of one teacher, and how they differ."""
    metrics = {
        f"{labeler}_{name}": value for labeler in LABELERS for name, value in quality(gold, found[labeler]).items()
    }

    def ratio(name: str) -> float:
        ours, theirs = (metrics[f"{labeler}_{name}"]["value"] for labeler in LABELERS)
        return ours / max(theirs, 1e-9)

    a, b = (found[labeler] for labeler in LABELERS)
    either, both = (a.chosen | b.chosen).sum(axis=1), (a.chosen & b.chosen).sum(axis=1)
    answered = (a.scores.max(axis=1) > 0) & (b.scores.max(axis=1) > 0)
    same = a.scores.argmax(axis=1) == b.scores.argmax(axis=1)
    return metrics | as_metrics(
        {
            "likelihood_over_verbalised": ratio("macro_f1_dev"),
            "token_share": ratio("tokens_per_text"),
            "token_share_not_cached": ratio("tokens_not_cached_per_text"),
            "agreement_top1": same[answered].mean() if answered.any() else 0.0,
            "agreement_labels_jaccard": (both[either > 0] / either[either > 0]).mean() if either.any() else 0.0,
        }
    )


def measure(recipes: Sequence[BuildRecipe], data: Path, rows: Sequence[int]) -> dict[str, Any]:
    """The content of a result file. Metrics of the first recipe have no prefix, those of others begin with its name.

    `rows` has one number for all recipes or one for each; a smaller sample is part of a larger one.
    """
    metrics: dict[str, dict[str, float]] = {}
    support = dict(zip((recipe.name for recipe in recipes), [*rows] * (len(recipes) // len(rows)), strict=True))
    for number, recipe in enumerate(recipes):
        gold, found = read_dev(data, support[recipe.name]), {}
        for labeler in LABELERS:
            rule = recipe.labels.model_copy(update={"labeler": labeler})
            found[labeler] = label(gold.texts, recipe.model_copy(update={"labels": rule}))
        prefix = f"{recipe.name}_" if number else ""
        metrics |= {f"{prefix}{name}": value for name, value in compare(gold, found).items()}
    return {
        "name": "labelers",
        "benchmark": "GoEmotions dev, rows drawn by hash; both prompts have the same three worked examples",
        "metrics": metrics,
        "support": support[recipes[0].name],
        "rows": support,
        "intervals": f"95% bootstrap intervals, {RESAMPLES:,} resamples of the texts",
        "teachers": {recipe.name: load_teacher(recipe.teacher).name for recipe in recipes},
        "rule": {recipe.name: recipe.labels.model_dump(mode="json", exclude={"labeler"}) for recipe in recipes},
    }


def as_metrics(values: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Return numbers as result files have them, rounded to 4 digits."""
    return {name: {"value": round(float(value), 4)} for name, value in values.items()}
