"""Reads the files that the annotators' pages save, and checks them against the key of the sample.

Answers that were collected with another tool can be written in the same form: one JSON file for each annotator,
`{"format": …, "sample": …, "annotator": …, "answers": {"t001": {"picks": ["joy"], "revealed": false}}}`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from dataset_builder.files.reading import json_file
from dataset_builder.human_eval.page import SAME
from dataset_builder.human_eval.sample import NONE, Key
from dataset_builder.inputs import InputError, Strict, validation_message

ADVICE = "Pass a file that was saved by a page of this sample."


class Answer(Strict):
    """The options picked, and whether the situation was opened."""

    picks: tuple[str, ...]
    revealed: bool = False


class AnswerFile(Strict):
    """The answers of one annotator by task or pair. An answer without picks is a missing one."""

    format: Literal["emo-pillars-people/2"]
    sample: str
    annotator: str = Field(min_length=1, max_length=100)
    answers: dict[str, Answer]


def read_answers(key: Key, paths: Iterable[Path]) -> dict[str, dict[str, Answer]]:
    """Return each annotator's answers by task or pair, without the missing ones.

    Raises:
        InputError: a file is broken, belongs to another sample, answers a question that was not asked, or is a
            second file of an annotator; the message names the file or both files.
    """
    files: dict[str, tuple[Path, dict[str, Answer]]] = {}
    for path in paths:
        file = _read(key, path)
        if file.annotator in files:
            raise InputError(
                f"{files[file.annotator][0]} and {path}: both files are from '{file.annotator}'. Pass only one of them."
            )
        files[file.annotator] = path, {item: answer for item, answer in file.answers.items() if answer.picks}
    return {annotator: answers for annotator, (_, answers) in sorted(files.items())}


def _read(key: Key, path: Path) -> AnswerFile:
    try:
        file = AnswerFile.model_validate(json_file(path, ADVICE, "cannot be read as JSON"))
    except ValidationError as error:
        raise InputError(f"{path}: not an answer file: {validation_message(error)}. {ADVICE}") from None
    if file.sample != key.sample:
        raise InputError(
            f"{path}: belongs to the sample {file.sample[:40]!a}, but the key belongs to {key.sample}. Use the key "
            "of that sample."
        )
    if file.annotator not in key.annotators:
        known = ", ".join(key.annotators)
        raise InputError(f"{path}: {file.annotator!a} is not an annotator of this key ({known}). {ADVICE}")
    options = {task.id: {*task.options, NONE} for task in key.tasks} | {pair.id: {"1", "2", SAME} for pair in key.pairs}
    pairs = {pair.id for pair in key.pairs}
    for item, answer in file.answers.items():
        if item not in options:
            raise InputError(f"{path}: answers {item[:40]!a}, which is not in the sample. {ADVICE}")
        if wrong := sorted(set(answer.picks) - options[item]):
            raise InputError(f"{path}: '{item}' has the pick {wrong[0][:40]!a}, which was not offered. {ADVICE}")
        if len(answer.picks) > 1 and (item in pairs or NONE in answer.picks):
            raise InputError(f"{path}: '{item}' has {len(answer.picks)} picks that exclude each other. Keep one.")
    return file
