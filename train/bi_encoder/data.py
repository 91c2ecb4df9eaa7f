"""Turns texts with weighted descriptors into batches: distinct descriptors as columns, weights as soft targets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from dataset_builder.files.data_sets import DataSet, check_columns, check_descriptors, check_texts, read_data_set
from dataset_builder.inputs import InputError
from train.batches import SPLITS
from train.bi_encoder.model import Ids
from train.bi_encoder.recipe import BiEncoderRecipe

Weights = dict[str, float]  # of descriptors
COLUMNS = {"text": "what is described", "descriptors": "a list of {text, weight from 0 to 1}"}


@dataclass(frozen=True)
class Pair:
    """A tokenised text and the weights of its descriptors by their number in the vocabulary."""

    ids: Ids
    weights: dict[int, float]


@dataclass(frozen=True)
class Batch:
    """Token ids of texts and of their distinct descriptors, and targets (texts, descriptors) in [0, 1]."""

    texts: list[Ids]
    labels: list[Ids]
    targets: torch.Tensor


@dataclass(frozen=True)
class Corpus:
    """Texts of both splits with descriptors, the number of train texts without any, and the dataset itself."""

    train: list[tuple[str, Weights]]
    validation: list[tuple[str, Weights]]
    without_descriptors: int
    data: DataSet

    def counts(self) -> dict[str, Any]:
        """Return numbers of texts and descriptors, for the record."""
        weights = [weight for _, found in self.train for weight in found.values()]
        return {
            "train_rows": len(self.train),
            "train_rows_without_descriptors": self.without_descriptors,
            "validation_rows": len(self.validation),
            "vocabulary": len(self.vocabulary()),
            "descriptors_per_text": round(len(weights) / len(self.train), 3),
            "weight_per_text": round(sum(weights) / len(self.train), 3),
        }

    def vocabulary(self) -> list[str]:
        """Return all descriptors of both splits, sorted."""
        # Sorted, so that a descriptor's number does not depend on the order of the rows.
        return sorted({name for _, weights in (*self.train, *self.validation) for name in weights})


def read_corpus(recipe: BiEncoderRecipe, place: str | None) -> Corpus:
    """Read the texts that a recipe uses for training and evaluation.

    Args:
        place: a folder or Hub id instead of the recipe's.

    Raises:
        InputError: the dataset cannot be loaded, a split is missing, a row is wrong, or no text has a descriptor.
    """
    data = read_data_set(place or recipe.dataset, "descriptors", None if place else recipe.dataset_revision)
    found = {}
    for split in SPLITS:
        check_columns(data, split, COLUMNS)
        check_texts(data, split, "text")
        check_descriptors(data, split)
        rows = data.rows(split)
        described = zip(rows["text"], map(merged, rows["descriptors"]), strict=True)
        found[split] = [(text, weights) for text, weights in described if weights]
        if not found[split]:
            raise InputError(
                f"{data}: no {split} text has a descriptor with a weight above 0. Describe the texts first."
            )
    return Corpus(
        _draw(found["train"], recipe.rows, recipe.seed),
        _draw(found["validation"], recipe.validation_rows, recipe.seed),
        len(data.rows("train")) - len(found["train"]),
        data,
    )


def merged(descriptors: Sequence[dict[str, Any]]) -> Weights:
    """Descriptors in lower case and with single spaces, each once with its largest weight, without weights of 0."""
    weights: Weights = {}
    for found in descriptors:
        name = " ".join(found["text"].lower().split())
        if name and found["weight"] > 0:
            # Two spellings of one word are one column: as two columns, each would be a negative of texts with the
            # other.
            weights[name] = max(found["weight"], weights.get(name, 0.0))
    return weights


def _draw(pairs: list[tuple[str, Weights]], most: int | None, seed: int) -> list[tuple[str, Weights]]:
    """Draw at most `most` pairs, keeping their order; a smaller draw is a subset of a larger one."""
    if most is None or most >= len(pairs):
        return pairs
    return [pairs[row] for row in sorted(np.random.default_rng(seed).permutation(len(pairs))[:most])]


def tokenise(texts: Sequence[str], prompt: str, tokenizer: PreTrainedTokenizerBase, max_length: int) -> list[Ids]:
    """Token ids of every text after the prompt, unpadded, as `encode` of sentence-transformers makes them."""
    # `encode` of sentence-transformers strips texts, so the published model sees the same tokens.
    prompted = [prompt + text.strip() for text in texts]
    ids: list[Ids] = tokenizer(prompted, truncation=True, max_length=max_length)["input_ids"]
    return ids


def as_pairs(rows: Sequence[tuple[str, Weights]], ids: Sequence[Ids], vocabulary: Sequence[str]) -> list[Pair]:
    """Return rows with their token ids, and descriptors as numbers of the vocabulary."""
    number = {word: index for index, word in enumerate(vocabulary)}
    return [
        Pair(own, {number[name]: weight for name, weight in weights.items()})
        for own, (_, weights) in zip(ids, rows, strict=True)
    ]


def target_matrix(pairs: Sequence[Pair], columns: Sequence[int]) -> torch.Tensor:
    """Weights as (pairs, columns), 0 if a text does not have a descriptor."""
    place = {column: index for index, column in enumerate(columns)}
    targets = torch.zeros(len(pairs), len(columns))
    for row, pair in enumerate(pairs):
        for column, weight in pair.weights.items():
            targets[row, place[column]] = weight
    return targets


class CollatePairs:
    """Builds a batch of rows: the columns are their distinct descriptors and `negatives` other words.

    The other words are drawn by the rows' numbers, so that a batch is the same in every process and in a resumed run.
    """

    def __init__(self, label_ids: Sequence[Ids], negatives: int, seed: int) -> None:
        self._label_ids = label_ids
        self._negatives = negatives
        self._seed = seed

    def __call__(self, rows: list[tuple[int, Pair]]) -> Batch:
        """Return a batch of numbered rows."""
        pairs = [pair for _, pair in rows]
        columns = sorted({column for pair in pairs for column in pair.weights})
        # A descriptor of the batch is never drawn as a negative.
        left = np.setdiff1d(np.arange(len(self._label_ids)), columns)
        draw = np.random.default_rng([self._seed, *(row for row, _ in rows)])
        columns += sorted(draw.choice(left, min(self._negatives, len(left)), replace=False).tolist())
        labels = [self._label_ids[column] for column in columns]
        return Batch([pair.ids for pair in pairs], labels, target_matrix(pairs, columns))


def ndcg(scores: Any, targets: Any) -> float:
    """Return the mean normalised discounted cumulative gain of texts' rankings of all columns, both (texts, columns).

    It is 1 if every text ranks its descriptors first, in the order of their weights (Järvelin and Kekäläinen 2002).
    """
    scores, targets = np.asarray(scores), np.asarray(targets)
    discounts = 1 / np.log2(np.arange(scores.shape[1]) + 2)
    order = np.argsort(-scores, axis=1, kind="stable")
    gained = (np.take_along_axis(targets, order, axis=1) * discounts).sum(axis=1)
    best = (-np.sort(-targets, axis=1) * discounts).sum(axis=1)
    return float((gained / best).mean())
