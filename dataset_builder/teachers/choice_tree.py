"""Choices as tokens: computes log-probabilities of words from as few tokens as are needed to distinguish them.

Most choices differ in their first token, and one forward pass scores them all. If several begin with the same tokens
(" wonder", " wonderment"), each is scored up to the first token that distinguishes it; a choice that is a prefix of
others gets the probability that they leave there.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

Path = tuple[int, ...]
LEAST = 1e-9  # a smaller share of probability counts as this, so that it has a logarithm


class ChoiceTree:
    """The tokens of choices. `nodes` are the beginnings after which a token must be scored, () first, short ones first.

    With `whole` every choice is followed to its last token.
    """

    def __init__(self, choices: Sequence[Sequence[int]], whole: bool = False) -> None:
        self.choices = [tuple(tokens) for tokens in choices]
        counts = Counter(tokens[:length] for tokens in self.choices for length in range(len(tokens) + 1))
        self.children: dict[Path, list[int]] = {}  # the tokens that come next after each node
        for node in sorted(counts, key=lambda path: (len(path), path)):
            longer = {tokens[len(node)] for tokens in self.choices if tokens[: len(node)] == node < tokens}
            if not node or (longer and (whole or counts[node] > 1)):
                self.children[node] = sorted(longer)
        self.nodes = [*self.children]

    def combine(self, found: Mapping[Path, Mapping[int, float]], start: int = 0) -> tuple[float, ...]:
        """Return the log-probability of each choice, given its first `start` tokens, from `found[node][next token]`."""
        return tuple(self._log_probability(tokens, found, start) for tokens in self.choices)

    def _log_probability(self, tokens: Path, found: Mapping[Path, Mapping[int, float]], start: int) -> float:
        total = 0.0
        for length in range(start, len(tokens) + 1):
            node = tokens[:length]
            if node not in self.children:
                break  # no other choice begins like this one
            if length < len(tokens):
                total += found[node][tokens[length]]
            else:
                longer = sum(math.exp(found[node][child]) for child in self.children[node])
                total += math.log(max(1.0 - longer, LEAST))
        return total
