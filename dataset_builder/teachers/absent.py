"""Stands in where a recipe has no teacher: the stages of written rows never call it."""

from collections.abc import Sequence

from dataset_builder.inputs import InputError
from dataset_builder.teachers.base import Reply, Request, Scores


class Absent:
    """A teacher that cannot be called."""

    name = "none"

    async def generate(self, request: Request) -> Reply:
        """Raise InputError."""
        raise _missing()

    async def score(self, request: Request, choices: Sequence[str]) -> Scores:
        """Raise InputError."""
        raise _missing()

    async def continuation_probability(self, request: Request, choices: Sequence[str]) -> tuple[float, ...]:
        """Raise InputError."""
        raise _missing()

    async def close(self) -> None:
        """Do nothing."""


def _missing() -> InputError:
    return InputError("the recipe has no section 'teacher'. Add one, or use a recipe with a teacher.")
