"""python -m eval.curves CORPUS --recipe RECIPE [--only KIND …] [--data NAME=PLACE …] [--labels NAME=CORPUS …]

Shows what a corpus teaches: trains students on parts of it and measures each on development rows.

- sizes: 1,000, 3,000, 10,000, 30,000 and all rows, each a part of the next;
- sources and files: each source alone and all together; each file of written rows alone and all together;
- labels: the same texts with the labels of several judges; --labels names corpora that `assemble` made with them.

The recipe is one of train/recipes/, whose config is the one that is measured. All students have the validation rows of
the whole corpus, on which thresholds and the best epoch are chosen, so that only their train rows differ.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

from dataset_builder.inputs import run_command
from dataset_builder.parquet import MANIFEST, read_manifest
from dataset_builder.provenance import RESULTS, provenance, results_folder, shareable, write_result
from eval.curves.parts import Part, Splits, files, other_labels, read_splits, sizes, sources
from eval.curves.plots import plot_bars, plot_sizes
from eval.curves.students import measure_parts, pairs, read_base_recipe

KINDS = ("sizes", "sources", "files", "labels")


def parts_of(kind: str, splits: Splits, labelled: dict[str, str], config: str) -> Iterable[Part]:
    """Return the parts of one kind."""
    if kind == "labels":
        return other_labels(splits.train, labelled, config)
    return {"sizes": sizes, "sources": sources, "files": files}[kind](splits.train)


def main() -> None:
    """Parse the command line, train and measure, write results and pictures."""
    parser = argparse.ArgumentParser(prog="python -m eval.curves", description="Shows what parts of a corpus teach.")
    parser.add_argument("corpus", help="a corpus: a folder or Hub id")
    parser.add_argument("--recipe", type=Path, required=True, help="the students' recipe, such as train/recipes/X.yaml")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, help="default: all kinds")
    parser.add_argument("--data", nargs="+", default=[], metavar="NAME=PLACE", help="the files of benchmarks")
    parser.add_argument("--labels", nargs="+", default=[], metavar="NAME=CORPUS", help="the same texts, labelled again")
    parser.add_argument("--work-dir", type=Path, default=Path("work/curves"), help="default: work/curves")
    parser.add_argument("--out", type=results_folder, default=RESULTS, help=f"default: {RESULTS}")
    args = parser.parse_args()
    recipe, places, labelled = read_base_recipe(args.recipe), pairs(args.data, "--data"), pairs(args.labels, "--labels")
    config = recipe["config"]
    splits = read_splits(args.corpus, config)
    name = Path(args.corpus).name
    args.work_dir.mkdir(parents=True, exist_ok=True)
    for kind in args.only:
        points = measure_parts(
            parts_of(kind, splits, labelled, config), splits.validation, recipe, places, args.work_dir
        )
        if not points:
            continue
        metrics = {
            f"{point['name']}: {measure}": {"value": value}
            for point in points
            for measure, value in point["metrics"].items()
        }
        content = {
            "name": name,
            "benchmark": "curves",
            "metrics": metrics,
            "points": [{key: value for key, value in point.items() if key != "unit"} for point in points],
            "support": sum(point["rows"] for point in points),
            "threshold_source": "validation rows of the whole corpus",
            "recipe": recipe | {"dataset": shareable(args.corpus)},
            "data_revision": _revision(args.corpus),
        }
        path = write_result(content | provenance(), args.out, name, f"curves-{config}-{kind}")
        picture = plot_sizes if kind == "sizes" else plot_bars
        path.with_suffix(".png").write_bytes(picture(points, f"{name}, {config}: {kind}"))
        print(path)
        for point in points:
            print(f"  {point['name']:<28}{point['rows']:>8,}  " + "  ".join(_shown(point["metrics"])))


def _revision(corpus: str) -> str:
    folder = Path(corpus)
    return str(read_manifest(folder)["revision"]) if (folder / MANIFEST).exists() else corpus


def _shown(metrics: dict[str, float]) -> list[str]:
    return [f"{measure} {value:.3f}" for measure, value in metrics.items()]


if __name__ == "__main__":
    run_command(main)
