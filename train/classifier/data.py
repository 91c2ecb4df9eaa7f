"""Turns a published corpus into rows of token ids with targets, all checked before the training starts."""

import math
import sys
from typing import Any

import numpy as np
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
from dataset_builder.text_template import CHARACTER, PLAIN, fields_of, filled
from train.batches import SPLITS
from train.classifier.recipe import ClassifierRecipe

VARIANT = "variant"
COLUMNS = {
    "text": "what is classified",
    "context": "the situation in which somebody says the text",
    "character": "who says the text; may be empty",
    "scores": f"{len(LABELS)} numbers from 0 to 1, one for each label in the order of dataset_builder/taxonomy.py",
    "labels": "the numbers of the labels, with their names (ClassLabel)",
    VARIANT: "'original' or 'rewritten'",
}


# A tokenised row: `input_ids`, `token_type_ids` where the base model has types, 28 `targets` in [0, 1];
# with several data sets, the `source` whose biases the row has (0: none).
Example = dict[str, Any]


def read_corpus(recipe: ClassifierRecipe, place: str | None) -> DataSet:
    """Return the corpus of a recipe, with all train and validation rows checked.

    Args:
        place: a folder or Hub id instead of the recipe's.

    Raises:
        InputError: the dataset cannot be loaded, a split or column is missing, the labels are not in our order,
            a row has no text, no label or a wrong score, or no validation row has a label.
    """
    data = read_data_set(place or recipe.dataset, recipe.config, None if place else recipe.dataset_revision)
    unused = {"context"} if recipe.config != "contextual" else set()
    unused |= {CHARACTER} - fields_of(recipe.text_template)
    unused |= set() if recipe.variants else {VARIANT}
    wanted = {name: words for name, words in COLUMNS.items() if name not in unused}
    for split in SPLITS:
        check_columns(data, split, wanted)
        if recipe.variants:
            data.splits[split] = _of_variants(data, split, recipe.variants)
        for column in {"text", "context"} & set(wanted):
            check_texts(data, split, column)
        check_scores(data, split)
    _check_label_names(data)
    for split in SPLITS:
        check_label_numbers(data, split)
    _check_positives(data, recipe)
    for split in SPLITS:
        _check_agreement(data, split, recipe.hard_at)
    return data


def _of_variants(data: DataSet, split: str, variants: tuple[str, ...]) -> Any:
    """Return the rows of these variants. Raises InputError if there is none."""
    rows = data.rows(split)
    chosen = [row for row, variant in enumerate(rows[VARIANT]) if variant in variants]
    if not chosen:
        raise InputError(f"{data}: no {split} row is a variant of 'variants' ({', '.join(variants)}).")
    return rows.select(chosen)


def read_others(recipe: ClassifierRecipe, own: DataSet) -> list[tuple[ClassifierRecipe, DataSet]]:
    """Return the data sets that are mixed in, checked like the own one, each with the recipe as it reads that set.

    Without train rows whose text is a validation or test text of the own set.
    """
    held_out = {_folded(text) for split in own.splits if split != "train" for text in own.rows(split)["text"]}
    found = []
    for other in recipe.mixed_with:
        values: dict[str, Any] = {name: getattr(other, name) for name in ("dataset", "dataset_revision", "config")}
        values["variants"] = None
        if other.config == "contextless":
            values["text_template"] = PLAIN
        as_read = recipe.model_copy(update=values)
        data = read_corpus(as_read, None)
        rows = data.rows("train")
        rows = rows.select([row for row, text in enumerate(rows["text"]) if _folded(text) not in held_out])
        data.splits["train"] = rows.shuffle(recipe.seed).select(range(math.ceil(other.share * len(rows))))
        found.append((as_read, data))
    return found


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _check_label_names(data: DataSet) -> None:
    """Raise InputError if a corpus has its labels in a different order, or does not name them."""
    names = getattr(getattr(data.rows("train").features.get("labels"), "feature", None), "names", None)
    if names is None or tuple(names) != LABELS:
        why = "have no names" if names is None else "are not the 28 labels in their order"
        raise InputError(
            f"{data}: its labels {why}. List the labels of dataset_builder/taxonomy.py in the README's dataset_info."
        )


def _check_positives(data: DataSet, recipe: ClassifierRecipe) -> None:
    """Raise InputError if no validation row has a label, or no train row has one and targets are hard."""
    for split in SPLITS if recipe.targets == "hard" else SPLITS[1:]:
        if not (np.asarray(data.rows(split)["scores"], dtype=np.float32) >= recipe.hard_at).any():
            raise InputError(
                f"{data}: no {split} row has a label: none of its scores is {recipe.hard_at:g} ('hard_at') or more. "
                "Thresholds are fitted to such rows. Use more stories, or lower 'hard_at'."
            )


def _check_agreement(data: DataSet, split: str, hard_at: float) -> None:
    """Raise InputError if for most rows the largest score is at none of the labels: the scores are in another order."""
    rows = data.rows(split)
    scores = np.asarray(rows["scores"], dtype=np.float32)
    best = scores.max(axis=1)
    labelled = [(row, labels) for row, labels in enumerate(rows["labels"]) if labels and best[row] >= hard_at]
    apart = [(row, labels) for row, labels in labelled if scores[row, labels].max() < best[row]]
    if len(apart) > len(labelled) / 2:
        row, labels = apart[0]
        raise InputError(
            f"{data}: {split} {row_name(rows, row)} has the label '{LABELS[labels[0]]}' and its largest score for "
            f"'{LABELS[scores[row].argmax()]}', and so do most rows. Put the scores in the order of "
            "dataset_builder/taxonomy.py."
        )


def warn_of_shared_texts(data: DataSet) -> None:
    """Warn if validation rows are also train rows: weights and thresholds would be chosen on training data."""
    columns = [name for name in ("context", "text") if name in data.rows("train").column_names]
    learned, held = (set(zip(*(data.rows(split)[name] for name in columns), strict=True)) for split in SPLITS)
    if shared := len(learned & held):
        print(
            f"{data}: {shared} of {len(held)} validation texts are also training texts. Split the data again.",
            file=sys.stderr,
        )


def tokenise(rows: Any, tokenizer: PreTrainedTokenizerBase, recipe: ClassifierRecipe) -> list[Example]:
    """Return the token ids and targets of every row, unpadded.

    The utterance is `text`, in the recipe's template. A situation, if the config has one, is `text_pair`; only its
    start is truncated (strategy `only_second`, `truncation_side` left).

    Raises:
        InputError: an utterance leaves no room for a situation.
    """
    characters = list(rows[CHARACTER]) if CHARACTER in fields_of(recipe.text_template) else None
    texts, pairs = filled(recipe.text_template, rows["text"], characters), None
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
    columns = {name: encoded[name] for name in ("input_ids", "token_type_ids") if name in encoded}
    columns["targets"] = targets.tolist()
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
