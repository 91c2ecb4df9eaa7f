"""Which rows people are asked about, and which options they see (paper A, human evaluation).

Everything is drawn by hash of the seed and the row's id: the same corpus and seed give the same sample on any machine,
whatever the order of the files.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from dataset_builder.corpus import Corpus
from dataset_builder.files.reading import json_file
from dataset_builder.filters.deduplicate import REWRITTEN, utterance_of
from dataset_builder.hashing import fingerprint, stable_hash
from dataset_builder.inputs import InputError, Strict, describe
from dataset_builder.taxonomy import EMOTIONS, LABEL_TO_INDEX, LABELS, NEUTRAL

FORMAT = "emo-pillars-people/1"
NONE = "none"
TOP = 5
LOWEST = 10
NEUTRAL_SHARE = 0.1
ORDERS = ("ranked", "shuffled", "mixed")


@dataclass(frozen=True)
class Wanted:
    """What to draw. `order`: options by the teacher's scores, shuffled, or half of the tasks each (`mixed`)."""

    config: str
    split: str
    rows: int
    seed: int
    annotators: int
    order: str


def _known(label: str) -> str:
    if label not in LABEL_TO_INDEX:
        raise ValueError(f"{label[:40]!r} is no label of the taxonomy; give the key as it was exported")
    return label


Label = Annotated[str, AfterValidator(_known)]


class Task(Strict):
    """One question: six labels in the order shown, and what the annotators must not know about them.

    `strongest`: the teacher's strongest label (of equal ones, by hash); `kept`: those that the corpus publishes;
    `weight`: rows of the corpus that this row stands for. `scores` are 28 values in taxonomy order.
    """

    id: str
    row_id: str
    text: str
    character: str
    context: str | None
    variant: str | None
    options: tuple[Label, ...]
    order: Literal["ranked", "shuffled"]
    strongest: Label
    kept: tuple[Label, ...]
    distractor: Label
    scores: tuple[float, ...]
    weight: float


class Pair(Strict):
    """The second question: which of two texts shows the emotion less? `rewritten` is the place of the rewritten one."""

    id: str
    row_id: str
    texts: tuple[str, str]
    rewritten: Literal["1", "2"]


class Key(Strict):
    """What `score` needs beside the answers. Annotators must not see it."""

    format: Literal["emo-pillars-people/1"]
    sample: str
    corpus: str
    data_revision: str
    config: str
    split: str
    seed: int
    order: str
    annotators: tuple[str, ...]
    teachers: tuple[str, ...]
    tasks: Annotated[tuple[Task, ...], Field(min_length=1)]
    pairs: tuple[Pair, ...]


def draw(corpus: Corpus, wanted: Wanted) -> Key:
    """Draw a sample by strongest label, so that rare labels are in it; neutral is a tenth of it, as in the paper.

    The other labels get equal shares; one with fewer rows gives all, the rest goes to the others. Of the original and
    the rewritten form of one utterance at most one is drawn. A corpus that is too small gives a smaller sample.

    Raises:
        InputError: there is no such config or split, or its rows have no scores.
    """
    strata = _strata(corpus, wanted)
    quotas = allocate({label: len(found) for label, found in strata.items()}, wanted.rows)
    chosen = {row_id: len(strata[label]) / quota for label, quota in quotas.items() for row_id in strata[label][:quota]}
    rows = [row for row in corpus.rows(wanted.config, wanted.split) if row["id"] in chosen]
    rows.sort(key=lambda row: (stable_hash(wanted.seed, "task", row["id"]), row["id"]))
    tasks = tuple(_task(number, row, wanted, chosen[row["id"]]) for number, row in enumerate(rows))
    pairs = tuple(_pair(number, row, wanted.seed) for number, row in enumerate(_rewritten(corpus, wanted, rows)))
    return Key(
        format=FORMAT,
        sample=fingerprint([item.model_dump(mode="json") for item in (*tasks, *pairs)]),
        corpus=Path(corpus.place).name if Path(corpus.place).exists() else corpus.place,
        data_revision=_revision(corpus),
        config=wanted.config,
        split=wanted.split,
        seed=wanted.seed,
        order=wanted.order,
        annotators=tuple(f"annotator-{number + 1}" for number in range(wanted.annotators)),
        teachers=tuple(sorted({str(row.get("teacher", "unknown")) for row in rows})),
        tasks=tasks,
        pairs=pairs,
    )


