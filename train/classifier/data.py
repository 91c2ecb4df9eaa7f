"""From a published corpus to batches of token ids with targets."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any, NotRequired, TypedDict

import numpy as np
import torch
from datasets import DatasetDict
from torch.utils.data import BatchSampler
from transformers import PreTrainedTokenizerBase

from dataset_builder.files.data_sets import (
    DataSet,
    check_columns,
    check_label_numbers,
    check_scores,
    check_texts,
    read_data_set,
    row_name,
)
from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import LABELS
from train.classifier.recipe import ClassifierRecipe

POOL = 50  # batches that are sorted by length together
SPLITS = ("train", "validation")
COLUMNS = {
    "text": "what is classified",
    "context": "the situation that the text is said in",
    "scores": f"{len(LABELS)} numbers from 0 to 1, one for each label in the order of dataset_builder/taxonomy.py",
    "labels": "the numbers of the labels, with their names (ClassLabel)",
}


class Example(TypedDict):
    """One tokenised row; `targets` has 28 values in [0, 1]. Types are there where the base model has them."""

    input_ids: list[int]
    token_type_ids: NotRequired[list[int]]
    targets: list[float]


def load_corpus(recipe: ClassifierRecipe, place: str | None) -> tuple[DatasetDict, str]:
    """The splits of `read_corpus`, and the data's revision."""
    data = read_corpus(recipe, place)
    return data.splits, data.revision


def read_corpus(recipe: ClassifierRecipe, place: str | None) -> DataSet:
    """The corpus of a recipe, whose train and validation rows are whole.

    Args:
        place: a folder or Hub id instead of the recipe's.

    Raises:
        InputError: nothing there that loads, a split or column is missing, the labels are in another order than ours,
            a row has no text, no label or a wrong score, or no validation row has a label.
    """
    data = read_data_set(place or recipe.dataset, recipe.config, None if place else recipe.dataset_revision)
    wanted = {name: words for name, words in COLUMNS.items() if name != "context" or recipe.config == "contextual"}
    for split in SPLITS:
        check_columns(data, split, wanted)
        for column in {"text", "context"} & set(wanted):
            check_texts(data, split, column)
        check_scores(data, split)
    check_labels(data)
    for split in SPLITS:
        check_label_numbers(data, split)
    _check_positives(data, recipe)
    for split in SPLITS:
        _check_agreement(data, split, recipe.hard_at)
    return data


def _check_agreement(data: DataSet, split: str, hard_at: float) -> None:
    """Raises InputError where most rows' largest score is of none of their labels: scores in another order."""
    rows = data.rows(split)
    scores = np.asarray(rows["scores"], dtype=np.float32)
    best = scores.max(axis=1)
    labelled = [(row, labels) for row, labels in enumerate(rows["labels"]) if labels and best[row] >= hard_at]
    apart = [(row, labels) for row, labels in labelled if scores[row, labels].max() < best[row]]
    if len(apart) > len(labelled) / 2:
        row, labels = apart[0]
        raise InputError(
            f"{data}: {split} {row_name(rows, row)} has the label '{LABELS[labels[0]]}' and its largest score for "
            f"'{LABELS[scores[row].argmax()]}', as most rows. Put scores in the order of dataset_builder/taxonomy.py."
        )


def tell_shared(data: DataSet) -> None:
    """Say so where validation rows are train rows too: they choose weights and thresholds by what was learned."""
    columns = [name for name in ("context", "text") if name in data.rows("train").column_names]
    learned, held = (set(zip(*(data.rows(split)[name] for name in columns), strict=True)) for split in SPLITS)
    if shared := len(learned & held):
        print(
            f"{data}: {shared} of {len(held)} validation texts are train texts too. Split them anew.", file=sys.stderr
        )


def check_labels(data: DataSet) -> None:
    """Raises InputError where a corpus has its labels in another order than ours, or does not name them."""
    names = getattr(getattr(data.rows("train").features.get("labels"), "feature", None), "names", None)
    if names is None or tuple(names) != LABELS:
        why = "have no names" if names is None else "are not the 28 in their order"
        raise InputError(
            f"{data}: its labels {why}. Name those of dataset_builder/taxonomy.py in the README's dataset_info."
        )


