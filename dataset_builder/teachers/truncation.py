"""Detects servers that silently truncate long prompts: they count fewer tokens than were sent."""

import sys

from tqdm import tqdm

from dataset_builder.schema import Usage

MOST_WORDS_PER_TOKEN = 1.25  # of English prose; tokenizers take at least one token for nearly every word
MOST_CHARACTERS_PER_TOKEN = 8.0  # of prose, on average over a prompt: no tokenizer makes fewer tokens
FEWEST_TOKENS = 64  # shorter prompts are not judged
SAME_LENGTH = 1.15  # prompts of equal length in tokens differ by less in characters
AT_THE_LIMIT = 3  # so many prompts of clearly different lengths with the very same, highest count show a limit


class TruncationDetector:
    """What one server counted for the prompts that it was sent; warns once, on stderr."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._highest, self._shortest, self._longer = 0, 0, 0
        self._warned = False

    def is_truncated(self, sent: str, usage: Usage) -> bool:
        """Return whether the server read far fewer tokens than this prompt has; warns at the first one.

        Shown by the prompt itself (fewer tokens than words), or by comparison: prompts of different lengths never
        all have the highest count. A count of 0 means that the server does not count.
        """
        counted = usage.prompt_tokens
        if usage.cached_tokens > counted:  # such a server does not include cached tokens in the count
            counted += usage.cached_tokens
        if not counted:
            return False
        words = len(sent.split())
        too_few = words > counted * MOST_WORDS_PER_TOKEN or len(sent) > counted * MOST_CHARACTERS_PER_TOKEN
        truncated = (too_few and words >= FEWEST_TOKENS) or self._is_at_limit(counted, len(sent))
        if truncated and not self._warned:
            self._warned = True
            tqdm.write(
                f"warning: {self._server} counted {counted} prompt tokens for {words} words: it truncates long "
                "prompts, so the teacher does not see whole stories. Serve the model with a longer context, or set "
                "'narratives.max_words'. Such prompts are counted as cut_prompts in the manifests.",
                file=sys.stderr,
            )
        return truncated

    def _is_at_limit(self, counted: int, length: int) -> bool:
        if counted < FEWEST_TOKENS or counted < self._highest:
            return False
        # A higher count shows that the limit, if there is one, is not at the former count.
        if counted > self._highest:
            self._highest, self._shortest, self._longer = counted, length, 0
            return False
        self._shortest = min(self._shortest, length)
        self._longer += length > SAME_LENGTH * self._shortest
        return self._longer >= AT_THE_LIMIT and length > SAME_LENGTH * self._shortest
