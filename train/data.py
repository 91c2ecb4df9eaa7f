"""From a published corpus to batches of token ids with targets."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
import torch
from datasets import DatasetDict, load_dataset
from datasets.exceptions import DatasetNotFoundError
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
from torch.utils.data import BatchSampler
from transformers import PreTrainedTokenizerBase

from dataset_builder.inputs import InputError, first_line
from dataset_builder.taxonomy import LABELS
from train.recipe import ClassifierRecipe

POOL = 50  # batches that are sorted by length together


class Example(TypedDict):
    """One tokenised row; `targets` has 28 values in [0, 1]. Types are there where the base model has them."""

    input_ids: list[int]
    token_type_ids: NotRequired[list[int]]
    targets: list[float]


def load_corpus(recipe: ClassifierRecipe, place: str | None) -> tuple[DatasetDict, str]:
    """The corpus's splits, and its revision: the Hub's commit, or a built folder's hash.

    Args:
        place: a folder or Hub id instead of the recipe's.

    Raises:
        InputError: nothing there that loads, a split is missing, or the labels are in another order than ours.
    """
    where = place or recipe.dataset
    corpus, revision = load_splits(where, recipe.config, recipe.dataset_revision)
    check_labels(corpus, where)
    return corpus, revision


def load_splits(where: str, config: str, revision: str | None) -> tuple[DatasetDict, str]:
    """A config's splits, of which train and validation have rows, and its revision.

    Raises:
        InputError: nothing there that loads, or a split is missing.
    """
    try:
        corpus = load_dataset(where, config, revision=revision)
    except (DatasetNotFoundError, FileNotFoundError, ValueError, ConnectionError, HfHubHTTPError) as error:
        raise InputError(
            f"data set '{where}', config '{config}': does not load ({first_line(error)}). Build one "
            "with `make demo`, or give a folder or Hub id with --data."
        ) from None
    for split in ("train", "validation"):
        if split not in corpus or not len(corpus[split]):
            raise InputError(f"data set '{where}', config '{config}': has no {split} rows. Use more stories.")
    return corpus, _revision(where, revision)


def check_labels(corpus: DatasetDict, where: str) -> None:
    """Raises InputError where a corpus has its labels in another order than ours."""
    names = tuple(corpus["train"].features["labels"].feature.names)
    if names != LABELS:
        raise InputError(
            f"data set '{where}': its labels are not the 28 of dataset_builder/taxonomy.py in their order."
        )


def _revision(where: str, revision: str | None) -> str:
    manifest = Path(where) / "manifest.json"
    if manifest.exists():
        return str(json.loads(manifest.read_text(encoding="utf-8"))["revision"])
    return "unknown" if Path(where).exists() else str(HfApi().dataset_info(where, revision=revision).sha)


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
                    f"{recipe.name}: the utterance of row '{rows['id'][row]}' has {len(ids)} tokens, which leaves no "
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
        self._pad = tokenizer.pad_token_id

    def __call__(self, examples: list[Example]) -> dict[str, torch.Tensor]:
        """Stack the examples of a batch."""
        longest = max(len(example["input_ids"]) for example in examples)

        def padded(rows: list[list[int]], value: int) -> torch.Tensor:
            return torch.tensor([row + [value] * (longest - len(row)) for row in rows])

        ids = [example["input_ids"] for example in examples]
        batch = {
            "input_ids": padded(ids, self._pad),
            "attention_mask": padded([[1] * len(row) for row in ids], 0),
            "targets": torch.tensor([example["targets"] for example in examples]),
        }
        if "token_type_ids" in examples[0]:
            batch["token_type_ids"] = padded([example["token_type_ids"] for example in examples], 0)
        return batch
