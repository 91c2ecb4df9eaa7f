"""python -m eval.cards [--results DIR] [--out DIR] [--check]

Writes between the markers of every card in model_cards/ and of README.md the numbers of eval/results, what the recipe
says, and what the Hub reads (front matter); and the plots beside the results. Other prose is written by hand.
`--check` changes nothing and fails when a card or plot is stale, there or in `--out`.
"""

import argparse
import math
import re
from pathlib import Path
from typing import Any

from dataset_builder.files.reading import json_file
from dataset_builder.inputs import InputError, run_command
from dataset_builder.provenance import RESULTS
from eval.cards.metadata import model_index
from eval.cards.model_card import about_section, recorded_recipe
from eval.cards.notes import Result
from eval.cards.plots import draw, is_fresh
from eval.cards.plots import names as plot_names
from eval.cards.sections import CORPORA, corpus_section, main_result, model_section, readme_section

CARDS = Path("model_cards")
README = Path("README.md")
KINDS = {"benchmark": str, "per_label": dict, "protocol": str, "seeds": list, "trained_on": dict, "commit": str}
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
ABOUT = ("<!-- recipe:begin -->", "<!-- recipe:end -->")
FRONT = ("# results:begin", "# results:end")


def read_results(folder: Path) -> dict[str, dict[str, Result]]:
    """All result files as {published name: {benchmark: result}}; `system/` is not a published name.

    Raises:
        InputError: a file is broken or no result; so does what is read of a result later, where it lacks that.
    """
    results: dict[str, dict[str, Result]] = {}
    for path in sorted(folder.glob("*/*.json")):
        if path.parent.name != "system":
            results.setdefault(path.parent.name, {})[path.stem] = read_result(path)
    return results


def read_ablations(folder: Path, name: str) -> list[Result]:
    """The results of a published model's ablations: `<folder>/<name>/ablations/<recipe>/<benchmark>.json`."""
    return [read_result(path) for path in sorted((folder / name).glob("ablations/*/*.json"))]


class _Of(dict[str, Any]):
    """A mapping of a result file, which knows its file: what it lacks is an InputError."""

    def __init__(self, content: dict[str, Any], path: Path) -> None:
        super().__init__(content)
        self.path = path

    def __missing__(self, key: str) -> Any:
        raise InputError(f"{self.path}: lacks '{key}'. Measure again, or take the file away.")


def read_result(path: Path) -> Result:
    """A result file. Raises InputError where it is broken, or its metrics are no numbers."""

    def owned(value: Any) -> Any:
        if isinstance(value, dict):
            return _Of({key: owned(one) for key, one in value.items()}, path)
        return [owned(one) for one in value] if isinstance(value, list) else value

    content: Result = owned(json_file(path, "Measure again."))
    metrics = content.get("metrics") if isinstance(content, dict) else None
    if not isinstance(metrics, dict) or not all(map(_is_metric, metrics.values())):
        raise InputError(f"{path}: no result: its metrics are not numbers with names. Measure again, or take it away.")
    wrong = [key for key, kind in KINDS.items() if key in content and not isinstance(content[key], kind)]
    if wrong or content.get("benchmark", path.stem) != path.stem:
        key = wrong[0] if wrong else "benchmark"
        raise InputError(f"{path}: '{key}' is {content[key]!r:.80}, which it cannot be. Measure again.")
    return content


def _is_metric(found: Any) -> bool:
    value = found.get("value") if isinstance(found, dict) else None
    return isinstance(value, int | float) and math.isfinite(value)


def read_text(path: Path) -> str:
    """A card's text. Raises InputError where it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8. Save it as UTF-8.") from None


def fill(text: str, section: str, path: Path, begin: str = BEGIN, end: str = END) -> str:
    """Put a section between the markers. Raises InputError where a card has no markers."""
    pattern = re.compile(f"^{re.escape(begin)}$.*?^{re.escape(end)}$", re.DOTALL | re.MULTILINE)
    if not pattern.search(text):
        raise InputError(f"{path}: has no '{begin}' … '{end}'. Put the two markers where the numbers go.")
    return pattern.sub(lambda _: "\n".join(filter(None, (begin, section, end))), text)


def render(results: dict[str, dict[str, Result]], folder: Path) -> dict[Path, str]:
    """Every card and README with today's numbers; `folder` is where ablations are."""
    rendered = {README: fill(read_text(README), readme_section(results), README)}
    for path in sorted(CARDS.glob("*.md")):
        text, found = read_text(path), results.get(path.stem, {})
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
    if not results and not args.check:
        raise InputError(f"{args.results}: holds no result. Cards would lose their numbers: check --results.")
    rendered = render(results, args.results)
    drawn = {path: found for path, found in plots(results, args.results).items() if not is_fresh(path, found)}
    if args.out:
        rendered = {args.out / path.name: text for path, text in rendered.items() if path != README}
    if args.check:
        stale = [path for path, text in rendered.items() if not path.exists() or read_text(path) != text]
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
