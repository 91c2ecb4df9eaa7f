"""Scores words by their likelihood as the answer, for the labeler and the describer `likelihood`.

One forward pass computes the log-probability of each word after "Emotion:". The mean log-probability of the same word
after content-free texts is subtracted (calibration: a teacher prefers some words regardless of the text). The result
goes through a softmax with a temperature, and every probability is divided by the largest: the most likely word has
score 1, a word half as likely 0.5. Content-free texts are neutral themselves and cannot calibrate `neutral`, so it gets
the mean correction of the other words.
"""

import math
from collections.abc import Sequence

from dataset_builder.pipeline.ask import Ask

CONTENT_FREE = ("N/A", "...", "A sentence.", "[text]")
PROMPT = "labels_likelihood"


async def likelihood_scores(
    text: str, choices: Sequence[str], ask: Ask, temperature: float, calibration: float = 1.0
) -> list[float]:
    """Return scores of the choices in (0, 1], the largest 1; the last choice must be neutral. Shape (choices,).

    `calibration` is the share of the baseline that is subtracted.
    """
    # Computed once per shard, because the baseline does not depend on the text.
    baseline = await ask.shared_result(f"baseline of {len(choices)}", lambda: _baseline(choices, ask))
    found = await ask.scores(PROMPT, choices, text=text)
    return soft_scores(found, [calibration * usual for usual in baseline], temperature)


async def _baseline(choices: Sequence[str], ask: Ask) -> list[float]:
    """Return the mean log-probability of each choice after content-free texts; neutral gets the mean of the others."""
    rows = [await ask.scores(PROMPT, choices, text=text) for text in CONTENT_FREE]
    means = [sum(column) / len(rows) for column in zip(*rows, strict=True)][:-1]
    return [*means, sum(means) / len(means)]


def soft_scores(log_probabilities: Sequence[float], baseline: Sequence[float], temperature: float) -> list[float]:
    """Return calibrated scores, rounded to 3 digits; all sequences have the same length."""
    calibrated = [(found - usual) / temperature for found, usual in zip(log_probabilities, baseline, strict=True)]
    # Subtracting the maximum before `exp` makes the largest score 1 and avoids overflow.
    highest = max(calibrated)
    return [round(math.exp(value - highest), 3) for value in calibrated]
