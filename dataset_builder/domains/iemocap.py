"""Reads IEMOCAP (Busso et al. 2008) from a licensed copy: acted dialogues of two people, one emotion per turn.

In `IEMOCAP_full_release`, Session1..5/dialog/EmoEvaluation contains one file of labels per dialogue, and
Session1..5/dialog/transcriptions one file of turns. Session 5, whose two actors occur in no other session, is the test
split; a tenth of the other dialogues is validation. Turns with another emotion or without a majority emotion (`xxx`)
yield no rows but appear in contexts: a turn's context is the ten turns that began before it.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dataset_builder.domains.examples import DataSet, Example, Source, class_in, draw_share
from dataset_builder.files.known_files import known_set
from dataset_builder.files.reading import lines
from dataset_builder.inputs import InputError
from dataset_builder.text_template import TURNS

CONTEXT_TURNS = 10  # turns before the labelled turn
TEST_SESSION = 5
VALIDATION_SHARE = 0.1  # of the dialogues of sessions 1-4
FOUR = {"hap": "hap", "exc": "hap", "sad": "sad", "neu": "neu", "ang": "ang"}
SIX = {"hap": "hap", "sad": "sad", "neu": "neu", "ang": "ang", "exc": "exc", "fru": "fru"}
EMOTIONS = ("ang", "dis", "exc", "fea", "fru", "hap", "neu", "oth", "sad", "sur", "xxx")
WHAT = "Pass the folder IEMOCAP_full_release, which contains Session1 to Session5."
LABEL = re.compile(r"\[[\d.]+ - [\d.]+\]\s+(Ses\d\d\w+)\s+(\w+)\s+\[.*\]\s*")
TURN = re.compile(r"(Ses\d\d\w+_([FM])\w+)\s+\[(\d+\.?\d*)-[\d.]+\]:\s*(\S.*)")
ASIDE = re.compile(r"([FM]):\s*(\S.*)")  # turns without name and time keep their position in the file


@dataclass(frozen=True)
class Turn:
    """A turn of a dialogue; `name` is empty if the file gives none. `start` is in seconds."""

    name: str
    speaker: str
    start: float
    text: str


def read(classes: Mapping[str, str], folder: Path) -> Source:
    """Return the turns with these emotions, each with its class.

    Raises:
        InputError: a session or file is missing, a label is malformed, or its turn is not transcribed (file and line
            are named).
    """
    counts: Counter[str] = Counter()
    files: list[Path] = []
    splits: dict[str, list[Example]] = {"train": [], "validation": [], "test": []}
    sessions = {session: _labels_files(folder, session) for session in range(1, TEST_SESSION + 1)}
    trained = sorted(path.stem for session, found in sessions.items() if session != TEST_SESSION for path in found)
    held = draw_share(trained, VALIDATION_SHARE)
    for session, found in sessions.items():
        for path in found:
            transcript = path.parent.parent / "transcriptions" / path.name
            files += [path, transcript]
            split = "test" if session == TEST_SESSION else "validation" if path.stem in held else "train"
            splits[split] += _examples(path, transcript, classes, counts)
    protocol = (
        f"sessions 1-4 for training, with {VALIDATION_SHARE:.0%} of their dialogues for validation; session "
        f"{TEST_SESSION} is test; context: {CONTEXT_TURNS} turns"
    )
    return Source(splits, files, protocol, dict(counts))


def _labels_files(folder: Path, session: int) -> list[Path]:
    labels = folder / f"Session{session}" / "dialog" / "EmoEvaluation"
    found = sorted(path for path in labels.glob("Ses*.txt"))  # the archive also contains other files: `._Ses*`
    if not found:
        other = f" The folder contains {known}." if (known := known_set(folder)) else ""
        raise InputError(f"{labels}: no Ses*.txt there. {WHAT}{other}")
    return found


def _examples(path: Path, transcript: Path, classes: Mapping[str, str], counts: Counter[str]) -> list[Example]:
    turns = _turns(transcript, counts)
    position = {turn.name: index for index, turn in enumerate(turns) if turn.name}
    examples = []
    for place, line in lines(path, WHAT):
        if not line.startswith("["):  # a header, or the label of a single annotator
            continue
        label = LABEL.fullmatch(line)
        if label is None:
            raise InputError(f"{place}: expected [start - end], turn, emotion, [values], found {line[:80]!r}.")
        name, emotion = label.group(1), class_in(label.group(2), EMOTIONS, place)
        if emotion not in classes:
            counts["turns_of_other_emotions"] += 1
            continue
        if name not in position:
            raise InputError(f"{place}: turn {name} is not in {transcript}. Use files of the same release.")
        turn = turns[position[name]]
        context = _context(turns, position[name])
        examples.append(Example(f"iemocap/{name}", turn.text, (classes[emotion],), context, turn.speaker, place))
    return examples


def _turns(path: Path, counts: Counter[str]) -> list[Turn]:
    """Return the turns of a dialogue in the order in which they began."""
    turns: list[Turn] = []
    for _, line in lines(path, WHAT):
        if turn := TURN.fullmatch(line.strip()):
            turns.append(Turn(turn.group(1), turn.group(2), float(turn.group(3)), turn.group(4)))
        elif aside := ASIDE.fullmatch(line.strip()):
            turns.append(Turn("", aside.group(1), turns[-1].start if turns else 0.0, aside.group(2)))
        else:
            counts["lines_that_are_no_turn"] += 1
    return sorted(turns, key=lambda turn: turn.start)


def _context(turns: list[Turn], position: int) -> str:
    before = turns[max(0, position - CONTEXT_TURNS) : position]
    return TURNS.join(f"{turn.speaker}: {turn.text}" for turn in before)


FOUR_CLASSES, SIX_CLASSES = (
    DataSet(
        config="contextual",
        read=partial(read, classes),
        licence="IEMOCAP release agreement of the University of Southern California",
        terms="for those who signed the agreement; neither the texts nor this folder may be shared",
        citation="Busso et al. 2008, Language Resources and Evaluation 42, 335-359",
    )
    for classes in (FOUR, SIX)
)
