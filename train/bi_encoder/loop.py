"""Trains a bi-encoder: from a recipe to a folder that `SentenceTransformer` loads.

Paper B: texts and free descriptors of their emotions in the same space, M = T Lᵀ / τ + b. A teacher assigned the
descriptors, also those of the validation split on which the weights are chosen: no human label is used.

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
from transformers import PreTrainedTokenizerBase, get_scheduler

from train.batches import LengthGroupedBatches, count_updates
from train.bi_encoder.averaging import average_with, other_weights
from train.bi_encoder.data import CollatePairs, Corpus, Pair, as_pairs, ndcg, read_corpus, target_matrix, tokenise
from train.bi_encoder.distributed import backward, embed_all
from train.bi_encoder.losses import LOSSES, fit_scale
from train.bi_encoder.model import PROBABILITY, BiEncoder, Ids, load_model, parameter_groups, save_model
from train.bi_encoder.projection import fit_projection, project
from train.bi_encoder.recipe import BiEncoderRecipe
from train.checkpoint import Checkpoints, Progress, delete_checkpoint, moving_average, should_resume, unwrap
from train.launch import start_process
from train.training_record import describe_inputs, describe_run

# The number of training texts whose embeddings are published with the model: thresholds for a new label set are set on
# them, without labels. 1024 texts give a label's share to within about one percentage point.
REFERENCE_ROWS = 1024


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
    """Train by a recipe, with the options of the command line; returns the record of the saved folder."""
    # --- seed
    # Without `split_batches`: each process gets the whole batch, since the loss compares all its texts.
    accelerator, threads = start_process(recipe, tracker, output_dir)
    started, is_main = time.monotonic(), accelerator.is_main_process

    # --- data
    # All rows are checked now: a wrong row ends the training before it starts, not after an hour.
    corpus = read_corpus(recipe, data)

    # --- model
    tokenizer, model = load_model(recipe, base_model)
    # `owner` is a hash of recipe, base model and data. A checkpoint with another hash is refused.
    inputs, owner = describe_inputs(recipe, base_model, corpus.data)
    others, averaged = other_weights(model.encoder, recipe)  # read now: a missing model ends the training early too

    # --- batches
    label_ids, train_rows, dev_rows = tokenised(corpus, recipe, tokenizer)
    train_ids = [row.ids for row in train_rows]
    batches = LengthGroupedBatches(list(map(len, train_ids)), recipe.batch_size, recipe.seed)
    # Every process gets the whole batch, since the loss compares all its texts, and embeds its part of it. The loader
    # leaves the global generator to dropout, so that a resumed run draws what an undisturbed run draws.
    train_loader = DataLoader(
        list(enumerate(train_rows)),
        batch_sampler=batches,
        collate_fn=CollatePairs(label_ids, recipe.negatives, recipe.seed),
        generator=torch.Generator(),
    )

    # --- optimiser
    optimiser = torch.optim.AdamW(parameter_groups(model, recipe), fused=True)

    # --- prepare
    # `evaluation_mode` leaves the model undistributed: `backward` sums the gradients of the processes itself.
    model = accelerator.prepare_model(model, evaluation_mode=True)
    optimiser = accelerator.prepare(optimiser)  # not the loader: each process would get a part of the batch only
    updates = count_updates(recipe.epochs, len(train_loader), max_steps)
    schedule = get_scheduler(recipe.schedule, optimiser, round(recipe.warmup_share * updates), updates)
    average = moving_average(model, recipe.ema_decay)
    measured: Any = average.module if average else model  # the moving average is published, so it is also evaluated
    progress = Progress()
    checkpoints = Checkpoints(accelerator, output_dir, owner, progress, schedule, average)
    accelerator.init_trackers(recipe.name, config={"recipe_hash": inputs["recipe_hash"]})
    if should_resume(output_dir, resume=resume, shown=is_main):
        checkpoints.load()

    # --- steps
    bar = tqdm(total=updates, initial=progress.updates, desc=recipe.name, unit="step", disable=not is_main)
    while progress.updates < updates:
        # The order of an epoch follows from seed and epoch, so a resumed run skips exactly the batches that are done.
        batches.set_epoch(progress.epoch)
        model.train()  # in every epoch, because the evaluation switched dropout off
        progress.start_clock()
        for batch in accelerator.skip_first_batches(train_loader, progress.batch):
            # Every process has the gradients of the whole batch afterwards (distributed.py), so all take the same step.
            loss = backward(model, batch, LOSSES[recipe.loss], accelerator)
            accelerator.clip_grad_norm_(model.parameters(), recipe.max_gradient_norm)
            optimiser.step()
            optimiser.zero_grad()
            progress.add_batch(loss, len(batch.texts))  # all processes work on the same texts: they count once
            schedule.step()
            if average:
                average.update_parameters(unwrap(model))
            scale = {"temperature": 1 / model.scale.detach(), "bias": model.bias.detach()}  # learned, so logged
            progress.add_update(bar, accelerator, schedule, **scale)
            if keep_every and progress.updates % keep_every == 0:
                checkpoints.save()
            # `max_steps` may end the training within an epoch. That part is evaluated like a whole epoch.
            if progress.updates == updates:
                break

        # --- evaluate
        progress.end_epoch("ndcg", evaluate(measured, dev_rows, label_ids, accelerator), measured, accelerator)
        # Not after the last epoch: the model is saved next, and then the checkpoint is deleted.
        if progress.updates < updates:
            checkpoints.save()
    bar.close()
    # The weights of the best epoch by NDCG, not the last ones; with a moving average, the averaged weights.
    best: Any = progress.restore_best(model)

    # --- average and project
    average_with(best.encoder, others)
    # The map is fitted to the published weights, so it comes after the average; the scale comes after both.
    projection = None
    if recipe.projection:
        texts, labels = (embed_all(best, ids, accelerator) for ids in (train_ids, label_ids))
        projection = fit_projection(texts, labels, train_rows, best.temperature_and_bias(), recipe)
    probability = as_probability(best, dev_rows, label_ids, accelerator, recipe, projection)
    # Embedded by the published weights, because the model's users embed their own texts with these.
    chosen = np.random.default_rng(recipe.seed).permutation(len(train_ids))[:REFERENCE_ROWS]
    reference = embed_all(best, [train_ids[row] for row in chosen], accelerator)

    # --- save
    record = {
        **inputs,
        **corpus.counts(),
        "validation_ndcg": progress.scores,
        **probability,
        **({"averaged_with": averaged} if averaged else {}),
        "reference_texts": len(reference),
        **describe_run(progress, accelerator, threads, started),
    }
    if is_main:
        save_model(best, tokenizer, recipe, record, reference, projection, output_dir)
        delete_checkpoint(output_dir)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return record


def tokenised(
    corpus: Corpus, recipe: BiEncoderRecipe, tokenizer: PreTrainedTokenizerBase
) -> tuple[list[Ids], list[Pair], list[Pair]]:
    """Return the vocabulary's token ids, of which batches take their labels, and the train and validation rows."""
    vocabulary = corpus.vocabulary()
    to_ids = partial(tokenise, tokenizer=tokenizer, max_length=recipe.max_length)
    train_rows, dev_rows = (
        as_pairs(rows, to_ids([text for text, _ in rows], recipe.text_prompt), vocabulary)
        for rows in (corpus.train, corpus.validation)
    )
    return to_ids(vocabulary, recipe.label_prompt), train_rows, dev_rows


