"""Trainings on data, bases and folders as people have them: what cannot work is said before, not at the end."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml
from safetensors import SafetensorError
from transformers import AutoModel, AutoTokenizer, OPTConfig, OPTModel

from dataset_builder.inputs import InputError
from tests.test_data_sets import both, rows, write
from tests.test_train_launch import recipe
from train import launch
from train.bi_encoder.data import read_corpus as read_pairs
from train.bi_encoder.recipe import BiEncoderRecipe
from train.checkpoint import CHECKPOINT, IDENTITY, should_resume
from train.classifier import data
from train.classifier.loop import train
from train.classifier.model import load_model
from train.classifier.recipe import ClassifierRecipe
from train.command import locked_folder, train_from_command_line
from train.export import export
from train.launch import start_process
from train.training_record import RECORD

pytestmark = pytest.mark.usefixtures("fresh_accelerator")


def test_a_missing_split_is_told_with_what_there_is(tmp_path: Path) -> None:
    folder = write(tmp_path / "own", {"train": rows()})
    with pytest.raises(InputError, match=r"has no validation rows; it has train\. .* a file, such as validation.jsonl"):
        data.read_corpus(recipe(Path("none"), folder), None)
    folder = write(tmp_path / "data [2]", {"train": rows()})
    with pytest.raises(InputError, match=r"data \[2\]', config 'contextless': its path has a '\[', which .* Rename it"):
        data.read_corpus(recipe(Path("none"), folder), None)


def test_a_folder_without_its_config_is_told_how(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(json.dumps(rows()[0]))
    with pytest.raises(InputError, match=r"cannot be loaded .*'default'.* 'configs: - config_name: contextless'"):
        data.read_corpus(recipe(Path("none"), tmp_path), None)
    folder = write(tmp_path / "own", both([row | {"labels": 3} for row in rows()]) | {"test": rows()})
    with pytest.raises(
        InputError, match=r"cannot be loaded \(Couldn't cast .*Correct the folder's files or its README.md"
    ):
        data.read_corpus(recipe(Path("none"), folder), None)


def test_scores_in_another_order_than_the_labels(tmp_path: Path) -> None:
    own = [row | {"scores": row["scores"][::-1]} for row in rows()]
    folder = write(tmp_path / "own", both([*own, *rows(1)]))
    with pytest.raises(
        InputError, match=r"train row 'r0' has the label 'annoyance' and its largest score for 'remorse'"
    ):
        data.read_corpus(recipe(Path("none"), folder), None)


def test_texts_in_both_splits_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = [row | {"text": f"{row['text']} again"} for row in rows()]
    for name, of_train, says in (
        ("a", other, ""),
        ("b", [*other, *rows(3)], "3 of 4 validation texts are also training texts"),
    ):
        found = data.read_corpus(recipe(Path("none"), write(tmp_path / name, both(of_train))), None)
        data.warn_of_shared_texts(found)
        assert says in (told := capsys.readouterr().err)
        assert bool(says) == ("also training texts" in told)


def test_variants_are_trained_apart(tmp_path: Path) -> None:
    own = [row | {"variant": ("original", "rewritten")[number % 2]} for number, row in enumerate(rows())]
    folder = write(tmp_path / "own", dict.fromkeys(("train", "validation", "test"), own), variant="dtype: string")
    for variants, expected in ((("original",), own[::2]), (("original", "rewritten"), own), (None, own)):
        found = data.read_corpus(recipe(Path("none"), folder, variants=variants), None)
        assert found.rows("train")["id"][:] == [row["id"] for row in expected]
    few = write(tmp_path / "few", {"train": own, "validation": own[1:2], "test": own}, variant="dtype: string")
    with pytest.raises(InputError, match=r"no validation row is a variant of 'variants' \(original\)"):
        data.read_corpus(recipe(Path("none"), few, variants=("original",)), None)
    without = write(tmp_path / "without", both(rows()))
    with pytest.raises(InputError, match="variant"):
        data.read_corpus(recipe(Path("none"), without, variants=("original",)), None)


def test_the_recipe_s_revision_is_of_its_own_data(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def told(*arguments: Any) -> Any:
        asked.append(arguments)
        raise InputError("asked")

    monkeypatch.setattr(data, "read_data_set", told)
    monkeypatch.setattr("train.bi_encoder.data.read_data_set", told)
    about = {"name": "x", "base_model": "b", "dataset": "own/set", "dataset_revision": "abc", "epochs": 1}
    encoder = BiEncoderRecipe.model_validate(about | {"learning_rate": 1})
    for place in (None, "other/set"):
        with pytest.raises(InputError, match="asked"):
            data.read_corpus(recipe(Path("b"), dataset_revision="abc"), place)
        with pytest.raises(InputError, match="asked"):
            read_pairs(encoder, place)
    assert [revision for *_, revision in asked] == ["abc", "abc", None, None]


def test_a_long_utterance_without_an_id_is_named(tiny_encoder: Path, tmp_path: Path) -> None:
    own = [{name: value for name, value in row.items() if name != "id"} | {"context": "Night."} for row in rows()]
    own[2]["text"] = "river " * 50
    folder = write(
        tmp_path / "own", both(own) | {"validation": own[:1], "test": own}, "contextual", context="dtype: string"
    )
    chosen = recipe(tiny_encoder, folder, config="contextual", max_length=20)
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    with pytest.raises(InputError, match=r"the utterance of row 2, counted from 0, has .* Raise 'max_length' 20"):
        data.tokenise(data.read_corpus(chosen, None).rows("train"), tokenizer, chosen)


def test_a_base_of_16_bits_is_trained_in_32(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_encoder, tmp_path / "half")
    AutoModel.from_pretrained(folder).half().save_pretrained(folder)
    _, model = load_model(recipe(folder))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_what_a_base_cannot_is_said_before_the_training(tiny_encoder: Path, tmp_path: Path) -> None:
    """A head without a bias cannot take up the calibration, which comes last of all."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    tokenizer.save_pretrained(tmp_path / "opt")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "ffn_dim": 16}
    OPTModel(OPTConfig(vocab_size=len(tokenizer), word_embed_proj_dim=16, pad_token_id=0, **sizes)).save_pretrained(
        tmp_path / "opt"
    )
    with pytest.raises(InputError, match=r"base model '.*opt': the head of 'opt' has no bias\. Use an encoder"):
        load_model(recipe(tmp_path / "opt"))


