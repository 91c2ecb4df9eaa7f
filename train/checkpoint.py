"""Training progress, the moving average of the weights, and checkpoints for resuming."""

import json
import math
import shutil
import sys
import time
from collections.abc import Iterator
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

from dataset_builder.files.reading import json_file
from dataset_builder.inputs import InputError, first_line

# A checkpoint is written as `.part`. While it replaces the previous checkpoint, the previous one is `.old`.
CHECKPOINT = "checkpoint"
PART, OLD = f"{CHECKPOINT}.part", f"{CHECKPOINT}.old"
IDENTITY = "recipe_hash"  # the file of the training's identity; written last, so it marks a whole checkpoint
SIZES = "sizes.json"  # of the other files, in bytes
PROGRESS, WEIGHTS = "progress.json", "progress.safetensors"
BEST, AVERAGE = "best.", "average."  # begin the names of weights in WEIGHTS
REPORT_EVERY = 10  # updates
DIVERGED = "The training has diverged: lower the learning rates, or raise 'warmup_share'; after fp16, try bf16 or no."


@dataclass
class Progress:
    """The progress of a run, and the best weights so far; saved with every checkpoint."""

    epoch: int = 0  # epochs done
    batch: int = 0  # batches done in the current epoch
    updates: int = 0
    samples: int = 0
    seconds: float = 0.0  # spent in steps, over all parts of a resumed run
    best: float | None = None  # None: not measured yet
    best_epoch: int = 0
    keeps_last: bool = False  # publish the last epoch, not the best
    scores: list[float] = field(default_factory=list)  # on the validation split, one for each evaluation
    weights: dict[str, torch.Tensor] = field(default_factory=dict)  # the best ones
    losses: list[torch.Tensor] = field(default_factory=list)  # since the last report
    since: float = 0.0  # the `time.monotonic()` up to which seconds are counted

    def numbers(self) -> dict[str, Any]:
        """Return what a checkpoint stores as JSON: everything except weights, losses and the clock."""
        return {name: value for name, value in vars(self).items() if name not in ("weights", "losses", "since")}

    def add_batch(self, loss: torch.Tensor, samples: int) -> None:
        """Count a batch. The loss stays a tensor: its number would make a GPU wait in every step."""
        self.seconds += time.monotonic() - self.since
        self.start_clock()
        self.batch += 1
        self.samples += samples
        self.losses.append(loss.detach())

    def add_update(self, bar: Any, accelerator: Accelerator, schedule: Any, **measured: torch.Tensor) -> None:
        """Count an update. Show and log the losses' mean over all processes from time to time, with other measures.

        Raises:
            InputError: the mean is not finite: the training diverges.
        """
        self.updates += 1
        bar.update()
        if self.updates % REPORT_EVERY and self.updates != bar.total:
            return
        # The only line that reads the loss from the device: between reports a GPU does not wait for the CPU.
        mean = float(accelerator.reduce(torch.stack(self.losses).mean(), reduction="mean").item())
        self.losses.clear()
        found = {"loss": finite(mean, f"step {self.updates}: the loss")}
        found |= {name: float(value) for name, value in measured.items()}
        shown = "".join(f", {name} {value:.4f}" for name, value in found.items())
        bar.set_postfix_str(f"epoch {self.epoch + 1}{shown}", refresh=False)
        accelerator.log(found | {"learning_rate": schedule.get_last_lr()[0]}, step=self.updates)

    def end_epoch(self, measure: str, score: float, model: nn.Module, accelerator: Accelerator) -> None:
        """Count an epoch, log its score on the validation split, and keep the model's weights if it is the best.

        Raises:
            InputError: the score is not finite: the training diverges.
        """
        self.epoch, self.batch = self.epoch + 1, 0
        self.update_best(finite(score, f"epoch {self.epoch}: the loss on the validation split"), model)
        accelerator.log({f"validation {measure}": score}, step=self.updates)

    def start_clock(self) -> None:
        """Count seconds from now on: evaluations and checkpoints are excluded."""
        self.since = time.monotonic()

    def update_best(self, score: float, model: nn.Module) -> None:
        """Keep a model's trained weights if its score is finite, and the best so far or the last one is published."""
        if not math.isfinite(score):
            return
        self.scores.append(round(score, 5))
        if self.best is None or score > self.best or self.keeps_last:
            self.best, self.best_epoch = score, self.epoch
            # Copies on the CPU, because the training goes on and the device may have no room for a second model. Frozen
            # weights are left out: the model still has them.
            self.weights = {
                name: value.detach().to("cpu", copy=True)
                for name, value in unwrap(model).named_parameters()
                if value.requires_grad
            }

    def restore_best(self, model: nn.Module) -> nn.Module:
        """Put the best weights into a model; returns the model without its wrappers."""
        inside = unwrap(model)
        # Not strict, because frozen weights were not kept.
        found = inside.load_state_dict(self.weights, strict=False)
        assert not found.unexpected_keys, found.unexpected_keys
        return inside


