"""Labels from several judges: a weighted sum of their log-odds, fitted on texts whose labels are known.

The score of a label is sigmoid(sum over judges of weight * log-odds + bias): an estimate of the weight that a careful
reader would give to it. A text need not be read by every judge: there is a fit for each set of judges, and the one for
those that read the text decides. Texts in a situation have fits of their own.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field
from scipy.special import expit

from dataset_builder.filters.judgements import has_judged, key_of, read_judgements
from dataset_builder.inputs import InputError, Name, Strict, read_recipe
from dataset_builder.recipe import Share, ShareOrNone
from dataset_builder.taxonomy import LABELS

# Scores are kept away from 0 and 1, so that no single judge decides alone: log-odds from -7 to 7.
LEAST = 0.001
MOST_LABELS = 3  # of a text, as in the written rows
RAW_FROM = 0.05  # lower scores are not published as raw labels

PerLabel = Annotated[tuple[float, ...], Field(min_length=len(LABELS), max_length=len(LABELS))]


class Fit(Strict):
    """Weights of some judges, the bias of each label, and the lowest score of a label."""

    judges: tuple[Name, ...]
    weights: tuple[Annotated[float, Field(ge=0)], ...]
    bias: PerLabel
    threshold: Share

    def scores(self, judged: np.ndarray) -> np.ndarray:
        """Return scores (texts, 28) from the judges' scores (texts, judges, 28), in the order of `judges`."""
        summed = np.einsum("tjl,j->tl", log_odds(judged), np.asarray(self.weights)) + np.asarray(self.bias)
        return np.asarray(expit(summed))


class Ensemble(Strict):
    """Fits for each set of judges, for texts alone and for texts in a situation; written by `measure-judges`.

    A row is rejected as `judges_disagree` if less than `least_agreement` of its judges have its first label first.
    """

    name: Name
    judges: Annotated[tuple[Name, ...], Field(min_length=1)]
    least_agreement: ShareOrNone
    contextless: tuple[Fit, ...]
    contextual: tuple[Fit, ...] = ()

    def fit_for(self, judges: Sequence[str], *, contextual: bool) -> Fit:
        """Return the fit of a set of judges. Raises InputError if there is none."""
        for fit in self.contextual if contextual else self.contextless:
            if fit.judges == tuple(judges):
                return fit
        kind = "texts in a situation" if contextual else "texts"
        raise InputError(f"ensemble '{self.name}': no fit for {kind} and the judges {', '.join(judges)}. Fit it again.")


class Decision(NamedTuple):
    """What an ensemble says of a text.

    `scores` (28,), the indices of its `labels`, the index of the `first` one, the share of judges that have this label
    first, the number of judges that read the text, and why the text should be rejected (None: keep it).
    """

    scores: np.ndarray
    labels: list[int]
    first: int
    agreement: float
    judges: int
    reason: str | None


@dataclass(frozen=True)
class Judged:
    """An ensemble with what its judges said about the texts of work folders."""

    ensemble: Ensemble
    found: Mapping[str, Mapping[str, np.ndarray]]

    @classmethod
    def open(cls, path: str | Path, work_dirs: Sequence[Path]) -> "Judged":
        """Read an ensemble and its judges' scores.

        Raises:
            InputError: the file is no ensemble, or one of its judges has read none of the folders.
        """
        ensemble = read_recipe(path, Ensemble)
        found: dict[str, dict[str, np.ndarray]] = {}
        for judge in ensemble.judges:
            found[judge] = {}
            read = [work_dir for work_dir in work_dirs if has_judged(work_dir, judge)]
            for work_dir in read or work_dirs[:1]:
                found[judge] |= read_judgements(work_dir, judge)
        return cls(ensemble, found)

    def decide(self, text: str, situation: str | None, expected: str = "") -> Decision:
        """Return the ensemble's labels of a text.

        Reasons to reject it: `not_judged`, `no_label`, `judges_disagree`, and, if a label was `expected` and is not
        among the text's, `not_as_requested`.
        """
        judges, scores = self._of(text, situation)
        if not judges:
            return Decision(np.zeros(len(LABELS)), [], -1, 0.0, 0, "not_judged")
        fit = self.ensemble.fit_for(judges, contextual=bool(situation))
        decided = fit.scores(scores[None])[0]
        order = np.argsort(-decided, kind="stable")
        labels = sorted(int(index) for index in order[:MOST_LABELS] if decided[index] >= fit.threshold)
        first = int(order[0])
        agreement = float(np.mean([one == first for one in self._firsts(judges, scores, bool(situation))]))
        if not labels:
            reason = "no_label"
        elif agreement < self.ensemble.least_agreement:
            reason = "judges_disagree"
        elif expected and expected not in (LABELS[index] for index in labels):
            reason = "not_as_requested"
        else:
            reason = None
        return Decision(np.round(decided, 3), labels, first, round(agreement, 3), len(judges), reason)

    def agreement(self, text: str, situation: str | None, label: str) -> float | None:
        """Return the share of judges that have a label first; None if no judge has read the text."""
        judges, scores = self._of(text, situation)
        if not judges:
            return None
        firsts = self._firsts(judges, scores, bool(situation))
        return round(float(np.mean([LABELS[index] == label for index in firsts])), 3)

    def _of(self, text: str, situation: str | None) -> tuple[list[str], np.ndarray]:
        """Return the judges that have scores of a text, and these, (judges, 28)."""
        key = key_of(text, situation)
        given = {judge: found[key] for judge, found in self.found.items() if key in found}
        known = {judge: scores for judge, scores in given.items() if not np.isnan(scores).any()}
        return [*known], np.stack([*known.values()]) if known else np.zeros((0, len(LABELS)))

    def _firsts(self, judges: Sequence[str], scores: np.ndarray, contextual: bool) -> Iterator[int]:
        """Yield each judge's first label: a judge alone is calibrated too, so that it does not prefer some labels."""
        for judge, row in zip(judges, scores, strict=True):
            fit = self.ensemble.fit_for([judge], contextual=contextual)
            yield int(fit.scores(row[None, None])[0].argmax())


def log_odds(scores: np.ndarray) -> np.ndarray:
    """Return the log-odds of scores in [0, 1]."""
    kept = np.clip(np.asarray(scores, dtype=np.float64), LEAST, 1 - LEAST)
    return np.asarray(np.log(kept / (1 - kept)))


def sets_of(judges: Sequence[str]) -> list[tuple[str, ...]]:
    """Return all sets of judges that may have read a text, each in the order of `judges`."""
    sizes = range(1, len(judges) + 1)
    return [chosen for size in sizes for chosen in itertools.combinations(judges, size)]
