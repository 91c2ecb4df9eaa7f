"""Agreement of annotators who may pick several options: pure functions of arrays of decisions.

A pick is a set, which neither coefficient takes. So every option of every task is one yes-or-no decision. Kappa is
computed for each label by itself and then averaged, as GoEmotions does it (Demszky et al. 2020): a label's decisions
have one base rate, and common labels do not outweigh rare ones. Over all decisions together the many unpicked options
would make up most of the agreement by chance and of the agreement seen. Alpha is computed over all decisions, which
takes any number of annotators and missing answers.

Alpha over whole sets (distance MASI) is left out: its chance comes from pairs of answers to different tasks, whose
options differ. Annotators who pick at random from the options of a task would not get 0 (simulated: .09).
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def kappa_counts(first: Array, second: Array) -> Array:
    """What Cohen's kappa follows from, summed over tasks: decisions of both, each one's yes, and those they share.

    Args:
        first, second: (tasks, columns) of 1, 0, or NaN where it was not asked or not answered.

    Returns:
        (tasks, 4 x columns).
    """
    shared = ~np.isnan(first) & ~np.isnan(second)
    one, two = np.where(shared, first, 0.0), np.where(shared, second, 0.0)
    return np.concatenate([shared, one, two, shared & (one == two)], axis=1).astype(float)


def kappa_of(sums: Array) -> Array:
    """Cohen's kappa of each column, (…, columns), from sums of `kappa_counts`.

    NaN where both always say the same, or nothing is shared: chance agreement is then whole.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        size, yes_one, yes_two, same = np.split(sums, 4, axis=-1)
        chance = (yes_one * yes_two + (size - yes_one) * (size - yes_two)) / size**2
        kappa = (same / size - chance) / (1 - chance)
    return np.asarray(np.where(np.isclose(chance, 1), np.nan, kappa))


def alpha_counts(picks: Array) -> Array:
    """What Krippendorff's alpha of yes-or-no decisions follows from, summed over tasks: (tasks, 3).

    Args:
        picks: (annotators, tasks, columns) of 1, 0, or NaN.

    Returns:
        of each task's decisions that two or more made: yes, no, and pairs that differ.
    """
    yes, no = np.nansum(picks, axis=0), np.nansum(1 - picks, axis=0)
    paired = yes + no > 1
    apart = np.where(paired, 2 * yes * no / np.maximum(yes + no - 1, 1), 0.0)
    return np.stack(
        [np.where(paired, yes, 0.0).sum(axis=1), np.where(paired, no, 0.0).sum(axis=1), apart.sum(axis=1)], 1
    )


def alpha_of(sums: Array) -> Array:
    """Krippendorff's alpha, (…), from sums of `alpha_counts`; NaN where nothing varies."""
    yes, no, apart = np.moveaxis(sums, -1, 0)
    chance = 2 * yes * no / np.maximum(yes + no - 1, 1)
    return np.asarray(np.where(chance > 0, 1 - apart / np.where(chance > 0, chance, 1.0), np.nan))
