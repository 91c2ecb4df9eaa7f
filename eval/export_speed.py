"""python -m eval.export_speed --model FOLDER --data GOEMOTIONS_FOLDER

Measures the ONNX files of a model folder against its PyTorch weights on this machine, in one run, and writes
<out>/system/export-speed.json. All run the same token ids of GoEmotions' test texts, in the file's order, padded to the
longest of each batch, on all cores, in turns, so that the machine's moods meet all; ratios are those of a turn's
speeds. Only the model is timed: texts are tokenised and padded before.
"""

import argparse
import functools
import importlib.metadata
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as faults
from tqdm import tqdm

from dataset_builder.inputs import InputError, first_line, run_command
from dataset_builder.provenance import RESULTS, provenance, write_result
from eval.benchmarks import Rows, find
from eval.metrics import macro_f1
from eval.predict import Model, load_model

RECORD = "onnx/export.json"
FILES = {"onnx": "onnx/model.onnx", "int8": "onnx/model_quantized.onnx"}
SINGLE, BATCH = 1, 32
SHARE = 4  # of the texts of batches, every fourth is also run alone
NAME = "export-speed"
COMPANY = 0.05  # share of CPU time of other processes from which on a measure is not to be trusted

Batch = dict[str, np.ndarray]
Run = Callable[[Any], np.ndarray]


def engines(folder: Path, model: Model) -> dict[str, tuple[Run, Callable[[Batch], Any]]]:
    """For PyTorch and each file: logits of a prepared batch, and how a batch is prepared.

    Raises:
        InputError: a file is missing or of other weights than the model's, or onnxruntime does not load it.
    """
    again = f"Run: python -m train.export --model {folder}"
    for file in (*FILES.values(), RECORD):
        if not (folder / file).exists():
            raise InputError(f"{folder / file}: no such file. {again}")
    if json.loads((folder / RECORD).read_text(encoding="utf-8"))["weights_sha256"] != model.record["weights_sha256"]:
        raise InputError(f"{folder / RECORD}: names other weights than training.json does. {again}")
    encoder = model.classify.model.float().cpu().eval()

    def in_pytorch(batch: dict[str, torch.Tensor]) -> np.ndarray:
        with torch.inference_mode():
            logits: np.ndarray = encoder(**batch).logits.numpy()
        return logits

    def as_tensors(batch: Batch) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(values) for name, values in batch.items()}

    found: dict[str, tuple[Run, Callable[[Batch], Any]]] = {"pytorch": (in_pytorch, as_tensors)}
    for name, file in FILES.items():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            session = onnxruntime.InferenceSession(folder / file, options, providers=["CPUExecutionProvider"])
        except (faults.Fail, faults.InvalidGraph, faults.InvalidProtobuf, faults.NotImplemented) as error:
            raise InputError(f"{folder / file}: does not load ({first_line(error)}). {again}") from None
        found[name] = (functools.partial(_in_onnxruntime, session), dict)
    return found


def _in_onnxruntime(session: Any, batch: Batch) -> np.ndarray:
    logits: np.ndarray = session.run(["logits"], batch)[0]
    return logits


def batches(model: Model, rows: Rows, size: int, order: list[int]) -> list[Batch]:
    """Token ids, mask and, where the model has them, token types of the texts, (size, longest) each."""
    tokenizer = model.classify.tokenizer
    made = []
    for start in range(0, len(order), size):
        texts = [rows.texts[row] for row in order[start : start + size]]
        encoded = tokenizer(texts, padding=True, truncation=True, return_tensors="np")
        made.append({name: values.astype(np.int64) for name, values in encoded.items()})
    return made


def measure(folder: Path, model: Model, rows: Rows, texts: int, rounds: int) -> dict[str, Any]:
    """Speeds of the first `texts` texts in `rounds` turns, and F1 of all rows, as a result's content."""
    found = engines(folder, model)
    texts = min(texts, len(rows.texts))
    order = list(range(texts))
    lengths = [len(ids) for ids in model.classify.tokenizer(rows.texts[:texts], truncation=True)["input_ids"]]
    sets = {
        "batch1": batches(model, rows, SINGLE, order[::SHARE]),
        "batch32": batches(model, rows, BATCH, order),
        # texts of like length together, as a user who sorts has them: what is won where there is little padding to skip
        "batch32_sorted": batches(model, rows, BATCH, sorted(order, key=lengths.__getitem__)),
    }
    metrics: dict[str, dict[str, float]] = {}
    before = processor_seconds()
    for name, data in sets.items():
        metrics |= _turns(name, data, found, rounds)
    own, everybody = (after - first for after, first in zip(processor_seconds(), before, strict=True))
    return {
        "name": NAME,
        "model": model.name,
        "metrics": metrics | _quality(found, model, rows),
        "support": len(rows.texts),
        "timed_texts": {name: sum(len(batch["input_ids"]) for batch in data) for name, data in sets.items()},
        "padding_share": {name: _padding(data) for name, data in sets.items()},
        "rounds": rounds,
        "threads": {"pytorch": torch.get_num_threads(), "onnxruntime": torch.get_num_threads()},
        # PyTorch's threads wait for each other more often than onnxruntime's: company on the cores flatters the ratios
        "cpu_share_of_others": round(max(0.0, 1 - own / everybody), 3) if everybody else None,
        "bytes": {name: (folder / file).stat().st_size for name, file in FILES.items()},
        "threshold_source": model.record.get("threshold_source", "the model's config"),
        "seeds": [model.record["recipe"]["seed"]] if "recipe" in model.record else [],
        "model_revision": model.revision,
        "data_revision": rows.revision,
    }


