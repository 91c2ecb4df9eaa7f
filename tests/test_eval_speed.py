"""The measure of our models beside stand-ins, with tiny ones."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import LABELS
from eval.speed import a_pass_a_label, answer, one_pass, ours, started
from eval.stand_ins import STAND_INS, build
from eval.timed_process import peak_memory, read_sets, save_sets
from eval.timing import in_turn, milliseconds, padding_share, ratio, share_of_others
from tests.conftest import Command
from tests.test_eval_export_speed import exported, goemotions

__all__ = ["exported", "goemotions"]  # fixtures


def test_ratios_are_those_of_turns() -> None:
    assert ratio([2.0, 9.0, 4.0], [1.0, 3.0, 1.0]) == {"value": 3.0, "low": 2.0, "high": 4.0}
    assert milliseconds([0.001] * 19 + [1.0])["milliseconds_p50"] == {"value": 1.0}
    assert ["".join(in_turn("abc", turn)) for turn in range(4)] == ["abc", "bca", "cab", "abc"]
    assert share_of_others((1.0, 100.0), (3.0, 110.0)) == 0.8
    assert share_of_others((1.0, 100.0), (3.0, 110.0), more=6.0) == 0.2
    assert share_of_others((1.0, 0.0), (3.0, 0.0)) is None


def test_what_is_read(tiny_encoder: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    texts = ["river", "river window letter", "garden"] * 15
    sets, counts = one_pass(tokenizer, texts)
    assert counts == {"batch1": 12, "batch32": 45}
    assert [len(batch["input_ids"]) for batch in sets["batch32"]] == [32, 13]
    assert {batch["input_ids"].shape for batch in sets["batch1"]} == {(1, 3), (1, 5)}
    assert padding_share(sets["batch1"]) == 0 < padding_share(sets["batch32"])
    pairs, counts = a_pass_a_label(tokenizer, texts[:3])
    assert counts == {"batch1": 3, "batch32": 3}
    assert [len(batch["input_ids"]) for batch in pairs["batch1"]] == [28] * 3
    assert sum(len(batch["input_ids"]) for batch in pairs["batch32"]) == 3 * 28
    read = tokenizer.decode(pairs["batch1"][1]["input_ids"][LABELS.index("joy")], skip_special_tokens=True)
    assert read.replace(" ", "").endswith("riverwindowletterthespeakerfeelsjoy.")
    save_sets(sets, tmp_path / "sets.npz")
    again = read_sets(tmp_path / "sets.npz")
    assert again.keys() == sets.keys()
    for name, data in sets.items():
        for one, other in zip(data, again[name], strict=True):
            assert one.keys() == other.keys()
            assert all(np.array_equal(one[key], other[key]) for key in one)


def test_stand_ins_have_the_published_sizes(tiny_encoder: Path) -> None:
    import torch

    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    millions = {"roberta-base": 124.7, "roberta-large": 355.4, "bart-large-mnli": 407.3}
    with torch.device("meta"):
        for name, expected in millions.items():
            model = build(STAND_INS[name], tokenizer)
            found = sum(values.numel() for values in model.parameters()) / 1e6
            assert found == pytest.approx(expected, abs=0.6), name
            assert model.config.num_labels == (3 if "mnli" in name else 28)


def test_memory_is_that_of_the_process() -> None:
    before = peak_memory()
    held = np.ones(40 * 2**20, dtype=np.uint8)
    assert peak_memory() - before < 400 * 2**20
    assert peak_memory() >= held.nbytes


@pytest.mark.end_to_end
def test_a_result_is_written(exported: Path, goemotions: Path, tmp_path: Path, command: Command) -> None:
    asked = ["-m", "eval.speed", "--model", exported, "--data", goemotions, "--out", tmp_path]
    done = command(*asked, "--stand-ins", "tiny", "tiny-nli", "--limit", 40, "--nli-texts", 2, "--rounds", 2)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "system/encoder-speed.json").read_text())
    contextless = "emo-pillars-contextless-minilm"
    names = [f"{contextless}_{engine}" for engine in ("pytorch", "onnx", "int8")]
    names += ["tiny_pytorch", "tiny-nli_pytorch"]
    assert list(result["timed_texts"]) == names
    assert result["timed_texts"]["tiny-nli_pytorch"] == {"batch1": 2, "batch32": 2}
    assert result["timed_texts"][f"{contextless}_onnx"] == {"batch1": 10, "batch32": 40}
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
        assert metrics[f"{name}_disk_mib"]["value"] > 0
    memory = {name: metrics[f"{name}_peak_memory_mib"]["value"] for name in names}
    assert memory[f"{contextless}_onnx"] < memory[f"{contextless}_pytorch"], "onnxruntime needs no PyTorch"
    assert 0 <= result["cpu_share_of_others"] <= 1
    assert set(result["model_revision"]) == {contextless}
    assert {"onnxruntime", "torch"} <= set(result["libraries"])


def test_what_cannot_be_measured(exported: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="no such folder"):
        ours([tmp_path / "none"], ["river"])
    twin = tmp_path / "twin" / exported.name
    shutil.copytree(exported, twin)
    with pytest.raises(InputError, match="the name of two folders"):
        ours([exported, twin], ["river"])
    contenders, revisions, _ = ours([exported], ["river"])
    assert [one.engine for one in contenders] == ["pytorch", "onnx", "int8"]
    assert list(revisions) == [exported.name]
    torn = exported / "onnx/model_quantized.onnx"
    torn.write_bytes(torn.read_bytes()[:1000])
    with (
        started(contenders[2], tmp_path / "sets.npz", 1) as process,
        pytest.raises(InputError, match=r"\(int8\): its process ended with exit code 1"),
    ):
        answer(contenders[2], process, "")
    assert "model_quantized.onnx" in capfd.readouterr().err, "what it said is there to be read"
