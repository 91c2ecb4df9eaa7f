"""Reads EmoContext (SemEval-2019 Task 3) from a participant's copy: chats of three turns, the third labelled.

Speaker A has the first and the third turn, speaker B the second. The official splits differ in their class shares: half
of train is `others`, but six in seven rows of dev and test are.
"""

from pathlib import Path

from dataset_builder.domains.examples import DataSet, Example, Source, class_in
from dataset_builder.files.known_files import find_file, missing_file
from dataset_builder.files.reading import named_columns
from dataset_builder.inputs import InputError
from dataset_builder.label_maps import LABEL_MAPS
from dataset_builder.text_template import TURNS

FILES = {"train": "train.txt", "validation": "dev.txt", "test": "test.txt"}
COLUMNS = {name: (name,) for name in ("id", "turn1", "turn2", "turn3", "label")}
WHAT = "Pass the folder with the task's train.txt, dev.txt and test.txt, all with labels."


def read(folder: Path) -> Source:
    """Return the official splits.

    Raises:
        InputError: a file is missing or has no labels, or a line is malformed (the message names file and line).
    """
    files = {split: find_file(folder, [name]) or folder / name for split, name in FILES.items()}
    splits = {split: _examples(path, split) for split, path in files.items()}
    return Source(splits, list(files.values()), "official splits")


def _examples(path: Path, split: str) -> list[Example]:
    classes = tuple(LABEL_MAPS["emocontext"])
    examples = []
    if not path.exists():
        raise missing_file(path, WHAT)
    for place, row in named_columns(path, COLUMNS, WHAT):
        key, first, second, third, label = (row[name].strip() for name in COLUMNS)
        if not third:
            raise InputError(f"{place}: turn3 is empty. Correct or delete it.")
        own = (class_in(label.lower(), classes, place),)
        examples.append(Example(f"emocontext/{split}/{key}", third, own, f"A: {first}{TURNS}B: {second}", "A", place))
    return examples


SET = DataSet(
    config="contextual",
    read=read,
    licence="terms of SemEval-2019 Task 3",
    terms="for participants of the task only; neither the texts nor this folder may be shared",
    citation="Chatterjee et al. 2019, SemEval-2019 Task 3, S19-2005",
)
