"""The recipe of a published classifier: everything that changes its weights. Places are given on the command line."""

from typing import Annotated, Literal

from pydantic import Field

from dataset_builder.inputs import Strict

Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class ClassifierRecipe(Strict):
    """A multi-label classifier over the 28 emotions with a stock head.

    `name` is the Hub repository's. `base_model_wheel` names a model folder inside an installed Python package, with
    the same weights as the Hub's; it is used where the package is installed. `dataset` is a folder or a Hub id.
    """

    name: str
    base_model: str
    base_model_revision: str = "main"
    base_model_wheel: str | None = None
    dataset: str
    dataset_revision: str | None = None
    config: Literal["contextless", "contextual"]
    max_length: Positive = 128
    seed: int = 13
    epochs: Positive
    batch_size: Positive = 32
    gradient_accumulation_steps: Positive = 1
    learning_rate: Rate
    head_learning_rate: Rate
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup_share: Share = 0.1
    max_gradient_norm: Rate = 1.0
    targets: Literal["soft", "hard"] = "soft"
    hard_at: Share = 0.3
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
