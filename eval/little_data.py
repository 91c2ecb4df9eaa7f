"""python -m eval.little_data --benchmark NAME --data PLACE --recipe RECIPE [--start NAME=MODEL …] [--shares 1 5 20 100]

Shows how much data a new set needs: trains students on shares of its train rows, from different starts, and measures
each on its test split. Thresholds and the best epoch come from the same share of its validation rows, but from at least
100. The recipe's own base model is the start `base`; the others are classifiers of ours, which keep their pooling layer
and head.
"""

import argparse
from collections.abc import Mapping, Sequence
from itertools import cycle, product
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.files.data_sets import DataSet, read_data_set
from dataset_builder.files.shards import Journal, clear
from dataset_builder.hashing import fingerprint
from dataset_builder.inputs import InputError, run_command
from dataset_builder.parquet import whole_folder
from dataset_builder.plot_style import COLOURS, hide_frame, new_figure, png
from dataset_builder.provenance import RESULTS, provenance, results_folder, shareable, weights_digest, write_result
from eval.benchmarks import TEST_SETS, Benchmark
from eval.curves.students import POINTS, load_student, pairs, read_base_recipe, train_student
from eval.run import classifier_result

SHARES = (1.0, 5.0, 20.0, 100.0)  # percent of the train rows
SEEDS = (13, 14, 15)
BASE = "base"
LEAST_VALIDATION = 100  # rows: with fewer, most of the 28 labels would have no positive row
# A start that is one of our classifiers has these already; a fitted head would replace what it has learned.
OF_OUR_CLASSIFIERS = {"base_model_wheel": None, "pooling_layer": False, "fit_head": False}


def write_share(data: DataSet, config: str, percent: float, seed: int, folder: Path) -> int:
    """Write a share of the train and validation rows, drawn by a seed; return the number of train rows."""
    front = [f"configs:\n- config_name: {config}\n  data_files:"]
    sizes = {}
    with whole_folder(folder) as building:
        for split, least in (("train", 1), ("validation", LEAST_VALIDATION)):
            rows = data.rows(split)
            sizes[split] = min(len(rows), max(least, round(len(rows) * percent / 100)))
            drawn = np.sort(np.random.default_rng(seed).choice(len(rows), sizes[split], replace=False))
            rows.select(drawn).to_parquet(building / f"{split}.parquet")
            front.append(f"  - split: {split}\n    path: {split}.parquet")
        (building / "README.md").write_text("\n".join(["---", *front, "---", ""]), encoding="utf-8")
    return sizes["train"]


def measure(
    benchmark: Benchmark,
    data: str,
    recipe: Mapping[str, Any],
    starts: Mapping[str, str | None],
    shares: Sequence[float],
    seeds: Sequence[int],
    work_dir: Path,
) -> list[dict[str, Any]]:
    """Return a point for each start, share and seed: its train rows and the headline metric on the test split.

    Args:
        data: the folder that `dataset_builder domain` wrote.
        starts: a model by the start's name; None is the recipe's own base model.

    Points that `work_dir` has already are not measured again, so a killed run can be continued.
    """
    config = recipe["config"]
    found, rows = read_data_set(data, config), benchmark.load(data, config)
    weights = {
        name: weights_digest(Path(model)) if model and Path(model).is_dir() else "" for name, model in starts.items()
    }
    journal, points = Journal(work_dir / POINTS), []
    for percent, (start, model), seed in product(shares, starts.items(), seeds):
        values = {**recipe, "seed": seed} | ({"base_model": model, **OF_OUR_CLASSIFIERS} if model else {})
        settings = {key: value for key, value in values.items() if key not in ("name", "dataset")}
        key = fingerprint([benchmark.name, found.revision, percent, settings, weights[start]])
        point = journal.get(key)
        if point is None:
            size = write_share(found, config, percent, seed, work_dir / "part")
            print(f"{start}, {percent:g} %, seed {seed}: {size:,} rows", flush=True)
            train_student(values, size, work_dir)
            student = load_student(work_dir)
            scores = student.predict(rows.texts, rows.contexts, rows.characters)
            value = classifier_result(benchmark, rows, [student], [scores])["metrics"][benchmark.headline]["value"]
            point = {"unit": key, "start": start, "percent": percent, "seed": seed, "rows": size, "value": value}
            journal.append(key, point)
        points.append(point)
    for name in ("part", "student"):
        clear(work_dir / name)
    return points


