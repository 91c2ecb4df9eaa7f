"""python -m dataset_builder.stress_tests all

Measures the builder and writes eval/results/system/builder-*.json and quality-*.json.
"""

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dataset_builder.inputs import InputError, run_command
from dataset_builder.provenance import RESULTS, write_measurement
from dataset_builder.stress_tests import faults, full_size, kills

ONCE = ("overhead", "prefix")  # measurements whose code was removed; their results remain


def main() -> None:
    """Parse the command line, measure, write."""
    names = ("full-size", "kills", "faults", "quality")
    parser = argparse.ArgumentParser(prog="python -m dataset_builder.stress_tests", description="Measures the builder.")
    parser.add_argument("which", choices=("all", *names, *ONCE), metavar="|".join(("all", *names)))
    parser.add_argument("--work-dir", type=Path, default=Path("work/stress_tests"))
    parser.add_argument("--stories", type=int, nargs="+", help="sizes for full-size and quality")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--keep", action="store_true", help="for quality: use the corpora that the last run built")
    parser.add_argument("--out", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    args = parser.parse_args()
    if args.which in ONCE:
        result = RESULTS / "system" / f"builder-{args.which}.json"
        raise InputError(
            f"'{args.which}' can no longer be measured: see {result}; the code is in the commit named there."
        )
    if args.keep and args.which != "quality":
        raise InputError(f"--keep: '{args.which}' always starts from scratch; only 'quality' can use the last run.")
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
        content = measures[name](folder)
        write_measurement(content, args.out, content["name"])
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    run_command(main)
