"""Agreement of annotators who may pick several options: pure functions of arrays of decisions.

A pick is a set, which neither coefficient takes. So every option of every task is one yes-or-no decision. Kappa is
computed for each label by itself and then averaged, as GoEmotions does it (Demszky et al. 2020): a label's decisions
have one base rate, and common labels do not outweigh rare ones. Over all decisions together the many unpicked options
would make up most of the agreement by chance and of the agreement seen. Alpha is computed over all decisions, which
takes any number of annotators and missing answers.

Alpha over whole sets (distance MASI) is left out: its chance comes from pairs of answers to different tasks, whose
options differ. Annotators who pick at random from the options of a task would not get 0 (simulated: .09).
"""

import krippendorff
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def cohen_kappa(first: Array, second: Array, counts: Array | None = None) -> Array:
    """Cohen's kappa of two annotators' yes-or-no decisions, for each column.

    Args:
        first, second: (tasks, columns) of 1, 0, or NaN where it was not asked or not answered.
        counts: (resamples, tasks), how often each task is in a resample; None: once each, one resample.

    Returns:
        (resamples, columns); NaN where both always say the same, or nothing is shared: chance agreement is then whole.
    """
    counts = np.ones((1, len(first))) if counts is None else counts
    shared = ~np.isnan(first) & ~np.isnan(second)
    one, two = np.where(shared, first, 0.0), np.where(shared, second, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = counts @ shared
        yes_one, yes_two = counts @ one / size, counts @ two / size
        seen = counts @ (shared & (one == two)) / size
        chance = yes_one * yes_two + (1 - yes_one) * (1 - yes_two)
        kappa = (seen - chance) / (1 - chance)
    return np.asarray(np.where(np.isclose(chance, 1), np.nan, kappa))


def nominal_alpha(data: Array) -> float:
    """Krippendorff's alpha (nominal) of (annotators, units) values, NaN where missing; NaN where nothing varies."""
    values = np.unique(data[~np.isnan(data)])
    counts = np.stack([(data == value).sum(axis=0) for value in values], axis=1) if len(values) else np.zeros((0, 0))
    paired = counts[counts.sum(axis=1) > 1]
    if (paired.sum(axis=0) > 0).sum() < 2:
        return float("nan")
    return float(krippendorff.alpha(value_counts=paired, level_of_measurement="nominal"))
