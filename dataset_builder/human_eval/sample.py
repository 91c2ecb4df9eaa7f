"""Draws the rows that annotators see, and the options of each (paper A, human evaluation).

Everything is drawn by a hash of the seed and the row's id: the same corpus and seed give the same sample on any
machine, whatever the order of the files.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from dataset_builder.corpus import Corpus
from dataset_builder.files.reading import json_file
from dataset_builder.filters.deduplicate import REWRITTEN, utterance_of
from dataset_builder.hashing import fingerprint, stable_hash
from dataset_builder.inputs import InputError, Strict, validation_message
from dataset_builder.taxonomy import EMOTIONS, LABEL_TO_INDEX, LABELS, NEUTRAL

FORMAT: Literal["emo-pillars-people/2"] = "emo-pillars-people/2"
NONE = "none"  # the option "none of these"
TOP = 5  # of the seven options: the teacher's strongest labels; then come a distractor and "none of these" (paper A)
LOWEST = 10  # labels among which the distractor is drawn
NEUTRAL_SHARE = 0.1  # of the rows (paper A)


def _known(label: str) -> str:
    if label not in LABEL_TO_INDEX:
        raise ValueError(f"{label[:40]!r} is not a label of the taxonomy; use the key as it was exported")
    return label


Label = Annotated[str, AfterValidator(_known)]


class Task(Strict):
    """A question: the six labels in the order shown, and what the annotators must not know.

    `strongest` is the teacher's strongest label (ties are broken by hash), `weight` the number of rows of the corpus
    that this row stands for.
    """

    id: str
    row_id: str
    text: str
    character: str
    context: str | None
    options: tuple[Label, ...]
    strongest: Label
    distractor: Label
    weight: float


class Pair(Strict):
    """The second question: which of two texts shows the emotion less? `rewritten` is the position of the rewriting."""

    id: str
    row_id: str
    texts: tuple[str, str]
    rewritten: Literal["1", "2"]


class Key(Strict):
    """The questions with what `score` needs to know about them. Annotators must not see it."""

    format: Literal["emo-pillars-people/2"]
    sample: str
    corpus: str
    data_revision: str
    config: str
    split: str
    seed: int
    annotators: tuple[str, ...]
    teachers: tuple[str, ...]
    tasks: Annotated[tuple[Task, ...], Field(min_length=1)]
    pairs: tuple[Pair, ...]


def draw(corpus: Corpus, config: str, split: str, rows: int, annotators: int = 3, seed: int = 13) -> Key:
    """Draw rows by their strongest label, so that rare labels occur; a tenth of the rows are neutral, as in the paper.

    All other labels get equal shares. If a label has fewer rows, all of them are drawn, and the others share the rest.
    An utterance is drawn in one form at most, original or rewritten. A corpus that is too small yields a smaller
    sample.

    Raises:
        InputError: there is no such config or split, or its rows have no scores.
    """
    by_label = _rows_by_label(corpus, config, split, seed)
    quotas = allocate({label: len(found) for label, found in by_label.items()}, rows)
    weights = {
        row_id: len(by_label[label]) / quota for label, quota in quotas.items() for row_id in by_label[label][:quota]
    }
    drawn = [row for row in corpus.rows(config, split) if row["id"] in weights]
    drawn.sort(key=lambda row: (stable_hash(seed, "task", row["id"]), row["id"]))
    tasks = tuple(_task(f"t{number:03d}", row, weights[row["id"]], seed) for number, row in enumerate(drawn, start=1))
    rewritten = _rewritten(corpus, config, split, drawn, seed)
    pairs = tuple(_pair(f"p{number:03d}", row, seed) for number, row in enumerate(rewritten, start=1))
    return Key(
        format=FORMAT,
        sample=fingerprint([item.model_dump(mode="json") for item in (*tasks, *pairs)]),
        corpus=Path(corpus.place).name if Path(corpus.place).exists() else corpus.place,
        data_revision=_revision(corpus),
        config=config,
        split=split,
        seed=seed,
        annotators=tuple(f"annotator-{number}" for number in range(1, annotators + 1)),
        teachers=tuple(sorted({str(row.get("teacher", "unknown")) for row in drawn})),
        tasks=tasks,
        pairs=pairs,
    )


def read_key(path: Path) -> Key:
    """Read a `key.json`. Raises InputError, with the file's name, if it is not one."""
    try:
        return Key.model_validate(json_file(path, "Pass a key.json.", "cannot be read as JSON"))
    except ValidationError as error:
        raise InputError(f"{path}: not the key of a sample: {validation_message(error)}") from None


