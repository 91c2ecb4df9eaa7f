"""One step of every recipe of the large encoders at their real size, with random weights: `make test-large`."""

import os
from pathlib import Path

import pytest
from transformers import (
    AutoTokenizer,
    ModernBertConfig,
    ModernBertModel,
    MPNetConfig,
    MPNetModel,
    RobertaConfig,
    RobertaModel,
    set_seed,
)

from dataset_builder.inputs import read_recipe
from tests.conftest import ROOT
from train.classifier.loop import train
from train.classifier.recipe import ClassifierRecipe

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.usefixtures("fresh_accelerator"),
    pytest.mark.skipif(not os.environ.get("TEST_LARGE"), reason="24 GiB of memory and minutes: run `make test-large`"),
]
LARGE = {"hidden_size": 1024, "num_attention_heads": 16}
REAL = {
    "roberta": (
        RobertaModel,
        RobertaConfig(
            **LARGE, num_hidden_layers=24, intermediate_size=4096, max_position_embeddings=514, vocab_size=50265
        ),
    ),
    "modernbert": (
        ModernBertModel,
        ModernBertConfig(**LARGE, num_hidden_layers=28, intermediate_size=2624, vocab_size=50368),
    ),
    "mpnet": (MPNetModel, MPNetConfig(max_position_embeddings=514, vocab_size=30527)),
}
RECIPES = [
    path for path in sorted((ROOT / "train/recipes").glob("emo-pillars-context*.yaml")) if "mini" not in path.stem
]


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_a_step_at_real_size(path: Path, stand_ins: dict[str, Path], scripted_work: Path, tmp_path: Path) -> None:
    chosen = read_recipe(path, ClassifierRecipe)
    (name,) = [name for name in REAL if f"-{name}" in path.stem]
    kind, config = REAL[name]
    set_seed(0)
    base = tmp_path / "base"
    kind(config).save_pretrained(base)
    AutoTokenizer.from_pretrained(stand_ins[name]).save_pretrained(base)
    # a CPU without bfloat16 emulates it, ten times slower than float32; a few rows are enough for a step
    smaller = {"base_model": str(base), "base_model_revision": "main", "mixed_precision": "no", "batch_size": 4}
    record = train(chosen.model_copy(update=smaller), str(scripted_work / "corpus"), tmp_path / "x", max_steps=1)
    assert record["steps"] == 1
    assert (tmp_path / "x/model.safetensors").stat().st_size > 400 * 2**20