def test_one_row_is_enough_to_fit_a_head(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "own", both(rows(1)))
    record = train(recipe(tiny_encoder, folder, fit_head=True), None, tmp_path / "out", max_steps=1)
    assert record["train_rows"] == 1
    assert record["steps"] == 1


def test_a_folder_is_one_training_s(tmp_path: Path) -> None:
    twice = pytest.raises(InputError, match="another training run is writing to it")
    with locked_folder(tmp_path / "m/x"), twice, locked_folder(tmp_path / "m/x"):
        pass
    assert not (tmp_path / "m/x").exists(), "nothing was written"
    with locked_folder(tmp_path / "m/x"):
        (tmp_path / "m/x/weights").touch()
    assert (tmp_path / "m/x/weights").exists()
    with pytest.raises(FileExistsError), locked_folder(tmp_path / "m/x/weights"):
        pass


@pytest.mark.parametrize("option", ["--data", "--base-model", "--output-dir"])
def test_a_variable_that_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    """`--data "$CORPUS"` would train on the recipe's own data."""
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe(Path("b"), Path("c")).model_dump()))
    monkeypatch.setattr("sys.argv", ["x", "--recipe", str(path), option, ""])
    with pytest.raises(InputError, match=rf"{option}: is empty"):
        train_from_command_line("train.classifier", ClassifierRecipe, lambda *_: {})


def test_a_checkpoint_is_not_replaced_in_silence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / CHECKPOINT).mkdir()
    (tmp_path / CHECKPOINT / IDENTITY).touch()
    assert not should_resume(tmp_path, resume=False, shown=True)
    assert "contains a checkpoint. To resume from it, stop now and add --resume" in capsys.readouterr().err
    assert should_resume(tmp_path, resume=True, shown=True)
    assert not capsys.readouterr().err


def test_a_tracker_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accelerate.tracking.get_available_trackers", list)
    with pytest.raises(InputError, match=r"--tracker tensorboard: the package tensorboard is not installed"):
        start_process(recipe(Path("b")), "tensorboard", tmp_path)
    assert launch.start_process(recipe(Path("b")), None, tmp_path)


def test_a_full_disk_at_the_end(
    tiny_encoder: Path, scripted_work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(transformers.PreTrainedModel, "save_pretrained", full)
    with pytest.raises(InputError, match=r"out: cannot be written \(I/O error: No space left .* Free some space"):
        train(recipe(tiny_encoder, scripted_work / "corpus"), None, tmp_path / "out", max_steps=1)
    assert not (tmp_path / "out" / RECORD).exists()


def test_a_model_that_the_exporter_does_not_know(
    tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise TypeError("no operator\nof that name")

    folder = shutil.copytree(tiny_models / "emo-pillars-contextless-minilm", tmp_path / "m")
    monkeypatch.setattr("train.export._trace", unsupported)
    with pytest.raises(InputError, match=r"m': cannot be exported \(no operator\)\. Nothing was kept"):
        export(folder)
    assert not list((folder).glob("onnx*/*"))
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(about | {"hidden_size": "x"}))
    with pytest.raises(InputError, match="cannot be loaded"):
        export(folder)
