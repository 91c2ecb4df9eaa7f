"""Exports a classifier to ONNX: python -m train.export --model FOLDER [--out FOLDER]

Writes `onnx/model.onnx` (fp32) and `onnx/model_quantized.onnx` (int8 weights; activations are quantised on the fly)
where transformers.js and optimum look for them, and `onnx/export.json`, last. `model.onnx` is the model as PyTorch runs
it, in standard operators, for any runtime. The int8 file is built from the lean graph if the architecture has one
(train/lean_graph.py), otherwise from `model.onnx`; `export.json` records which, and why.
"""

import argparse
import contextlib
import importlib.metadata
import logging
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as faults
from onnxruntime.quantization import QuantType, quantize_dynamic
from scipy.special import expit
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from dataset_builder.files.shards import write_json
from dataset_builder.inputs import InputError, first_line, run_command
from dataset_builder.provenance import weights_digest
from train.base_model import positions
from train.lean_graph import ARCHITECTURES, LeanClassifier

FOLDER = "onnx"
STATIC_HEAD = "head.safetensors"  # of a pipeline of model2vec
FP32, INT8, RECORD = "model.onnx", "model_quantized.onnx", "export.json"
OPSET = 17  # the first with layer normalisation as one operator
INPUTS = ("input_ids", "attention_mask", "token_type_ids")  # in the order of the graphs' inputs
LONGEST = 512  # tokens of the longest checked text
FP32_TOLERANCE = 1e-4  # of a logit, relative to the largest if that is over 1
# Of a probability: the largest and the mean difference. If a trained model is uncertain, a small difference in a logit
# is a large difference in the probability. eval.speed measures the F1 cost of int8.
INT8_TOLERANCE, INT8_MEAN_TOLERANCE = 0.25, 0.02
# Full-range int8 weights may overflow the 16-bit sums of CPUs without VNNI and of WebAssembly; with 7 bits, no sum can.
# One scale per output column regains more precision than the lost bit costs.
QUANTISATION = {"weight_type": "QInt8", "per_channel": True, "reduce_range": True}
RUNTIME_ERRORS = tuple(getattr(faults, name) for name in ("Fail", "InvalidArgument", "InvalidGraph", "NotImplemented"))

_WORD = "Well, that went as planned. "
_SITUATION = "The cake that Ada had baked all morning fell off the table, and everyone looked at her."
# Batches of texts, some with situations: one text and several, all lengths, an empty one, each side of a pair too long.
CHECKED: tuple[tuple[list[str], list[str] | None], ...] = (
    (["I'm so happy for you!"], None),
    (["No."], [_SITUATION]),
    (["", "Why?", "Thank you, I really needed that today.", _WORD * 5], None),
    (["Well, that went as planned.", "Fine!", _WORD * 3], [_SITUATION, "It rains.", ""]),
    ([_WORD * LONGEST, "Oh."], None),
    (["Oh.", _WORD], [_SITUATION * LONGEST, "It rains."]),
)
TRACED = 3  # the batch that graphs are traced with: pairs, and padding


