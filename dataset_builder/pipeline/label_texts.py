"""Labels given texts with a recipe's teacher outside of a build: for evaluations of teachers and for `label-texts`."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from dataset_builder.files.reading import json_lines
from dataset_builder.files.shards import to_line, write_whole
from dataset_builder.files.texts import texts_of
from dataset_builder.filters.resolve import class_of, resolve
from dataset_builder.inputs import InputError
from dataset_builder.pipeline.ask import Ask, UnitRejected
from dataset_builder.pipeline.replies import chosen_labels, valence
from dataset_builder.pipeline.stages.labels import raw_labels
from dataset_builder.pipeline.unanswered import MAX_CONSECUTIVE_FAILURES
from dataset_builder.recipe import BuildRecipe, Run
from dataset_builder.schema import Usage
from dataset_builder.taxonomy import LABELS
from dataset_builder.teachers import load_teacher

Mode = Literal["several", "single", "valence"]
TIE = 1e-6  # smaller than any difference between two scores of a teacher


@dataclass
class Asked:
    """A teacher's results on a set of texts: tokens, reasons for failures, the last failure, and any answer at all."""

    usage: Usage = field(default_factory=Usage)
    reasons: Counter[str] = field(default_factory=Counter)
    last: UnitRejected | None = None
    answered: bool = False


@dataclass(frozen=True)
class Labelled:
    """Labels of texts: `scores` and `chosen`, both (texts, 28), and their cost.

    Among equal scores, labels that the teacher named earlier are slightly higher, which fixes their rank. Texts on
    which the teacher `failed` have no scores; `reasons` counts the reason codes.
    """

    scores: np.ndarray
    chosen: np.ndarray
    failed: int
    usage: Usage
    reasons: Mapping[str, int] = field(default_factory=dict)


async def ask_about_texts(
    recipe: Run, stage: str, title: str, order: Sequence[int], answer: Callable[[int, Ask], Awaitable[None]]
) -> Asked:
    """Call `answer(number, ask)` for each number in `order`, as many at a time as the teacher accepts.

    A text for which `answer` raises UnitRejected is counted as failed. Without a `title` there is no progress bar.

    Raises:
        InputError: the teacher itself failed on many texts in a row.
    """
    teacher, asked = load_teacher(recipe.teacher), Asked()
    shared: dict[str, asyncio.Task[Any]] = {}  # results that the labeler computes once for all texts
    free = asyncio.Semaphore(recipe.teacher.in_flight)
    bar = tqdm(total=len(order), desc=title, unit="text", disable=not title)
    failures = 0  # in a row, by the teacher's own fault

    async def one(number: int) -> None:
        nonlocal failures
        ask = Ask(teacher, recipe.seed, stage, f"text {number}", shared)
        async with free:
            try:
                await answer(number, ask)
            except UnitRejected as rejected:
                asked.last = rejected
                asked.reasons[rejected.reason] += 1
        asked.usage.add(ask.usage)
        asked.answered |= ask.answered
        failures = failures + 1 if ask.failure and ask.failure.retryable else 0
        if failures >= MAX_CONSECUTIVE_FAILURES and asked.last:
            reason = f"{asked.last.reason} {asked.last.text}"
            raise InputError(f"the teacher failed on {failures} texts in a row (the last: {reason}).")
        bar.update()

    try:
        await asyncio.gather(*(one(number) for number in order))
    finally:
        bar.close()
        await teacher.close()
    return asked


def label(texts: Sequence[str], recipe: BuildRecipe, *, any_answer: bool = False) -> Labelled:
    """Label texts as the recipe's labels stage would.

    Args:
        any_answer: if true, do not raise an error if all answers are bad, so that they can be counted.

    Raises:
        InputError: the teacher labelled none of the texts.
    """
    scores = np.zeros((len(texts), len(LABELS)))
    chosen = np.zeros(scores.shape, dtype=bool)

    async def answer(number: int, ask: Ask) -> None:
        raw = await raw_labels(texts[number], ask, recipe)
        scores[number] = resolve(raw, recipe.resolve)
        chosen[number] = scores[number] >= recipe.labels.keep_at
        for rank, one in enumerate(raw):
            if (index := class_of(one.label, recipe.resolve)) is not None and scores[number, index]:
                scores[number, index] -= rank * TIE

    title = f"{recipe.name} {recipe.labels.labeler}"
    asked = asyncio.run(ask_about_texts(recipe, "labels", title, range(len(texts)), answer))
    if not (asked.answered and any_answer):
        _refuse_silence(asked, len(texts))
    return Labelled(scores, chosen, asked.reasons.total(), asked.usage, dict(asked.reasons))


