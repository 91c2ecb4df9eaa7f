"""The static tier: what the trainer writes is a stock model2vec pipeline that scores as the trained model does."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from model2vec.inference import StaticModelPipeline

from dataset_builder.inputs import InputError, read_recipe
from dataset_builder.taxonomy import LABELS
from eval.models import load
from tests.publishable import one_model, refusals
from tests.test_train_mixed import planted
from tests.test_train_runs import recipe
from train.classifier.loop import train
from train.classifier.model import load_model
from train.classifier.recipe import ClassifierRecipe
from train.classifier.static import round_vectors, save_static
from train.export import export

pytestmark = pytest.mark.usefixtures("fresh_accelerator")
SMALL = {"size": 16, "hidden_size": 8}
TEXTS = ["river letter garden", "window candle letter", "window", "letter [UNK] 龍", ""]


def test_a_stock_pipeline_scores_as_the_trained_model(tiny_encoder: Path, tmp_path: Path) -> None:
    chosen = recipe(tiny_encoder, planted(tmp_path / "own", 0.1), static=SMALL)
    tokenizer, model = load_model(chosen)
    with torch.no_grad():
        model.vectors.weight.mul_(3)
    round_vectors(model)
    save_static(model, tokenizer, chosen, dict.fromkeys(LABELS, 0.5), tmp_path)
    stock = StaticModelPipeline.from_pretrained(tmp_path)
    assert tuple(stock.classes_) == LABELS
    model.eval()
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        assert np.allclose(stock.predict_proba(TEXTS), torch.sigmoid(model(**batch).logits).numpy(), atol=1e-5)


def test_a_training_learns_and_writes_a_whole_folder(tiny_encoder: Path, tmp_path: Path) -> None:
    chosen = recipe(tiny_encoder, planted(tmp_path / "own", 0.1), static=SMALL, epochs=8, learning_rate=1e-2)
    record = train(chosen, None, tmp_path / "model")
    stock = StaticModelPipeline.from_pretrained(tmp_path / "model")
    scores = stock.predict_proba(TEXTS[:2])[:, [LABELS.index("joy"), LABELS.index("sadness")]]
    assert scores.argmax(1).tolist() == [0, 1]
    model = load(str(tmp_path / "model"))
    assert np.allclose(model.predict(TEXTS[:2]), stock.predict_proba(TEXTS[:2]))
    with pytest.raises(InputError, match="reads no situations"):
        model.predict(TEXTS[:2], TEXTS[:2])
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["thresholds"] == record["thresholds"]
    names = {"config.json", "head.safetensors", "model.safetensors", "modules.json", "tokenizer.json"}
    assert {path.name for path in (tmp_path / "model").iterdir()} == names | {"thresholds.json", "training.json"}


def test_it_can_be_pushed_and_needs_no_export(
    tiny_encoder: Path, scripted_work: Path, tiny_models: Path, evidence: Path, tmp_path: Path
) -> None:
    name = "emo-pillars-contextless-minilm"
    folders = one_model(name, {"work": scripted_work, "models": tiny_models, "evidence": evidence}, tmp_path)
    shutil.rmtree(folders.models / name)
    chosen = recipe(tiny_encoder, scripted_work / "corpus", name=name, static=SMALL, epochs=1)
    (folders.recipes / f"{name}.yaml").write_text(yaml.safe_dump(chosen.model_dump(exclude_unset=True)))
    train(chosen, None, folders.models / name)
    (told,) = refusals(folders)
    assert "evaluated with another model" in told, "the results are those of the encoder of this name"
    (folders.models / name / "tokenizer.json").unlink()
    assert any("has no tokenizer.json, so the model could not be loaded" in line for line in refusals(folders))
    with pytest.raises(InputError, match="is a static model, which needs no ONNX"):
        export(folders.models / name)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("config: contextual, static: {}", "'static' reads texts alone"),
        (
            "config: contextless, static: {}, mixed_with: [{dataset: e, config: contextual}]",
            "'static' reads texts alone",
        ),
        ("config: contextless, static: {}, dropout: 0.1", "nothing for 'dropout'"),
        ("config: contextless, train_encoder: false, fit_head: true, mixed_with: [{dataset: e}]", "'own_bias' needs"),
    ],
)
def test_keys_that_would_do_nothing_are_refused(tmp_path: Path, keys: str, says: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(
        f"{{name: x, base_model: b, dataset: d, epochs: 1, learning_rate: 1, head_learning_rate: 1, {keys}}}"
    )
    with pytest.raises(InputError, match=says):
        read_recipe(file, ClassifierRecipe)


def test_vectors_are_not_longer_than_the_encoder_s(tiny_encoder: Path, tmp_path: Path) -> None:
    chosen = recipe(tiny_encoder, planted(tmp_path / "own", 0.1, 32), static={"size": 999, "hidden_size": 8})
    with pytest.raises(InputError, match=r"'static.size' 999 is more than the base model's \d+"):
        load_model(chosen)
