"""Trains a bi-encoder: accelerate launch --quiet -m train.bi_encoder --recipe train/recipes/<published model>.yaml

Paper B: texts and free descriptors of their emotions in one space, M = T Lᵀ / τ + b. No human label has a part in it:
the corpus's descriptors are a teacher's, and so are those of the validation split that the best weights are chosen by.

Top to bottom: seed, data, model, batches, optimiser, prepare, steps, evaluate, average and project, save.
"""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import get_scheduler

from train.bi_encoder.averaging import average_with, other_weights
from train.bi_encoder.data import (
    CollatePairs,
    Corpus,
    Pair,
    as_pairs,
    load_pairs,
    ndcg,
    target_matrix,
    tokenise,
    vocabulary,
)
from train.bi_encoder.grad_cache import backward, embed_all
from train.bi_encoder.losses import fit_scale, loss_of
from train.bi_encoder.model import PROBABILITY, BiEncoder, Ids, load_model, parameter_groups, save_encoder
from train.bi_encoder.projection import fit_projection, project
from train.bi_encoder.recipe import BiEncoderRecipe
from train.checkpoint import Checkpoints, Progress, finite, forget, found_checkpoint, moving_average, room_in
from train.classifier.data import LengthGroupedBatches
from train.command import SHOWN_EVERY
from train.launch import start_process
from train.save import RECORD, identity, libraries, read_by, write_record


def train(
    recipe: BiEncoderRecipe,
    data: str | None,
    output_dir: Path,
    max_steps: int | None = None,
    *,
    resume: bool = False,
    keep_every: int | None = None,
    tracker: str | None = None,
    base_model: str | None = None,
) -> dict[str, Any]:
    """Train by a recipe and save a folder that `SentenceTransformer` loads.

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
    accelerator, threads = start_process(recipe, tracker, output_dir)
    started = time.monotonic()

    # --- data
    corpus = load_pairs(recipe, data)

    # --- model
    tokenizer, model = load_model(recipe, base_model)
    of_inputs = read_by(recipe, base_model, corpus.data)
    others, averaged = other_weights(model.encoder, recipe)
    contrast = loss_of(recipe)

    # --- batches
    read = partial(tokenise, tokenizer=tokenizer, max_length=recipe.max_length)
    words = vocabulary([*corpus.train, *corpus.validation])
    label_ids = read(words, recipe.label_prompt)
    train_ids, dev_ids = (
        read([text for text, _ in rows], recipe.text_prompt) for rows in (corpus.train, corpus.validation)
    )
    train_rows, dev_rows = as_pairs(corpus.train, train_ids, words), as_pairs(corpus.validation, dev_ids, words)
    batches = LengthGroupedBatches(list(map(len, train_ids)), recipe.batch_size, recipe.seed)
    # Every process reads the whole batch and embeds its part of it. The loader draws from a generator of its own, so
    # that the global one is dropout's alone and runs go on alike.
    train_loader = DataLoader(
        list(enumerate(train_rows)),
        batch_sampler=batches,
        collate_fn=CollatePairs(label_ids, recipe.negatives, recipe.seed),
        generator=torch.Generator(),
    )

    # --- optimiser
    optimiser = torch.optim.AdamW(parameter_groups(model, recipe), fused=True)

    # --- prepare
    model = accelerator.prepare_model(
        model, evaluation_mode=True
    )  # not distributed: see train/bi_encoder/grad_cache.py
    optimiser = accelerator.prepare(optimiser)
    updates = min(recipe.epochs * len(train_loader), max_steps or recipe.epochs * len(train_loader))
    schedule = get_scheduler(recipe.schedule, optimiser, round(recipe.warmup_share * updates), updates)
    average = moving_average(model, recipe.ema_decay)
    measured: Any = average.module if average else model
    progress = Progress()
    of = identity(recipe, base_model, corpus.data)
    checkpoints = Checkpoints(accelerator, output_dir, of, progress, schedule, average)
    if found_checkpoint(output_dir, resume=resume, shown=accelerator.is_main_process):
        checkpoints.go_on()
    if tracker:
        accelerator.init_trackers(recipe.name, config={"recipe_hash": of_inputs["recipe_hash"]})

    # --- steps
    shown = accelerator.is_main_process
    bar = tqdm(total=updates, initial=progress.updates, desc=recipe.name, unit="step", disable=not shown)
    while progress.updates < updates and not out_of_patience(progress, recipe):
        batches.set_epoch(progress.epoch)
        model.train()
        since = time.monotonic()
        for batch in accelerator.skip_first_batches(train_loader, progress.batch):
            targets = batch.targets.to(accelerator.device)

            def loss(texts: torch.Tensor, labels: torch.Tensor, wanted: torch.Tensor = targets) -> torch.Tensor:
                return contrast(texts @ labels.T, model.scale, model.bias, wanted)

            value = backward(model, batch.texts, batch.labels, loss, accelerator, recipe.chunk_size)
            accelerator.clip_grad_norm_(model.parameters(), recipe.max_gradient_norm)
            optimiser.step()
            optimiser.zero_grad()
            schedule.step()
            progress.batch += 1
            progress.updates += 1
            progress.samples += len(targets)
            progress.losses.append(value)
            if average:
                average.update_parameters(model)
            bar.update()
            if progress.updates % SHOWN_EVERY == 0 or progress.updates == updates:
                mean = progress.mean_loss(accelerator)
                temperature, bias = model.learned()
                about = f"epoch {progress.epoch + 1}, loss {mean:.4f}, τ {temperature:.3f}"
                bar.set_postfix_str(about, refresh=False)
                logged = {"loss": mean, "learning_rate": schedule.get_last_lr()[0]}
                accelerator.log(logged | {"temperature": temperature, "bias": bias}, step=progress.updates)
            if keep_every and progress.updates % keep_every == 0:
                since = progress.spend(since)
                checkpoints.keep()
            if progress.updates == updates:
                break
        progress.spend(since)

        # --- evaluate
        progress.epoch, progress.batch = progress.epoch + 1, 0
        score = evaluate(measured, dev_rows, label_ids, accelerator, recipe)
        progress.offer(finite(score, f"epoch {progress.epoch}: the loss on the validation split"), measured)
        accelerator.log({f"validation {recipe.best_by}": score}, step=progress.updates)
        if progress.updates < updates:
            checkpoints.keep()
    bar.close()
    progress.restore(model)

    # --- average and project
    average_with(accelerator.unwrap_model(model).encoder, others)
    projection = None
    if recipe.projection:
        texts, labels = (embed_all(model, ids, accelerator) for ids in (train_ids, label_ids))
        projection = fit_projection(texts, labels, train_rows, model.learned(), recipe)
    scale = as_probability(model, dev_rows, label_ids, accelerator, recipe, projection)
    chosen = np.random.default_rng(recipe.seed).permutation(len(train_ids))[: recipe.reference_rows]
    reference = embed_all(model, [train_ids[row] for row in chosen], accelerator)

    # --- save
    record = {
        **of_inputs,
        **counts(corpus, words),
        "steps": progress.updates,
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        f"validation_{recipe.best_by}": progress.scores,
        **scale,
        **({"averaged_with": averaged} if averaged else {}),
        "reference_texts": len(reference),
        "samples_per_second": round(progress.samples / max(progress.seconds, 1e-9), 1),
        "seconds": round(time.monotonic() - started, 1),
        "processes": accelerator.num_processes,
        "threads": threads,
        "libraries": libraries(),
    }
    if accelerator.is_main_process:
        (output_dir / RECORD).unlink(missing_ok=True)
        with room_in(output_dir):
            save_encoder(accelerator.unwrap_model(model), tokenizer, recipe, scale, reference, output_dir, projection)
        write_record(record, output_dir)
        forget(output_dir)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return record


def out_of_patience(progress: Progress, recipe: BiEncoderRecipe) -> bool:
    """Whether the recipe's number of epochs has gone by without a better one."""
    return recipe.patience is not None and progress.epoch - progress.best_epoch >= recipe.patience


