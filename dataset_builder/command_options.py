"""What several commands take: stories, and what a recipe's teacher may do."""

import argparse
from typing import TypeVar

from dataset_builder.inputs import InputError, read_recipe
from dataset_builder.recipe import BuildRecipe, Run

RunT = TypeVar("RunT", bound=Run)


def add_narratives(command: argparse.ArgumentParser) -> None:
    """The options by which stories are given on the command line."""
    command.add_argument(
        "--narratives", nargs="+", help="stories instead of the recipe's: .jsonl[.gz] files, Hub data sets, 'tales'"
    )
    command.add_argument("--limit", type=int, help="at most so many stories of each source")
    add_teacher(command)


def add_teacher(command: argparse.ArgumentParser) -> None:
    """The option that goes with every recipe whose teacher is asked."""
    command.add_argument(
        "--send-key-anyway",
        action="store_true",
        help="send the teacher's key also over http to another machine, or a variable that is no teacher's by its name",
    )


def with_teacher(path: str, model: type[RunT], args: argparse.Namespace) -> RunT:
    """The recipe of a path, with what the command line allows its teacher."""
    recipe = read_recipe(path, model)
    return recipe.sending_its_key_anyway() if args.send_key_anyway else recipe


def with_narratives(args: argparse.Namespace) -> BuildRecipe:
    """The recipe with the narratives of the command line."""
    recipe = with_teacher(args.recipe, BuildRecipe, args)
    places = {"source": tuple(args.narratives), "revision": None} if args.narratives else {}
    if args.limit is not None:
        if args.limit < 1:
            raise InputError(f"--limit {args.limit}: give 1 or more.")
        places["limit"] = args.limit
    return recipe.model_copy(update={"narratives": recipe.narratives.model_copy(update=places)})
