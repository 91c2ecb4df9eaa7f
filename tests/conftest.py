"""Shared fixtures: a scripted corpus, a tiny encoder, and commands as a user runs them."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# Tests leave nothing in the cache of whoever runs them.
_CACHE = tempfile.TemporaryDirectory(prefix="datasets-cache-")
os.environ["HF_DATASETS_CACHE"] = _CACHE.name
ROOT = Path(__file__).parent.parent

SCRIPTED = """
name: test
seed: 7
teacher: {kind: scripted, bad_reply_share: 0.1}
executor: {shards: 2}
narratives: {limit: 6}
characters: {limit: 4}
"""

Command = Callable[..., subprocess.CompletedProcess[str]]


def run_command(*arguments: object, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `python ARGUMENTS` from the repository's root."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=environment or dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.fixture(scope="session")
def command() -> Command:
    return run_command


@pytest.fixture(scope="session")
def scripted_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "scripted.yaml"
    path.write_text(SCRIPTED)
    return path


@pytest.fixture(scope="session")
def scripted_work(scripted_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder built by the scripted teacher; tests only read it."""
    from dataset_builder.build import build
    from dataset_builder.inputs import read_recipe
    from dataset_builder.recipe import BuildRecipe

    work = tmp_path_factory.mktemp("scripted")
    build(read_recipe(scripted_recipe, BuildRecipe), work)
    return work


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer BERT with random weights and a word-piece vocabulary of its own."""
    import string

    from transformers import BertConfig, BertModel, BertTokenizerFast, set_seed

    from dataset_builder.teachers.scripted import WORDS

    folder = tmp_path_factory.mktemp("tiny-encoder")
    pieces = [*string.ascii_lowercase, *string.digits, *(f"##{letter}" for letter in string.ascii_lowercase), ".", ","]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces, *(w for w in WORDS if w not in pieces)]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    tokenizer = BertTokenizerFast(vocab={piece: index for index, piece in enumerate(vocabulary)})
    tokenizer.save_pretrained(folder)
    set_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=512,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_models(tiny_encoder: Path, scripted_work: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both published models, trained on the scripted corpus from the tiny encoder for a few steps."""
    from train.classifier import train
    from train.recipe import ClassifierRecipe

    models = tmp_path_factory.mktemp("models")
    for config in ("contextless", "contextual"):
        recipe = ClassifierRecipe(
            name=f"emo-pillars-{config}-minilm",
            base_model=str(tiny_encoder),
            dataset=str(scripted_work / "corpus"),
            config=config,
            epochs=1,
            learning_rate=1e-3,
            head_learning_rate=1e-2,
        )
        train(recipe, None, models / recipe.name, max_steps=3)
    return models
