"""Loads a published model as a user does, by `pipeline("text-classification")`, and asks it for all 28 scores."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import RemoteEntryNotFoundError
from tqdm import tqdm
from transformers import pipeline

from dataset_builder.files.reading import json_file
from dataset_builder.inputs import InputError, first_line
from dataset_builder.provenance import weights_digest
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
        InputError: nothing there, its labels are not the 28 in their order, or it has no thresholds from 0 to 1.
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
    except Exception as error:  # torn files, the Hub, unknown architectures: the library promises no kinds
        raise InputError(f"model '{place}': does not load ({first_line(error)}).") from None
    if len(classify.tokenizer) <= len(classify.tokenizer.all_special_ids):
        raise InputError(f"model '{place}': has no tokenizer. Give the whole folder that the training wrote.")
    config = classify.model.config
    if tuple(map(config.id2label.get, range(len(config.id2label)))) != LABELS:
        raise InputError(f"model '{place}': its outputs are not the 28 emotions in GoEmotions order.")
    thresholds = thresholds_of(config, place)
    record = training_record(place, is_local)
    if is_local and not record:
        raise InputError(f"model folder '{place}': has no training.json, so its training did not end. Train it again.")
    name = path.resolve().name if is_local else place.split("/")[1]
    return Model(name, revision_of(place, record, is_local), classify, thresholds, record)


def thresholds_of(config: Any, place: str) -> np.ndarray:
    """The thresholds (28,) of a model's configuration. Raises InputError where they are not 28 numbers from 0 to 1."""
    given = getattr(config, "thresholds", None)
    if not given:
        raise InputError(f"model '{place}': config.json has no 'thresholds'. Train it with train.classifier.")
    values = [given.get(label) if isinstance(given, dict) else None for label in LABELS]
    for label, value in zip(LABELS, values, strict=True):
        if not isinstance(value, int | float) or not 0 <= value <= 1:  # NaN is neither
            raise InputError(
                f"model '{place}': config.json, 'thresholds': '{label}' has {value}. Give each of the 28 labels a "
                "number from 0 to 1, as thresholds.json has them."
            )
    return np.array(values, dtype=float)


def revision_of(place: str, record: dict[str, Any], is_local: bool) -> str:
    """The hash of a folder's weights, `unknown` without a record of it, or the Hub's commit.

    Raises:
        InputError: the weights are not those that the record is of, or the Hub does not answer.
    """
    if is_local:
        told = str(record.get("weights_sha256", "unknown"))
        if told != "unknown" and weights_digest(Path(place)) != told:
            raise InputError(
                f"model folder '{place}': its weights are not those that training.json is of: half a copy, "
                "or another. Copy all of it again, or train it again."
            )
        return told[:16]
    try:
        return str(HfApi().model_info(place).sha)
    except Exception as error:
        raise unreachable(place, error) from None


def unreachable(place: str, error: Exception) -> InputError:
    """The error for a Hub model that is asked for what is not in the cache."""
    return InputError(
        f"model '{place}': the Hub does not answer ({first_line(error)}). Check the network and HF_ENDPOINT."
    )


def training_record(place: str, is_local: bool) -> dict[str, Any]:
    """What `training.json` of a folder or Hub model says; {} where there is none."""
    try:
        path = Path(place) / "training.json" if is_local else Path(hf_hub_download(place, "training.json"))
    except RemoteEntryNotFoundError:
        return {}
    except Exception as error:  # of the network: whether there is one is not known
        raise unreachable(place, error) from None
    record = json_file(path) if path.exists() else {}
    if not isinstance(record, dict) or not isinstance(record.get("recipe", {}), dict):
        raise InputError(f"{path}: is no training record. Train the model again.")
    return record


def probabilities(model: Model, texts: list[str], contexts: list[str] | None) -> np.ndarray:
    """Scores (rows, 28) in label order, longest rows first inside so that batches need little padding.

    Raises:
        InputError: one is not finite.
    """
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
    if not np.isfinite(scores).all():
        raise InputError(
            f"model '{model.name}': its scores are no finite numbers: the weights are damaged. Train it again."
        )
    return scores
