"""What the recipes of both training programs share: number types, common keys, and retired keys."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from dataset_builder.inputs import Name, Strict
from dataset_builder.provenance import shareable

Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
BetweenZeroAndOne = Annotated[float, Field(gt=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Section(Strict):
    """A recipe, or a part of one.

    `RETIRED` maps keys of older versions to their former defaults. A recipe that sets such a key to its default still
    works, like the recipe in an older `training.json`; any other value is refused.
    """

    RETIRED: ClassVar[Mapping[str, Any]] = {}

    @model_validator(mode="before")
    @classmethod
    def _without_retired_keys(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        for key, default in cls.RETIRED.items():
            if key in values and values[key] != default:
                raise ValueError(f"key '{key}' was retired; remove it (found {values[key]!r})")
        return {key: value for key, value in values.items() if key not in cls.RETIRED}


class TrainingRecipe(Section):
    """The keys that both kinds of recipes share. Every key affects the weights; paths are given on the command line.

    `name` is the Hub repository's. `base_model` is a folder or Hub id of an encoder, or of a model of ours to continue
    from. `base_model_wheel` is a folder with the same weights in an installed Python package; it is used where the
    package is installed, so that machines without the Hub can train. `dataset` is a folder or Hub id.
    """

    name: Name
    base_model: str
    base_model_revision: str = "main"
    base_model_wheel: str | None = None
    dataset: str
    dataset_revision: str | None = None
    max_length: Positive = 128  # tokens; longer texts are truncated
    seed: Seed = 13
    dropout: Share | None = None  # None: the base model's own
    # Of attention weights; None: as the others. On a CPU, a step of 128 tokens takes half as long without it: one core
    # draws the masks.
    attention_dropout: Share | None = None

    # The steps. A batch counts the rows of all processes together, so that a recipe takes the same steps on one process
    # and on eight.
    epochs: Positive
    batch_size: Positive = 32
    learning_rate: Rate
    # The defaults of BERT's fine-tuning script, not tuned here.
    weight_decay: NotNegative = 0.01
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    warmup_share: Share = 0.1
    max_gradient_norm: Rate = 1.0
    # None publishes the last weights, a number their exponential moving average. It spans about 1 / (1 - ema_decay)
    # updates: .995 suits trainings of a thousand updates, .98 those of a hundred.
    ema_decay: BetweenZeroAndOne | None = None
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"

    def recorded_values(self) -> dict[str, Any]:
        """Return all values, defaults included, as the training record has them: without folders of this machine."""
        values = self.model_dump(mode="json")
        for part in (values, *values.get("mixed_with", ())):
            part |= {name: shareable(part[name]) for name in ("base_model", "dataset", "teacher") if part.get(name)}
        if "averaged_with" in values:
            values["averaged_with"] = {shareable(name): share for name, share in values["averaged_with"].items()}
        return values
