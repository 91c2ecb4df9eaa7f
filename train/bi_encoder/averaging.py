"""Averages of an encoder's weights with the untrained ones and with other models of the same base."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from dataset_builder.files.reading import json_file
from dataset_builder.inputs import InputError, first_line
from train.bi_encoder.recipe import BiEncoderRecipe
from train.training_record import RECORD

Weights = dict[str, torch.Tensor]


def other_weights(untrained: nn.Module, recipe: BiEncoderRecipe) -> tuple[list[tuple[Weights, float]], dict[str, str]]:
    """Return the weights to average with the trained ones, with their shares, and the other models' hashes.

    Raises:
        InputError: a model of the recipe's `averaged_with` is missing, or has another base model.
    """
    own = dict(untrained.named_parameters())
    untouched = {name: value.detach().clone() for name, value in own.items()} if recipe.base_share else {}
    found = [(untouched, recipe.base_share)] if untouched else []
    hashes = {}
    for folder, share in recipe.averaged_with.items():
        where = f"{recipe.name}, averaged_with: '{folder}'"
        try:
            weights = load_file(Path(folder) / "model.safetensors")
            hashes[folder] = str(json_file(Path(folder) / RECORD)["weights_sha256"])
        except (OSError, SafetensorError, InputError, KeyError, TypeError) as error:
            raise InputError(f"{where} has no trained weights ({first_line(error)}). Train it first.") from None
        if any(name not in weights or weights[name].shape != value.shape for name, value in own.items()):
            raise InputError(f"{where} has a different base model. Use a model with the same base.")
        found.append((weights, share))
    return found, hashes


@torch.no_grad()  # type: ignore[untyped-decorator]
def average_with(encoder: nn.Module, others: list[tuple[Weights, float]]) -> None:
    """Replace an encoder's weights by the weighted average: the others by their shares, its own by the rest."""
    rest = 1 - sum(share for _, share in others)
    for name, value in encoder.named_parameters():
        mixed = value * rest
        for weights, share in others:
            mixed += weights[name].to(value) * share
        value.copy_(mixed)
