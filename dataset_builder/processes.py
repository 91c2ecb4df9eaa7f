"""Helper processes: workers that exit when their parent does, and functions that run in their own process."""

import contextlib
import multiprocessing
import os
import select
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import psutil

from dataset_builder.inputs import InputError

T = TypeVar("T")
_watched: set[int] = set()
_forks_exit = False


def exit_with_parent(parent: int) -> None:
    """Exit as soon as the process `parent` ends, even if it was killed; at once if it is already gone.

    Nothing is cleaned up: what a worker has finished is in its journal.
    """
    if parent not in (os.getpid(), *_watched):
        _watched.add(parent)
        threading.Thread(target=_wait_and_exit, args=(parent,), name="parent", daemon=True).start()


def _wait_and_exit(parent: int) -> None:
    try:
        # On Linux the handle becomes readable when the process ends, even if nobody reaps it.
        select.select([os.pidfd_open(parent)], [], [])
    except (AttributeError, OSError):
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(parent).wait()
    os._exit(1)


@contextlib.contextmanager
def forks_exit_with_parent() -> Iterator[None]:
    """Inside this block every forked process exits when this one does, whichever library forks it (datatrove does)."""
    global _forks_exit
    _forks_exit = True
    try:
        yield
    finally:
        _forks_exit = False


def _after_fork() -> None:
    _watched.clear()  # threads do not survive a fork
    if _forks_exit:
        exit_with_parent(os.getppid())


os.register_at_fork(after_in_child=_after_fork)


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_in_own_process(function: Callable[..., T], *args: Any) -> T:
    """Call a function in its own process, so that all its memory is freed afterwards.

    Raises:
        InputError: the function raised it, or the process was killed.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=exit_with_parent, initargs=(os.getpid(),)) as pool:
        try:
            return pool.submit(function, *args).result()
        except BrokenProcessPool:
            raise InputError(
                "the teacher's process was killed, probably because memory ran out. Free memory or use a smaller "
                "teacher."
            ) from None
