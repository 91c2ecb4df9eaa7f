"""The trainer, with a tiny encoder and the scripted corpus."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import AutoTokenizer, DataCollatorWithPadding, pipeline

from dataset_builder.inputs import InputError
from dataset_builder.statistics import expected_calibration_error
from dataset_builder.taxonomy import LABELS
from dataset_builder.thresholds import GRID, choose_thresholds, global_threshold, label_thresholds
from tests.conftest import Command
from train.batches import LengthGroupedBatches
from train.classifier.calibration import calibrate
from train.classifier.data import read_corpus, tokenise
from train.classifier.loop import train
from train.classifier.losses import asymmetric
from train.classifier.recipe import ClassifierRecipe


def recipe(base: Path, corpus: Path, **changes: object) -> ClassifierRecipe:
    values: dict[str, object] = {
        "name": "x",
        "base_model": str(base),
        "dataset": str(corpus),
        "config": "contextless",
        "epochs": 2,
        "learning_rate": 1e-3,
        "head_learning_rate": 1e-2,
    }
    return ClassifierRecipe(**values | changes)  # type: ignore[arg-type]


def test_the_asymmetric_loss_by_hand() -> None:
    logits, targets = torch.tensor([[0.0, 2.0, -3.0]]), torch.tensor([[1.0, 0.0, 0.0]])
    p = 1 / (1 + np.exp(-logits.numpy()[0]))
    by_hand = -(np.log(p[0]) + p[1] ** 2 * np.log(1 - p[1]) + p[2] ** 2 * np.log(1 - p[2])) / 3
    assert asymmetric(logits, targets, 2.0, 0.0).item() == pytest.approx(by_hand, rel=1e-5)
    clipped = p[1] - 0.05  # the third is below the clip: it does not count
    by_hand = -(np.log(p[0]) + clipped**4 * np.log(1 - clipped)) / 3
    assert asymmetric(logits, targets, 4.0, 0.05).item() == pytest.approx(by_hand, rel=1e-5)


def test_losses_agree_where_they_are_the_same() -> None:
    draw = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(8, 28, generator=draw) * 4, torch.rand(8, 28, generator=draw)
    plain = binary_cross_entropy_with_logits(logits, targets)
    assert asymmetric(logits, targets, 0.0, 0.0).item() == pytest.approx(plain.item(), rel=1e-5)
    far = torch.full((1, 2), 200.0, requires_grad=True)
    value = asymmetric(far, torch.tensor([[0.0, 1.0]]), gamma_negative=4.0, clip=0.0)
    assert torch.isfinite(value)
    assert torch.isfinite(torch.autograd.grad(value, far)[0]).all()


def test_a_known_miscalibration_is_found() -> None:
    draw = np.random.default_rng(0)
    true = draw.normal(-1, 2, (20000, 3))
    gold = (draw.random(true.shape) < 1 / (1 + np.exp(-true))).astype(float)
    found = calibrate(true * 3 - 1.5, gold)  # three times too sure, and shifted
    assert found.temperature == pytest.approx(np.full(3, 3), rel=0.05)
    assert found.shift == pytest.approx(np.full(3, 0.5), abs=0.06)
    before, after = (
        expected_calibration_error(gold, expit(logits)) for logits in (true * 3 - 1.5, found(true * 3 - 1.5))
    )
    assert after < 0.01 < 0.1 < before
    rare = gold.copy()
    rare[:, 2] = 0
    assert np.isfinite(calibrate(true, rare).temperature).all()


def test_a_rare_label_takes_most_of_the_global_threshold() -> None:
    draw = np.random.default_rng(1)
    gold = np.zeros((4000, 28))
    gold[:2000, 0] = 1
    gold[:3, 1] = 1
    scores = np.where(gold > 0, 0.5, 0.2) + draw.normal(0, 0.02, gold.shape)
    scores[:3, 1] = 0.9
    scores[:, 1:2] = np.where(gold[:, 1:2] > 0, 0.9, 0.6)
    shared, _ = global_threshold(scores, gold)
    own = label_thresholds(scores, gold)
    assert own[0] == pytest.approx(GRID[np.abs(GRID - 0.25).argmin() :][0], abs=0.2)
    assert abs(own[1] - shared) < abs(0.61 - shared) / 5
    assert own[2] == pytest.approx(shared), "no positives: the global one"


def test_thresholds_are_per_label_only_where_that_helps() -> None:
    draw = np.random.default_rng(2)
    gold = (draw.random((3000, 28)) < 0.2).astype(float)
    level = np.linspace(0.1, 0.8, 28)
    scores = np.clip(level + np.where(gold > 0, 0.1, 0.0) + draw.normal(0, 0.02, gold.shape), 0, 1)
    thresholds, source = choose_thresholds(scores, gold, seed=0)
    assert len(set(thresholds)) > 10
    assert source.startswith("one per label")
    few = np.zeros_like(gold)
    few[:, 0] = gold[:, 0]
    thresholds, source = choose_thresholds(draw.random(gold.shape), few, seed=0)
    assert thresholds.shape == (28,)


def test_one_threshold_can_be_asked_for() -> None:
    draw = np.random.default_rng(3)
    gold = (draw.random((400, 28)) < 0.2).astype(float)
    scores = np.clip(np.linspace(0.1, 0.8, 28) + np.where(gold > 0, 0.1, 0.0), 0, 1)
    thresholds, source = choose_thresholds(scores, gold, seed=0, one_for_all=True)
    shared, best = global_threshold(scores, gold)
    assert set(thresholds) == {shared}
    assert source == f"one for all labels; chosen for F1 on 400 validation rows (macro-F1 {best:.4f})"


def test_the_threshold_is_the_best_of_the_grid() -> None:
    gold = np.zeros((6, 28))
    gold[:3, 0] = gold[3:, 1] = 1
    scores = np.zeros((6, 28))
    scores[:3, 0], scores[3:, 0] = 0.42, 0.30
    scores[3:, 1], scores[:3, 1] = 0.40, 0.20
    threshold, macro_f1 = global_threshold(scores, gold)
    assert macro_f1 == 1.0
    assert 0.30 < threshold <= 0.40


def test_batches_are_full_and_group_by_length() -> None:
    lengths = np.random.default_rng(0).integers(3, 60, 1000)
    batches = LengthGroupedBatches(lengths.tolist(), 16, seed=1)
    first = list(batches)
    assert len(first) == len(batches) == 62
    assert {len(batch) for batch in first} == {16}
    assert len({row for batch in first for row in batch}) == 992, "no row comes twice"
    padded = sum(max(lengths[batch]) * len(batch) for batch in first)
    assert padded < 1.1 * sum(lengths[batch].sum() for batch in first)
    batches.set_epoch(1)
    second = list(batches)
    assert second != first
    assert {row for batch in first + second for row in batch} == set(range(1000)), "what is left over comes later"
    batches.set_epoch(0)
    assert list(batches) == first
    assert list(LengthGroupedBatches([4, 5, 6], 16, seed=1)) == [[2, 1, 0]], "fewer rows than a batch are one"


def test_a_pair_is_cut_at_the_start_of_its_situation(tiny_encoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder, truncation_side="left")
    rows = {"text": ["river window"], "context": ["letter garden " * 20 + "harbour"], "scores": [[0.0] * 28]}
    made = tokenise(rows, tokenizer, recipe(tiny_encoder, tiny_encoder, config="contextual", max_length=12))[0]
    words = tokenizer.convert_ids_to_tokens(made["input_ids"])
    assert len(words) == 12
    assert words[:4] == ["[CLS]", "river", "window", "[SEP]"]
    assert words[-2:] == ["harbour", "[SEP]"]
    assert made["token_type_ids"] == [0] * 4 + [1] * 8


def test_an_utterance_is_read_in_the_recipe_s_template(tiny_encoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    rows = {"text": ["river"] * 2, "character": ["letter", ""], "context": ["garden"] * 2, "scores": [[0.0] * 28] * 2}
    chosen = recipe(tiny_encoder, tiny_encoder, config="contextual", text_template="{character} {text}")
    words = [tokenizer.convert_ids_to_tokens(row["input_ids"]) for row in tokenise(rows, tokenizer, chosen)]
    assert words[0][1:4] == ["letter", "river", "[SEP]"]
    assert words[1][1:3] == ["river", "[SEP]"]


def test_hard_targets_and_padding(tiny_encoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    scores = [[0.29, 0.3] + [0.0] * 26, [1.0] * 28]
    rows = {"text": ["river", "river window letter"], "scores": scores}
    made = tokenise(rows, tokenizer, recipe(tiny_encoder, tiny_encoder, targets="hard"))
    batch = DataCollatorWithPadding(tokenizer)(made)
    assert batch["targets"].tolist() == [[0.0, 1.0] + [0.0] * 26, [1.0] * 28]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert batch["input_ids"].shape == batch["token_type_ids"].shape == (2, 5)


def test_what_is_saved_is_what_a_user_loads(tiny_models: Path) -> None:
    for name, asked in (
        ("emo-pillars-contextless-minilm", "river window"),
        ("emo-pillars-contextual-minilm", {"text": "river window", "text_pair": "letter " * 900}),
    ):
        folder = tiny_models / name
        classify = pipeline("text-classification", model=str(folder), top_k=None, truncation=True)
        scores = classify(asked)
        scores = scores if isinstance(scores[0], dict) else scores[0]
        assert {score["label"] for score in scores} == set(LABELS)
        assert abs(sum(score["score"] for score in scores) - 1) > 0.05, "sigmoid, not softmax"
        config = json.loads((folder / "config.json").read_text())
        assert config["problem_type"] == "multi_label_classification"
        assert [config["id2label"][str(index)] for index in range(28)] == list(LABELS)
        record = json.loads((folder / "training.json").read_text())
        assert config["thresholds"] == record["thresholds"]
        assert set(record["thresholds"]) == set(LABELS)
        assert json.loads((folder / "thresholds.json").read_text())["thresholds"] == config["thresholds"]
        assert "validation rows" in record["threshold_source"]
        tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
        assert tokenizer["tokenizer_class"] != "TokenizersBackend", "transformers 4 could not load it"


def test_equal_recipes_give_equal_weights(tiny_encoder: Path, scripted_work: Path, tmp_path: Path) -> None:
    records = [
        train(recipe(tiny_encoder, scripted_work / "corpus"), None, tmp_path / name, max_steps=4) for name in "ab"
    ]
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()
    assert records[0]["steps"] == 4
    assert (
        records[0]["dataset_revision"] == json.loads((scripted_work / "corpus/manifest.json").read_text())["revision"]
    )


def test_a_corpus_that_is_not_there(tiny_encoder: Path, tmp_path: Path, scripted_work: Path) -> None:
    with pytest.raises(InputError, match="cannot be loaded"):
        read_corpus(recipe(tiny_encoder, tmp_path / "none"), None)
    corpus = read_corpus(recipe(tiny_encoder, tmp_path / "none"), str(scripted_work / "corpus"))
    assert set(corpus.splits) == {"train", "validation", "test"}
    assert len(corpus.revision) == 16


@pytest.mark.end_to_end
def test_accelerate_launch(tiny_encoder: Path, scripted_work: Path, tmp_path: Path, command: Command) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"name: x\nbase_model: {tiny_encoder}\ndataset: {scripted_work / 'corpus'}\nconfig: contextual\nepochs: 1\n"
        "learning_rate: 1e-3\nhead_learning_rate: 1e-2\n"
    )
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1", "-m", "train.classifier"]
    done = command(*launch, "--recipe", path, "--output-dir", tmp_path / "model", "--max-steps", 2)
    assert done.returncode == 0, done.stderr
    assert "2 steps" in done.stdout
    assert (tmp_path / "model/model.safetensors").exists()
