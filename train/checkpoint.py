"""Training progress, the moving average of the weights, and the checkpoints that a run goes on from."""

import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import extract_model_from_parallel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from dataset_builder.inputs import InputError, first_line

CHECKPOINT = "checkpoint"
PART, OLD = f"{CHECKPOINT}.part", f"{CHECKPOINT}.old"
OF = "recipe_hash"  # written last: its presence says that the checkpoint is whole
SIZES = "sizes.json"  # of its other files, in bytes
PROGRESS, WEIGHTS = "progress.json", "progress.safetensors"
BEST, AVERAGE = "best.", "average."
DIVERGED = "The training diverges: lower the learning rates, or raise 'warmup_share'; after fp16, try bf16 or no."


@dataclass
class Progress:
    """How far a run is, and the best weights so far; saved with every checkpoint."""

    epoch: int = 0  # epochs done
    batch: int = 0  # batches done of the epoch that runs
    updates: int = 0
    samples: int = 0
    seconds: float = 0.0  # in steps, of all the run's parts
    best: float | None = None  # None: not measured yet
    best_epoch: int = 0
    scores: list[float] = field(default_factory=list)  # of the validation split, one for every time it was looked at
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    losses: list[torch.Tensor] = field(default_factory=list)  # since they were last shown

    def numbers(self) -> dict[str, Any]:
        """What of it JSON can hold: all but weights and losses."""
        return {name: value for name, value in vars(self).items() if name not in ("weights", "losses")}

    def mean_loss(self, accelerator: Accelerator) -> float:
        """Mean of the losses since it was last asked, over all processes.

        Raises:
            InputError: it is not finite: the training diverges.
        """
        mean = float(accelerator.reduce(torch.stack(self.losses).mean(), reduction="mean").item())
        self.losses.clear()
        return finite(mean, f"step {self.updates}: the loss")

    def spend(self, since: float) -> float:
        """Count the seconds since a `time.monotonic()`; returns the time now."""
        now = time.monotonic()
        self.seconds += now - since
        return now

    def offer(self, score: float, model: nn.Module) -> None:
        """Take a model's trained weights if its score is the best so far; one that is not finite is none."""
        if not math.isfinite(score):
            return
        self.scores.append(round(score, 5))
        if self.best is None or score > self.best:
            self.best, self.best_epoch = score, self.epoch
            self.weights = {
                name: value.detach().to("cpu", copy=True)
                for name, value in plain(model).named_parameters()
                if value.requires_grad
            }

    def restore(self, model: nn.Module) -> None:
        """Put the best weights into a model."""
        found = plain(model).load_state_dict(self.weights, strict=False)
        assert not found.unexpected_keys, found.unexpected_keys


def finite(value: float, what: str) -> float:
    """The value. Raises InputError where it is not finite: the training diverges, and goes on to no good."""
    if not math.isfinite(value):
        raise InputError(f"{what} is not finite. {DIVERGED}")
    return value


def plain(model: nn.Module) -> nn.Module:
    """The model inside what distributes and compiles it, whose weights have their own names."""
    inside: nn.Module = extract_model_from_parallel(model, keep_torch_compile=False)
    return inside


