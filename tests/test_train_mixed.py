"""Trainings that learn from more than one place: data sets that are mixed, and a teacher."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoModelForSequenceClassification

from dataset_builder.filters.deduplicate import words_digest
from dataset_builder.inputs import InputError
from dataset_builder.provenance import weights_digest
from dataset_builder.taxonomy import LABEL_TO_INDEX, LABELS
from eval.models import load_classifier
from tests.test_data_sets import write
from tests.test_train_runs import recipe
from train.classifier.data import read_corpus, read_others, tokenise
from train.classifier.loop import train
from train.classifier.model import load_model, without_source_biases
from train.classifier.teacher import learn_from_teacher
from train.launch import start_process
from train.training_record import describe_inputs

pytestmark = pytest.mark.usefixtures("fresh_accelerator")
DECIDES = {"river": "joy", "window": "sadness"}


def planted(folder: Path, neutral: float, rows: int = 320) -> Path:
    """A corpus in which a word decides between joy and sadness, and in which annotators add neutral to a share."""
    draw, made = np.random.default_rng(1), {}
    for split, size in (("train", rows), ("validation", 80), ("test", 8)):
        made[split] = []
        for number in range(size):
            word, *others = str(draw.choice(list(DECIDES))), *map(str, draw.choice(["letter", "garden", "candle"], 3))
            names = {DECIDES[word]} | ({"neutral"} if draw.random() < neutral else set())
            labels = sorted(LABEL_TO_INDEX[name] for name in names)
            scores = [float(label in labels) for label in range(len(LABELS))]
            text = " ".join([word, *others, f"{folder.name}{split}{number}"])  # no text twice
            made[split].append({"id": f"{split}{number}", "text": text, "labels": labels, "scores": scores})
    return write(folder, made)


@pytest.mark.parametrize("own_bias", [True, False])
def test_a_set_that_is_mixed_in_has_biases_of_its_own(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_bias: bool
) -> None:
    own, other = planted(tmp_path / "own", 0.0, 160), planted(tmp_path / "other", 0.9)
    seen = []

    def removed(model: Any) -> None:
        seen.append(model.source_biases.weight.detach().clone())
        without_source_biases(model)

    monkeypatch.setattr("train.classifier.loop.without_source_biases", removed)
    mixed = [{"dataset": str(other), "own_bias": own_bias}]
    chosen = recipe(tiny_encoder, own, mixed_with=mixed, epochs=3)
    record = train(chosen, None, tmp_path / "model")
    assert record["train_rows"] == 160
    assert record["mixed_with"][0]["rows"]["train"] == 320
    assert record["mixed_with"][0]["dataset_revision"]
    (biases,) = seen
    assert not biases[0].any(), "the own set's"
    assert bool(biases[1, LABEL_TO_INDEX["neutral"]] > 0.01) is own_bias
    kept = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").state_dict()
    assert not [name for name in kept if "source" in name], "a stock model is published"


def test_the_record_of_a_mixture_names_no_place(tiny_encoder: Path, tmp_path: Path) -> None:
    own, other = planted(tmp_path / "own", 0.0, 32), planted(tmp_path / "other", 0.5, 32)
    mixed = [{"dataset": str(other), "share": 0.1}]
    record = train(recipe(tiny_encoder, own, mixed_with=mixed), None, tmp_path / "m", max_steps=1)
    assert str(tmp_path) not in str(record)
    assert record["mixed_with"][0]["rows"]["train"] == 4
    with pytest.raises(InputError, match="nowhere"):
        train(recipe(tiny_encoder, own, mixed_with=[{"dataset": str(tmp_path / "nowhere")}]), None, tmp_path / "n")


def test_a_teacher_s_probabilities_are_mixed_into_the_targets(tiny_encoder: Path, tmp_path: Path) -> None:
    own = planted(tmp_path / "own", 0.2, 96)
    train(recipe(tiny_encoder, own), None, tmp_path / "teacher", max_steps=3)
    chosen = recipe(tiny_encoder, own, teacher=str(tmp_path / "teacher"), teacher_share=0.25)
    rows: Any = read_corpus(chosen, None).rows("train")
    tokenizer, _ = load_model(chosen)
    plain = tokenise(rows, tokenizer, chosen)
    learned = [dict(row) for row in plain]
    accelerator, _ = start_process(chosen, None, tmp_path / "out", split_batches=True)
    learn_from_teacher(learned, rows, chosen, accelerator)
    of_teacher = load_classifier(str(tmp_path / "teacher")).predict(list(rows["text"]))
    wanted = 0.75 * np.array([row["targets"] for row in plain]) + 0.25 * of_teacher
    assert np.allclose([row["targets"] for row in learned], wanted, atol=1e-4)
    record = train(chosen, None, tmp_path / "student", max_steps=1)
    assert record["recipe"]["teacher"] == "…/teacher"
    assert record["teacher_weights_sha256"] == weights_digest(tmp_path / "teacher")
    _, owner = describe_inputs(chosen, None, read_corpus(chosen, None))
    shutil.copy(tmp_path / "student/model.safetensors", tmp_path / "teacher/model.safetensors")
    assert describe_inputs(chosen, None, read_corpus(chosen, None))[1] != owner, "resumed with another teacher"
    with pytest.raises(InputError, match=r"teacher '.*nowhere' cannot be loaded .*Train it first"):
        train(recipe(tiny_encoder, own, teacher=str(tmp_path / "nowhere")), None, tmp_path / "n")
    with pytest.raises(ValueError, match="'teacher' needs 'targets: soft'"):
        recipe(tiny_encoder, own, teacher="x", targets="hard")


def test_texts_that_the_own_set_holds_out_are_not_mixed_in(tiny_encoder: Path, tmp_path: Path) -> None:
    own, other = planted(tmp_path / "own", 0.0, 32), planted(tmp_path / "other", 0.5, 32)
    chosen = recipe(tiny_encoder, own, mixed_with=[{"dataset": str(other)}])
    held = [text for split in ("validation", "test") for text in read_corpus(chosen, None).rows(split)["text"]]
    rows = [
        {**row, "text": f" {held[number].upper()}  "} if number < 5 else row
        for number, row in enumerate(read_corpus(recipe(tiny_encoder, other), None).rows("train").to_list())
    ]
    write(other, {"train": rows, "validation": rows[5:9]})
    ((_, data),) = read_others(chosen, read_corpus(chosen, None))
    assert not {words_digest(text) for text in data.rows("train")["text"]} & set(map(words_digest, held))
    assert len(data.rows("train")) < 28
