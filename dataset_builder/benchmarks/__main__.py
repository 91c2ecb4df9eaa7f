"""python -m dataset_builder.benchmarks all

Measures the builder and writes eval/results/system/builder-*.json, quality-*.json and builder.md, their tables.
"""

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dataset_builder.benchmarks import faults, full_size, kills
from dataset_builder.files.shards import read_json, write_whole
from dataset_builder.inputs import InputError, run_command
from dataset_builder.provenance import RESULTS, provenance, write_result

ONCE = ("overhead", "prefix")  # measures whose code is gone; their results stay
HEAD = """# The builder, measured

`python -m dataset_builder.benchmarks all`

`builder-overhead` (the builder's calls a second against those of a bare load generator) and `builder-prefix` (questions
asked story by story against shuffled ones, with the demo's teacher) were measured once. Their code is in the commit
that each of them names.
"""


def main() -> None:
    """Parse the command line, measure, write."""
    names = ("full-size", "kills", "faults", "quality")
    parser = argparse.ArgumentParser(prog="python -m dataset_builder.benchmarks", description="Measures the builder.")
    parser.add_argument("which", choices=("all", *names, *ONCE), metavar="|".join(("all", *names)))
    parser.add_argument("--work-dir", type=Path, default=Path("work/benchmarks"))
    parser.add_argument("--stories", type=int, nargs="+", help="sizes for full-size and quality")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--keep", action="store_true", help="for quality: use the corpora that the last run built")
    parser.add_argument("--out", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    args = parser.parse_args()
    if args.which in ONCE:
        result = RESULTS / "system" / f"builder-{args.which}.json"
        raise InputError(f"'{args.which}' was measured once: see {result}; its code is in the commit that it names.")
    if args.keep and args.which != "quality":
        raise InputError(f"--keep: '{args.which}' always starts from nothing; only 'quality' can use the last run.")
    measures: dict[str, Callable[[Path], dict[str, Any]]] = {
        "full-size": lambda folder: full_size.measure_builds(folder, tuple(args.stories or (200, 2000))),
        "kills": lambda folder: kills.measure(folder, args.kills),
        "faults": faults.measure,
        "quality": lambda folder: full_size.measure_checks(folder, tuple(args.stories or (500, 2000))),
    }
    for name in names if args.which == "all" else [args.which]:
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
    """The tables of all results of the builder that are there."""
    lines = [HEAD]
    for path in sorted([*folder.glob("builder-*.json"), *folder.glob("quality-*.json")]):
        found = read_json(path)
        sizes = found.get("sizes", [0])
        heads = [f"{size:,} stories" for size in sizes] if "sizes" in found else ["value"]
        lines += [f"## {found['name']}", "", f"{found['hardware']}; commit `{found['commit'][:12]}`", ""]
        lines += [f"| metric | {' | '.join(heads)} |", "| --- |" + " --- |" * len(heads)]
        for metric, values in full_size.columns(found["metrics"], sizes):
            cells = [f"{value:,.10g}" for value in values] + [""] * (len(heads) - len(values))
            lines.append(f"| {metric} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)
