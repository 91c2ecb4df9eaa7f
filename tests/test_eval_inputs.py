"""Measures, cards and their inputs as people have them: what is damaged is named, and no figure is told of it."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file, save_file

from dataset_builder.inputs import InputError
from dataset_builder.provenance import weights_digest
from eval import context_use, model_files
from eval.ablations import read_runs
from eval.benchmark_rows import descriptors
from eval.benchmarks import find
from eval.label_sets import find_set, read_definitions
from eval.models import load, load_bi_encoder, load_classifier
from eval.run import check_fits, published_models, report
from tests.conftest import Command
from tests.test_data_sets import rows, write


def put(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def test_a_damaged_result_of_a_variant_is_named(tmp_path: Path) -> None:
    for content in (b"{", b'{"metrics": "\xff"}', [], {"metrics": {"macro_f1": {"value": None}}}):
        put(tmp_path / "goemotions.json", content)
        with pytest.raises(InputError, match=r"goemotions.json"):
            read_runs([f"x={tmp_path}"])


def test_cards_are_not_emptied_by_a_wrong_folder(tmp_path: Path, command: Command) -> None:
    done = command("-m", "eval.cards", "--results", tmp_path / "none", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "contains no result. Cards would lose their numbers" in done.stderr
    assert not (tmp_path / "out").exists()


def test_options_that_would_give_a_wrong_figure(command: Command, tmp_path: Path) -> None:
    ask = ("-m", "eval.run", "--scores", tmp_path / "x", "--name", "x", "--benchmark", "goemotions")
    for threshold in ("nan", "50", "-1"):
        done = command(*ask, f"--threshold={threshold}")
        assert "must be from 0 to 1" in done.stderr
        assert done.returncode == 2
    done = command("-m", "eval.run", "--texts", tmp_path / "x", "--benchmark", "goemotions", "emobank")
    assert "one --benchmark" in done.stderr
    (tmp_path / "file").touch()
    done = command("-m", "eval.run", "--model", "x", "--benchmark", "goemotions", "--out", tmp_path / "file")
    assert "file: is not a writable folder" in done.stderr
    done = command("-m", "eval.run", "--all", tmp_path, "--benchmark", "goemotions")
    assert "Remove --benchmark" in done.stderr


def test_benchmarks_for_the_other_kind_of_model_are_refused(
    tiny_models: Path, bi_encoder: Path, command: Command
) -> None:
    classifier = load(str(tiny_models / "emo-pillars-contextless-minilm"))
    with pytest.raises(InputError, match=r"'labels-6': '.*' is a classifier, which can be evaluated on contrast,"):
        check_fits([find("goemotions"), find("labels-6")], classifier)
    with pytest.raises(
        InputError, match=r"'own': '.*' is a bi-encoder, which can be evaluated on descriptors, emobank"
    ):
        check_fits([find("own")], load(str(bi_encoder)))
    done = command("-m", "eval.run", "--scores", "x", "--name", "x", "--benchmark", "labels-6")
    assert done.returncode == 2
    assert "'labels-6': is for bi-encoders" in done.stderr


def test_a_result_is_compared_with_the_one_in_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("eval.run.RESULTS", tmp_path)
    for value, says in ((0.5, ""), (0.505, "had 0.5000: +0.0050, within ±0.01"), (0.4, "had 0.5050: -0.1050, OUTSIDE")):
        report(find("own"), {"name": "m", "metrics": {"macro_f1": {"value": value}}, "support": 9}, tmp_path)
        printed = capsys.readouterr().out
        assert f"m: macro_f1 {value:.4f}, 9 rows" in printed
        assert says in printed
    (tmp_path / "m/own.json").write_text("{")
    report(find("own"), {"name": "m", "metrics": {"macro_f1": {"value": 0.4}}, "support": 9}, tmp_path)
    assert "had" not in capsys.readouterr().out


def test_folders_of_models_with_another_s_record(tmp_path: Path) -> None:
    for record in ([], {"name": "emo-pillars-x"}, {"name": "emo-pillars-x", "recipe": {"seed": None}}):
        put(tmp_path / "m/training.json", record)
        with pytest.raises(InputError, match=r"m/training.json: is not a training record"):
            published_models(tmp_path)


def test_label_sets_and_definitions_that_cannot_be_embedded(tmp_path: Path) -> None:
    path = tmp_path / "set.yaml"
    for name, says in (
        ('" "', "is blank"),
        ('"jo\\ud83dy"', "half a character"),
        ('"jo\\0y"', "control character"),
    ):
        labels = f"  - {{name: {name}, definition: glad}}\n  - {{name: dread, definition: fear}}\n"
        path.write_text(f"name: mine\nlabels:\n{labels}")
        with pytest.raises(InputError, match=rf"set.yaml: .*{says}"):
            find_set(str(path))
        path.write_text(f"joy: {name}\n")
        with pytest.raises(InputError, match=rf"set.yaml: the definition of 'joy' .*{says}"):
            read_definitions(str(path))


def test_descriptors_that_are_none(tmp_path: Path) -> None:
    good = [{"text": "joy", "weight": 0.9}]
    found = [{"id": "a", "text": "river", "descriptors": good, "narrative_id": "s"}]
    kinds = {"descriptors": "list:\n    - name: text\n      dtype: string\n    - name: weight\n      dtype: float64"}
    wrong: list[Any] = [None, [{"text": None, "weight": 0.5}], [{"text": "joy", "weight": math.nan}]]
    for number, given in enumerate(wrong):
        damaged = {"validation": [*found, found[0] | {"id": "b", "descriptors": given}]}
        folder = write(tmp_path / str(number), damaged, "descriptors", narrative_id="dtype: string", **kinds)
        with pytest.raises(InputError, match="validation row 'b' has a descriptor that is not a text with a weight"):
            descriptors(str(folder), "contextless")
    plain = [{name: value for name, value in found[0].items() if name != "narrative_id"}]
    folder = write(tmp_path / "plain", {"validation": plain}, "descriptors", **kinds)
    with pytest.raises(InputError, match="have no 'narrative_id'"):
        descriptors(str(folder), "contextless")


def test_rows_without_a_story_or_an_author(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    own = [row | {"context": "Night."} for row in rows()]
    folder = write(tmp_path / "own", {"train": own, "test": own}, "contextual", context="dtype: string")
    monkeypatch.setattr("sys.argv", ["x", "--model", "none", "--data", str(folder)])
    with pytest.raises(InputError, match="test rows have no 'narrative_id', 'variant'"):
        context_use.main()
    (folder / "manifest.json").write_text("{}")
    done = command("-m", "eval.corpus", "--data", folder, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "rows have no teacher, labeler, prompt_version" in done.stderr


def test_marks_of_another_corpus_are_noticed(
    scripted_work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    marks = put(tmp_path / "marks.jsonl", {"id": "nobody's", "needs_context": True})
    ask = ["x", "--model", "none", "--data", str(scripted_work / "corpus"), "--split", "train", "--needs", str(marks)]
    monkeypatch.setattr("sys.argv", ask)
    with pytest.raises(InputError, match="model 'none'"):
        context_use.main()
    assert "marks no row of the train split. Does the file belong to this corpus?" in capsys.readouterr().err
    data = next((scripted_work / "corpus/contextual").glob("train-*"))
    put(marks, {"id": pq.read_table(data)["id"][0].as_py(), "needs_context": True})
    with pytest.raises(InputError, match="model 'none'"):
        context_use.main()
    assert "marks no row" not in capsys.readouterr().err


def test_thresholds_that_are_none(tiny_models: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_models / "emo-pillars-contextless-minilm", tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    good = config["thresholds"]
    for given, says in (
        ([0.5] * 28, "'admiration' has None"),
        ({"joy": 0.5}, "'admiration' has None"),
        (good | {"joy": math.nan}, "'joy' has nan"),
        (good | {"joy": "high"}, "'joy' has high"),
        (good | {"joy": 50}, "'joy' has 50"),
    ):
        (folder / "config.json").write_text(json.dumps(config | {"thresholds": given}))
        with pytest.raises(InputError, match=rf"config.json, 'thresholds': {says}"):
            load_classifier(str(folder))


def test_models_that_are_damaged(tiny_models: Path, bi_encoder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_models / "emo-pillars-contextless-minilm", tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    save_file({name: value * math.nan for name, value in weights.items()}, folder / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    with pytest.raises(InputError, match=r"its weights do not match training.json"):
        load_classifier(str(folder))
    record = json.loads((folder / "training.json").read_text())
    put(folder / "training.json", record | {"weights_sha256": weights_digest(folder)})
    with pytest.raises(InputError, match="some of its scores are not finite"):
        load_classifier(str(folder)).predict(["river"])
    for broken in ({"recipe": None}, {"recipe": {"seed": "13"}}, []):
        put(folder / "training.json", broken)
        with pytest.raises(InputError, match=r"training.json: is not a training record"):
            load_classifier(str(folder))
    for path in folder.glob("*token*"):
        path.unlink()
    (folder / "vocab.txt").unlink(missing_ok=True)
    with pytest.raises(InputError, match=r"has no tokenizer|cannot be loaded"):
        load_classifier(str(folder))
    (folder / "config.json").write_text("[]")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_classifier(str(folder))
    encoder = shutil.copytree(bi_encoder, tmp_path / "b")
    embeddings = load_bi_encoder(str(encoder))
    embeddings.encoder[0].auto_model.get_input_embeddings().weight.data.fill_(math.nan)
    with pytest.raises(InputError, match="embeddings are not finite"):
        embeddings.embed_texts(["river"])
    (encoder / "reference.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match=r"reference.safetensors: cannot be loaded"):
        load_bi_encoder(str(encoder))
    (encoder / "modules.json").write_text("{}")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_bi_encoder(str(encoder))


def test_a_hub_that_does_not_answer_is_no_missing_record(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> Any:
        raise LocalEntryNotFoundError("offline\nmore")

    says = r"model 'a/b': the Hub does not respond \(offline\)\. Check the network"
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", offline)
    for loader in (load, load_classifier, load_bi_encoder):
        with pytest.raises(InputError, match=says):
            loader("a/b")
    found = model_files.ModelFiles("a/b", "b", None, "c", frozenset({"training.json"}))
    monkeypatch.setattr(model_files, "hf_hub_download", offline)
    with pytest.raises(InputError, match=says):
        found.training_record()
    assert found.reference() is None, "the Hub said that there is none"
