"""Published models, loaded as a user loads them: by `pipeline`, `SentenceTransformer` or `StaticModelPipeline`.

Our bi-encoders come with a temperature, a bias and the embeddings of reference texts. Any other encoder, evaluated for
comparison, gets a temperature of .05, the bias at which a text has one label on average, and other reference texts.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from model2vec.inference import StaticModelPipeline
from sentence_transformers import SentenceTransformer
from tqdm import tqdm
from transformers import pipeline

from dataset_builder.inputs import InputError, first_line
from dataset_builder.taxonomy import LABELS
from dataset_builder.text_template import PLAIN, filled
from eval.decision_rules import labels_per_text, shift_to
from eval.label_sets import own_sentences
from eval.model_files import ModelFiles, find_model

BATCH = 64
STATIC_HEAD = "head.safetensors"  # of a pipeline of model2vec
FALLBACK_TEMPERATURE = 0.05  # usual for contrastive encoders; ours come with a learned temperature
# A label's mean and spread over fewer texts than these are too uncertain for a decision rule.
ENOUGH = 50


@dataclass(frozen=True)
class Model:
    """Base of both kinds. `record` is the training record, {} for a model without one."""

    name: str
    revision: str
    record: dict[str, Any]


@dataclass(frozen=True)
class Classifier(Model):
    """A classifier of the 28 labels, with the thresholds (28,) of its config."""

    pipeline: Any
    thresholds: np.ndarray

    def predict(
        self,
        texts: Sequence[str],
        contexts: Sequence[str] | None = None,
        characters: Sequence[str] | None = None,
    ) -> np.ndarray:
        """Return probabilities (texts, 28) in label order. Raises InputError if one is not finite.

        `characters`, who says the texts, are read by models whose config has a `text_template` for them.
        """
        texts = filled(getattr(self.pipeline.model.config, "text_template", PLAIN), texts, characters)
        scores = self._score(texts, contexts)
        if not np.isfinite(scores).all():
            raise InputError(
                f"model '{self.name}': some of its scores are not finite: its weights are damaged. Train it again."
            )
        return scores

    def _score(self, texts: Sequence[str], contexts: Sequence[str] | None) -> np.ndarray:
        inputs: list[Any] = list(texts)
        if contexts is not None:
            inputs = [{"text": text, "text_pair": context} for text, context in zip(texts, contexts, strict=True)]
        lengths = [len(text) + (len(contexts[row]) if contexts else 0) for row, text in enumerate(texts)]
        order = np.argsort([-length for length in lengths], kind="stable")  # texts of similar length: little padding
        index = {label: position for position, label in enumerate(LABELS)}
        scores = np.zeros((len(texts), len(LABELS)))
        strategy = True if contexts is None else "only_second"  # the utterance stays whole
        outputs = self.pipeline((inputs[row] for row in order), batch_size=BATCH, truncation=strategy)
        for row, output in zip(order, tqdm(outputs, total=len(texts), desc=self.name, unit="text"), strict=True):
            for found in output:
                scores[row, index[found["label"]]] = found["score"]
        return scores


@dataclass(frozen=True)
class StaticClassifier(Classifier):
    """A classifier that is a pipeline of model2vec. It reads texts alone, and raises InputError for situations."""

    def _score(self, texts: Sequence[str], contexts: Sequence[str] | None) -> np.ndarray:
        if contexts is not None:
            raise InputError(f"model '{self.name}': reads no situations. Use a contextual model.")
        return np.asarray(self.pipeline.predict_proba(list(texts)))


@dataclass(frozen=True)
class Scores:
    """Cosines and logits (texts, labels), the same of the reference texts, and which texts those are."""

    cosines: np.ndarray
    logits: np.ndarray
    reference_cosines: np.ndarray
    reference_logits: np.ndarray
    source: str


@dataclass(frozen=True)
class BiEncoder(Model):
    """A bi-encoder. `bias` is None if none was learned.

    `reference` has the embeddings (texts, size) of unlabelled texts; it is None if the model comes with none.
    """

    encoder: Any
    temperature: float
    bias: float | None
    reference: np.ndarray | None

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Return embeddings (texts, size) of length 1, with the model's prompt for texts."""
        is_long = len(texts) > 10 * BATCH
        return _unit(self.encoder.encode_query(list(texts), batch_size=BATCH, show_progress_bar=is_long))

    def embed_labels(self, labels: Sequence[str], definitions: Mapping[str, str] | None = None) -> np.ndarray:
        """Return embeddings (labels, size) of length 1, with the model's prompt for labels.

        A label with a definition gets the mean of its name's embedding and its definition's.
        """
        found = self._embed_documents(labels)
        defined = [row for row, name in enumerate(labels) if name in (definitions or {})]
        if definitions and defined:
            found[defined] = _unit(
                found[defined] + self._embed_documents([definitions[labels[row]] for row in defined])
            )
        return found

    def _embed_documents(self, documents: Sequence[str]) -> np.ndarray:
        return _unit(self.encoder.encode_document(list(documents), batch_size=BATCH, show_progress_bar=False))

    def predict(
        self, texts: Sequence[str], labels: Sequence[str], definitions: Mapping[str, str] | None = None
    ) -> Scores:
        """Score texts against any labels.

        The reference texts are stored with the model. If a model has none, the given texts are used, or the sentences
        of our label sets if there are fewer than 50 texts.
        """
        embedded, columns = self.embed_texts(texts), self.embed_labels(labels, definitions)
        if self.reference is not None:
            reference, source = self.reference, "the model's reference texts"
        elif len(texts) >= ENOUGH:
            reference, source = embedded, "the given texts"
        else:
            reference, source = self.embed_texts(own_sentences()), "the sentences of eval/label_sets"
        cosines, of_reference = embedded @ columns.T, reference @ columns.T
        bias = self.bias
        if bias is None:
            bias = shift_to(of_reference / self.temperature, labels_per_text(len(labels)))
        logits, reference_logits = (of / self.temperature + bias for of in (cosines, of_reference))
        return Scores(cosines, logits, of_reference, reference_logits, source)


