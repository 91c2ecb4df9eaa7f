"""python -m dataset_builder.benchmarks all

Measures the builder and writes eval/results/system/builder-*.json and builder.md, the table of them all.
"""

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dataset_builder.benchmarks import faults, full_size, kills, overhead, prefix, quality
from dataset_builder.benchmarks.sizes import columns
from dataset_builder.files.shards import read_json, write_whole
from dataset_builder.inputs import InputError, read_recipe, run_command
from dataset_builder.provenance import RESULTS, provenance, write_result
from dataset_builder.recipe import BuildRecipe

TEACHER = "dataset_builder/recipes/demo.yaml"  # whose teacher reads stories in the prefix measure


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m dataset_builder.benchmarks", description="Measures the builder.")
    parser.add_argument("which", choices=("all", "full-size", "overhead", "prefix", "kills", "faults", "quality"))
    parser.add_argument("--work-dir", type=Path, default=Path("work/benchmarks"))
    parser.add_argument("--stories", type=int, nargs="+", help="sizes of full-size and quality")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--keep", action="store_true", help="for quality: take the corpora that a former run built")
    parser.add_argument("--out", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    args = parser.parse_args()
    if args.keep and args.which != "quality":
        raise InputError(f"--keep: '{args.which}' measures from the beginning on; only 'quality' takes what is there.")
    measures: dict[str, Callable[[Path], dict[str, Any]]] = {
        "full-size": lambda folder: full_size.measure(folder, tuple(args.stories or (200, 2000))),
        "overhead": overhead.measure,
        "prefix": lambda folder: prefix.measure(read_recipe(TEACHER, BuildRecipe)),
        "kills": lambda folder: kills.measure(folder, args.kills),
        "faults": faults.measure,
        "quality": lambda folder: quality.measure(folder, tuple(args.stories or (500, 2000))),
    }
    for name in measures if args.which == "all" else [args.which]:
        folder = args.work_dir / name
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)
        content = measures[name](folder) | provenance()
        print(write_result(content, args.out, "system", content["name"]))
        for metric, found in content["metrics"].items():
            print(f"{metric:<40}{found['value']:g}")
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)
    write_whole(args.out / "system" / "builder.md", page(args.out / "system").encode())


def page(folder: Path) -> str:
    """All measures of the builder that are there, as one page."""
    lines = ["# The builder, measured", "", "`python -m dataset_builder.benchmarks all`", ""]
    for path in sorted([*folder.glob("builder-*.json"), *folder.glob("quality-*.json")]):
        found = read_json(path)
        sizes = found.get("sizes", [0])
        heads = [f"{size:,} stories" for size in sizes] if "sizes" in found else ["value"]
        lines += [f"## {found['name']}", "", f"{found['hardware']}; commit `{found['commit'][:12]}`", ""]
        lines += [f"| metric | {' | '.join(heads)} |", "| --- |" + " --- |" * len(heads)]
        for metric, values in columns(found["metrics"], sizes):
            cells = [f"{value:,.10g}" for value in values] + [""] * (len(heads) - len(values))
            lines.append(f"| {metric} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)