class _Plain(nn.Module):  # type: ignore[misc]
    """The stock model with positional inputs and logits alone."""

    def __init__(self, model: Any, names: list[str]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """Return logits (batch, labels)."""
        logits: torch.Tensor = self.model(**dict(zip(self.names, tensors, strict=True))).logits
        return logits


def export(folder: Path, out: Path | None = None) -> dict[str, Any]:
    """Write the ONNX files of a model folder to `<out>/onnx`, each complete and only after all checks.

    Files of an earlier export are deleted first: they may belong to other weights.

    Returns:
        The record that is saved with them (`export.json`).

    Raises:
        InputError: the folder cannot be loaded, or a file's outputs are too far from PyTorch's.
    """
    model, tokenizer = load(folder)
    target = (out or folder) / FOLDER
    for name in (RECORD, FP32, INT8):  # the record first: its presence means that the others are whole
        (target / name).unlink(missing_ok=True)
    part = target.with_name(f"{FOLDER}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        record = _write(model, tokenizer, part) | {
            "weights_sha256": weights_digest(folder),
            "libraries": {n: importlib.metadata.version(n) for n in ("onnx", "onnxruntime", "torch", "transformers")},
        }
        write_json(part / RECORD, record)
        target.mkdir(exist_ok=True)
        # The record last: a folder without it counts as not exported.
        for name in (FP32, INT8, RECORD):
            (part / name).replace(target / name)
    # These errors already say what is wrong.
    except (InputError, OSError):
        raise
    except Exception as error:  # such as an architecture that the exporter does not support
        raise InputError(
            f"model folder '{folder}': cannot be exported ({first_line(error)}). Nothing was kept; the model can be "
            "published without ONNX files."
        ) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return record


def load(folder: Path) -> tuple[Any, Any]:
    """Return the model, in evaluation mode, and its tokenizer. Raises InputError if they are missing or do not load."""
    if not (folder / "config.json").exists():
        raise InputError(f"model folder '{folder}': has no config.json. Train a model into it, or check --model.")
    if (folder / STATIC_HEAD).exists():
        raise InputError(f"model folder '{folder}': is a static model, which needs no ONNX. Publish it as it is.")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        model, found = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True, trust_remote_code=False
        )
    except Exception as error:  # torn files, unknown architectures: undocumented types
        raise InputError(f"model folder '{folder}': cannot be loaded ({first_line(error)}). Train it again.") from None
    # Without its files, a tokenizer loads with special tokens alone.
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise InputError(f"model folder '{folder}': has no tokenizer. Use the complete folder that the training wrote.")
    # transformers fills missing weights at random and only warns.
    if missing := sorted(found["missing_keys"]):
        raise InputError(
            f"model folder '{folder}': its weights have no {missing[0]}, so it is not a trained classifier. "
            "Train it first."
        )
    return model.eval(), tokenizer


