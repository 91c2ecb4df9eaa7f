"""The training loop as it is run: resumed, on two processes, averaged, adapted, tracked, on every architecture."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from dataset_builder.domains.prepare import prepare
from dataset_builder.inputs import InputError, read_recipe
from dataset_builder.taxonomy import LABELS
from eval.benchmarks import find
from eval.measure import decide
from eval.metrics import accuracy
from eval.models import load_classifier
from tests.conftest import ROOT, Command, launched_on
from train.checkpoint import CHECKPOINT, Progress, moving_average
from train.classifier import loop as classifier
from train.classifier.calibration import Calibration
from train.classifier.loop import train
from train.classifier.model import (
    fit_head,
    fold_calibration_into_head,
    last_linear,
    load_model,
    round_weights,
    save_model,
    with_pooling_layer,
)
from train.classifier.recipe import ClassifierRecipe, Lora

Recipe = dict[str, Any]


pytestmark = pytest.mark.usefixtures("fresh_accelerator")


def recipe(base: Path, corpus: Path, **changes: object) -> ClassifierRecipe:
    values: Recipe = {
        "name": "x",
        "base_model": str(base),
        "dataset": str(corpus),
        "config": "contextless",
        "epochs": 2,
        "batch_size": 16,
        "learning_rate": 1e-3,
        "head_learning_rate": 1e-2,
    }
    return ClassifierRecipe.model_validate(values | changes)


class Interrupted(Exception):
    """Stands for a power cut."""


@pytest.mark.parametrize("after", [3, 9])  # in the first epoch, and in the second
def test_a_resumed_run_gives_the_weights_of_an_undisturbed_one(
    tiny_encoder: Path, scripted_work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    chosen = recipe(tiny_encoder, scripted_work / "corpus", epochs=4, ema_decay=0.9, gradient_accumulation_steps=2)
    whole = train(chosen, None, tmp_path / "whole", max_steps=12)
    updates = 0

    def stop(model: Any, *args: object, **options: object) -> None:
        nonlocal updates
        updates += 1
        if updates > after:
            raise Interrupted

    with monkeypatch.context() as patch:
        kept = classifier.moving_average

        def cut(*args: Any) -> Any:
            average = kept(*args)
            follow = average.update_parameters
            average.update_parameters = lambda model: (stop(model), follow(model))
            return average

        patch.setattr(classifier, "moving_average", cut)
        with pytest.raises(Interrupted):
            train(chosen, None, tmp_path / "cut", max_steps=12, keep_every=2)
    assert (tmp_path / "cut" / CHECKPOINT).is_dir()
    assert not (tmp_path / "cut/training.json").exists()
    torch.manual_seed(999)  # another process would be in another state
    resumed = train(chosen, None, tmp_path / "cut", max_steps=12, resume=True)
    assert resumed["steps"] == whole["steps"] == 12
    assert (tmp_path / "cut/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()
    assert not (tmp_path / "cut" / CHECKPOINT).exists()


def test_a_checkpoint_of_another_recipe_is_refused(tiny_encoder: Path, scripted_work: Path, tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).mkdir()
    (tmp_path / CHECKPOINT / "recipe_hash").write_text("other")
    with pytest.raises(InputError, match="belongs to a different recipe"):
        train(recipe(tiny_encoder, scripted_work / "corpus"), None, tmp_path, resume=True)


@pytest.mark.end_to_end
def test_two_processes_lose_what_one_loses(
    tiny_encoder: Path, scripted_work: Path, tmp_path: Path, command: Command
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"name: x\nbase_model: {tiny_encoder}\ndataset: {scripted_work / 'corpus'}\nconfig: contextual\nepochs: 1\n"
        "learning_rate: 1e-3\nhead_learning_rate: 1e-2\nbatch_size: 16\ndropout: 0.0\n"
    )
    losses = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        done = command(
            *launched_on(processes, "-m", "train.classifier", "--recipe", path),
            "--output-dir", folder, "--max-steps", 6,
            "--tracker", "tensorboard", environment=dict(os.environ) | {"ACCELERATE_USE_CPU": "true"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert json.loads((folder / "training.json").read_text())["processes"] == processes
        losses.append(_losses(folder))
        losses.append(load_file(folder / "model.safetensors")["classifier.weight"].numpy())
    assert losses[0] == pytest.approx(losses[2], rel=1e-4)
    assert losses[0]
    assert losses[1] == pytest.approx(losses[3], rel=1e-3, abs=1e-5)


def _losses(folder: Path) -> list[float]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logs = [EventAccumulator(str(path)).Reload() for path in sorted(folder.rglob("events.out.tfevents*"))]
    return [point.value for log in logs if "loss" in log.Tags()["scalars"] for point in log.Scalars("loss")]


def test_the_local_tracker_gets_the_losses(
    tiny_encoder: Path, scripted_work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    train(recipe(tiny_encoder, scripted_work / "corpus"), None, tmp_path / "x", max_steps=10, tracker="trackio")
    assert list((tmp_path / "trackio").rglob("*.db")) or list((tmp_path / "trackio").rglob("*.parquet"))


def test_the_moving_average_by_hand() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, 1.0)
    average = moving_average(model, 0.15)
    assert average is not None
    expected = 1.0
    for step, weight in enumerate((2.0, 3.0, 5.0)):
        torch.nn.init.constant_(model.weight, weight)
        average.update_parameters(model)
        if step == 0:
            expected = weight  # the first update is a copy
        else:
            decay = min(0.15, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay) * weight
        assert average.module.weight.item() == pytest.approx(expected)
    assert moving_average(model, None) is None


def test_the_best_weights_are_kept_and_only_the_trained_ones() -> None:
    model, progress = torch.nn.Linear(2, 2), Progress()
    model.bias.requires_grad_(False)
    progress.update_best(0.5, model)
    kept = progress.weights["weight"].clone()
    torch.nn.init.zeros_(model.weight)
    progress.update_best(0.4, model)
    assert torch.equal(progress.weights["weight"], kept)
    assert set(progress.weights) == {"weight"}
    progress.update_best(float("nan"), model)
    assert progress.best == 0.5


def test_the_pooling_layer_starts_as_the_mean(tiny_encoder: Path) -> None:
    chosen = recipe(tiny_encoder, tiny_encoder)
    tokenizer, shallow = load_model(chosen)
    deep = with_pooling_layer(shallow, chosen).eval()
    assert deep.config.num_hidden_layers == 3
    batch = tokenizer(["river window letter garden", "harbour"], padding=True, return_tensors="pt")
    with torch.no_grad():
        states = deep.bert(**batch, output_hidden_states=True)
        mask = batch["attention_mask"][..., None]
        before = states.hidden_states[-2]
        mean = (before * mask).sum(1) / mask.sum(1)
        wanted = torch.nn.functional.layer_norm(before[:, 0] + 4 * mean, mean.shape[-1:])
    assert torch.allclose(states.last_hidden_state[:, 0], wanted, atol=0.05)
    shallow.config.model_type = "roberta"
    with pytest.raises(InputError, match="for BERT models"):
        with_pooling_layer(shallow, chosen)


def test_a_fitted_head_is_logistic_regression(tiny_encoder: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    tokenizer, model = load_model(recipe(tiny_encoder, tiny_encoder))
    draw = np.random.default_rng(0)
    words = ["river", "window", "letter", "garden", "harbour", "candle", "bridge", "street"]
    texts = [" ".join(draw.choice(words, 5)) for _ in range(400)]
    batch = dict(tokenizer(texts, padding=True, return_tensors="pt"))
    with torch.no_grad():
        features = model.eval().bert(**batch).pooler_output.numpy()
    gold = (np.array([["river" in text] * 28 for text in texts])).astype(np.float32)
    fit_head(model, [batch | {"targets": torch.from_numpy(gold)}], binary_cross_entropy_with_logits)
    with torch.no_grad():
        found = model(**{name: value for name, value in batch.items() if name != "targets"}).logits[:, 0].numpy()
    standard = (features - features.mean(0)) / features.std(0)
    expected = LogisticRegression(C=50, max_iter=2000).fit(standard, gold[:, 0]).decision_function(standard)
    assert np.corrcoef(found, expected)[0, 1] > 0.98


def test_calibration_goes_into_the_head(tiny_encoder: Path) -> None:
    tokenizer, model = load_model(recipe(tiny_encoder, tiny_encoder))
    batch = tokenizer(["river window"], return_tensors="pt")
    draw = np.random.default_rng(0)
    calibration = Calibration(temperature=draw.uniform(0.5, 2, 28), shift=draw.normal(size=28))
    with torch.no_grad():
        before = model.eval()(**batch).logits.numpy()
        fold_calibration_into_head(model, calibration)
        after = model(**batch).logits.numpy()
    assert after == pytest.approx(calibration(before), abs=1e-5)


def test_the_paper_keeps_the_last_epoch_uncalibrated_with_one_threshold(
    tiny_encoder: Path, scripted_work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.9, 0.1, 0.2])
    monkeypatch.setattr(classifier, "evaluate", lambda *_: next(scores))
    paper = {"best_by": "last", "calibrate": False, "thresholds": "one", "epochs": 3}
    record = train(recipe(tiny_encoder, scripted_work / "corpus", **paper), None, tmp_path)
    assert (record["best_epoch"], record["validation_macro_f1"]) == (3, [0.9, 0.1, 0.2])
    assert set(record["temperatures"].values()) == {1.0}
    assert len(set(record["thresholds"].values())) == 1


def test_weights_are_published_in_half_precision_and_computed_in_single(tiny_encoder: Path, tmp_path: Path) -> None:
    chosen = recipe(tiny_encoder, tiny_encoder)
    tokenizer, model = load_model(chosen)
    batch = tokenizer(["river window letter"], return_tensors="pt")
    with torch.no_grad():
        before = model.eval()(**batch).logits.sigmoid()
        round_weights(model)
        save_model(
            model, tokenizer, chosen, {"thresholds": {}, "threshold_source": "", "dataset_revision": ""}, tmp_path
        )
        assert {values.dtype for values in load_file(tmp_path / "model.safetensors").values()} == {torch.float16}
        read = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
        assert {weight.dtype for weight in read.parameters()} == {torch.float32}
        after = read(**batch).logits.sigmoid()
    assert torch.equal(after, model(**batch).logits.sigmoid())
    assert 0 < (after - before).abs().max() < 1e-3


def test_an_adapter_is_published_merged_and_alone(tiny_encoder: Path, scripted_work: Path, tmp_path: Path) -> None:
    from peft import AutoPeftModelForSequenceClassification

    chosen = recipe(tiny_encoder, scripted_work / "corpus", lora=Lora(rank=4, alpha=8))
    train(chosen, None, tmp_path, max_steps=3)
    alone = AutoPeftModelForSequenceClassification.from_pretrained(tmp_path / "adapter", num_labels=28).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    batch = tokenizer(["river window letter"], return_tensors="pt")
    with torch.no_grad():
        adapted = alone(**batch).logits.sigmoid()[0]
    scores = pipeline("text-classification", model=str(tmp_path), top_k=None)("river window letter")
    merged = {found["label"]: found["score"] for found in (scores if isinstance(scores[0], dict) else scores[0])}
    assert adapted.tolist() == pytest.approx([merged[label] for label in LABELS], abs=1e-4)


def test_a_frozen_encoder_is_left_as_it_is(tiny_encoder: Path, scripted_work: Path, tmp_path: Path) -> None:
    chosen = recipe(tiny_encoder, scripted_work / "corpus", train_encoder=False, fit_head=True)
    record = train(chosen, None, tmp_path, resume=True)  # nothing is there: from the start
    assert record["steps"] == 0
    before, after = load_file(tiny_encoder / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    name = "encoder.layer.0.output.dense.weight"
    assert torch.equal(after[f"bert.{name}"], before[name].half())


def test_wrong_recipes_are_refused(tiny_encoder: Path, scripted_work: Path, tmp_path: Path) -> None:
    for changes, words in (
        ({"loss": "focal"}, "loss"),
        ({"gamma_positive": 1.0}, "key 'gamma_positive' was retired; remove it"),
        ({"lora": {"publish": "adapter"}}, "key 'publish' was retired; remove it"),
        ({"train_encoder": False}, "fit_head"),
        ({"ema_decay": 1.5}, "ema_decay"),
        ({"clip": 1.0}, "clip"),
    ):
        with pytest.raises(ValueError, match=words):
            recipe(tiny_encoder, scripted_work, **changes)
    corpus = scripted_work / "corpus"
    with pytest.raises(InputError, match="leaves no room for its situation"):
        train(recipe(tiny_encoder, corpus, config="contextual", max_length=6), None, tmp_path)
    with pytest.raises(InputError, match="more than the base model's 512"):
        train(recipe(tiny_encoder, corpus, max_length=600), None, tmp_path)


RECIPES = sorted(p for p in (ROOT / "train/recipes").rglob("*.yaml") if "zeroshot" not in p.name)


@pytest.mark.end_to_end
@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_every_recipe_takes_a_step(path: Path, stand_ins: dict[str, Path], scripted_work: Path, tmp_path: Path) -> None:
    """On a two-layer stand-in of its architecture and the scripted corpus; what is published loads and scores."""
    chosen = read_recipe(path, ClassifierRecipe)
    smaller: Recipe = {
        "base_model": str(stand_ins[_encoder(chosen.base_model + chosen.name)]),
        "base_model_wheel": None,
        "batch_size": 8,
    }
    smaller["base_model_revision"] = "main"
    train(chosen.model_copy(update=smaller), str(scripted_work / "corpus"), tmp_path, max_steps=2)
    asked: Any = "river window"
    if chosen.config == "contextual":
        asked = {"text": "river window", "text_pair": "letter garden " * 900 + "harbour"}
    strategy = "only_second" if chosen.config == "contextual" else True
    scores = pipeline("text-classification", model=str(tmp_path), top_k=None, truncation=strategy)(asked)
    scores = scores if isinstance(scores[0], dict) else scores[0]
    assert {score["label"] for score in scores} == set(LABELS)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert last_linear(model).out_features == 28
    shutil.rmtree(tmp_path)


def _encoder(name: str) -> str:
    return next(encoder for encoder in ("minilm", "mpnet", "modernbert", "roberta") if encoder in name.lower())


def test_a_model_learns_to_use_situations(tiny_encoder: Path, tmp_path: Path) -> None:
    """Planted: all utterances are alike, and a word of the situation decides."""
    source, classes = tmp_path / "source", {"river": "happy", "window": "sad", "letter": "angry", "garden": "others"}
    source.mkdir()
    draw = np.random.default_rng(0)
    for name, rows in (("train", 320), ("dev", 80), ("test", 80)):
        words = draw.choice(list(classes), rows)
        lines = [f"{row}\tbridge {word}\tcandle\tstreet\t{classes[word]}" for row, word in enumerate(words)]
        (source / f"{name}.txt").write_text("\n".join(["id\tturn1\tturn2\tturn3\tlabel", *lines]) + "\n")
    prepare("emocontext", source, tmp_path / "domain")
    warm: dict[str, Any] = {"pooling_layer": True, "fit_head": True, "text_template": "{character}: {text}"}
    chosen = recipe(tiny_encoder, tmp_path / "domain", config="contextual", targets="hard", epochs=4, **warm)
    train(chosen, None, tmp_path / "model")
    model, benchmark = load_classifier(str(tmp_path / "model")), find("emocontext")
    rows_ = benchmark.load(str(tmp_path / "domain"), "contextual")
    assert rows_.contexts is not None
    assert set(rows_.characters or []) == {"A"}
    right = {
        name: accuracy(
            rows_.gold, decide(benchmark, model.predict(rows_.texts, given, rows_.characters), model.thresholds)
        )
        for name, given in (("own", rows_.contexts), ("none", None), ("other", rows_.contexts[1:] + rows_.contexts[:1]))
    }
    assert right["own"] > 0.95
    assert right["none"] < 0.5
    assert right["other"] < 0.5
