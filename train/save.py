"""What a trained classifier leaves: a folder that stock libraries load, and the record of its training."""

import hashlib
import importlib.metadata
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from dataset_builder.provenance import write_result
from dataset_builder.taxonomy import LABELS
from train.model import last_linear
from train.recipe import ClassifierRecipe
from train.thresholds import Calibration

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


def save(
    model: Any, tokenizer: PreTrainedTokenizerBase, recipe: ClassifierRecipe, record: dict[str, Any], output_dir: Path
) -> None:
    """Write weights, tokenizer, thresholds (in `config.json` and by themselves) and, last, the training record.

    Of a model with an adapter: merged, with the adapter in `adapter/`, or the adapter alone with the configuration.
    """
    (output_dir / RECORD).unlink(missing_ok=True)
    shutil.rmtree(output_dir / "onnx", ignore_errors=True)  # of other weights
    weights = output_dir / "model.safetensors"
    if recipe.lora:
        alone = recipe.lora.publish == "adapter"
        model.save_pretrained(output_dir if alone else output_dir / ADAPTER)
        if alone:
            weights = output_dir / "adapter_model.safetensors"
        else:
            model = model.merge_and_unload()
    config = model.config
    config.thresholds = record["thresholds"]
    config.name_or_path = ""
    if recipe.lora and recipe.lora.publish == "adapter":
        config.save_pretrained(output_dir)
    else:
        model.save_pretrained(output_dir)
    tokenizer.save_pretrained(output_dir)
    about = {
        "thresholds": record["thresholds"],
        "source": record["threshold_source"],
        "dataset": record["dataset_revision"],
    }
    (output_dir / "thresholds.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    write_result(record | {"weights_sha256": digest}, output_dir.parent, output_dir.name, Path(RECORD).stem)


def as_thresholds(values: Any) -> dict[str, float]:
    """Thresholds (28,) by label."""
    return dict(zip(LABELS, (round(float(value), 4) for value in values), strict=True))


def libraries() -> dict[str, str]:
    """Versions of what trains."""
    return {name: importlib.metadata.version(name) for name in ("torch", "transformers", "accelerate")}
