"""python -m train.speed --data work/domains/goemotions

Measures samples per second of our loop and of `transformers.Trainer` with the same model, rows, batches and precision,
interleaved in one run on one machine; writes eval/results/system/trainer-speed.json.
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
from transformers import DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments

from dataset_builder.inputs import InputError, read_recipe, run_command
from dataset_builder.processes import available_cores
from dataset_builder.provenance import RESULTS, provenance, results_folder, write_result
from train.classifier.data import read_corpus, tokenise
from train.classifier.loop import train
from train.classifier.model import load_model
from train.classifier.recipe import ClassifierRecipe

RECIPE = "train/recipes/emo-pillars-contextless-minilm-goemotions.yaml"
LOOPS = ("ours", "trainer", "trainer-grouped")  # the last groups rows by length as the library does
WARM_UP = 5  # steps of the library's loop before its clock starts; ours measures its steps alone
# Only the steps of the loops are compared: none of our additions that cost or save time is used.
PLAIN = {"ema_decay": None, "fit_head": False, "loss": "bce", "pooling_layer": False}


def measure(turns: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return the medians of each loop's turns, and ours as multiples of the library's."""
    values = {
        f"{loop}_{what}": statistics.median(turn[what] for turn in found)
        for loop, found in turns.items()
        for what in ("samples_per_second", "peak_memory_gib")
    }
    values["ratio"] = values["ours_samples_per_second"] / values["trainer_samples_per_second"]
    values["memory_ratio"] = values["ours_peak_memory_gib"] / values["trainer_peak_memory_gib"]
    values["ratio_to_grouped"] = values["ours_samples_per_second"] / values["trainer-grouped_samples_per_second"]
    return {name.replace("-", "_"): {"value": round(value, 3)} for name, value in values.items()}


def run_turn(loop: str, recipe: ClassifierRecipe, data: str, steps: int) -> dict[str, float]:
    """Train for `steps` steps with one loop; return its speed and the process's peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        if loop == "ours":
            speed = float(train(recipe, data, Path(folder), steps)["samples_per_second"])
        else:
            speed = _run_trainer(recipe, data, folder, steps, "group_by_length" if "grouped" in loop else "random")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux
    return {"samples_per_second": speed, "peak_memory_gib": peak, "threads": torch.get_num_threads()}


def _run_trainer(recipe: ClassifierRecipe, data: str, folder: str, steps: int, sampling: str) -> float:
    tokenizer, model = load_model(recipe)
    rows = [
        {"labels" if name == "targets" else name: value for name, value in row.items()}
        for row in tokenise(read_corpus(recipe, data).rows("train"), tokenizer, recipe)
    ]
    clock: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if state.global_step in (WARM_UP, steps):
                clock.append(time.monotonic())

    settings = TrainingArguments(
        output_dir=folder,
        max_steps=steps,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        optim="adamw_torch_fused",
        train_sampling_strategy=sampling,
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
    """Parse the command line; run the turns, each in its own process, so that its peak memory is that of the loop."""
    parser = argparse.ArgumentParser(
        prog="python -m train.speed", description="Compares our training loop with transformers.Trainer."
    )
    parser.add_argument("--recipe", default=RECIPE, help=f"default: {RECIPE}")
    parser.add_argument("--data", required=True, help="a prepared dataset, folder or Hub id")
    parser.add_argument("--steps", type=int, default=60, help="updates per turn (default: 60)")
    parser.add_argument(
        "--threads", type=int, default=available_cores(), help="threads for both loops; default: all cores"
    )
    parser.add_argument("--rounds", type=int, default=3, help="turns per loop (default: 3)")
    parser.add_argument("--out", type=results_folder, default=RESULTS, help=f"default: {RESULTS}")
    parser.add_argument("--turn", choices=LOOPS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.steps <= WARM_UP:
        raise InputError(
            f"--steps {args.steps}: must be above {WARM_UP}, because the library's loop needs that many steps to "
            "warm up."
        )
    if args.threads < 1 or args.rounds < 1:
        raise InputError(f"--threads {args.threads} --rounds {args.rounds}: both must be 1 or more.")
    recipe = read_recipe(args.recipe, ClassifierRecipe).model_copy(update=PLAIN)
    if args.turn:
        print(json.dumps(run_turn(args.turn, recipe, args.data, args.steps)))
        return
    environment = os.environ | {"OMP_NUM_THREADS": str(args.threads)}
    turns: dict[str, list[dict[str, float]]] = {loop: [] for loop in LOOPS}
    for loop in LOOPS * args.rounds:
        # A process for each turn: peak memory cannot be reset within one.
        command = [sys.executable, "-m", "train.speed", *sys.argv[1:], "--turn", loop]
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, env=environment)
        if done.returncode:
            raise InputError(f"the turn of '{loop}' failed with exit code {done.returncode}; its message is above.")
        turns[loop].append(json.loads(done.stdout.splitlines()[-1]))
        print(f"{loop}: {turns[loop][-1]}", file=sys.stderr)
    content = {
        "name": "trainer-speed",
        "metrics": measure(turns),
        "support": args.steps * recipe.batch_size,
        "steps": args.steps,
        "rounds": args.rounds,
        "threads": int(turns["ours"][0]["threads"]),
        "batch_size": recipe.batch_size,
        "precision": recipe.mixed_precision,
        "seeds": [recipe.seed],
        **provenance(),
    }
    path = write_result(content, args.out, "system", "trainer-speed")
    ratio, memory = (content["metrics"][name]["value"] for name in ("ratio", "memory_ratio"))
    print(f"{path}: {ratio} times transformers.Trainer's samples per second, in {memory} of its memory")


if __name__ == "__main__":
    run_command(main)
