"""The whole journey in one command, small but real: `make demo`.

Stories -> corpus -> models -> numbers -> cards -> a Hub on loopback -> loaded back as a user would. Each step is a
command that can be run by itself; this file only runs them in order, times them, and sums up what they wrote.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.loopback_hub.hub import client_environment, serve
from tools.side_by_side import Step, watch

NAMESPACE = "tester"
MODELS = ("emo-pillars-contextless-minilm", "emo-pillars-contextual-minilm")
PYTHON = sys.executable


def journey(args: argparse.Namespace) -> list[list[Step]]:
    """The steps up to publishing, in order; those of one group need nothing of each other and run side by side."""
    work = args.work_dir
    build = [PYTHON, "-m", "dataset_builder", "build", "--recipe", args.recipe, "--work-dir", str(work)]
    build += ["--narratives", args.narratives] if args.narratives else []
    build += ["--limit", str(args.limit)] if args.limit else []
    trained, measured = [], []
    results = str(work / "results")
    for model in MODELS:
        place = str(work / "models" / model)
        train = [PYTHON, "-m", "train.classifier", "--recipe", f"train/recipes/{model}.yaml"]
        train += ["--data", str(work / "corpus"), "--output-dir", place]
        train += ["--max-steps", str(args.max_steps)] if args.max_steps else []
        trained.append(Step(f"train {model}", train))
        measure = [PYTHON, "-m", "eval.run", "--model", place, "--out", results]
        own = [*measure, "--benchmark", "own", "--data", str(work / "corpus")]
        measured.append(Step(f"measure {model} on its own test", own))
        if args.goemotions:
            goemotions = [*measure, "--benchmark", "goemotions", "--data", args.goemotions]
            measured.append(Step(f"measure {model} on GoEmotions", goemotions))
    describe = [PYTHON, "-m", "eval.corpus", "--data", str(work / "corpus"), "--out", results]
    cards = [PYTHON, "-m", "eval.cards", "--results", results, "--out", str(work / "model_cards")]
    return [
        [Step("build the corpus", build)],
        trained,
        [*measured, Step("describe the corpus", describe)],
        [Step("render the cards", cards)],
    ]


def run(steps: Sequence[Step], environment: Mapping[str, str], seconds: dict[str, float]) -> None:
    """Run steps side by side, the cores shared between them; time them, and stop the journey if one fails."""
    environment = {"PYTHONUNBUFFERED": "1", **environment}
    if len(steps) > 1:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // len(steps))))
    for step in steps:
        print(f"\n=== {step.title}\n    {' '.join(step.command).replace(PYTHON, 'python')}", flush=True)
    failed = watch(steps, environment, seconds)
    if failed:
        sys.exit(f"error: the step '{failed.title}' failed (exit code {failed.code}); its message is above.")


def publish_and_load(work: Path, seconds: dict[str, float]) -> None:
    """Publish to a Hub on loopback, then load everything back in a fresh process with an empty cache."""
    home = work / "hub-client"
    shutil.rmtree(home, ignore_errors=True)
    with serve() as (_, url):
        environment = client_environment(url, home)
        push = [PYTHON, "push.py", "--namespace", NAMESPACE, "--execute", "--corpus", str(work / "corpus")]
        push += ["--models", str(work / "models"), "--cards", str(work / "model_cards")]
        push += ["--results", str(work / "results")]
        run([Step("publish to the Hub on loopback", push)], environment, seconds)
        load = [PYTHON, "demo.py", "--load-back", NAMESPACE]
        run([Step("load everything back", load)], environment, seconds)


def load_back(namespace: str) -> None:
    """What a user does with the published repositories; stock libraries only."""
    from datasets import load_dataset
    from transformers import pipeline

    for config in ("descriptors", "contextless", "contextual"):
        corpus = load_dataset(f"{namespace}/emo-pillars", config)
        print(
            f"load_dataset('{namespace}/emo-pillars', '{config}'):",
            {name: len(split) for name, split in corpus.items()},
        )
    row = corpus["train"][0]
    for model, asked in zip(MODELS, (row["text"], {"text": row["text"], "text_pair": row["context"]}), strict=True):
        classify = pipeline("text-classification", model=f"{namespace}/{model}", top_k=None, truncation=True)
        scores = classify(asked)
        scores = scores if isinstance(scores[0], dict) else scores[0]
        assert len(scores) == 28, "28 scores, one a label"
        assert all(0 <= score["score"] <= 1 for score in scores), "sigmoid scores"
        best = ", ".join(f"{score['label']} {score['score']:.2f}" for score in scores[:3])
        print(f"pipeline('{namespace}/{model}')({asked!r}): {best}, … ({len(scores)} scores)")


def sum_up(work: Path, seconds: dict[str, float], in_all: float) -> None:
    """One summary of the journey, from the files it wrote."""
    print("\n=== summary")
    subprocess.run([PYTHON, "-m", "dataset_builder", "status", "--work-dir", str(work)], check=True)
    for path in sorted((work / "results").glob("*/*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        if "macro_f1" in result["metrics"]:
            found = result["metrics"]["macro_f1"]
            interval = f" [{found['low']:.3f}, {found['high']:.3f}]" if "low" in found else ""
            score = f"macro-F1 {found['value']:.3f}{interval}"
            print(f"{result['name']}, {result['benchmark']}: {score} on {result['support']} rows")
    print(", ".join(f"{title} {spent:.0f} s" for title, spent in seconds.items()))
    print(f"in all {in_all:.0f} s. Corpus, models, results and cards are in {work}.")


def main() -> None:
    """Parse the command line and go."""
    parser = argparse.ArgumentParser(prog="python demo.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", default="dataset_builder/recipes/demo.yaml", help="the corpus's recipe")
    parser.add_argument("--work-dir", type=Path, default=Path("work/demo"))
    parser.add_argument("--narratives", help="stories instead of the recipe's")
    parser.add_argument("--limit", type=int, help="at most so many stories")
    parser.add_argument("--goemotions", help="a folder of GoEmotions' official TSV files, to measure on them too")
    parser.add_argument("--max-steps", type=int, help="training steps of each model")
    parser.add_argument("--load-back", metavar="NAMESPACE", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.load_back:
        load_back(args.load_back)
        return
    started, seconds = time.monotonic(), dict[str, float]()
    shutil.rmtree(args.work_dir / "results", ignore_errors=True)  # of an earlier journey's models
    for steps in journey(args):
        run(steps, os.environ, seconds)
    publish_and_load(args.work_dir, seconds)
    sum_up(args.work_dir, seconds, time.monotonic() - started)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted; what was built is kept, the same command goes on from there")