def _turns(name: str, data: list[Batch], found: dict[str, Any], rounds: int) -> dict[str, dict[str, float]]:
    """Texts a second (median of the turns), ratios to PyTorch with their range and, for single texts, latencies."""
    prepared = {engine: [prepare(batch) for batch in data] for engine, (_, prepare) in found.items()}
    texts = sum(len(batch["input_ids"]) for batch in data)
    speeds: dict[str, list[float]] = {engine: [] for engine in found}
    seconds: dict[str, list[float]] = {engine: [] for engine in found}
    for turn in tqdm(range(rounds), desc=name, unit="round"):
        engines_in_turn = list(found)[turn % len(found) :] + list(found)[: turn % len(found)]
        for engine in engines_in_turn:
            run = found[engine][0]
            for batch in prepared[engine][:2]:  # caches and threads are its own again before the clock starts
                run(batch)
            spent = []
            for batch in prepared[engine]:
                started = time.perf_counter()
                run(batch)
                spent.append(time.perf_counter() - started)
            speeds[engine].append(texts / sum(spent))
            seconds[engine] += spent
    metrics: dict[str, dict[str, float]] = {}
    for engine in FILES:
        ratios = [ours / base for ours, base in zip(speeds[engine], speeds["pytorch"], strict=True)]
        metrics[f"{engine}_ratio_{name}"] = {
            "value": round(statistics.median(ratios), 2),
            "low": round(min(ratios), 2),
            "high": round(max(ratios), 2),
        }
    for engine in found:
        metrics[f"{engine}_texts_per_second_{name}"] = {"value": round(statistics.median(speeds[engine]), 1)}
        if name == f"batch{SINGLE}":
            for percentile in (50, 95):
                value = float(np.percentile(seconds[engine], percentile)) * 1000
                metrics[f"{engine}_milliseconds_p{percentile}_{name}"] = {"value": round(value, 2)}
    return metrics


def processor_seconds() -> tuple[float, float]:
    """Spent by this process and, where Linux says so, by all; 0 where it does not."""
    path = Path("/proc/stat")
    if not path.exists():
        return time.process_time(), 0.0
    user, nice, system = (int(field) for field in path.read_text(encoding="ascii").split()[1:4])
    return time.process_time(), (user + nice + system) / os.sysconf("SC_CLK_TCK")


def _quality(found: dict[str, Any], model: Model, rows: Rows) -> dict[str, dict[str, float]]:
    """Macro-F1 of PyTorch and int8 on all rows at the model's thresholds, in batches in the file's order."""
    data = batches(model, rows, BATCH, list(range(len(rows.texts))))
    scores = {}
    for engine in ("pytorch", "int8"):
        run, prepare = found[engine]
        logits = [run(prepare(batch)) for batch in tqdm(data, desc=f"{engine} F1", unit="batch")]
        scores[engine] = 1 / (1 + np.exp(-np.concatenate(logits).astype(np.float64)))
    decided = {engine: (values >= model.thresholds).astype(np.int8) for engine, values in scores.items()}
    f1 = {engine: macro_f1(rows.gold, values) for engine, values in decided.items()}
    difference = np.abs(scores["int8"] - scores["pytorch"])
    metrics = {
        "macro_f1_pytorch": f1["pytorch"],
        "macro_f1_int8": f1["int8"],
        "macro_f1_loss": f1["pytorch"] - f1["int8"],
        "decisions_changed_share": float((decided["int8"] != decided["pytorch"]).mean()),
        "probability_difference_mean": float(difference.mean()),
        "probability_difference_max": float(difference.max()),
    }
    return {name: {"value": round(value, 4 if "share" not in name else 6)} for name, value in metrics.items()}


def _padding(data: list[Batch]) -> float:
    """The share of padding among the tokens of some batches."""
    real = sum(int(batch["attention_mask"].sum()) for batch in data)
    return round(1 - real / sum(batch["attention_mask"].size for batch in data), 3)


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m eval.export_speed", description="Measures exported models.")
    parser.add_argument("--model", required=True, type=Path, help="a model folder with its ONNX files")
    parser.add_argument("--data", help="GoEmotions' own files; default: from the Hub")
    parser.add_argument("--texts", type=int, default=1024, help="how many test texts are timed; F1 is always of all")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each")
    parser.add_argument("--out", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    args = parser.parse_args()
    for name in ("texts", "rounds"):
        if getattr(args, name) < 1:
            raise InputError(f"--{name} {getattr(args, name)}: give 1 or more.")
    if not args.model.is_dir():
        raise InputError(f"model folder '{args.model}': no such folder. Train a model and export it first.")
    model = load_model(str(args.model))
    rows = find("goemotions").load(args.data, "contextless")
    about = provenance()
    about["libraries"] |= {"onnxruntime": importlib.metadata.version("onnxruntime")}
    about["hardware"] += processor()
    content = measure(args.model, model, rows, args.texts, args.rounds) | about
    print(write_result(content, args.out, "system", NAME))
    if (content["cpu_share_of_others"] or 0) > COMPANY:
        print(f"others took {content['cpu_share_of_others']:.0%} of the CPU time: measure again on an idle machine.")
    for metric, value in content["metrics"].items():
        print(f"{metric:<44}{value['value']:g}")


def processor() -> str:
    """Its name and the instructions that int8 speed depends on, where Linux says so."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return ""
    about = dict(line.partition(":")[::2] for line in path.read_text(encoding="utf-8").splitlines() if ":" in line)
    known = {key.strip(): value.split() for key, value in about.items()}
    flags = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx_vnni") if flag in known.get("flags", ())]
    return f", {' '.join(known.get('model name', ['unknown']))}, {' '.join(flags)}"


if __name__ == "__main__":
    run_command(main)