@torch.no_grad()  # type: ignore[untyped-decorator]
def evaluate(model: BiEncoder, rows: Sequence[Pair], label_ids: Sequence[Ids], accelerator: Accelerator) -> float:
    """NDCG of the rankings of the validation split's descriptors; -inf if a cosine is not finite."""
    texts, labels = (embed_all(model, ids, accelerator) for ids in ([row.ids for row in rows], label_ids))
    cosines, targets = compare(texts, labels, rows)
    return ndcg(cosines, targets) if torch.isfinite(cosines).all() else -float("inf")


def compare(texts: torch.Tensor, labels: torch.Tensor, rows: Sequence[Pair]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosines and targets of texts against the distinct descriptors of their rows, both (rows, descriptors)."""
    columns = sorted({column for row in rows for column in row.weights})
    return texts @ labels[columns].T, target_matrix(rows, columns)


def as_probability(
    model: BiEncoder,
    rows: Sequence[Pair],
    label_ids: Sequence[Ids],
    accelerator: Accelerator,
    recipe: BiEncoderRecipe,
    projection: torch.Tensor | None,
) -> dict[str, Any]:
    """Return the temperature and bias that turn a cosine into a probability: learned or fitted.

    They are fitted to validation descriptors if the loss learns no bias, or if they were learned with weights other
    than the published ones.
    """
    temperature, bias = model.temperature_and_bias()
    if recipe.loss != "sigmoid" or recipe.base_share or recipe.averaged_with or recipe.projection:
        texts = embed_all(model, [row.ids for row in rows], accelerator)
        labels = project(embed_all(model, label_ids, accelerator), projection)
        # In blocks of the batches' size, so that positives are as rare as they are in training.
        size = recipe.batch_size
        blocks = [compare(texts[at : at + size], labels, rows[at : at + size]) for at in range(0, len(rows), size)]
        cosines, targets = (torch.cat([block[part].flatten() for block in blocks]) for part in (0, 1))
        temperature, bias = fit_scale(cosines, targets)
    return {"temperature": round(temperature, 6), "bias": round(bias, 5), "probability": PROBABILITY}
