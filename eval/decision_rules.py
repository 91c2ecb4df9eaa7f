"""Decides which labels a text has, without labelled texts: pure functions of logits.

A rule takes logits (texts, labels) of the given texts and of reference texts, which need no labels, and returns margins
(texts, labels): a text has a label if the margin is 0 or more. All rules except the first make one assumption about the
label set: a text has one label on average (`labels_per_text`), the fewest that make the label set useful.

- `sigmoid`: the model's own probability is .5 or more.
- `prior`: the same, after each label's prior (its mean probability over the reference texts) is replaced by an
  equal prior for all, 1 / number of labels (Saerens et al. 2002, Neural Computation 14: odds are multiplied by the
  ratio of new to old prior odds). A label that the model gives to every text no longer wins.
- `z_score`: logits standardised per label over the reference texts; a label is given above the normal quantile that a
  share of 1 / number of labels exceeds.
- `expected_f1` (the default): per label, the threshold that maximises the expected F1 over the reference texts if the
  probabilities are right, 2 Σp(chosen) / (chosen + Σp(all)) (Lipton et al. 2014, arXiv 1402.1892). First, one shift of
  all logits makes the probabilities sum to one label per text. Frequent labels stay frequent.
"""

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

Rule = Callable[[np.ndarray, np.ndarray], np.ndarray]
TINY = 1e-6  # keeps log-odds and standardised logits finite


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    """Return logits of probabilities; 0 and 1 get large finite ones."""
    return np.asarray(logit(np.clip(probabilities, TINY, 1 - TINY)))


def labels_per_text(labels: int) -> float:
    """Return the assumed number of labels per text: one. A single label is assumed for every other text."""
    return min(1.0, labels / 2)


def shift_to(logits: np.ndarray, each: float) -> float:
    """Return the shift of logits (texts, labels) with which probabilities sum to `each` per text, on average."""

    def excess(shift: float) -> float:
        return float(expit(logits + shift).sum(axis=1).mean()) - each

    # Between these ends all probabilities are nearly 0, or nearly 1.
    return float(brentq(excess, -100 - logits.max(), 100 - logits.min()))


def by_sigmoid(logits: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return margins of the learned sigmoid at .5."""
    del reference
    return logits


def by_prior(logits: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return margins at .5 after every label has been given the same prior."""
    # In logits, multiplying the odds by a ratio is adding its logarithm.
    old = log_odds(expit(reference).mean(axis=0))
    new = log_odds(np.array(labels_per_text(logits.shape[1]) / logits.shape[1]))
    margins: np.ndarray = logits - old + new
    return margins


def by_z_score(logits: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return margins of standardised logits over the quantile that lets an equal share through."""
    share = labels_per_text(logits.shape[1]) / logits.shape[1]
    margins: np.ndarray = (logits - reference.mean(axis=0)) / (reference.std(axis=0) + TINY)
    return margins - np.float64(NormalDist().inv_cdf(1 - share))


def by_expected_f1(logits: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return margins over the threshold of each label that has the largest expected F1."""
    # The shift comes from the reference texts and is applied to both, so that a text's labels do not depend on its
    # neighbours.
    shift = shift_to(reference, labels_per_text(reference.shape[1]))
    margins: np.ndarray = logits + shift - log_odds(best_thresholds(expit(reference + shift)))
    return margins


def best_thresholds(probabilities: np.ndarray) -> np.ndarray:
    """Return the thresholds (labels,) with the largest expected F1, from probabilities (texts, labels)."""
    # The best threshold is one of the probabilities: F1 only changes where a text is added.
    ordered = -np.sort(-probabilities, axis=0)
    chosen = np.arange(1, len(ordered) + 1)[:, None]
    expected = 2 * np.cumsum(ordered, axis=0) / (chosen + probabilities.sum(axis=0))
    thresholds: np.ndarray = np.take_along_axis(ordered, expected.argmax(axis=0)[None], axis=0)[0]
    return thresholds


RULES: dict[str, Rule] = {
    "expected_f1": by_expected_f1,
    "prior": by_prior,
    "z_score": by_z_score,
    "sigmoid": by_sigmoid,
}
DEFAULT = "expected_f1"


def apply_rule(rule: str, logits: np.ndarray, reference: np.ndarray, at_least_one: bool) -> np.ndarray:
    """Labels as 0 and 1, (texts, labels).

    Args:
        at_least_one: a text without a label gets the label with the largest margin. This suits label sets in which
            every text has a label, such as those with `neutral`.
    """
    margins = RULES[rule](logits, reference)
    given = margins >= 0
    if at_least_one:
        left = np.flatnonzero(~given.any(axis=1))
        given[left, margins[left].argmax(axis=1)] = True
    return given.astype(np.int8)
