"""The recipe of a published bi-encoder: all settings that affect its weights."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from train.recipe import BelowOne, BetweenZeroAndOne, Positive, Rate, Section, TrainingRecipe


class Projection(Section):
    """How the linear map of labels' embeddings is fitted (train/bi_encoder/projection.py).

    A step needs no pass of the encoder, so 600 of them with large batches take a minute.
    """

    steps: Positive = 600
    batch_size: Positive = 512
    learning_rate: Rate = 1e-3  # falls to 0


class BiEncoderRecipe(TrainingRecipe):
    """One encoder for texts and for free descriptors of their emotions (paper B), for sentence-transformers."""

    RETIRED: ClassVar[Mapping[str, Any]] = {
        "targets": "descriptors",
        "keep_at": 0.0,
        "pooling": "mean",
        "positive_weight": 1.0,
        "chunk_size": None,
        "best_by": "ndcg",
        "patience": None,
        "reference_rows": 1024,
    }

    # The data.
    rows: Positive | None = None  # None: all; otherwise drawn by the seed, smaller draws being subsets of larger ones
    validation_rows: Positive = 4000  # at most: each epoch ends by ranking all words for each of them

    # The model before the first step.
    text_prompt: str = ""  # prepended to every text, and to every descriptor or label; published with the model
    label_prompt: str = ""
    frozen_layers: Annotated[int, Field(ge=0)] = 0  # the embeddings and this many lower layers are not trained

    # The loss. `distribution` distils the teacher's weights of all words; `sigmoid` is paper B's, `info_nce` CLIP's.
    loss: Literal["sigmoid", "distribution", "info_nce"] = "sigmoid"
    negatives: Annotated[int, Field(ge=0)] = 0  # words that no text of the batch has, drawn from the whole vocabulary
    # Initial values of the learned temperature and bias, from SigLIP (Zhai et al. 2023, arXiv 2303.15343), with which
    # a pair starts as almost surely negative, as most pairs are.
    temperature: Rate = 0.1
    bias: float = -10.0

    # The steps.
    batch_size: Positive = 256  # a text's negatives are the other texts' descriptors: large batches have more of them
    scale_learning_rate: Rate = 1e-2  # of temperature and bias: two numbers, which may change faster than weights
    mixed_precision: Literal["no", "bf16"] = "no"

    # After the steps. The share of the untrained encoder in the published weights: it keeps what few texts cannot teach
    # (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903).
    base_share: BelowOne = 0.0
    # The shares of other models of the same base, by their folders: an average of such models is often better than each
    # of them (model soups, Wortsman et al. 2022, arXiv 2203.05482).
    averaged_with: dict[str, BetweenZeroAndOne] = Field(default={})
    projection: Projection | None = None  # None: labels are embedded like texts

    @model_validator(mode="after")
    def _leaves_a_share(self) -> Self:
        if (others := self.base_share + sum(self.averaged_with.values())) >= 1:
            raise ValueError(
                f"'base_share' and 'averaged_with' leave nothing for the trained weights: they sum to {others:g}"
            )
        return self
