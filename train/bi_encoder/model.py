"""One encoder for texts and descriptors: token states pooled to a vector of length 1, with temperature and bias."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import normalize
from transformers import AutoModel, PreTrainedTokenizerBase

from dataset_builder.files.shards import write_json
from dataset_builder.inputs import InputError
from train.base_model import load_base
from train.bi_encoder.recipe import BiEncoderRecipe
from train.checkpoint import weights_written_to
from train.training_record import RECORD, write_record

Ids = list[int]
MOST_SCALE = 100.0  # CLIP's limit: with a temperature below .01 training becomes unstable
REFERENCE = "reference.safetensors"
PROBABILITY = "sigmoid(cosine / temperature + bias)"
MODULES = "sentence_transformers.models"
NORMALIZE, ROUTER = "2_Normalize", "2_Router"  # the last module: one or the other
PROJECTED = "document_0_Dense"  # in the router's folder
PROJECTION = f"{ROUTER}/{PROJECTED}/model.safetensors"


class BiEncoder(nn.Module):  # type: ignore[misc]
    """`forward` returns embeddings; `scale` (1 / temperature) and `bias` turn their cosines into logits."""

    def __init__(self, encoder: nn.Module, recipe: BiEncoderRecipe, padding: int) -> None:
        super().__init__()
        self.encoder = encoder
        # The logarithm is learned, so that the temperature stays positive.
        self.log_scale = nn.Parameter(torch.tensor(1 / recipe.temperature).log())
        self.bias = nn.Parameter(torch.tensor(recipe.bias))
        self.padding = padding
        self.size = int(encoder.config.hidden_size)

    @property
    def scale(self) -> torch.Tensor:
        """1 / temperature."""
        return self.log_scale.exp().clamp(max=MOST_SCALE)

    def temperature_and_bias(self) -> tuple[float, float]:
        """Return the current learned values."""
        return 1 / float(self.scale.detach()), float(self.bias.detach())

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return embeddings (rows, size) of length 1 from ids and mask (rows, length)."""
        # Pooled and normalised in float32, also under mixed precision.
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state.float()
        mask = attention_mask[..., None].float()
        return normalize((states * mask).sum(dim=1) / mask.sum(dim=1), dim=-1)


