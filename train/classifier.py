"""Trains a classifier: accelerate launch --quiet -m train.classifier --recipe train/recipes/<published model>.yaml

Top to bottom: seed, data, model, batches, optimiser, prepare, steps, evaluate, save.
"""

import argparse
import copy
import hashlib
import importlib.metadata
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup

from dataset_builder.inputs import InputError, fingerprint, first_line, read_recipe, run_command, wheel_path
from dataset_builder.taxonomy import LABEL_TO_INDEX, LABELS
from train.data import Collate, LengthGroupedBatches, load_corpus, tokenise
from train.losses import binary_cross_entropy
from train.recipe import ClassifierRecipe
from train.thresholds import global_threshold

RECORD = "training.json"


def train(recipe: ClassifierRecipe, data: str | None, output_dir: Path, max_steps: int | None) -> dict[str, Any]:
    """Train by a recipe and save a folder that `pipeline("text-classification")` loads.

    Returns:
        The training record that is saved beside the weights (`training.json`).
    """
    # --- seed
    accelerator = Accelerator(
        gradient_accumulation_steps=recipe.gradient_accumulation_steps, mixed_precision=recipe.mixed_precision
    )
    set_seed(recipe.seed)
    started = time.monotonic()

    # --- data
    corpus, data_revision = load_corpus(recipe, data)

    # --- model
    base = base_model_source(recipe)
    try:
        tokenizer = AutoTokenizer.from_pretrained(**base, model_max_length=recipe.max_length, truncation_side="left")
        model = AutoModelForSequenceClassification.from_pretrained(
            **base,
            num_labels=len(LABELS),
            id2label=dict(enumerate(LABELS)),
            label2id=LABEL_TO_INDEX,
            problem_type="multi_label_classification",
        )
    except (OSError, ValueError) as error:
        reason = first_line(error)
        raise InputError(f"base model '{recipe.base_model}': does not load ({reason}). Check 'base_model'.") from None

    # --- batches
    collate = Collate(tokenizer)
    train_rows, dev_rows = (tokenise(corpus[split], tokenizer, recipe) for split in ("train", "validation"))
    batches = LengthGroupedBatches([len(row["input_ids"]) for row in train_rows], recipe.batch_size, recipe.seed)
    train_loader = DataLoader(train_rows, batch_sampler=batches, collate_fn=collate)
    dev_loader = DataLoader(dev_rows, batch_size=recipe.batch_size * 4, collate_fn=collate)

    # --- optimiser
    head = [parameter for name, parameter in model.named_parameters() if name.startswith("classifier")]
    body = [parameter for name, parameter in model.named_parameters() if not name.startswith("classifier")]
    optimiser = torch.optim.AdamW(
        [{"params": body, "lr": recipe.learning_rate}, {"params": head, "lr": recipe.head_learning_rate}],
        weight_decay=recipe.weight_decay,
        fused=True,
    )

    # --- prepare
    model, optimiser, train_loader, dev_loader = accelerator.prepare(model, optimiser, train_loader, dev_loader)
    updates_per_epoch = -(-len(train_loader) // recipe.gradient_accumulation_steps)
    updates = min(recipe.epochs * updates_per_epoch, max_steps or recipe.epochs * updates_per_epoch)
    schedule = get_linear_schedule_with_warmup(optimiser, round(recipe.warmup_share * updates), updates)

    # --- steps
    best: tuple[float, dict[str, torch.Tensor]] = (float("inf"), {})
    done, samples = 0, 0
    bar = tqdm(total=updates, desc=recipe.name, unit="step", disable=not accelerator.is_main_process)
    steps_started = time.monotonic()
    for epoch in range(recipe.epochs):
        batches.set_epoch(epoch)
        model.train()
        for batch in train_loader:
            with accelerator.accumulate(model):
                targets = batch.pop("targets")
                loss = binary_cross_entropy(model(**batch).logits, targets)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), recipe.max_gradient_norm)
                optimiser.step()
                optimiser.zero_grad()
            samples += len(targets) * accelerator.num_processes
            if accelerator.sync_gradients:
                schedule.step()
                done += 1
                bar.update()
                bar.set_postfix_str(f"epoch {epoch + 1}, loss {loss.item():.4f}", refresh=False)
            if done == updates:
                break

        # --- evaluate
        probabilities, gold, dev_loss = predict(model, dev_loader, accelerator)
        if dev_loss < best[0]:
            best = (dev_loss, copy.deepcopy(accelerator.unwrap_model(model).state_dict()))
        if done == updates:
            break
    bar.close()
    train_seconds = time.monotonic() - steps_started
    if not best[1]:
        raise InputError(f"{recipe.name}: the loss on the validation split is not finite. Lower the learning rates.")
    accelerator.unwrap_model(model).load_state_dict(best[1])
    probabilities, gold, dev_loss = predict(model, dev_loader, accelerator)
    threshold, dev_macro_f1 = global_threshold(probabilities, gold >= recipe.hard_at)

    # --- save
    record = {
        "name": recipe.name,
        "recipe_hash": fingerprint(recipe.model_dump(mode="json")),
        "recipe": recipe.model_dump(mode="json"),
        "dataset": data or recipe.dataset,
        "dataset_revision": data_revision,
        "train_rows": len(train_rows),
        "validation_rows": len(dev_rows),
        "steps": done,
        "dev_loss": round(dev_loss, 5),
        "dev_macro_f1": round(dev_macro_f1, 4),
        "threshold": threshold,
        "threshold_source": f"one value for all labels, best macro-F1 on {len(dev_rows)} validation rows",
        "samples_per_second": round(samples / train_seconds, 1),
        "seconds": round(time.monotonic() - started, 1),
        "libraries": {name: importlib.metadata.version(name) for name in ("torch", "transformers", "accelerate")},
    }
    if accelerator.is_main_process:
        save(accelerator.unwrap_model(model), tokenizer, record, output_dir)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return record


