"""Datasets that are recognised by their file names, so that a message can name the set in a wrong folder."""

from collections.abc import Sequence
from pathlib import Path

from dataset_builder.inputs import InputError

_RAW = "GoEmotions' raw annotations, one row per rater. Use the simplified split: train.tsv, dev.tsv, test.tsv"
# File names of a set, its name, and what to do with it.
_SETS = (
    (("train_sent_emo.csv", "dev_sent_emo.csv", "test_sent_emo.csv"), "MELD"),
    (("emobank.csv", "meta.tsv"), "EmoBank; evaluate on it with eval.run --benchmark emobank --data FOLDER"),
    (
        ("2018-E-c-En-train.txt", "2018-E-c-En-dev.txt", "2018-E-c-En-test-gold.txt"),
        "SemEval-2018 E-c; evaluate on it with eval.run --benchmark semeval2018-ec --data FOLDER",
    ),
    (("goemotions_1.csv", "goemotions_2.csv", "goemotions_3.csv", "go_emotions_dataset.csv", "goemotions.csv"), _RAW),
    (("full_dataset", "raw"), _RAW),
    (("emotions.txt", "ekman_mapping.json", "sentiment_mapping.json", "sentiment_dict.json"), "GoEmotions"),
    (("Session1", "Session5"), "IEMOCAP"),
    (("isear.tsv", "isear.csv", "ISEAR.csv"), "ISEAR as a whole"),
    (
        ("isear.mdb", "ISEAR.mdb", "ISEAR.sav", "isear.sav", "ISEAR.xls", "isear.xls", "ISEAR.xlsx", "isear.xlsx"),
        "ISEAR's database; export it as isear.csv in UTF-8, with the columns MYKEY, Field1 and SIT",
    ),
)
WITHOUT_READER = {
    "emobank": "EmoBank is for evaluation only: eval.run --benchmark emobank",
    "semeval2018-ec": "SemEval-2018 E-c is for evaluation only: eval.run --benchmark semeval2018-ec",
}


def known_set(folder: Path) -> str | None:
    """Return the known set in a folder, and what to do with it; None if no file is known."""
    return next((says for names, says in _SETS if any((folder / name).exists() for name in names)), None)


def find_file(folder: Path, names: Sequence[str]) -> Path | None:
    """The first of some files that a folder holds, its name in any case, or gzipped (`.gz`); None without one."""
    held = {path.name.casefold(): path for path in sorted(folder.iterdir())} if folder.is_dir() else {}
    wanted = (f"{name}{ending}".casefold() for name in names for ending in ("", ".gz"))
    return next((held[name] for name in wanted if name in held), None)


def missing_file(path: Path, what: str) -> InputError:
    """Return the error for a missing file; it names the set that the folder holds instead."""
    found = known_set(path.parent)
    return InputError(f"{path}: no such file. {what}" + (f" The folder contains {found}." if found else ""))