def plot(points: Sequence[dict[str, Any]], title: str, metric: str) -> bytes:
    """Return a PNG: the mean of each start by the number of train rows (log scale), and a dot for each seed."""
    figure = new_figure(6.4, 4.0)
    axes = figure.subplots()
    starts = list(dict.fromkeys(point["start"] for point in points))
    rows = sorted({point["rows"] for point in points})
    for start, colour in zip(starts, cycle(COLOURS.values()), strict=False):
        of_start = [point for point in points if point["start"] == start]
        axes.scatter([p["rows"] for p in of_start], [p["value"] for p in of_start], s=14, color=colour, alpha=0.5)
        means = [np.mean([p["value"] for p in of_start if p["rows"] == size]) for size in rows]
        axes.plot(rows, means, marker="o", color=colour, label=start)
    axes.set_xscale("log")
    axes.set_xticks(rows, [f"{size:,}" for size in rows])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("train rows")
    axes.set_ylabel(metric)
    axes.set_title(title, fontsize=11)
    axes.legend(frameon=False, title="trained from")
    hide_frame(axes)
    return png(figure)


def main() -> None:
    """Parse the command line, train and measure, write the result and the picture."""
    parser = argparse.ArgumentParser(prog="python -m eval.little_data", description="Shows how much data a set needs.")
    parser.add_argument("--benchmark", required=True, choices=sorted(TEST_SETS))
    parser.add_argument("--data", required=True, help="the folder that `dataset_builder domain` wrote")
    parser.add_argument("--recipe", type=Path, required=True, help="the students' recipe, such as train/recipes/X.yaml")
    parser.add_argument("--start", nargs="+", default=[], metavar="NAME=MODEL", help="classifiers to start from")
    parser.add_argument(
        "--shares", nargs="+", type=float, default=SHARES, metavar="PERCENT", help="default: 1 5 20 100"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS, metavar="SEED", help="default: 13 14 15")
    parser.add_argument("--work-dir", type=Path, default=Path("work/little-data"), help="default: work/little-data")
    parser.add_argument("--out", type=results_folder, default=RESULTS, help=f"default: {RESULTS}")
    args = parser.parse_args()
    if wrong := [share for share in args.shares if not 0 < share <= 100]:
        raise InputError(f"--shares {wrong[0]:g}: is not a percentage above 0 and up to 100.")
    benchmark, recipe = TEST_SETS[args.benchmark], read_base_recipe(args.recipe)
    starts = {BASE: None, **pairs(args.start, "--start")}
    args.work_dir.mkdir(parents=True, exist_ok=True)
    points = measure(benchmark, args.data, recipe, starts, sorted(args.shares), args.seeds, args.work_dir)
    metrics: dict[str, dict[str, Any]] = {}
    for start in starts:
        for percent in sorted(args.shares):
            values = [p["value"] for p in points if (p["start"], p["percent"]) == (start, percent)]
            metrics[f"{start}: {percent:g}%"] = {"value": round(float(np.mean(values)), 4), "seeds": values}
            print(f"{start:<20}{percent:>6g} %  {benchmark.headline} {np.mean(values):.3f}")
    name = f"little-data-{benchmark.name}"
    content = {
        "name": name,
        "benchmark": benchmark.title,
        "headline": benchmark.headline,
        "metrics": metrics,
        "points": [{key: value for key, value in point.items() if key != "unit"} for point in points],
        "threshold_source": f"the same share of the validation rows, but at least {LEAST_VALIDATION}",
        "starts": {start: shareable(model or recipe["base_model"]) for start, model in starts.items()},
        "recipe": recipe | {"dataset": shareable(args.data)},
    }
    path = write_result(content | provenance(), args.out, "system", name)
    path.with_suffix(".png").write_bytes(plot(points, benchmark.title, benchmark.headline.replace("_", " ")))
    print(path)


if __name__ == "__main__":
    run_command(main)
