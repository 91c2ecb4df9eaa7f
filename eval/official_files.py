"""Test sets in the files that their makers distribute, each read with the line named where it is another form."""

import re
from pathlib import Path

import numpy as np

from dataset_builder.files.known_files import find_file, missing_file
from dataset_builder.files.reading import named_columns
from dataset_builder.files.texts import RowCheck
from dataset_builder.inputs import InputError

EMOBANK_FILE = "emobank.csv"
OFFSETS = re.compile(r"_\d+_\d+$")  # of a sentence in its document, at the end of its id
EMOBANK = ("id", "split", "V", "A", "D", "text")
SEMEVAL = (  # the classes of SemEval-2018 Task 1 E-c, in the columns' order
    "anger",
    "anticipation",
    "disgust",
    "fear",
    "joy",
    "love",
    "optimism",
    "pessimism",
    "sadness",
    "surprise",
    "trust",
)
SEMEVAL_TEST = "2018-E-c-En-test-gold.txt"
GIVEN = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}


def emobank(folder: Path) -> tuple[Path, list[str], np.ndarray, list[str]]:
    """EmoBank's test split (Buechel and Hahn 2017): its file, texts, and valence and arousal (rows, 2) from 1 to 5.

    The last is the document of each sentence; headlines are documents of their own.

    Raises:
        InputError: the file is missing or of another form, or a row's text is empty or its id is there twice.
    """
    path = find_file(folder, [EMOBANK_FILE]) or folder / EMOBANK_FILE
    if not path.exists():
        raise missing_file(path, f"Give the folder of {EMOBANK_FILE}.")
    longer = {"V": "valence", "A": "arousal", "D": "dominance"}
    columns = {name: (name.lower(), longer.get(name, name)) for name in EMOBANK}
    what = f"(its header is not {','.join(EMOBANK)}). Give JULIELab/EmoBank's corpus/{path.name}, which has the split."
    texts, ratings, documents = [], [], []
    once = RowCheck()
    for place, row in named_columns(path, columns, what):
        if row["split"].strip().lower() != "test":
            continue
        try:
            rating = float(row["V"]), float(row["A"])
        except ValueError:
            rating = (0.0, 0.0)
        if not all(1 <= value <= 5 for value in rating):
            found = f"V {row['V'][:20]!r}, A {row['A'][:20]!r}"
            raise InputError(f"{place}: cannot be read ({found}: expected numbers from 1 to 5).")
        once.check(row["id"].strip(), row["text"], place)
        texts.append(row["text"])
        ratings.append(rating)
        documents.append(OFFSETS.sub("", row["id"].strip()))
    if not texts:
        raise InputError(f"{path}: has no test rows. Give the file with the official split.")
    return path, texts, np.array(ratings), documents


def semeval2018(folder: Path) -> tuple[Path, list[str], np.ndarray, None]:
    """SemEval-2018 Task 1 E-c, English test with gold: its file, texts, and labels (rows, 11), 0 or 1; no documents.

    Raises:
        InputError: the file is missing or of another form, or a row's text is empty or its id is there twice.
    """
    path = next(
        filter(None, (find_file(place, [SEMEVAL_TEST]) for place in _semeval_places(folder))), folder / SEMEVAL_TEST
    )
    if not path.exists():
        raise missing_file(path, "Give the folder of the task's files, E-c, English, with the gold labels.")
    columns = {"ID": ("id",), "Tweet": ("tweet", "text"), **{name: (name,) for name in SEMEVAL}}
    form = f"not an id, a text and {len(SEMEVAL)} times 0 or 1"
    what = f"Its header is not ID, Tweet and the {len(SEMEVAL)} classes. Give the E-c file."
    texts, labels = [], []
    once = RowCheck()
    for place, row in named_columns(path, columns, what, form):
        given = [GIVEN.get(row[name].strip().lower()) for name in SEMEVAL]
        if None in given:
            wrong = next(row[name] for name, value in zip(SEMEVAL, given, strict=True) if value is None)
            gold = " This is the file without the gold labels." if wrong.strip() == "NONE" else ""
            raise InputError(f"{place}: {form}, found {wrong[:20]!r}.{gold}")
        once.check(row["ID"].strip(), row["Tweet"], place)
        texts.append(row["Tweet"])
        labels.append(given)
    return path, texts, np.array(labels, dtype=np.int8).reshape(-1, len(SEMEVAL)), None


def _semeval_places(folder: Path) -> list[Path]:
    """Where the test file may be, in the archives of the task too."""
    below = ("", "E-c", "English/E-c", "SemEval2018-Task1-all-data/English/E-c")
    return [folder / part for part in below]
