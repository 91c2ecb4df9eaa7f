"""From texts with weighted descriptors to batches: distinct descriptors as columns, weights as soft targets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from dataset_builder.files.data_sets import (
    DataSet,
    check_columns,
    check_descriptors,
    check_scores,
    check_texts,
    read_data_set,
)
from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import LABELS
from train.bi_encoder.model import Ids
from train.bi_encoder.recipe import BiEncoderRecipe
from train.classifier.data import COLUMNS, SPLITS, check_labels

Weighted = dict[str, float]
DESCRIPTORS = {"text": COLUMNS["text"], "descriptors": "a list of {text, weight from 0 to 1}"}


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
    """Texts of both splits with their descriptors, none without any; how many had none; what was read."""

    train: list[tuple[str, Weighted]]
    validation: list[tuple[str, Weighted]]
    without_descriptors: int
    data: DataSet

    @property
    def revision(self) -> str:
        """The data's."""
        return self.data.revision


def load_pairs(recipe: BiEncoderRecipe, place: str | None) -> Corpus:
    """The texts that a recipe trains on and is measured on.

    Args:
        place: a folder or Hub id instead of the recipe's.

    Raises:
        InputError: nothing there that loads, a split is missing, or no text has descriptors of enough weight.
    """
    labels = recipe.targets == "labels"
    revision = None if place else recipe.dataset_revision
    data = read_data_set(place or recipe.dataset, "contextless" if labels else "descriptors", revision)
    wanted = {name: COLUMNS[name] for name in ("text", "scores", "labels")} if labels else DESCRIPTORS
    for split in SPLITS:
        check_columns(data, split, wanted)
        check_texts(data, split, "text")
        if labels:
            check_scores(data, split)
        else:
            check_descriptors(data, split)
    if labels:
        check_labels(data)
    found = {split: _weighted(data, split, recipe) for split in SPLITS}
    kept = {split: [pair for pair in pairs if pair[1]] for split, pairs in found.items()}
    for split, pairs in kept.items():
        if not pairs:
            raise InputError(
                f"{data}: no {split} text has a descriptor of weight {recipe.keep_at} or more. Lower 'keep_at'."
            )
    return Corpus(
        _drawn(kept["train"], recipe.rows, recipe.seed),
        _drawn(kept["validation"], recipe.validation_rows, recipe.seed),
        len(found["train"]) - len(kept["train"]),
        data,
    )


def _weighted(data: DataSet, split: str, recipe: BiEncoderRecipe) -> list[tuple[str, Weighted]]:
    rows = data.rows(split)
    if recipe.targets == "labels":
        lists = [[(LABELS[i], float(score)) for i, score in enumerate(scores)] for scores in rows["scores"]]
    else:
        lists = [[(one["text"], one["weight"]) for one in found] for found in rows["descriptors"]]
    return [(text, merged(found, recipe.keep_at)) for text, found in zip(rows["text"], lists, strict=True)]


def merged(found: Sequence[tuple[str, float]], keep_at: float) -> Weighted:
    """Descriptors in lower case and single spaces, each once with its largest weight, without the lightest ones."""
    weights: Weighted = {}
    for text, weight in found:
        name = " ".join(text.lower().split())
        if name and weight > 0 and weight >= keep_at:
            weights[name] = max(weight, weights.get(name, 0.0))
    return weights


def _drawn(pairs: list[tuple[str, Weighted]], most: int | None, seed: int) -> list[tuple[str, Weighted]]:
    """So many of them, in their order; a smaller draw is part of a larger one."""
    if most is None or most >= len(pairs):
        return pairs
    return [pairs[row] for row in sorted(np.random.default_rng(seed).permutation(len(pairs))[:most])]


def vocabulary(pairs: Sequence[tuple[str, Weighted]]) -> list[str]:
    """All descriptors of some texts, sorted."""
    return sorted({name for _, weights in pairs for name in weights})


def tokenise(texts: Sequence[str], prompt: str, tokenizer: PreTrainedTokenizerBase, max_length: int) -> list[Ids]:
    """Token ids of every text after the prompt, unpadded; `encode` of sentence-transformers reads the same ones."""
    asked = [prompt + text.strip() for text in texts]
    ids: list[Ids] = tokenizer(asked, truncation=True, max_length=max_length)["input_ids"]
    return ids


def as_pairs(rows: Sequence[tuple[str, Weighted]], ids: Sequence[Ids], words: Sequence[str]) -> list[Pair]:
    """Rows with their token ids, descriptors numbered as in a vocabulary."""
    number = {word: index for index, word in enumerate(words)}
    return [
        Pair(own, {number[name]: weight for name, weight in weights.items()})
        for own, (_, weights) in zip(ids, rows, strict=True)
    ]


def target_matrix(pairs: Sequence[Pair], columns: Sequence[int]) -> torch.Tensor:
    """Weights as (pairs, columns), 0 where a descriptor is none of a text's; a shared one is positive for each."""
    place = {column: index for index, column in enumerate(columns)}
    targets = torch.zeros(len(pairs), len(columns))
    for row, pair in enumerate(pairs):
        for column, weight in pair.weights.items():
            targets[row, place[column]] = weight
    return targets


class CollatePairs:
    """Makes a batch of rows: their distinct descriptors are the columns, and `negatives` others of the vocabulary.

    The others are drawn by the rows themselves, so that a batch is the same in whatever run or process it is made.
    """

    def __init__(self, label_ids: Sequence[Ids], negatives: int, seed: int) -> None:
        self._label_ids = label_ids
        self._negatives = negatives
        self._seed = seed

    def __call__(self, rows: list[tuple[int, Pair]]) -> Batch:
        """Rows as `enumerate` numbers them."""
        pairs = [pair for _, pair in rows]
        columns = sorted({column for pair in pairs for column in pair.weights})
        left = np.setdiff1d(np.arange(len(self._label_ids)), columns)
        draw = np.random.default_rng([self._seed, *(row for row, _ in rows)])
        columns += sorted(draw.choice(left, min(self._negatives, len(left)), replace=False).tolist())
        labels = [self._label_ids[column] for column in columns]
        return Batch([pair.ids for pair in pairs], labels, target_matrix(pairs, columns))


def ndcg(scores: Any, targets: Any) -> float:
    """Mean normalised discounted cumulative gain of texts' rankings of all columns, both (texts, columns).

    1 where every text has its descriptors first, the heaviest before the others (Järvelin and Kekäläinen 2002).
    """
    scores, targets = np.asarray(scores), np.asarray(targets)
    discounts = 1 / np.log2(np.arange(scores.shape[1]) + 2)
    order = np.argsort(-scores, axis=1, kind="stable")
    gained = (np.take_along_axis(targets, order, axis=1) * discounts).sum(axis=1)
    best = (-np.sort(-targets, axis=1) * discounts).sum(axis=1)
    return float((gained / best).mean())
