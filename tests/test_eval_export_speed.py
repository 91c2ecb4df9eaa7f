"""The measure of exported models, with a tiny one."""

import json
import shutil
from pathlib import Path

import pytest

from dataset_builder.taxonomy import LABELS
from tests.conftest import Command
from train.export import export


@pytest.fixture
def exported(tiny_models: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "emo-pillars-contextless-minilm"
    shutil.copytree(tiny_models / folder.name, folder)
    export(folder)
    return folder


@pytest.fixture
def goemotions(tmp_path: Path) -> Path:
    folder = tmp_path / "goemotions"
    folder.mkdir()
    (folder / "emotions.txt").write_text("\n".join(LABELS) + "\n")
    rows = [f"{'river window ' * (row % 7 + 1)}\t{row % 28}\tid{row}\n" for row in range(70)]
    (folder / "test.tsv").write_text("".join(rows))
    return folder


def test_a_result_is_written(exported: Path, goemotions: Path, tmp_path: Path, command: Command) -> None:
    places = ["--model", exported, "--data", goemotions, "--out", tmp_path]
    done = command("-m", "eval.export_speed", *places, "--texts", 64, "--rounds", 2)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "system/export-speed.json").read_text())
    metrics = {name: found["value"] for name, found in result["metrics"].items()}
    assert result["name"] == "export-speed"
    assert result["support"] == 70
    assert result["timed_texts"] == {"batch1": 16, "batch32": 64, "batch32_sorted": 64}
    assert result["padding_share"]["batch1"] == 0
    assert 0 < result["padding_share"]["batch32_sorted"] < result["padding_share"]["batch32"] < 1
    assert 0 <= result["cpu_share_of_others"] < 1
    assert result["seeds"] == [13]
    assert {"onnxruntime", "torch"} <= set(result["libraries"])
    for file in ("onnx", "int8"):
        for size in ("batch1", "batch32", "batch32_sorted"):
            found = result["metrics"][f"{file}_ratio_{size}"]
            assert 0 < found["low"] <= found["value"] <= found["high"]
    for engine in ("pytorch", "onnx", "int8"):
        assert 0 < metrics[f"{engine}_milliseconds_p50_batch1"] <= metrics[f"{engine}_milliseconds_p95_batch1"]
    assert metrics["macro_f1_loss"] == pytest.approx(metrics["macro_f1_pytorch"] - metrics["macro_f1_int8"], abs=1e-3)
    assert metrics["probability_difference_max"] < 0.1


def test_what_cannot_be_measured(exported: Path, goemotions: Path, tmp_path: Path, command: Command) -> None:
    arguments = ["-m", "eval.export_speed", "--data", goemotions, "--out", tmp_path, "--model"]
    none = command(*arguments, tmp_path / "none")
    assert none.returncode == 2
    assert "no such folder" in none.stderr
    torn = exported / "onnx/model_quantized.onnx"
    torn.write_bytes(torn.read_bytes()[:1000])
    done = command(*arguments, exported)
    assert done.returncode == 2, done.stderr
    assert "does not load" in done.stderr
    record = exported / "onnx/export.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"weights_sha256": "0"}))
    done = command(*arguments, exported)
    assert done.returncode == 2, done.stderr
    assert "other weights" in done.stderr
    torn.unlink()
    done = command(*arguments, exported)
    assert done.returncode == 2
    assert "train.export" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "system").exists()
