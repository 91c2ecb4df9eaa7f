"""python -m eval.speed --model FOLDER [FOLDER …] --data GOEMOTIONS_FOLDER

How fast, how large and how hungry models of ours are, in PyTorch and, where they were exported, in ONNX (fp32 and
int8), beside models of the sizes that users would take instead, with random weights (eval/stand_ins.py). Each has a
process of its own (eval/timed_process.py), all read the same texts of GoEmotions' test split, and they take turns, so
that the machine's moods meet all. All are held at once: 6 GiB of memory, and 4 GiB for the stand-ins' weights where
TMPDIR says. Writes <out>/system/encoder-speed.json.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from dataset_builder.inputs import InputError, run_command
from dataset_builder.provenance import RESULTS, results_folder, write_result
from dataset_builder.taxonomy import LABELS
from eval.benchmarks import find
from eval.export_speed import RECORD, check_files
from eval.predict import load_model
from eval.stand_ins import HYPOTHESIS, STAND_INS, build
from eval.timed_process import FILES, Sets, save_sets
from eval.timing import (
    BATCH,
    SHARE,
    SINGLE,
    about,
    add_threads,
    at_least_one,
    batches,
    in_turn,
    milliseconds,
    padding_share,
    processor_seconds,
    ratio,
    share_of_others,
    warn_of_company,
)

NAME = "encoder-speed"
BATCH1, BATCH32 = f"batch{SINGLE}", f"batch{BATCH}"
ALL = ("roberta-base", "roberta-large", "bart-large-mnli")
PROTOCOL = (
    "GoEmotions' test texts, the first ones, and every fourth of them alone; in the file's order, tokenised and padded "
    "before the clock starts; all cores; one process a model, in turns; ratios are those of a turn's speeds to the "
    "first stand-in's. Stand-ins have random weights and PyTorch alone, and read the token ids of the first model's "
    "tokenizer: speed depends on how many tokens there are. A text is scored for 28 labels: in one pass, but by an NLI "
    "classifier in 28, of the text with each label's hypothesis; alone, a text is one batch of 28. Memory is the "
    "process's peak, with its libraries; disk is the weights' file."
)


@dataclass(frozen=True)
class Contender:
    """A model in an engine, and what it reads.

    `size` is that of its weights on disk, in bytes. `texts` are how many texts each set of batches has.
    """

    name: str
    engine: str
    folder: Path
    size: int
    sets: Sets
    texts: dict[str, int]


def one_pass(tokenizer: Any, texts: Sequence[str]) -> tuple[Sets, dict[str, int]]:
    """Sets of batches for a classifier of 28 labels, and how many texts each has."""
    alone = texts[::SHARE]
    sets = {BATCH1: batches(tokenizer, alone, None, SINGLE), BATCH32: batches(tokenizer, texts, None, BATCH)}
    return sets, {BATCH1: len(alone), BATCH32: len(texts)}


def a_pass_a_label(tokenizer: Any, texts: Sequence[str]) -> tuple[Sets, dict[str, int]]:
    """The same for an NLI classifier: each text with each label's hypothesis; alone, a text is a batch of 28."""
    repeated = [text for text in texts for _ in LABELS]
    hypotheses = [HYPOTHESIS.format(label) for label in LABELS] * len(texts)
    sizes = {BATCH1: len(LABELS), BATCH32: BATCH}
    return (
        {name: batches(tokenizer, repeated, hypotheses, size) for name, size in sizes.items()},
        dict.fromkeys(sizes, len(texts)),
    )


def ours(places: Sequence[Path], texts: Sequence[str]) -> tuple[list[Contender], dict[str, str], Any]:
    """Our models, with an entry for each engine that they have files for; revisions; the first one's tokenizer.

    Raises:
        InputError: a folder is no finished model, its ONNX files are not of its weights, or a name is there twice.
    """
    found: list[Contender] = []
    revisions: dict[str, str] = {}
    first = None
    for place in places:
        if not place.is_dir():
            raise InputError(f"model folder '{place}': no such folder. Train a model first.")
        model = load_model(str(place))
        if model.name in revisions:
            raise InputError(f"--model: '{model.name}' is the name of two folders. Give one of them.")
        tokenizer, revisions[model.name] = model.classify.tokenizer, model.revision
        first = first or tokenizer
        sets, counts = one_pass(tokenizer, texts)
        engines = {"pytorch": sum(file.stat().st_size for file in place.glob("*model*.safetensors"))}
        if (place / RECORD).exists():
            check_files(place, model)
            engines |= {engine: (place / file).stat().st_size for engine, file in FILES.items()}
        found += [Contender(model.name, engine, place, size, sets, counts) for engine, size in engines.items()]
    return found, revisions, first


def others(names: Sequence[str], tokenizer: Any, texts: Sequence[str], few: int, folder: Path) -> list[Contender]:
    """Stand-ins, each written to a folder, so that they load as trained models do; NLI classifiers get few texts."""
    found = []
    for name in names:
        stand_in, place = STAND_INS[name], folder / name
        build(stand_in, tokenizer).save_pretrained(place)
        sets, counts = a_pass_a_label(tokenizer, texts[:few]) if stand_in.nli else one_pass(tokenizer, texts)
        for batch in (batch for data in sets.values() for batch in data):
            batch.pop("token_type_ids", None)  # neither architecture was trained with them
        size = sum(file.stat().st_size for file in place.glob("*.safetensors"))
        found.append(Contender(name, "pytorch", place, size, sets, counts))
    return found


