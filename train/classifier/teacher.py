"""Distillation: a larger model of ours reads the train rows, and its probabilities are mixed into the targets."""

from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding

from dataset_builder.inputs import InputError, first_line
from dataset_builder.taxonomy import LABELS
from dataset_builder.text_template import CHARACTER, PLAIN
from train.base_model import positions
from train.classifier.data import Example, tokenise
from train.classifier.recipe import ClassifierRecipe

BATCH = 256  # rows; without gradients


def learn_from_teacher(
    train_rows: list[Example], rows: Any, recipe: ClassifierRecipe, accelerator: Accelerator
) -> None:
    """Replace the targets by their mean with the teacher's probabilities, weighted by the recipe's `teacher_share`.

    Hinton et al. 2015, arXiv 1503.02531, at temperature 1: our models are calibrated.

    Args:
        train_rows: the tokenised rows; their targets are replaced.
        rows: the same rows of the corpus. The teacher reads them in its own template.

    Raises:
        InputError: the teacher cannot be loaded, or is not a classifier of the 28 labels.
    """
    named = f"{recipe.name}: teacher '{recipe.teacher}'"
    try:
        place = {"pretrained_model_name_or_path": recipe.teacher, "revision": recipe.teacher_revision}
        tokenizer = AutoTokenizer.from_pretrained(**place, truncation_side="left")
        model = AutoModelForSequenceClassification.from_pretrained(**place, dtype=torch.float32)
    except Exception as error:  # Hub errors, torn files, unknown architectures: undocumented types
        raise InputError(f"{named} cannot be loaded ({first_line(error)}). Train it first.") from None
    if tuple(map(model.config.id2label.get, range(len(model.config.id2label)))) != LABELS:
        raise InputError(f"{named}: its outputs are not the 28 emotions in order. Use a model of train.classifier.")
    template = getattr(model.config, "text_template", PLAIN) if CHARACTER in rows.column_names else PLAIN
    length = min(recipe.max_length, positions(model) or recipe.max_length)
    as_teacher = recipe.model_copy(update={"text_template": template, "max_length": length})
    found = probabilities(model, tokenise(rows, tokenizer, as_teacher), tokenizer, accelerator)
    share = recipe.teacher_share
    for row, of_row in zip(train_rows, found, strict=True):
        row["targets"] = ((1 - share) * np.asarray(row["targets"]) + share * of_row).tolist()


@torch.inference_mode()  # type: ignore[untyped-decorator]
def probabilities(model: Any, rows: list[Example], tokenizer: Any, accelerator: Accelerator) -> np.ndarray:
    """Return the probabilities (rows, 28) of a model, in the order of the rows."""
    model = model.to(accelerator.device).eval()
    order = sorted(range(len(rows)), key=lambda row: -len(rows[row]["input_ids"]))  # similar lengths: little padding
    loader = DataLoader([rows[row] for row in order], BATCH, collate_fn=DataCollatorWithPadding(tokenizer))
    found, done = np.zeros((len(rows), len(LABELS)), dtype=np.float32), 0
    for batch in tqdm(loader, desc="teacher", unit="batch", leave=False, disable=not accelerator.is_main_process):
        del batch["targets"]
        with accelerator.autocast():
            logits = model(**{name: value.to(accelerator.device) for name, value in batch.items()}).logits
        found[order[done : done + len(logits)]] = torch.sigmoid(logits.float()).cpu().numpy()
        done += len(logits)
    return found
