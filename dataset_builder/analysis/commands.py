"""The commands that judge: a corpus of any origin, its labelers, and what people say of it."""

import argparse
from pathlib import Path
from typing import Any

from dataset_builder.command_options import add_teacher, with_teacher
from dataset_builder.inputs import InputError, option_name, read_recipe
from dataset_builder.provenance import RESULTS, provenance, write_result
from dataset_builder.recipe import BuildRecipe, Gates

CORPUS = "a work folder, a folder of configs, or a Hub data set"


def add_commands(commands: Any) -> None:
    """Add all of them to the subparsers of the command line; each sets `run`."""
    _add_checks(commands)
    _add_report(commands)
    _add_people(commands)
    _add_measures(commands)


def _add_out(command: argparse.ArgumentParser) -> None:
    command.add_argument("--out", type=Path, default=RESULTS, help=f"default: {RESULTS}")


def _add_checks(commands: Any) -> None:
    validate = commands.add_parser("validate", help="everything that can be wrong with a corpus; 1 if anything is")
    deduplicate = commands.add_parser("deduplicate", help="a corpus without twins and without benchmarks' texts")
    context = commands.add_parser("context-test", help="does the situation matter? labels with it, without, another's")
    for command, run in ((validate, _validate), (deduplicate, _deduplicate), (context, _context_test)):
        command.add_argument("corpus", help=CORPUS)
        command.set_defaults(run=run)
    for command in (validate, deduplicate):
        command.add_argument(
            "--benchmarks", nargs="+", default=[], metavar="FILE", help="texts to keep out: .jsonl, .csv, .tsv, Hub ids"
        )
    validate.add_argument("--recipe", help="whose bounds to take (default: those of all recipes)")
    validate.add_argument("--json", type=Path, metavar="FILE", help="write what was found there, for programs")
    deduplicate.add_argument("--out", required=True, type=Path, help="the folder to write the corpus to")
    deduplicate.add_argument("--near", type=float, default=0.7, help="Jaccard of word 3-grams of twins (default: 0.7)")
    deduplicate.add_argument("--semantic", type=float, metavar="COSINE", help="also by meaning; 0.95 is careful")
    context.add_argument("--recipe", required=True, help="whose teacher and labeler label")
    context.add_argument("--name", required=True, type=option_name, help="the result file is called context-test-NAME")
    context.add_argument("--split", default="test")
    context.add_argument("--rows", type=int, default=200, help="at most so many (default: 200)")
    context.add_argument("--marks", type=Path, help="where to mark rows (default: work/context-test-NAME.jsonl)")
    add_teacher(context)
    _add_out(context)


def _add_report(commands: Any) -> None:
    report = commands.add_parser("report", help="a corpus measured and judged: result file, page, plots")
    report.add_argument("corpus", help=CORPUS)
    report.add_argument("--name", type=option_name, help="what the files are called (default: as the place)")
    report.add_argument("--recipe", help="whose gates judge (default: those of all recipes)")
    report.add_argument("--data", type=Path, help="a folder with goemotions/train.tsv, to show lengths beside")
    report.set_defaults(run=_report)
    _add_out(report)
    corpora = commands.add_parser("measure-corpora", help="the report's measures on human text and on corpora")
    corpora.add_argument("--data", type=Path, help="a folder with goemotions/, emobank/, isear/, or some of them")
    corpora.add_argument("--corpus", nargs="+", default=[], metavar="NAME=PLACE", help="corpora to measure beside")
    corpora.set_defaults(run=_measure_corpora)
    _add_out(corpora)