def finite(value: float, what: str) -> float:
    """Return the value. Raises InputError if it is not finite: the training diverges and cannot recover."""
    if not math.isfinite(value):
        raise InputError(f"{what} is not finite. {DIVERGED}")
    return value


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model without the wrappers that distribute or compile it, which rename its weights."""
    inside: nn.Module = extract_model_from_parallel(model, keep_torch_compile=False)
    return inside


def moving_average(model: nn.Module, decay: float | None) -> AveragedModel | None:
    """Return a copy whose weights follow the model's: w ← d·w + (1 - d)·new; None without a decay.

    d rises to `decay` as (1 + n) / (10 + n) with the update n, so that the first weights, which are the worst, soon
    stop counting.
    """
    if decay is None:
        return None

    def towards(averaged: list[torch.Tensor], new: list[torch.Tensor], number: Any) -> None:
        steps = float(number)
        now = min(decay, (1 + steps) / (10 + steps))
        torch._foreach_lerp_(averaged, new, 1 - now)

    model = unwrap(model)
    average = AveragedModel(model, multi_avg_fn=towards)
    # `update_best` keeps only weights that are trained, also those of the average.
    for ours, theirs in zip(average.module.parameters(), model.parameters(), strict=True):
        ours.requires_grad = theirs.requires_grad
    return average


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoint of a run in `<folder>/checkpoint`: accelerate's files, progress, schedule and moving average.

    Nothing in it is code: numbers are JSON, weights are safetensors, and accelerate loads its own files as tensors and
    plain values only. `identity` is a hash of recipe, base model and data (train/training_record.py).
    """

    accelerator: Accelerator
    folder: Path
    identity: str
    progress: Progress
    schedule: Any
    average: AveragedModel | None

    def save(self) -> None:
        """Write a new checkpoint, then replace the previous one: after a kill at any time, one of them is complete.

        Raises:
            InputError: it cannot be written. The previous checkpoint is kept.
        """
        # Order matters: the new checkpoint is whole in `.part` before the previous one gives up its name, and the
        # previous one is deleted last.
        part, target, old = (self.folder / name for name in (PART, CHECKPOINT, OLD))
        if self.accelerator.is_main_process:
            # After a kill the only whole checkpoint may be the `.part` or `.old` one.
            found = find_checkpoint(self.folder)
            if found is not None and found != target:
                shutil.rmtree(target, ignore_errors=True)
                found.rename(target)
            shutil.rmtree(part, ignore_errors=True)
        # Every process writes its random state into the folder, so it must be empty before any of them starts.
        self.accelerator.wait_for_everyone()
        with weights_written_to(part):
            self.accelerator.save_state(str(part))
            if self.accelerator.is_main_process:
                self._write(part)
        # The sizes are taken when all processes have written.
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            sizes = {path.name: path.stat().st_size for path in part.iterdir()}
            (part / SIZES).write_text(json.dumps(sizes), encoding="utf-8")
            # Last of all files: it marks the checkpoint as whole.
            (part / IDENTITY).write_text(self.identity, encoding="utf-8")
            shutil.rmtree(old, ignore_errors=True)
            # A kill between these renames leaves no `checkpoint`, but a whole `.part` or `.old` (`find_checkpoint`).
            if target.exists():
                target.rename(old)
            part.rename(target)
            shutil.rmtree(old, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        # Writing does not count as training time.
        self.progress.start_clock()

    def load(self) -> None:
        """Load weights, optimiser, random states and progress.

        Raises:
            InputError: the checkpoint belongs to another recipe or other data, or is torn.
        """
        place = find_checkpoint(self.folder)
        assert place is not None
        if (place / IDENTITY).read_text(encoding="utf-8") != self.identity:
            raise InputError(
                f"{place}: belongs to a different recipe or to different data. Delete it to start again, or "
                "use another --output-dir."
            )
        try:
            _check_sizes(place)
            self.accelerator.load_state(str(place))
            self._read(place)
        except Exception as error:  # torn files: safetensors, pickle and zip each have errors of their own
            raise InputError(
                f"{place}: cannot be loaded ({first_line(error)}). Delete it to start again, or use another "
                "--output-dir."
            ) from None

    def _write(self, place: Path) -> None:
        tensors = {BEST + name: value for name, value in self.progress.weights.items()}
        tensors |= {AVERAGE + name: value.detach().cpu() for name, value in self._averaged().items()}
        # safetensors refuses tensors that are not contiguous.
        save_file({name: value.contiguous() for name, value in tensors.items()}, place / WEIGHTS)
        content = {"progress": self.progress.numbers(), "schedule": self.schedule.state_dict()}
        (place / PROGRESS).write_text(json.dumps(content, allow_nan=False), encoding="utf-8")

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _read(self, place: Path) -> None:
        content, tensors = json_file(place / PROGRESS), load_file(place / WEIGHTS)
        vars(self.progress).update({name: content["progress"][name] for name in self.progress.numbers()})
        self.progress.weights = {
            name.removeprefix(BEST): value for name, value in tensors.items() if name.startswith(BEST)
        }
        self.schedule.load_state_dict(content["schedule"])
        for name, value in self._averaged().items():
            value.copy_(tensors[AVERAGE + name])

    def _averaged(self) -> dict[str, torch.Tensor]:
        if self.average is None:
            return {}
        # The number of updates sets the decay of the average, so it is part of the checkpoint.
        return {**dict(self.average.module.named_parameters()), "n_averaged": self.average.n_averaged}


@contextmanager
def weights_written_to(folder: Path) -> Iterator[None]:
    """Turn the errors that libraries raise on a full disk into InputError."""
    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        raise InputError(
            f"{folder}: cannot be written ({first_line(error)}). Free some space; --resume continues "
            "from the last checkpoint."
        ) from None


def _check_sizes(place: Path) -> None:
    """Raise InputError if a file is incomplete: accelerate silently ignores truncated random states."""
    for name, size in json_file(place / SIZES).items():
        found = (place / name).stat().st_size if (place / name).exists() else 0
        if found != size:
            raise InputError(f"{name} has {found} of its {size} bytes")


def find_checkpoint(output_dir: Path) -> Path | None:
    """Return the folder of a complete checkpoint, or None. After a kill between two renames it has another name."""
    places = (output_dir / name for name in (CHECKPOINT, PART, OLD))
    return next((place for place in places if (place / IDENTITY).exists()), None)


def should_resume(output_dir: Path, *, resume: bool, shown: bool) -> bool:
    """Return whether there is a checkpoint and the user asked to resume; print a line if only one of them is true."""
    there = find_checkpoint(output_dir) is not None
    if resume and not there and shown:
        print(f"{output_dir}: contains no checkpoint to resume from; training starts at step 0.", file=sys.stderr)
    if there and not resume and shown:
        what = "To resume from it, stop now and add --resume; this run starts at step 0 and replaces it"
        print(f"{output_dir}: contains a checkpoint. {what}.", file=sys.stderr)
    return resume and there


def delete_checkpoint(output_dir: Path) -> None:
    """Delete the checkpoint of a finished run."""
    for name in (CHECKPOINT, PART, OLD):
        shutil.rmtree(output_dir / name, ignore_errors=True)
