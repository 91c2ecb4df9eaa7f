"""Text of others (corpora, teachers, annotators) as pages and terminals may show it: as text, and as nothing else."""

import re
from typing import Any, Final

# What a terminal obeys or shows in another order: C0, C1, bidirectional marks, other line ends, halves of characters.
_CONTROL: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_MARKUP: Final = re.compile(r"([\\`*\[|])")


def printable(text: object) -> str:
    """A text for a terminal: line breaks stay, any other control character is written out, as `\\x1b`."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], str(text))


def flat(text: object) -> str:
    """A text in one line: line breaks and tabs are blanks, any other control character is written out."""
    return printable(" ".join(re.split(r"[\t\n\r\x0b\x0c\u2028\u2029]+", str(text)))).strip()


def cell(text: object) -> str:
    """A text of others in Markdown: in one line, no markup, no HTML, no further cell of a table."""
    return _MARKUP.sub(r"\\\1", flat(text)).replace("<", "&lt;")


def code(text: object) -> str:
    """A text of others as code in Markdown, also in a table's cell."""
    plain = flat(text).replace("`", "'").replace("<", "&lt;").replace("|", "\\|")
    return f"`{plain}`"


def table(head: Any, rows: Any) -> str:
    """A Markdown table of rows (any number, as many cells as the head). No cell can begin another row or cell."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_whole, cells))} |" for cells in lines)


def _whole(value: object) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", flat(value))
