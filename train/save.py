"""What a trained classifier leaves: a folder that stock libraries load, and the record of its training."""

import importlib.metadata
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from dataset_builder.files.data_sets import DataSet
from dataset_builder.hashing import fingerprint
from dataset_builder.provenance import weights_digest, shareable, write_result
from dataset_builder.taxonomy import LABELS
from train.bi_encoder.recipe import BiEncoderRecipe
from train.classifier.model import base_model_source, last_linear
from train.classifier.recipe import ClassifierRecipe
from train.classifier.thresholds import Calibration

RECORD = "training.json"
ADAPTER = "adapter"


def take_up(model: nn.Module, calibration: Calibration) -> None:
    """Put a calibration into the head's last layer, so that a stock pipeline's scores are the calibrated ones."""
    head = last_linear(model)
    scale = torch.tensor(1 / calibration.temperature, dtype=head.weight.dtype, device=head.weight.device)
    shift = torch.tensor(calibration.shift, dtype=head.weight.dtype, device=head.weight.device)
    with torch.no_grad():
        head.weight.mul_(scale[:, None])
        head.bias.mul_(scale).add_(shift)


def read_by(recipe: ClassifierRecipe | BiEncoderRecipe, base_model: str | None, data: DataSet) -> dict[str, Any]:
    """What the record says of what a training read: recipe, base model and data, without paths of this machine.

    Args:
        base_model: a folder or Hub id instead of the recipe's.
    """
    values = recipe.model_dump(mode="json")
    values |= {name: shareable(values[name]) for name in ("base_model", "dataset")}
    if "averaged_with" in values:
        values["averaged_with"] = {shareable(name): share for name, share in values["averaged_with"].items()}
    base = Path(base_model_source(recipe, base_model)["pretrained_model_name_or_path"])
    return {
        "name": recipe.name,
        "recipe_hash": fingerprint(values),
        "recipe": values,
        "base_model": shareable(base_model or recipe.base_model),
        **({"base_weights_sha256": weights_digest(base)} if base.is_dir() else {}),
        "dataset": shareable(data.where),
        "dataset_revision": data.revision,
        "data": data.about(),
    }


def identity(recipe: ClassifierRecipe | BiEncoderRecipe, base_model: str | None, data: DataSet) -> str:
    """A hash of what a checkpoint is of: recipe, base model and data."""
    about = [recipe.model_dump(mode="json"), base_model, data.where, data.revision, data.files]
    return fingerprint(about)


def save(
    model: Any, tokenizer: PreTrainedTokenizerBase, recipe: ClassifierRecipe, record: dict[str, Any], output_dir: Path
) -> None:
    """Write weights, tokenizer, thresholds (in `config.json` and by themselves) and, last, the training record.

    Of a model with an adapter: merged, with the adapter in `adapter/`, or the adapter alone with the configuration.
    """
    (output_dir / RECORD).unlink(missing_ok=True)
    shutil.rmtree(output_dir / "onnx", ignore_errors=True)  # of other weights
    alone = recipe.lora is not None and recipe.lora.publish == "adapter"
    if recipe.lora and not alone:
        model.save_pretrained(output_dir / ADAPTER)
        model = model.merge_and_unload()
    model.config.thresholds = record["thresholds"]
    model.config.name_or_path = ""
    model.save_pretrained(output_dir)
    if alone:
        model.config.save_pretrained(output_dir)
    tokenizer.save_pretrained(output_dir)
    about = {
        "thresholds": record["thresholds"],
        "source": record["threshold_source"],
        "dataset": record["dataset_revision"],
    }
    (output_dir / "thresholds.json").write_text(json.dumps(about, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    write_record(record, output_dir)


def write_record(record: dict[str, Any], folder: Path) -> None:
    """Write the training record beside the weights that it is of; its presence says that the folder is whole."""
    about = record | {"weights_sha256": weights_digest(folder)}
    write_result(about, folder.parent, folder.name, Path(RECORD).stem)


def as_thresholds(values: Any) -> dict[str, float]:
    """Thresholds (28,) by label."""
    return dict(zip(LABELS, (round(float(value), 4) for value in values), strict=True))


def libraries() -> dict[str, str]:
    """Versions of what trains."""
    return {name: importlib.metadata.version(name) for name in ("torch", "transformers", "accelerate")}
