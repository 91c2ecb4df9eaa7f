"""What all pages of results are written with."""

from typing import Any

from dataset_builder.files import escaping


def table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """A Markdown table, with a line end behind it."""
    return f"{escaping.table(head, rows)}\n"
