"""A small release for push.py, made in seconds: a corpus, tiny models, their recipes, results, cards and a Space."""

import json
import random
import string
from pathlib import Path
from typing import Any

import yaml

from dataset_builder.inputs import read_recipe
from dataset_builder.provenance import write_result

SCRIPTED = """
name: test
seed: 7
teacher: {kind: scripted, bad_reply_share: 0.1}
executor: {shards: 2}
narratives: {limit: 6}
characters: {limit: 4}
"""
SPACE_CARD = (
    "---\ntitle: Emo Pillars\nsdk: gradio\napp_file: app.py\n---\n\n# Try it\n\nType a sentence. See NAMESPACE.\n"
)
SPACE_APP = (
    'from transformers import pipeline\n\nclassify = pipeline(model="NAMESPACE/emo-pillars-contextual-minilm")\n'
)


def scripted_recipe(path: Path) -> Path:
    """Write the recipe of a corpus by the scripted teacher."""
    path.write_text(SCRIPTED, encoding="utf-8")
    return path


def scripted_work(recipe: Path, work: Path) -> Path:
    """Build the scripted teacher's corpus in `work/corpus`."""
    from dataset_builder.pipeline.build import build
    from dataset_builder.recipe import BuildRecipe

    build(read_recipe(recipe, BuildRecipe), work)
    return work


def tiny_encoder(folder: Path) -> Path:
    """Return a two-layer BERT with random weights and a word-piece vocabulary of its own."""
    from transformers import BertConfig, BertModel, BertTokenizerFast, set_seed

    from dataset_builder.teachers.scripted import WORDS

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


def tiny_models(encoder: Path, corpus: Path, models: Path) -> Path:
    """Two models, trained on the scripted corpus from the tiny encoder for three steps."""
    from train.classifier.loop import train
    from train.classifier.recipe import ClassifierRecipe

    for config in ("contextless", "contextual"):
        recipe = ClassifierRecipe(
            name=f"emo-pillars-{config}-minilm",
            base_model=str(encoder),
            dataset=str(corpus),
            config=config,
            epochs=1,
            learning_rate=1e-3,
            head_learning_rate=1e-2,
        )
        train(recipe, None, models / recipe.name, max_steps=3)
    return models


def evidence(models: Path, folder: Path) -> Path:
    """Write what a release needs besides models: `folder/recipes`, `/results`, `/cards` with the numbers, `/space`."""
    from eval.cards.render import CARDS, render
    from eval.cards.results import read_results

    for part in ("recipes", "cards", "space"):
        (folder / part).mkdir(parents=True)
    for record in sorted(models.glob("*/training.json")):
        about = json.loads(record.read_text(encoding="utf-8"))
        recipe = yaml.safe_dump(about["recipe"])
        (folder / "recipes" / f"{about['name']}.yaml").write_text(recipe, encoding="utf-8")
        write_result(_result(about), folder / "results", about["name"], "own")
    for path, text in render(read_results(folder / "results"), folder / "results").items():
        if path.parent == CARDS:
            (folder / "cards" / path.name).write_text(text, encoding="utf-8")
    (folder / "space/README.md").write_text(SPACE_CARD, encoding="utf-8")
    (folder / "space/app.py").write_text(SPACE_APP, encoding="utf-8")
    return folder


def _result(about: dict[str, Any]) -> dict[str, Any]:
    """Return a result for the model of a training record; its numbers are made up, and all differ."""
    draw = random.Random(about["name"])
    metrics = {name: {"value": round(draw.random(), 4)} for name in ("macro_f1", "micro_f1", "macro_f1_at_05", "ece")}
    return {
        "name": about["name"],
        "benchmark": "own",
        "headline": "macro_f1",
        "metrics": metrics,
        "per_label": {"joy": {"f1": round(draw.random(), 4), "support": 4}},
        "support": 4,
        "threshold_source": "the model's config",
        "seeds": [about["recipe"]["seed"]],
        "model_revision": about["weights_sha256"][:16],
        "data_revision": "none",
        "protocol": "test",
        "trained_on": {"dataset_revision": about["dataset_revision"], "train_rows": about["train_rows"], "steps": 3},
        "recipe_hash": about["recipe_hash"],
        "commit": "0" * 40,
        "hardware": "none",
    }


def arguments(work: Path, models: Path, folder: Path) -> list[str]:
    """Return the folders of a release as arguments of push.py."""
    folders = {"corpus": work / "corpus", "descriptors": folder / "texts", "models": models}
    folders |= {part: folder / part for part in ("recipes", "results", "cards", "space")}
    return [str(word) for part, place in folders.items() for word in (f"--{part}", place)]
