"""How a training process starts: its accelerator, its seed, and its share of the cores."""

import os
from pathlib import Path
from typing import Any

import psutil
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed

from dataset_builder.inputs import InputError, first_line
from dataset_builder.provenance import cores
from train.bi_encoder.recipe import BiEncoderRecipe
from train.classifier.recipe import ClassifierRecipe

LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
LOCAL_PROCESSES = ("LOCAL_WORLD_SIZE", "MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE")
OPTIONS = ("--num_cpu_threads_per_process", "--num-cpu-threads-per-process")
LAUNCHERS = ("accelerate", "accelerate-launch", "torchrun")
MODULES = ("accelerate.commands.", "torch.distributed.")


def start_process(
    recipe: ClassifierRecipe | BiEncoderRecipe, tracker: str | None, output_dir: Path, **settings: Any
) -> tuple[Accelerator, int]:
    """The accelerator of a recipe, seeded, and the number of threads of this process.

    Args:
        settings: further ones of the accelerator.

    Raises:
        InputError: this machine has not what the recipe asks for.
    """
    try:
        accelerator = Accelerator(
            mixed_precision=recipe.mixed_precision, log_with=tracker, project_dir=str(output_dir), **settings
        )
    except (ValueError, ImportError) as error:
        raise InputError(f"{recipe.name}: cannot be trained on this machine ({first_line(error)}).") from None
    if tracker and not accelerator.log_with:  # accelerate leaves it out without a word
        raise InputError(f"--tracker {tracker}: the package {tracker} is not installed. Install it, or leave it out.")
    set_seed(recipe.seed)
    return accelerator, take_cores()


def take_cores() -> int:
    """Give PyTorch this process's share of the machine's cores; returns the number of threads that it has now.

    `accelerate launch` and `torchrun` set OMP_NUM_THREADS=1 on a CPU where nobody set it, so that a training has one
    core. What the user exported, or told the launcher, stands.
    """
    if not _set_by_user():
        processes = next((int(os.environ[name]) for name in LOCAL_PROCESSES if name in os.environ), 1)
        torch.set_num_threads(max(1, cores() // processes))
    return int(torch.get_num_threads())


def _set_by_user() -> bool:
    """Whether a limit of the environment is the user's and not the launcher's."""
    limits = [name for name in LIMITS if name in os.environ]
    launcher = next((one for one in psutil.Process().parents() if _is_launcher(one)), None)
    if not limits or launcher is None:
        return bool(limits)
    try:
        # The launcher changes its own environment, but the system tells the one that it was started with.
        return any(name in launcher.environ() for name in limits) or any(
            word.startswith(OPTIONS) for word in launcher.cmdline()
        )
    except psutil.Error:
        return True


def _is_launcher(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()[:4]  # python, its options, the program
    except psutil.Error:
        return False
    return any(Path(word).name in LAUNCHERS or word.startswith(MODULES) for word in words)