def in_blocks(
    model: BiEncoder,
    rows: Sequence[Pair],
    label_ids: Sequence[Ids],
    accelerator: Accelerator,
    size: int,
    projection: torch.Tensor | None = None,
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Cosines and targets of rows, `size` at a time, against the distinct descriptors of each block."""
    texts = embed_all(model, [row.ids for row in rows], accelerator)
    labels = project(embed_all(model, label_ids, accelerator), projection)
    blocks = []
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        columns = sorted({column for pair in block for column in pair.weights})
        blocks.append((texts[start : start + size] @ labels[columns].T, target_matrix(block, columns)))
    return blocks


@torch.no_grad()  # type: ignore[untyped-decorator]
def evaluate(
    model: BiEncoder, rows: Sequence[Pair], label_ids: Sequence[Ids], accelerator: Accelerator, recipe: BiEncoderRecipe
) -> float:
    """The recipe's measure of a model on the validation split's descriptors; higher is better."""
    by_loss = recipe.best_by == "loss"
    blocks = in_blocks(model, rows, label_ids, accelerator, recipe.batch_size if by_loss else len(rows))
    if not all(torch.isfinite(cosines).all() for cosines, _ in blocks):
        return -float("inf")
    if not by_loss:
        return ndcg(*blocks[0])
    contrast, scale, bias = loss_of(recipe), model.scale.cpu(), model.bias.cpu()
    total = sum(float(contrast(cosines, scale, bias, targets)) * len(targets) for cosines, targets in blocks)
    return -total / len(rows)


def as_probability(
    model: BiEncoder,
    rows: Sequence[Pair],
    label_ids: Sequence[Ids],
    accelerator: Accelerator,
    recipe: BiEncoderRecipe,
    projection: torch.Tensor | None,
) -> dict[str, Any]:
    """How a cosine becomes a probability: as learned, or fitted to validation descriptors.

    Fitted where the loss learns none, or where what it learned belongs to other weights.
    """
    temperature, bias = model.learned()
    if recipe.loss != "sigmoid" or recipe.base_share or recipe.averaged_with or recipe.projection:
        blocks = in_blocks(model, rows, label_ids, accelerator, recipe.batch_size, projection)
        cosines, targets = (torch.cat([block[part].flatten() for block in blocks]) for part in (0, 1))
        temperature, bias = fit_scale(cosines, targets)
    return {"temperature": round(temperature, 6), "bias": round(bias, 5), "probability": PROBABILITY}


def counts(corpus: Corpus, words: Sequence[str]) -> dict[str, Any]:
    """What the record says of the data."""
    weights = [weight for _, found in corpus.train for weight in found.values()]
    return {
        "train_rows": len(corpus.train),
        "train_rows_without_descriptors": corpus.without_descriptors,
        "validation_rows": len(corpus.validation),
        "vocabulary": len(words),
        "descriptors_per_text": round(len(weights) / len(corpus.train), 3),
        "weight_per_text": round(sum(weights) / len(corpus.train), 3),
    }
