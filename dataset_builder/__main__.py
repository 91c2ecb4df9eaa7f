"""python -m dataset_builder build --recipe dataset_builder/recipes/demo.yaml --work-dir work/demo"""

import argparse
from itertools import chain

from dataset_builder.commands import corpora, evaluation, judging  # noqa: F401 (they add their commands to GROUPS)
from dataset_builder.commands.options import GROUPS
from dataset_builder.inputs import run_command


def make_parser() -> argparse.ArgumentParser:
    """Return the command line: a parser for each command, and a help page that lists the commands by group."""
    listed = ""
    for title, commands in GROUPS.items():
        listed += "\n".join([f"\n\n{title}:", *(f"  {command.name:<21}{command.help}" for command in commands)])
    parser = argparse.ArgumentParser(
        prog="python -m dataset_builder",
        description=f"Builds and examines corpora of emotional utterances.{listed}",
        epilog="`python -m dataset_builder COMMAND --help` lists the options of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parsers = {"": parser.add_subparsers(dest="command", required=True, metavar="COMMAND")}
    for command in chain.from_iterable(GROUPS.values()):
        first, _, word = command.name.rpartition(" ")
        if first not in parsers:
            parsers[first] = parsers[""].add_parser(first).add_subparsers(dest="step", required=True, metavar="STEP")
        added = parsers[first].add_parser(word, description=command.help)
        for names, settings in command.options:
            added.add_argument(*names, **settings)
        added.set_defaults(run=command.run)
    return parser


def main() -> int | None:
    """Parse the command line and run the command."""
    args = make_parser().parse_args()
    code: int | None = args.run(args)
    return code


if __name__ == "__main__":
    run_command(main)
