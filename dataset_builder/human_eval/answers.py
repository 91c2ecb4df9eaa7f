"""What annotators sent back, read strictly against the key of the sample."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from dataset_builder.files.reading import json_file
from dataset_builder.human_eval.label_studio import read_studio
from dataset_builder.human_eval.sample import FORMAT, NONE, Key
from dataset_builder.inputs import InputError, Strict, describe

SAME = "same"
STUDIO = re.compile(r"studio-\w{1,40}")  # annotators of Label Studio, by their number there


class Answer(Strict):
    """One answer. `revealed`: was the situation opened, before or after the first pick; None where nobody knows.

    Seconds are those in which the task was on the screen: in all, until the situation was opened, until the first pick.
    """

    picks: tuple[str, ...]
    revealed: Literal["no", "before", "after"] | None = None
    seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    revealed_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    first_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class AnswerFile(Strict):
    """What a page exports. An answer without picks is a missing one."""

    format: Literal["emo-pillars-people/1"]
    sample: str
    annotator: str = Field(min_length=1, max_length=100)
    answers: dict[str, Answer]


@dataclass(frozen=True)
class Answers:
    """One annotator's answers by task and by pair, without the missing ones."""

    annotator: str
    file: Path
    tasks: dict[str, Answer]
    pairs: dict[str, str]


def read_answers(key: Key, paths: Iterable[Path]) -> list[Answers]:
    """Read the files of a page or of Label Studio (its JSON export), one annotator each or several.

    "None of these" beside other picks is dropped: our page does not allow it, Label Studio does.

    Raises:
        InputError: a file is broken, belongs to another sample, answers what was not asked, or is the second of one
            annotator; the message names the file (both files).
    """
    read: dict[str, Answers] = {}
    for path in paths:
        for content in _contents(path):
            found = _checked(key, path, content)
            if found.annotator in read:
                both = f"{read[found.annotator].file} and {path}"
                raise InputError(f"{both}: both are answers of '{found.annotator}'. Give one of them.")
            read[found.annotator] = found
    return [read[annotator] for annotator in sorted(read)]


def _contents(path: Path) -> list[Any]:
    content = json_file(path, "Export it again, as JSON.", "cannot be read as JSON")
    if isinstance(content, list):
        return [{"format": FORMAT} | found for found in read_studio(content, str(path)).values()]
    return [content]


def _checked(key: Key, path: Path, content: Any) -> Answers:
    try:
        file = AnswerFile.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: not an answer file: {describe(error)}") from None
    if file.sample != key.sample:
        raise InputError(f"{path}: answers to the sample {file.sample}; the key is of {key.sample}. Give its own key.")
    pairs = {pair.id for pair in key.pairs}
    options = {task.id: {*task.options, NONE} for task in key.tasks} | {pair.id: {"1", "2", SAME} for pair in key.pairs}
    for item, answer in file.answers.items():
        if item not in options:
            raise InputError(f"{path}: answers '{item}', which is not in the sample.")
        if wrong := sorted(set(answer.picks) - options[item]):
            raise InputError(f"{path}: '{item}' has the pick '{wrong[0]}', which was not offered.")
        if item in pairs and len(answer.picks) > 1:
            raise InputError(f"{path}: '{item}' has {len(answer.picks)} picks, where one is asked for. Leave one.")
    if file.annotator not in key.annotators and not STUDIO.fullmatch(file.annotator):
        raise InputError(
            f"{path}: answers of {file.annotator!a}, who is none of the key's annotators: "
            f"{', '.join(key.annotators)}. Give the file that a page of this sample exported."
        )
    given = {item: answer for item, answer in file.answers.items() if answer.picks}
    return Answers(
        annotator=file.annotator,
        file=path,
        tasks={item: _without_none(answer) for item, answer in given.items() if item not in pairs},
        pairs={item: answer.picks[0] for item, answer in given.items() if item in pairs},
    )


def _without_none(answer: Answer) -> Answer:
    felt = tuple(pick for pick in answer.picks if pick != NONE)
    return answer.model_copy(update={"picks": felt}) if felt else answer
