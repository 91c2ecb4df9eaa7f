"""One name, four places; snippets and prompts name what exists."""

from pathlib import Path

import yaml

from eval.benchmarks import BENCHMARKS
from eval.cards.sections import CORPORA

ROOT = Path(__file__).parent.parent


def test_recipes_cards_and_results_share_names() -> None:
    recipes = {path.stem for path in (ROOT / "train/recipes").glob("*.yaml")}
    cards = {path.stem for path in (ROOT / "model_cards").glob("*.md")}
    results = {path.name for path in (ROOT / "eval/results").iterdir() if path.name != "system"}
    assert results <= cards <= recipes | set(CORPORA), "a recipe has no card before its model is measured"
    for path in (ROOT / "train/recipes").glob("*.yaml"):
        assert yaml.safe_load(path.read_text())["name"] == path.stem


def test_results_are_of_known_benchmarks() -> None:
    for path in (ROOT / "eval/results").glob("emo-pillars-*/*.json"):
        assert path.stem.removeprefix("context-") in {*BENCHMARKS, "context", "probe", "ablations", "corpus"}


def test_no_file_names_this_machine() -> None:
    for path in [*ROOT.glob("*.md"), *(ROOT / "model_cards").glob("*.md"), *(ROOT / "eval/results").rglob("*.json")]:
        text = path.read_text(encoding="utf-8")
        assert "/work/" not in text.replace(" work/", ""), path
        assert "/root/" not in text, path
