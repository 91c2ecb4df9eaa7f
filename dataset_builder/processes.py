"""Processes beside this one: a worker that ends when its parent does, and work in a process of its own."""

import multiprocessing
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from dataset_builder.inputs import InputError

T = TypeVar("T")
SECONDS_BETWEEN_LOOKS = 1.0
_watched: set[int] = set()
_forks_end = False


def exit_with_parent(parent: int) -> None:
    """End this process as soon as the process `parent` ends, however that does (kill -9); at once if it is gone.

    Nothing is cleaned up: what a worker has finished is in its journal.
    """
    if parent in (os.getpid(), *_watched):
        return
    _watched.add(parent)
    threading.Thread(target=_outlive, args=(parent,), name="parent", daemon=True).start()


def _outlive(parent: int) -> None:
    try:
        handle = os.pidfd_open(parent)  # Linux; readable once that process has ended
    except ProcessLookupError:
        os._exit(1)
    except (AttributeError, OSError):
        while _lives(parent):
            time.sleep(SECONDS_BETWEEN_LOOKS)
    else:
        select.select([handle], [], [])
    os._exit(1)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def forks_exit_with_parent() -> Iterator[None]:
    """Processes that are forked meanwhile end when this one does, whoever forks them (datatrove's manager)."""
    global _forks_end
    _forks_end = True
    try:
        yield
    finally:
        _forks_end = False


def _after_fork() -> None:
    _watched.clear()  # threads do not survive a fork
    if _forks_end:
        exit_with_parent(os.getppid())


os.register_at_fork(after_in_child=_after_fork)


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_in_own_process(function: Callable[..., T], *args: Any) -> T:
    """Call a function in a process of its own, whose memory goes with it.

    Raises:
        InputError: what it raises, or that the process was killed.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=exit_with_parent, initargs=(os.getpid(),)) as pool:
        try:
            return pool.submit(function, *args).result()
        except BrokenProcessPool:
            raise InputError(
                "the teacher's process was killed, most likely for want of memory. Free some or take a smaller teacher."
            ) from None
