"""python -m train.speed --data work/domains/goemotions

Samples a second of our loop and of `transformers.Trainer` with the same model, rows, batches and precision, in turns in
one run on one machine; writes eval/results/system/trainer-speed.json.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from dataset_builder.inputs import InputError, read_recipe, run_command
from dataset_builder.provenance import RESULTS, cores, provenance, results_folder, write_result
from train.classifier.recipe import ClassifierRecipe

RECIPE = "train/recipes/emo-pillars-contextless-minilm-goemotions.yaml"
LOOPS = ("ours", "trainer", "trainer-grouped")  # the last groups rows by length as the library does
WARM_UP = 5  # steps of the library's loop before its clock starts; ours measures its steps alone
# The loops are compared by their steps: no ingredient of ours that costs or saves any.
PLAIN = {"ema_decay": None, "fit_head": False, "loss": "bce", "pooling_layer": False}


def measure(recipe: ClassifierRecipe, command: list[str], steps: int, rounds: int, threads: int) -> dict[str, Any]:
    """Medians of several turns of each loop. Each turn is a process of its own: its peak of memory is the loop's."""
    turns: dict[str, list[dict[str, float]]] = {loop: [] for loop in LOOPS}
    for _ in range(rounds):
        for loop, found in turns.items():
            environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
            done = subprocess.run(
                [*command, "--turn", loop], check=False, stdout=subprocess.PIPE, text=True, env=environment
            )
            if done.returncode:
                raise InputError(f"the turn of '{loop}' failed with exit code {done.returncode}; its message is above.")
            found.append(json.loads(done.stdout.splitlines()[-1]))
            if found[-1].pop("threads") != threads:
                raise InputError(f"the turn of '{loop}' did not have {threads} threads. Measure again.")
            print(f"{loop}: {found[-1]}", file=sys.stderr)
    speed, memory = (
        {loop: statistics.median(turn[what] for turn in found) for loop, found in turns.items()}
        for what in ("samples_per_second", "peak_memory_gib")
    )
    metrics = {
        "ratio": speed["ours"] / speed["trainer"],
        "memory_ratio": memory["ours"] / memory["trainer"],
        "ratio_to_grouped": speed["ours"] / speed["trainer-grouped"],
    }
    for loop in LOOPS:
        metrics[f"{loop}_samples_per_second"] = speed[loop]
        metrics[f"{loop}_peak_memory_gib"] = memory[loop]
    return {
        "name": "trainer-speed",
        "metrics": {name.replace("-", "_"): {"value": round(value, 3)} for name, value in metrics.items()},
        "support": steps * recipe.batch_size,
        "steps": steps,
        "rounds": rounds,
        "threads": threads,
        "batch_size": recipe.batch_size,
        "precision": recipe.mixed_precision,
        "seeds": [recipe.seed],
        **provenance(),
    }


def run_turn(loop: str, recipe: ClassifierRecipe, data: str, steps: int) -> dict[str, float]:
    """Train for so many steps by one loop; its speed and the process's peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        if loop == "ours":
            from train.classifier.loop import train

            speed = float(train(recipe, data, Path(folder), steps)["samples_per_second"])
        else:
            speed = _run_trainer(recipe, data, Path(folder), steps, grouped=loop == "trainer-grouped")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux
    about = {"samples_per_second": round(speed, 2), "peak_memory_gib": round(peak, 3)}
    return about | {"threads": torch.get_num_threads()}


def _run_trainer(recipe: ClassifierRecipe, data: str, folder: Path, steps: int, *, grouped: bool) -> float:
    from transformers import DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments

    from train.classifier.data import read_corpus, tokenise
    from train.classifier.model import load_model

    corpus = read_corpus(recipe, data)
    tokenizer, model = load_model(recipe)
    rows = [
        {**{name: value for name, value in row.items() if name != "targets"}, "labels": row["targets"]}
        for row in tokenise(corpus.rows("train"), tokenizer, recipe)
    ]
    clock: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if state.global_step in (WARM_UP, steps):
                clock.append(time.monotonic())

    settings = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        optim="adamw_torch_fused",
        train_sampling_strategy="group_by_length" if grouped else "random",
        bf16=recipe.mixed_precision == "bf16",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=recipe.seed,
    )
    collate = DataCollatorWithPadding(tokenizer)
    Trainer(model, settings, train_dataset=rows, data_collator=collate, callbacks=[Clock()]).train()
    return (steps - WARM_UP) * recipe.batch_size / (clock[1] - clock[0])


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m train.speed", description="Our loop and transformers.Trainer.")
    parser.add_argument("--recipe", default=RECIPE, help=f"default: {RECIPE}")
    parser.add_argument("--data", required=True, help="a prepared data set, folder or Hub id")
    parser.add_argument("--steps", type=int, default=60, help="updates in a turn (default: 60)")
    parser.add_argument("--threads", type=int, default=cores(), help="of both loops; default: all cores")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each loop (default: 3)")
    parser.add_argument("--out", type=results_folder, default=RESULTS, help=f"default: {RESULTS}")
    parser.add_argument("--turn", choices=LOOPS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.steps <= WARM_UP:
        raise InputError(f"--steps {args.steps}: give more than {WARM_UP}; the library's loop warms up in as many.")
    if args.threads < 1:
        raise InputError(f"--threads {args.threads}: give 1 or more.")
    recipe = read_recipe(args.recipe, ClassifierRecipe).model_copy(update=PLAIN)
    if args.turn:
        print(json.dumps(run_turn(args.turn, recipe, args.data, args.steps)))
        return
    command = [sys.executable, "-m", "train.speed", "--recipe", args.recipe, "--data", args.data]
    content = measure(recipe, [*command, "--steps", str(args.steps)], args.steps, args.rounds, args.threads)
    path = write_result(content, args.out, "system", "trainer-speed")
    ratio, memory = (content["metrics"][name]["value"] for name in ("ratio", "memory_ratio"))
    print(f"{path}: {ratio} times transformers.Trainer's samples a second, in {memory} of its memory")


if __name__ == "__main__":
    run_command(main)
