"""The rows of every stage and of the published configs.

Each stage writes rows of its own type, which contain everything from the previous stage.
Row ids are paths, `<narrative>/c<character>/u<utterance>`, so that every row names its story and its siblings.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_serializer, model_validator

from dataset_builder.taxonomy import LABELS
from dataset_builder.text_hygiene import without_surrogates

LONGEST_REJECT = 500  # characters of a rejected text that are kept


class Row(BaseModel):
    """Base of every row."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str


class Item(Row):
    """What a run asks a teacher about: a story, a given text, a phrase or an emotion word.

    `fields` is what else is known about it, such as a story's `title` and `source`. In files, the fields stand next to
    `id` and `text`.
    """

    text: str
    fields: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather_fields(cls, row: dict[str, Any]) -> dict[str, Any]:
        others = {key: value for key, value in row.items() if key not in ("id", "text", "fields")}
        return {"fields": others} | {key: row[key] for key in ("id", "text", "fields") if key in row}

    @model_serializer
    def _without_nesting(self) -> dict[str, str]:
        return {"id": self.id, "text": self.text, **self.fields}


class CharacterRow(Row):
    """A character of a story, as the teacher listed it and as the story names it.

    `source` is where the story is from; the published rows call it `provenance`.
    """

    narrative_id: str
    source: str
    character: str


UNNAMED = "unnamed"  # the requested emotion of an utterance for which the teacher named none, or none of the classes


class UtteranceRow(CharacterRow):
    """A character's utterance; `requested_emotion` is the emotion requested from the teacher, not a label.

    `group` is the contrast set of the row (one utterance in several situations), empty for none.
    """

    requested_emotion: str
    text: str
    group: str = ""


class QuotedRow(UtteranceRow):
    """An utterance quoted from a story, with the sentences before it as its situation ("" if none is suitable)."""

    context: str


class RawLabel(BaseModel):
    """An emotion word as the labeler gave it, inside or outside the taxonomy, with its score in [0, 1]."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    label: str
    score: Annotated[float, Field(ge=0.0, le=1.0)]


class LabelledRow(UtteranceRow):
    """An utterance with the labeler's raw answer; its labels follow from it (filters/resolve.py).

    The labeler is `writer` for labels that came with the text, and `none` where nobody has labelled it.
    """

    raw_labels: tuple[RawLabel, ...]
    labeler: Literal["likelihood", "verbalised", "writer", "reader", "none"]


class Descriptor(BaseModel):
    """A free emotion word or phrase, with its weight in [0, 1]: 1 for the strongest of a text."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    text: str
    weight: Annotated[float, Field(ge=0.0, le=1.0)]


class DescribedRow(UtteranceRow):
    """An utterance with free descriptors of its emotions, the strongest first."""

    descriptors: tuple[Descriptor, ...]
    describer: Literal["likelihood", "generated", "writer"]


class WordsRow(Row):
    """A given text and the teacher's answer: log-probabilities of words, or descriptors that it wrote.

    `found` has a list for each prompt, of a value for each word of the run, to 3 digits.
    """

    text: str
    source: str
    found: tuple[tuple[float, ...], ...] = ()
    written: tuple[str, ...] = ()


class WrittenRow(Row):
    """A text that the teacher wrote for an emotion word, and the prompt by which it was asked."""

    text: str
    word: str
    prompt: str


class SituatedRow(LabelledRow):
    """An utterance with its situation; `context_original` is the situation before cleaning."""

    context: str
    context_original: str


class RewrittenRow(SituatedRow):
    """A situated utterance and its rewritten, more ambiguous form (None when the rewriting was rejected)."""

    rewritten: str | None


class Rejected(BaseModel):
    """Rejected output of the teacher: where, why (a reason code), and the beginning of the text."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    stage: str
    reason: str
    text: str

    @classmethod
    def of(cls, key: str, stage: str, reason: str, text: str) -> "Rejected":
        """Return a reject in characters that can be written to a file."""
        beginning = without_surrogates(text[:LONGEST_REJECT])
        return cls(id=without_surrogates(key), stage=stage, reason=reason, text=beginning)


class Usage(BaseModel):
    """Tokens that a teacher read, read from its cache (part of the former), and wrote; and the calls it took.

    `cut_prompts` are calls of which the server counted fewer tokens than were sent.
    """

    model_config = ConfigDict(extra="forbid")
    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cut_prompts: int = 0

    def add(self, other: "Usage") -> None:
        """Add another usage to this one, in place."""
        self.calls += other.calls
        self.prompt_tokens += other.prompt_tokens
        self.cached_tokens += other.cached_tokens
        self.completion_tokens += other.completion_tokens
        self.cut_prompts += other.cut_prompts


class UnitRecord(BaseModel):
    """One line of a stage's shard: the result of one unit. A unit is never dropped; `status` is ok or a reason."""

    model_config = ConfigDict(extra="forbid")
    unit: str
    status: str
    rows: list[dict[str, Any]]
    rejected: list[Rejected]
    retried: dict[str, int]
    usage: Usage


