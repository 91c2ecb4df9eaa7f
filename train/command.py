"""The command line of both training programs: a recipe, paths, and options that do not change the result."""

import argparse
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from dataset_builder.inputs import InputError, read_recipe
from train.recipe import TrainingRecipe

TRACKERS = ("tensorboard", "trackio")

RecipeT = TypeVar("RecipeT", bound=TrainingRecipe)


def train_from_command_line(
    module: str, model: type[RecipeT], train: Callable[..., dict[str, Any]]
) -> tuple[Path, dict[str, Any]]:
    """Parse the command line of `module`, read the recipe, train; returns the output folder and the record."""
    parser = argparse.ArgumentParser(prog=f"accelerate launch -m {module}", description="Trains a model from a recipe.")
    parser.add_argument("--recipe", required=True, help="a file in train/recipes/")
    parser.add_argument("--data", help="the corpus: a folder or Hub id, instead of the recipe's")
    parser.add_argument("--base-model", help="a folder or Hub id, instead of the recipe's")
    parser.add_argument("--output-dir", type=Path, help="default: work/models/<name of the recipe>")
    parser.add_argument("--seed", type=int, help="a seed other than the recipe's, for a repeated run")
    parser.add_argument("--max-steps", type=int, help="stop after this many optimiser steps (smoke runs)")
    parser.add_argument("--resume", action="store_true", help="resume from the checkpoint in the output folder")
    parser.add_argument(
        "--keep-every", type=int, metavar="STEPS", help="steps between checkpoints, in addition to one after each epoch"
    )
    parser.add_argument(
        "--tracker", choices=TRACKERS, help="log losses and learning rates with this tracker; both write local files"
    )
    args = parser.parse_args()
    recipe = read_recipe(args.recipe, model)
    for name in ("max_steps", "keep_every"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise InputError(f"--{name.replace('_', '-')} {getattr(args, name)}: must be 1 or more.")
    for name in ("data", "base_model"):
        if getattr(args, name) == "":  # from a shell variable that is not set
            raise InputError(f"--{name.replace('_', '-')}: is empty. Pass a folder or Hub id, or remove the option.")
    if args.seed is not None:
        if not 0 <= args.seed < 2**32:
            raise InputError(f"--seed {args.seed}: must be from 0 to {2**32 - 1}.")
        recipe = recipe.model_copy(update={"seed": args.seed})
    output_dir = args.output_dir or Path("work/models") / recipe.name
    if output_dir.resolve() == Path.cwd():
        raise InputError("--output-dir: is empty, or the repository itself. Use a separate folder for each model.")
    options = {name: getattr(args, name) for name in ("resume", "keep_every", "tracker", "base_model")}
    with locked_folder(output_dir):
        return output_dir, train(recipe, args.data, output_dir, args.max_steps, **options)


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Make an output folder and lock it against other trainings; delete it again if it stays empty.

    Raises:
        InputError: it cannot be written, or another training has it.
    """
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{folder}: cannot be written. Use another --output-dir.")
    handle = os.open(folder, os.O_RDONLY)
    try:
        if os.environ.get("RANK", "0") == "0":  # the first of several processes holds the lock for all
            _lock(handle, folder)
        yield
    finally:
        os.close(handle)
        if is_new:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f"{folder}: another training run is writing to it. Wait for it, or use another --output-dir."
        ) from None
    except OSError:  # a file system without locks
        return
