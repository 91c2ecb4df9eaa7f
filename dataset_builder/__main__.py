"""python -m dataset_builder build --recipe dataset_builder/recipes/demo.yaml --work-dir work/demo"""

import argparse
from pathlib import Path

from dataset_builder.inputs import InputError, read_recipe, run_command
from dataset_builder.provenance import RESULTS, provenance, write_result
from dataset_builder.recipe import BuildRecipe


def main() -> None:
    """Parse the command line and run the command."""
    parser = argparse.ArgumentParser(prog="python -m dataset_builder", description="Builds the corpus.")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="stories in, a published data set out; goes on where it stopped")
    build.add_argument("--recipe", required=True, help="a file of dataset_builder/recipes/")
    build.add_argument("--work-dir", required=True, type=Path, help="where all stages write")
    build.add_argument(
        "--narratives", nargs="+", help="stories instead of the recipe's: .jsonl[.gz] files, Hub data sets, 'tales'"
    )
    build.add_argument("--limit", type=int, help="at most so many stories of each source")
    status = commands.add_parser("status", help="what a work folder holds: rows, rejects, tokens and seconds a stage")
    status.add_argument("--work-dir", required=True, type=Path)
    resolver = commands.add_parser("measure-resolver", help="how well words outside the taxonomy find their class")
    resolver.add_argument("--out", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    args = parser.parse_args()
    {"measure-resolver": _measure_resolver, "build": _build, "status": _status}[args.command](args)


def _status(args: argparse.Namespace) -> None:
    from dataset_builder.build import summary

    print(summary(args.work_dir))


def _build(args: argparse.Namespace) -> None:
    recipe = read_recipe(args.recipe, BuildRecipe)
    places = {"source": tuple(args.narratives), "revision": None} if args.narratives else {}
    if args.limit is not None:
        if args.limit < 1:
            raise InputError(f"--limit {args.limit}: give 1 or more.")
        places["limit"] = args.limit
    recipe = recipe.model_copy(update={"narratives": recipe.narratives.model_copy(update=places)})

    from dataset_builder.build import build, summary  # here, so that a bad recipe fails before heavy imports

    made = build(recipe, args.work_dir)
    print(summary(args.work_dir))
    if not made:
        print(f"{args.work_dir} is complete; nothing was changed.")


def _measure_resolver(args: argparse.Namespace) -> None:
    from dataset_builder.quality.measure_resolve import measure

    content = measure() | provenance()
    print(write_result(content, args.out, "system", "out-of-taxonomy"))
    for name, metric in content["metrics"].items():
        print(f"{name:<36}{metric['value']:g}")


if __name__ == "__main__":
    run_command(main)