def _add_people(commands: Any) -> None:
    people = commands.add_parser("people", help="human evaluation: pages for annotators, and scores of their answers")
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
    export.set_defaults(run=_people_export)
    score = steps.add_parser("score", help="agreement, the teacher's accuracy, and a section for the card")
    score.add_argument("key", type=Path, help="the key.json of the sample")
    score.add_argument("answers", nargs="+", type=Path, help="files that the pages saved, or files of that form")
    score.add_argument(
        "--name", type=option_name, default="people", help="what the two files are called (default: people)"
    )
    score.add_argument("--out", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    score.set_defaults(run=_people_score)


def _add_measures(commands: Any) -> None:
    resolver = commands.add_parser("measure-resolver", help="how well words outside the taxonomy find their class")
    labelers = commands.add_parser("measure-labelers", help="both labelers of teachers against GoEmotions' dev split")
    labelers.add_argument(
        "--recipe", required=True, nargs="+", help="recipes whose teachers and label rules to measure"
    )
    labelers.add_argument("--data", required=True, type=Path, help="GoEmotions' official dev.tsv")
    labelers.add_argument(
        "--rows", type=int, nargs="+", default=[1000], help="how many rows of it, for each recipe or for all (1000)"
    )
    given = commands.add_parser("label-texts", help="a teacher's scores for texts, for `eval.run --scores`")
    given.add_argument("texts", type=Path, help="a file of `eval.run --texts`: a JSON line with a `text` each")
    given.add_argument("--recipe", required=True, help="whose teacher and label rules to ask")
    given.add_argument("--out", required=True, type=Path, help="the file to write")
    given.set_defaults(run=_label_texts)
    for command in (labelers, given):
        add_teacher(command)
    words = commands.add_parser("measure-descriptors", help="describe-texts' recipes against GoEmotions' dev: a report")
    words.add_argument("--recipe", required=True, nargs="+", help="as dataset_builder/recipes/texts/smollm2.yaml")
    words.add_argument("--data", required=True, type=Path, help="GoEmotions' official dev.tsv")
    add_teacher(words)
    words.add_argument("--rows", type=int, default=500, help="how many rows of it (default: 500)")
    runs = (_measure_resolver, _measure_labelers, _measure_descriptors)
    for command, run in zip((resolver, labelers, words), runs, strict=True):
        command.set_defaults(run=run)
        _add_out(command)


def _validate(args: argparse.Namespace) -> int:
    recipe = read_recipe(args.recipe, BuildRecipe) if args.recipe else None

    from dataset_builder.analysis.validate_corpus import validate
    from dataset_builder.files.shards import write_json

    findings = validate(args.corpus, recipe.quality if recipe else None, args.benchmarks)
    if args.json:
        write_json(args.json, findings.as_json())
    print(findings.page())
    return int(bool(findings.counts))


def _deduplicate(args: argparse.Namespace) -> None:
    for option in ("near", "semantic"):
        if (value := getattr(args, option)) is not None and not 0 < value <= 1:
            raise InputError(f"--{option} {value}: give more than 0 and at most 1.")

    from dataset_builder.analysis.deduplicate_corpus import REMOVED, deduplicate

    manifest = deduplicate(args.corpus, args.out, args.near, args.semantic, args.benchmarks)
    for config, splits in manifest["rows"].items():
        reasons = ", ".join(f"{count} {reason}" for reason, count in manifest["removed"][config].items()) or "nothing"
        print(f"{config}: {sum(splits.values())} rows kept; removed: {reasons}")
    print(f"{args.out}; what was removed is in {args.out / REMOVED}")


def _context_test(args: argparse.Namespace) -> None:
    recipe = with_teacher(args.recipe, BuildRecipe, args)
    if args.rows < 2:
        raise InputError(f"--rows {args.rows}: give 2 or more.")

    from dataset_builder.files.shards import to_line, write_whole
    from dataset_builder.teacher_eval.context_ablation import context_test, marks

    found, content = context_test(args.corpus, recipe, args.rows, args.split)
    marked = args.marks or Path("work") / f"context-test-{args.name}.jsonl"
    write_whole(marked, (to_line(line) for line in marks(found)))
    _write_measured(content, args.out, f"context-test-{args.name}")
    print(f"rows that need their situation are marked in {marked}")


def _report(args: argparse.Namespace) -> int:
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


def _measure_corpora(args: argparse.Namespace) -> None:
    corpora = dict(given.partition("=")[::2] for given in args.corpus)
    if not all(corpora.values()) or not (corpora or args.data):
        raise InputError("give --data FOLDER, --corpus NAME=PLACE, or both.")

    from dataset_builder.analysis.measure_corpora import measure
    from dataset_builder.files.shards import write_whole
    from dataset_builder.filters.encoder import default_encoder

    content, page = measure(args.data, corpora, default_encoder())
    written = write_result(content | provenance(), args.out, "system", content["name"])
    write_whole(written.with_suffix(".md"), page.encode())
    print(f"{page}\n{written}")


def _people_export(args: argparse.Namespace) -> None:
    from dataset_builder.corpus import open_corpus
    from dataset_builder.human_eval.page import export
    from dataset_builder.human_eval.sample import NEUTRAL_SHARE, draw

    for name in ("rows", "annotators"):
        if getattr(args, name) < 1:
            raise InputError(f"--{name} {getattr(args, name)}: give 1 or more.")
    key = draw(open_corpus(args.corpus), args.config, args.split, args.rows, args.annotators, args.seed)
    for path in export(key, args.out):
        print(path)
    print(f"{args.out / 'key.json'}: for `people score`; annotators must not see it")
    neutral = sum(task.strongest == "neutral" for task in key.tasks)
    print(f"{len(key.tasks)} tasks ({neutral} neutral), {len(key.pairs)} pairs, sample {key.sample}")
    if len(key.tasks) < args.rows or neutral < round(NEUTRAL_SHARE * len(key.tasks)):
        print(f"'{args.config}' {args.split} has no more: {args.rows} rows were wanted, a tenth of them neutral.")


def _people_score(args: argparse.Namespace) -> None:
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


def _measure_resolver(args: argparse.Namespace) -> None:
    from dataset_builder.teacher_eval.resolver import measure

    _write_measured(measure(), args.out, "out-of-taxonomy")


def _label_texts(args: argparse.Namespace) -> None:
    recipe = with_teacher(args.recipe, BuildRecipe, args)

    from dataset_builder.teacher_eval.labelers import label_file

    found = label_file(args.texts, recipe, args.out)
    said = f"{args.out}: {len(found.scores)} texts"
    if found.failed:
        reasons = ", ".join(f"{count} {reason}" for reason, count in found.reasons.items())
        said += f", of which the teacher failed on {found.failed} ({reasons}): these have no scores"
    print(said)


def _measure_labelers(args: argparse.Namespace) -> None:
    from dataset_builder.teacher_eval.labelers import measure

    recipes = [with_teacher(path, BuildRecipe, args) for path in args.recipe]
    if len(args.rows) not in (1, len(recipes)):
        raise InputError(f"--rows: {len(args.rows)} numbers for {len(recipes)} recipes. Give one, or one for each.")
    _write_measured(measure(recipes, args.data, args.rows), args.out, "labelers")


def _measure_descriptors(args: argparse.Namespace) -> None:
    from dataset_builder.descriptors.recipe import TextsRecipe
    from dataset_builder.teacher_eval.descriptors import measure

    recipes = [with_teacher(path, TextsRecipe, args) for path in args.recipe]
    if len({recipe.name for recipe in recipes}) < len(recipes):
        raise InputError("--recipe: two recipes have the same name. Give each its own.")
    _write_measured(measure(recipes, args.data, args.rows), args.out, "descriptors")


def _write_measured(content: dict[str, Any], out: Path, name: str) -> None:
    """Write a result file of the system and print its metrics."""
    content |= provenance()
    print(write_result(content, out, "system", name))
    for metric, found in content["metrics"].items():
        print(f"{metric:<48}{found['value']:g}")
