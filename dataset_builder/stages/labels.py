"""Stage 3: soft labels, by one of two labelers.

`verbalised` (paper A, Table 15): the teacher writes its five best emotions with levels on a grid of 0.1.

`likelihood`: one forward pass gives the log-probability of each of the 28 names as the answer. From it the mean
log-probability of the same name after content-free texts is taken off (calibration: a teacher prefers some words
whatever the text), the rest goes through a softmax with the recipe's temperature, and every probability is divided
by the largest: the strongest emotion has score 1, one half as likely 0.5. Content-free texts are neutral themselves
and cannot calibrate that label; it takes the mean correction of the other 27.
"""

import math

from dataset_builder.ask import Ask, emotion_list
from dataset_builder.quality.resolve import resolve
from dataset_builder.recipe import BuildRecipe
from dataset_builder.replies import scored_labels
from dataset_builder.schema import LabelledRow, Narrative, RawLabel, UtteranceRow
from dataset_builder.taxonomy import LABELS, NEUTRAL

CONTENT_FREE = ("N/A", "...", "A sentence.", "[text]")
CHOICES = tuple(f" {label}" for label in LABELS)
LOWEST_KEPT = 0.05  # raw likelihood scores below this are not stored


async def run(row: UtteranceRow, story: Narrative, ask: Ask, recipe: BuildRecipe) -> list[LabelledRow]:
    """The utterance with its raw labels, the strongest first."""
    if recipe.labels.labeler == "likelihood":
        raw = await _likelihood(row.text, ask, recipe.labels.temperature)
    else:
        raw = await ask.text(
            "labels_verbalised", recipe.labels.decoding, scored_labels, emotions=emotion_list(), text=row.text
        )
    raw.sort(key=lambda label: (-label.score, label.label))
    return [LabelledRow(**row.model_dump(), raw_labels=tuple(raw), labeler=recipe.labels.labeler)]


def taxonomy_labels(row: LabelledRow, recipe: BuildRecipe) -> list[str]:
    """Names of the classes that the row expresses, for prompts and checks."""
    scores = resolve(row.raw_labels, recipe.resolve)
    return [label for label, score in zip(LABELS, scores, strict=True) if score >= recipe.labels.keep_at]


async def _likelihood(text: str, ask: Ask, temperature: float) -> list[RawLabel]:
    baseline = await ask.once("label baseline", lambda: _baseline(ask))
    scores = soft_labels(await ask.scores("labels_likelihood", CHOICES, text=text), baseline, temperature)
    return [
        RawLabel(label=label, score=score) for label, score in zip(LABELS, scores, strict=True) if score >= LOWEST_KEPT
    ]


async def _baseline(ask: Ask) -> list[float]:
    """Mean log-probability of each label after content-free texts, shape (28,); neutral's is that of the others."""
    rows = [await ask.scores("labels_likelihood", CHOICES, text=text) for text in CONTENT_FREE]
    means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    return [*means[:NEUTRAL], sum(means[:NEUTRAL]) / NEUTRAL]


def soft_labels(log_probabilities: tuple[float, ...], baseline: list[float], temperature: float) -> list[float]:
    """Calibrated scores in (0, 1], the largest 1, rounded to 3 digits; all arguments and the result of shape (28,)."""
    calibrated = [(found - usual) / temperature for found, usual in zip(log_probabilities, baseline, strict=True)]
    highest = max(calibrated)
    return [round(math.exp(value - highest), 3) for value in calibrated]
