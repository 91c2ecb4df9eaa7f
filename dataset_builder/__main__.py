"""python -m dataset_builder build --recipe dataset_builder/recipes/demo.yaml --work-dir work/demo"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from dataset_builder.analysis.commands import add_commands
from dataset_builder.command_options import add_narratives, add_teacher, with_narratives, with_teacher
from dataset_builder.inputs import InputError, run_command
from dataset_builder.label_maps import DOMAINS
from dataset_builder.recipe import BuildRecipe


def main() -> int | None:
    """Parse the command line and run the command."""
    parser = argparse.ArgumentParser(prog="python -m dataset_builder", description="Builds the corpus.")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="stories in, a published data set out; goes on where it stopped")
    build.add_argument("--recipe", required=True, help="a file of dataset_builder/recipes/")
    build.add_argument("--work-dir", required=True, type=Path, help="where all stages write")
    add_narratives(build)
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
    describe = commands.add_parser("describe-texts", help="given texts with weighted emotion words, for a bi-encoder")
    describe.add_argument("--recipe", required=True, help="as dataset_builder/recipes/texts/smollm2.yaml")
    describe.add_argument(
        "--texts",
        required=True,
        nargs="+",
        type=Path,
        help="train texts: .jsonl[.gz], .csv, .tsv (text first), folders of <config>/train-*.parquet; no labels",
    )
    describe.add_argument("--column", default="text", help="the field of the texts in .jsonl (default: text)")
    describe.add_argument("--work-dir", required=True, type=Path, help="where to write; what is published is corpus/")
    describe.add_argument(
        "--with", dest="others", nargs="+", default=[], type=Path, help="corpora whose descriptors are published along"
    )
    describe.add_argument(
        "--stories", nargs="+", default=[], type=Path, help="narratives (.jsonl[.gz]): what is said in the first person"
    )
    describe.add_argument(
        "--judged", nargs="+", default=[], type=Path, help="work folders in which a larger teacher judged whole texts"
    )
    describe.add_argument("--limit", type=int, help="at most so many texts, drawn by hash")
    describe.set_defaults(run=_describe_texts)
    write = commands.add_parser("write-texts", help="texts that a teacher writes for emotion words, for a bi-encoder")
    write.add_argument("--recipe", required=True, help="as dataset_builder/recipes/writing/smollm2.yaml")
    write.add_argument("--work-dir", required=True, type=Path, help="where to write; what is published is corpus/")
    write.set_defaults(run=_write_texts)
    situate = commands.add_parser("situate", help="remarks that say nothing by themselves, after what happened")
    situate.add_argument("--described", required=True, type=Path, help="a corpus of describe-texts with written texts")
    situate.add_argument("--with", dest="others", nargs="+", default=[], type=Path, help="corpora to publish along")
    situate.add_argument("--work-dir", required=True, type=Path, help="where to write; what is published is corpus/")
    situate.set_defaults(run=_situate)
    domain = commands.add_parser("domain", help="another emotion data set, from its official files, in the 28 labels")
    domain.add_argument("name", help=", ".join(DOMAINS))
    domain.add_argument("--source", required=True, type=Path, help="the folder of the set's official files")
    domain.add_argument("--out", required=True, type=Path, help="the folder to write it to")
    domain.add_argument("--folds", type=int, default=5, help="isear: random folds, with --fold (default: 5)")
    domain.add_argument("--fold", type=int, help="isear: which fold is the test split, from 1")
    check = commands.add_parser("check-teacher", help="is a teacher good enough? pass rates a stage, and a verdict")
    check.add_argument("--recipe", required=True, help="the recipe whose teacher, labeler and decoding to check")
    check.add_argument("--stories", type=int, default=3, help="so many of the built-in tales (default: 3)")
    check.add_argument("--work-dir", type=Path, help="keep what it wrote there (default: nowhere)")
    plan = commands.add_parser("plan", help="calls, tokens, storage and hours of a recipe, before it is built")
    plan.add_argument("--recipe", required=True)
    plan.add_argument("--pilot", type=Path, help="the work folder of a finished build of it on a few stories")
    add_narratives(plan)
    for command, run in ((build, _build), (status, _status), (adopt, _adopt), (domain, _domain), (plan, _plan)):
        command.set_defaults(run=run)
    check.set_defaults(run=_check_teacher)
    for command in (describe, write, check):
        add_teacher(command)
    add_commands(commands)
    args = parser.parse_args()
    code: int | None = args.run(args)
    return code


def _status(args: argparse.Namespace) -> None:
    from dataset_builder.pipeline.status import status

    print(status(args.work_dir))


def _build(args: argparse.Namespace) -> None:
    recipe = with_narratives(args)

    from dataset_builder.pipeline.build import build  # here, so that a bad recipe fails before heavy imports
    from dataset_builder.pipeline.status import status

    made = build(recipe, args.work_dir, args.restart_from)
    print(status(args.work_dir))
    if not made:
        print(f"{args.work_dir} is complete; nothing was changed.")


def _adopt(args: argparse.Namespace) -> None:
    from dataset_builder.import_released import Fields, adopt
    from dataset_builder.pipeline.assemble import CORPUS

    manifest = adopt(args.files, args.work_dir, Fields(args.context_field, args.character_field))
    for config, splits in manifest["rows"].items():
        counts = ", ".join(f"{count} {split}" for split, count in splits.items())
        print(f"{args.work_dir / CORPUS} {config}: {counts}")
    print(f"rejected: {manifest['rejected']}; labels that no class takes: {manifest['unresolved_labels']}")


def _say_rows(work_dir: Path) -> dict[str, Any]:
    """Print how many rows each config of what was published has; its manifest."""
    from dataset_builder.files.shards import read_json
    from dataset_builder.pipeline.assemble import CORPUS

    corpus = work_dir / CORPUS
    manifest: dict[str, Any] = read_json(corpus / "manifest.json")
    for config, splits in manifest["rows"].items():
        print(f"{corpus} {config}: {', '.join(f'{count} {split}' for split, count in splits.items())}")
    return manifest


def _describe_texts(args: argparse.Namespace) -> None:
    from dataset_builder.descriptors.recipe import TextsRecipe

    recipe = with_teacher(args.recipe, TextsRecipe, args)
    if args.limit is not None and args.limit < 1:
        raise InputError(f"--limit {args.limit}: give 1 or more.")

    from dataset_builder.descriptors.describe import describe

    made = describe(recipe, args.texts, args.column, args.work_dir, args.others, args.limit, args.stories, args.judged)
    manifest = _say_rows(args.work_dir)
    print(f"{manifest['descriptors_per_text']} descriptors a text, of {len(manifest['words'])} words; ", end="")
    print(f"rejected: {manifest['rejected'] or 'nothing'}")
    if not made:
        print(f"{args.work_dir} is complete; nothing was changed.")


def _write_texts(args: argparse.Namespace) -> None:
    from dataset_builder.descriptors.write import write
    from dataset_builder.descriptors.writing_recipe import WritingRecipe

    made = write(with_teacher(args.recipe, WritingRecipe, args), args.work_dir)
    manifest = _say_rows(args.work_dir)
    print(f"rejected: {manifest['rejected'] or 'nothing'}")
    if not made:
        print(f"{args.work_dir} is complete; nothing was changed.")


def _situate(args: argparse.Namespace) -> None:
    from dataset_builder.descriptors.situate import situate

    situate(args.described, args.work_dir, args.others)
    _say_rows(args.work_dir)


def _domain(args: argparse.Namespace) -> None:
    from dataset_builder.domains.prepare import prepare
    from dataset_builder.domains.reading import Fold

    manifest = prepare(args.name, args.source, args.out, Fold(args.fold, args.folds) if args.fold is not None else None)
    for config, splits in manifest["rows"].items():
        print(f"{args.out} {config}: {', '.join(f'{count} {split}' for split, count in splits.items())}")
    print(f"{manifest['protocol']}; handled: {manifest['handled'] or 'nothing'}; terms: {manifest['terms']}")


def _check_teacher(args: argparse.Namespace) -> int:
    recipe = with_teacher(args.recipe, BuildRecipe, args)
    if args.stories < 1:
        raise InputError(f"--stories {args.stories}: give 1 or more.")

    from dataset_builder.teacher_eval.check_teacher import check_teacher, page

    with tempfile.TemporaryDirectory() as nowhere:
        verdict, checks = check_teacher(recipe, args.stories, args.work_dir or Path(nowhere))
    print(page(recipe, verdict, checks))
    return int(verdict == "unfit")


def _plan(args: argparse.Namespace) -> None:
    recipe = with_narratives(args)

    from dataset_builder.pipeline.plan import plan

    print(plan(recipe, args.pilot))


if __name__ == "__main__":
    run_command(main)
