"""MELD (Poria et al. 2019): dialogues of a television series, each turn with one of seven classes; official splits.

The official CSV files have a row for each turn. A turn's context is the turns before it in its dialogue, as
`Speaker: text`, without their labels. Turns are numbered within a dialogue, with gaps where turns were left out. Short
turns ("Yeah!") recur in several dialogues and splits; they stay, since their contexts differ. Annotators also saw and
heard the scene, so text alone cannot explain all labels.
"""

from pathlib import Path
from typing import NamedTuple

from dataset_builder.domains.examples import DataSet, Example, Source, class_in
from dataset_builder.files.known_files import find_file, missing_file
from dataset_builder.files.reading import named_columns
from dataset_builder.inputs import InputError
from dataset_builder.label_maps import LABEL_MAPS
from dataset_builder.text_template import TURNS

FILES = {"train": "train_sent_emo.csv", "validation": "dev_sent_emo.csv", "test": "test_sent_emo.csv"}
COLUMNS = {
    "text": ("utterance",),
    "speaker": ("speaker",),
    "emotion": ("emotion",),
    "dialogue": ("dialogue_id",),
    "turn": ("utterance_id",),
}
CONTEXT_TURNS = 10  # before the turn that is labelled, as for IEMOCAP
WHAT = f"Give the folder of MELD's official files: {', '.join(FILES.values())}."
# Some copies of the files were read as Latin-1 although they were Windows-1252: they have '\x92' for an apostrophe.
CP1252 = {code: bytes([code]).decode("cp1252") for code in (0x85, 0x91, 0x92, 0x93, 0x94, 0x96, 0x97)}


class Turn(NamedTuple):
    """A turn of a dialogue, with its number there."""

    number: int
    speaker: str
    text: str
    emotion: str
    place: str


def read(folder: Path) -> Source:
    """Return the official splits, each turn with the turns before it.

    Raises:
        InputError: a file is missing, a line is malformed, or a class is unknown (the message names file and line).
    """
    files = {split: find_file(folder, [name]) or folder / name for split, name in FILES.items()}
    splits = {split: _examples(path, split) for split, path in files.items()}
    return Source(splits, list(files.values()), f"official splits; context: up to {CONTEXT_TURNS} turns")


def _examples(path: Path, split: str) -> list[Example]:
    if not path.exists():
        raise missing_file(path, WHAT)
    classes = tuple(LABEL_MAPS["meld"])
    dialogues: dict[str, list[Turn]] = {}
    for place, row in named_columns(path, COLUMNS, WHAT):
        dialogue, number = row["dialogue"].strip(), row["turn"].strip()
        if not number.isdecimal():
            raise InputError(f"{place}: Utterance_ID is {number[:20]!r}, not the number of a turn. Correct it.")
        text, speaker = row["text"].translate(CP1252).strip(), " ".join(row["speaker"].split())
        emotion = class_in(row["emotion"].strip().lower(), classes, place)
        dialogues.setdefault(dialogue, []).append(Turn(int(number), speaker, text, emotion, place))
    examples = []
    for dialogue, turns in dialogues.items():
        turns.sort(key=lambda turn: turn.number)
        said = [f"{turn.speaker}: {turn.text}" for turn in turns]
        for at, turn in enumerate(turns):
            name = f"meld/{split}/{dialogue}_{turn.number}"
            context = TURNS.join(said[max(0, at - CONTEXT_TURNS) : at])
            examples.append(Example(name, turn.text, (turn.emotion,), context, turn.speaker, turn.place))
    return examples


SET = DataSet(
    config="contextual",
    read=read,
    licence="GPL-3.0 (the repository declare-lab/MELD); the text is dialogue of a television series",
    terms="for research; neither the texts nor this folder may be passed on",
    citation="Poria et al. 2019, arXiv 1810.02508",
)
