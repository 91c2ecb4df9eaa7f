"""python -m eval.speed [encoders | exports | zero-shot] --model FOLDER [FOLDER …] --data GOEMOTIONS_FOLDER

- `encoders`: our classifiers, in PyTorch and, if they were exported, in ONNX (fp32, int8), compared with models of the
  sizes that users would use instead: speed, peak memory, disk. Writes <out>/system/encoder-speed.json. All are in
  memory
  at once: 6 GiB, and 4 GiB in TMPDIR for the weights of the stand-ins.
- `exports`: a classifier's ONNX files compared with its PyTorch weights, and the F1 cost of int8. Writes
  export-speed.json.
- `zero-shot`: a bi-encoder, which reads a text once, compared with a zero-shot NLI classifier, which reads it once for
  each of the 28 labels; tokenising is timed too. Writes zero-shot-speed.json.

All contenders read texts from GoEmotions' test split, in the order of the file.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit
from tqdm import tqdm

from dataset_builder.files.reading import json_file
from dataset_builder.inputs import InputError, run_command, wheel_path
from dataset_builder.processes import available_cores
from dataset_builder.provenance import RESULTS, results_folder, write_result
from dataset_builder.statistics import macro_f1
from dataset_builder.taxonomy import LABELS
from eval.benchmark_rows import Rows
from eval.benchmarks import find
from eval.models import Classifier, StaticClassifier, load_bi_encoder, load_classifier
from eval.speed.engines import FILES, HYPOTHESIS, load
from eval.speed.stand_ins import STAND_INS, build, is_nli
from eval.speed.turns import ALONE, BATCH, Batch, Contender, about, batches, padding_share, speeds, take_turns

RECORD = "onnx/export.json"
TOO_BUSY = 0.05  # share of CPU time used by other processes above which a measurement is unreliable
# What is measured: the stand-ins, the number of texts, and how many of them an NLI classifier reads (28 times each).
DEFAULTS: dict[str, tuple[tuple[str, ...], int, int]] = {
    "encoders": (("roberta-base", "roberta-large", "bart-large-mnli"), 256, 4),
    "exports": ((), 1024, 1),
    "zero-shot": (("roberta-base-mnli",), 512, 8),
}
PROTOCOL = (
    "The first texts of GoEmotions' test split in batches, and every fourth of them alone, tokenised and padded before "
    "the clock starts. Each model has a process of its own, on all cores, and they take turns; a ratio is that of the "
    "speeds in one turn. Stand-ins have random weights, run in PyTorch, and read the token ids of the first model's "
    "tokenizer. The time of a static model includes tokenising. An NLI classifier takes 28 passes for the 28 labels, "
    "the others one. Memory is the peak of the process with its libraries; disk is the size of the weights."
)


def token_sets(tokenizer: Any, texts: Sequence[str]) -> dict[str, list[Batch]]:
    """Return what a classifier of 28 labels reads: batches, and some of their texts alone."""
    return {"batch1": batches(tokenizer, texts[::ALONE], 1), "batch32": batches(tokenizer, texts, BATCH)}


def text_sets(texts: Sequence[str]) -> dict[str, list[list[str]]]:
    """Return the same texts for a static model, which reads no token ids."""
    return {
        "batch1": [[text] for text in texts[::ALONE]],
        "batch32": [list(texts[first : first + BATCH]) for first in range(0, len(texts), BATCH)],
    }


def nli_token_sets(tokenizer: Any, texts: Sequence[str]) -> dict[str, list[Batch]]:
    """Return the same for an NLI classifier: each text with each label's hypothesis; alone, a text is a batch of 28."""
    repeated = [text for text in texts for _ in LABELS]
    hypotheses = [HYPOTHESIS.format(label) for label in LABELS] * len(texts)
    sizes = {"batch1": len(LABELS), "batch32": BATCH}
    return {name: batches(tokenizer, repeated, size, hypotheses) for name, size in sizes.items()}


def our_models(places: Sequence[str]) -> dict[Path, Classifier]:
    """Our classifiers by folder. Raises InputError if one is not a finished model, or two have the same name."""
    found: dict[Path, Classifier] = {}
    for place in map(Path, places):
        if not place.is_dir():
            raise InputError(f"model folder '{place}': no such folder. Train a model first.")
        model = load_classifier(str(place))
        if model.name in (other.name for other in found.values()):
            raise InputError(f"--model: '{model.name}' is the name of two folders. Pass only one of them.")
        found[place] = model
    return found


def check_exports(folder: Path, model: Classifier) -> None:
    """Raise InputError if an ONNX file of a model folder is missing, or belongs to other weights."""
    again = f"Run: python -m train.export --model {folder}"
    for file in (*FILES.values(), RECORD):
        if not (folder / file).exists():
            raise InputError(f"{folder / file}: no such file. {again}")
    record = json_file(folder / RECORD, again)
    exported = record.get("weights_sha256") if isinstance(record, dict) else None
    if exported is None or exported != model.record.get("weights_sha256"):
        raise InputError(f"{folder / RECORD}: belongs to other weights than training.json. {again}")


