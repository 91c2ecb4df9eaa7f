"""python -m eval.cards [--results DIR] [--out DIR] [--check]

Writes between the markers of every card in model_cards/ and of README.md the numbers of eval/results, what the recipe
says, and what the Hub reads (front matter); and the plots beside the results. Other prose is written by hand.
`--check` changes nothing and fails when a card or plot is stale, there or in `--out`.
"""

import argparse
import json
import re
from pathlib import Path

from dataset_builder.inputs import InputError, run_command
from dataset_builder.provenance import RESULTS
from eval.about import about_section, recorded_recipe
from eval.metadata import model_index
from eval.notes import Result
from eval.plots import draw, is_fresh
from eval.plots import names as plot_names
from eval.sections import CORPORA, corpus_section, main_result, model_section, readme_section

CARDS = Path("model_cards")
README = Path("README.md")
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
ABOUT = ("<!-- recipe:begin -->", "<!-- recipe:end -->")
FRONT = ("# results:begin", "# results:end")


def read_results(folder: Path) -> dict[str, dict[str, Result]]:
    """All result files as {published name: {benchmark: result}}; `system/` is not a published name."""
    results: dict[str, dict[str, Result]] = {}
    for path in sorted(folder.glob("*/*.json")):
        if path.parent.name != "system":
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise InputError(f"{path}: broken JSON ({error}). Measure again.") from None
            results.setdefault(path.parent.name, {})[path.stem] = content
    return results


def read_ablations(folder: Path, name: str) -> list[Result]:
    """The results of a published model's ablations: `<folder>/<name>/ablations/<recipe>/<benchmark>.json`."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((folder / name).glob("ablations/*/*.json"))]


def fill(text: str, section: str, path: Path, begin: str = BEGIN, end: str = END) -> str:
    """Put a section between the markers. Raises InputError where a card has no markers."""
    pattern = re.compile(f"^{re.escape(begin)}$.*?^{re.escape(end)}$", re.DOTALL | re.MULTILINE)
    if not pattern.search(text):
        raise InputError(f"{path}: has no '{begin}' … '{end}'. Put the two markers where the numbers go.")
    return pattern.sub(lambda _: "\n".join(filter(None, (begin, section, end))), text)


def render(results: dict[str, dict[str, Result]], folder: Path) -> dict[Path, str]:
    """Every card and README with today's numbers; `folder` is where ablations are."""
    rendered = {README: fill(README.read_text(encoding="utf-8"), readme_section(results), README)}
    for path in sorted(CARDS.glob("*.md")):
        text, found = path.read_text(encoding="utf-8"), results.get(path.stem, {})
        if path.stem in CORPORA:
            rendered[path] = fill(text, corpus_section(found), path)
            continue
        text = fill(text, model_index(path.stem, found), path, *FRONT)
        text = fill(text, about_section(path.stem, recorded_recipe(found)), path, *ABOUT)
        rendered[path] = fill(text, model_section(path.stem, found, read_ablations(folder, path.stem)), path)
    return rendered


def plots(results: dict[str, dict[str, Result]], folder: Path) -> dict[Path, Result]:
    """Where the plots of every model's main result belong, and what each is drawn from."""
    found = {name: main_result(name, of_model) for name, of_model in results.items() if name not in CORPORA}
    return {folder / name / file: result for name, result in found.items() if result for file in plot_names(result)}


def main() -> int:
    """Parse the command line; write the cards and plots, or check them."""
    parser = argparse.ArgumentParser(prog="python -m eval.cards", description="Renders cards from results.")
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    parser.add_argument("--out", type=Path, help="write the cards here and leave model_cards/ and README.md alone")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a card is stale")
    args = parser.parse_args()
    results = read_results(args.results)
    rendered = render(results, args.results)
    drawn = {path: found for path, found in plots(results, args.results).items() if not is_fresh(path, found)}
    if args.out:
        rendered = {args.out / path.name: text for path, text in rendered.items() if path != README}
    if args.check:
        stale = [path for path, text in rendered.items() if not path.exists() or path.read_text("utf-8") != text]
        if stale or drawn:
            named = ", ".join(map(str, [*stale, *drawn]))
            how = f" --results {args.results} --out {args.out}`" if args.out else "` and commit"
            raise InputError(f"stale numbers in {named}. Run `python -m eval.cards{how}.")
        print(f"{len(rendered)} files have today's numbers")
        return 0
    for path, found in drawn.items():
        path.write_bytes(draw(path.name, found))
        print(path)
    for target, text in rendered.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        print(target)
    return 0


if __name__ == "__main__":
    run_command(main)
