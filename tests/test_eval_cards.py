"""Results as people leave them: whatever is broken, older or of another program is named by its file and key."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from dataset_builder.hashing import fingerprint
from dataset_builder.inputs import InputError, read_yaml
from eval.cards import render as cards
from eval.cards.overview import README_TABLE, SYSTEM, readme_section
from eval.cards.recipe import recipe_section, recorded_recipe
from eval.cards.render import MEASUREMENTS, plots, read_text, render
from eval.cards.results import ModelResult, Result, of_models, read_result, read_results
from tests.conftest import ROOT

NAME = "emo-pillars-contextless-minilm"
WHOLE = json.loads((ROOT / "eval/results" / NAME / "own.json").read_text(encoding="utf-8"))

WRONG: list[Any] = [None, 5, []]


def rendered(folder: Path, content: Any) -> None:
    """Everything that is made of one result file, given as a value or as bytes."""
    path = folder / NAME / "own.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    found = read_results(folder)
    render(found, folder)
    plots(found, folder)


def test_readme_describes_every_published_model_and_shows_what_to_compare_it_with() -> None:
    results = read_results(ROOT / "eval/results")
    about = read_yaml(README_TABLE)
    assert set(about["models"]) == {name for name, found in results.items() if of_models(found)}
    table = readme_section(results)
    for title in about["encoders"].values():
        assert re.search(
            rf"^\| {title} \| for comparison: .* \| 0\.\d{{3}} \| 0\.\d{{3}} \| 0\.\d{{3}} \|$", table, re.MULTILINE
        )
    assert "110M parameters; reported by others | 0.460 |" in table
    lone = readme_section({NAME: {"own": ModelResult.model_validate(WHOLE)}})
    assert "all-MiniLM-L6-v2 |" not in lone


def test_a_result_that_is_whole_or_has_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    rendered(tmp_path, WHOLE)
    rendered(tmp_path, WHOLE | {"seeds": []})
    rendered(tmp_path, b"\xef\xbb\xbf" + json.dumps(WHOLE).encode())


@pytest.mark.parametrize("key", ["benchmark", "per_label", "support", "seeds", "trained_on", "commit", "hardware"])
def test_a_key_that_is_missing_is_named(tmp_path: Path, key: str) -> None:
    with pytest.raises(InputError, match=rf"own\.json: '{key}': Field required"):
        rendered(tmp_path, {name: value for name, value in WHOLE.items() if name != key})


@pytest.mark.parametrize(
    ("change", "key"),
    [
        *(({key: value}, key) for key in ("per_label", "trained_on", "protocol", "commit") for value in WRONG),
        ({"seeds": 1}, "seeds"),
        ({"benchmark": 7}, "benchmark"),
    ],
)
def test_a_key_of_another_kind_is_named(tmp_path: Path, change: dict[str, Any], key: str) -> None:
    with pytest.raises(InputError, match=rf"own\.json: '{key}': "):
        rendered(tmp_path, WHOLE | change)


def test_a_file_of_another_benchmark_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"own\.json: is a result of benchmark 'another'"):
        rendered(tmp_path, WHOLE | {"benchmark": "another"})


@pytest.mark.parametrize(
    "metrics",
    [None, [1], {}, {"macro_f1": 0.5}, {"macro_f1": {}}, {"a": {"value": float("nan")}}, {"ece": {"value": 1}}],
)
def test_metrics_are_numbers(tmp_path: Path, metrics: Any) -> None:
    with pytest.raises(InputError, match=r"own\.json: 'metrics"):
        rendered(tmp_path, WHOLE | {"metrics": metrics})


@pytest.mark.parametrize("content", [b"", b"<html>", b"[1, 2]", json.dumps(WHOLE).encode("utf-16"), b"\xff{}"])
def test_what_is_no_result_is_named(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match=r"own\.json"):
        rendered(tmp_path, content)


def test_broken_ablations_and_cards_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered(tmp_path / "results", WHOLE)
    broken = tmp_path / "results" / NAME / "ablations/no-context/own.json"
    broken.parent.mkdir(parents=True)
    broken.write_text("{")
    with pytest.raises(InputError, match=r"ablations/no-context/own\.json: broken JSON"):
        rendered(tmp_path / "results", WHOLE)
    shutil.rmtree(broken.parent)
    (tmp_path / f"{NAME}.md").write_bytes("# Gefühle".encode("latin-1"))
    with pytest.raises(InputError, match=rf"{NAME}\.md: byte 5 is not UTF-8"):
        read_text(tmp_path / f"{NAME}.md")
    monkeypatch.setattr(cards, "CARDS", tmp_path)
    with pytest.raises(InputError, match="is not UTF-8"):
        rendered(tmp_path / "results", WHOLE)


def test_a_recipe_in_a_result_is_that_of_its_hash() -> None:
    for name, results in read_results(ROOT / "eval/results").items():
        for found in of_models(results).values():
            assert found.recipe is not None, name
            assert fingerprint(found.recipe) == found.recipe_hash, f"{name}, {found.benchmark}"


def test_a_card_shows_the_recorded_recipe() -> None:
    recipe = {"name": "x", "base_model": "a/b", "dataset": "d", "config": "contextless", "epochs": 3, "loss": "bce"}
    recipe |= {"batch_size": 48, "learning_rate": 1e-5, "max_length": 99, "seed": 7, "averaged_with": {"work/y": 0.3}}
    recipe |= {"teacher": "large", "teacher_share": 0.5}
    recipe |= {"mixed_with": [{"dataset": "other", "config": "contextless", "share": 0.2, "own_bias": True}]}
    result = ModelResult.model_validate(WHOLE | {"recipe": recipe})
    assert recorded_recipe({"old": ModelResult.model_validate(WHOLE | {"recipe": None}), "own": result}) == recipe
    section = recipe_section("x", recipe)
    for words in (
        "3 epochs in batches of 48",
        "1e-05",
        "99 tokens",
        "| seed | 7 |",
        "averaged with `y` (0.3)",
        "| teacher | `large` (0.5 of the targets) |",
        "| mixed in | 20% of `other`, config `contextless`, with biases of its own while training |",
    ):
        assert words in section


def test_every_system_measure_is_on_the_page() -> None:
    page = (ROOT / MEASUREMENTS).read_text(encoding="utf-8")
    described = read_yaml(SYSTEM)
    for path in (ROOT / "eval/results/system").glob("*.json"):
        assert f"{path.name}`](../eval/results/system/{path.name})" in page
        assert set(described[path.stem].get("figures", {})) <= set(read_result(path, Result).metrics)
