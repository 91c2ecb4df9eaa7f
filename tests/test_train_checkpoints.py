"""Checkpoints: killed at any moment, torn, of other data, from a stranger; and what a compiled model keeps."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from dataset_builder.inputs import InputError
from tests.test_data_sets import rows, write
from tests.test_train_launch import recipe
from train import checkpoint
from train.checkpoint import CHECKPOINT, Checkpoints, Progress, find_checkpoint, moving_average
from train.classifier.loop import train

pytestmark = pytest.mark.usefixtures("fresh_accelerator")


class Killed(BaseException):
    """Stands for SIGKILL."""


class _Saves:
    """An accelerator that saves a word, and a schedule without a state."""

    is_main_process = True
    word = ""

    def wait_for_everyone(self) -> None:
        pass

    def save_state(self, place: str) -> None:
        Path(place).mkdir(parents=True)
        (Path(place) / "weights").write_text(self.word)

    def state_dict(self) -> dict[str, int]:
        return {}


@pytest.mark.parametrize("moment", range(6))
def test_a_kill_while_a_checkpoint_is_replaced_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """Killed before the n-th change of a name or deletion of a folder: a whole checkpoint is there, now and later."""
    saver: Any = _Saves()
    checkpoints = Checkpoints(saver, tmp_path, "of", Progress(), schedule=saver, average=None)
    for saver.word in ("first", "second"):
        checkpoints.save()
    left = moment

    def counted(change: Any) -> Any:
        def cut(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return change(*arguments, **options)

        return cut

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", counted(Path.rename))
        patch.setattr(checkpoint.shutil, "rmtree", counted(checkpoint.shutil.rmtree))
        saver.word = "third"
        try:
            checkpoints.save()
        except Killed:
            assert moment < 5, "no further moment"
    place = find_checkpoint(tmp_path)
    assert place is not None
    assert (place / "weights").read_text() in ("second", "third")
    saver.word = "fourth"
    checkpoints.save()
    assert (tmp_path / CHECKPOINT / "weights").read_text() == "fourth"
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


@pytest.fixture
def cut(tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Path, Path]:
    """A training that was interrupted after its fourth step: recipe, corpus and folder with its checkpoint."""
    corpus = write(tmp_path / "corpus", {"train": rows(64), "validation": rows(8)})
    chosen = recipe(tiny_encoder, corpus, epochs=3, ema_decay=0.9)
    written = checkpoint.Checkpoints.save

    def kept(self: checkpoint.Checkpoints) -> None:
        written(self)
        if self.progress.updates == 6:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Checkpoints, "save", kept)
        with pytest.raises(Killed):
            train(chosen, None, tmp_path / "out", keep_every=2)
    return chosen, corpus, tmp_path / "out"


def test_a_torn_checkpoint_is_said_in_a_line(cut: tuple[Any, Path, Path]) -> None:
    chosen, _, out = cut
    held = sorted(path for path in (out / CHECKPOINT).iterdir() if path.name != "recipe_hash")
    assert {path.name for path in held} >= {
        "model.safetensors",
        "optimizer.bin",
        "progress.json",
        "progress.safetensors",
    }
    for path in held:
        content = path.read_bytes()
        for torn in (content[:100] if len(content) > 200 else content[:20], b""):
            path.write_bytes(torn)
            with pytest.raises(
                InputError, match=r"checkpoint: cannot be loaded \(.*Delete it to start again"
            ) as raised:
                train(chosen, None, out, resume=True)
            assert "\n" not in str(raised.value)
        path.unlink()
        with pytest.raises(InputError, match="Delete it to start again"):
            train(chosen, None, out, resume=True)
        path.write_bytes(content)
    assert train(chosen, None, out, resume=True)["steps"] == 12


def test_no_file_of_a_checkpoint_runs_code(cut: tuple[Any, Path, Path], tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    chosen, _, out = cut
    names = [path.name for path in (out / CHECKPOINT).iterdir() if path.name != "recipe_hash"]
    for name in (*names, "custom_checkpoint_0.pkl"):
        path = out / CHECKPOINT / name
        content = path.read_bytes() if path.exists() else None
        path.write_bytes(pickle.dumps(Evil()))
        with pytest.raises(InputError, match="Delete it to start again"):
            train(chosen, None, out, resume=True)
        assert not (tmp_path / "ran").exists(), name
        path.unlink()
        if content is not None:
            path.write_bytes(content)


def test_a_checkpoint_is_of_its_data(cut: tuple[Any, Path, Path]) -> None:
    chosen, corpus, out = cut
    write(corpus, {"train": rows(64, 5), "validation": rows(8, 5)})
    with pytest.raises(InputError, match="or to different data"):
        train(chosen, None, out, resume=True)
    write(corpus, {"train": rows(64), "validation": rows(8)})
    assert train(chosen, None, out, resume=True)["steps"] == 12


def test_resume_without_a_checkpoint_says_so(
    tmp_path: Path, tiny_encoder: Path, scripted_work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(recipe(tiny_encoder, scripted_work / "corpus"), None, tmp_path, max_steps=1, resume=True)
    assert f"{tmp_path}: contains no checkpoint to resume from" in capsys.readouterr().err


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_model_keeps_its_best_weights(backend: str) -> None:
    model = torch.nn.Linear(2, 2)
    accelerator = Accelerator(cpu=True)
    compiled = accelerator.prepare(torch.compile(model, backend=backend))
    average, progress = moving_average(compiled, 0.5), Progress()
    assert average is not None
    for value, score in ((1.0, 0.9), (7.0, 0.1)):
        torch.nn.init.constant_(model.weight, value)
        compiled(torch.ones(1, 2))
        average.update_parameters(checkpoint.unwrap(compiled))
        progress.update_best(score, compiled)
    assert set(progress.weights) == {"weight", "bias"}
    progress.restore_best(compiled)
    assert model.weight.unique().tolist() == [1.0]
    progress.update_best(1.0, average.module)
    progress.restore_best(compiled)
    assert model.weight.unique().tolist() == average.module.weight.unique().tolist() != [1.0]
    progress.weights["other"] = torch.ones(1)
    with pytest.raises(AssertionError, match="other"):
        progress.restore_best(compiled)


@pytest.mark.parametrize("fit_head", [False, True])
def test_a_training_that_diverges_is_an_error(
    tiny_encoder: Path, scripted_work: Path, tmp_path: Path, fit_head: bool
) -> None:
    """Also where the fitted head had a score: its weights would be published as the best of a training that failed."""
    chosen = recipe(tiny_encoder, scripted_work / "corpus", fit_head=fit_head, learning_rate=1e30, warmup_share=0.0)
    with pytest.raises(InputError, match=r"is not finite\. The training has diverged: lower the learning rates"):
        train(chosen, None, tmp_path / "out")
    assert not (tmp_path / "out/training.json").exists()
