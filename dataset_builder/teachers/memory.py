"""How much memory an embedded teacher needs, and how many workers fit on this machine."""

from math import prod
from pathlib import Path

import psutil

from dataset_builder.inputs import InputError
from dataset_builder.recipe import EmbeddedTeacher

GIB = 2**30
BESIDES_WEIGHTS = 1.4 * GIB  # Python, torch, states of prompts and batches: measured with a model of 1.5B (1.46)
LIMIT, USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.stat")


def memory_needed(config: EmbeddedTeacher) -> int | None:
    """Return the bytes that a worker with this teacher takes; None if its weights are not on this machine yet."""
    weights = _count_weights(config)
    return None if weights is None else int(weights * (1 if config.int8 else 4) + BESIDES_WEIGHTS)


def check_memory(config: EmbeddedTeacher, workers: int, *, here: bool) -> int | None:
    """Return how many workers with this teacher fit; None if unknown.

    Args:
        workers: how many will run at a time.
        here: the one worker is this process, which may have loaded its teacher already.

    Raises:
        InputError: fewer fit than will run.
    """
    needed = memory_needed(config)
    if needed is None:
        return None
    free = available() + (psutil.Process().memory_info().rss if here else 0)
    fit = int(free // needed)
    if fit >= workers:
        return fit
    what = f"teacher '{config.model}' needs about {needed / GIB:.1f} GiB per worker; {free / GIB:.1f} GiB are available"
    if fit:
        raise InputError(f"{what}: {fit} of {workers} workers fit. Set executor.workers: {fit}, or free memory.")
    smaller = "" if config.int8 else ", set teacher.int8: true"
    raise InputError(f"{what}: no worker fits. Free memory{smaller} or use a smaller teacher.")


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
    """Return the number of a model's weights, from the headers of its files; None if these cannot be read."""
    from safetensors import safe_open
    from transformers.integrations.gguf.reader import GgufHeader

    try:
        count = 0
        if gguf := config.gguf_path():
            count = sum(prod(tensor.shape) for tensor in GgufHeader.from_file(str(gguf)).tensors)
        else:
            for path in Path(config.model).glob("*.safetensors"):
                with safe_open(path, "numpy") as file:
                    count += sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
        return count or None
    except InputError:
        raise
    except Exception:  # of several libraries; loading the model reports what is wrong
        return None
