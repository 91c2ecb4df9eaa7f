"""Text of others (corpora, teachers, annotators) as pages and terminals may show it: as text, and as nothing else."""

import re
from typing import Final

# What a terminal obeys or shows in another order: C0, C1, bidirectional marks, other line ends, halves of characters.
_CONTROL: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: object) -> str:
    """A text for a terminal: line breaks stay, any other control character is written out, as `\\x1b`."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], str(text))


def one_line(text: object) -> str:
    """A text in one line: line breaks and tabs are blanks, any other control character is written out."""
    return printable(" ".join(re.split(r"[\t\n\r\x0b\x0c\u2028\u2029]+", str(text)))).strip()
