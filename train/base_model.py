"""Loads the base model of a recipe, and refuses an unusable model before the training starts."""

from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from dataset_builder.inputs import InputError, first_line, wheel_path
from train.recipe import TrainingRecipe

# Architectures name their dropout rates and their tables of positions differently.
ATTENTION_DROPOUTS = ("attention_probs_dropout_prob", "attention_dropout")
DROPOUTS = ("hidden_dropout_prob", "classifier_dropout", "embedding_dropout", "mlp_dropout", *ATTENTION_DROPOUTS)
POSITIONS = {"position_embeddings", "wpe", "embed_positions"}
OURS = "NAMESPACE/"  # a placeholder for the publisher of the models


def load_base(
    recipe: TrainingRecipe, auto_class: Any, settings: dict[str, Any], place: str | None = None, **of_tokenizer: Any
) -> tuple[PreTrainedTokenizerBase, nn.Module]:
    """Return the tokenizer and stock model of a recipe's base, with the recipe's length and dropout.

    Args:
        auto_class: the class of transformers that loads the model.
        settings: values for its configuration.
        place: a folder or Hub id instead of the recipe's.

    Raises:
        InputError: the base model cannot be loaded, has no padding token, or is too short for the recipe.
    """
    base, named = base_model_source(recipe, place), f"base model '{place or recipe.base_model}'"
    try:
        tokenizer = AutoTokenizer.from_pretrained(**base, model_max_length=recipe.max_length, **of_tokenizer)
        config = AutoConfig.from_pretrained(**base, **settings)
        for rate, names in ((recipe.dropout, DROPOUTS), (recipe.attention_dropout, ATTENTION_DROPOUTS)):
            if rate is not None:
                config.update({name: rate for name in names if hasattr(config, name)})
        # On a CPU, the fused attention's backward pass in bf16 is the slowest part of a step: the plain one takes half
        # as long. Bases that are stored in 16 bits are trained in 32: small updates vanish in 16.
        attention = {} if torch.accelerator.is_available() else {"attn_implementation": "eager"}
        model = auto_class.from_pretrained(**base, config=config, dtype=torch.float32, **attention)
    except Exception as error:  # Hub errors, torn files, unknown architectures: undocumented types
        raise InputError(
            f"{named}: cannot be loaded ({first_line(error)}). Check 'base_model' and the network."
        ) from None
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise InputError(f"{named}: its tokenizer has no vocabulary. Use a folder with the tokenizer's files.")
    if tokenizer.pad_token_id is None:
        raise InputError(f"{named}: its tokenizer has no padding token. Use an encoder, like BERT or RoBERTa.")
    if config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    embeddings = model.get_input_embeddings()
    if len(tokenizer) > (known := getattr(embeddings, "num_embeddings", len(tokenizer))):
        raise InputError(
            f"{named}: its tokenizer has {len(tokenizer)} tokens and the model {known}, so they do not "
            "match. Use a folder with both."
        )
    _check_length(recipe, model, tokenizer)
    return tokenizer, model


def base_model_source(recipe: TrainingRecipe, place: str | None = None) -> dict[str, Any]:
    """Return arguments of `from_pretrained`: the place, else the folder in the installed package, else the Hub.

    Raises:
        InputError: the base model is one of ours, and neither gives its place.
    """
    if folder := place or wheel_path(recipe.base_model_wheel):
        return {"pretrained_model_name_or_path": str(folder), "trust_remote_code": False}
    if recipe.base_model.startswith(OURS):
        name = recipe.base_model.removeprefix(OURS)
        raise InputError(
            f"{recipe.name}: starts from our model '{name}'. Pass its location with --base-model: the folder that it "
            f"was trained into (work/models/{name}), or its Hub id."
        )
    return {
        "pretrained_model_name_or_path": recipe.base_model,
        "revision": recipe.base_model_revision,
        "trust_remote_code": False,
    }


def _check_length(recipe: TrainingRecipe, model: nn.Module, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise InputError if `max_length` leaves no room for text, or exceeds the model's table of positions."""
    if recipe.max_length <= (special := tokenizer.num_special_tokens_to_add()):
        raise InputError(
            f"{recipe.name}: 'max_length' {recipe.max_length} only leaves room for the {special} special tokens."
        )
    if recipe.max_length > (room := positions(model) or recipe.max_length):
        table = getattr(model.config, "max_position_embeddings", room)
        raise InputError(
            f"{recipe.name}: 'max_length' {recipe.max_length} is more than the base model's {room}: its {table} "
            f"positions hold {room} tokens."
        )


def positions(model: nn.Module) -> int | None:
    """Return how many tokens a model's table of positions holds; None with relative or rotary positions (no limit).

    RoBERTa and related models count positions from after the padding token's, BART from 2.
    """
    for name, part in model.named_modules():
        if name.rpartition(".")[2] in POSITIONS and isinstance(part, nn.Embedding):
            before = getattr(part, "offset", 0 if part.padding_idx is None else part.padding_idx + 1)
            room = int(part.num_embeddings) - before
            return min(room, getattr(model.config, "max_position_embeddings", room))
    return None
