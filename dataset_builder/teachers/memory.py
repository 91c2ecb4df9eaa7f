"""How much memory an embedded teacher takes, and how many workers with one fit on this machine."""

import json
import struct
from math import prod
from pathlib import Path

import psutil

from dataset_builder.inputs import InputError
from dataset_builder.recipe import EmbeddedTeacher
from dataset_builder.teachers import gguf_path

GIB = 2**30
BESIDE = 1.4 * GIB  # Python, torch, the states of prompts and batches: measured with a model of 1.5B (1.46)
LIMIT, USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.stat")


def memory_needed(config: EmbeddedTeacher) -> int | None:
    """Bytes that a worker with this teacher takes; None where its weights are not on this machine yet."""
    weights = _count_weights(config)
    return None if weights is None else int(weights * (1 if config.int8 else 4) + BESIDE)


def check_memory(config: EmbeddedTeacher, workers: int, *, here: bool) -> int | None:
    """How many workers with this teacher fit, None where nobody knows.

    Args:
        workers: how many are to run at a time.
        here: the one worker is this process, which may hold its teacher already.

    Raises:
        InputError: fewer fit than are to run.
    """
    needed = memory_needed(config)
    if needed is None:
        return None
    free = available() + (psutil.Process().memory_info().rss if here else 0)
    fit = int(free // needed)
    if fit >= workers:
        return fit
    what = (
        f"teacher '{config.model}' takes about {needed / GIB:.1f} GiB a worker and {free / GIB:.1f} GiB are available"
    )
    if fit:
        raise InputError(f"{what}: {fit} of {workers} workers fit. Set executor.workers: {fit}, or free memory.")
    smaller = "" if config.int8 else ", set teacher.int8: true"
    raise InputError(f"{what}: no worker fits. Free memory{smaller} or take a smaller teacher.")


def available() -> int:
    """Bytes of memory that this process and its children may still take, by the machine and by its control group."""
    free = int(psutil.virtual_memory().available)
    try:
        limit = LIMIT.read_text().strip()
        used = dict(line.split() for line in USED.read_text().splitlines())
        return free if limit == "max" else min(free, max(int(limit) - int(used["anon"]), 0))
    except (OSError, ValueError, KeyError):
        return free


def _count_weights(config: EmbeddedTeacher) -> int | None:
    """How many numbers a model's weights are, from the heads of its files; None where these cannot be read."""
    try:
        if gguf := gguf_path(config):
            from transformers.integrations.gguf.reader import GgufHeader

            shapes = [tensor.shape for tensor in GgufHeader.from_file(str(gguf)).tensors]
            return sum(map(prod, shapes))
        files = list(Path(config.model).glob("*.safetensors"))
        return sum(map(_count_in_safetensors, files)) if files else None
    except (OSError, ValueError, KeyError, struct.error):
        return None  # loading it says what is wrong


def _count_in_safetensors(path: Path) -> int:
    with open(path, "rb") as file:
        head = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    return sum(prod(tensor["shape"]) for name, tensor in head.items() if name != "__metadata__")
