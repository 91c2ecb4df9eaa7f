"""A model in a process of its own, timed on request: python -m eval.timed_process ENGINE FOLDER BATCHES THREADS

For eval.speed: it answers lines with lines of JSON. The name of a set of batches is answered with the seconds of each
batch, any empty line with peak memory and CPU time. Nothing is imported that a user of the engine would not need, since
its memory counts.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from eval.timing import Batch, seconds_of

FILES = {"onnx": "onnx/model.onnx", "int8": "onnx/model_quantized.onnx"}

Sets = dict[str, list[Batch]]


def save_sets(sets: Sets, path: Path) -> None:
    """Write sets of batches to a `.npz` file."""
    arrays = {
        f"{name}/{row}/{key}": values
        for name, data in sets.items()
        for row, batch in enumerate(data)
        for key, values in batch.items()
    }
    np.savez(path, **arrays)  # type: ignore[arg-type]


def read_sets(path: Path) -> Sets:
    """Read what `save_sets` wrote."""
    sets: Sets = {}
    with np.load(path) as arrays:
        for place, values in arrays.items():
            name, row, key = place.split("/")
            data = sets.setdefault(name, [])
            if int(row) == len(data):
                data.append({})
            data[int(row)][key] = values
    return sets


def in_pytorch(folder: Path, threads: int) -> tuple[Callable[[Any], Any], Callable[[Batch], Any]]:
    """Logits of a prepared batch, and how a batch is prepared."""
    import torch  # here, because an onnxruntime user does not load it
    from transformers import AutoModelForSequenceClassification

    torch.set_num_threads(threads)
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, trust_remote_code=False
    ).eval()

    def run(batch: dict[str, Any]) -> Any:
        with torch.inference_mode():
            return model(**batch).logits.numpy()

    return run, lambda batch: {name: torch.from_numpy(values) for name, values in batch.items()}


def in_onnxruntime(path: Path, threads: int) -> tuple[Callable[[Any], Any], Callable[[Batch], Any]]:
    """Logits of a prepared batch, and how a batch is prepared."""
    import onnxruntime  # here, because a PyTorch user does not load it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [found.name for found in session.get_inputs()]
    return lambda batch: session.run(["logits"], batch)[0], lambda batch: {name: batch[name] for name in names}


def peak_memory() -> int:
    """The most bytes that this process ever held.

    Not `ru_maxrss` where Linux knows better: that counts what the parent held when it started this process.
    """
    path = Path("/proc/self/status")
    if path.exists():
        lines = dict(line.partition(":")[::2] for line in path.read_text(encoding="ascii").splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Load the model, then answer until the questions end."""
    engine, folder, path, threads = sys.argv[1:]
    if engine == "pytorch":
        run, prepare = in_pytorch(Path(folder), int(threads))
    else:
        run, prepare = in_onnxruntime(Path(folder) / FILES[engine], int(threads))
    sets = {name: [prepare(batch) for batch in data] for name, data in read_sets(Path(path)).items()}
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    for asked in sys.stdin:
        if name := asked.strip():
            answer: Any = seconds_of(run, sets[name])
        else:
            answer = {"peak_memory": peak_memory(), "cpu_seconds": time.process_time()}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
