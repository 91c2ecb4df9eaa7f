"""python -m eval.export_speed --model FOLDER --data GOEMOTIONS_FOLDER

Measures the ONNX files of a model folder against its PyTorch weights on this machine, in one run, and writes
<out>/system/export-speed.json. All run the same token ids of GoEmotions' test texts, in the file's order, padded to the
longest of each batch, on all cores, in turns, so that the machine's moods meet all; ratios are those of a turn's
speeds. Only the model is timed: texts are tokenised and padded before.
"""

import argparse
import functools
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as faults
from tqdm import tqdm

from dataset_builder.files.reading import json_file
from dataset_builder.inputs import InputError, first_line, run_command
from dataset_builder.provenance import RESULTS, results_folder, write_result
from eval.benchmarks import Rows, find
from eval.metrics import macro_f1
from eval.predict import Model, load_model
from eval.timed_process import FILES
from eval.timing import (
    BATCH,
    SHARE,
    SINGLE,
    Batch,
    about,
    add_threads,
    at_least_one,
    batches,
    in_turn,
    milliseconds,
    padding_share,
    processor_seconds,
    ratio,
    seconds_of,
    share_of_others,
    warn_of_company,
)

RECORD = "onnx/export.json"
NAME = "export-speed"

Run = Callable[[Any], np.ndarray]


def check_files(folder: Path, model: Model) -> str:
    """What to run where the files of a model folder are not as they should be.

    Raises:
        InputError: a file is missing or of other weights than the model's.
    """
    again = f"Run: python -m train.export --model {folder}"
    for file in (*FILES.values(), RECORD):
        if not (folder / file).exists():
            raise InputError(f"{folder / file}: no such file. {again}")
    record = json_file(folder / RECORD, again)
    exported = record.get("weights_sha256") if isinstance(record, dict) else None
    if exported is None or exported != model.record.get("weights_sha256"):
        raise InputError(f"{folder / RECORD}: names other weights than training.json does. {again}")
    return again


def engines(folder: Path, model: Model) -> dict[str, tuple[Run, Callable[[Batch], Any]]]:
    """For PyTorch and each file: logits of a prepared batch, and how a batch is prepared.

    Raises:
        InputError: a file is missing or of other weights than the model's, or onnxruntime does not load it.
    """
    again = check_files(folder, model)
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


def measure(folder: Path, model: Model, rows: Rows, texts: int, rounds: int) -> dict[str, Any]:
    """Speeds of the first `texts` texts in `rounds` turns, and F1 of all rows, as a result's content."""
    found = engines(folder, model)
    texts = min(texts, len(rows.texts))
    tokenizer, chosen = model.classify.tokenizer, rows.texts[:texts]
    lengths = [len(ids) for ids in tokenizer(chosen, truncation=True)["input_ids"]]
    in_length = [chosen[row] for row in sorted(range(texts), key=lengths.__getitem__)]
    sets = {
        "batch1": batches(tokenizer, chosen[::SHARE], None, SINGLE),
        "batch32": batches(tokenizer, chosen, None, BATCH),
        # texts of like length together, as a user who sorts has them: what is won where there is little padding to skip
        "batch32_sorted": batches(tokenizer, in_length, None, BATCH),
    }
    metrics: dict[str, dict[str, float]] = {}
    before = processor_seconds()
    for name, data in sets.items():
        metrics |= _turns(name, data, found, rounds)
    others = share_of_others(before, processor_seconds())
    return {
        "name": NAME,
        "model": model.name,
        "metrics": metrics | _quality(found, model, rows),
        "support": len(rows.texts),
        "timed_texts": {name: sum(len(batch["input_ids"]) for batch in data) for name, data in sets.items()},
        "padding_share": {name: padding_share(data) for name, data in sets.items()},
        "rounds": rounds,
        "threads": {"pytorch": torch.get_num_threads(), "onnxruntime": torch.get_num_threads()},
        # PyTorch's threads wait for each other more often than onnxruntime's: company on the cores flatters the ratios
        "cpu_share_of_others": others,
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
        for engine in in_turn(list(found), turn):
            spent = seconds_of(found[engine][0], prepared[engine])
            speeds[engine].append(texts / sum(spent))
            seconds[engine] += spent
    metrics = {f"{engine}_ratio_{name}": ratio(speeds[engine], speeds["pytorch"]) for engine in FILES}
    for engine in found:
        metrics[f"{engine}_texts_per_second_{name}"] = {"value": round(statistics.median(speeds[engine]), 1)}
        if name == f"batch{SINGLE}":
            metrics |= {f"{engine}_{key}_{name}": value for key, value in milliseconds(seconds[engine]).items()}
    return metrics


def _quality(found: dict[str, Any], model: Model, rows: Rows) -> dict[str, dict[str, float]]:
    """Macro-F1 of PyTorch and int8 on all rows at the model's thresholds, in batches in the file's order."""
    data = batches(model.classify.tokenizer, rows.texts, None, BATCH)
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


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m eval.export_speed", description="Measures exported models.")
    parser.add_argument("--model", required=True, type=Path, help="a model folder with its ONNX files")
    parser.add_argument("--data", help="GoEmotions' own files; default: from the Hub")
    parser.add_argument("--texts", type=int, default=1024, help="how many test texts are timed; F1 is always of all")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each")
    parser.add_argument("--out", type=results_folder, default=RESULTS, help=f"default: {RESULTS}")
    add_threads(parser)
    args = parser.parse_args()
    at_least_one(args, "texts", "rounds", "threads")
    torch.set_num_threads(args.threads)
    if not args.model.is_dir():
        raise InputError(f"model folder '{args.model}': no such folder. Train a model and export it first.")
    model = load_model(str(args.model))
    rows = find("goemotions").load(args.data, "contextless")
    content = measure(args.model, model, rows, args.texts, args.rounds) | about("onnxruntime")
    print(write_result(content, args.out, "system", NAME))
    warn_of_company(content["cpu_share_of_others"])
    for metric, value in content["metrics"].items():
        print(f"{metric:<44}{value['value']:g}")


if __name__ == "__main__":
    run_command(main)