def allocate(counts: Mapping[int, int], rows: int) -> dict[int, int]:
    """Return how many rows to draw for each strongest label, from the number of rows that each has (by label index)."""
    others = sorted((count, label) for label, count in counts.items() if label != NEUTRAL and count)
    if available := sum(count for count, _ in others):
        rows = min(rows, round(available / (1 - NEUTRAL_SHARE)))  # few other rows: fewer neutral rows too
    quotas = {NEUTRAL: min(counts.get(NEUTRAL, 0), round(rows * NEUTRAL_SHARE) if others else rows)}
    left = rows - quotas[NEUTRAL]
    for number, (count, label) in enumerate(others):  # the rarest first, so that the common labels share the rest
        quotas[label] = min(count, left // (len(others) - number))
        left -= quotas[label]
    return {label: quota for label, quota in quotas.items() if quota}


def ranked(utterance: str, scores: Sequence[float], seed: int) -> list[int]:
    """Return all labels by the teacher's score, the strongest first; ties in an order that depends on the utterance."""
    return sorted(range(len(LABELS)), key=lambda label: (-scores[label], stable_hash(seed, "tie", utterance, label)))


def distractor_of(row_id: str, order: Sequence[int], kept: Sequence[int], seed: int) -> int:
    """An implausible label, drawn by hash from the ten lowest that share no basic emotion (Ekman) with a kept label.

    A near-synonym of a kept label would be plausible although the teacher gave it nothing. Neutral is never drawn: it
    is close to "none of these", and picking it does not show a lack of care.
    """
    lowest = [label for label in order[TOP:] if label != NEUTRAL][-LOWEST:]
    groups = {EMOTIONS[label].ekman for label in (order[0], *kept)}
    others = [label for label in lowest if EMOTIONS[label].ekman not in groups] or lowest
    return min(others, key=lambda label: stable_hash(seed, "distractor", row_id, label))


def _rows_by_label(corpus: Corpus, config: str, split: str, seed: int) -> dict[int, list[str]]:
    """Return row ids by strongest label, in the order in which they are drawn; one row for each utterance."""
    if config not in corpus.files:
        raise InputError(f"{corpus.place}: no config '{config}'; it has {', '.join(corpus.files)}.")
    if split not in corpus.files[config]:
        raise InputError(
            f"{corpus.place}: '{config}' has no split '{split}'; it has {', '.join(corpus.files[config])}."
        )
    columns = ("id", "text", "labels", "scores")
    first: dict[int, dict[str, tuple[int, str]]] = {}
    for row in corpus.rows(config, split, [*columns, "variant"]):
        if missing := [name for name in columns if row.get(name) is None]:
            raise InputError(f"{corpus.place}: rows of '{config}' need a field '{missing[0]}'.")
        if fault := _fault(row):
            raise InputError(f"{corpus.place}: '{row['id']}' {fault}. Validate the corpus first.")
        if max(row["scores"]) > 0:
            utterance = utterance_of(row)
            rows = first.setdefault(ranked(utterance, row["scores"], seed)[0], {})
            place = (stable_hash(seed, "row", row["id"]), row["id"])
            # Original and rewriting compete by hash, so that an utterance is drawn in one form only.
            rows[utterance] = min(place, rows.get(utterance, place))
    if not first:
        raise InputError(f"{corpus.place}: '{config}' {split} has no labelled row.")
    return {label: [row_id for _, row_id in sorted(rows.values())] for label, rows in first.items()}


def _fault(row: Mapping[str, Any]) -> str:
    """Why a row cannot be a question; empty if it can."""
    scores, labels = row["scores"], row["labels"]
    if not isinstance(row["id"], str) or not isinstance(row["text"], str):
        return "has an id or a text that is not a string"
    if len(scores) != len(LABELS):
        return f"has {len(scores)} scores; {len(LABELS)} are needed"
    if None in scores or not math.isfinite(sum(scores)):
        return "has a score that is not a number"
    if not all(isinstance(label, int) and 0 <= label < len(LABELS) for label in labels):
        return f"has labels {labels}, which are not all classes 0 to {len(LABELS) - 1}"
    return ""


def _task(task_id: str, row: Mapping[str, Any], weight: float, seed: int) -> Task:
    order = ranked(utterance_of(row), row["scores"], seed)
    distractor = distractor_of(row["id"], order, row["labels"], seed)
    options = order[:TOP]
    # Its position differs from task to task: annotators would soon know a distractor that is always the last option.
    options.insert(stable_hash(seed, "place", row["id"]) % (TOP + 1), distractor)
    return Task(
        id=task_id,
        row_id=row["id"],
        text=row["text"],
        character=row.get("character") or "",
        context=row.get("context") or None,
        options=tuple(LABELS[label] for label in options),
        strongest=LABELS[order[0]],
        distractor=LABELS[distractor],
        weight=round(weight, 6),
    )


def _rewritten(
    corpus: Corpus, config: str, split: str, drawn: Sequence[Mapping[str, Any]], seed: int
) -> list[dict[str, Any]]:
    """Rewritten rows of the utterances that were drawn in either form, drawn by hash: at most one for two tasks.

    If only utterances drawn in their rewritten form gave pairs, the text that an annotator has seen before would be the
    rewriting in every pair.
    """
    utterances = {utterance_of(row) for row in drawn}
    rows = [
        row
        for row in corpus.rows(config, split)
        if row.get("variant") == REWRITTEN and utterance_of(row) in utterances and row.get("original_text")
        if row["original_text"] != row["text"]
    ]
    return sorted(rows, key=lambda row: (stable_hash(seed, "pairs", row["id"]), row["id"]))[: len(drawn) // 2]


def _pair(pair_id: str, row: Mapping[str, Any], seed: int) -> Pair:
    first = stable_hash(seed, "pair", row["id"]) % 2 == 0
    texts = (row["text"], row["original_text"]) if first else (row["original_text"], row["text"])
    return Pair(id=pair_id, row_id=row["id"], texts=texts, rewritten="1" if first else "2")


def _revision(corpus: Corpus) -> str:
    """Return the revision in the corpus's manifest; without one, the commit at which it was downloaded from the Hub."""
    manifest = corpus.folder / "manifest.json"
    if manifest.exists():
        try:
            return str(json_file(manifest)["revision"])
        except (InputError, KeyError, TypeError):
            return "unknown"
    return corpus.folder.name if corpus.folder.parent.name == "snapshots" else "unknown"
