"""Reads ISEAR (Scherer and Wallbott): seven reports per person about their own emotions; key, emotion, text.

The last digit of a key identifies the emotion, the other digits the person. By default a person's reports stay in one
split: `train.tsv` becomes train and validation, `dev.tsv` is the test split. Folds follow the protocol of paper A (A6):
random folds over all rows, 80/20 with five folds. A person's reports are then in train and test, and scores are higher.
"""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from dataset_builder.domains.examples import SEED, DataSet, Example, Fold, Source, class_in, draw_share
from dataset_builder.files.known_files import find_file, missing_file
from dataset_builder.files.reading import named_columns
from dataset_builder.inputs import InputError
from dataset_builder.label_maps import LABEL_MAPS

# The second names come from the original database; its export separates 42 columns by `|`.
COLUMNS = {"key": ("key", "mykey"), "emotion": ("emotion", "field1"), "text": ("text", "sit")}
TRAIN, DEV, WHOLE = "train.tsv", "dev.tsv", "isear.tsv"
WHOLES = (WHOLE, "isear.csv")
VALIDATION_SHARE = 0.1
WHAT = f"Pass a folder with {TRAIN} and {DEV}, or with the whole dataset as {WHOLE} (header: key, emotion, text)."
# Line breaks and non-ASCII letters as they appear in conversions of the original.
ODD = str.maketrans({"á": " ", "÷": "ö", "¦": "°"})
LONGEST_NON_ANSWER = 100  # characters; longer texts that begin like this do report an event
NON_ANSWER = re.compile(
    r"(no (resp?onse|description|answer|answers)\b|blank$|not applicable\b|(it |this )?does(n't| not) apply\b"
    r"|(honestly, )?(i )?(have )?(never|not) (yet )?(felt|had|experienced)\b|never experienced\b"
    r"|(i )?haven't (felt|been|had|experienced)\b"
    r"|(i )?(can ?not|can't|could not|do not|don't) (recall|remember|think of)\b"
    r"|the same as (in|for) \w+$|normally i do not feel\b)",
    re.IGNORECASE,
)


def is_non_answer(text: str) -> bool:
    """Return whether a report is a non-answer ("[ No response.]", "Can't remember that feeling.")."""
    bare = text.strip(" []().")
    return not bare or (len(bare) <= LONGEST_NON_ANSWER and NON_ANSWER.match(bare) is not None)


def read(folder: Path, fold: Fold | None = None) -> Source:
    """Return the dataset without non-answers, repeats and test texts in other splits; removed rows are counted.

    Raises:
        InputError: files are missing, a line is malformed (the message names it), or a person is in both files.
    """
    whole, train, dev = find_file(folder, WHOLES), find_file(folder, [TRAIN]), find_file(folder, [DEV])
    if not whole and not train:
        raise missing_file(folder / TRAIN, WHAT)
    if fold is None and whole and not train:
        raise InputError(f"{whole}: the whole dataset needs a fold. Add --fold 1 (up to 5, or to N with --folds N).")
    counts = Counter[str]()
    files = [whole] if whole and fold else [train or folder / TRAIN, dev or folder / DEV]
    parts = [_examples(path, counts) for path in files]
    if fold is None:
        splits = _by_person(*parts)
        protocol = f"split by person: {DEV} is test, {VALIDATION_SHARE:.0%} of the people in {TRAIN} are validation"
    else:
        splits = _by_fold([example for part in parts for example in part], fold, counts)
        protocol = (
            f"random folds over all rows of {', '.join(path.name for path in files)}: fold {fold.number} of {fold.of} "
            f"is test, {VALIDATION_SHARE:.0%} of the rest validation; a person may be in both splits"
        )
    splits = {split: _without_repeats(examples, counts) for split, examples in splits.items()}
    tested = {_plain(example.text) for example in splits["test"]}
    for split in ("train", "validation"):
        kept = [example for example in splits[split] if _plain(example.text) not in tested]
        counts[f"{split}_texts_of_test"] += len(splits[split]) - len(kept)
        splits[split] = kept
    return Source(splits, files, protocol, dict(counts))


def person(key: str) -> str:
    """Return the person in a report's key: all digits except the last, which identifies the emotion."""
    return key.rpartition("/")[2][:-1]


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _examples(path: Path, counts: Counter[str]) -> list[Example]:
    """Return the reports of a file without non-answers, with odd characters repaired."""
    examples: list[Example] = []
    keys: set[str] = set()
    classes = tuple(LABEL_MAPS["isear"])
    for place, row in named_columns(path, COLUMNS, WHAT):
        key, emotion, text = row["key"].strip(), row["emotion"].strip().lower(), row["text"]
        if len(key) < 2 or not key.isdecimal() or key in keys:
            raise InputError(f"{place}: key {key!r} must be a unique number: the person, then the emotion's digit.")
        keys.add(key)
        class_in(emotion, classes, place)
        repaired = " ".join(text.translate(ODD).split())
        counts["odd_characters"] += repaired != text
        if is_non_answer(repaired):
            counts["non_answers"] += 1
        else:
            examples.append(Example(f"isear/{key}", repaired, (emotion,), place=place))
    return examples


def _by_person(train: list[Example], test: list[Example]) -> dict[str, list[Example]]:
    persons = sorted({person(example.id) for example in train})
    both = set(persons) & {person(example.id) for example in test}
    if both:
        raise InputError(f"{TRAIN} and {DEV}: person {min(both)} is in both. Split them by person, or add --fold.")
    held = draw_share(persons, VALIDATION_SHARE) if persons else set()
    return {
        "train": [example for example in train if person(example.id) not in held],
        "validation": [example for example in train if person(example.id) in held],
        "test": test,
    }


def _by_fold(examples: list[Example], fold: Fold, counts: Counter[str]) -> dict[str, list[Example]]:
    examples = _without_repeats(examples, counts)
    parts = np.array_split(np.random.default_rng(SEED).permutation(len(examples)), fold.of)
    test = parts.pop(fold.number - 1)
    rest = np.concatenate(parts)  # in random order, so that the first rows are a random sample
    cut = max(1, round(VALIDATION_SHARE * len(rest)))

    def chosen(rows: Iterable[int]) -> list[Example]:
        return [examples[row] for row in sorted(rows)]

    return {"train": chosen(rest[cut:]), "validation": chosen(rest[:cut]), "test": chosen(test)}


def _without_repeats(examples: list[Example], counts: Counter[str]) -> list[Example]:
    """Keep the first row of each text and class."""
    kept = {(_plain(example.text), example.classes): example for example in reversed(examples)}
    counts["repeats"] += len(examples) - len(kept)
    return list(reversed(kept.values()))


SET = DataSet(
    config="contextless",
    read=read,
    read_fold=read,
    licence="none stated",
    terms="offered for research by its authors; neither the texts nor this folder are to be published",
    citation="Scherer and Wallbott 1994, Journal of Personality and Social Psychology 66, 310-328",
)
