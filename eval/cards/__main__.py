"""python -m eval.cards [--results DIR] [--out DIR] [--check]

Writes the numbers in eval/results between the markers of every card in model_cards/ and of README.md, with each model's
recipe and the front matter for the Hub. Writes docs/measurements.md, and the plots into the results folders. Other
prose is written by hand. `--check` changes nothing and fails if a card, page or plot is out of date, here or in
`--out`.
"""

import argparse
from pathlib import Path

from dataset_builder.inputs import InputError, run_command
from dataset_builder.provenance import RESULTS
from eval.cards.plots import draw, is_fresh
from eval.cards.render import CARDS, plots, read_text, render
from eval.cards.results import read_results


def main() -> None:
    """Parse the command line; write the cards and plots, or check them."""
    parser = argparse.ArgumentParser(prog="python -m eval.cards", description="Renders cards from results.")
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    parser.add_argument("--out", type=Path, help="write the cards here, and change nothing in the repository")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if something is out of date")
    args = parser.parse_args()
    results = read_results(args.results)
    if not results and not args.check:
        raise InputError(f"{args.results}: contains no result. Cards would lose their numbers: check --results.")
    rendered = render(results, args.results)
    stale_plots = {path: found for path, found in plots(results, args.results).items() if not is_fresh(path, found)}
    if args.out:
        rendered = {args.out / path.name: text for path, text in rendered.items() if path.parent == CARDS}
    if args.check:
        stale = [path for path, text in rendered.items() if not path.exists() or read_text(path) != text]
        if stale or stale_plots:
            named = ", ".join(map(str, [*stale, *stale_plots]))
            options = f" --results {args.results} --out {args.out}`" if args.out else "` and commit"
            raise InputError(f"out-of-date numbers in {named}. Run `python -m eval.cards{options}.")
        print(f"the numbers in {len(rendered)} files match the results")
        return
    for path, found in stale_plots.items():
        path.write_bytes(draw(path.name, found))
        print(path)
    for target, text in rendered.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        print(target)


if __name__ == "__main__":
    run_command(main)
