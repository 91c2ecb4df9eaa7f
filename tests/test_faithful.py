"""docs/faithful.md: every known fact of both papers has a place that exists, and a deviation has a reason."""

import re

from tests.conftest import ROOT

PAGE = (ROOT / "docs/faithful.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([AB])(\d+)\. (.+?) \| (.+?) \| `(.+?)` \| (.*?)\s*\|$", PAGE, re.MULTILINE)
STATES = {"as in the paper", "by the recipe", "differs", "unknown"}


def test_every_fact_is_there_once() -> None:
    numbers = {paper: [int(number) for of, number, *_ in ROWS if of == paper] for paper in "AB"}
    assert numbers == {"A": list(range(1, 71)), "B": list(range(1, 19))}


def test_its_place_exists() -> None:
    for *_, place, _ in ROWS:
        name, _, words = place.partition(": ")
        path = ROOT / name
        assert path.is_file(), place
        assert words in path.read_text(encoding="utf-8"), place


def test_a_deviation_has_a_reason() -> None:
    for paper, number, _, state, _, why in ROWS:
        assert state in STATES
        assert why or state != "differs", f"{paper}{number}"
