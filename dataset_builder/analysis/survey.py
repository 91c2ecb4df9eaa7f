"""Reads a config once: counts over all rows, and samples drawn by hash, in nearly constant memory."""

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from dataset_builder.filters.deduplicate import REWRITTEN
from dataset_builder.filters.near_duplicates import tokens
from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import LABEL_TO_INDEX, LABELS, NEUTRAL

SAMPLE = 50_000  # texts for all measures: more than the largest reference set has (43,410)
OF_SPEAKERS = 400  # texts of whole characters, and as many neutral ones
SHOWN = 5
SCORE_BINS = 20
COLUMNS = [
    *("id", "text", "context", "variant", "original_text", "labels", "scores", "descriptors"),
    *("character", "narrative_id", "group", "source", "provenance", "requested_emotion"),
]


class Text(NamedTuple):
    """What metrics need of row `number` of a config. `scores` has 28 values; `requested` is a class or None."""

    number: int
    key: str
    text: str
    context: str
    labels: tuple[int, ...]
    scores: np.ndarray | None
    speaker: str
    narrative: str
    requested: int | None

    @property
    def top(self) -> int | None:
        """The strongest label, or the first label without scores; None without labels."""
        if not self.labels or self.scores is None:
            return self.labels[0] if self.labels else None
        return self.labels[int(self.scores[list(self.labels)].argmax())]

    @property
    def is_neutral(self) -> bool:
        """Whether neutral was requested, or is the only label if nothing was requested."""
        return self.labels == (NEUTRAL,) if self.requested is None else self.requested == NEUTRAL


