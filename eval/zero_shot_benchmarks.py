"""What a zero-shot model is measured on: texts, the labels that it is asked about, and what is right.

The labels are a set's own names, as they are; nothing of the set's rows is used but the texts. A set is of one of
three kinds: `several` (any number of labels a text), `single` (one), `affect` (ratings of valence and arousal).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from dataset_builder.files.data_sets import check_columns, check_descriptors, checked_rows, read_data_set
from dataset_builder.files.reading import lines
from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import EMOTIONS, LABELS
from eval.benchmarks import Kind
from eval.benchmarks import find as find_benchmark
from eval.label_sets import find_set, label_sets

HARD_AT = 0.3  # weight from which on the teacher's descriptor counts as given


@dataclass(frozen=True)
class Task:
    """Rows to be scored. `gold` is (rows, labels), 0 or 1; of kind `affect` (rows, 2), valence and arousal.

    None: the texts are a user's, and nothing is known of them. `clusters` and `units` as of `eval.benchmarks.Rows`.
    """

    kind: Kind
    texts: list[str]
    labels: tuple[str, ...]
    definitions: dict[str, str]
    gold: np.ndarray | None
    revision: str
    protocol: str
    clusters: list[str] | None = None
    units: str = "rows"


Load = Callable[[str | None], Task]


def domain(name: str, place: str | None) -> Task:
    """A benchmark of eval.run under its own class names, with the definitions of those that the taxonomy has."""
    benchmark = find_benchmark(name)
    rows = benchmark.load(place, "contextless")
    defined = {emotion.name: emotion.definition for emotion in EMOTIONS if emotion.name in benchmark.classes}
    about = (rows.revision, rows.protocol, rows.clusters, rows.units)
    return Task(benchmark.kind, rows.texts, benchmark.classes, defined, rows.gold, *about)


def emobank(place: str | None) -> Task:
    """EmoBank's official test split: what `eval.run` measures valence on, with the ratings of arousal too."""
    rows = find_benchmark("emobank").load(place, "contextless")
    return Task("affect", rows.texts, (), {}, rows.gold, rows.revision, rows.protocol, rows.clusters, rows.units)


def descriptors(place: str | None) -> Task:
    """The corpus's own validation split: the teacher's descriptors that are among the 28 labels, weight .3 or more.

    No human label has a part in it, so that prompts, rules and recipes may be chosen by it.
    """
    if place is None:
        raise InputError("benchmark 'descriptors': give the corpus, a folder or Hub id, with --data.")
    data = read_data_set(place, "descriptors")
    rows = checked_rows(data, "validation", contextual=False, labels="descriptors")
    check_columns(data, "validation", {"narrative_id": "the text's source"})
    check_descriptors(data, "validation")
    index = {name: column for column, name in enumerate(LABELS)}
    gold = np.zeros((len(rows), len(LABELS)), dtype=np.int8)
    for row, found in enumerate(rows["descriptors"]):
        for one in found:
            name = one["text"].strip().lower()
            if name in index and one["weight"] >= HARD_AT:
                gold[row, index[name]] = 1
    kept, columns = np.flatnonzero(gold.any(axis=1)), np.flatnonzero(gold.any(axis=0))
    if not len(kept):
        raise InputError(f"data set '{place}': no validation text has one of the 28 labels for a descriptor.")
    texts, labels = list(rows["text"]), tuple(LABELS[column] for column in columns)
    defined = {emotion.name: emotion.definition for emotion in EMOTIONS if emotion.name in labels}
    protocol = f"validation texts with one of {len(labels)} labels among the teacher's descriptors, weight ≥ {HARD_AT}"
    chosen, sources = [texts[row] for row in kept], list(rows["narrative_id"])
    clusters = [sources[row] for row in kept]
    return Task(
        "several", chosen, labels, defined, gold[np.ix_(kept, columns)], data.revision, protocol, clusters, "sources"
    )


def own_set(name: str, place: str | None) -> Task:
    """A label set of ours on its own sentences or, with `place`, on any texts: a file with one a line."""
    chosen = find_set(name)
    labels = tuple(label.name for label in chosen.labels)
    defined = {label.name: label.definition for label in chosen.labels}
    if place is not None:
        texts = _lines(Path(place))
        digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
        return Task("single", texts, labels, defined, None, f"sha256 {digest}", "a user's texts, nothing known of them")
    rows = [(text, column) for column, label in enumerate(chosen.labels) for text in label.examples]
    gold = np.eye(len(labels), dtype=np.int8)[[column for _, column in rows]]
    protocol = "sentences of our own, written with one label each in mind"
    return Task("single", [text for text, _ in rows], labels, defined, gold, "in this repository", protocol)


def _lines(path: Path) -> list[str]:
    texts = [line.strip() for _, line in lines(path, "Give a text file with one text a line.")]
    if not texts:
        raise InputError(f"{path}: has no text. Give a text file with one text a line.")
    return texts


TASKS: dict[str, Load] = {
    **{name: partial(domain, name) for name in ("goemotions", "goemotions-ekman", "isear", "semeval2018-ec")},
    "emobank": emobank,
    "descriptors": descriptors,
    **{name: partial(own_set, name) for name in label_sets()},
}


def find_task(name: str) -> Load:
    """The loader of a benchmark. Raises InputError with the names there are."""
    if name not in TASKS:
        raise InputError(f"unknown benchmark '{name}'. Known: {', '.join(sorted(TASKS))}.")
    return TASKS[name]
