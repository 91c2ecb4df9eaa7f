"""The recipe of a published classifier: everything that changes its weights. Places are given on the command line."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dataset_builder.inputs import Name, Strict

Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Lora(Strict):
    """Low-rank adaptation by `peft`: only the adapter and the head are trained (Hu et al. 2021, arXiv 2106.09685).

    `publish: merged` saves a whole model and the adapter in its folder `adapter/`; `adapter` saves the adapter alone.
    """

    rank: Positive = 16
    alpha: Positive = 32
    dropout: Share = 0.05
    publish: Literal["merged", "adapter"] = "merged"


class ClassifierRecipe(Strict):
    """A multi-label classifier over the 28 emotions with a stock head.

    `name` is the Hub repository's. `base_model` is a folder or Hub id, of an encoder or of a classifier of ours that
    is trained on; `base_model_wheel` names a model folder inside an installed Python package with the same weights,
    used where the package is installed. `dataset` is a folder or Hub id. `batch_size` is that of all processes
    together: a recipe gives the same model on one process and on eight.
    """

    name: Name
    base_model: str
    base_model_revision: str = "main"
    base_model_wheel: str | None = None
    dataset: str
    dataset_revision: str | None = None
    config: Literal["contextless", "contextual"]
    max_length: Positive = 128
    seed: Seed = 13

    # the model before the first step
    pooling_layer: bool = False  # one more layer that starts as mean pooling (train/classifier/model.py)
    fit_head: bool = False  # the head is fitted on the untrained encoder's features first
    train_encoder: bool = True  # false: the fitted head is all that is trained
    dropout: Share | None = None  # None: the base model's own
    lora: Lora | None = None

    # the loss
    targets: Literal["soft", "hard"] = "soft"
    hard_at: Annotated[float, Field(gt=0, le=1)] = 0.3
    loss: Literal["bce", "asymmetric", "focal"] = "bce"
    gamma_positive: NotNegative = 0.0  # focal: its gamma
    gamma_negative: NotNegative = 4.0
    clip: Annotated[float, Field(ge=0, lt=1)] = 0.05

    # the steps
    epochs: Positive
    batch_size: Positive = 32
    gradient_accumulation_steps: Positive = 1
    learning_rate: Rate
    head_learning_rate: Rate
    weight_decay: NotNegative = 0.01
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    warmup_share: Share = 0.1
    max_gradient_norm: Rate = 1.0
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None  # None: the last weights, not their moving average
    best_by: Literal["macro_f1", "loss"] = "macro_f1"  # on the validation split, after every epoch
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    gradient_checkpointing: bool = False
    compile: bool = False

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.loss == "focal" and not self.gamma_positive:
            raise ValueError("loss 'focal' needs a 'gamma_positive' above 0; with 0 it is 'bce'")
        if self.loss != "bce" and self.targets == "soft":
            raise ValueError(f"loss '{self.loss}' needs 'targets: hard': it is not proper for soft ones")
        if not self.train_encoder and (not self.fit_head or self.lora):
            raise ValueError("'train_encoder: false' goes with 'fit_head: true' and without 'lora'")
        return self
