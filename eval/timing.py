"""What measures of speed share: prepared batches, turns, ratios, and how much of the machine was ours."""

import argparse
import importlib.metadata
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dataset_builder.inputs import InputError
from dataset_builder.provenance import cores, provenance

SINGLE, BATCH = 1, 32
SHARE = 4  # of the texts of batches, every fourth is also run alone
COMPANY = 0.05  # share of CPU time of other processes from which on a measure is not to be trusted

Batch = dict[str, np.ndarray]
T = TypeVar("T")


def batches(tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None, size: int) -> list[Batch]:
    """Token ids, mask and, where the tokenizer has them, token types of texts or pairs, (size, longest) each."""
    made = []
    for start in range(0, len(texts), size):
        part = slice(start, start + size)
        second = list(pairs[part]) if pairs is not None else None
        encoded = tokenizer(list(texts[part]), second, padding=True, truncation=True, return_tensors="np")
        made.append({name: values.astype(np.int64) for name, values in encoded.items()})
    return made


def padding_share(data: Sequence[Batch]) -> float:
    """The share of padding among the tokens of some batches."""
    real = sum(int(batch["attention_mask"].sum()) for batch in data)
    return round(1 - real / sum(batch["attention_mask"].size for batch in data), 3)


def seconds_of(run: Callable[[T], Any], data: Sequence[T]) -> list[float]:
    """How long each batch takes."""
    for batch in data[:2]:  # caches and threads are its own again before the clock starts
        run(batch)
    spent = []
    for batch in data:
        started = time.perf_counter()
        run(batch)
        spent.append(time.perf_counter() - started)
    return spent


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Give a command line the number of threads that every contender has alike."""
    parser.add_argument("--threads", type=int, default=cores(), help="of every model alike; default: all cores")


def at_least_one(args: argparse.Namespace, *names: str) -> None:
    """Raises InputError where one of these options of a command line is below 1."""
    for name in names:
        if getattr(args, name) < 1:
            raise InputError(f"--{name.replace('_', '-')} {getattr(args, name)}: give 1 or more.")


def in_turn(names: Sequence[str], turn: int) -> list[str]:
    """The names in another order in every turn, so that none always has the same one before it."""
    first = turn % len(names)
    return [*names[first:], *names[:first]]


def ratio(ours: Sequence[float], base: Sequence[float], digits: int = 2) -> dict[str, float]:
    """The median of the turns' ratios, with their range."""
    ratios = [one / other for one, other in zip(ours, base, strict=True)]
    found = {"value": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}
    return {name: round(value, digits) for name, value in found.items()}


def milliseconds(seconds: Sequence[float]) -> dict[str, dict[str, float]]:
    """Median and 95th percentile of what single texts took, as metrics."""
    found = {percentile: float(np.percentile(seconds, percentile)) * 1000 for percentile in (50, 95)}
    return {f"milliseconds_p{percentile}": {"value": round(value, 2)} for percentile, value in found.items()}


def processor_seconds() -> tuple[float, float]:
    """Spent by this process and, where Linux says so, by all; 0 where it does not."""
    path = Path("/proc/stat")
    if not path.exists():
        return time.process_time(), 0.0
    user, nice, system = (int(field) for field in path.read_text(encoding="ascii").split()[1:4])
    return time.process_time(), (user + nice + system) / os.sysconf("SC_CLK_TCK")


def share_of_others(before: tuple[float, float], after: tuple[float, float], more: float = 0.0) -> float | None:
    """The share of other processes in the CPU time between two calls of `processor_seconds`; None where unknown.

    Args:
        more: seconds of other processes of this measure.
    """
    own, everybody = (last - first for last, first in zip(after, before, strict=True))
    return round(max(0.0, 1 - (own + more) / everybody), 3) if everybody else None


def warn_of_company(share: float | None) -> None:
    """Say so where others took more than a measure bears."""
    if (share or 0) > COMPANY:
        print(f"others took {share:.0%} of the CPU time: measure again on an idle machine.")


def about(*libraries: str) -> dict[str, Any]:
    """The provenance of a measure of speed: with the versions of these libraries, and with the processor."""
    found = provenance()
    found["libraries"] |= {name: importlib.metadata.version(name) for name in libraries}
    found["hardware"] += processor()
    return found


def processor() -> str:
    """Its name and the instructions that int8 speed depends on, where Linux says so."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return ""
    lines = (line.partition(":")[::2] for line in path.read_text(encoding="utf-8").splitlines() if ":" in line)
    known = {key.strip(): value.split() for key, value in lines}
    flags = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx_vnni") if flag in known.get("flags", ())]
    return f", {' '.join(known.get('model name', ['unknown']))}, {' '.join(flags)}"
