"""Loads a published model as a user does, by `pipeline("text-classification")`, and asks it for all 28 scores."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError
from safetensors import SafetensorError
from tqdm import tqdm
from transformers import pipeline

from dataset_builder.inputs import InputError, first_line
from dataset_builder.reading import json_file
from dataset_builder.taxonomy import LABELS

BATCH = 64


@dataclass(frozen=True)
class Model:
    """A loaded classifier: `thresholds` (28,) from its config, `record` its training record ({} if it has none)."""

    name: str
    revision: str
    classify: Any
    thresholds: np.ndarray
    record: dict[str, Any]


def load_model(place: str) -> Model:
    """Load a model folder or Hub id.

    Raises:
        InputError: nothing there, its labels are not the 28 in their order, or it has no thresholds.
    """
    path = Path(place)
    is_local = path.exists()
    if is_local and not (path / "config.json").exists():
        raise InputError(f"model folder '{place}': has no config.json. Train a model into it first.")
    if not is_local and (place.count("/") != 1 or place.startswith((".", "/"))):
        raise InputError(
            f"model '{place}': no such folder, and not a Hub id (namespace/name). Train one or check --model."
        )
    try:
        classify = pipeline("text-classification", model=place, top_k=None, truncation=True, trust_remote_code=False)
    except (OSError, ValueError, HfHubHTTPError, SafetensorError) as error:
        raise InputError(f"model '{place}': does not load ({first_line(error)}).") from None
    config = classify.model.config
    if tuple(config.id2label[index] for index in range(len(config.id2label))) != LABELS:
        raise InputError(f"model '{place}': its outputs are not the 28 emotions in GoEmotions order.")
    thresholds = getattr(config, "thresholds", None)
    if not thresholds:
        raise InputError(f"model '{place}': config.json has no 'thresholds'. Train it with train.classifier.")
    record = training_record(place, is_local)
    if is_local and not record:
        raise InputError(f"model folder '{place}': has no training.json, so its training did not end. Train it again.")
    revision = record.get("weights_sha256", "unknown")[:16] if is_local else HfApi().model_info(place).sha
    name = path.resolve().name if is_local else place.split("/")[1]
    return Model(name, revision, classify, np.array([thresholds[label] for label in LABELS]), record)


def training_record(place: str, is_local: bool) -> dict[str, Any]:
    """What `training.json` of a folder or Hub model says; {} where there is none."""
    try:
        path = Path(place) / "training.json" if is_local else Path(hf_hub_download(place, "training.json"))
    except EntryNotFoundError:
        return {}
    record = json_file(path) if path.exists() else {}
    if not isinstance(record, dict):
        raise InputError(f"{path}: holds {type(record).__name__} and no training record. Train the model again.")
    return record


def probabilities(model: Model, texts: list[str], contexts: list[str] | None) -> np.ndarray:
    """Scores (rows, 28) in label order, longest rows first inside so that batches need little padding."""
    inputs: list[Any] = list(texts)
    if contexts is not None:
        inputs = [{"text": text, "text_pair": context} for text, context in zip(texts, contexts, strict=True)]
    lengths = [len(text) + (len(contexts[row]) if contexts else 0) for row, text in enumerate(texts)]
    order = np.argsort([-length for length in lengths], kind="stable")
    index = {label: position for position, label in enumerate(LABELS)}
    scores = np.zeros((len(texts), len(LABELS)))
    strategy = True if contexts is None else "only_second"  # the utterance stays whole
    outputs = model.classify((inputs[row] for row in order), batch_size=BATCH, truncation=strategy)
    for row, output in zip(order, tqdm(outputs, total=len(texts), desc=model.name, unit="text"), strict=True):
        for found in output:
            scores[row, index[found["label"]]] = found["score"]
    return scores
