"""Reports how well the descriptors of given texts match human labels: GoEmotions' dev split.

This is a report; do not tune on it. The zero-shot model is trained on these descriptors, and no human label may
influence it. The defaults of descriptors/recipe.py were fixed by label-free measures before this ran on any text.

A descriptor counts for the label that vocabulary/word_classes.tsv gives its word; words without a label are ignored.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.descriptors.calibration import advantages, agreement, descriptors
from dataset_builder.descriptors.describe import certain_words
from dataset_builder.descriptors.recipe import TextsRecipe
from dataset_builder.descriptors.words import WORDS, log_probabilities
from dataset_builder.filters.resolve import class_scores
from dataset_builder.filters.word_classes import class_by_hand
from dataset_builder.inputs import InputError
from dataset_builder.pipeline.ask import Ask
from dataset_builder.pipeline.label_texts import Labelled, ask_about_texts
from dataset_builder.schema import Descriptor, Usage
from dataset_builder.taxonomy import LABELS
from dataset_builder.teacher_eval.labelers import Gold, quality, read_dev
from dataset_builder.teachers import load_teacher

KEPT = ("macro_f1_dev", "top1_dev", "top3_dev", "labels_per_text", "failed_share")


def as_labels(described: Sequence[Sequence[Descriptor]]) -> Labelled:
    """Return the labels of each text's descriptors, all chosen; if two share a label, the stronger one counts."""
    found = [class_scores(((one.text, one.weight) for one in made), class_by_hand) for made in described]
    scores = np.array(found).reshape(-1, len(LABELS))
    return Labelled(scores, scores > 0, sum(not made for made in described), Usage())


def measure(recipes: Sequence[TextsRecipe], data: Path, rows: int) -> dict[str, Any]:
    """Return the content of a result file; the metrics of a recipe begin with its name.

    Raises:
        InputError: no dev split, a recipe whose descriptors have no weights, or the teacher failed.
    """
    for recipe in recipes:
        if recipe.describer != "likelihood":
            raise InputError(f"{recipe.name}: 'describer: {recipe.describer}' does not score words. Use 'likelihood'.")
    dev = read_dev(data, rows)
    failed: dict[str, int] = {}
    words: dict[str, int] = {}
    metrics: dict[str, dict[str, float]] = {}
    for recipe in recipes:
        kept = certain_words(recipe)
        found = asyncio.run(_ask(dev.texts, kept, recipe))
        answered = ~np.isnan(found).any(axis=(1, 2))
        gold = Gold([dev.texts[number] for number in np.flatnonzero(answered)], dev.labels[answered])
        failed[recipe.name], words[recipe.name] = int((~answered).sum()), len(kept)
        left = advantages(found[answered], gold.texts, recipe.weights)
        made = quality(gold, as_labels([descriptors(row, kept, recipe.weights) for row in left]))
        metrics |= {f"{recipe.name}_{metric}": made[metric] for metric in KEPT}
        if len(recipe.prompts) > 1:
            value = agreement(found[answered], gold.texts, recipe.weights)
            metrics[f"{recipe.name}_prompts_agree"] = {"value": round(value, 4)}
    return {
        "name": "descriptors",
        "benchmark": "GoEmotions dev, rows drawn by hash; only a report: no recipe, prompt or weight was chosen on it",
        "metrics": metrics,
        "support": len(dev.texts),
        "failed": failed,
        "words": words,
        "teachers": {recipe.name: load_teacher(recipe.teacher).name for recipe in recipes},
        "recipes": {recipe.name: recipe.model_dump(mode="json", exclude={"teacher", "executor"}) for recipe in recipes},
    }


async def _ask(texts: list[str], words: tuple[str, ...], recipe: TextsRecipe) -> np.ndarray:
    """Return the log-probabilities of the words after each text, (texts, prompts, words).

    Texts on which the teacher failed have NaN. Raises InputError if it failed on all of them.
    """
    found = np.full((len(texts), len(recipe.prompts), len(words)), np.nan)

    async def answer(number: int, ask: Ask) -> None:
        found[number] = await log_probabilities(texts[number], words, recipe.prompts, ask)

    longest_first = sorted(range(len(texts)), key=lambda number: -len(texts[number]))  # batches of similar lengths
    asked = await ask_about_texts(recipe, WORDS.name, recipe.name, longest_first, answer)
    if asked.last and asked.reasons.total() == len(texts):
        raise InputError(f"the teacher failed on every text: {asked.last.reason} {asked.last.text}")
    return found