def write_stand_in(name: str, tokenizer: Any, folder: Path) -> Path:
    """Write a stand-in with its tokenizer to a folder, so that it is loaded like a trained model."""
    build(name, tokenizer).save_pretrained(folder / name)
    tokenizer.save_pretrained(folder / name)
    return folder / name


def encoders(args: argparse.Namespace, rows: Rows, temporary: Path) -> dict[str, Any]:
    """Return the speed, peak memory and size on disk of our classifiers and of stand-ins."""
    texts, found = rows.texts[: args.limit], our_models(args.model)
    contenders: dict[str, Contender] = {}
    for folder, model in found.items():
        if isinstance(model, StaticClassifier):
            contenders[f"{model.name}_static"] = Contender("static", str(folder), text_sets(texts))
            continue
        engines = ["pytorch"]
        if (folder / RECORD).exists():
            check_exports(folder, model)
            engines += FILES
        sets = token_sets(model.pipeline.tokenizer, texts)
        contenders |= {f"{model.name}_{engine}": Contender(engine, str(folder), sets) for engine in engines}
    encoder = next((model for model in found.values() if not isinstance(model, StaticClassifier)), None)
    if encoder is None:
        raise InputError("--model: has static models only, and stand-ins read an encoder's token ids. Pass one more.")
    tokenizer = encoder.pipeline.tokenizer
    for name in dict.fromkeys(args.stand_ins):
        nli, place = is_nli(name), write_stand_in(name, tokenizer, temporary)
        sets = nli_token_sets(tokenizer, texts[: args.nli_texts]) if nli else token_sets(tokenizer, texts)
        for batch in (batch for data in sets.values() for batch in data):
            batch.pop("token_type_ids", None)  # RoBERTa and BART were trained without them
        contenders[f"{name}_pytorch"] = Contender("pytorch", str(place), sets, len(LABELS) if nli else 1)
    turns = take_turns(contenders, args.rounds, args.threads)
    metrics = speeds(turns, contenders, f"{args.stand_ins[0]}_pytorch")
    for name, one in contenders.items():
        metrics[f"{name}_peak_memory_mib"] = {"value": round(turns.peak_memory[name] / 2**20, 1)}
        metrics[f"{name}_disk_mib"] = {"value": round(one.size / 2**20, 1)}
    return {
        "name": "encoder-speed",
        "metrics": metrics,
        "cpu_share_of_others": turns.cpu_share_of_others,
        "support": len(texts),
        "timed_texts": {name: {which: one.texts(which) for which in one.sets} for name, one in contenders.items()},
        "padding_share": {
            name: padding_share(one.sets["batch32"]) for name, one in contenders.items() if one.engine != "static"
        },
        "ratio_to": args.stand_ins[0],
        "protocol": PROTOCOL,
        "hypothesis": HYPOTHESIS,
        "model_revision": {model.name: model.revision for model in found.values()},
        **about("onnxruntime"),
    }


def exports(args: argparse.Namespace, rows: Rows, _: Path) -> dict[str, Any]:
    """Speed of a classifier's ONNX files and its PyTorch weights on some texts, and F1 of PyTorch and int8 on all."""
    ((folder, model),) = our_models(args.model).items()
    if isinstance(model, StaticClassifier):
        raise InputError(f"model folder '{folder}': is a static model, which has no ONNX files. Pass an encoder.")
    check_exports(folder, model)
    texts, tokenizer = rows.texts[: args.limit], model.pipeline.tokenizer
    lengths = [len(ids) for ids in tokenizer(texts, truncation=True)["input_ids"]]
    by_length = [texts[row] for row in np.argsort(lengths, kind="stable")]
    # sorted texts need little padding: such a batch shows an engine's gain without padding to skip
    sets = token_sets(tokenizer, texts) | {"batch32_sorted": batches(tokenizer, by_length, BATCH)}
    contenders = {engine: Contender(engine, str(folder), sets) for engine in ("pytorch", *FILES)}
    turns = take_turns(contenders, args.rounds, args.threads)
    return {
        "name": "export-speed",
        "model": model.name,
        "metrics": speeds(turns, contenders, "pytorch") | int8_quality(folder, model, rows, args.threads),
        "support": len(rows.texts),
        "timed_texts": {which: contenders["pytorch"].texts(which) for which in sets},
        "padding_share": {which: padding_share(data) for which, data in sets.items()},
        "cpu_share_of_others": turns.cpu_share_of_others,
        "bytes": {engine: contenders[engine].size for engine in FILES},
        "threshold_source": model.record.get("threshold_source", "the model's config"),
        "seeds": [model.record["recipe"]["seed"]] if "recipe" in model.record else [],
        "model_revision": model.revision,
        **about("onnxruntime"),
    }