class HashSample:
    """The `size` items whose keys have the smallest hashes, regardless of the order in which they are added."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._heap: list[tuple[int, int, int, Any]] = []
        self._added = 0  # makes every entry different, so that items are never compared

    def add(self, item: Any, key: str, group: str = "") -> None:
        """Add an item. Items of a group have neighbouring places, so that whole groups are drawn."""
        self._added += 1
        place = (-_hash(group), -_hash(key), -self._added)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, (*place, item))
        elif place[:2] > self._heap[0][:2]:
            heapq.heapreplace(self._heap, (*place, item))

    def items(self) -> list[Any]:
        """Return the sample in the order of the hashes."""
        return [item for *_, item in sorted(self._heap, key=lambda entry: entry[:3], reverse=True)]


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")


class Survey:
    """The counts and samples of a config.

    All rows are counted in `label_counts` (28,), `together` (28, 28), `asked` (28 requested, 28 labels; `asked_texts`
    (28,) of each), `score_bins` (28, 20 bins from 0 to 1, of scores above 0), and, in tokens, in `text_lengths` and
    `context_lengths`. `sample` are random texts, `speakers` and `neutrals` texts of whole characters, `shown` whole
    rows. Where utterances are rewritten, the samples and `exact` (equal texts in equal situations) are of the
    `sampled_from` rewritten ones, as their originals are in another config. A contrast set counts there as one text.
    """

    def __init__(self) -> None:
        size = len(LABELS)
        self.rows = self.sampled_from = self.exact = 0
        self.text_lengths, self.context_lengths, self.labels_of_a_text = Counter[int](), Counter[int](), Counter[int]()
        self.descriptors = Counter[str]()
        self.label_counts, self.asked_texts = np.zeros(size, dtype=int), np.zeros(size, dtype=int)
        self.together, self.asked = np.zeros((size, size), dtype=int), np.zeros((size, size), dtype=int)
        self.score_bins = np.zeros((size, SCORE_BINS), dtype=int)
        self.sample: list[Text] = []
        self.speakers: list[Text] = []
        self.neutrals: list[Text] = []
        self.shown: list[dict[str, Any]] = []

    @property
    def labelled(self) -> bool:
        """Whether the rows have classes."""
        return bool(self.labels_of_a_text)

    def count(self, row: dict[str, Any], text: Text, length: int) -> None:
        """Count a row."""
        self.rows += 1
        self.text_lengths[length] += 1
        if text.context:
            self.context_lengths[len(tokens(text.context))] += 1
        words = row.get("descriptors") or ()
        self.descriptors.update(word["text"] if isinstance(word, dict) else str(word) for word in words)
        if row.get("labels") is None:
            return
        labels = list(text.labels)
        self.labels_of_a_text[len(labels)] += 1
        self.label_counts[labels] += 1
        self.together[np.ix_(labels, labels)] += 1
        if text.requested is not None:
            self.asked[text.requested, labels] += 1
            self.asked_texts[text.requested] += 1
        if text.scores is not None:
            above = np.flatnonzero(text.scores > 0)
            bins = np.minimum((text.scores[above] * SCORE_BINS).astype(int), SCORE_BINS - 1)
            self.score_bins[above, bins] += 1


class _Samples:
    """Samples of originals or of rewritings: a sample must not contain both variants of an utterance."""

    def __init__(self) -> None:
        self.rows = 0
        self.seen: set[int] = set()
        self.groups: set[str] = set()
        self.all, self.speakers, self.neutrals = HashSample(SAMPLE), HashSample(OF_SPEAKERS), HashSample(OF_SPEAKERS)

    def add(self, text: Text, words: str, group: str) -> None:
        """Add a text; of a contrast set only the first, because all its rows have the same text."""
        if group in self.groups:
            return
        if group:
            self.groups.add(group)
        key = text.key or str(text.number)
        self.rows += 1
        self.seen.add(_hash(f"{words}\x1f{text.context}"))
        self.all.add(text, key)
        if text.speaker:
            self.speakers.add(text, key, text.speaker)
            if text.is_neutral:
                self.neutrals.add(text, key, text.speaker)


def survey(rows: Iterable[dict[str, Any]], place: str) -> Survey:
    """Read a config once.

    Raises:
        InputError: a row (named by its number) has no text, or labels that are not classes of the taxonomy.
    """
    found, shown = Survey(), HashSample(SHOWN)
    originals, rewritings = _Samples(), _Samples()
    for number, row in enumerate(rows):
        text = _read(row, number, f"{place}, row {number + 1}")
        words = tokens(text.text)
        found.count(row, text, len(words))
        of_variant = rewritings if row.get("variant") == REWRITTEN else originals
        of_variant.add(text, " ".join(words), row.get("group") or "")
        shown.add(row, f"shown {text.key or number}")
    samples = rewritings if rewritings.rows else originals
    found.sampled_from, found.exact = samples.rows, samples.rows - len(samples.seen)
    found.sample, found.speakers, found.neutrals = (
        sample.items() for sample in (samples.all, samples.speakers, samples.neutrals)
    )
    found.shown = shown.items()
    return found


def _read(row: dict[str, Any], number: int, place: str) -> Text:
    text, labels, scores = row.get("text"), row.get("labels") or (), row.get("scores")
    if not isinstance(text, str):
        raise InputError(f"{place}: has no 'text'. The report needs a column of that name.")
    if not isinstance(labels, (list, tuple)) or not all(
        isinstance(label, int) and 0 <= label < len(LABELS) for label in labels
    ):
        raise InputError(f"{place}: labels are {labels!r}; expected a list of numbers from 0 to {len(LABELS) - 1}.")
    if scores is not None and len(scores) != len(LABELS):
        raise InputError(f"{place}: {len(scores)} scores; there must be {len(LABELS)}.")
    if scores is not None and (None in scores or not math.isfinite(sum(scores))):
        raise InputError(f"{place}: a score is not a number. Validate the corpus first.")
    narrative, character = row.get("narrative_id") or "", row.get("character") or ""
    return Text(
        number=number,
        key=str(row.get("id") or ""),
        text=text,
        context=row.get("context") or "",
        labels=tuple(labels),
        scores=None if scores is None else np.array(scores, dtype=np.float32),
        speaker=f"{narrative}\x1f{character}" if narrative and character else "",
        narrative=narrative,
        requested=LABEL_TO_INDEX.get(row.get("requested_emotion") or ""),
    )