def moving_average(model: nn.Module, decay: float | None) -> AveragedModel | None:
    """A copy whose weights follow the model's: w ← d·w + (1 - d)·new, where d rises to `decay` as (1 + n) / (10 + n).

    None without a decay.
    """
    if decay is None:
        return None

    def towards(averaged: list[torch.Tensor], new: list[torch.Tensor], number: Any) -> None:
        steps = float(number)
        now = min(decay, (1 + steps) / (10 + steps))
        torch._foreach_lerp_(averaged, new, 1 - now)

    model = plain(model)
    average = AveragedModel(model, multi_avg_fn=towards)
    for ours, theirs in zip(average.module.parameters(), model.parameters(), strict=True):
        ours.requires_grad = theirs.requires_grad
    return average


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoint of a run in `<folder>/checkpoint`: what accelerate keeps, and `Progress`, schedule and average.

    Nothing in it is code: numbers are JSON, weights safetensors, and what else accelerate keeps is loaded as tensors
    and plain values alone. `of` is a hash of the recipe and the data; a checkpoint of another one is refused.
    """

    accelerator: Accelerator
    folder: Path
    of: str
    progress: Progress
    schedule: Any
    average: AveragedModel | None

    def keep(self) -> None:
        """Write it whole: weights, optimiser, random states, progress; then the former one is replaced."""
        keep(self.accelerator, self.folder, self.of, self._write)

    def go_on(self) -> None:
        """Load it.

        Raises:
            InputError: it is of another recipe or other data, or is torn.
        """
        place = whole(self.folder)
        assert place is not None
        if (place / OF).read_text(encoding="utf-8") != self.of:
            raise InputError(
                f"{place}: of another recipe, or of other data. Delete it to start anew, or give another --output-dir."
            )
        try:
            _check_sizes(place)
            self.accelerator.load_state(str(place))
            self._read(place)
        except Exception as error:  # torn files: safetensors, pickle and zip each have errors of their own
            raise InputError(
                f"{place}: does not load ({first_line(error)}). Delete it to start anew, or give another --output-dir."
            ) from None

    def _write(self, place: Path) -> None:
        tensors = {BEST + name: value for name, value in self.progress.weights.items()}
        if self.average:
            tensors |= {AVERAGE + name: value.detach().cpu() for name, value in self._averaged().items()}
        save_file({name: value.contiguous() for name, value in tensors.items()}, place / WEIGHTS)
        content = {"progress": self.progress.numbers(), "schedule": self.schedule.state_dict()}
        (place / PROGRESS).write_text(json.dumps(content, allow_nan=False), encoding="utf-8")

    def _read(self, place: Path) -> None:
        content = json.loads((place / PROGRESS).read_text(encoding="utf-8"))
        tensors = load_file(place / WEIGHTS)
        vars(self.progress).update({name: content["progress"][name] for name in self.progress.numbers()})
        self.progress.weights = {
            name.removeprefix(BEST): value for name, value in tensors.items() if name.startswith(BEST)
        }
        self.schedule.load_state_dict(content["schedule"])
        if self.average:
            with torch.no_grad():
                for name, value in self._averaged().items():
                    value.copy_(tensors[AVERAGE + name])

    def _averaged(self) -> dict[str, torch.Tensor]:
        assert self.average is not None
        return {**dict(self.average.module.named_parameters()), "n_averaged": self.average.n_averaged}


def keep(accelerator: Accelerator, output_dir: Path, of: str, write: Callable[[Path], None] | None = None) -> None:
    """Write `checkpoint/` whole and then replace the former one: at every moment one of the two is whole on disk.

    Args:
        of: what the checkpoint is of.
        write: adds files to its folder.

    Raises:
        InputError: it cannot be written. The former one is kept.
    """
    part, target, old = (output_dir / name for name in (PART, CHECKPOINT, OLD))
    if accelerator.is_main_process:
        settle(output_dir)
        shutil.rmtree(part, ignore_errors=True)
    accelerator.wait_for_everyone()
    with room_in(part):
        accelerator.save_state(str(part))
        if write and accelerator.is_main_process:
            write(part)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        sizes = {path.name: path.stat().st_size for path in part.iterdir()}
        (part / SIZES).write_text(json.dumps(sizes), encoding="utf-8")
        (part / OF).write_text(of, encoding="utf-8")
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            target.rename(old)
        part.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    accelerator.wait_for_everyone()


@contextmanager
def room_in(folder: Path) -> Iterator[None]:
    """Weights are written there. Raises InputError for what the libraries make of a full disk."""
    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        raise InputError(
            f"{folder}: cannot be written ({first_line(error)}). Make room; --resume goes on from the last checkpoint."
        ) from None


def _check_sizes(place: Path) -> None:
    """Raises InputError where a file is not as it was written. Of torn random states accelerate says nothing."""
    for name, size in json.loads((place / SIZES).read_text(encoding="utf-8")).items():
        if not (place / name).exists() or (found := (place / name).stat().st_size) != size:
            raise InputError(f"{name} has {found if (place / name).exists() else 0} of its {size} bytes")


def whole(output_dir: Path) -> Path | None:
    """The folder of a whole checkpoint, under another name after a kill between two renames; None without one."""
    places = (output_dir / name for name in (CHECKPOINT, PART, OLD))
    return next((place for place in places if (place / OF).exists()), None)


def settle(output_dir: Path) -> None:
    """Give a whole checkpoint its own name where a kill left it under another."""
    found, target = whole(output_dir), output_dir / CHECKPOINT
    if found is None or found == target:
        return
    shutil.rmtree(target, ignore_errors=True)  # not whole
    found.rename(target)


def is_kept(output_dir: Path) -> bool:
    """Whether there is a checkpoint to go on from."""
    return whole(output_dir) is not None


def found_checkpoint(output_dir: Path, *, resume: bool, shown: bool) -> bool:
    """Whether a run is to go on from a checkpoint; says so where it was asked to and there is none, or the reverse."""
    kept = is_kept(output_dir)
    if resume and not kept and shown:
        print(f"{output_dir}: has no checkpoint to resume from; the training starts at step 0.", file=sys.stderr)
    if kept and not resume and shown:
        what = "Stop now and add --resume to go on from it; this training starts at step 0 and replaces it"
        print(f"{output_dir}: has a checkpoint. {what}.", file=sys.stderr)
    return resume and kept


def forget(output_dir: Path) -> None:
    """Delete the checkpoint of a run that is done."""
    for name in (CHECKPOINT, PART, OLD):
        shutil.rmtree(output_dir / name, ignore_errors=True)