def read_label_list(given: str) -> tuple[str, ...]:
    """Read labels separated by commas. Raises InputError if there are fewer than two, or one is empty or repeated."""
    labels = tuple(" ".join(label.split()) for label in given.split(","))
    if len(labels) < 2 or "" in labels or len({label.casefold() for label in labels}) < len(labels):
        raise InputError(f"--labels '{given[:80]}': pass two or more different labels, separated by commas.")
    return labels


def choose(texts: Sequence[str], recipe: BuildRecipe, labels: Sequence[str], mode: Mode) -> Labelled:
    """Let a teacher choose labels of a closed list (paper B's baseline): any number, a single one, or a valence.

    The result's `scores` are (texts, labels), 1 for a chosen label, or (texts, 1), the valence from 1 to 5. A reply
    outside the list is asked for again, up to `labels.decoding.attempts` times.

    Raises:
        InputError: the teacher answered for none of the texts.
    """
    scores = np.zeros((len(texts), 1 if mode == "valence" else len(labels)))

    def parse(text: str, cut: bool) -> list[str] | int:
        return valence(text, cut) if mode == "valence" else chosen_labels(text, cut, labels, mode == "single")

    async def answer(number: int, ask: Ask) -> None:
        found = await ask.text(
            "closed_set", recipe.labels.decoding, parse, labels=labels, mode=mode, text=texts[number]
        )
        if isinstance(found, int):
            scores[number] = found
        else:
            scores[number, [labels.index(label) for label in found]] = 1

    asked = asyncio.run(ask_about_texts(recipe, "labels", f"{recipe.name} {mode}", range(len(texts)), answer))
    _refuse_silence(asked, len(texts))
    return Labelled(scores, scores > 0, asked.reasons.total(), asked.usage, dict(asked.reasons))


def _refuse_silence(asked: Asked, texts: int) -> None:
    """Raise InputError if the teacher failed on every text."""
    if asked.last and asked.reasons.total() == texts:
        reasons = ", ".join(f"{count} {reason}" for reason, count in asked.reasons.items())
        raise InputError(
            f"the teacher labelled none of {texts} texts ({reasons}; the last: "
            f"{asked.last.text or asked.last.reason}). Fix this and run the same command again."
        )


def label_file(
    path: Path, recipe: BuildRecipe, out: Path, labels: Sequence[str] = (), mode: Mode | None = None
) -> Labelled:
    """Label the texts of a file (JSON lines or a table with a column `text`), and write them with their scores.

    Args:
        labels: a closed list instead of the 28 labels; for it, `mode` says how the teacher chooses.

    Raises:
        InputError: no such file, a line in another format, or no text was labelled; nothing is written.
    """
    advice = "Write one with `eval.run --texts`."
    texts: list[str] = []
    if path.name.removesuffix(".gz").endswith((".tsv", ".csv", ".parquet")):
        texts += [text for _, _, text in texts_of(path, "text", "Pass JSON Lines or a table with a column 'text'.")]
    for place, row in json_lines(path, advice) if not texts else ():
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            raise InputError(f'{place}: not {{"text": …}}. {advice}')
        texts.append(row["text"])
    if not texts:
        raise InputError(f"{path}: contains no text. {advice}")
    out.parent.mkdir(parents=True, exist_ok=True)
    found = choose(texts, recipe, labels, mode) if mode else label(texts, recipe)
    names = ("valence",) if mode == "valence" else labels or LABELS
    lines = []
    for text, row in zip(texts, found.scores, strict=True):
        scores = {names[int(index)]: round(float(row[index]), 4) for index in np.flatnonzero(row > 0)}
        lines.append(to_line({"text": text, "scores": scores}))
    write_whole(out, lines)
    return found
