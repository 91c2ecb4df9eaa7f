"""Choices as tokens: how many tokens it takes to tell them apart, and their log-probabilities from those tokens.

Most choices differ in their first token, and then one forward pass scores all of them. Where several begin alike
(" wonder", " wonderment"), each is followed to the token at which it is alone; a choice that is itself the beginning
of others takes what is left of the probability there after them.
"""

import math
from collections.abc import Mapping, Sequence

Path = tuple[int, ...]
LEAST = 1e-9  # a share of probability below this counts as this


class ChoiceTree:
    """The tokens of choices. `nodes` are the beginnings that several of them share, () first, the shorter first.

    `whole`: all beginnings are nodes, so that every choice is followed to its end.
    """

    def __init__(self, choices: Sequence[Sequence[int]], whole: bool = False) -> None:
        self.choices = [tuple(tokens) for tokens in choices]
        sharing: dict[Path, int] = {}
        for tokens in self.choices:
            for length in range(len(tokens) + 1):
                sharing[tokens[:length]] = sharing.get(tokens[:length], 0) + 1
        followed = (path for path, count in sharing.items() if count > 1 or not path or whole)
        shared = sorted(followed, key=lambda path: (len(path), path))
        self.children = {
            node: sorted({tokens[len(node)] for tokens in self.choices if tokens[: len(node)] == node < tokens})
            for node in shared
        }
        self.nodes = [node for node in shared if not node or self.children[node]]

    def combine(self, found: Mapping[Path, Mapping[int, float]]) -> tuple[float, ...]:
        """Log-probability of each choice from those of the children of each node, as `found[node][token]`."""
        return tuple(self._of(tokens, found) for tokens in self.choices)

    def continuation_probabilities(self, found: Mapping[Path, Mapping[int, float]]) -> tuple[float, ...]:
        """Probability of each choice once its first token is there; for a tree of whole choices."""
        return tuple(math.exp(self._of(tokens, found, behind=1)) for tokens in self.choices)

    def _of(self, tokens: Path, found: Mapping[Path, Mapping[int, float]], behind: int = 0) -> float:
        total = 0.0
        for length in range(behind, len(tokens) + 1):
            node = tokens[:length]
            if node not in self.children or not self.children[node]:
                break  # alone from here on
            if length == len(tokens):
                longer = sum(math.exp(found[node][child]) for child in self.children[node])
                total += math.log(max(1.0 - longer, LEAST))
            else:
                total += found[node][tokens[length]]
        return total
