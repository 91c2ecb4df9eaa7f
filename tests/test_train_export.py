"""Export to ONNX, with tiny encoders of random weights of every architecture that the project publishes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    ModernBertConfig,
    MPNetConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    set_seed,
)

from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import LABEL_TO_INDEX, LABELS
from tests.conftest import Command
from train import export as module
from train.export import FP32, INT8, export

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 130,
    "initializer_range": 0.2,  # so that the outputs of random weights differ from each other
}
CONFIGS = {"bert": BertConfig, "mpnet": MPNetConfig, "roberta": RobertaConfig, "modernbert": ModernBertConfig}
BATCHES: list[tuple[list[str], list[str] | None]] = [
    (["river window"], None),
    (["river window", "letter", "garden harbour river " * 9], None),
    (["river", "letter garden", "harbour " * 12], ["letter garden harbour", "river " * 200, ""]),
    (["garden " * 300], ["letter"]),
]


@pytest.fixture(scope="session")
def stand_in(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A saved classifier of an architecture; the tokenizer is the tiny encoder's, with token types only for bert."""
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            folder = made[kind] = tmp_path_factory.mktemp(kind) / "model"
            tokenizer = AutoTokenizer.from_pretrained(tiny_encoder, model_max_length=128, truncation_side="left")
            special = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
            if kind != "bert":
                tokenizer = PreTrainedTokenizerFast(
                    tokenizer_object=tokenizer.backend_tokenizer,
                    model_max_length=128,
                    truncation_side="left",
                    model_input_names=["input_ids", "attention_mask"],
                    **special,
                )
            ids = {"pad_token_id": tokenizer.pad_token_id, "cls_token_id": tokenizer.cls_token_id}
            set_seed(1)
            config = CONFIGS[kind](
                vocab_size=len(tokenizer),
                id2label=dict(enumerate(LABELS)),
                label2id=LABEL_TO_INDEX,
                problem_type="multi_label_classification",
                **SIZES,
                **(ids if kind != "mpnet" else {}),
            )
            if kind == "mpnet":  # its padding is always 1
                config.pad_token_id = 1
            AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        return made[kind]

    return make