def read_key(path: Path) -> Key:
    """Read a `key.json`. Raises InputError, which names the file, where it is not one."""
    try:
        return Key.model_validate(json_file(path, "Give a key.json.", "cannot be read as JSON"))
    except ValidationError as error:
        raise InputError(f"{path}: not the key of a sample: {describe(error)}") from None


def allocate(counts: Mapping[int, int], rows: int) -> dict[int, int]:
    """How many rows each stratum gives: a tenth neutral, the others alike as far as they reach.

    Args:
        counts: rows there are of each strongest label (its index).
        rows: size of the sample that is wished for.
    """
    others = sorted((count, label) for label, count in counts.items() if label != NEUTRAL and count)
    if available := sum(count for count, _ in others):
        rows = min(rows, round(available / (1 - NEUTRAL_SHARE)))  # few others: fewer neutral rows too
    quotas = {NEUTRAL: min(counts.get(NEUTRAL, 0), round(rows * NEUTRAL_SHARE) if others else rows)}
    left = rows - quotas[NEUTRAL]
    for number, (count, label) in enumerate(others):
        quotas[label] = min(count, left // (len(others) - number))
        left -= quotas[label]
    return {label: quota for label, quota in quotas.items() if quota}


def ranked(utterance: str, scores: Sequence[float], seed: int) -> list[int]:
    """All labels by the teacher's score, the strongest first; equal ones in an order that the utterance gives."""
    return sorted(range(len(LABELS)), key=lambda label: (-scores[label], stable_hash(seed, "tie", utterance, label)))


def strongest_of(utterance: str, scores: Sequence[float], seed: int) -> int:
    """The first of `ranked`, without hashing what no tie asks for: this is called for every row of a split."""
    best = [label for label, score in enumerate(scores) if score == max(scores)]
    return min(best, key=lambda label: stable_hash(seed, "tie", utterance, label)) if len(best) > 1 else best[0]


def distractor_of(row_id: str, order: Sequence[int], kept: Sequence[int], seed: int) -> int:
    """A less plausible label: one of the ten lowest, of another basic emotion (Ekman) than the labels kept, by hash.

    A near-synonym of a kept label would be plausible although the teacher gave it nothing. Neutral is left out: it is
    close to "none of these", and picking it says nothing about care.
    """
    lowest = [label for label in order[TOP:] if label != NEUTRAL][-LOWEST:]
    groups = {EMOTIONS[label].ekman for label in (order[0], *kept)}
    others = [label for label in lowest if EMOTIONS[label].ekman not in groups] or lowest
    return min(others, key=lambda label: stable_hash(seed, "distractor", row_id, label))


def _strata(corpus: Corpus, wanted: Wanted) -> dict[int, list[str]]:
    """Ids of the rows by strongest label, in the order in which they are drawn; one variant of each utterance."""
    if wanted.config not in corpus.files:
        raise InputError(f"{corpus.place}: no config '{wanted.config}'; it has {', '.join(corpus.files)}.")
    if wanted.split not in corpus.files[wanted.config]:
        splits = ", ".join(corpus.files[wanted.config])
        raise InputError(f"{corpus.place}: '{wanted.config}' has no split '{wanted.split}'; it has {splits}.")
    needed = ("id", "text", "labels", "scores")
    best: dict[int, dict[str, tuple[int, str]]] = {}
    for row in corpus.rows(wanted.config, wanted.split, [*needed, "variant"]):
        if missing := [name for name in needed if row.get(name) is None]:
            raise InputError(f"{corpus.place}: rows of '{wanted.config}' need a field '{missing[0]}'.")
        scores = row["scores"]
        if fault := _fault(row):
            raise InputError(f"{corpus.place}: '{row['id']}' {fault}. Validate the corpus first.")
        if not max(scores) > 0:
            continue
        utterance = utterance_of(row)
        found = best.setdefault(strongest_of(utterance, scores, wanted.seed), {})
        drawn = (stable_hash(wanted.seed, "row", row["id"]), row["id"])
        found[utterance] = min(drawn, found.get(utterance, drawn))
    if not best:
        raise InputError(f"{corpus.place}: '{wanted.config}' {wanted.split} has no labelled row.")
    return {label: [row_id for _, row_id in sorted(found.values())] for label, found in best.items()}


def _fault(row: Mapping[str, Any]) -> str:
    """What keeps a row from being asked about; nothing where all is well."""
    scores, labels = row["scores"], row["labels"]
    if not isinstance(row["id"], str) or not isinstance(row["text"], str):
        return "has an id or a text that is none"
    if len(scores) != len(LABELS):
        return f"has {len(scores)} scores; {len(LABELS)} are needed"
    if None in scores or not math.isfinite(sum(scores)):
        return "has a score that is no number"
    if not all(isinstance(label, int) and 0 <= label < len(LABELS) for label in labels):
        return f"has labels {labels}, which are not all classes 0 to {len(LABELS) - 1}"
    return ""


def _task(number: int, row: Mapping[str, Any], wanted: Wanted, weight: float) -> Task:
    row_id, seed = row["id"], wanted.seed
    order = ranked(utterance_of(row), row["scores"], seed)
    distractor = distractor_of(row_id, order, row["labels"], seed)
    options = order[:TOP]
    shuffled = wanted.order == "shuffled" or (wanted.order == "mixed" and number % 2 == 1)
    if shuffled:
        options = sorted([*options, distractor], key=lambda label: stable_hash(seed, "option", row_id, label))
    else:  # at a place of its own in each task: always the last would soon be known
        options.insert(stable_hash(seed, "place", row_id) % (TOP + 1), distractor)
    return Task(
        id=f"t{number + 1:03d}",
        row_id=row_id,
        text=row["text"],
        character=row.get("character") or "",
        context=row.get("context") or None,
        variant=row.get("variant"),
        options=tuple(LABELS[label] for label in options),
        order="shuffled" if shuffled else "ranked",
        strongest=LABELS[order[0]],
        kept=tuple(LABELS[label] for label in row["labels"]),
        distractor=LABELS[distractor],
        scores=tuple(round(float(score), 4) for score in row["scores"]),
        weight=round(weight, 6),
    )


def _rewritten(corpus: Corpus, wanted: Wanted, tasks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rewritten forms of the tasks' utterances, half as many as tasks at most, by hash.

    Of tasks of either form: were they of rewritten ones only, the text that an annotator has met would be the
    rewritten one in every pair.
    """
    asked = {utterance_of(row) for row in tasks}
    found = [
        row
        for row in corpus.rows(wanted.config, wanted.split)
        if row.get("variant") == REWRITTEN and utterance_of(row) in asked and row.get("original_text")
        if row["original_text"] != row["text"]
    ]
    return sorted(found, key=lambda row: (stable_hash(wanted.seed, "pairs", row["id"]), row["id"]))[: len(tasks) // 2]


def _pair(number: int, row: Mapping[str, Any], seed: int) -> Pair:
    first = stable_hash(seed, "pair", row["id"]) % 2 == 0
    texts = (row["text"], row["original_text"]) if first else (row["original_text"], row["text"])
    return Pair(id=f"p{number + 1:03d}", row_id=row["id"], texts=texts, rewritten="1" if first else "2")


def _revision(corpus: Corpus) -> str:
    """The corpus's own revision where its manifest gives one; of a Hub data set, the commit it was loaded at."""
    manifest = corpus.folder / "manifest.json"
    if manifest.exists():
        try:
            return str(json_file(manifest)["revision"])
        except (InputError, KeyError, TypeError):
            return "unknown"
    return corpus.folder.name if corpus.folder.parent.name == "snapshots" else "unknown"
