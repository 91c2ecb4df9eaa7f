"""python -m dataset_builder build --recipe dataset_builder/recipes/demo.yaml --work-dir work/demo"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dataset_builder.inputs import InputError, read_recipe, run_command
from dataset_builder.provenance import RESULTS, provenance, write_result
from dataset_builder.recipe import BuildRecipe, Gates


def main() -> int | None:
    """Parse the command line and run the command."""
    parser = argparse.ArgumentParser(prog="python -m dataset_builder", description="Builds the corpus.")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="stories in, a published data set out; goes on where it stopped")
    build.add_argument("--recipe", required=True, help="a file of dataset_builder/recipes/")
    build.add_argument("--work-dir", required=True, type=Path, help="where all stages write")
    _add_narratives(build)
    build.add_argument(
        "--restart-from", metavar="STAGE", help="make the rows of this stage and of those after it again"
    )
    status = commands.add_parser("status", help="what a work folder holds, of a finished, running or dead build")
    status.add_argument("--work-dir", required=True, type=Path)
    adopt = commands.add_parser("adopt", help="the released Emo Pillars JSONL files as a typed corpus")
    adopt.add_argument("files", nargs="+", type=Path, help="train.jsonl, dev.jsonl, test.jsonl of the released corpus")
    adopt.add_argument("--work-dir", required=True, type=Path)
    adopt.add_argument("--context-field", help="the field that holds the situation, in the context-aware files")
    adopt.add_argument("--character-field", help="the field that holds the character")
    check = commands.add_parser("check-teacher", help="is a teacher good enough? pass rates a stage, and a verdict")
    check.add_argument("--recipe", required=True, help="the recipe whose teacher, labeler and decoding to check")
    check.add_argument("--stories", type=int, default=3, help="so many of the built-in tales (default: 3)")
    check.add_argument("--work-dir", type=Path, help="keep what it wrote there (default: nowhere)")
    plan = commands.add_parser("plan", help="calls, tokens, storage and hours of a recipe, before it is built")
    plan.add_argument("--recipe", required=True)
    plan.add_argument("--pilot", type=Path, help="the work folder of a finished build of it on a few stories")
    _add_narratives(plan)
    report = commands.add_parser("report", help="a corpus measured and judged: result file, page, plots")
    report.add_argument("place", help="a work folder, a corpus (configs of Parquet files), or a data set of the Hub")
    report.add_argument("--name", help="what the files are called (default: as the place)")
    report.add_argument(
        "--recipe", help="the recipe whose gates judge (default: the gates of dataset_builder/recipe.py)"
    )
    report.add_argument("--data", type=Path, help="a folder with goemotions/train.tsv, to show lengths beside")
    report.add_argument("--out", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    corpora = commands.add_parser("measure-corpora", help="the report's measures on human text and on corpora")
    corpora.add_argument("--data", type=Path, help="a folder with goemotions/, emobank/, isear/, or some of them")
    corpora.add_argument("--corpus", nargs="+", default=[], metavar="NAME=PLACE", help="corpora to measure beside")
    corpora.add_argument("--out", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    neutrals = commands.add_parser("measure-neutrals", help="whether speech acts keep neutral utterances apart")
    neutrals.add_argument("--recipe", required=True)
    neutrals.add_argument("--work-dir", required=True, type=Path)
    _add_narratives(neutrals)
    neutrals.add_argument("--out", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    resolver = commands.add_parser("measure-resolver", help="how well words outside the taxonomy find their class")
    resolver.add_argument("--out", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    labelers = commands.add_parser("measure-labelers", help="both labelers of teachers against GoEmotions' dev split")
    labelers.add_argument(
        "--recipe", required=True, nargs="+", help="recipes whose teachers and label rules to measure"
    )
    labelers.add_argument("--data", required=True, type=Path, help="GoEmotions' official dev.tsv")
    labelers.add_argument(
        "--rows", type=int, nargs="+", default=[1000], help="how many rows of it, for each recipe or for all (1000)"
    )
    labelers.add_argument("--out", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    args = parser.parse_args()
    run: dict[str, Callable[[argparse.Namespace], int | None]] = {
        "build": _build,
        "status": _status,
        "adopt": _adopt,
        "check-teacher": _check_teacher,
        "plan": _plan,
        "report": _report,
        "measure-corpora": _measure_corpora,
        "measure-neutrals": _measure_neutrals,
        "measure-resolver": _measure_resolver,
        "measure-labelers": _measure_labelers,
    }
    return run[args.command](args)


def _add_narratives(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--narratives", nargs="+", help="stories instead of the recipe's: .jsonl[.gz] files, Hub data sets, 'tales'"
    )
    command.add_argument("--limit", type=int, help="at most so many stories of each source")


def _status(args: argparse.Namespace) -> None:
    from dataset_builder.status import status

    print(status(args.work_dir))


def _recipe(args: argparse.Namespace) -> BuildRecipe:
    """The recipe with the narratives of the command line."""
    recipe = read_recipe(args.recipe, BuildRecipe)
    places = {"source": tuple(args.narratives), "revision": None} if args.narratives else {}
    if args.limit is not None:
        if args.limit < 1:
            raise InputError(f"--limit {args.limit}: give 1 or more.")
        places["limit"] = args.limit
    return recipe.model_copy(update={"narratives": recipe.narratives.model_copy(update=places)})


def _build(args: argparse.Namespace) -> None:
    recipe = _recipe(args)

    from dataset_builder.build import build  # here, so that a bad recipe fails before heavy imports
    from dataset_builder.status import status

    made = build(recipe, args.work_dir, args.restart_from)
    print(status(args.work_dir))
    if not made:
        print(f"{args.work_dir} is complete; nothing was changed.")


def _adopt(args: argparse.Namespace) -> None:
    from dataset_builder.adopt import Fields, adopt
    from dataset_builder.publish import CORPUS

    manifest = adopt(args.files, args.work_dir, Fields(args.context_field, args.character_field))
    for config, splits in manifest["rows"].items():
        counts = ", ".join(f"{count} {split}" for split, count in splits.items())
        print(f"{args.work_dir / CORPUS} {config}: {counts}")
    print(f"rejected: {manifest['rejected']}; labels that no class takes: {manifest['unresolved_labels']}")


def _check_teacher(args: argparse.Namespace) -> int:
    recipe = read_recipe(args.recipe, BuildRecipe)
    if args.stories < 1:
        raise InputError(f"--stories {args.stories}: give 1 or more.")

    from dataset_builder.check_teacher import check_teacher, page

    with tempfile.TemporaryDirectory() as nowhere:
        verdict, checks = check_teacher(recipe, args.stories, args.work_dir or Path(nowhere))
    print(page(recipe, verdict, checks))
    return int(verdict == "unfit")


def _plan(args: argparse.Namespace) -> None:
    recipe = _recipe(args)

    from dataset_builder.plan import plan

    print(plan(recipe, args.pilot))


def _report(args: argparse.Namespace) -> int:
    gates = read_recipe(args.recipe, BuildRecipe).gates if args.recipe else Gates()

    from dataset_builder.quality.encoder import default_encoder
    from dataset_builder.quality.report import name_of, report

    found = report(args.place, args.name or name_of(args.place), gates, default_encoder(), args.data)
    written = found.write(args.out, provenance())
    print(found.page)
    for verdict in found.verdicts:
        print(f"{verdict.config} {verdict.measure} {verdict.value:.4g} ({verdict.limits()}): {verdict.state}")
    print(f"{written}, {written.with_suffix('.md')}, {written.with_suffix('')}/")
    return int(found.failed)


def _measure_corpora(args: argparse.Namespace) -> None:
    corpora = dict(given.partition("=")[::2] for given in args.corpus)
    if not all(corpora.values()) or not (corpora or args.data):
        raise InputError("give --data FOLDER, --corpus NAME=PLACE, or both.")

    from dataset_builder.quality.encoder import default_encoder
    from dataset_builder.quality.measure_corpora import measure
    from dataset_builder.shards import write_whole

    content, page = measure(args.data, corpora, default_encoder())
    written = write_result(content | provenance(), args.out, "system", content["name"])
    write_whole(written.with_suffix(".md"), page.encode())
    print(f"{page}\n{written}")


def _measure_neutrals(args: argparse.Namespace) -> None:
    recipe = _recipe(args)

    from dataset_builder.quality.diversity import measure

    _write_measured(measure(recipe, args.work_dir), args.out, "neutrals")


def _measure_resolver(args: argparse.Namespace) -> None:
    from dataset_builder.quality.measure_resolve import measure

    _write_measured(measure(), args.out, "out-of-taxonomy")


def _measure_labelers(args: argparse.Namespace) -> None:
    from dataset_builder.quality.measure_labelers import measure

    recipes = [read_recipe(path, BuildRecipe) for path in args.recipe]
    if len(args.rows) not in (1, len(recipes)):
        raise InputError(f"--rows: {len(args.rows)} numbers for {len(recipes)} recipes. Give one, or one for each.")
    _write_measured(measure(recipes, args.data, args.rows), args.out, "labelers")


def _write_measured(content: dict[str, Any], out: Path, name: str) -> None:
    """Write a result file of the system and print its metrics."""
    content |= provenance()
    print(write_result(content, out, "system", name))
    for metric, found in content["metrics"].items():
        print(f"{metric:<48}{found['value']:g}")


if __name__ == "__main__":
    run_command(main)