# How an utterance came to be: written for this project, quoted from a story, generated by a teacher for a story or an
# emotion word, or taken from a data set that others released.
Source = Literal["written", "collected", "quoted", "generated", "released"]


class PublishedRow(Row):
    """The common fields of rows in all published configs: the text and its origin.

    `provenance` is where exactly it is from: the story's source, book and sentence, or file and line. `group` is the
    contrast set (one utterance in several situations), empty for none; all its rows are in one split.
    """

    text: str
    character: str = ""
    narrative_id: str
    group: str = ""
    source: Source
    provenance: str
    requested_emotion: str = ""
    teacher: str
    prompt_version: str
    seed: int

    @model_validator(mode="before")
    @classmethod
    def _of_an_older_corpus(cls, row: dict[str, Any]) -> dict[str, Any]:
        """Read rows without `provenance`, whose `source` says where they are from."""
        if "provenance" in row or "source" not in row:
            return row
        kind = "generated" if row.get("requested_emotion") else "released"
        return row | {"source": kind, "provenance": row["source"]}


class ContextlessRow(PublishedRow):
    """A row of the published config `contextless`. `scores` has 28 values in taxonomy order.

    `agreement` is the share of judges whose first label is that of the row, 1 where there was one judge.
    """

    labels: list[int]
    scores: list[float]
    raw_labels: list[RawLabel]
    labeler: str
    agreement: float = 1.0


class ContextualRow(ContextlessRow):
    """A row of the published config `contextual`: `text` in its `context`; `original_text` before rewriting.

    `open` are remarks that say nothing without their situation (dataset_builder/descriptors/situate.py).
    """

    context: str
    variant: Literal["original", "rewritten", "open"]
    original_text: str


class DescriptorsRow(PublishedRow):
    """A row of the published config `descriptors`: a text with weighted free descriptors (paper B)."""

    descriptors: list[Descriptor]
    describer: str


class DomainRow(Row):
    """A row of a domain set: its own classes in `own_label`, its target in `labels` and `scores` (0 or 1)."""

    text: str
    labels: list[int]
    scores: list[float]
    own_label: list[str]


class DomainDialogueRow(DomainRow):
    """A turn of a dialogue: `text`, said by `character` after `context`, the turns before it as `Name: text / …`."""

    context: str
    character: str


CONFIGS: dict[str, type[PublishedRow]] = {
    "contextless": ContextlessRow,
    "contextual": ContextualRow,
    "descriptors": DescriptorsRow,
}
DOMAIN_CONFIGS: dict[str, type[DomainRow]] = {"contextless": DomainRow, "contextual": DomainDialogueRow}
SPLITS = ("train", "validation", "test")


def features(config: str, kinds: Mapping[str, type[Row]] = CONFIGS) -> Any:
    """Return the typed `datasets.Features` of a published config, columns in published order.

    `kinds` holds each config's row type. `labels` are ClassLabel indices in GoEmotions order; `scores` float32 of
    length 28.
    """
    from datasets import ClassLabel, Features, List, Value

    typed = {
        "labels": List(ClassLabel(names=list(LABELS))),
        "scores": List(Value("float32"), length=len(LABELS)),
        "raw_labels": List({"label": Value("string"), "score": Value("float32")}),
        "descriptors": List({"text": Value("string"), "weight": Value("float32")}),
        "own_label": List(Value("string")),
        "seed": Value("int64"),
        "agreement": Value("float32"),
    }
    first = ("id", "text", "context", "labels", "scores", "raw_labels", "descriptors")
    fields = kinds[config].model_fields
    order = [*(name for name in first if name in fields), *(name for name in fields if name not in first)]
    return Features({name: typed.get(name, Value("string")) for name in order})
