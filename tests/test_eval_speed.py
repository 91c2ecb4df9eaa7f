"""The measures of speed: turns and ratios, what contenders read, and all three by the command, with tiny models."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from transformers import AutoTokenizer

from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import LABELS
from eval.speed.__main__ import nli_token_sets, our_models, token_sets
from eval.speed.engines import peak_memory
from eval.speed.stand_ins import build
from eval.speed.turns import Contender, Turns, padding_share, ratio, share_of_others, speeds, take_turns
from tests.conftest import ROOT, Command
from tests.test_train_mixed import planted
from tests.test_train_runs import recipe
from train.classifier.loop import train
from train.export import export

CONTEXTLESS = "emo-pillars-contextless-minilm"


@pytest.fixture
def exported(tiny_models: Path, tmp_path: Path) -> Path:
    folder = tmp_path / CONTEXTLESS
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


def measured(command: Command, what: str, *arguments: Any, out: Path) -> dict[str, Any]:
    done = command("-m", "eval.speed", what, *arguments, "--out", out, "--rounds", 2)
    assert done.returncode == 0, done.stderr
    (path,) = (out / "system").glob("*.json")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_ratios_are_those_of_turns() -> None:
    assert ratio([2.0, 9.0, 4.0], [1.0, 3.0, 1.0]) == {"value": 3.0, "low": 2.0, "high": 4.0}
    assert share_of_others((1.0, 100.0), (3.0, 110.0)) == 0.8
    assert share_of_others((1.0, 0.0), (3.0, 0.0)) is None
    read = {"batch1": [{"input_ids": np.zeros((1, 3))}] * 2}
    contenders = {"a": Contender("pytorch", "x", read), "b": Contender("pytorch", "y", read, passes=2)}
    turns = Turns({("a", "batch1"): [[0.5, 0.5], [0.1, 0.1]], ("b", "batch1"): [[1.0, 1.0], [0.2, 0.2]]})
    metrics = speeds(turns, contenders, "b")
    assert metrics["a_ratio_batch1"] == {"value": 4.0, "low": 4.0, "high": 4.0}
    assert metrics["a_texts_per_second_batch1"] == {"value": 6.0}
    assert metrics["b_milliseconds_p50_batch1"] == {"value": 600.0}


def test_what_is_read(tiny_encoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    texts = ["river", "river window letter", "garden"] * 15
    sets = token_sets(tokenizer, texts)
    one = Contender("pytorch", "x", sets)
    assert {name: one.texts(name) for name in sets} == {"batch1": 12, "batch32": 45}
    assert [len(batch["input_ids"]) for batch in sets["batch32"]] == [32, 13]
    assert {batch["input_ids"].shape for batch in sets["batch1"]} == {(1, 3), (1, 5)}
    assert padding_share(sets["batch1"]) == 0 < padding_share(sets["batch32"])
    pairs = nli_token_sets(tokenizer, texts[:3])
    nli = Contender("pytorch", "x", pairs, passes=28)
    assert {name: nli.texts(name) for name in pairs} == {"batch1": 3, "batch32": 3}
    assert [len(batch["input_ids"]) for batch in pairs["batch1"]] == [28] * 3
    read = tokenizer.decode(pairs["batch1"][1]["input_ids"][LABELS.index("joy")], skip_special_tokens=True)
    assert read.replace(" ", "").endswith("riverwindowletterthespeakerfeelsjoy.")


def test_stand_ins_have_the_published_sizes(tiny_encoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    millions = {"roberta-base": 124.7, "roberta-large": 355.4, "bart-large-mnli": 407.3}
    with torch.device("meta"):
        for name, expected in millions.items():
            model = build(name, tokenizer)
            found = sum(values.numel() for values in model.parameters()) / 1e6
            assert found == pytest.approx(expected, abs=0.6), name
            assert model.config.num_labels == (3 if "mnli" in name else 28)


def test_memory_is_that_of_the_process() -> None:
    before = peak_memory()
    held = np.ones(40 * 2**20, dtype=np.uint8)
    assert peak_memory() - before < 400 * 2**20
    assert peak_memory() >= held.nbytes


@pytest.mark.end_to_end
@pytest.mark.usefixtures("fresh_accelerator")
def test_encoders(exported: Path, goemotions: Path, tiny_encoder: Path, tmp_path: Path, command: Command) -> None:
    static = tmp_path / "static"
    chosen = recipe(tiny_encoder, planted(tmp_path / "own", 0.1), static={"size": 16, "hidden_size": 8})
    train(chosen, None, static)
    asked = ["--model", static, exported, "--data", goemotions, "--stand-ins", "tiny", "tiny-mnli"]
    result = measured(command, "encoders", *asked, "--limit", 40, "--nli-texts", 2, out=tmp_path)
    names = ["static_static", *(f"{CONTEXTLESS}_{engine}" for engine in ("pytorch", "onnx", "int8"))]
    names += ["tiny_pytorch", "tiny-mnli_pytorch"]
    assert result["name"] == "encoder-speed"
    assert list(result["timed_texts"]) == names
    assert result["timed_texts"]["tiny-mnli_pytorch"] == {"batch1": 2, "batch32": 2}
    assert result["timed_texts"][f"{CONTEXTLESS}_onnx"] == {"batch1": 10, "batch32": 40}
    assert result["timed_texts"]["static_static"] == {"batch1": 10, "batch32": 40}
    assert result["ratio_to"] == "tiny"
    assert result["support"] == 40
    metrics = result["metrics"]
    assert metrics["tiny_pytorch_ratio_batch32"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    for name in names:
        for size in ("batch1", "batch32"):
            assert 0 < metrics[f"{name}_ratio_{size}"]["low"] <= metrics[f"{name}_ratio_{size}"]["high"]
            assert metrics[f"{name}_texts_per_second_{size}"]["value"] > 0
        median, slow = (metrics[f"{name}_milliseconds_p{percentile}_batch1"]["value"] for percentile in (50, 95))
        assert 0 < median <= slow
        assert metrics[f"{name}_disk_mib"]["value"] > 0 or name == "static_static"  # 4 KB
    memory = {name: metrics[f"{name}_peak_memory_mib"]["value"] for name in names}
    assert memory[f"{CONTEXTLESS}_onnx"] < memory[f"{CONTEXTLESS}_pytorch"], "onnxruntime needs no PyTorch"
    assert 0 <= result["cpu_share_of_others"] <= 1
    assert set(result["model_revision"]) == {CONTEXTLESS, "static"}
    assert {"onnxruntime", "torch"} <= set(result["libraries"])


@pytest.mark.end_to_end
def test_exports(exported: Path, goemotions: Path, tmp_path: Path, command: Command) -> None:
    result = measured(command, "exports", "--model", exported, "--data", goemotions, "--limit", 64, out=tmp_path)
    metrics = {name: found["value"] for name, found in result["metrics"].items()}
    assert result["name"] == "export-speed"
    assert result["support"] == 70
    assert result["timed_texts"] == {"batch1": 16, "batch32": 64, "batch32_sorted": 64}
    assert result["padding_share"]["batch1"] == 0
    assert 0 < result["padding_share"]["batch32_sorted"] < result["padding_share"]["batch32"] < 1
    assert result["seeds"] == [13]
    for file in ("onnx", "int8"):
        for size in ("batch1", "batch32", "batch32_sorted"):
            found = result["metrics"][f"{file}_ratio_{size}"]
            assert 0 < found["low"] <= found["value"] <= found["high"]
    for engine in ("pytorch", "onnx", "int8"):
        assert 0 < metrics[f"{engine}_milliseconds_p50_batch1"] <= metrics[f"{engine}_milliseconds_p95_batch1"]
    assert metrics["macro_f1_loss"] == pytest.approx(metrics["macro_f1_pytorch"] - metrics["macro_f1_int8"], abs=1e-3)
    assert metrics["probability_difference_max"] < 0.1


@pytest.mark.end_to_end
def test_zero_shot(bi_encoder: Path, goemotions: Path, tmp_path: Path, command: Command) -> None:
    asked = ["--model", bi_encoder, "--data", goemotions, "--stand-ins", "tiny-mnli", "--limit", 60, "--nli-texts", 2]
    result = measured(command, "zero-shot", *asked, out=tmp_path)
    metrics = result["metrics"]
    assert (result["name"], result["support"], result["nli_texts"]) == ("zero-shot-speed", 60, 2)
    assert set(metrics) == {"ratio", "bi_encoder_texts_per_second", "nli_texts_per_second"}
    assert 1 < metrics["ratio"]["low"] <= metrics["ratio"]["value"] <= metrics["ratio"]["high"]


def test_what_cannot_be_measured(exported: Path, goemotions: Path, tmp_path: Path, command: Command) -> None:
    with pytest.raises(InputError, match="no such folder"):
        our_models([str(tmp_path / "none")])
    twin = tmp_path / "twin" / exported.name
    shutil.copytree(exported, twin)
    with pytest.raises(InputError, match="the name of two folders"):
        our_models([str(exported), str(twin)])
    arguments = ["-m", "eval.speed", "exports", "--data", goemotions, "--out", tmp_path, "--model"]
    record, torn = exported / "onnx/export.json", exported / "onnx/model_quantized.onnx"
    told = record.read_text()
    for change, says in (
        (lambda: None, "must be 1 or more"),
        (lambda: torn.write_bytes(torn.read_bytes()[:1000]), "cannot be loaded"),
        (lambda: record.write_text(json.dumps(json.loads(told) | {"weights_sha256": "0"})), "other weights"),
        (torn.unlink, "train.export"),
    ):
        change()
        done = command(*arguments, exported, *(["--rounds", "0"] if "1 or more" in says else []))
        assert done.returncode == 2, done.stderr
        assert says in done.stderr
        assert "Traceback" not in done.stderr
    both = command(*arguments, exported, twin)
    assert both.returncode == 2
    assert "exports needs exactly one model" in both.stderr
    assert not (tmp_path / "system").exists()


def test_a_contender_whose_process_ends_is_named(exported: Path) -> None:
    contenders = {"gone": Contender("pytorch", str(exported), {"batch1": [_Exit()]})}
    with pytest.raises(InputError, match=r"^gone: its process ended\. .*--stand-ins"):
        take_turns(contenders, rounds=1, threads=1)


class _Exit:
    """Ends the process that unpickles it, as one without memory ends."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (1,)


@pytest.mark.end_to_end
def test_contenders_end_with_the_command(exported: Path, goemotions: Path, tmp_path: Path) -> None:
    asked = ["-m", "eval.speed", "exports", "--model", exported, "--data", goemotions, "--rounds", "100000"]
    started = subprocess.Popen([sys.executable, *map(str, asked), "--out", str(tmp_path)], cwd=ROOT)
    one = psutil.Process(started.pid)
    contenders: list[psutil.Process] = []
    deadline = time.monotonic() + 120
    while len(contenders) < 3 and time.monotonic() < deadline and started.poll() is None:
        time.sleep(0.5)
        contenders = [child for child in one.children() if "spawn_main" in " ".join(child.cmdline())]
    assert len(contenders) == 3
    time.sleep(3)  # they have begun to load
    started.send_signal(signal.SIGKILL)
    started.wait()
    _, alive = psutil.wait_procs(contenders, timeout=30)
    assert not alive
