"""Measures both labelers of a teacher on texts that people labelled: GoEmotions' dev split, never its test split.

The likelihood labeler has two parameters, its temperature and the level from which a score is a label. They are in the
recipe, were set so that a text has about as many labels as the paper's, and are not fitted here.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from dataset_builder.domains.goemotions import file_comments
from dataset_builder.files.reading import json_lines
from dataset_builder.files.texts import path_words, texts_of
from dataset_builder.filters.resolve import class_of, resolve
from dataset_builder.hashing import stable_hash
from dataset_builder.inputs import InputError
from dataset_builder.pipeline.ask import Ask, UnitRejected
from dataset_builder.pipeline.stages.labels import raw_labels
from dataset_builder.pipeline.unanswered import SICK_AFTER
from dataset_builder.recipe import BuildRecipe
from dataset_builder.schema import Usage
from dataset_builder.statistics import RESAMPLES, bootstrap, interval_fields, macro_f1
from dataset_builder.taxonomy import LABELS
from dataset_builder.teachers import load_teacher

LABELERS = ("likelihood", "verbalised")
TIE = 1e-6


@dataclass(frozen=True)
class Gold:
    """Texts with their labels, (texts, 28) booleans."""

    texts: list[str]
    labels: np.ndarray


@dataclass(frozen=True)
class Labelled:
    """What a labeler made of the texts: `scores` and the `chosen` labels (texts, 28), and what it cost.

    Of equal scores the label that the teacher named first is a little higher, for rankings. `reasons` say why texts
    `failed`, which have no scores.
    """

    scores: np.ndarray
    chosen: np.ndarray
    failed: int
    usage: Usage
    reasons: Mapping[str, int] = field(default_factory=dict)


def read_dev(path: Path, rows: int) -> Gold:
    """A sample, drawn by hash, of GoEmotions' official dev.tsv (text, label numbers, id).

    Raises:
        InputError: no such file, a malformed line, or the test split.
    """
    if "test" in path_words(Path(path.name)):
        raise InputError(f"{path}: the test split is not for choosing labelers. Give dev.tsv.")
    found = list(file_comments(path))
    if rows < 1 or not found:
        raise InputError(f"{path}: {len(found)} rows, of which {rows} are asked for. Ask for one or more.")
    drawn = sorted(found, key=lambda comment: stable_hash("labelers", comment.id))[:rows]
    gold = np.zeros((len(drawn), len(LABELS)), dtype=bool)
    for row, comment in zip(gold, drawn, strict=True):
        row[comment.labels] = True
    return Gold([comment.text for comment in drawn], gold)


def label(texts: list[str], recipe: BuildRecipe, *, any_answer: bool = False) -> Labelled:
    """Label texts as the recipe's labels stage would.

    Args:
        any_answer: bad answers alone will do, as where they are to be counted.

    Raises:
        InputError: the teacher labelled none of them.
    """
    found, last, answered = asyncio.run(_label(texts, recipe))
    if last and found.failed == len(texts) and not (answered and any_answer):
        reasons = ", ".join(f"{count} {reason}" for reason, count in found.reasons.items())
        raise InputError(
            f"the teacher labelled none of {len(texts)} texts ({reasons}; the last: {last.text or last.reason}). "
            "See to it and run the same command again."
        )
    return found


def label_file(path: Path, recipe: BuildRecipe, out: Path) -> Labelled:
    """Label the texts of a file (`{"text": …}` a line) and write them with their scores, in order.

    Raises:
        InputError: no such file, a line is of another form (named), or no text was labelled; nothing is written.
    """
    texts: list[str] = []
    if path.name.removesuffix(".gz").endswith((".tsv", ".csv", ".parquet")):
        texts += [text for _, _, text in texts_of(path, "text", "Give JSON lines or a table with a column 'text'.")]
    for place, row in json_lines(path, "Write one with `eval.run --texts`.") if not texts else ():
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            raise InputError(f'{place}: not {{"text": …}}. Write one with `eval.run --texts`.')
        texts.append(row["text"])
    if not texts:
        raise InputError(f"{path}: no text in it. Write one with `eval.run --texts`.")
    out.parent.mkdir(parents=True, exist_ok=True)
    found = label(texts, recipe)
    lines = []
    for text, row in zip(texts, found.scores, strict=True):
        scores = {LABELS[index]: round(float(row[index]), 4) for index in np.flatnonzero(row > 0)}
        lines.append(json.dumps({"text": text, "scores": scores}, ensure_ascii=False) + "\n")
    out.write_text("".join(lines), encoding="utf-8")
    return found


async def _label(texts: list[str], recipe: BuildRecipe) -> tuple[Labelled, UnitRejected | None, bool]:
    """What the labeler made of the texts, how the last one failed, and whether there was any answer at all."""
    teacher = load_teacher(recipe.teacher)
    shared: dict[str, asyncio.Task[Any]] = {}
    free = asyncio.Semaphore(recipe.teacher.in_flight)
    scores = np.zeros((len(texts), len(LABELS)))
    chosen = np.zeros(scores.shape, dtype=bool)
    usage, reasons = Usage(), Counter[str]()
    last: UnitRejected | None = None
    answered, sick = False, 0  # texts in a row at which the teacher failed, by its own fault
    bar = tqdm(total=len(texts), desc=f"{recipe.name} {recipe.labels.labeler}", unit="text")

    async def one(index: int) -> None:
        nonlocal last, answered, sick
        ask = Ask(teacher, recipe.seed, "labels", f"text {index}", shared)
        async with free:
            try:
                raw = await raw_labels(texts[index], ask, recipe)
                scores[index] = resolve(raw, recipe.resolve)
                chosen[index] = scores[index] >= recipe.labels.keep_at
                for place, label in enumerate(raw):
                    if (named := class_of(label.label, recipe.resolve)) is not None and scores[index, named]:
                        scores[index, named] -= place * TIE
            except UnitRejected as rejected:
                last = rejected
                reasons[rejected.reason] += 1
        usage.add(ask.usage)
        answered |= ask.answered
        sick = sick + 1 if ask.failure and ask.failure.retryable else 0
        if sick >= SICK_AFTER and last:
            raise InputError(f"the teacher failed at {sick} texts in a row (the last: {last.reason} {last.text}).")
        bar.update()

    try:
        await asyncio.gather(*(one(index) for index in range(len(texts))))
    finally:
        bar.close()
        await teacher.close()
    return Labelled(scores, chosen, reasons.total(), usage, dict(reasons)), last, answered


def quality(gold: Gold, found: Labelled, with_interval: bool = True) -> dict[str, dict[str, float]]:
    """Macro-F1, top-1 and top-3 (a gold label is the best, is among the best three), cost."""
    count = len(gold.texts)
    interval = interval_fields(*bootstrap(macro_f1, gold.labels, found.chosen)) if with_interval else {}
    order = np.argsort(-found.scores, axis=1, kind="stable")
    hits = np.take_along_axis(gold.labels, order, axis=1) & (np.take_along_axis(found.scores, order, axis=1) > 0)
    usage = found.usage
    return {
        "macro_f1_dev": _value(macro_f1(gold.labels, found.chosen), **interval),
        "top1_dev": _value(hits[:, 0].mean()),
        "top3_dev": _value(hits[:, :3].any(axis=1).mean()),
        "labels_per_text": _value(found.chosen.sum(axis=1).mean()),
        "failed_share": _value(found.failed / count),
        "calls_per_text": _value(usage.calls / count),
        "tokens_per_text": _value((usage.prompt_tokens + usage.completion_tokens) / count),
        "tokens_not_cached_per_text": _value(
            (usage.prompt_tokens - usage.cached_tokens + usage.completion_tokens) / count
        ),
    }


def compare(gold: Gold, found: dict[str, Labelled]) -> dict[str, dict[str, float]]:
    """Both labelers of one teacher, and one against the other."""
    metrics: dict[str, dict[str, float]] = {}
    for labeler, made in found.items():
        metrics |= {f"{labeler}_{name}": value for name, value in quality(gold, made).items()}
    ours, theirs = (metrics[f"{labeler}_macro_f1_dev"]["value"] for labeler in LABELERS)
    a, b = (found[labeler] for labeler in LABELERS)
    either, both = (a.chosen | b.chosen).sum(axis=1), (a.chosen & b.chosen).sum(axis=1)
    answered = (a.scores.max(axis=1) > 0) & (b.scores.max(axis=1) > 0)
    same = a.scores.argmax(axis=1) == b.scores.argmax(axis=1)
    tokens, fresh = (
        metrics[f"likelihood_{name}"]["value"] / metrics[f"verbalised_{name}"]["value"]
        for name in ("tokens_per_text", "tokens_not_cached_per_text")
    )
    return metrics | {
        "likelihood_over_verbalised": _value(ours / max(theirs, 1e-9)),
        "token_share": _value(tokens),
        "token_share_not_cached": _value(fresh),
        "agreement_top1": _value(same[answered].mean() if answered.any() else 0.0),
        "agreement_labels_jaccard": _value((both[either > 0] / either[either > 0]).mean() if either.any() else 0.0),
    }


def measure(recipes: Sequence[BuildRecipe], data: Path, rows: Sequence[int]) -> dict[str, Any]:
    """A result file's content; metrics of the first recipe's teacher are unnamed, of others named by their recipe.

    `rows` are the numbers of texts, one for each recipe or one for all: a smaller sample is a part of a larger one.
    """
    metrics: dict[str, dict[str, float]] = {}
    support = dict(zip((recipe.name for recipe in recipes), [*rows] * (len(recipes) // len(rows)), strict=True))
    for number, recipe in enumerate(recipes):
        gold = read_dev(data, support[recipe.name])
        found = {
            labeler: label(
                gold.texts,
                recipe.model_copy(update={"labels": recipe.labels.model_copy(update={"labeler": labeler})}),
            )
            for labeler in LABELERS
        }
        prefix = f"{recipe.name}_" if number else ""
        metrics |= {f"{prefix}{name}": value for name, value in compare(gold, found).items()}
    return {
        "name": "labelers",
        "benchmark": "GoEmotions dev, rows drawn by hash; both prompts have the same three worked examples",
        "metrics": metrics,
        "support": support[recipes[0].name],
        "rows": support,
        "intervals": f"95 % bootstrap intervals, {RESAMPLES:,} resamples of the texts",
        "teachers": {recipe.name: load_teacher(recipe.teacher).name for recipe in recipes},
        "rule": {recipe.name: recipe.labels.model_dump(mode="json", exclude={"labeler"}) for recipe in recipes},
    }


def _value(value: float, **interval: float) -> dict[str, float]:
    return {"value": round(float(value), 4), **interval}
