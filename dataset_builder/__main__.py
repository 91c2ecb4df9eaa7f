"""python -m dataset_builder build --recipe dataset_builder/recipes/demo.yaml --work-dir work/demo"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dataset_builder.inputs import InputError, read_recipe, run_command
from dataset_builder.provenance import RESULTS, provenance, write_result
from dataset_builder.recipe import BuildRecipe


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
    _add_checks(commands)
    report = commands.add_parser("report", help="a finished build as a page and a result file: rows, rejects, labels")
    report.add_argument("--work-dir", required=True, type=Path)
    report.add_argument("--name", required=True, help="what the two files are called")
    report.add_argument("--out", type=Path, default=RESULTS, help=f"default: {RESULTS}")
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
    _add_people(commands)
    args = parser.parse_args()
    run: dict[str, Callable[[argparse.Namespace], int | None]] = {
        "build": _build,
        "status": _status,
        "adopt": _adopt,
        "check-teacher": _check_teacher,
        "plan": _plan,
        "validate": _validate,
        "deduplicate": _deduplicate,
        "context-test": _context_test,
        "report": _report,
        "measure-neutrals": _measure_neutrals,
        "measure-resolver": _measure_resolver,
        "measure-labelers": _measure_labelers,
        "people": _people,
    }
    return run[args.command](args)


def _add_checks(commands: Any) -> None:
    """The commands that take any corpus: a work folder, a folder of configs, a Hub data set."""
    validate = commands.add_parser("validate", help="everything that can be wrong with a corpus; 1 if anything is")
    deduplicate = commands.add_parser("deduplicate", help="a corpus without twins and without benchmarks' texts")
    for command in (validate, deduplicate):
        command.add_argument("corpus", help="a work folder, a corpus's folder, or a Hub data set")
        command.add_argument(
            "--benchmarks", nargs="+", default=[], metavar="FILE", help="texts to keep out: .jsonl, .csv, .tsv, Hub ids"
        )
    context = commands.add_parser(
        "context-test", help="does the situation matter? labels with it, without, with another"
    )
    context.add_argument("corpus", help="a work folder, a corpus's folder, or a Hub data set")
    context.add_argument("--recipe", required=True, help="whose teacher and labeler label")
    context.add_argument("--name", required=True, help="the result file is called context-test-NAME")
    context.add_argument("--split", default="test")
    context.add_argument("--rows", type=int, default=200, help="at most so many (default: 200)")
    context.add_argument(
        "--marks", type=Path, help="where rows are marked (default: context-needs.jsonl in the corpus)"
    )
    context.add_argument("--out", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    validate.add_argument("--recipe", help="whose bounds to take (default: those of all recipes)")
    validate.add_argument("--json", type=Path, metavar="FILE", help="write what was found there, for programs")
    deduplicate.add_argument("--out", required=True, type=Path, help="the folder to write the corpus to")
    deduplicate.add_argument(
        "--near", type=float, default=0.7, help="Jaccard of word 3-grams of two twins (default: 0.7)"
    )
    deduplicate.add_argument(
        "--semantic", type=float, metavar="COSINE", help="also by meaning, from this cosine on; 0.95 is careful"
    )


def _add_people(commands: Any) -> None:
    people = commands.add_parser("people", help="human evaluation: pages for annotators, and what their answers say")
    steps = people.add_subparsers(dest="step", required=True)
    export = steps.add_parser("export", help="draw rows and write a page for each annotator, and the key")
    export.add_argument("corpus", help="a work folder, a corpus, or a Hub id")
    export.add_argument(
        "--out", required=True, type=Path, help="the folder to write; key.json in it is not for annotators"
    )
    export.add_argument("--config", choices=("contextual", "contextless"), default="contextual")
    export.add_argument("--split", default="test")
    export.add_argument("--rows", type=int, default=200, help="default: 200, as in the paper")
    export.add_argument("--annotators", type=int, default=3, help="default: 3, as in the paper")
    export.add_argument("--seed", type=int, default=13)
    export.add_argument(
        "--order",
        choices=("ranked", "shuffled", "mixed"),
        default="ranked",
        help="options by the teacher's scores (as in the paper), shuffled, or half of the tasks each",
    )
    score = steps.add_parser("score", help="agreement, the teacher's accuracy, and a section for the card")
    score.add_argument("key", type=Path, help="the key.json of the sample")
    score.add_argument("answers", nargs="+", type=Path, help="what annotators exported, or Label Studio's JSON export")
    score.add_argument("--name", default="people", help="what the two files are called (default: people)")
    score.add_argument("--out", type=Path, default=RESULTS, help=f"default: {RESULTS}")


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


def _validate(args: argparse.Namespace) -> int:
    recipe = read_recipe(args.recipe, BuildRecipe) if args.recipe else None

    from dataset_builder.quality.validate_corpus import validate
    from dataset_builder.shards import write_json

    findings = validate(args.corpus, recipe.quality if recipe else None, args.benchmarks)
    if args.json:
        write_json(args.json, findings.as_json())
    print(findings.page())
    return int(bool(findings.counts))


def _deduplicate(args: argparse.Namespace) -> None:
    for option in ("near", "semantic"):
        if (value := getattr(args, option)) is not None and not 0 < value <= 1:
            raise InputError(f"--{option} {value}: give more than 0 and at most 1.")

    from dataset_builder.quality.deduplicate_corpus import REMOVED, deduplicate

    manifest = deduplicate(args.corpus, args.out, args.near, args.semantic, args.benchmarks)
    for config, splits in manifest["rows"].items():
        reasons = ", ".join(f"{count} {reason}" for reason, count in manifest["removed"][config].items()) or "nothing"
        print(f"{config}: {sum(splits.values())} rows kept; removed: {reasons}")
    print(f"{args.out}; what was removed is in {args.out / REMOVED}")


def _context_test(args: argparse.Namespace) -> None:
    recipe = read_recipe(args.recipe, BuildRecipe)
    if args.rows < 2:
        raise InputError(f"--rows {args.rows}: give 2 or more.")

    from dataset_builder.quality.context_test import context_test, marks
    from dataset_builder.quality.corpus import open_corpus
    from dataset_builder.shards import to_line, write_whole

    found, content = context_test(args.corpus, recipe, args.rows, args.split)
    marked = args.marks or open_corpus(args.corpus).folder / "context-needs.jsonl"
    write_whole(marked, (to_line(line) for line in marks(found)))
    _write_measured(content, args.out, f"context-test-{args.name}")
    print(f"rows that need their situation are marked in {marked}")


def _report(args: argparse.Namespace) -> None:
    from dataset_builder.quality.report import report
    from dataset_builder.shards import write_whole

    content, page = report(args.work_dir, args.name)
    written = write_result(content | provenance(), args.out, "system", args.name)
    write_whole(written.with_suffix(".md"), page.encode())
    print(page)
    print(f"{written} and {written.with_suffix('.md')}")


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


def _people(args: argparse.Namespace) -> None:
    {"export": _people_export, "score": _people_score}[args.step](args)


def _people_export(args: argparse.Namespace) -> None:
    from dataset_builder.quality.corpus import open_corpus
    from dataset_builder.quality.people.page import export
    from dataset_builder.quality.people.sample import Wanted, draw

    for name in ("rows", "annotators"):
        if getattr(args, name) < 1:
            raise InputError(f"--{name} {getattr(args, name)}: give 1 or more.")
    wanted = Wanted(args.config, args.split, args.rows, args.seed, args.annotators, args.order)
    key = draw(open_corpus(args.corpus), wanted)
    for path in export(key, args.out):
        print(path)
    print(f"{args.out / 'label-studio'}: the same tasks for Label Studio")
    print(f"{args.out / 'key.json'}: for `people score`; annotators must not see it")
    neutral = sum(task.strongest == "neutral" for task in key.tasks)
    print(f"{len(key.tasks)} tasks ({neutral} neutral), {len(key.pairs)} pairs, sample {key.sample}")
    if len(key.tasks) < args.rows or 10 * neutral < len(key.tasks):
        print(f"'{args.config}' {args.split} has no more: {args.rows} rows were wanted, a tenth of them neutral.")


def _people_score(args: argparse.Namespace) -> None:
    from dataset_builder.quality.people.answers import read_answers
    from dataset_builder.quality.people.card import section
    from dataset_builder.quality.people.sample import read_key
    from dataset_builder.quality.people.score import score
    from dataset_builder.shards import write_whole

    key = read_key(args.key)
    content = score(key, read_answers(key, args.answers), args.name)
    written = write_result(content | provenance(), args.out, "system", args.name)
    page = section(content)
    write_whole(written.with_suffix(".md"), page.encode())
    print(page)
    print(f"{written} and {written.with_suffix('.md')}")


def _write_measured(content: dict[str, Any], out: Path, name: str) -> None:
    """Write a result file of the system and print its metrics."""
    content |= provenance()
    print(write_result(content, out, "system", name))
    for metric, found in content["metrics"].items():
        print(f"{metric:<48}{found['value']:g}")


if __name__ == "__main__":
    run_command(main)
