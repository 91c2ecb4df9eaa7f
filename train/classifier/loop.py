"""Trains a classifier: from a recipe to a folder that `pipeline("text-classification")` loads.

Top to bottom: seed, data, model, batches, optimiser, prepare, steps, evaluate, save.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from scipy.special import expit
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import DataCollatorWithPadding, PreTrainedTokenizerBase, get_scheduler

from dataset_builder.statistics import classwise_calibration_error, expected_calibration_error, macro_f1
from dataset_builder.taxonomy import LABELS
from dataset_builder.thresholds import choose_thresholds, global_threshold
from train.batches import LengthGroupedBatches, count_updates
from train.checkpoint import Checkpoints, Progress, delete_checkpoint, moving_average, should_resume, unwrap
from train.classifier.calibration import NO_CALIBRATION, Calibration, calibrate
from train.classifier.data import Example, read_corpus, read_others, tokenise, warn_of_shared_texts
from train.classifier.losses import loss_of
from train.classifier.model import (
    fit_head,
    fold_calibration_into_head,
    load_model,
    parameter_groups,
    round_weights,
    save_model,
    with_lora,
    with_source_biases,
    without_source_biases,
)
from train.classifier.recipe import ClassifierRecipe
from train.classifier.teacher import learn_from_teacher
from train.launch import start_process
from train.training_record import describe_inputs, describe_run


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
    """Train by a recipe, with the options of the command line; returns the record of the saved folder."""
    # --- seed
    # Processes split each batch of the recipe, so that one process and eight take the same steps.
    accelerator, threads = start_process(
        recipe, tracker, output_dir, split_batches=True, accumulate=recipe.gradient_accumulation_steps
    )
    started, is_main = time.monotonic(), accelerator.is_main_process

    # --- data
    # All rows are checked now: a wrong row ends the training before it starts, not after an hour.
    corpus = read_corpus(recipe, data)
    others = read_others(recipe, corpus)
    if is_main:
        warn_of_shared_texts(corpus)

    # --- model
    tokenizer, model = load_model(recipe, base_model)
    # `owner` is a hash of recipe, base model and data. A checkpoint with another hash is refused.
    inputs, owner = describe_inputs(recipe, base_model, corpus, [other for _, other in others])
    loss_function = loss_of(recipe)

    # --- batches
    sets = [(recipe, corpus), *others]
    of_sets = [tokenise(read.rows("train"), tokenizer, as_read) for as_read, read in sets]
    if recipe.teacher:
        for rows, (as_read, read) in zip(of_sets, sets, strict=True):
            learn_from_teacher(rows, read.rows("train"), as_read, accelerator)
    train_rows, dev_rows = mixed(of_sets, recipe), tokenise(corpus.rows("validation"), tokenizer, recipe)
    batches, train_loader, dev_loader = make_loaders(train_rows, dev_rows, tokenizer, recipe)
    # A random head sends large, useless gradients into the encoder; a head that already fits its features does not.
    resumes = should_resume(output_dir, resume=resume, shown=is_main)
    if recipe.fit_head and not resumes:
        by_length = in_order(sorted(train_rows, key=length), tokenizer, recipe)
        fit_head(model.to(accelerator.device), by_length, loss_function, accelerator.autocast())

    # --- optimiser
    # The optimiser takes only weights with gradients: with adapters, those of the adapters and the head.
    model = with_source_biases(with_lora(model, recipe.lora), recipe)
    optimiser = torch.optim.AdamW(parameter_groups(model, recipe), fused=True)

    # --- prepare
    model, optimiser, train_loader, dev_loader = accelerator.prepare(model, optimiser, train_loader, dev_loader)
    epochs = recipe.epochs if recipe.train_encoder else 0  # with a frozen encoder, the fitted head is the result
    updates = count_updates(epochs, len(train_loader), max_steps, recipe.gradient_accumulation_steps)
    # The schedule is not prepared: accelerate would step it once for each process.
    schedule = get_scheduler(recipe.schedule, optimiser, round(recipe.warmup_share * updates), updates)
    average = moving_average(model, recipe.ema_decay)
    measured = average.module if average else model  # the moving average is published, so it is also evaluated
    progress = Progress(keeps_last=recipe.best_by == "last")
    checkpoints = Checkpoints(accelerator, output_dir, owner, progress, schedule, average)
    accelerator.init_trackers(recipe.name, config={"recipe_hash": inputs["recipe_hash"]})
    if resumes:
        checkpoints.load()  # after `prepare`: accelerate loads its states into the prepared objects
    elif recipe.fit_head:  # an epoch must beat the fitted head
        progress.update_best(evaluate(measured, dev_loader, accelerator, recipe), measured)

    # --- steps
    bar = tqdm(total=updates, initial=progress.updates, desc=recipe.name, unit="step", disable=not is_main)
    while progress.updates < updates:
        # The order of an epoch follows from seed and epoch, so a resumed run skips exactly the batches that are done.
        batches.set_epoch(progress.epoch)
        model.train()  # in every epoch, because the evaluation switched dropout off
        progress.start_clock()
        for batch in accelerator.skip_first_batches(train_loader, progress.batch):
            # While gradients accumulate, accelerate skips the optimiser's `step` and `zero_grad`.
            with accelerator.accumulate(model):
                targets, sources = batch.pop("targets"), batch.pop("source", None)
                logits = model(**batch).logits.float()  # in float32, also under mixed precision
                if sources is not None:
                    logits = logits + unwrap(model).source_biases(sources)
                loss = loss_function(logits, targets)
                accelerator.backward(loss)
                if accelerator.sync_gradients:  # only whole gradients are clipped, not those of a part of an update
                    accelerator.clip_grad_norm_(model.parameters(), recipe.max_gradient_norm)
                optimiser.step()
                optimiser.zero_grad()
            progress.add_batch(loss, len(targets) * accelerator.num_processes)  # `split_batches`: all parts are equal
            if not accelerator.sync_gradients:  # steps count updates, not batches
                continue
            schedule.step()
            if average:
                average.update_parameters(unwrap(model))
            progress.add_update(bar, accelerator, schedule)
            # After an update and never between its batches: a checkpoint holds no gradients.
            if keep_every and progress.updates % keep_every == 0:
                checkpoints.save()
            # `max_steps` may end the training within an epoch. That part is evaluated like a whole epoch.
            if progress.updates == updates:
                break

        # --- evaluate
        progress.end_epoch("macro_f1", evaluate(measured, dev_loader, accelerator, recipe), measured, accelerator)
        # Not after the last epoch: the model is saved next, and then the checkpoint is deleted.
        if progress.updates < updates:
            checkpoints.save()
    bar.close()
    # The weights of the chosen epoch; with a moving average, the averaged weights.
    best = progress.restore_best(model)
    round_weights(best)
    # Calibration and thresholds see the validation split alone, and the weights that are published.
    logits, targets = predict(best, dev_loader, accelerator)
    calibration, decided = decide(logits, targets, recipe)

    # --- save
    record = {
        **inputs,
        "train_rows": len(of_sets[0]),
        "validation_rows": len(dev_rows),
        "validation_macro_f1": progress.scores,
        **decided,
        **describe_run(progress, accelerator, threads, started),
    }
    if is_main:
        without_source_biases(best)
        fold_calibration_into_head(best, calibration)
        save_model(best, tokenizer, recipe, record, output_dir)
        delete_checkpoint(output_dir)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return record


def mixed(of_sets: list[list[Example]], recipe: ClassifierRecipe) -> list[Example]:
    """Return the rows of all data sets; of several sets, each row with the number of the set whose biases it has."""
    if not recipe.mixed_with:
        return of_sets[0]
    sources = [0, *(number if other.own_bias else 0 for number, other in enumerate(recipe.mixed_with, start=1))]
    return [row | {"source": source} for rows, source in zip(of_sets, sources, strict=True) for row in rows]


def make_loaders(
    train_rows: list[Example], dev_rows: list[Example], tokenizer: PreTrainedTokenizerBase, recipe: ClassifierRecipe
) -> tuple[LengthGroupedBatches, DataLoader[Example], DataLoader[Example]]:
    """Return the train batches, a loader that follows them, and a loader of the validation rows."""
    batches = LengthGroupedBatches(list(map(length, train_rows)), recipe.batch_size, recipe.seed)
    # Loaders leave the global generator to dropout, so that a resumed run draws what an undisturbed run draws.
    train_loader = DataLoader(
        train_rows, batch_sampler=batches, collate_fn=DataCollatorWithPadding(tokenizer), generator=torch.Generator()
    )
    return batches, train_loader, in_order(dev_rows, tokenizer, recipe)


def in_order(rows: list[Example], tokenizer: PreTrainedTokenizerBase, recipe: ClassifierRecipe) -> DataLoader[Example]:
    """Return a loader of rows in their order, for passes without gradients."""
    size = recipe.batch_size * 4  # without gradients there is room for four batches
    return DataLoader(rows, size, collate_fn=DataCollatorWithPadding(tokenizer), generator=torch.Generator())


def length(row: Example) -> int:
    """Return the number of tokens of a row."""
    return len(row["input_ids"])


@torch.inference_mode()  # type: ignore[untyped-decorator]
def predict(model: Any, loader: Any, accelerator: Accelerator) -> tuple[np.ndarray, np.ndarray]:
    """Return logits and targets, both (rows, 28), of a split in row order."""
    model.eval()
    logits, targets = [], []
    for batch in loader:
        wanted = batch.pop("targets")
        # Without the rows that accelerate repeats to give every process a full last batch.
        found, wanted = accelerator.gather_for_metrics((model(**batch).logits.float(), wanted))
        logits.append(found.cpu())
        targets.append(wanted.cpu())
    return torch.cat(logits).double().numpy(), torch.cat(targets).numpy()


def evaluate(model: Any, loader: Any, accelerator: Accelerator, recipe: ClassifierRecipe) -> float:
    """Return macro-F1 on the validation split at its best single threshold; -inf if a logit is not finite."""
    logits, targets = predict(model, loader, accelerator)
    if not np.isfinite(logits).all():
        return -float("inf")
    return global_threshold(expit(logits), targets >= recipe.hard_at)[1]


def decide(logits: np.ndarray, targets: np.ndarray, recipe: ClassifierRecipe) -> tuple[Calibration, dict[str, Any]]:
    """Fit calibration and thresholds on the validation split; return them with their part of the record."""
    gold = targets >= recipe.hard_at
    calibration = calibrate(logits, gold) if recipe.calibrate else NO_CALIBRATION
    before, after = expit(logits), expit(calibration(logits))
    # On calibrated probabilities, since the published head returns these.
    thresholds, source = choose_thresholds(after, gold, recipe.seed, one_for_all=recipe.thresholds == "one")
    return calibration, {
        "dev_macro_f1": round(macro_f1(gold, after >= thresholds), 4),
        "dev_ece_before": round(expected_calibration_error(gold, before), 5),
        "dev_ece": round(expected_calibration_error(gold, after), 5),
        "dev_classwise_ece_before": round(classwise_calibration_error(gold, before), 5),
        "dev_classwise_ece": round(classwise_calibration_error(gold, after), 5),
        "temperatures": _by_label(calibration.temperature),
        "thresholds": _by_label(thresholds),
        "threshold_source": source,
    }


def _by_label(values: np.ndarray) -> dict[str, float]:
    return dict(zip(LABELS, (round(float(value), 4) for value in values), strict=True))
