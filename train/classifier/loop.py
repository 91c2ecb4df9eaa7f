"""Trains a classifier: accelerate launch --quiet -m train.classifier --recipe train/recipes/<published model>.yaml

Top to bottom: seed, data, model, batches, optimiser, prepare, steps, evaluate, save.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import get_scheduler

from dataset_builder.inputs import InputError
from dataset_builder.statistics import classwise_calibration_error
from train.checkpoint import Checkpoints, Progress, finite, forget, found_checkpoint, moving_average, plain, room_in
from train.classifier.data import SPLITS, Collate, LengthGroupedBatches, read_corpus, tell_shared, tokenise
from train.classifier.losses import loss_of
from train.classifier.model import fit_head, load_model, parameter_groups, with_lora
from train.classifier.recipe import ClassifierRecipe
from train.classifier.thresholds import (
    Calibration,
    calibrate,
    calibration_error,
    choose_thresholds,
    global_threshold,
    macro_f1,
)
from train.command import SHOWN_EVERY
from train.launch import start_process
from train.save import as_thresholds, identity, libraries, read_by, save, take_up


def train(
    recipe: ClassifierRecipe,
    data: str | None,
    output_dir: Path,
    max_steps: int | None = None,
    *,
    resume: bool = False,
    keep_every: int | None = None,
    tracker: str | None = None,
    base_model: str | None = None,
) -> dict[str, Any]:
    """Train by a recipe and save a folder that `pipeline("text-classification")` loads.

    Args:
        data: the corpus, a folder or Hub id, instead of the recipe's.
        max_steps: stop after so many updates; the schedule ends there too.
        resume: go on from the checkpoint in `output_dir`, if there is one.
        keep_every: updates from one checkpoint to the next, besides those after every epoch.
        tracker: one of `train.command.TRACKERS`; TensorBoard writes to `output_dir`, trackio to its own local folder.
        base_model: a folder or Hub id, instead of the recipe's.

    Returns:
        The training record that is saved beside the weights (`training.json`).
    """
    # --- seed
    accelerator, threads = start_process(
        recipe,
        tracker,
        output_dir,
        gradient_accumulation_steps=recipe.gradient_accumulation_steps,
        dataloader_config=DataLoaderConfiguration(split_batches=True),
    )
    if recipe.batch_size % accelerator.num_processes:
        raise InputError(
            f"{recipe.name}: 'batch_size' {recipe.batch_size} does not divide by {accelerator.num_processes} processes."
        )
    started = time.monotonic()

    # --- data
    corpus = read_corpus(recipe, data)
    if accelerator.is_main_process:
        tell_shared(corpus)

    # --- model
    tokenizer, model = load_model(recipe, base_model)
    read = read_by(recipe, base_model, corpus)
    loss_function = loss_of(recipe)

    # --- batches
    train_rows, dev_rows = (tokenise(corpus.rows(split), tokenizer, recipe) for split in SPLITS)
    lengths = [len(row["input_ids"]) for row in train_rows]
    batches = LengthGroupedBatches(lengths, recipe.batch_size, recipe.seed)
    # A loader draws from its generator whenever it starts; the global one is dropout's alone, so that runs go on alike.
    common: dict[str, Any] = {"collate_fn": Collate(tokenizer), "generator": torch.Generator()}
    train_loader = DataLoader(train_rows, batch_sampler=batches, **common)
    dev_loader = DataLoader(dev_rows, batch_size=recipe.batch_size * 4, **common)
    going_on = found_checkpoint(output_dir, resume=resume, shown=accelerator.is_main_process)
    if recipe.fit_head and not going_on:
        by_length = [train_rows[row] for row in np.argsort(lengths, kind="stable")]
        model.to(accelerator.device)
        fit_head(model, DataLoader(by_length, batch_size=recipe.batch_size * 4, **common), loss_function)

    # --- optimiser
    if recipe.lora:
        model = with_lora(model, recipe.lora)
    if recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    optimiser = torch.optim.AdamW(parameter_groups(model, recipe), fused=True)

    # --- prepare
    if recipe.compile:
        model = torch.compile(model, dynamic=True)
    model, optimiser, train_loader, dev_loader = accelerator.prepare(model, optimiser, train_loader, dev_loader)
    updates = recipe.epochs * -(-len(train_loader) // recipe.gradient_accumulation_steps) * recipe.train_encoder
    updates = min(updates, max_steps or updates)
    schedule = get_scheduler(recipe.schedule, optimiser, round(recipe.warmup_share * updates), updates)
    average = moving_average(model, recipe.ema_decay)
    measured = average.module if average else model
    progress = Progress()
    of = identity(recipe, base_model, corpus)
    checkpoints = Checkpoints(accelerator, output_dir, of, progress, schedule, average)
    if going_on:
        checkpoints.go_on()
    if tracker:
        accelerator.init_trackers(recipe.name, config={"recipe_hash": read["recipe_hash"]})
    if recipe.fit_head and not going_on:
        progress.offer(evaluate(measured, dev_loader, accelerator, recipe), measured)

    # --- steps
    shown = accelerator.is_main_process
    bar = tqdm(total=updates, initial=progress.updates, desc=recipe.name, unit="step", disable=not shown)
    while progress.updates < updates:
        batches.set_epoch(progress.epoch)
        model.train()
        since = time.monotonic()
        for batch in accelerator.skip_first_batches(train_loader, progress.batch):
            with accelerator.accumulate(model):
                targets = batch.pop("targets")
                loss = loss_function(model(**batch).logits.float(), targets)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), recipe.max_gradient_norm)
                optimiser.step()
                optimiser.zero_grad()
            progress.batch += 1
            progress.samples += len(targets) * accelerator.num_processes
            progress.losses.append(loss.detach())
            if not accelerator.sync_gradients:
                continue
            schedule.step()
            progress.updates += 1
            if average:
                average.update_parameters(plain(model))
            bar.update()
            if progress.updates % SHOWN_EVERY == 0 or progress.updates == updates:
                mean = progress.mean_loss(accelerator)
                bar.set_postfix_str(f"epoch {progress.epoch + 1}, loss {mean:.4f}", refresh=False)
                accelerator.log({"loss": mean, "learning_rate": schedule.get_last_lr()[0]}, step=progress.updates)
            if keep_every and progress.updates % keep_every == 0:
                since = progress.spend(since)
                checkpoints.keep()
            if progress.updates == updates:
                break
        progress.spend(since)

        # --- evaluate
        progress.epoch, progress.batch = progress.epoch + 1, 0
        score = evaluate(measured, dev_loader, accelerator, recipe)
        progress.offer(finite(score, f"epoch {progress.epoch}: the loss on the validation split"), measured)
        accelerator.log({f"validation {recipe.best_by}": score}, step=progress.updates)
        if progress.updates < updates:
            checkpoints.keep()
    bar.close()
    best = accelerator.unwrap_model(model, keep_torch_compile=False)
    progress.restore(best)
    logits, gold = predict(best, dev_loader, accelerator)
    calibrated, found = decide(logits, gold >= recipe.hard_at, recipe)

    # --- save
    record = {
        **read,
        "train_rows": len(train_rows),
        "validation_rows": len(dev_rows),
        "steps": progress.updates,
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        f"validation_{recipe.best_by}": progress.scores,
        **found,
        "samples_per_second": round(progress.samples / max(progress.seconds, 1e-9), 1),
        "seconds": round(time.monotonic() - started, 1),
        "processes": accelerator.num_processes,
        "threads": threads,
        "libraries": libraries(),
    }
    if accelerator.is_main_process:
        take_up(best, calibrated)
        with room_in(output_dir):
            save(best, tokenizer, recipe, record, output_dir)
        forget(output_dir)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return record


@torch.inference_mode()  # type: ignore[untyped-decorator]
def predict(model: Any, loader: Any, accelerator: Accelerator) -> tuple[np.ndarray, np.ndarray]:
    """Logits and targets, both (rows, 28), of a split in row order."""
    model.eval()
    logits, targets = [], []
    for batch in loader:
        wanted = batch.pop("targets")
        found, wanted = accelerator.gather_for_metrics((model(**batch).logits.float(), wanted))
        logits.append(found.cpu())
        targets.append(wanted.cpu())
    return torch.cat(logits).numpy(), torch.cat(targets).numpy()


def evaluate(model: Any, loader: Any, accelerator: Accelerator, recipe: ClassifierRecipe) -> float:
    """The recipe's measure of a model on the validation split; higher is better."""
    logits, targets = predict(model, loader, accelerator)
    if not np.isfinite(logits).all():
        return -float("inf")
    if recipe.best_by == "loss":
        return -float(loss_of(recipe)(torch.from_numpy(logits), torch.from_numpy(targets)))
    return global_threshold(sigmoid(logits), targets >= recipe.hard_at)[1]


def decide(logits: np.ndarray, gold: np.ndarray, recipe: ClassifierRecipe) -> tuple[Calibration, dict[str, Any]]:
    """Calibration and thresholds from the validation split, and what the record says of them."""
    calibration = calibrate(logits, gold)
    probabilities = sigmoid(calibration(logits))
    thresholds, source = choose_thresholds(probabilities, gold, recipe.seed)
    return calibration, {
        "dev_macro_f1": round(macro_f1(probabilities >= thresholds, gold), 4),
        "dev_ece_before": round(calibration_error(sigmoid(logits), gold), 5),
        "dev_ece": round(calibration_error(probabilities, gold), 5),
        "dev_classwise_ece_before": round(classwise_calibration_error(gold, sigmoid(logits)), 5),
        "dev_classwise_ece": round(classwise_calibration_error(gold, probabilities), 5),
        "temperatures": as_thresholds(calibration.temperature),
        "thresholds": as_thresholds(thresholds),
        "threshold_source": source,
    }


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits, alike in shape."""
    probabilities: np.ndarray = torch.from_numpy(np.asarray(logits, dtype=np.float64)).sigmoid().numpy()
    return probabilities
