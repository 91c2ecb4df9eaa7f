"""Reports what the descriptors of given texts are worth, on texts that people labelled: GoEmotions' dev split.

A report and no means to choose: the zero-shot model learns from these descriptors, and no human label may touch it. The
defaults of texts/recipe.py were fixed by label-free measures before this was run on any text.

A descriptor counts for the label that vocabulary/word_classes.tsv gives its word; words without one count for no
label. Beside each recipe, and without an interval, stand what each of its prompts does alone and what other weights
make of the same pass.
"""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from dataset_builder.descriptors.calibration import advantages, agreement, descriptors
from dataset_builder.descriptors.describe import prepare
from dataset_builder.descriptors.recipe import TextsRecipe, Weights
from dataset_builder.descriptors.words import log_probabilities
from dataset_builder.filters.resolve import class_scores
from dataset_builder.filters.word_classes import class_by_hand
from dataset_builder.inputs import InputError
from dataset_builder.pipeline.ask import Ask, UnitRejected
from dataset_builder.pipeline.stages import WORDS
from dataset_builder.schema import Descriptor, Usage
from dataset_builder.taxonomy import LABELS
from dataset_builder.teacher_eval.labelers import Gold, Labelled, quality, read_dev
from dataset_builder.teachers import load_teacher

KEPT = ("macro_f1_dev", "top1_dev", "top3_dev", "labels_per_text", "failed_share")
OTHER_WEIGHTS: dict[str, dict[str, Any]] = {
    "by_texts": {"calibrated_on": "texts"},
    "by_content_free": {"calibrated_on": "content_free"},
    "by_content_free_0.75": {"calibrated_on": "content_free", "calibration": 0.75, "temperature": 0.3},
    "uncalibrated": {"calibration": 0.0, "temperature": 0.3},
    "temperature_0.04": {"temperature": 0.04},
    "temperature_0.15": {"temperature": 0.15},
    "all_texts": {"clear_at": 0.0},
}


def as_classes(described: Sequence[Sequence[Descriptor]]) -> Labelled:
    """The classes of each text's descriptors; of two for one class the stronger counts, and every one is chosen."""
    found = [class_scores(((one.text, one.weight) for one in made), class_by_hand) for made in described]
    scores = np.array(found).reshape(-1, len(LABELS))
    return Labelled(scores, scores > 0, sum(not made for made in described), Usage())


def measure(recipes: Sequence[TextsRecipe], data: Path, rows: int) -> dict[str, Any]:
    """A result file's content, every metric named by its recipe and what differs from it.

    Raises:
        InputError: no dev split, a recipe whose descriptors have no weights, or the teacher failed.
    """
    for recipe in recipes:
        if recipe.describer != "likelihood":
            raise InputError(f"{recipe.name}: 'describer: {recipe.describer}' scores no words. Give 'likelihood'.")
    every = read_dev(data, rows)
    failed: dict[str, int] = {}
    metrics: dict[str, dict[str, float]] = {}
    words: dict[str, int] = {}
    for recipe in recipes:
        kept, without_content, found = asyncio.run(_found(every.texts, recipe))
        answered = ~np.isnan(found).any(axis=(1, 2))
        found = found[answered]
        gold = Gold([text for text, is_in in zip(every.texts, answered, strict=True) if is_in], every.labels[answered])
        failed[recipe.name] = int((~answered).sum())
        words[recipe.name] = len(kept)
        if len(recipe.prompts) > 1:
            value = agreement(found, gold.texts, recipe.weights)
            metrics[f"{recipe.name}_prompts_agree"] = {"value": round(value, 4)}
        for name, prompts, weights in _variants(recipe):
            left = advantages(found[:, prompts], gold.texts, without_content[prompts], weights)
            made = quality(gold, as_classes([descriptors(row, kept, weights) for row in left]), with_interval=not name)
            metrics |= {f"{recipe.name}{name}_{metric}": made[metric] for metric in KEPT}
    return {
        "name": "descriptors",
        "benchmark": "GoEmotions dev, rows drawn by hash; a report: no recipe, prompt or weight was chosen by it",
        "metrics": metrics,
        "support": len(every.texts),
        "failed": failed,
        "words": words,
        "teachers": {recipe.name: load_teacher(recipe.teacher).name for recipe in recipes},
        "recipes": {recipe.name: recipe.model_dump(mode="json", exclude={"teacher", "executor"}) for recipe in recipes},
    }


def _variants(recipe: TextsRecipe) -> Iterator[tuple[str, list[int], Weights]]:
    """The recipe, and what differs from it in one thing: a name, the numbers of the prompts, the weights."""
    every = list(range(len(recipe.prompts)))
    yield "", every, recipe.weights
    for number, prompt in enumerate(recipe.prompts if len(every) > 1 else ()):
        yield f"_prompt_{prompt}", [number], recipe.weights
    for name, changes in OTHER_WEIGHTS.items():
        yield f"_{name}", every, recipe.weights.model_copy(update=changes)


async def _found(texts: list[str], recipe: TextsRecipe) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """The words, what is usual of them without content (prompts, words), and (texts, prompts, words).

    Texts at which the teacher failed are rows of NaN. Raises InputError where it failed at all of them.
    """
    words, without_content = await prepare(recipe)
    teacher = load_teacher(recipe.teacher)
    free = asyncio.Semaphore(recipe.teacher.in_flight)
    found = np.full((len(texts), *without_content.shape), np.nan)
    last: UnitRejected | None = None
    bar = tqdm(total=len(texts), desc=recipe.name, unit="text")

    async def one(index: int) -> None:
        nonlocal last
        async with free:
            ask = Ask(teacher, recipe.seed, WORDS.name, f"text {index}", {})
            try:
                found[index] = await log_probabilities(texts[index], words, recipe.prompts, ask)
            except UnitRejected as rejected:
                last = rejected
        bar.update()

    try:
        await asyncio.gather(*(one(index) for index in sorted(range(len(texts)), key=lambda i: -len(texts[i]))))
    finally:
        bar.close()
        await teacher.close()
    if last and np.isnan(found).any(axis=(1, 2)).all():
        raise InputError(f"the teacher {teacher.name} failed at every text: {last.reason} {last.text}")
    return words, without_content, found