def _unit(embeddings: Any) -> np.ndarray:
    array = np.asarray(embeddings, dtype=np.float32)
    if not np.isfinite(array).all():
        raise InputError("the model's embeddings are not finite: its weights are damaged. Train the model again.")
    # The clip keeps an embedding of zeros from dividing by 0.
    unit: np.ndarray = array / np.linalg.norm(array, axis=1, keepdims=True).clip(1e-12)
    return unit


def load(place: str) -> Classifier | BiEncoder:
    """Load a folder, the folder of an installed package or a Hub id, as the kind of model that its files are."""
    files = find_model(place)
    is_bi_encoder = files.file("modules.json") and not files.file(STATIC_HEAD)
    return load_bi_encoder(place) if is_bi_encoder else load_classifier(place)


def load_classifier(place: str) -> Classifier:
    """Load a classifier of the 28 labels.

    Raises InputError if there is none, or if its labels or their order differ, or if thresholds from 0 to 1 are
    missing.
    """
    files = find_model(place)
    if files.file("config.json") is None:
        raise InputError(f"model folder '{place}': has no config.json. Train a model into it first.")
    head = files.file(STATIC_HEAD)
    loaded, labels, given = _static_pipeline(files, head.parent) if head else _stock_pipeline(files)
    # Scores are compared by position later, so another order of the same labels would be wrong without an error.
    if labels != LABELS:
        raise InputError(f"model '{place}': its outputs are not the 28 emotions in GoEmotions order.")
    thresholds, record = _thresholds(given, place), files.training_record()
    if files.folder is not None and not record:
        raise _unfinished(place)
    kind = StaticClassifier if head else Classifier
    return kind(files.name, files.revision(record), record, loaded, thresholds)


def _stock_pipeline(files: ModelFiles) -> tuple[Any, tuple[Any, ...], Any]:
    """Load a pipeline of transformers; return it with its labels and what its config has as thresholds."""
    options = {"revision": files.commit, "top_k": None, "truncation": True, "trust_remote_code": False}
    try:
        loaded = pipeline("text-classification", model=files.source, **options)
    except Exception as error:  # torn files, the Hub, unknown architectures: the library promises no kinds
        raise InputError(f"model '{files.place}': cannot be loaded ({first_line(error)}).") from None
    if len(loaded.tokenizer) <= len(loaded.tokenizer.all_special_ids):
        raise InputError(f"model '{files.place}': has no tokenizer. Use the complete folder that the training wrote.")
    config = loaded.model.config
    labels = tuple(map(config.id2label.get, range(len(config.id2label))))
    return loaded, labels, getattr(config, "thresholds", None)


