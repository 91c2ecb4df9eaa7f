"""Test sets in the files that their makers distribute, each read with the line named where it is another form."""

import csv
from pathlib import Path

import numpy as np

from dataset_builder.inputs import InputError

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


def emobank(folder: Path) -> tuple[Path, list[str], np.ndarray]:
    """EmoBank's test split (Buechel and Hahn 2017): its file, texts, and valence and arousal (rows, 2) from 1 to 5.

    Raises:
        InputError: the file is missing or of another form.
    """
    path = folder / "emobank.csv"
    texts, ratings, line = [], [], 1
    try:
        with open(path, encoding="utf-8", newline="") as lines:
            rows = csv.DictReader(lines)
            if tuple(rows.fieldnames or ()) != EMOBANK:
                raise InputError(f"{path}: its header is not {','.join(EMOBANK)}. Give the file with the split.")
            for row in rows:
                line = rows.line_num
                if row["split"] == "test":
                    texts.append(row["text"])
                    ratings.append((float(row["V"]), float(row["A"])))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file. Give the folder of emobank.csv.") from None
    except (OSError, UnicodeDecodeError, ValueError, TypeError, csv.Error) as error:
        raise InputError(f"{path}, line {line}: cannot be read ({error}). Give the official file.") from None
    if not texts:
        raise InputError(f"{path}: has no test rows. Give the file with the official split.")
    return path, texts, np.array(ratings)


def semeval2018(folder: Path) -> tuple[Path, list[str], np.ndarray]:
    """SemEval-2018 Task 1 E-c, English test with gold: its file, texts, and labels (rows, 11), 0 or 1.

    Raises:
        InputError: the file is missing or of another form.
    """
    path = folder / SEMEVAL_TEST
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file. Give the folder of the task's files.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}). Give the official file.") from None
    if not lines or tuple(lines[0].split("\t")) != ("ID", "Tweet", *SEMEVAL):
        raise InputError(f"{path}: its header is not ID, Tweet and the {len(SEMEVAL)} classes. Give the E-c file.")
    texts, labels = [], []
    for number, line in enumerate(lines[1:], start=2):
        fields = line.split("\t")
        if len(fields) != 2 + len(SEMEVAL) or not set(fields[2:]) <= {"0", "1"}:
            raise InputError(f"{path}, line {number}: not an id, a text and {len(SEMEVAL)} times 0 or 1.")
        texts.append(fields[1])
        labels.append([int(field) for field in fields[2:]])
    return path, texts, np.array(labels, dtype=np.int8).reshape(-1, len(SEMEVAL))