def embed(model: BiEncoder, rows: Sequence[Ids]) -> torch.Tensor:
    """Return embeddings (rows, size) of rows of token ids, padded to the longest of them."""
    device, longest = model.bias.device, max(map(len, rows))
    ids = torch.tensor([row + [model.padding] * (longest - len(row)) for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device)
    embedded: torch.Tensor = model(input_ids=ids, attention_mask=mask)
    return embedded


def load_model(recipe: BiEncoderRecipe, place: str | None = None) -> tuple[PreTrainedTokenizerBase, BiEncoder]:
    """Return the tokenizer and bi-encoder of a recipe, before training.

    Args:
        place: the base model, a folder or Hub id, instead of the recipe's.

    Raises:
        InputError: the base model cannot be loaded, is too short for the recipe, or has no layer left to train.
    """
    tokenizer, encoder = load_base(recipe, AutoModel, {}, place)
    if recipe.frozen_layers:
        _freeze(encoder, recipe)
    return tokenizer, BiEncoder(encoder, recipe, tokenizer.pad_token_id)


def _freeze(encoder: nn.Module, recipe: BiEncoderRecipe) -> None:
    """Train only the encoder's upper layers: the embeddings and the layers below need no backward pass."""
    try:
        layers = encoder.get_submodule("encoder.layer")
    except AttributeError:
        raise InputError(f"{recipe.name}: 'frozen_layers' is for encoders like BERT's, RoBERTa's or MPNet's.") from None
    if recipe.frozen_layers >= len(layers):
        raise InputError(
            f"{recipe.name}: 'frozen_layers' leaves none of the base model's {len(layers)} layers to train."
        )
    encoder.requires_grad_(False)
    for layer in list(layers)[recipe.frozen_layers :]:
        layer.requires_grad_(True)


def parameter_groups(model: BiEncoder, recipe: BiEncoderRecipe) -> list[dict[str, Any]]:
    """The optimiser's parameters: the encoder, its biases and norms without weight decay; temperature and bias."""
    encoder = [parameter for parameter in model.encoder.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in encoder if parameter.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [parameter for parameter in encoder if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    own = {"params": [model.log_scale, model.bias], "weight_decay": 0.0, "lr": recipe.scale_learning_rate}
    return [*(group | {"lr": recipe.learning_rate} for group in groups), own]


def save_model(
    model: BiEncoder,
    tokenizer: PreTrainedTokenizerBase,
    recipe: BiEncoderRecipe,
    record: dict[str, Any],
    reference: torch.Tensor,
    projection: torch.Tensor | None,
    output_dir: Path,
) -> None:
    """Write a folder that `SentenceTransformer` loads, in a layout that versions before 6 also load.

    Args:
        record: the training record, which is written last; `config.json` also has the formula for probabilities.
        reference: embeddings (texts, size) of unlabelled texts, for thresholds; kept in 16 bits.
        projection: the map (size, size) of labels' embeddings, which `encode_document` applies.
    """
    (output_dir / RECORD).unlink(missing_ok=True)
    model.encoder.config.name_or_path = ""  # a path of this machine
    model.encoder.config.zero_shot = {name: record[name] for name in ("temperature", "bias", "probability")}
    for path in (NORMALIZE, ROUTER):  # of an earlier training
        shutil.rmtree(output_dir / path, ignore_errors=True)
    for name, content in _layout(model, recipe, projection).items():
        write_json(output_dir / name, content)
    with weights_written_to(output_dir):
        model.encoder.save_pretrained(output_dir)
        tokenizer.save_pretrained(output_dir)
        save_file({"embeddings": reference.half().contiguous()}, output_dir / REFERENCE)
        if projection is not None:
            save_file({"linear.weight": projection.contiguous()}, output_dir / PROJECTION)
    write_record(record, output_dir)


def _layout(model: BiEncoder, recipe: BiEncoderRecipe, projection: torch.Tensor | None) -> dict[str, Any]:
    """Return the JSON files from which `SentenceTransformer` knows modules, prompts and similarity."""
    last = {NORMALIZE: "Normalize"} if projection is None else {ROUTER: "Router"}
    kinds = {"": "Transformer", "1_Pooling": "Pooling"} | last
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"{MODULES}.{kind}"}
        for index, (path, kind) in enumerate(kinds.items())
    ]
    pooling = {
        "word_embedding_dimension": model.size,
        "pooling_mode_cls_token": False,
        "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    about = {
        "prompts": {"query": recipe.text_prompt, "document": recipe.label_prompt},
        "default_prompt_name": None,
        "similarity_fn_name": "cosine",
    }
    return {
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": recipe.max_length, "do_lower_case": False},
        "config_sentence_transformers.json": about,
        "1_Pooling/config.json": pooling,
        **({} if projection is None else _router(projection)),
    }


def _router(projection: torch.Tensor) -> dict[str, Any]:
    """Return the files of a router that sends labels through the projection, and texts past it."""
    routes = {"query": ["query_0_Normalize"], "document": [PROJECTED, "document_1_Normalize"]}
    types = {name: f"{MODULES}.{name.split('_')[-1]}" for names in routes.values() for name in names}
    dense = {
        "in_features": projection.shape[1],
        "out_features": projection.shape[0],
        "bias": False,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    about = {"default_route": "query", "allow_empty_key": True, "route_mappings": {}}
    return {
        f"{ROUTER}/router_config.json": {"types": types, "structure": routes, "parameters": about},
        f"{ROUTER}/{PROJECTED}/config.json": dense,
        **{f"{ROUTER}/{name}/config.json": {} for name in types if name != PROJECTED},
    }
