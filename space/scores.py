"""Scores texts with the published models. It uses stock libraries only: the project is not installed on the Hub."""

import ast
import csv
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import RemoteEntryNotFoundError
from safetensors import SafetensorError
from safetensors.numpy import load_file
from scipy.optimize import brentq
from scipy.special import expit, logit
from sentence_transformers import SentenceTransformer
from transformers import pipeline

CONTEXTLESS = "NAMESPACE/emo-pillars-contextless-minilm-goemotions"
CONTEXTUAL = "NAMESPACE/emo-pillars-contextual-minilm"
ZERO_SHOT = "NAMESPACE/emo-pillars-zeroshot-minilm"
# Environment variables: a folder of model folders instead of the Hub, and the owner of the models on the Hub.
FOLDER, OWNER = "EMO_PILLARS_MODELS", "EMO_PILLARS_OWNER"
REFERENCE = "reference.safetensors"
MAX_CHARACTERS = 20_000  # of a text or a list of labels: far more than a model reads
MAX_LABELS, MAX_LABEL_CHARACTERS = 50, 200
TINY = 1e-6
# What loading raises for a model that is missing, incomplete or of another kind.
UNLOADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError)

# Visitors are served one at a time: a tokenizer is not safe for threads, and a model is to be loaded once.
_LOCK = threading.Lock()


class CannotAnswer(Exception):
    """The reason why there is no answer, worded for the visitor."""


@dataclass(frozen=True)
class Score:
    """A label's score and threshold, both from 0 to 1; the text has the label if its score reaches the threshold."""

    label: str
    value: float
    threshold: float

    @property
    def given(self) -> bool:
        """Whether the text has the label."""
        return self.value >= self.threshold


@dataclass(frozen=True)
class Answer:
    """The scores of all labels, the model (a folder or Hub id), and notes for the visitor."""

    scores: tuple[Score, ...]
    model: str
    notes: tuple[str, ...] = ()


def emotions(text: str | None, situation: str | None = "") -> Answer:
    """Score the 28 emotions of a text, with the contextual model if there is a situation.

    Raises:
        CannotAnswer: no text, far too much of it, or the model cannot be loaded.
    """
    text, situation = checked(text), read(situation)
    place = model_location(CONTEXTUAL if situation else CONTEXTLESS)
    with _LOCK:
        classify = classifier(place)
        tokenizer = classify.tokenizer
        limit = min(tokenizer.model_max_length, classify.model.config.max_position_embeddings)
        if not situation:
            notes = truncation_note("text", tokenizer, text, limit - tokenizer.num_special_tokens_to_add(pair=False))
            found = classify(text, truncation=True)[0]
        else:
            room = limit - tokenizer.num_special_tokens_to_add(pair=True) - len(spans(tokenizer, text))
            if room > 0:
                notes, strategy = truncation_note("situation", tokenizer, situation, room), "only_second"
            else:
                notes = (
                    f"Text and situation are longer than the {limit} tokens that the model reads: both were truncated.",
                )
                strategy = "longest_first"
            found = classify({"text": text, "text_pair": situation}, truncation=strategy)
    thresholds = classify.model.config.thresholds
    scores = [Score(one["label"], float(one["score"]), float(thresholds[one["label"]])) for one in found]
    return Answer(tuple(scores), place, notes)


def own_labels(text: str | None, labels: Sequence[str]) -> Answer:
    """Score any labels with the bi-encoder: sigmoid(cosine / temperature + bias).

    Raises:
        CannotAnswer: no text, far too much of it, or the model cannot be loaded.
    """
    text, place = checked(text), model_location(ZERO_SHOT)
    with _LOCK:
        model, reference = bi_encoder(place)
        tokenizer, prompt = model.tokenizer, model.prompts.get("query") or ""
        room = model.max_seq_length - tokenizer.num_special_tokens_to_add(pair=False) - len(spans(tokenizer, prompt))
        notes = truncation_note("text", tokenizer, text, room)
        columns = model.encode_document(list(labels))
        scale = model[0].auto_model.config.zero_shot
        cosines = model.similarity(model.encode_query([text]), columns)
        probabilities = (cosines / scale["temperature"] + scale["bias"]).sigmoid()[0].cpu()
        thresholds = np.full(len(labels), 0.5)
        if reference is not None:
            of_reference = model.similarity(reference, columns) / scale["temperature"] + scale["bias"]
            thresholds = thresholds_of(of_reference.cpu().numpy().astype(np.float64))
    scores = zip(labels, probabilities.tolist(), thresholds.tolist(), strict=True)
    return Answer(tuple(Score(*one) for one in scores), place, notes)


def thresholds_of(logits: np.ndarray) -> np.ndarray:
    """Return the threshold of each label, as a probability, from logits (texts, labels) of unlabelled texts.

    It is the threshold with the largest expected F1 if a text has one of the labels on average (a single label: if
    every second text has it). In the project, this is the rule `expected_f1` of eval/decision_rules.py.
    """
    labels_per_text = min(1.0, logits.shape[1] / 2)

    def excess(shift: float) -> float:
        return float(expit(logits + shift).sum(axis=1).mean() - labels_per_text)

    # Between these ends all probabilities are nearly 0, or nearly 1.
    shift = brentq(excess, -100 - logits.max(), 100 - logits.min())
    ordered = -np.sort(-expit(logits + shift), axis=0)
    chosen = np.arange(1, len(ordered) + 1)[:, None]
    expected = 2 * np.cumsum(ordered, axis=0) / (chosen + ordered.sum(axis=0))
    best = np.take_along_axis(ordered, expected.argmax(axis=0)[None], axis=0)[0].clip(TINY, 1 - TINY)
    return np.asarray(expit(logit(best) - shift))


