"""Markdown from text that others wrote (corpora, teachers, annotators): it is shown as text and never as markup."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from dataset_builder.escaping import one_line

_MARKUP: Final = re.compile(r"([\\`*\[|])")


def cell(text: object) -> str:
    """Return a text in one line, without markup or HTML, that stays in its cell of a table."""
    return _MARKUP.sub(r"\\\1", one_line(text)).replace("<", "&lt;")


def code(text: object) -> str:
    """Return a text as code, also in a cell of a table."""
    plain = one_line(text).replace("`", "'").replace("<", "&lt;").replace("|", "\\|")
    return f"`{plain}`"


def table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; each row has as many cells as the head. No cell can begin another row or cell."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_in_one_cell, cells))} |" for cells in lines)


def _in_one_cell(value: object) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", one_line(value))
