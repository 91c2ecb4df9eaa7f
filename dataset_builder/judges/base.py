"""The interface of a judge."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Judge(Protocol):
    """Scores texts for labels. `about` identifies what the scores depend on besides the recipe: weights, prompts."""

    name: str
    about: dict[str, str]

    def score(self, texts: Sequence[str], situations: Sequence[str | None], labels: Sequence[str]) -> np.ndarray:
        """Return scores in [0, 1], (texts, labels); a row of NaN where the judge gave no answer.

        Args:
            situations: for each text what happened before it; None for a text alone.

        Raises:
            InputError: the judge cannot work at all: its model does not load, its teacher answers nothing.
        """


def in_situation(text: str, situation: str | None) -> str:
    """Return a text after its situation, for judges that read one piece of text."""
    return f"{situation} {text}" if situation else text


def softmax(values: np.ndarray) -> np.ndarray:
    """Return the softmax over the last axis."""
    raised = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))
