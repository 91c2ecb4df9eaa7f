"""Commands for evaluation: of a corpus by people, and of teachers."""

import tempfile
from argparse import Namespace
from pathlib import Path

from dataset_builder.commands.options import CORPUS, FOLDER, OUT, RECIPE, SEND_KEY, count, group, option, with_teacher
from dataset_builder.inputs import InputError, option_name
from dataset_builder.label_maps import LABEL_MAPS
from dataset_builder.provenance import provenance, write_measurement, write_result
from dataset_builder.recipe import BuildRecipe

people, teacher = group("human evaluation"), group("evaluate a teacher")
RECIPES = option("--recipe", required=True, nargs="+", help="one or more recipes")
DEV = option("--data", required=True, type=Path, help="GoEmotions' official dev.tsv")


@people(
    CORPUS,
    FOLDER,
    option("--config", choices=("contextual", "contextless"), default="contextual"),
    option("--split", default="test"),
    count("--rows", default=200, help="default: 200, as in the paper"),
    count("--annotators", default=3, help="default: 3, as in the paper"),
    option("--seed", type=int, default=13),
    name="people export",
)
def people_export(args: Namespace) -> None:
    """Draw rows, and write a page for each annotator and the key, which annotators must not see."""
    from dataset_builder.corpus import open_corpus
    from dataset_builder.human_eval.page import export
    from dataset_builder.human_eval.sample import NEUTRAL_SHARE, draw

    key = draw(open_corpus(args.corpus), args.config, args.split, args.rows, args.annotators, args.seed)
    for path in export(key, args.out):
        print(path)
    print(f"{args.out / 'key.json'}: for `people score`; annotators must not see it")
    neutral = sum(task.strongest == "neutral" for task in key.tasks)
    print(f"{len(key.tasks)} tasks ({neutral} neutral), {len(key.pairs)} pairs, sample {key.sample}")
    if len(key.tasks) < args.rows or neutral < round(NEUTRAL_SHARE * len(key.tasks)):
        print(f"'{args.config}' {args.split} has no more rows: {args.rows} were requested, a tenth of them neutral.")


@people(
    option("key", type=Path, help="the key.json of the sample"),
    option("answers", nargs="+", type=Path, help="files saved by the pages, or files in that format"),
    option("--name", type=option_name, default="people", help="name of the result files (default: people)"),
    OUT,
    name="people score",
)
def people_score(args: Namespace) -> None:
    """Compute agreement and the teacher's accuracy from the annotators' answers."""
    from dataset_builder.files.shards import write_whole
    from dataset_builder.human_eval.answers import read_answers
    from dataset_builder.human_eval.sample import read_key
    from dataset_builder.human_eval.score import score, section

    key = read_key(args.key)
    content = score(key, read_answers(key, args.answers), args.name)
    written = write_result(content | provenance(), args.out, "system", args.name)
    page = section(content)
    write_whole(written.with_suffix(".md"), page.encode())
    print(page)
    print(f"{written} and {written.with_suffix('.md')}")


@teacher(
    RECIPE,
    count("--stories", default=3, help="number of built-in tales to use (default: 3)"),
    option("--work-dir", type=Path, help="keep the teacher's output in this folder (default: discard it)"),
    SEND_KEY,
)
def check_teacher(args: Namespace) -> int:
    """Decide whether a teacher is good enough by the pass rates of each stage; the exit code is 1 if it is not."""
    recipe = with_teacher(args.recipe, BuildRecipe, args)

    from dataset_builder.teacher_eval.check_teacher import check_teacher, page

    with tempfile.TemporaryDirectory() as temporary:
        verdict, checks = check_teacher(recipe, args.stories, args.work_dir or Path(temporary))
    print(page(recipe, verdict, checks))
    return int(verdict == "unfit")


