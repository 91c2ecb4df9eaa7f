"""Every replaced command ends with one line that gives the new one, and the new one exists."""

import importlib.util

import pytest

from dataset_builder.retired import NEW_NAMES
from tests.conftest import Command


@pytest.mark.parametrize("old", NEW_NAMES)
def test_a_replaced_command_gives_the_new_one(old: str, command: Command) -> None:
    done = command("-m", *old.split())
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [f"error: `python -m {old}` was replaced. Run `{NEW_NAMES[old]}`."]
    module = NEW_NAMES[old].removeprefix("python -m ").split()[0]
    assert importlib.util.find_spec(module) is not None
