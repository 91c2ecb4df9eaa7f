"""EmoContext (SemEval-2019 Task 3): three turns of a chat, the third labelled; a participant's own copy.

The first and the third turn are one speaker's (A), the second is the other's (B). The official splits differ in their
shares of classes: half of train is `others`, of dev and test six in seven.
"""

from pathlib import Path

from dataset_builder.domains.reading import Example, Fold, Source, class_in
from dataset_builder.files.known_files import find_file, missing_file
from dataset_builder.files.reading import named_columns
from dataset_builder.inputs import InputError
from dataset_builder.label_maps import LABEL_MAPS

FILES = {"train": "train.txt", "validation": "dev.txt", "test": "test.txt"}
COLUMNS = {name: (name,) for name in ("id", "turn1", "turn2", "turn3", "label")}
WHAT = "Give the folder of the task's train.txt, dev.txt and test.txt, all with labels."


def read(folder: Path, fold: Fold | None) -> Source:
    """The official splits as they are.

    Raises:
        InputError: a file is missing or without labels, or a line is malformed (file and line are named).
    """
    del fold
    files = {split: find_file(folder, [name]) or folder / name for split, name in FILES.items()}
    return Source(
        {split: _examples(path, split) for split, path in files.items()}, [*files.values()], "official splits"
    )


def _examples(path: Path, split: str) -> list[Example]:
    classes = tuple(LABEL_MAPS["emocontext"])
    examples = []
    if not path.exists():
        raise missing_file(path, WHAT)
    for place, row in named_columns(path, COLUMNS, WHAT):
        key, first, second, third, label = (row[name].strip() for name in COLUMNS)
        if not third:
            raise InputError(f"{place}: turn3 is empty. Mend or delete it.")
        examples.append(
            Example(
                id=f"emocontext/{split}/{key}",
                text=third,
                classes=(class_in(label.lower(), classes, place),),
                context=f"A: {first}\nB: {second}",
                speaker="A",
                place=place,
            )
        )
    return examples