def outputs(folder: Path, name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Logits of a file and of PyTorch for each batch."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    session = onnxruntime.InferenceSession(folder / "onnx" / name)
    found = []
    for texts, pairs in BATCHES:
        batch = tokenizer(texts, pairs, padding=True, truncation=True, return_tensors="pt")
        assert [one.name for one in session.get_inputs()] == [n for n in module.INPUTS if n in batch]
        with torch.inference_mode():
            wanted = model(**batch).logits.numpy()
        found.append((session.run(None, {key: value.numpy() for key, value in batch.items()})[0], wanted))
    return found


@pytest.mark.parametrize("kind", CONFIGS)
def test_outputs_are_those_of_pytorch(stand_in: Callable[[str], Path], kind: str) -> None:
    folder = stand_in(kind)
    record = export(folder)
    assert json.loads((folder / "onnx/export.json").read_text()) == record
    assert sorted(path.name for path in (folder / "onnx").iterdir()) == ["export.json", FP32, INT8]
    assert not (folder / "onnx.part").exists()
    assert ("token_type_ids" in record["inputs"]) is (kind == "bert")
    assert record["files"][FP32]["graph"] == "plain"
    assert record["files"][INT8]["graph"] == ("plain" if kind == "modernbert" else "lean")
    assert ("modernbert" in record["files"][INT8].get("why_plain", "")) is (kind == "modernbert")
    for name, found in record["files"].items():
        assert found["bytes"] == (folder / "onnx" / name).stat().st_size
    exact = outputs(folder, FP32)
    assert max(np.abs(found - wanted).max() for found, wanted in exact) < 1e-5
    assert all(found.shape[1] == 28 for found, _ in exact)
    assert exact[1][0].std(axis=0).max() > 0.01, "texts differ, or the comparison says nothing"
    assert 0 < max(np.abs(found - wanted).max() for found, wanted in outputs(folder, INT8)) < 0.2


def test_a_pair_is_not_one_text(stand_in: Callable[[str], Path]) -> None:
    folder = stand_in("bert")
    export(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    session = onnxruntime.InferenceSession(folder / "onnx" / INT8)
    batch = dict(tokenizer(["river window"], ["letter garden"], return_tensors="np"))
    as_pair = session.run(None, batch)[0]
    as_one = session.run(None, batch | {"token_type_ids": np.zeros_like(batch["token_type_ids"])})[0]
    assert np.abs(as_pair - as_one).max() > 0.01


def test_padding_changes_nothing_but_rounding(stand_in: Callable[[str], Path]) -> None:
    """The lean graph packs tokens: a text's logits must not depend on how far its row is padded."""
    folder = stand_in("roberta")
    export(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    session = onnxruntime.InferenceSession(folder / "onnx" / INT8)
    short = dict(tokenizer(["river window", "letter"], padding=True, return_tensors="np"))
    wide = dict(tokenizer(["river window", "letter"], padding="max_length", return_tensors="np"))
    assert np.abs(session.run(None, short)[0] - session.run(None, wide)[0]).max() < 1e-5


def test_a_second_run_replaces_the_files(stand_in: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(stand_in("bert"), folder, ignore=shutil.ignore_patterns("onnx"))
    first = export(folder)
    (folder / "onnx" / FP32).write_bytes(b"torn")
    (folder / "onnx/model_fp16.onnx").write_bytes(b"somebody else's")
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    torch.nn.init.constant_(model.classifier.bias, 0.5)
    model.save_pretrained(folder)
    second = export(folder)
    assert second["weights_sha256"] != first["weights_sha256"]
    assert max(np.abs(found - wanted).max() for found, wanted in outputs(folder, FP32)) < 1e-5
    assert (folder / "onnx/model_fp16.onnx").read_bytes() == b"somebody else's"


def test_another_folder(stand_in: Callable[[str], Path], tmp_path: Path, command: Command) -> None:
    done = command("-m", "train.export", "--model", stand_in("bert"), "--out", tmp_path / "to")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "to/onnx").iterdir()) == ["export.json", FP32, INT8]
    assert "lean graph" in done.stdout
    assert "difference from PyTorch" in done.stdout


@pytest.mark.parametrize(("limit", "says"), [("FP32_TOLERANCE", "model.onnx: a logit"), ("INT8_TOLERANCE", INT8)])
def test_a_failing_check_leaves_nothing(
    stand_in: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, says: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(stand_in("bert"), folder, ignore=shutil.ignore_patterns("onnx"))
    export(folder)
    monkeypatch.setattr(module, limit, 0.0)
    with pytest.raises(InputError, match=says):
        export(folder)
    assert list((folder / "onnx").iterdir()) == []
    assert not (folder / "onnx.part").exists()


def test_a_lean_graph_that_is_wrong_is_not_taken(
    stand_in: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(module.LeanClassifier):
        def forward(self, *inputs: Any) -> torch.Tensor:
            return super().forward(*inputs) + 1

    monkeypatch.setattr(module, "LeanClassifier", Wrong)
    record = export(stand_in("bert"), tmp_path)
    assert record["files"][INT8]["graph"] == "plain"
    assert "off" in record["files"][INT8]["why_plain"]


def test_what_is_not_a_model(stand_in: Callable[[str], Path], tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no config\.json"):
        export(tmp_path / "none")
    with pytest.raises(InputError, match="not a trained classifier"):
        export(tiny_encoder, tmp_path)
    broken = tmp_path / "broken"
    shutil.copytree(stand_in("bert"), broken, ignore=shutil.ignore_patterns("onnx"))
    (broken / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match="cannot be loaded"):
        export(broken)
    assert not (broken / "onnx").exists()
