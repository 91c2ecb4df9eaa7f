"""Runs a command and says how long it took and how much memory it and all its children held."""

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

GIB = 2**30
SECONDS_BETWEEN_LOOKS = 0.2


@dataclass
class Spent:
    """Wall time, and the largest sum of resident memory of all processes, in bytes; shared pages count in each."""

    seconds: float = 0.0
    memory: int = 0


def watch(
    command: list[str], phase: Callable[[], str] = lambda: "", good_codes: tuple[int, ...] = (0,)
) -> dict[str, Spent]:
    """Run a command to its end; what it spent in each phase, which `phase()` names.

    Raises:
        RuntimeError: the command ended with a code that is not good.
    """
    spent: dict[str, Spent] = {}
    with tempfile.TemporaryFile() as errors:  # no pipe: progress bars would fill it
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        before = time.monotonic()
        while True:
            current = spent.setdefault(phase(), Spent())
            current.memory = max(current.memory, _memory(process.pid))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(SECONDS_BETWEEN_LOOKS)
            now = time.monotonic()
            current.seconds += now - before
            before = now
            if process.returncode is not None:
                break
        errors.seek(0)
        said = errors.read().decode(errors="replace")[-500:]
    if process.returncode not in good_codes:
        raise RuntimeError(f"{' '.join(command)} failed: {said}")
    return spent


def _memory(pid: int) -> int:
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += one.memory_info().rss
    return total