@contextlib.contextmanager
def started(contender: Contender, path: Path, threads: int) -> Iterator["subprocess.Popen[str]"]:
    """A contender's process, which ends with the block."""
    save_sets(contender.sets, path)
    asked = [contender.engine, contender.folder, path, threads]
    process = subprocess.Popen(
        [sys.executable, "-m", "eval.timed_process", *map(str, asked)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def answer(contender: Contender, process: "subprocess.Popen[str]", question: str) -> Any:
    """What a process says. Raises InputError when it has ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(f"{question}\n")
        process.stdin.flush()
    said = process.stdout.readline()
    if not said:
        raise InputError(
            f"{contender.name} ({contender.engine}): its process ended with exit code {process.wait()}. If it said "
            "nothing above, memory may have run out: leave the largest out with --stand-ins."
        )
    return json.loads(said)


def measure(by_name: dict[str, Contender], base: str, rounds: int, threads: int, folder: Path) -> dict[str, Any]:
    """Metrics of all contenders, ratios to one of them, each of `rounds` turns, and others' share of the CPU time."""
    with contextlib.ExitStack() as stack:
        processes = {
            name: stack.enter_context(started(one, folder / f"{number}.npz", threads))
            for number, (name, one) in enumerate(by_name.items())
        }
        loaded = {name: answer(by_name[name], process, "") for name, process in processes.items()}
        before = processor_seconds()
        seconds: dict[tuple[str, str], list[list[float]]] = {}
        for turn in tqdm(range(rounds), desc=NAME, unit="round"):
            for which in (BATCH1, BATCH32):
                for name in in_turn(list(by_name), turn):
                    seconds.setdefault((name, which), []).append(answer(by_name[name], processes[name], which))
        after = processor_seconds()
        ended = {name: answer(by_name[name], process, "") for name, process in processes.items()}
    spent = sum(ended[name]["cpu_seconds"] - loaded[name]["cpu_seconds"] for name in ended)
    speeds = {
        (name, which): [by_name[name].texts[which] / sum(turn) for turn in turns]
        for (name, which), turns in seconds.items()
    }
    metrics = {}
    for name, one in by_name.items():
        for which in (BATCH1, BATCH32):
            own = speeds[name, which]
            metrics[f"{name}_ratio_{which}"] = ratio(own, speeds[base, which], digits=4)
            metrics[f"{name}_texts_per_second_{which}"] = {"value": round(statistics.median(own), 3)}
        of_singles = milliseconds([value for turn in seconds[name, BATCH1] for value in turn])
        metrics |= {f"{name}_{key}_{BATCH1}": value for key, value in of_singles.items()}
        metrics[f"{name}_peak_memory_mib"] = {"value": round(ended[name]["peak_memory"] / 2**20, 1)}
        metrics[f"{name}_disk_mib"] = {"value": round(one.size / 2**20, 1)}
    return {"metrics": metrics, "cpu_share_of_others": share_of_others(before, after, spent)}


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m eval.speed", description="Measures speed, memory and size.")
    parser.add_argument("--model", required=True, nargs="+", type=Path, help="model folders")
    parser.add_argument("--stand-ins", nargs="+", choices=STAND_INS, default=ALL, help="ratios are to the first one")
    parser.add_argument("--data", help="GoEmotions' own files, or a prepared folder; default: from the Hub")
    parser.add_argument("--limit", type=int, default=256, help="how many texts")
    parser.add_argument("--nli-texts", type=int, default=4, help="how many an NLI classifier reads, 28 times each")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each")
    parser.add_argument("--out", type=results_folder, default=RESULTS, help=f"default: {RESULTS}")
    add_threads(parser)
    args = parser.parse_args()
    at_least_one(args, "limit", "nli_texts", "rounds", "threads")
    torch.set_num_threads(args.threads)
    rows = find("goemotions").load(args.data, "contextless")
    texts, threads = rows.texts[: args.limit], torch.get_num_threads()
    found, revisions, tokenizer = ours(args.model, texts)
    with tempfile.TemporaryDirectory(prefix=f"{NAME}-") as folder:
        theirs = others(list(dict.fromkeys(args.stand_ins)), tokenizer, texts, args.nli_texts, Path(folder))
        every = {f"{one.name}_{one.engine}": one for one in (*found, *theirs)}
        measured = measure(every, f"{theirs[0].name}_pytorch", args.rounds, threads, Path(folder))
    content = {
        "name": NAME,
        **measured,
        "support": len(texts),
        "timed_texts": {name: one.texts for name, one in every.items()},
        "padding_share": {name: padding_share(one.sets[BATCH32]) for name, one in every.items()},
        "ratio_to": theirs[0].name,
        "protocol": PROTOCOL,
        "hypothesis": HYPOTHESIS,
        "rounds": args.rounds,
        "threads": threads,
        "threshold_source": "none: nothing is decided",
        "seeds": [],
        "model_revision": revisions,
        "data_revision": rows.revision,
        **about("onnxruntime"),
    }
    print(write_result(content, args.out, "system", NAME))
    warn_of_company(content["cpu_share_of_others"])
    for metric, value in content["metrics"].items():
        print(f"{metric:<72}{value['value']:g}")


if __name__ == "__main__":
    run_command(main)
