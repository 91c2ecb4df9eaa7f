"""Text that others wrote (corpora, teachers, annotators), made safe for a terminal."""

import re
from typing import Final

from dataset_builder.text_hygiene import CONTROL, DIRECTION, LINE_SEPARATORS, SURROGATES

# What a terminal obeys, or what changes the order of the other characters.
_UNSAFE: Final = re.compile(f"[\t{CONTROL}{LINE_SEPARATORS}{DIRECTION}{SURROGATES}]")


def printable(text: object) -> str:
    """Return the text with line breaks; any other control character is written out, as `\\x1b`."""
    return _UNSAFE.sub(lambda found: ascii(found[0])[1:-1], str(text))


def one_line(text: object) -> str:
    """Return the text in one line: line breaks and tabs become spaces, any other control character is written out."""
    return printable(" ".join(re.split(r"[\t\n\r\x0b\x0c\u2028\u2029]+", str(text)))).strip()
