"""Finds servers that cut long prompts without a word: they count fewer tokens than were sent."""

import sys

from tqdm import tqdm

from dataset_builder.schema import Usage

MOST_WORDS_PER_TOKEN = 1.25  # of English prose; tokenizers take at least one token for nearly every word
LONGEST_TOKEN = 8.0  # characters, on average over a prompt: no tokenizer makes so few tokens of prose
FEWEST_TOKENS = 64  # of so short a prompt nothing is said
ALIKE = 1.15  # prompts of one length in tokens differ by less in characters
TOGETHER = 3  # so many prompts of clearly different lengths at the very same, highest count: it is the limit


class PromptLengths:
    """What one server counted of what it was sent; warns once, on the standard error output."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._most, self._shortest, self._longer = 0, 0, 0
        self._warned = False

    def is_cut(self, sent: str, usage: Usage) -> bool:
        """Whether the server counted far fewer tokens than this prompt has; warns at the first one.

        Either by itself (fewer tokens than words), or beside others: prompts of different lengths never all have the
        highest number of tokens. A server that does not count says 0, which tells nothing.
        """
        counted = usage.prompt_tokens
        if usage.cached_tokens > counted:  # such a server counts those apart
            counted += usage.cached_tokens
        if not counted:
            return False
        words = len(sent.split())
        few = words > counted * MOST_WORDS_PER_TOKEN or len(sent) > counted * LONGEST_TOKEN
        cut = (few and words >= FEWEST_TOKENS) or self._at_the_limit(counted, len(sent))
        if cut and not self._warned:
            self._warned = True
            tqdm.write(
                f"warning: {self._server} counted {counted} prompt tokens where {words} words were sent: it cuts long "
                "prompts, so the teacher does not see whole stories. Serve the model with a longer context, or set "
                "'narratives.max_words'. Such prompts are counted as cut_prompts in the manifests.",
                file=sys.stderr,
            )
        return cut

    def _at_the_limit(self, counted: int, length: int) -> bool:
        if counted < FEWEST_TOKENS or counted < self._most:
            return False
        if counted > self._most:
            self._most, self._shortest, self._longer = counted, length, 0
            return False
        self._shortest = min(self._shortest, length)
        self._longer += length > ALIKE * self._shortest
        return self._longer >= TOGETHER and length > ALIKE * self._shortest
