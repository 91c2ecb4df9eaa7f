"""The loop of all speed measurements: contenders alternate, so that other load affects all of them equally."""

import os
import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from tqdm import tqdm

from dataset_builder.inputs import InputError
from dataset_builder.processes import exit_with_parent
from dataset_builder.provenance import provenance
from eval.speed.engines import FILES, peak_memory, start, time_set

BATCH = 32
ALONE = 4  # every fourth text of the batches is also run alone, as a batch of one

Batch = dict[str, np.ndarray]
Metrics = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Contender:
    """A model in an engine, and the sets of batches that it reads.

    `passes` is the number of rows of a batch that one text needs: 28 if each label needs a separate pass.
    """

    engine: str
    place: str
    sets: dict[str, list[Any]]
    passes: int = 1

    @property
    def size(self) -> int:
        """The bytes of its weights on disk."""
        patterns = {**FILES, "static": "*.safetensors"}  # a static model's vectors and head
        weights = Path(self.place).glob(patterns.get(self.engine, "*model*.safetensors"))
        return sum(file.stat().st_size for file in weights)

    def texts(self, name: str) -> int:
        """Return how many texts a set has."""
        rows = sum(len(batch["input_ids"] if isinstance(batch, dict) else batch) for batch in self.sets[name])
        return rows // self.passes


@dataclass
class Turns:
    """What was measured: the seconds of each batch, in a list for each turn, by (contender, set), and peak memory."""

    seconds: dict[tuple[str, str], list[list[float]]] = field(default_factory=dict)
    peak_memory: dict[str, int] = field(default_factory=dict)
    cpu_share_of_others: float | None = None


def batches(tokenizer: Any, texts: Sequence[str], size: int, pairs: Sequence[str] | None = None) -> list[Batch]:
    """Token ids, masks and, if the tokenizer has them, token types of texts or pairs, padded to the longest."""
    made = []
    for first in range(0, len(texts), size):
        part = slice(first, first + size)
        second = list(pairs[part]) if pairs is not None else None
        encoded = tokenizer(list(texts[part]), second, padding=True, truncation=True, return_tensors="np")
        made.append({name: values.astype(np.int64) for name, values in encoded.items()})
    return made


def padding_share(data: Sequence[Batch]) -> float:
    """Return the share of padding among the tokens of some batches."""
    real = sum(int(batch["attention_mask"].sum()) for batch in data)
    return round(1 - real / sum(batch["attention_mask"].size for batch in data), 3)


def take_turns(contenders: dict[str, Contender], rounds: int, threads: int) -> Turns:
    """Time each set of each contender `rounds` times. Raises InputError if one cannot be loaded or its process ends."""
    found, names = Turns(), list(contenders)
    with ExitStack() as stack:
        worker = partial(ProcessPoolExecutor, 1, get_context("spawn"), exit_with_parent, (os.getpid(),))
        workers = {name: stack.enter_context(worker()) for name in names}
        name = names[0]
        try:
            for name, one in contenders.items():
                workers[name].submit(start, one.engine, one.place, threads, one.sets).result()
            before = cpu_seconds()
            for turn in tqdm(range(rounds), unit="round"):
                # A different order in every turn, so that no contender always follows the same one.
                first = turn % len(names)
                for which in dict.fromkeys(which for one in contenders.values() for which in one.sets):
                    for name in [*names[first:], *names[:first]]:
                        seconds = workers[name].submit(time_set, which).result()
                        found.seconds.setdefault((name, which), []).append(seconds)
            found.cpu_share_of_others = share_of_others(before, cpu_seconds())
            for name in names:
                found.peak_memory[name] = workers[name].submit(peak_memory).result()
        except BrokenProcessPool:
            raise InputError(
                f"{name}: its process ended. If there is no message above, it may have run out of memory: measure "
                "fewer or smaller models (see --stand-ins)."
            ) from None
    return found


def speeds(turns: Turns, contenders: dict[str, Contender], base: str) -> Metrics:
    """Return texts per second (the median of the turns) and their ratio to a base's; of single texts, latencies too."""
    rates = {
        (name, which): [contenders[name].texts(which) / sum(seconds) for seconds in of_turns]
        for (name, which), of_turns in turns.seconds.items()
    }
    metrics: Metrics = {}
    for (name, which), own in rates.items():
        metrics[f"{name}_ratio_{which}"] = ratio(own, rates[base, which])
        metrics[f"{name}_texts_per_second_{which}"] = {"value": round(statistics.median(own), 3)}
        if which == "batch1":
            singles = [value for turn in turns.seconds[name, which] for value in turn]
            for percentile in (50, 95):
                milliseconds = float(np.percentile(singles, percentile)) * 1000
                metrics[f"{name}_milliseconds_p{percentile}_{which}"] = {"value": round(milliseconds, 2)}
    return metrics


def ratio(ours: Sequence[float], base: Sequence[float]) -> dict[str, float]:
    """Return the median of the turns' ratios, with their range."""
    ratios = [one / other for one, other in zip(ours, base, strict=True)]
    found = {"value": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}
    return {name: round(value, 4) for name, value in found.items()}


def cpu_seconds() -> tuple[float, float]:
    """Return the CPU time of this process with its children, and of the whole machine, so far."""
    own = psutil.Process()
    ours = sum(sum(one.cpu_times()[:2]) for one in [own, *own.children(recursive=True)])
    machine = psutil.cpu_times()
    return ours, machine.user + machine.system + getattr(machine, "nice", 0.0)


def share_of_others(before: tuple[float, float], after: tuple[float, float]) -> float | None:
    """The share of other processes in the CPU time between two calls of `cpu_seconds`; None if nothing passed."""
    ours, machine = (last - first for last, first in zip(after, before, strict=True))
    return round(max(0.0, 1 - ours / machine), 3) if machine else None


def about(*libraries: str) -> dict[str, Any]:
    """Return the provenance of a measure of speed: with these libraries too, and the processor if Linux names it."""
    found = provenance(*libraries)
    path = Path("/proc/cpuinfo")
    if path.exists():
        lines = (line.partition(":")[::2] for line in path.read_text(encoding="utf-8").splitlines() if ":" in line)
        known = {key.strip(): value.split() for key, value in lines}
        # the instructions that the speed of int8 depends on
        flags = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx_vnni") if flag in known.get("flags", ())]
        found["hardware"] += f", {' '.join(known.get('model name', ['unknown']))}, {' '.join(flags)}"
    return found
