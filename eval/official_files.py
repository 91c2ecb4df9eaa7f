"""Reads test sets from the files that their authors distribute. Errors name the malformed line."""

import re
from pathlib import Path

import numpy as np

from dataset_builder.files.known_files import find_file, missing_file
from dataset_builder.files.reading import named_columns
from dataset_builder.files.texts import RowCheck
from dataset_builder.hashing import digest_of
from dataset_builder.inputs import InputError
from dataset_builder.label_maps import LABEL_MAPS
from eval.benchmark_rows import Rows

EMOBANK = ("id", "split", "V", "A", "D", "text")
EMOBANK_FILE = "emobank.csv"
OFFSETS = re.compile(r"_\d+_\d+$")  # of a sentence in its document, at the end of its id
SEMEVAL = tuple(LABEL_MAPS["semeval2018-ec"])  # the classes, in the order of the columns
SEMEVAL_TEST = "2018-E-c-En-test-gold.txt"
SEMEVAL_FOLDERS = ("", "E-c", "English/E-c", "SemEval2018-Task1-all-data/English/E-c")  # as in the task's archives
PROTOCOL = "official test split"
TRUTH = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}


def emobank(place: str, config: str) -> Rows:
    """EmoBank (Buechel and Hahn 2017): valence and arousal (rows, 2) from 1 to 5. Each headline is a separate document.

    Raises InputError if the file is missing or malformed, a text is empty, or an id occurs twice.
    """
    path = _find(Path(place), EMOBANK_FILE, f"Pass the folder that contains {EMOBANK_FILE}.")
    longer = {"V": "valence", "A": "arousal", "D": "dominance"}
    columns = {name: (name.lower(), longer.get(name, name)) for name in EMOBANK}
    what = f"(its header is not {','.join(EMOBANK)}). Use JULIELab/EmoBank's corpus/{path.name}, which has the split."
    texts, ratings, documents = [], [], []
    once = RowCheck()
    for line, row in named_columns(path, columns, what):
        if row["split"].strip().lower() != "test":
            continue
        try:
            rating = float(row["V"]), float(row["A"])
        except ValueError:
            rating = (0.0, 0.0)
        if not all(1 <= value <= 5 for value in rating):
            found = f"V {row['V'][:20]!r}, A {row['A'][:20]!r}"
            raise InputError(f"{line}: cannot be read ({found}: expected numbers from 1 to 5).")
        once.check(row["id"].strip(), row["text"], line)
        texts.append(row["text"])
        ratings.append(rating)
        documents.append(OFFSETS.sub("", row["id"].strip()))
    if not texts:
        raise InputError(f"{path}: has no test rows. Use the file with the official split.")
    return Rows(texts, None, np.array(ratings), _revision(path), PROTOCOL, documents, "documents", classes=())


def semeval2018(place: str, config: str) -> Rows:
    """SemEval-2018 Task 1 E-c (Mohammad et al. 2018), English test with gold: labels (rows, 11), 0 or 1.

    Raises InputError if the file is missing or malformed, a text is empty, or an id occurs twice.
    """
    what = "Pass the folder with the task's files, E-c, English, with the gold labels."
    path = _find(Path(place), SEMEVAL_TEST, what, SEMEVAL_FOLDERS)
    columns = {"ID": ("id",), "Tweet": ("tweet", "text"), **{name: (name,) for name in SEMEVAL}}
    form = f"not an id, a text and {len(SEMEVAL)} times 0 or 1"
    header = f"Its header is not ID, Tweet and the {len(SEMEVAL)} classes. Use the E-c file."
    texts, labels = [], []
    once = RowCheck()
    for line, row in named_columns(path, columns, header, form):
        given = [TRUTH.get(row[name].strip().lower()) for name in SEMEVAL]
        if None in given:
            wrong = row[SEMEVAL[given.index(None)]]
            advice = " This is the file without the gold labels." if wrong.strip() == "NONE" else ""
            raise InputError(f"{line}: {form}, found {wrong[:20]!r}.{advice}")
        once.check(row["ID"].strip(), row["Tweet"], line)
        texts.append(row["Tweet"])
        labels.append(given)
    gold = np.array(labels, dtype=np.int8).reshape(-1, len(SEMEVAL))
    return Rows(texts, None, gold, _revision(path), PROTOCOL, classes=SEMEVAL)


def _find(folder: Path, name: str, what: str, below: tuple[str, ...] = ("",)) -> Path:
    """Return a file in one of some folders. Raises InputError, which ends with `what` to give, if there is none."""
    path = next(filter(None, (find_file(folder / place, [name]) for place in below)), None)
    if path is None:
        raise missing_file(folder / name, what)
    return path


def _revision(path: Path) -> str:
    return f"{path.name} sha256 {digest_of(path)[:16]}"
