"""Puts the generated parts of cards and README between their markers."""

import re
from pathlib import Path

from dataset_builder.inputs import InputError
from eval.cards.metadata import model_index
from eval.cards.overview import measurements_page, readme_section
from eval.cards.plots import names as plot_names
from eval.cards.recipe import recipe_section, recorded_recipe
from eval.cards.results import ModelResult, Results, read_ablations
from eval.cards.sections import CORPORA, corpus_section, main_result, model_section

CARDS = Path("model_cards")
README = Path("README.md")
MEASUREMENTS = Path("docs/measurements.md")
RESULTS = ("<!-- results:begin -->", "<!-- results:end -->")
RECIPE = ("<!-- recipe:begin -->", "<!-- recipe:end -->")
FRONT = ("# results:begin", "# results:end")


def read_text(path: Path) -> str:
    """Return a card's text. Raises InputError if it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8. Save it as UTF-8.") from None


def fill(text: str, section: str, path: Path, markers: tuple[str, str] = RESULTS) -> str:
    """Put a section between the markers. Raises InputError if a card has no markers."""
    begin, end = markers
    pattern = re.compile(f"^{re.escape(begin)}$.*?^{re.escape(end)}$", re.DOTALL | re.MULTILINE)
    if not pattern.search(text):
        raise InputError(f"{path}: has no '{begin}' … '{end}'. Add both markers where the numbers belong.")
    return pattern.sub(lambda _: "\n".join(filter(None, (begin, section, end))), text)


def render(results: dict[str, Results], folder: Path) -> dict[Path, str]:
    """Every card with the results' numbers, README and the page of measurements; `folder` is where the results are."""
    rendered = {
        README: fill(read_text(README), readme_section(results), README),
        MEASUREMENTS: measurements_page(results, folder),
    }
    for path in sorted(CARDS.glob("*.md")):
        text, found = read_text(path), results.get(path.stem, {})
        if path.stem in CORPORA:
            rendered[path] = fill(text, corpus_section(found), path)
            continue
        text = fill(text, model_index(path.stem, found), path, FRONT)
        if recipe := recorded_recipe(found):  # without a result of its own a card keeps the recipe that it shows
            text = fill(text, recipe_section(path.stem, recipe), path, RECIPE)
        rendered[path] = fill(text, model_section(path.stem, found, read_ablations(folder, path.stem)), path)
    return rendered


def plots(results: dict[str, Results], folder: Path) -> dict[Path, ModelResult]:
    """Return the path of each plot of the models' main results, and the result that it shows."""
    found = {name: main_result(name, of_model) for name, of_model in results.items() if name not in CORPORA}
    return {folder / name / file: result for name, result in found.items() if result for file in plot_names(result)}