def read_labels(given: str | None) -> list[str]:
    """Read labels separated by commas or line breaks; a label with a comma stands in quotes.

    Raises:
        CannotAnswer: there is none, there are too many, or one is too long.
    """
    lines = read(given).splitlines()
    try:
        (fields,) = csv.reader([" , ".join(lines)], skipinitialspace=True) if lines else [[]]
    except csv.Error:
        raise CannotAnswer("The labels cannot be read. Separate them by commas, without quotes.") from None
    labels = list(dict.fromkeys(label for field in fields if (label := " ".join(field.split()))))
    if not labels:
        raise CannotAnswer("Enter one or more labels, separated by commas: joy, quiet pride, dread.")
    if len(labels) > MAX_LABELS:
        raise CannotAnswer(f"These are {len(labels)} labels; this page accepts up to {MAX_LABELS} at once.")
    if any(len(label) > MAX_LABEL_CHARACTERS for label in labels):
        raise CannotAnswer(f"A label may have up to {MAX_LABEL_CHARACTERS} characters. Separate labels by commas.")
    return labels


def read(given: str | None) -> str:
    """Return what was typed, stripped; empty if a program sent null.

    Raises:
        CannotAnswer: it is too long, holds half a character, which no model reads, or is a program's list.
    """
    text = str(given or "").strip()
    if len(text) > MAX_CHARACTERS:
        raise CannotAnswer(f"This is too long for the page: enter up to {MAX_CHARACTERS:,} characters at once.")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise CannotAnswer("This contains an incomplete character, perhaps from a truncated emoji. Remove it.")
    if text[:1] in ("[", "{") and _is_list(text):
        raise CannotAnswer(
            "This is a list. Enter one text at a time, and enter labels as one text, separated by commas."
        )
    return text


def _is_list(text: str) -> bool:
    """Return whether a program sent a list or an object, which Gradio turns into its Python form."""
    try:
        return isinstance(ast.literal_eval(text), (list, dict))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False


def checked(given: str | None) -> str:
    """Return a text as `read` returns it. Raises CannotAnswer as `read` does, and if nothing is left."""
    text = read(given)
    if not text:
        raise CannotAnswer("Enter a text first: a sentence or two that somebody said or wrote.")
    return text


def spans(tokenizer: Any, text: str) -> list[tuple[int, int]]:
    """Return the start and end of each token of a text."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False, truncation=False)
    found: list[tuple[int, int]] = encoded["offset_mapping"]
    return found


def truncation_note(name: str, tokenizer: Any, text: str, room: int) -> tuple[str, ...]:
    """Return a note that quotes what does not fit into `room` tokens and is cut; none if everything fits."""
    tokens = spans(tokenizer, text)
    if len(tokens) <= room:
        return ()
    from_start = tokenizer.truncation_side == "left"
    lost = text[: tokens[-room][0]] if from_start else text[tokens[room - 1][1] :]
    side = "start" if from_start else "end"
    return (f"The {name} has {len(tokens)} tokens, but only {room} fit. Truncated at its {side}: "
            f"“{shortened(lost)}”",)  # fmt: skip


def shortened(text: str, words: int = 8) -> str:
    """Return the first and last words of a text, with an ellipsis between them."""
    found = text.split()
    return " ".join(found if len(found) <= 2 * words else [*found[:words], "…", *found[-words:]])


def model_location(name: str) -> str:
    """Return the Hub id of a model, or a folder of that name if the environment says so."""
    own = name.rpartition("/")[2]
    if folder := os.environ.get(FOLDER):
        return str(Path(folder) / own)
    return f"{owner}/{own}" if (owner := os.environ.get(OWNER)) else name


@cache
def classifier(place: str) -> Any:
    """Return a text-classification pipeline, loaded once. Raises CannotAnswer if it cannot be loaded."""
    try:
        found = pipeline("text-classification", model=place, top_k=None)
        if missing := set(found.model.config.id2label.values()) - found.model.config.thresholds.keys():
            raise ValueError(f"its config has no threshold of {min(missing)}")
        return found
    except UNLOADABLE as error:
        raise _unloadable(place, error) from error


@cache
def bi_encoder(place: str) -> tuple[Any, np.ndarray | None]:
    """The bi-encoder and the embeddings of unlabelled texts in its folder, loaded once. Raises as `classifier` does."""
    try:
        found = SentenceTransformer(place)
        found[0].auto_model.config.zero_shot["temperature"], found[0].auto_model.config.zero_shot["bias"]
        return found, _reference(place)
    except UNLOADABLE as error:
        raise _unloadable(place, error) from error


def _reference(place: str) -> np.ndarray | None:
    """Return embeddings (texts, size) of unlabelled texts in a model's folder; None if there are none."""
    try:
        path = Path(place) / REFERENCE if Path(place).is_dir() else Path(hf_hub_download(place, REFERENCE))
    except RemoteEntryNotFoundError:  # a network error must not count as "none", since all thresholds would then be 0.5
        return None
    if not path.exists():
        return None
    embeddings: np.ndarray = load_file(path)["embeddings"].astype(np.float32)
    return embeddings


def _unloadable(place: str, error: Exception) -> CannotAnswer:
    print(f"{place}: cannot be loaded: {error}")  # for the log of the Space; visitors do not see paths
    return CannotAnswer(f"The model {Path(place).name} cannot be loaded at the moment. Try again in a minute.")
