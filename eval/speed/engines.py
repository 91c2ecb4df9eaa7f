"""The engines that are timed. Each contender runs in its own process, so that its peak memory is its own.

A process loads nothing that a user of its engine would not load: libraries are imported where they are used.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dataset_builder.inputs import InputError, first_line
from dataset_builder.taxonomy import LABELS

FILES = {"onnx": "onnx/model.onnx", "int8": "onnx/model_quantized.onnx"}
HYPOTHESIS = "The speaker feels {}."  # that an NLI classifier is asked about, for each label

Run = Callable[[Any], Any]


def load(engine: str, place: str, threads: int) -> Run:
    """Return what scores a batch for the 28 labels: token ids and masks as arrays; for the last three engines, texts.

    Args:
        engine: `pytorch`, `onnx`, `int8`, `static`, `bi-encoder` or `nli-pipeline`.
        place: a folder, or for a bi-encoder also a Hub id.

    Raises:
        InputError: onnxruntime cannot load the file.
    """
    if engine in FILES:
        return _onnxruntime(Path(place) / FILES[engine], threads)
    if engine == "static":
        return _static(place, threads)
    import torch

    torch.set_num_threads(threads)
    return {"pytorch": _pytorch, "bi-encoder": _bi_encoder, "nli-pipeline": _nli_pipeline}[engine](place)


def _pytorch(place: str) -> Run:
    import torch
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(place, dtype=torch.float32, trust_remote_code=False)
    model.eval()

    def run(batch: Mapping[str, Any]) -> Any:
        with torch.inference_mode():
            return model(**{name: torch.from_numpy(values) for name, values in batch.items()}).logits.numpy()

    return run


def _onnxruntime(path: Path, threads: int) -> Run:
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as faults

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except (faults.Fail, faults.InvalidGraph, faults.InvalidProtobuf, faults.NotImplemented) as error:
        raise InputError(f"{path}: cannot be loaded ({first_line(error)}). Export the model again.") from None
    names = [found.name for found in session.get_inputs()]
    return lambda batch: session.run(["logits"], {name: batch[name] for name in names})[0]


def _static(place: str, threads: int) -> Run:
    os.environ["RAYON_NUM_THREADS"] = str(threads)  # of the tokenizer, which reads it when it first runs
    from model2vec.inference import StaticModelPipeline

    run: Run = StaticModelPipeline.from_pretrained(place).predict_proba
    return run


def _bi_encoder(place: str) -> Run:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(place, device="cpu", trust_remote_code=False)
    columns = model.encode_document(list(LABELS), normalize_embeddings=True).T  # once, as a user does
    return lambda texts: (
        model.encode_query(texts, batch_size=64, normalize_embeddings=True, show_progress_bar=False) @ columns
    )


def _nli_pipeline(place: str) -> Run:
    from transformers import pipeline

    classify = pipeline("zero-shot-classification", model=place, device="cpu")
    asked = {"candidate_labels": list(LABELS), "hypothesis_template": HYPOTHESIS, "multi_label": True}
    return lambda texts: classify(texts, batch_size=64, **asked)


# What a contender's process holds from `start` on: there is one contender in a process.
_run: Run
_sets: Mapping[str, Sequence[Any]]


def start(engine: str, place: str, threads: int, sets: Mapping[str, Sequence[Any]]) -> None:
    """Load a contender and its sets of batches into this process."""
    global _run, _sets
    os.dup2(2, 1)  # output of libraries is not a result
    _run, _sets = load(engine, place, threads), sets


def time_set(name: str) -> list[float]:
    """Return the seconds that each batch of a set takes."""
    for batch in _sets[name][:2]:  # warms up caches and threads, which another contender used in between
        _run(batch)
    seconds = []
    for batch in _sets[name]:
        started = time.perf_counter()
        _run(batch)
        seconds.append(time.perf_counter() - started)
    return seconds


def peak_memory() -> int:
    """Return the most bytes that this process ever held."""
    path = Path("/proc/self/status")
    if path.exists():  # on Linux `ru_maxrss` also counts the memory of the parent when it started this process
        lines = dict(line.partition(":")[::2] for line in path.read_text(encoding="ascii").splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
