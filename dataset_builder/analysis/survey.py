"""One pass over the rows of a config: counts of all, samples drawn by hash, in memory that hardly grows with them."""

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from dataset_builder.filters.near_duplicates import tokens
from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import LABEL_TO_INDEX, LABELS, NEUTRAL

SAMPLE = 50_000  # texts that duplicates are looked for among: the reference sets had 43,410 at most
SPEAKERS = 400  # texts of whole characters, and as many neutral ones
SHOWN = 5
SCORE_BINS = 20
REWRITTEN = "rewritten"
COLUMNS = [
    *("id", "text", "context", "variant", "original_text", "labels", "scores", "descriptors"),
    *("character", "narrative_id", "source", "requested_emotion", "labeler"),
]


class Text(NamedTuple):
    """Row `number` of a config, as far as measures need it. `scores` has 28 values; `requested` is a class or None."""

    number: int
    key: str
    text: str
    context: str
    labels: tuple[int, ...]
    scores: np.ndarray | None
    speaker: str
    narrative: str
    requested: int | None
    labeler: str

    @property
    def top(self) -> int | None:
        """The strongest label, the first one where there are no scores; None without labels."""
        if not self.labels:
            return None
        if self.scores is None:
            return self.labels[0]
        return self.labels[int(self.scores[list(self.labels)].argmax())]


class Draw:
    """Keeps the `size` items whose keys have the smallest hashes, whatever order they come in."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._heap: list[tuple[int, int, int, Any]] = []
        self._offered = 0  # makes every entry different, so that items are never compared

    def offer(self, item: Any, key: str, group: str = "") -> None:
        """Offer an item; those of one group have neighbouring places, so that whole groups are drawn."""
        self._offered += 1
        place = (-_hash(group), -_hash(key), -self._offered)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, (*place, item))
        elif place[:2] > self._heap[0][:2]:
            heapq.heapreplace(self._heap, (*place, item))

    def drawn(self) -> list[Any]:
        """What was kept, in the order of the hashes."""
        return [item for *_, item in sorted(self._heap, key=lambda found: found[:3], reverse=True)]


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")


@dataclass
class Survey:
    """What one pass over a config found.

    `label_counts` (28,), `together` (28, 28), `asked` (28 requested, 28 labels; of
    `asked_texts`) and `score_bins` (28, 20 bins of
    0 to 1, of scores above 0) count all rows; `text_lengths` and `context_lengths` count tokens. `sample` are random
    texts, `speakers` and `neutrals` texts of whole characters, `shown` whole rows. Where utterances are rewritten, the
    samples and `exact` (equal texts in equal situations) are of the `sampled_from` rewritten ones, as their originals
    are in another config.
    """

    rows: int = 0
    sampled_from: int = 0
    exact: int = 0
    text_lengths: Counter[int] = field(default_factory=Counter)
    context_lengths: Counter[int] = field(default_factory=Counter)
    labels_of_a_text: Counter[int] = field(default_factory=Counter)
    descriptors: Counter[str] = field(default_factory=Counter)
    label_counts: np.ndarray = field(default_factory=lambda: np.zeros(len(LABELS), dtype=int))
    together: np.ndarray = field(default_factory=lambda: np.zeros((len(LABELS), len(LABELS)), dtype=int))
    asked: np.ndarray = field(default_factory=lambda: np.zeros((len(LABELS), len(LABELS)), dtype=int))
    asked_texts: np.ndarray = field(default_factory=lambda: np.zeros(len(LABELS), dtype=int))
    score_bins: np.ndarray = field(default_factory=lambda: np.zeros((len(LABELS), SCORE_BINS), dtype=int))
    sample: list[Text] = field(default_factory=list)
    speakers: list[Text] = field(default_factory=list)
    neutrals: list[Text] = field(default_factory=list)
    shown: list[dict[str, Any]] = field(default_factory=list)

    @property
    def labelled(self) -> bool:
        """Whether the rows have classes."""
        return bool(self.labels_of_a_text)


def survey(rows: Iterable[dict[str, Any]], place: str) -> Survey:
    """Read a config once.

    Raises:
        InputError: a row (named by its number) has no text, or labels that are no classes of the taxonomy.
    """
    found = Survey()
    forms = {"all": _Samples(), REWRITTEN: _Samples()}
    shown = Draw(SHOWN)
    for number, row in enumerate(rows):
        text = _read(row, number, place)
        split = tokens(text.text)
        form = forms[REWRITTEN if row.get("variant") == REWRITTEN else "all"]
        form.take(text, text.key or str(number), _hash("\x1f".join((" ".join(split), text.context))))
        shown.offer(row, f"shown {text.key or number}")
        _count(found, row, text, len(split))
    form = forms[REWRITTEN] if forms[REWRITTEN].rows else forms["all"]
    found.sampled_from, found.exact = form.rows, form.rows - len(form.seen)
    found.sample, found.speakers, found.neutrals = form.all.drawn(), form.speakers.drawn(), form.neutrals.drawn()
    found.shown = shown.drawn()
    return found


class _Samples:
    """The samples of one form of the utterances: an original and its rewriting must not meet in one."""

    def __init__(self) -> None:
        self.rows = 0
        self.seen: set[int] = set()
        self.all, self.speakers, self.neutrals = Draw(SAMPLE), Draw(SPEAKERS), Draw(SPEAKERS)

    def take(self, text: Text, key: str, said: int) -> None:
        self.rows += 1
        self.seen.add(said)
        self.all.offer(text, key)
        if text.speaker:
            self.speakers.offer(text, key, text.speaker)
            if text.requested == NEUTRAL or (text.requested is None and text.labels == (NEUTRAL,)):
                self.neutrals.offer(text, key, text.speaker)


def _read(row: dict[str, Any], number: int, place: str) -> Text:
    place = f"{place}, row {number + 1}"
    text, labels = row.get("text"), row.get("labels") or ()
    if not isinstance(text, str):
        raise InputError(f"{place}: has no 'text'. The report reads configs with a column of that name.")
    if not isinstance(labels, (list, tuple)) or not all(
        isinstance(label, int) and 0 <= label < len(LABELS) for label in labels
    ):
        raise InputError(f"{place}: labels are {labels!r}; they must be lists of classes 0 to {len(LABELS) - 1}.")
    scores = row.get("scores")
    if scores is not None and len(scores) != len(LABELS):
        raise InputError(f"{place}: {len(scores)} scores; there must be {len(LABELS)}.")
    if scores is not None and (None in scores or not math.isfinite(sum(scores))):
        raise InputError(f"{place}: a score is no number. Validate the corpus first.")
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
        labeler=row.get("labeler") or "",
    )


def _count(found: Survey, row: dict[str, Any], text: Text, length: int) -> None:
    """Count a row that is in no sample too."""
    found.rows += 1
    found.text_lengths[length] += 1
    if text.context:
        found.context_lengths[len(tokens(text.context))] += 1
    if "descriptors" in row:
        given = row["descriptors"] or ()
        found.descriptors.update(one["text"] if isinstance(one, dict) else str(one) for one in given)
    if row.get("labels") is None:
        return
    chosen = list(text.labels)
    found.labels_of_a_text[len(chosen)] += 1
    found.label_counts[chosen] += 1
    found.together[np.ix_(chosen, chosen)] += 1
    if text.requested is not None:
        found.asked[text.requested, chosen] += 1
        found.asked_texts[text.requested] += 1
    if text.scores is not None:
        above = np.flatnonzero(text.scores > 0)
        bins = np.minimum((text.scores[above] * SCORE_BINS).astype(int), SCORE_BINS - 1)
        found.score_bins[above, bins] += 1