def _static_pipeline(files: ModelFiles, folder: Path) -> tuple[Any, tuple[Any, ...], Any]:
    """Load a pipeline of model2vec from the folder of its head, as `_stock_pipeline`."""
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        files.file(name)
    try:
        loaded = StaticModelPipeline.from_pretrained(folder)
    except Exception as error:  # torn files: the library promises no kinds
        raise InputError(f"model '{files.place}': cannot be loaded ({first_line(error)}).") from None
    labels = () if loaded.classes_ is None else tuple(loaded.classes_)
    return loaded, labels, loaded.model.config.get("thresholds")


def _thresholds(given: Any, place: str) -> np.ndarray:
    """The thresholds (28,) of a model's configuration. Raises InputError if they are not 28 numbers from 0 to 1."""
    if not given:
        raise InputError(f"model '{place}': config.json has no 'thresholds'. Train it with train.classifier.")
    values = [given.get(label) if isinstance(given, dict) else None for label in LABELS]
    for label, value in zip(LABELS, values, strict=True):
        if not isinstance(value, int | float) or not 0 <= value <= 1:  # NaN is neither
            raise InputError(
                f"model '{place}': config.json, 'thresholds': '{label}' has {value}. Each of the 28 labels needs a "
                "number from 0 to 1, as thresholds.json has them."
            )
    return np.array(values, dtype=float)


def load_bi_encoder(place: str) -> BiEncoder:
    """Load a bi-encoder.

    Raises InputError if there is none, if it is not a sentence-transformers model, or if its training did not finish.
    """
    files = find_model(place)
    if files.folder is not None and files.file("modules.json") is None:
        raise InputError(f"model folder '{place}': has no modules.json. Pass a folder written by train.bi_encoder.")
    try:
        loaded = SentenceTransformer(files.source, revision=files.commit, trust_remote_code=False)
    except Exception as error:  # torn files, the Hub, unknown architectures: the library promises no kinds
        raise InputError(f"model '{place}': cannot be loaded ({first_line(error)}).") from None
    record, reference = files.training_record(), files.reference()
    if reference is not None and not record:
        raise _unfinished(place)
    temperature, bias = record.get("temperature", FALLBACK_TEMPERATURE), record.get("bias")
    return BiEncoder(files.name, files.revision(record), record, loaded, temperature, bias, reference)


def _unfinished(place: str) -> InputError:
    return InputError(f"model folder '{place}': has no training.json, so its training did not finish. Train it again.")


def load_seeds(places: Sequence[str]) -> list[Classifier] | list[BiEncoder]:
    """Load the models of one recipe. Raises InputError if they have different recipes, or two have the same seed."""
    models = [load(place) for place in places]
    recipes = [(type(model), model.record.get("recipe", {})) for model in models]
    if len({(kind, json.dumps(recipe | {"seed": None}, sort_keys=True)) for kind, recipe in recipes}) > 1:
        raise InputError(f"--model {' '.join(places)}: the models have different recipes. Evaluate them one by one.")
    if len(models) > 1 and len({recipe.get("seed") for _, recipe in recipes}) < len(models):
        raise InputError(f"--model {' '.join(places)}: two models have the same seed. Pass each model once.")
    classifiers = [model for model in models if isinstance(model, Classifier)]
    return classifiers or [model for model in models if isinstance(model, BiEncoder)]


def about_weights(models: Sequence[Model]) -> dict[str, Any]:
    """Return the weights behind a result file; revision and recipe are those of the first seed, which is published."""
    return {
        "seeds": [model.record["recipe"]["seed"] for model in models if "seed" in model.record.get("recipe", {})],
        "model_revision": models[0].revision,
        "recipe_hash": models[0].record.get("recipe_hash", "unknown"),
    }


def about_training(models: Sequence[Model]) -> dict[str, Any]:
    """Return the training of the first seed, for a result file."""
    record = models[0].record
    trained_on = {key: record.get(key) for key in ("dataset", "dataset_revision", "train_rows", "steps")}
    return {"trained_on": trained_on, "recipe": record.get("recipe")}
