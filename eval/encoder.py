"""Loads a bi-encoder as a user does, by `SentenceTransformer`, and scores texts against any labels.

Models of ours bring temperature, bias and the embeddings of reference texts. Others, for comparison, get a
temperature of .05, the bias with which a text has one label on average, and other reference texts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import RemoteEntryNotFoundError
from safetensors import SafetensorError
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer

from dataset_builder.inputs import InputError, first_line, wheel_path
from eval.decision_rules import labels_a_text, shift_to
from eval.label_sets import own_sentences
from eval.predict import revision_of, training_record, unreachable

BATCH = 64
REFERENCE = "reference.safetensors"
FALLBACK_TEMPERATURE = 0.05
ENOUGH = 50  # texts from which on a label's spread can be told


@dataclass(frozen=True)
class Encoder:
    """A loaded bi-encoder.

    `bias` is None where none was learned; `reference` are embeddings (texts, size) of unlabelled texts, None where the
    model brings none; `record` is its training record ({} if it has none).
    """

    name: str
    revision: str
    model: Any
    temperature: float
    bias: float | None
    reference: np.ndarray | None
    record: dict[str, Any]


@dataclass(frozen=True)
class Scores:
    """Cosines and logits (texts, labels) of the texts, logits of the reference texts, and which those are."""

    cosines: np.ndarray
    logits: np.ndarray
    reference_cosines: np.ndarray
    reference_logits: np.ndarray
    source: str


def load_encoder(place: str) -> Encoder:
    """Load a model folder, a Hub id, or the folder of an installed package (`package/folder`).

    Raises:
        InputError: nothing there, not of sentence-transformers, or its training did not end.
    """
    path = wheel_path(place) or Path(place)
    is_local = path.exists()
    if is_local and not (path / "modules.json").exists():
        raise InputError(f"model folder '{place}': has no modules.json. Give one that train.bi_encoder made.")
    if not is_local and (place.count("/") != 1 or place.startswith((".", "/"))):
        raise InputError(
            f"model '{place}': no such folder, and not a Hub id (namespace/name). Train one or check --model."
        )
    try:
        model = SentenceTransformer(str(path) if is_local else place, trust_remote_code=False)
    except Exception as error:  # torn files, the Hub, unknown architectures: the library promises no kinds
        raise InputError(f"model '{place}': does not load ({first_line(error)}).") from None
    record = training_record(str(path) if is_local else place, is_local)
    found = _reference(path if is_local else None, place)
    if found is not None and not record:
        raise InputError(f"model folder '{place}': has no training.json, so its training did not end. Train it again.")
    name = (
        place.split("/")[1] if not is_local else place.partition("/")[0] if wheel_path(place) else path.resolve().name
    )
    temperature, bias = record.get("temperature", FALLBACK_TEMPERATURE), record.get("bias")
    return Encoder(
        name, revision_of(str(path) if is_local else place, record, is_local), model, temperature, bias, found, record
    )


def _reference(folder: Path | None, place: str) -> np.ndarray | None:
    try:
        path = folder / REFERENCE if folder else Path(hf_hub_download(place, REFERENCE))
    except RemoteEntryNotFoundError:
        return None
    except Exception as error:  # of the network: whether there is one is not known
        raise unreachable(place, error) from None
    if not path.exists():
        return None
    try:
        embeddings: np.ndarray = load_file(path)["embeddings"].astype(np.float32)
    except (SafetensorError, OSError, KeyError) as error:
        raise InputError(f"{path}: does not load ({first_line(error)}). Copy or train the model again.") from None
    return embeddings


def embed_texts(encoder: Encoder, texts: Sequence[str]) -> np.ndarray:
    """Embeddings (texts, size) of length 1, with the model's prompt for texts."""
    return _unit(encoder.model.encode_query(list(texts), batch_size=BATCH, show_progress_bar=len(texts) > 10 * BATCH))


def embed_labels(encoder: Encoder, labels: Sequence[str], definitions: Mapping[str, str] | None = None) -> np.ndarray:
    """Embeddings (labels, size) of length 1, with the model's prompt for labels.

    A label with a definition is the mean of its name's embedding and its definition's.
    """
    found = _unit(encoder.model.encode_document(list(labels), batch_size=BATCH, show_progress_bar=False))
    defined = [row for row, name in enumerate(labels) if name in (definitions or {})]
    if definitions and defined:
        meant = [definitions[labels[row]] for row in defined]
        explained = encoder.model.encode_document(meant, batch_size=BATCH, show_progress_bar=False)
        found[defined] = _unit(found[defined] + _unit(explained))
    return found


def _unit(embeddings: Any) -> np.ndarray:
    array = np.asarray(embeddings, dtype=np.float32)
    if not np.isfinite(array).all():
        raise InputError("the model's embeddings are no finite numbers: its weights are damaged. Train it again.")
    unit: np.ndarray = array / np.linalg.norm(array, axis=1, keepdims=True).clip(1e-12)
    return unit


def score(
    encoder: Encoder,
    texts: Sequence[str],
    labels: Sequence[str],
    definitions: Mapping[str, str] | None = None,
    by_targets: bool = False,
) -> Scores:
    """Score texts against labels.

    Reference texts are those that the model brings; of a model without any the texts themselves where there are 50 or
    more, else the sentences of our label sets. `by_targets`: the texts themselves in any case.
    """
    embedded, columns = embed_texts(encoder, texts), embed_labels(encoder, labels, definitions)
    reference, source = encoder.reference, "texts that the model brings"
    if by_targets or (reference is None and len(texts) >= ENOUGH):
        reference, source = embedded, "the texts asked about"
    elif reference is None:
        reference, source = embed_texts(encoder, own_sentences()), "the sentences of eval/label_sets"
    cosines, of_reference = embedded @ columns.T, reference @ columns.T
    bias = encoder.bias
    if bias is None:
        bias = shift_to(of_reference / encoder.temperature, labels_a_text(len(labels)))
    logits, reference_logits = (of / encoder.temperature + bias for of in (cosines, of_reference))
    return Scores(cosines, logits, of_reference, reference_logits, source)
