"""One encoder for texts and descriptors: token states pooled to a vector of length 1, with temperature and bias."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import normalize
from transformers import AutoModel, PreTrainedTokenizerBase

from dataset_builder.inputs import InputError
from train.bi_encoder.recipe import BiEncoderRecipe
from train.classifier.model import load_base

Ids = list[int]
MOST_SCALE = 100.0  # CLIP's: a lower temperature than 0.01 is of no use and unstable
REFERENCE = "reference.safetensors"
PROBABILITY = "sigmoid(cosine / temperature + bias)"
MODULES = "sentence_transformers.models"
NORMALIZE, ROUTER = "2_Normalize", "2_Router"  # what comes last: one or the other
PROJECTED = "document_0_Dense"  # in the router's folder
PROJECTION = f"{ROUTER}/{PROJECTED}/model.safetensors"


class BiEncoder(nn.Module):  # type: ignore[misc]
    """`forward` gives embeddings; `scale` (1 / temperature) and `bias` make logits of their cosines."""

    def __init__(self, encoder: nn.Module, recipe: BiEncoderRecipe, padding: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.log_scale = nn.Parameter(torch.tensor(1 / recipe.temperature).log())
        self.bias = nn.Parameter(torch.tensor(recipe.bias))
        self.pooling = recipe.pooling
        self.padding = padding
        self.size = int(encoder.config.hidden_size)

    @property
    def scale(self) -> torch.Tensor:
        """1 / temperature."""
        return self.log_scale.exp().clamp(max=MOST_SCALE)

    def learned(self) -> tuple[float, float]:
        """Temperature and bias as they are now."""
        return 1 / float(self.scale.detach()), float(self.bias.detach())

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Embeddings (rows, size) of length 1 from ids and mask (rows, length)."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state.float()
        if self.pooling == "cls":
            return normalize(states[:, 0], dim=-1)
        mask = attention_mask[..., None].float()
        return normalize((states * mask).sum(dim=1) / mask.sum(dim=1), dim=-1)


def embed(model: BiEncoder, rows: Sequence[Ids]) -> torch.Tensor:
    """Embeddings (rows, size) of rows of token ids, padded to the longest of them."""
    device, longest = model.bias.device, max(map(len, rows))
    ids = torch.tensor([row + [model.padding] * (longest - len(row)) for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device)
    embedded: torch.Tensor = model(input_ids=ids, attention_mask=mask)
    return embedded


def load_model(recipe: BiEncoderRecipe, place: str | None = None) -> tuple[PreTrainedTokenizerBase, BiEncoder]:
    """Tokenizer and bi-encoder of a recipe, before training.

    Args:
        place: the base model, a folder or Hub id, instead of the recipe's.

    Raises:
        InputError: the base model does not load, is too short for the recipe, or has no layer left to train.
    """
    tokenizer, encoder = load_base(recipe, AutoModel, {}, place)
    if recipe.frozen_layers:
        freeze(encoder, recipe)
    return tokenizer, BiEncoder(encoder, recipe, tokenizer.pad_token_id)


def freeze(encoder: nn.Module, recipe: BiEncoderRecipe) -> None:
    """Leave nothing to be trained but the encoder's upper layers: what is below costs no pass backwards."""
    try:
        layers = encoder.get_submodule("encoder.layer")
    except AttributeError:
        raise InputError(f"{recipe.name}: 'frozen_layers' is for encoders like BERT's, RoBERTa's or MPNet's.") from None
    if recipe.frozen_layers >= len(layers):
        raise InputError(f"{recipe.name}: 'frozen_layers' leaves none of the base model's {len(layers)} layers.")
    encoder.requires_grad_(False)
    for layer in list(layers)[recipe.frozen_layers :]:
        layer.requires_grad_(True)


def parameter_groups(model: BiEncoder, recipe: BiEncoderRecipe) -> list[dict[str, Any]]:
    """What the optimiser trains: the encoder, its biases and norms without weight decay; temperature and bias."""
    encoder = [one for one in model.encoder.parameters() if one.requires_grad]
    groups = [
        {"params": [one for one in encoder if one.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [one for one in encoder if one.ndim <= 1], "weight_decay": 0.0},
    ]
    own = {"params": [model.log_scale, model.bias], "weight_decay": 0.0, "lr": recipe.scale_learning_rate}
    return [*(group | {"lr": recipe.learning_rate} for group in groups), own]


def save_encoder(
    model: BiEncoder,
    tokenizer: PreTrainedTokenizerBase,
    recipe: BiEncoderRecipe,
    scale: dict[str, Any],
    reference: torch.Tensor,
    output_dir: Path,
    projection: torch.Tensor | None = None,
) -> None:
    """Write a folder that `SentenceTransformer` loads, in the layout that its versions before 6 load as well.

    Args:
        scale: how a cosine becomes a probability; kept in `config.json` as `zero_shot`.
        reference: embeddings (texts, size) of unlabelled texts, for thresholds; kept with 16 bits a number.
        projection: the map (size, size) that labels' embeddings take and texts' do not: `encode_document` goes by it.
    """
    model.encoder.config.name_or_path = ""
    model.encoder.config.zero_shot = scale
    model.encoder.save_pretrained(output_dir)
    tokenizer.save_pretrained(output_dir)
    save_file({"embeddings": reference.half().contiguous()}, output_dir / REFERENCE)
    last = {NORMALIZE: "Normalize"} if projection is None else {ROUTER: "Router"}
    kinds = {"": "Transformer", "1_Pooling": "Pooling"} | last
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"{MODULES}.{kind}"}
        for index, (path, kind) in enumerate(kinds.items())
    ]
    pooling = {
        "word_embedding_dimension": model.size,
        "pooling_mode_cls_token": recipe.pooling == "cls",
        "pooling_mode_mean_tokens": recipe.pooling == "mean",
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    about = {
        "prompts": {"query": recipe.text_prompt, "document": recipe.label_prompt},
        "default_prompt_name": None,
        "similarity_fn_name": "cosine",
    }
    files: dict[str, Any] = {
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": recipe.max_length, "do_lower_case": False},
        "config_sentence_transformers.json": about,
        "1_Pooling/config.json": pooling,
    }
    for path in (NORMALIZE, ROUTER):  # of a former training
        shutil.rmtree(output_dir / path, ignore_errors=True)
    if projection is not None:
        files |= _router(projection, output_dir / ROUTER)
    for name, content in files.items():
        (output_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (output_dir / name).write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _router(projection: torch.Tensor, folder: Path) -> dict[str, Any]:
    """Write the projection's weights; the files of a router by which texts go on as they are and labels through it."""
    routes = {"query": ["query_0_Normalize"], "document": [PROJECTED, "document_1_Normalize"]}
    types = {name: f"{MODULES}.{name.split('_')[-1]}" for names in routes.values() for name in names}
    dense = {
        "in_features": projection.shape[1],
        "out_features": projection.shape[0],
        "bias": False,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    (folder / PROJECTED).mkdir(parents=True)
    save_file({"linear.weight": projection.contiguous()}, folder / PROJECTED / "model.safetensors")
    about = {"default_route": "query", "allow_empty_key": True, "route_mappings": {}}
    return {
        f"{folder.name}/router_config.json": {"types": types, "structure": routes, "parameters": about},
        f"{folder.name}/{PROJECTED}/config.json": dense,
        **{f"{folder.name}/{name}/config.json": {} for name in types if name != PROJECTED},
    }
