"""The command line of the builder: its groups, its names, and what its options refuse."""

import pytest

from dataset_builder.__main__ import make_parser
from dataset_builder.commands.options import GROUPS
from tests.conftest import Command

RECIPE = ("--recipe", "dataset_builder/recipes/demo.yaml")


def test_help_lists_every_command_in_its_group(command: Command) -> None:
    page = command("-m", "dataset_builder", "--help").stdout
    for title, commands in GROUPS.items():
        section = page.split(f"\n{title}:\n")[1].split("\n\n")[0]
        assert [line.split("  ")[1] for line in section.splitlines()] == [one.name for one in commands]
        assert all(one.help in section for one in commands)


@pytest.mark.parametrize("name", [command.name for commands in GROUPS.values() for command in commands])
def test_each_command_has_a_help_page(name: str, command: Command) -> None:
    done = command("-m", "dataset_builder", *name.split(), "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: python -m dataset_builder {name} [-h]")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("plan", *RECIPE, "--limit", "0"), "error: --limit 0: must be 1 or more.\n"),
        (("context-test", "x", *RECIPE, "--name", "x", "--rows", "1"), "error: --rows 1: must be 2 or more.\n"),
        (("report", "x", "--name", "../x"), "error: --name: '../x' is not a valid name"),
        (("report", "x", "--out", "README.md"), "error: --out README.md: "),
        (("deduplicate", "x", "--out", "y", "--near", "1.5"), "error: --near 1.5: must be above 0 and at most 1.\n"),
        (("plan", *RECIPE, "--limit", "few"), "argument --limit: invalid int value: 'few'\n"),
        (("people",), "the following arguments are required: STEP\n"),
        (("bild",), "invalid choice: 'bild'"),
    ],
)
def test_what_options_refuse(arguments: tuple[str, ...], says: str, command: Command) -> None:
    done = command("-m", "dataset_builder", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_options_reach_their_command() -> None:
    args = make_parser().parse_args(["domain", "isear", "--source", "here", "--out", "there", "--fold", "2"])
    assert (args.run.__name__, args.name, args.fold, args.folds) == ("domain", "isear", 2, 5)