def _check_positives(data: DataSet, recipe: ClassifierRecipe) -> None:
    """Raises InputError where no validation row has a label, or no train row has one and targets are hard."""
    for split in SPLITS if recipe.targets == "hard" else SPLITS[1:]:
        if not (np.asarray(data.rows(split)["scores"], dtype=np.float32) >= recipe.hard_at).any():
            raise InputError(
                f"{data}: no {split} row has a label: none of its scores is {recipe.hard_at:g} ('hard_at') or more. "
                "Thresholds are fitted to such rows. Use more stories, or lower 'hard_at'."
            )


def tokenise(rows: Any, tokenizer: PreTrainedTokenizerBase, recipe: ClassifierRecipe) -> list[Example]:
    """Token ids and targets of every row, unpadded.

    The utterance is `text`; a situation, where the config has one, is `text_pair`, and truncation takes from its
    start alone (strategy `only_second`, `truncation_side` left).

    Raises:
        InputError: an utterance leaves no room for a situation.
    """
    texts, pairs = list(rows["text"]), None
    if recipe.config == "contextual":
        pairs = list(rows["context"])
        room = recipe.max_length - tokenizer.num_special_tokens_to_add(pair=True)
        for row, ids in enumerate(tokenizer(texts, add_special_tokens=False, truncation=False)["input_ids"]):
            if len(ids) >= room:
                raise InputError(
                    f"{recipe.name}: the utterance of {row_name(rows, row)} has {len(ids)} tokens, which leaves no "
                    f"room for its situation. Raise 'max_length' {recipe.max_length}."
                )
    strategy = "only_second" if pairs else True
    encoded = tokenizer(texts, pairs, truncation=strategy, max_length=recipe.max_length)
    targets = np.asarray(rows["scores"], dtype=np.float32)
    if recipe.targets == "hard":
        targets = (targets >= recipe.hard_at).astype(np.float32)
    examples = [
        Example(input_ids=ids, targets=wanted)
        for ids, wanted in zip(encoded["input_ids"], targets.tolist(), strict=True)
    ]
    if "token_type_ids" in encoded:
        for example, types in zip(examples, encoded["token_type_ids"], strict=True):
            example["token_type_ids"] = types
    return examples


class LengthGroupedBatches(BatchSampler):  # type: ignore[misc]
    """Shuffled batches of rows of like length: rows are sorted by length within pools of 50 batches.

    `set_epoch` gives each epoch its own order, from the seed alone. All batches are full, so that each splits evenly
    over processes; the rows that are left over, fewer than a batch and others in every epoch, wait for the next one.
    Fewer rows than a batch are one batch.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.drop_last = True
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return max(1, len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        draw = np.random.default_rng((self.seed, self.epoch))
        order = draw.permutation(len(self.lengths))[: len(self) * self.batch_size]
        batches = []
        for start in range(0, len(order), POOL * self.batch_size):
            pool = order[start : start + POOL * self.batch_size]
            pool = pool[np.argsort(-self.lengths[pool], kind="stable")]
            batches += [pool[i : i + self.batch_size].tolist() for i in range(0, len(pool), self.batch_size)]
        yield from (batches[index] for index in draw.permutation(len(batches)))


class Collate:
    """Pads a batch to its longest row: ids, mask and token types (batch, length), targets (batch, 28)."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._pad, self._pad_type = tokenizer.pad_token_id, tokenizer.pad_token_type_id
        self._left = tokenizer.padding_side == "left"

    def __call__(self, examples: list[Example]) -> dict[str, torch.Tensor]:
        """Stack the examples of a batch."""
        longest = max(len(example["input_ids"]) for example in examples)

        def padded(rows: list[list[int]], value: int) -> torch.Tensor:
            filled = ((row, [value] * (longest - len(row))) for row in rows)
            return torch.tensor([fill + row if self._left else row + fill for row, fill in filled])

        ids = [example["input_ids"] for example in examples]
        batch = {
            "input_ids": padded(ids, self._pad),
            "attention_mask": padded([[1] * len(row) for row in ids], 0),
            "targets": torch.tensor([example["targets"] for example in examples]),
        }
        if "token_type_ids" in examples[0]:
            batch["token_type_ids"] = padded([example["token_type_ids"] for example in examples], self._pad_type)
        return batch
