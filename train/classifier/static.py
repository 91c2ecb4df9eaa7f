"""The static tier: a vector for each token, their mean, and a head of two layers; published as a model2vec pipeline.

The vectors are distilled from the base model (Minish Lab's Model2Vec) and then trained like any other encoder.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from model2vec import StaticModel
from model2vec.inference import StaticModelPipeline
from model2vec.inference.mlp import Activation, Layer, MLPHead
from model2vec.quantization import DType, quantize_embeddings
from torch import nn
from transformers import AutoModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.modeling_outputs import SequenceClassifierOutput

from dataset_builder.files.reading import json_file
from dataset_builder.files.shards import write_json
from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import LABELS
from train.base_model import load_base
from train.classifier.recipe import ClassifierRecipe, Static


class StaticClassifier(nn.Module):  # type: ignore[misc]
    """A classifier without attention, which is called like a stock one.

    Its features are the mean of the tokens' vectors, scaled to length 1. The length of a token's own vector is its
    weight in the mean; the distilled vectors of frequent tokens are short.
    """

    def __init__(self, vectors: np.ndarray, unknown: int | None, recipe: Static) -> None:
        """Take `vectors` (tokens, size) as the first weights. The token `unknown` is not counted."""
        super().__init__()
        self.unknown = -1 if unknown is None else unknown
        self.token_dropout = recipe.token_dropout
        self.vectors = nn.Embedding.from_pretrained(torch.tensor(vectors, dtype=torch.float32), freeze=False)
        self.head = nn.Sequential(
            nn.Linear(vectors.shape[1], recipe.hidden_size), nn.ReLU(), nn.Linear(recipe.hidden_size, len(LABELS))
        )

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SequenceClassifierOutput:
        """Return logits (texts, 28) of token ids and their mask, both (texts, tokens)."""
        counts = (attention_mask * (input_ids != self.unknown)).float()
        if self.training:
            counts = counts * (torch.rand_like(counts) >= self.token_dropout)
        sums = (self.vectors(input_ids) * counts[..., None]).sum(dim=1)
        return SequenceClassifierOutput(logits=self.head(nn.functional.normalize(sums)))


def load_static(
    recipe: ClassifierRecipe, static: Static, place: str | None
) -> tuple[PreTrainedTokenizerBase, StaticClassifier]:
    """Return a tokenizer without special tokens, and a classifier whose vectors are distilled from the base model.

    Raises InputError if the base model cannot be loaded, or its hidden size is smaller than the vectors.
    """
    from model2vec.distill import distill_from_model  # a fifth of a second that other trainings need not wait

    tokenizer, encoder = load_base(recipe, AutoModel, {}, place)
    distilled = distill_from_model(encoder, tokenizer, pca_dims=static.size, device="cpu", quantize_to=DType.Float32)
    if distilled.embedding.shape[1] != static.size:
        raise InputError(
            f"{recipe.name}: 'static.size' {static.size} is more than the base model's {distilled.embedding.shape[1]}. "
            "Lower it."
        )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=distilled.tokenizer,
        pad_token=tokenizer.pad_token,
        model_max_length=recipe.max_length,
        model_input_names=["input_ids", "attention_mask"],
    )
    return fast, StaticClassifier(distilled.embedding, distilled.unk_token_id, static)


def round_vectors(model: StaticClassifier) -> None:
    """Round the vectors to the 8-bit integers that are published. Scores do not depend on their scale."""
    with torch.no_grad():
        model.vectors.weight.copy_(torch.tensor(_rounded(model).astype(np.float32)))


def _rounded(model: StaticClassifier) -> np.ndarray:
    vectors: np.ndarray = quantize_embeddings(model.vectors.weight.detach().cpu().numpy(), DType.Int8)
    return vectors


def save_static(
    model: StaticClassifier, tokenizer: Any, recipe: ClassifierRecipe, thresholds: dict[str, float], folder: Path
) -> None:
    """Write a folder that `StaticModelPipeline.from_pretrained` loads, with thresholds in its `config.json`."""
    layers = [
        Layer(part.weight.detach().cpu().numpy(), part.bias.detach().cpu().numpy())
        for part in model.head
        if isinstance(part, nn.Linear)
    ]
    static = StaticModel(
        vectors=_rounded(model),
        tokenizer=tokenizer.backend_tokenizer,
        config={"model_type": "model2vec", "architectures": ["StaticModel"], "hidden_dim": model.vectors.embedding_dim},
        normalize=True,
        max_length=recipe.max_length,
    )
    head = MLPHead(layers, Activation.SIGMOID, np.array(LABELS))
    StaticModelPipeline(static, head).save_pretrained(str(folder))
    (folder / "README.md").unlink()  # model2vec's; ours is in model_cards/
    write_json(folder / "config.json", json_file(folder / "config.json") | {"thresholds": thresholds})
