"""The recipe of a published classifier: all settings that affect its weights."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from dataset_builder.text_template import CHARACTER, PLAIN, fields_of
from train.recipe import BelowOne, BetweenZeroAndOne, NotNegative, Positive, Rate, Section, Share, TrainingRecipe


class Lora(Section):
    """Low-rank adaptation by `peft`: only the adapter and the head are trained (Hu et al. 2021, arXiv 2106.09685).

    The published model is whole, with the adapter merged into it; the adapter itself is in the folder `adapter/`.
    """

    RETIRED: ClassVar[Mapping[str, Any]] = {"publish": "merged"}

    rank: Positive = 16
    alpha: Positive = 32
    dropout: Share = 0.05


class Static(Section):
    """A static model instead of the encoder: vectors of tokens, distilled from the base model, and a head."""

    size: Positive = 256  # of a vector; 29,525 tokens of 256 bytes are 7.6 MB
    hidden_size: Positive = 512
    token_dropout: BelowOne = 0.2  # the share of tokens that a step does not see


class OtherData(Section):
    """Another data set, whose train rows are mixed in. Validation rows and thresholds stay the recipe's own.

    How often annotators give a label, above all neutral, is a property of a set. With `own_bias`, the rows of this set
    have a bias of their own for each label while the model is trained; the published model does not have it.
    """

    dataset: str
    dataset_revision: str | None = None
    config: Literal["contextless", "contextual"] = "contextless"
    share: Annotated[float, Field(gt=0, le=1)] = 1.0  # of its train rows, drawn by the recipe's seed
    own_bias: bool = True


class ClassifierRecipe(TrainingRecipe):
    """A multi-label classifier over the 28 emotions with a stock head."""

    RETIRED: ClassVar[Mapping[str, Any]] = {"gamma_positive": 0.0, "compile": False}

    config: Literal["contextless", "contextual"]

    # What is classified, with the fields `text` and `character` (of the row): "{character}: {text}" says who speaks,
    # as the turns of a dialogue do. A row without a character gives its text alone. It travels in the model's config.
    text_template: str = PLAIN

    # Rows of these variants alone, of a corpus whose teacher has rewritten utterances; None: all rows. In paper A,
    # students of each variant are compared. `eval.context_use` measures the variants apart.
    variants: tuple[Literal["original", "rewritten"], ...] | None = None

    mixed_with: tuple[OtherData, ...] = ()

    # The model before the first step. On GoEmotions test the pooling layer, the fitted head, the asymmetric loss and
    # the moving average together raise macro-F1 from .438 (recipes/ablations/goemotions-plain-bce.yaml) to .539.
    pooling_layer: bool = False  # one more layer that starts as mean pooling (train/classifier/model.py)
    fit_head: bool = False  # the head is fitted on the untrained encoder's features first
    train_encoder: bool = True  # false: only the head is fitted
    lora: Lora | None = None
    static: Static | None = None

    # The targets: a corpus's scores, or 1 if a score is at least `hard_at`. .3 is paper A's threshold.
    targets: Literal["soft", "hard"] = "soft"
    hard_at: Annotated[float, Field(gt=0, le=1)] = 0.3
    # Distillation: a folder or Hub id of a larger classifier of ours; its probabilities are this share of the targets.
    teacher: str | None = None
    teacher_revision: str = "main"
    teacher_share: BetweenZeroAndOne = 0.5
    # The loss. `asymmetric` discounts easy negatives, which most decisions over 28 labels are: by p^gamma_negative, and
    # completely if p is below `clip` (train/classifier/losses.py). The defaults are the paper's; recipes use 2.
    loss: Literal["bce", "asymmetric"] = "bce"
    gamma_negative: NotNegative = 4.0
    clip: BelowOne = 0.05

    # The steps. Two ways to train a large encoder on a small GPU: updates from several batches, and activations that
    # are computed twice, which saves memory for a third more time.
    gradient_accumulation_steps: Positive = 1
    gradient_checkpointing: bool = False
    head_learning_rate: Rate

    # After the steps: the epoch whose weights are kept, by macro-F1 on the validation split or the last one; whether
    # probabilities are calibrated; and the thresholds: `auto` takes one for each label where that is better in
    # cross-validation. Paper A: last, false, one.
    best_by: Literal["macro_f1", "last"] = "macro_f1"
    calibrate: bool = True
    thresholds: Literal["auto", "one"] = "auto"

    @field_validator("text_template")
    @classmethod
    def _has_known_fields(cls, template: str) -> str:
        fields = fields_of(template)
        if "text" not in fields or not fields <= {"text", CHARACTER}:
            raise ValueError(f"'{template}' needs the field {{text}}, and {{{CHARACTER}}} is the only other one")
        return template

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.loss != "bce" and self.targets == "soft":
            raise ValueError(f"loss '{self.loss}' needs 'targets: hard': it is not proper for soft targets")
        if self.teacher and self.targets == "hard":
            raise ValueError("'teacher' needs 'targets: soft': its probabilities are soft targets")
        for_encoders = ("pooling_layer", "lora", "dropout", "gradient_checkpointing")
        if self.static and (wrong := [name for name in for_encoders if getattr(self, name)]):
            raise ValueError(f"'static' has no encoder, so there is nothing for '{wrong[0]}'")
        if self.static and (
            {self.config, *(other.config for other in self.mixed_with)} != {"contextless"}
            or self.text_template != PLAIN
        ):
            raise ValueError("'static' reads texts alone: it needs 'config: contextless' and no 'text_template'")
        if not self.train_encoder and any(other.own_bias for other in self.mixed_with):
            raise ValueError("'own_bias' needs 'train_encoder: true': a fitted head has one bias for each label")
        if not self.train_encoder and (not self.fit_head or self.lora):
            raise ValueError("'train_encoder: false' needs 'fit_head: true', and no 'lora'")
        return self
