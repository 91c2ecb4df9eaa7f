"""Starts a training process: its accelerator, its seed, and its share of the cores."""

import os
from pathlib import Path

import psutil
import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, set_seed

from dataset_builder.inputs import InputError, first_line
from dataset_builder.processes import available_cores
from train.recipe import TrainingRecipe

# How a user limits threads, how launchers say the number of local processes, and how a launcher is recognised.
LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
LIMIT_OPTIONS = ("--num_cpu_threads_per_process", "--num-cpu-threads-per-process")
LOCAL_PROCESSES = ("LOCAL_WORLD_SIZE", "MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE")
LAUNCHERS = ("accelerate", "accelerate-launch", "torchrun")
LAUNCHER_MODULES = ("accelerate.commands.", "torch.distributed.")


def start_process(
    recipe: TrainingRecipe, tracker: str | None, output_dir: Path, *, split_batches: bool = False, accumulate: int = 1
) -> tuple[Accelerator, int]:
    """Return the accelerator of a recipe, seeded, and the number of threads of this process.

    Args:
        split_batches: loaders give each process its share of a batch, not the whole of it.
        accumulate: batches for an update.

    Raises:
        InputError: this machine lacks something that the recipe needs.
    """
    try:
        accelerator = Accelerator(
            mixed_precision=recipe.mixed_precision,
            log_with=tracker,
            project_dir=str(output_dir),
            gradient_accumulation_steps=accumulate,
            dataloader_config=DataLoaderConfiguration(split_batches=split_batches),
        )
    except (ValueError, ImportError) as error:
        raise InputError(f"{recipe.name}: cannot be trained on this machine ({first_line(error)}).") from None
    if tracker and not accelerator.log_with:  # accelerate leaves a missing package out silently
        raise InputError(
            f"--tracker {tracker}: the package {tracker} is not installed. Install it, or remove the option."
        )
    if split_batches and recipe.batch_size % accelerator.num_processes:
        raise InputError(
            f"{recipe.name}: 'batch_size' {recipe.batch_size} is not divisible by {accelerator.num_processes} "
            "processes."
        )
    set_seed(recipe.seed)
    return accelerator, use_cores()


def use_cores() -> int:
    """Give PyTorch this process's share of the machine's cores; returns its number of threads.

    `accelerate launch` and `torchrun` set OMP_NUM_THREADS=1 if the user did not set it, so that a training on a CPU
    would use one core. A limit that the user exported, or gave to the launcher, is kept.
    """
    if not _limited_by_user():
        processes = next((int(os.environ[name]) for name in LOCAL_PROCESSES if name in os.environ), 1)
        torch.set_num_threads(max(1, available_cores() // processes))
    return int(torch.get_num_threads())


def _limited_by_user() -> bool:
    """Return whether a limit in the environment is the user's and not the launcher's."""
    limits = [name for name in LIMITS if name in os.environ]
    launcher = next((parent for parent in psutil.Process().parents() if _is_launcher(parent)), None)
    if not limits or launcher is None:
        return bool(limits)
    try:
        # The launcher changes its own environment, but the system keeps the one that it was started with.
        return any(name in launcher.environ() for name in limits) or any(
            word.startswith(LIMIT_OPTIONS) for word in launcher.cmdline()
        )
    except psutil.Error:
        return True


def _is_launcher(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()[:4]  # python, its options, the program
    except psutil.Error:
        return False
    return any(Path(word).name in LAUNCHERS or word.startswith(LAUNCHER_MODULES) for word in words)
