"""Commands for judges: have one read a build, fit and measure an ensemble, list what the judges dispute."""

from argparse import Namespace
from pathlib import Path

from dataset_builder.commands.options import OUT, RECIPE, SEND_KEY, count, group, option
from dataset_builder.inputs import InputError, read_recipe
from dataset_builder.provenance import provenance, write_result

judges = group("judge texts")
RUN = option("work_dir", type=Path, help="the work folder of a build")


@judges(
    RUN,
    RECIPE,
    count("--limit", help="judge at most this many texts, those of earlier runs included"),
    option("--disputed-by", nargs="+", default=[], metavar="JUDGE", help="texts on which these judges differ first"),
    SEND_KEY,
)
def judge(args: Namespace) -> None:
    """Have a judge score the texts of a build; the same command resumes an interrupted run."""
    from dataset_builder.judges.judge import judge_run
    from dataset_builder.judges.recipe import JudgeRecipe

    recipe = read_recipe(args.recipe, JudgeRecipe)
    recipe = recipe.sending_its_key_anyway() if args.send_key_anyway else recipe
    print(f"{args.work_dir}: '{recipe.name}' has read {judge_run(args.work_dir, recipe, args.limit, args.disputed_by)}")


@judges(
    option("--recipe", required=True, help="an ensemble's YAML file, such as dataset_builder/recipes/judges/all.yaml"),
    option("--written", help="a corpus whose held-out written rows the ensemble is fitted on"),
    option("--marked", nargs="+", default=[], type=Path, help="files of marked texts to fit on: .tsv, .jsonl"),
    option("--goemotions", type=Path, help="GoEmotions' official dev.tsv, to measure on"),
    option("--isear", type=Path, help="the folder of ISEAR's files, to measure on"),
    option("--work-dir", required=True, type=Path, help="the folder of the judges' scores"),
    option("--ensemble", required=True, type=Path, help="the file to write the fitted ensemble to"),
    SEND_KEY,
    OUT,
)
def measure_judges(args: Namespace) -> None:
    """Fit an ensemble of judges on held-out rows, and measure it and each judge."""
    from dataset_builder.files.shards import write_json
    from dataset_builder.judges.gold import goemotions_dev, isear_development, marked, written_held_out
    from dataset_builder.judges.measure import measure
    from dataset_builder.judges.recipe import EnsembleRecipe, JudgeRecipe

    recipe = read_recipe(args.recipe, EnsembleRecipe)
    members = [read_recipe(member.recipe, JudgeRecipe) for member in recipe.judges]
    if args.send_key_anyway:
        members = [member.sending_its_key_anyway() for member in members]
    if len({member.name for member in members}) < len(members):
        raise InputError(f"{args.recipe}: two judges have the same name. Give each a different name.")
    fitted_on = [*(written_held_out(args.written) if args.written else ()), *marked(args.marked)]
    if not fitted_on:
        raise InputError("give --written CORPUS, --marked FILES, or both: the ensemble is fitted on these rows.")
    measured_on = [goemotions_dev(args.goemotions)] if args.goemotions else []
    measured_on += [isear_development(args.isear)] if args.isear else []
    ensemble, content = measure(recipe, members, fitted_on, measured_on, args.work_dir)
    write_json(args.ensemble, ensemble.model_dump(mode="json"))
    print(write_result(content | provenance(), args.out, "system", "judges"))
    for name, found in content["metrics"].items():
        print(f"{name:<64}{found['value']:g}")


@judges(
    RUN,
    option("--ensemble", required=True, help="a fitted ensemble, as measure-judges writes it"),
    option("--out", required=True, type=Path, help="the file to write: JSON lines"),
)
def disputed(args: Namespace) -> None:
    """List the rows of a build whose own labels no judge gives; somebody should read them again."""
    from dataset_builder.files.shards import to_line, write_whole
    from dataset_builder.judges.disputed import disputed_rows

    rows = [*disputed_rows(args.work_dir, args.ensemble)]
    write_whole(args.out, map(to_line, rows))
    print(f"{args.out}: {len(rows)} rows")
