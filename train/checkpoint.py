"""What a run is made of besides weights and optimiser, the moving average, and checkpoints that a run goes on from."""

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.swa_utils import AveragedModel

from dataset_builder.inputs import InputError

CHECKPOINT = "checkpoint"
OF = "recipe_hash"


@dataclass
class Progress:
    """How far a run is, and the best weights so far; saved with every checkpoint."""

    epoch: int = 0  # epochs done
    batch: int = 0  # batches done of the epoch that runs
    updates: int = 0
    samples: int = 0
    seconds: float = 0.0  # in steps, of all the run's parts
    best: float = -float("inf")
    best_epoch: int = 0
    scores: list[float] = field(default_factory=list)  # of the validation split, one for every time it was looked at
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    losses: list[torch.Tensor] = field(default_factory=list)  # since they were last shown

    def state_dict(self) -> dict[str, Any]:
        """For `Accelerator.save_state`."""
        return {name: value for name, value in vars(self).items() if name != "losses"}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """For `Accelerator.load_state`."""
        vars(self).update(state)

    def mean_loss(self, accelerator: Accelerator) -> float:
        """Mean of the losses since it was last asked, over all processes."""
        mean = accelerator.reduce(torch.stack(self.losses).mean(), reduction="mean").item()
        self.losses.clear()
        return float(mean)

    def spend(self, since: float) -> float:
        """Count the seconds since a `time.monotonic()`; returns the time now."""
        now = time.monotonic()
        self.seconds += now - since
        return now

    def offer(self, score: float, model: nn.Module) -> None:
        """Take a model's trained weights if its score is the best so far."""
        self.scores.append(round(score, 5))
        if score > self.best:
            self.best, self.best_epoch = score, self.epoch
            self.weights = {
                name: value.detach().to("cpu", copy=True)
                for name, value in model.named_parameters()
                if value.requires_grad
            }


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

    average = AveragedModel(model, multi_avg_fn=towards)
    for ours, theirs in zip(average.module.parameters(), model.parameters(), strict=True):
        ours.requires_grad = theirs.requires_grad
    return average


def keep(accelerator: Accelerator, output_dir: Path, recipe_hash: str) -> None:
    """Write `checkpoint/` whole: weights, optimiser, schedule, random states, progress; the former one is replaced."""
    part, target = output_dir / f"{CHECKPOINT}.part", output_dir / CHECKPOINT
    if accelerator.is_main_process:
        shutil.rmtree(part, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(part))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        (part / OF).write_text(recipe_hash, encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
    accelerator.wait_for_everyone()


def is_kept(output_dir: Path) -> bool:
    """Whether there is a checkpoint to go on from."""
    return (output_dir / CHECKPOINT / OF).exists()


def go_on(accelerator: Accelerator, output_dir: Path, recipe_hash: str) -> None:
    """Load the checkpoint.

    Raises:
        InputError: it is of another recipe.
    """
    place = output_dir / CHECKPOINT
    if (place / OF).read_text(encoding="utf-8") != recipe_hash:
        raise InputError(f"{place}: of another recipe. Delete it to start anew, or give another --output-dir.")
    accelerator.load_state(str(place))


def forget(output_dir: Path) -> None:
    """Delete the checkpoint of a run that is done."""
    shutil.rmtree(output_dir / CHECKPOINT, ignore_errors=True)