def base_model_source(recipe: ClassifierRecipe) -> dict[str, Any]:
    """Arguments of `from_pretrained`: the folder in the installed package that the recipe names, else the Hub's."""
    if folder := wheel_path(recipe.base_model_wheel):
        return {"pretrained_model_name_or_path": str(folder)}
    return {"pretrained_model_name_or_path": recipe.base_model, "revision": recipe.base_model_revision}


@torch.inference_mode()  # type: ignore[untyped-decorator]
def predict(model: Any, loader: Any, accelerator: Accelerator) -> tuple[np.ndarray, np.ndarray, float]:
    """Probabilities (rows, 28), targets (rows, 28) and mean loss over a split, in row order."""
    model.eval()
    logits, targets = [], []
    for batch in loader:
        wanted = batch.pop("targets")
        found, wanted = accelerator.gather_for_metrics((model(**batch).logits.float(), wanted))
        logits.append(found)
        targets.append(wanted)
    all_logits, all_targets = torch.cat(logits), torch.cat(targets)
    loss = binary_cross_entropy(all_logits, all_targets).item()
    return all_logits.sigmoid().cpu().numpy(), all_targets.cpu().numpy(), loss


def save(model: Any, tokenizer: Any, record: dict[str, Any], output_dir: Path) -> None:
    """Write weights, tokenizer, thresholds (in `config.json` and by themselves) and, last, the training record."""
    thresholds = dict.fromkeys(LABELS, record["threshold"])
    (output_dir / RECORD).unlink(missing_ok=True)
    model.config.thresholds = thresholds
    model.config.name_or_path = ""
    model.save_pretrained(output_dir)
    tokenizer.save_pretrained(output_dir)
    about = {"thresholds": thresholds, "source": record["threshold_source"], "dataset": record["dataset_revision"]}
    (output_dir / "thresholds.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    weights = hashlib.sha256((output_dir / "model.safetensors").read_bytes()).hexdigest()
    (output_dir / RECORD).write_text(
        json.dumps(record | {"weights_sha256": weights}, indent=2) + "\n", encoding="utf-8"
    )


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(prog="accelerate launch -m train.classifier", description="Trains a classifier.")
    parser.add_argument("--recipe", required=True, help="a file of train/recipes/")
    parser.add_argument("--data", help="the corpus: a folder or Hub id, instead of the recipe's")
    parser.add_argument("--output-dir", type=Path, help="default: work/models/<name of the recipe>")
    parser.add_argument("--max-steps", type=int, help="stop after so many optimiser steps (smoke runs)")
    args = parser.parse_args()
    recipe = read_recipe(args.recipe, ClassifierRecipe)
    if args.max_steps is not None and args.max_steps < 1:
        raise InputError(f"--max-steps {args.max_steps}: give 1 or more.")
    output_dir = args.output_dir or Path("work/models") / recipe.name
    record = train(recipe, args.data, output_dir, args.max_steps)
    print(
        f"{output_dir}: {record['steps']} steps, {record['samples_per_second']} samples/s, dev loss "
        f"{record['dev_loss']}, dev macro-F1 {record['dev_macro_f1']} at threshold {record['threshold']}"
    )


if __name__ == "__main__":
    run_command(main)
