"""Runs the whole project once at a small scale: `make demo`.

Stories -> corpus -> models -> results -> cards -> a Hub on loopback -> loaded back as a user would. Every step is a
separate command; this file runs them in order and prints a summary of what they wrote.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tools.loopback_hub import client_environment, serve
from tools.parallel_commands import Step, watch

NAMESPACE = "tester"
RECIPES = "train/recipes/demo"  # for the few hundred rows of its corpus
MODELS = ("emo-pillars-contextless-minilm", "emo-pillars-contextual-minilm")


def step(title: str, command: str) -> Step:
    """Return a step that runs `python COMMAND`."""
    return Step(title, [sys.executable, *shlex.split(command)])


def option(name: str, value: object) -> str:
    """` --name value` for a command; empty if the value is None."""
    return "" if value is None else f" --{name} {shlex.quote(str(value))}"


def journey(args: argparse.Namespace) -> list[list[Step]]:
    """Return the steps before publishing, in order; the steps of one group run side by side."""
    work = shlex.quote(str(args.work_dir))
    stories = option("recipe", args.recipe) + option("narratives", args.narratives) + option("limit", args.limit)
    tests = {"own": option("data", args.work_dir / "corpus")}
    if args.goemotions:
        tests["goemotions"] = option("data", args.goemotions)
    train = f"-m train.classifier --data {work}/corpus{option('max-steps', args.max_steps)}"
    measure = f"-m eval.run --out {work}/results"
    return [
        [step("build the corpus", f"-m dataset_builder build --work-dir {work}{stories}")],
        [
            step(f"train {name}", f"{train} --recipe {RECIPES}/{name}.yaml --output-dir {work}/models/{name}")
            for name in MODELS
        ],
        [
            *(
                step(f"measure {name} on {test}", f"{measure} --model {work}/models/{name} --benchmark {test}{data}")
                for name in MODELS
                for test, data in tests.items()
            ),
            step("describe the corpus", f"-m eval.corpus --data {work}/corpus --out {work}/results"),
        ],
        [step("render the cards", f"-m eval.cards --results {work}/results --out {work}/model_cards")],
    ]


def publishing(work_dir: Path) -> list[list[Step]]:
    """Return the steps with a Hub: publish everything, then load it back."""
    work = shlex.quote(str(work_dir))
    folders = f"--corpus {work}/corpus --models {work}/models --cards {work}/model_cards --results {work}/results"
    folders += f" --recipes {RECIPES}"
    return [
        [step("publish to the Hub on loopback", f"push.py --namespace {NAMESPACE} --execute {folders}")],
        [step("load everything back", f"demo.py --load-back {NAMESPACE}")],
    ]


def run(groups: list[list[Step]], environment: Mapping[str, str], seconds: dict[str, float]) -> None:
    """Run each group of steps side by side on an equal share of the cores; stop at the first failure."""
    for steps in groups:
        for one in steps:
            print(f"\n=== {one.title}\n    {' '.join(one.command).replace(sys.executable, 'python')}", flush=True)
        threads = max(1, (os.cpu_count() or 1) // len(steps))
        shared = {"OMP_NUM_THREADS": str(threads)} if len(steps) > 1 else {}
        if failed := watch(steps, {"PYTHONUNBUFFERED": "1", **shared, **environment}, seconds):
            sys.exit(f"error: the step '{failed.title}' failed (exit code {failed.code}); its message is above.")


def load_back(namespace: str) -> None:
    """Load the published repositories with stock libraries, as a user does, in a process with an empty cache."""
    from datasets import load_dataset
    from transformers import pipeline

    for config in ("descriptors", "contextless", "contextual"):
        corpus = load_dataset(f"{namespace}/emo-pillars", config)
        sizes = {name: len(split) for name, split in corpus.items()}
        print(f"load_dataset('{namespace}/emo-pillars', '{config}'):", sizes)
    row = corpus["train"][0]
    for model, asked in zip(MODELS, (row["text"], {"text": row["text"], "text_pair": row["context"]}), strict=True):
        classify = pipeline("text-classification", model=f"{namespace}/{model}", top_k=None, truncation=True)
        scores = classify(asked)
        scores = scores if isinstance(scores[0], dict) else scores[0]
        assert len(scores) == 28, "one score per label"
        assert all(0 <= score["score"] <= 1 for score in scores), "sigmoid scores"
        best = ", ".join(f"{score['label']} {score['score']:.2f}" for score in scores[:3])
        print(f"pipeline('{namespace}/{model}')({asked!r}): {best}, … ({len(scores)} scores)")


def summarise(work: Path, seconds: dict[str, float], total: float) -> None:
    """Print the counts of the corpus, the macro-F1 of each model, and the time of each step."""
    print("\n=== summary")
    subprocess.run([sys.executable, "-m", "dataset_builder", "status", "--work-dir", str(work)], check=True)
    for path in sorted((work / "results").glob("*/*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        if score := result["metrics"].get("macro_f1"):
            interval = f" [{score['low']:.3f}, {score['high']:.3f}]" if "low" in score else ""
            print(f"{result['name']}, {result['benchmark']}: macro-F1 {score['value']:.3f}{interval}")
    print(", ".join(f"{title} {spent:.0f} s" for title, spent in seconds.items()))
    print(f"in all {total:.0f} s. Corpus, models, results and cards are in {work}.")


def main() -> None:
    """Run all steps, or load the repositories back."""
    parser = argparse.ArgumentParser(prog="python demo.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", default="dataset_builder/recipes/demo.yaml", help="recipe of the corpus")
    parser.add_argument("--work-dir", type=Path, default=Path("work/demo"))
    parser.add_argument("--narratives", help="stories instead of the recipe's")
    parser.add_argument("--limit", type=int, help="number of stories at most")
    parser.add_argument("--goemotions", help="folder of GoEmotions' official TSV files, for another test")
    parser.add_argument("--max-steps", type=int, help="training steps of each model")
    parser.add_argument("--load-back", metavar="NAMESPACE", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.load_back:
        load_back(args.load_back)
        return
    started, seconds = time.monotonic(), dict[str, float]()
    shutil.rmtree(args.work_dir / "results", ignore_errors=True)  # results of an earlier run's models
    run(journey(args), os.environ, seconds)
    client_home = args.work_dir / "hub-client"
    shutil.rmtree(client_home, ignore_errors=True)
    with serve() as (_, url):
        run(publishing(args.work_dir), client_environment(url, client_home), seconds)
    summarise(args.work_dir, seconds, time.monotonic() - started)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted; finished steps are kept. Run the same command again to resume")