def int8_quality(folder: Path, model: Classifier, rows: Rows, threads: int) -> dict[str, dict[str, float]]:
    """Macro-F1 of PyTorch and int8 on all rows at the model's thresholds, and how far their probabilities differ."""
    data, scores = batches(model.pipeline.tokenizer, rows.texts, BATCH), {}
    for engine in ("pytorch", "int8"):
        run = load(engine, str(folder), threads)
        logits = [run(batch) for batch in tqdm(data, desc=f"{engine} F1", unit="batch")]
        scores[engine] = expit(np.concatenate(logits).astype(np.float64))
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


def zero_shot(args: argparse.Namespace, rows: Rows, temporary: Path) -> dict[str, Any]:
    """Return texts per second of a bi-encoder and of an NLI classifier, for the 28 labels."""
    (place,), texts = args.model, rows.texts[: args.limit]
    few = texts[:: max(1, len(texts) // args.nli_texts)][: args.nli_texts]  # from all over the file
    encoder = load_bi_encoder(place)
    classifier = write_stand_in(args.stand_ins[0], encoder.encoder.tokenizer, temporary)
    contenders = {
        "bi_encoder": Contender("bi-encoder", str(wheel_path(place) or place), {"all": [texts]}),
        "nli": Contender("nli-pipeline", str(classifier), {"all": [few]}),
    }
    turns = take_turns(contenders, args.rounds, args.threads)
    found = speeds(turns, contenders, "nli")
    rates = {f"{name}_texts_per_second": found[f"{name}_texts_per_second_all"] for name in contenders}
    return {
        "name": "zero-shot-speed",
        "model": encoder.name,
        "metrics": {"ratio": found["bi_encoder_ratio_all"], **rates},
        "support": len(texts),
        "nli_texts": len(few),
        "nli_sizes": STAND_INS[args.stand_ins[0]][1],
        "hypothesis": HYPOTHESIS,
        "labels": len(LABELS),
        "cpu_share_of_others": turns.cpu_share_of_others,
        "model_revision": encoder.revision,
        **about("sentence-transformers"),
    }


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m eval.speed", description="Measures speed, memory and size.")
    parser.add_argument("what", nargs="?", choices=DEFAULTS, default="encoders", help="default: encoders")
    parser.add_argument("--model", required=True, nargs="+", help="model folders; only one for exports and zero-shot")
    parser.add_argument("--stand-ins", nargs="+", choices=STAND_INS, help="stand-ins; ratios are to the first one")
    parser.add_argument("--data", help="GoEmotions' own files, or a prepared folder; default: from the Hub")
    parser.add_argument("--limit", "--texts", type=int, help="number of texts; F1 always uses all")
    parser.add_argument("--nli-texts", type=int, help="number of texts that an NLI classifier reads, 28 times each")
    parser.add_argument("--rounds", type=int, default=5, help="turns per contender; default: 5")
    parser.add_argument("--out", type=results_folder, default=RESULTS, help=f"default: {RESULTS}")
    parser.add_argument("--threads", type=int, default=available_cores(), help="threads per model; default: all cores")
    args = parser.parse_args()
    stand_ins, limit, nli_texts = DEFAULTS[args.what]
    args.stand_ins = args.stand_ins or stand_ins
    args.limit = limit if args.limit is None else args.limit
    args.nli_texts = nli_texts if args.nli_texts is None else args.nli_texts
    for name in ("limit", "nli_texts", "rounds", "threads"):
        if getattr(args, name) < 1:
            raise InputError(f"--{name.replace('_', '-')} {getattr(args, name)}: must be 1 or more.")
    if args.what != "encoders" and len(args.model) > 1:
        raise InputError(f"--model: {args.what} needs exactly one model.")
    if args.what == "zero-shot" and not is_nli(args.stand_ins[0]):
        raise InputError(f"--stand-ins {args.stand_ins[0]}: is not an NLI classifier. Use roberta-base-mnli.")
    rows = find("goemotions").load(args.data, "contextless")
    with tempfile.TemporaryDirectory(prefix="speed-") as temporary:
        measure = {"encoders": encoders, "exports": exports, "zero-shot": zero_shot}[args.what]
        content: dict[str, Any] = {"threshold_source": "none: nothing is decided", "seeds": []}
        content |= measure(args, rows, Path(temporary))
    content |= {"rounds": args.rounds, "threads": args.threads, "data_revision": rows.revision}
    print(write_result(content, args.out, "system", content["name"]))
    if (busy := content["cpu_share_of_others"] or 0) > TOO_BUSY:
        print(f"other processes used {busy:.0%} of the CPU time: measure again on an idle machine.")
    for metric, value in content["metrics"].items():
        print(f"{metric:<72}{value['value']:g}")


if __name__ == "__main__":
    run_command(main)