@teacher(
    CORPUS,
    RECIPE,
    option("--name", required=True, type=option_name, help="the result file is called context-test-NAME"),
    option("--split", default="test"),
    count("--rows", 2, default=200, help="use at most this many rows (default: 200)"),
    option("--marks", type=Path, help="where to write the marked rows (default: work/context-test-NAME.jsonl)"),
    SEND_KEY,
    OUT,
)
def context_test(args: Namespace) -> None:
    """Test whether situations matter: label rows with their own situation, with none, and with another row's."""
    recipe = with_teacher(args.recipe, BuildRecipe, args)

    from dataset_builder.files.shards import to_line, write_whole
    from dataset_builder.teacher_eval.context_ablation import context_test, marks

    found, content = context_test(args.corpus, recipe, args.rows, args.split)
    marked = args.marks or Path("work") / f"context-test-{args.name}.jsonl"
    write_whole(marked, (to_line(line) for line in marks(found)))
    write_measurement(content, args.out, f"context-test-{args.name}")
    print(f"rows whose label depends on the situation are marked in {marked}")


@teacher(
    option("texts", type=Path, help="a file written by `eval.run --texts`: JSON Lines with a `text`"),
    RECIPE,
    option("--out", required=True, type=Path, help="the file to write"),
    option(
        "--labels",
        help="a closed list instead of the 28 labels: separated by commas, or the classes of a data set "
        f"({', '.join(LABEL_MAPS)})",
    ),
    option(
        "--choose",
        choices=("several", "single", "valence"),
        help="how the teacher chooses from --labels; `valence`, without --labels, asks for a number from 1 to 5",
    ),
    SEND_KEY,
)
def label_texts(args: Namespace) -> None:
    """Write a teacher's scores for texts, for `eval.run --scores`."""
    recipe = with_teacher(args.recipe, BuildRecipe, args)

    from dataset_builder.pipeline.label_texts import Mode, label_file, read_label_list

    if args.choose and (args.choose == "valence") == bool(args.labels):
        raise InputError(f"--choose {args.choose}: {'has no' if args.labels else 'needs'} --labels.")
    labels = (tuple(LABEL_MAPS.get(args.labels, ())) or read_label_list(args.labels)) if args.labels else ()
    mode: Mode | None = args.choose or ("several" if labels else None)
    found = label_file(args.texts, recipe, args.out, labels, mode)
    line = f"{args.out}: {len(found.scores)} texts"
    if found.failed:
        reasons = ", ".join(f"{count} {reason}" for reason, count in found.reasons.items())
        line += f"; the teacher failed on {found.failed} ({reasons}), which have no scores"
    print(line)


@teacher(
    RECIPES,
    DEV,
    option(
        "--rows",
        type=int,
        nargs="+",
        default=[1000],
        help="rows to use, one number per recipe or one for all (default: 1000)",
    ),
    SEND_KEY,
    OUT,
)
def measure_labelers(args: Namespace) -> None:
    """Compare both labelers with the labels of GoEmotions dev."""
    from dataset_builder.teacher_eval.labelers import measure

    recipes = [with_teacher(path, BuildRecipe, args) for path in args.recipe]
    if len(args.rows) not in (1, len(recipes)):
        raise InputError(
            f"--rows: {len(args.rows)} numbers for {len(recipes)} recipes. Pass one number, or one per recipe."
        )
    write_measurement(measure(recipes, args.data, args.rows), args.out, "labelers")


@teacher(RECIPES, DEV, option("--rows", type=int, default=500, help="rows to use (default: 500)"), SEND_KEY, OUT)
def measure_descriptors(args: Namespace) -> None:
    """Compare the descriptors of describe-texts with the labels of GoEmotions dev; do not tune on the result."""
    from dataset_builder.descriptors.recipe import TextsRecipe
    from dataset_builder.teacher_eval.descriptors import measure

    recipes = [with_teacher(path, TextsRecipe, args) for path in args.recipe]
    if len({recipe.name for recipe in recipes}) < len(recipes):
        raise InputError("--recipe: two recipes have the same name. Rename one.")
    write_measurement(measure(recipes, args.data, args.rows), args.out, "descriptors")


@teacher(OUT)
def measure_resolver(args: Namespace) -> None:
    """Measure how well words outside the taxonomy are mapped to classes."""
    from dataset_builder.teacher_eval.resolver import measure

    write_measurement(measure(), args.out, "out-of-taxonomy")
