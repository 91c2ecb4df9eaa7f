"""Commands that build corpora, describe texts, and check and measure corpora."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataset_builder.commands.options import (
    CORPUS,
    FOLDER,
    OUT,
    RECIPE,
    SEND_KEY,
    STORIES,
    WORK_DIR,
    count,
    group,
    option,
    with_narratives,
    with_teacher,
)
from dataset_builder.inputs import InputError, option_name, read_recipe
from dataset_builder.label_maps import DOMAINS
from dataset_builder.provenance import provenance, write_result
from dataset_builder.recipe import BuildRecipe, Gates

make = group("build a corpus")
describe = group("assign emotion words to texts")
examine = group("check and measure a corpus")
OTHERS = option("--with", dest="others", nargs="+", default=[], type=Path, help="corpora whose rows are published too")
TEXT_FILES = "texts to keep out of the corpus: .jsonl, .csv, .tsv, .parquet, Hub datasets"
BENCHMARKS = option("--benchmarks", nargs="+", default=[], metavar="FILE", help=TEXT_FILES)
TRAIN_TEXTS = (
    "training texts: .jsonl[.gz], .csv, .tsv (text in the first column), folders with <config>/train-*.parquet; "
    "labels are not read"
)


@make(RECIPE, option("--pilot", type=Path, help="a finished build of the same recipe on a few stories"), *STORIES)
def plan(args: Namespace) -> None:
    """Estimate calls, tokens, storage and hours of a recipe before it is built."""
    recipe = with_narratives(args)

    from dataset_builder.pipeline.plan import plan

    print(plan(recipe, args.pilot))


@make(
    RECIPE,
    WORK_DIR,
    *STORIES,
    option("--restart-from", metavar="STAGE", help="generate the rows of this stage and all later stages again"),
)
def build(args: Namespace) -> None:
    """Build a corpus from stories; the same command resumes an interrupted build."""
    recipe = with_narratives(args)

    from dataset_builder.pipeline.build import build
    from dataset_builder.pipeline.status import status

    made = build(recipe, args.work_dir, args.restart_from)
    print(status(args.work_dir))
    if made and recipe.utterances.mode != "quoted":  # quoted rows are published by `assemble`
        print(f"check it: python -m dataset_builder validate {args.work_dir} --recipe {args.recipe}")
    _print_if_unchanged(made, args.work_dir)


@make(WORK_DIR)
def status(args: Namespace) -> None:
    """Show the progress of a running, finished or interrupted build."""
    from dataset_builder.pipeline.status import status

    print(status(args.work_dir))


@make(
    option("parts", nargs="+", type=Path, help="work folders whose stages are finished"),
    RECIPE,
    BENCHMARKS,
    FOLDER,
)
def assemble(args: Namespace) -> None:
    """Publish the rows of several work folders as one corpus, in <out>/corpus."""
    recipe = read_recipe(args.recipe, BuildRecipe)

    from dataset_builder.parquet import CORPUS
    from dataset_builder.pipeline.build import assemble_parts

    counts = assemble_parts(recipe, args.parts, args.out, args.benchmarks)
    _print_rows(args.out / CORPUS, counts)


@make(option("files", nargs="+", type=Path, help="written files: .tsv of texts, .jsonl of contrast sets"))
def check_written(args: Namespace) -> int:
    """Check written files: a line for each fault, and counts; the exit code is 1 if there is a fault."""
    from dataset_builder.analysis.written_files import check

    faults, page = check(args.files)
    print("\n".join([*faults, page]))
    return int(bool(faults))


@make(
    option("files", nargs="+", type=Path, help="train.jsonl, dev.jsonl, test.jsonl of the released corpus"),
    WORK_DIR,
    option("--text-field", default="utterance", help="name of the field with the utterance (default: utterance)"),
    option("--context-field", help="name of the field with the situation, in the context-aware files"),
    option("--character-field", help="name of the field with the character"),
    option("--rewritten-field", help="name of the field with the rewritten utterance, with --context-field"),
    option("--story-field", help="name of the field that says which story a row is from, if there is one"),
)
def adopt(args: Namespace) -> None:
    """Convert the released Emo Pillars JSONL files to a corpus in this format."""
    from dataset_builder.import_released import RECOVERED_MAP, Fields, import_released
    from dataset_builder.parquet import CORPUS

    if args.rewritten_field and not args.context_field:
        raise InputError("--rewritten-field needs --context-field: rewritten utterances have situations.")
    fields = Fields(args.text_field, args.context_field, args.character_field, args.rewritten_field, args.story_field)
    manifest = import_released(args.files, args.work_dir, fields)
    _print_rows(args.work_dir / CORPUS, manifest["rows"])
    print(f"rejected: {manifest['rejected']}; labels without a class: {manifest['unresolved_labels']}")
    print(f"{args.work_dir / RECOVERED_MAP}: classes of {len(manifest['recovered_map'])} words outside the taxonomy")


@make(
    option("name", help=", ".join(DOMAINS)),
    option("--source", required=True, type=Path, help="folder with the official files"),
    FOLDER,
    option("--folds", type=int, default=5, help="isear: the number of random folds, with --fold (default: 5)"),
    option("--fold", type=int, help="isear: the fold that is the test split, from 1"),
)
def domain(args: Namespace) -> None:
    """Convert another emotion dataset, from its official files, to the 28 labels."""
    from dataset_builder.domains.examples import Fold
    from dataset_builder.domains.prepare import prepare

    manifest = prepare(args.name, args.source, args.out, Fold(args.fold, args.folds) if args.fold is not None else None)
    _print_rows(args.out, manifest["rows"])
    print(f"{manifest['protocol']}; handled: {manifest['handled'] or 'nothing'}; terms: {manifest['terms']}")


@describe(
    RECIPE,
    option("--texts", required=True, nargs="+", type=Path, help=TRAIN_TEXTS),
    option("--column", default="text", help="the field of the texts in .jsonl (default: text)"),
    WORK_DIR,
    OTHERS,
    option("--stories", nargs="+", default=[], type=Path, help="stories whose first-person sentences are added"),
    option("--judged", nargs="+", default=[], type=Path, help="work folders with a larger teacher's scores of texts"),
    count("--limit", help="use at most this many texts, drawn by hash"),
    SEND_KEY,
)
def describe_texts(args: Namespace) -> None:
    """Assign weighted emotion words to texts, to train a bi-encoder on."""
    from dataset_builder.descriptors.recipe import TextsRecipe

    recipe = with_teacher(args.recipe, TextsRecipe, args)

    from dataset_builder.descriptors.describe import describe

    made = describe(recipe, args.texts, args.column, args.work_dir, args.others, args.limit, args.stories, args.judged)
    manifest = _print_corpus(args.work_dir)
    print(f"{manifest['descriptors_per_text']} descriptors per text, from {len(manifest['words'])} words; ", end="")
    print(f"rejected: {manifest['rejected'] or 'nothing'}")
    _print_if_unchanged(made, args.work_dir)


@describe(RECIPE, WORK_DIR, SEND_KEY)
def write_texts(args: Namespace) -> None:
    """Have a teacher write texts for emotion words, to train a bi-encoder on."""
    from dataset_builder.descriptors.recipe import WritingRecipe
    from dataset_builder.descriptors.writing import write

    made = write(with_teacher(args.recipe, WritingRecipe, args), args.work_dir)
    print(f"rejected: {_print_corpus(args.work_dir)['rejected'] or 'nothing'}")
    _print_if_unchanged(made, args.work_dir)


@describe(
    option("--described", required=True, type=Path, help="a corpus of describe-texts with written texts"),
    OTHERS,
    WORK_DIR,
)
def situate(args: Namespace) -> None:
    """Pair situations with remarks that are neutral without a context."""
    from dataset_builder.descriptors.situate import situate

    situate(args.described, args.work_dir, args.others)
    _print_corpus(args.work_dir)


@examine(
    CORPUS,
    BENCHMARKS,
    option("--recipe", help="the recipe whose limits apply (default: the default limits)"),
    option("--json", type=Path, metavar="FILE", help="write the findings to this file as JSON"),
)
def validate(args: Namespace) -> int:
    """Check a corpus for faults; the exit code is 1 if there are any."""
    recipe = read_recipe(args.recipe, BuildRecipe) if args.recipe else None

    from dataset_builder.analysis.validate_corpus import validate
    from dataset_builder.files.shards import write_json

    findings = validate(args.corpus, recipe.quality if recipe else None, args.benchmarks)
    if args.json:
        write_json(args.json, findings.as_json())
    print(findings.page())
    return int(bool(findings.counts))


@examine(
    CORPUS,
    BENCHMARKS,
    FOLDER,
    option("--near", type=float, default=0.7, help="Jaccard index of word 3-grams of near-duplicates (default: 0.7)"),
    option(
        "--semantic",
        type=float,
        metavar="COSINE",
        help="also remove texts with the same meaning, at this cosine; 0.95 is conservative",
    ),
)
def deduplicate(args: Namespace) -> None:
    """Write a corpus without duplicates and without texts of benchmarks."""
    for name, value in (("near", args.near), ("semantic", args.semantic)):
        if value is not None and not 0 < value <= 1:
            raise InputError(f"--{name} {value}: must be above 0 and at most 1.")

    from dataset_builder.analysis.deduplicate_corpus import REMOVED, deduplicate

    manifest = deduplicate(args.corpus, args.out, args.near, args.semantic, args.benchmarks)
    for config, splits in manifest["rows"].items():
        reasons = ", ".join(f"{count} {reason}" for reason, count in manifest["removed"][config].items()) or "nothing"
        print(f"{config}: {sum(splits.values())} rows kept; removed: {reasons}")
    print(f"{args.out}; the removed rows are in {args.out / REMOVED}")


@examine(
    CORPUS,
    option("--name", type=option_name, help="name of the result files (default: the name of the corpus)"),
    option("--recipe", help="the recipe whose gates apply (default: the default gates)"),
    option(
        "--data", type=Path, help="a folder with goemotions/train.tsv, whose text lengths are plotted for comparison"
    ),
    OUT,
)
def report(args: Namespace) -> int:
    """Report on a corpus: result file, page, plots, gates; the exit code is 1 if a gate fails."""
    gates = read_recipe(args.recipe, BuildRecipe).gates if args.recipe else Gates()

    from dataset_builder.analysis.report import name_of, report
    from dataset_builder.filters.encoder import default_encoder

    found = report(args.corpus, args.name or name_of(args.corpus), gates, default_encoder(), args.data)
    written = found.write(args.out, provenance())
    print(found.page)
    for verdict in found.verdicts:
        print(f"{verdict.config} {verdict.measure} {verdict.value:.4g} ({verdict.limits()}): {verdict.state}")
    print(f"{written}, {written.with_suffix('.md')}, {written.with_suffix('')}/")
    return int(found.failed)


@examine(
    option("--data", type=Path, help="a folder with goemotions/, emobank/, isear/, or some of them"),
    option("--corpus", nargs="+", default=[], metavar="NAME=PLACE", help="corpora to measure"),
    OUT,
)
def measure_corpora(args: Namespace) -> None:
    """Compare corpora with human text by the metrics of the report."""
    corpora = dict(given.partition("=")[::2] for given in args.corpus)
    if not all(corpora.values()) or not (corpora or args.data):
        raise InputError("pass --data FOLDER, --corpus NAME=PLACE, or both.")

    from dataset_builder.analysis.measure_corpora import measure
    from dataset_builder.files.shards import write_whole
    from dataset_builder.filters.encoder import default_encoder

    content, page = measure(args.data, corpora, default_encoder())
    written = write_result(content | provenance(), args.out, "system", content["name"])
    write_whole(written.with_suffix(".md"), page.encode())
    print(f"{page}\n{written}")


def _print_rows(folder: Path, rows: Mapping[str, Mapping[str, int]]) -> None:
    for config, splits in rows.items():
        print(f"{folder} {config}: {', '.join(f'{count} {split}' for split, count in splits.items())}")


def _print_corpus(work_dir: Path) -> dict[str, Any]:
    """Print the row counts of the corpus in a work folder and return its manifest."""
    from dataset_builder.parquet import CORPUS, read_manifest

    manifest = read_manifest(work_dir / CORPUS)
    _print_rows(work_dir / CORPUS, manifest["rows"])
    return manifest


def _print_if_unchanged(made: bool, work_dir: Path) -> None:
    if not made:
        print(f"{work_dir} is complete; nothing was changed.")