def _write(model: Any, tokenizer: Any, part: Path) -> dict[str, Any]:
    """Write both files to `part`, check them, and return their part of the record."""
    # A tokenizer without a limit has a huge one.
    longest = min(tokenizer.model_max_length, LONGEST, positions(model) or LONGEST)
    batches = [
        tokenizer(texts, pairs, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        for texts, pairs in CHECKED
    ]
    names = [name for name in INPUTS if name in batches[0]]
    with torch.inference_mode():
        expected = [model(**batch).logits.numpy() for batch in batches]
    _trace(_Plain(model, names), batches[TRACED], names, part / FP32)
    # The plain graph is always written and checked: other runtimes read it, and int8 falls back to it.
    fp32, off = _compare(part / FP32, batches, expected)
    _check(FP32, "a logit", off, FP32_TOLERANCE)

    lean, why_plain = part / "lean.onnx", _why_plain(model, tokenizer)
    if why_plain is None:
        _trace(LeanClassifier(model), batches[TRACED], names, lean)
        _, off = _compare(lean, batches, expected)
        # A lean graph that is wrong for an architecture is not used. The export goes on with the plain one.
        why_plain = None if off <= FP32_TOLERANCE else f"the lean graph's logits are {off:.2g} off"
    with _quiet():
        quantize_dynamic(
            part / FP32 if why_plain else lean,
            part / INT8,
            weight_type=QuantType[str(QUANTISATION["weight_type"])],
            per_channel=QUANTISATION["per_channel"],
            reduce_range=QUANTISATION["reduce_range"],
            nodes_to_exclude=[] if why_plain else _last_products(lean),
        )
    int8, _ = _compare(part / INT8, batches, expected)
    _check(INT8, "a probability", int8["probability_difference"], INT8_TOLERANCE)
    _check(INT8, "a mean probability", int8["mean_probability_difference"], INT8_MEAN_TOLERANCE)
    graph = {"graph": "plain", "why_plain": why_plain} if why_plain else {"graph": "lean"}
    return {
        "opset": OPSET,
        "inputs": names,
        "quantisation": QUANTISATION,
        "checked_texts": sum(len(texts) for texts, _ in CHECKED),
        "tolerances": {FP32: FP32_TOLERANCE, INT8: INT8_TOLERANCE, f"{INT8}, mean": INT8_MEAN_TOLERANCE},
        "files": {FP32: {"graph": "plain"} | fp32, INT8: graph | int8},
    }


def _why_plain(model: Any, tokenizer: Any) -> str | None:
    """Return why a model has no lean graph; None if it has one."""
    if model.config.model_type not in ARCHITECTURES:
        return f"no lean graph for {model.config.model_type}, only for {', '.join(ARCHITECTURES)}"
    return None if tokenizer.padding_side == "right" else "the tokenizer pads on the left"


def _last_products(lean: Path) -> list[str]:
    """Return the names of the last layer's and the head's products. They stay fp32: later layers cannot correct them.

    On GoEmotions' validation texts a trained model's probabilities are a sixth nearer to PyTorch's with them, and the
    last layer of the lean graph is little work.
    """
    names = [node.name for node in onnx.load(lean).graph.node if node.op_type in ("MatMul", "Gemm")]
    return names[max(index for index, name in enumerate(names) if "/joined." in name) :]


def _trace(module: nn.Module, batch: Any, names: list[str], path: Path) -> None:
    """Export by tracing, with free batch and length.

    The newer exporter takes ten times as long for the same numbers, and quantisation cannot read its shapes.
    """
    free = {0: "batch_size", 1: "sequence_length"}
    with _quiet(), torch.no_grad():
        torch.onnx.export(
            module.eval(),
            tuple(batch[name] for name in names),
            path,
            input_names=names,
            output_names=["logits"],
            dynamic_axes=dict.fromkeys(names, free) | {"logits": {0: "batch_size"}},
            opset_version=OPSET,
            dynamo=False,
        )
    exported = onnx.load(path)
    del exported.graph.value_info[:]  # shapes of the traced batch, which quantisation would take as fixed
    onnx.save(exported, path)


def _compare(path: Path, batches: list[Any], expected: list[np.ndarray]) -> tuple[dict[str, Any], float]:
    """Return a file's size and its largest differences from PyTorch over all checked texts, relative for logits."""
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        found = [session.run(None, {name: batch[name].numpy() for name in batch})[0] for batch in batches]
    except RUNTIME_ERRORS as error:
        raise InputError(f"{path.name}: onnxruntime cannot run it ({first_line(error)}). Nothing was kept.") from None
    logits, wanted = np.concatenate(found).astype(np.float64), np.concatenate(expected).astype(np.float64)
    of_logits, of_probabilities = (
        # A NaN would pass every comparison with a maximum, so it counts as infinitely far.
        np.where(np.isfinite(logits), np.abs(a - b), np.inf)
        for a, b in ((logits, wanted), (expit(logits), expit(wanted)))
    )
    differences = {
        "bytes": path.stat().st_size,
        "logit_difference": float(of_logits.max()),
        "probability_difference": float(of_probabilities.max()),
        "mean_probability_difference": float(of_probabilities.mean()),
    }
    return differences, differences["logit_difference"] / max(1.0, float(np.abs(wanted).max()))


def _check(name: str, what: str, difference: float, tolerance: float) -> None:
    # Not `>`, which would let NaN pass.
    if not difference <= tolerance:
        raise InputError(
            f"{name}: {what} differs from PyTorch by {difference:.3g}; at most {tolerance:.3g} is allowed. Nothing "
            "was kept; this model can only be published without ONNX files, or its export must be fixed in "
            "train/export.py."
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide the advice of exporter and quantiser, which is for developers."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def main() -> None:
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(prog="python -m train.export", description="Exports a classifier to ONNX.")
    parser.add_argument("--model", type=Path, required=True, help="a model folder")
    parser.add_argument("--out", type=Path, help="the folder in which to create 'onnx'; default: the model's folder")
    args = parser.parse_args()
    for name, found in export(args.model, args.out)["files"].items():
        print(
            f"{(args.out or args.model) / FOLDER / name}: {found['bytes'] / 2**20:.1f} MiB, {found['graph']} graph, "
            f"largest difference from PyTorch {found['probability_difference']:.2g} of a probability"
        )
        if "why_plain" in found:
            print(f"  ({found['why_plain']})")


if __name__ == "__main__":
    run_command(main)
