"""How a command is declared, shared options, and how these change the recipe."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from dataset_builder.inputs import InputError, read_recipe
from dataset_builder.provenance import RESULTS, results_folder
from dataset_builder.recipe import BuildRecipe, Run

RunT = TypeVar("RunT", bound=Run)
Function = Callable[[Namespace], int | None]
Option = tuple[tuple[str, ...], dict[str, Any]]  # the arguments of `ArgumentParser.add_argument`


class Command(NamedTuple):
    """A command. Its name may have two words. `run` returns the exit code, None for 0."""

    name: str
    help: str
    options: tuple[Option, ...]
    run: Function


GROUPS: dict[str, list[Command]] = {}


def group(title: str) -> Callable[..., Callable[[Function], Function]]:
    """Return a decorator for the commands of a group: docstrings become help texts, function names command names."""
    commands: list[Command] = []
    GROUPS[title] = commands

    def command(*options: Option, name: str = "") -> Callable[[Function], Function]:
        def add(run: Function) -> Function:
            commands.append(Command(name or run.__name__.replace("_", "-"), str(run.__doc__), options, run))
            return run

        return add

    return command


def option(*names: str, **settings: Any) -> Option:
    """Return an option (`--name`) or a positional argument of a command."""
    return names, settings


def count(name: str, least: int = 1, **settings: Any) -> Option:
    """Return an option that takes a whole number of at least `least`."""

    def read(text: str) -> int:
        if (number := int(text)) < least:
            raise InputError(f"{name} {text}: must be {least} or more.")
        return number

    read.__name__ = "int"  # argparse prints it if the text is not a number: `invalid int value`
    return option(name, type=read, **settings)


CORPUS = option("corpus", help="a work folder, a folder with one subfolder per config, or a Hub dataset")
RECIPE = option("--recipe", required=True, help="a YAML file in dataset_builder/recipes/, or your own")
WORK_DIR = option("--work-dir", required=True, type=Path, help="the folder to write to")
FOLDER = option("--out", required=True, type=Path, help="the folder to write to")
OUT = option("--out", type=results_folder, default=RESULTS, help=f"folder of the result files (default: {RESULTS})")
KEY_RISK = "send the teacher's API key even over plain http to another machine, or from an unusual environment variable"
SEND_KEY = option("--send-key-anyway", action="store_true", help=KEY_RISK)
STORIES = (
    option("--narratives", nargs="+", help="stories instead of the recipe's: .jsonl[.gz] files, Hub datasets, 'tales'"),
    count("--limit", help="use at most this many stories from each source"),
    SEND_KEY,
)


def with_teacher(path: str, model: type[RunT], args: Namespace) -> RunT:
    """Read a recipe and apply `--send-key-anyway`."""
    recipe = read_recipe(path, model)
    return recipe.sending_its_key_anyway() if args.send_key_anyway else recipe


def with_narratives(args: Namespace) -> BuildRecipe:
    """Read `--recipe` and apply the options of STORIES."""
    recipe = with_teacher(args.recipe, BuildRecipe, args)
    stories = {"source": tuple(args.narratives), "revision": None} if args.narratives else {}
    if args.limit is not None:
        stories["limit"] = args.limit
    return recipe.model_copy(update={"narratives": recipe.narratives.model_copy(update=stories)})
