"""The recipe of a published bi-encoder: everything that changes its weights. Places are given on the command line."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dataset_builder.inputs import Name, Strict
from train.classifier.recipe import NotNegative, Positive, Rate, Seed, Share


class Projection(Strict):
    """How the linear map of labels' embeddings is fitted (train/bi_encoder/projection.py)."""

    steps: Positive = 600
    batch_size: Positive = 512
    learning_rate: Rate = 1e-3  # falls to 0


class BiEncoderRecipe(Strict):
    """One encoder for texts and for descriptors of their emotions (paper B), published for sentence-transformers.

    `name`, `base_model` and `dataset` are as in a classifier's recipe. `batch_size` is that of all processes together,
    and so is the loss: a recipe gives the same model on one process and on eight.
    """

    name: Name
    base_model: str
    base_model_revision: str = "main"
    base_model_wheel: str | None = None
    dataset: str
    dataset_revision: str | None = None
    max_length: Positive = 128
    seed: Seed = 13

    # the data
    targets: Literal["descriptors", "labels"] = "descriptors"  # labels: the 28 of config `contextless`, an ablation
    keep_at: Share = 0.0  # descriptors of less weight are left out
    rows: Positive | None = None  # None: all; else so many, drawn by the seed, the fewer among the more
    validation_rows: Positive = 4000  # at most
    reference_rows: Positive = 1024  # training texts whose embeddings are published, for thresholds without labels

    # the model before the first step
    text_prompt: str = ""  # put before every text, and before every descriptor or label; published with the model
    label_prompt: str = ""
    pooling: Literal["mean", "cls"] = "mean"
    dropout: Share | None = None  # None: the base model's own
    frozen_layers: Annotated[int, Field(ge=0)] = 0  # so many of the encoder, from below, stay as they are, cheaply

    # the loss
    loss: Literal["sigmoid", "distribution", "info_nce", "cosine"] = "sigmoid"
    positive_weight: Rate = 1.0  # sigmoid and cosine: of the positive part against the negative
    negatives: Annotated[int, Field(ge=0)] = 0  # descriptors of no text of the batch, drawn from the whole vocabulary
    temperature: Rate = 0.1  # where the learned ones start; SigLIP's (Zhai et al. 2023, arXiv 2303.15343)
    bias: float = -10.0

    # the steps
    epochs: Positive
    batch_size: Positive = 256
    chunk_size: Positive | None = None  # None: a batch in one go; else gradients are cached, in chunks of so many
    learning_rate: Rate
    scale_learning_rate: Rate = 1e-2  # of temperature and bias
    weight_decay: NotNegative = 0.01
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    warmup_share: Share = 0.1
    max_gradient_norm: Rate = 1.0
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None  # None: the last weights, not their moving average
    # share of the untrained encoder in the published weights: it keeps what few texts could not teach (WiSE-FT,
    # Wortsman et al. 2022, arXiv 2109.01903); temperature and bias are then fitted to validation descriptors
    base_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    # share of other models in them, by their folders: the average of models with one start is often better than each
    # (Wortsman et al. 2022, arXiv 2203.05482)
    averaged_with: dict[str, Annotated[float, Field(gt=0, lt=1)]] = Field(default={})
    projection: Projection | None = None  # None: labels and texts go the same way
    best_by: Literal["ndcg", "loss"] = "ndcg"  # on the validation split's descriptors, after every epoch
    patience: Positive | None = None  # stop after so many epochs that were no better; None: never
    mixed_precision: Literal["no", "bf16"] = "no"

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.loss in ("distribution", "info_nce") and self.positive_weight != 1.0:
            raise ValueError(f"'positive_weight' goes with the losses 'sigmoid' and 'cosine'; '{self.loss}' has none")
        if (others := self.base_share + sum(self.averaged_with.values())) >= 1:
            raise ValueError(
                f"'base_share' and 'averaged_with' leave nothing of what is trained: they sum to {others:g}"
            )
        return self
