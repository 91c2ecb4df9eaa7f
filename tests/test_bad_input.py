"""Bad input ends every command with a message of a line or two, an exit code that is not 0, and no traceback."""

import json
from pathlib import Path

import pytest

from tests.conftest import Command

STORY = {"id": "a", "title": "A", "text": "One day Ana met Ben."}


def build(command: Command, tmp_path: Path, recipe: str, *arguments: object) -> str:
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe)
    done = command("-m", "dataset_builder", "build", "--recipe", path, "--work-dir", tmp_path / "work", *arguments)
    return refused(done.returncode, done.stderr)


def refused(status: int, stderr: str) -> str:
    assert status not in (0, 1), stderr
    assert "Traceback" not in stderr
    message = [line for line in stderr.splitlines() if line.startswith("error: ")]
    assert len(message) == 1, stderr
    return message[0]


def test_the_builder_s_recipe(command: Command, tmp_path: Path) -> None:
    message = build(command, tmp_path, "name: x\nteacher: {kind: scripted}\ncolour: red\n")
    assert "recipe.yaml" in message
    assert "unknown key 'colour'" in message
    message = build(command, tmp_path, "name: x\nteacher: {kind: scripted}\nseed: {a: 1}\n")
    assert "key 'seed'" in message
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ('{"id": "g", "title": "G", "te', "line 7: broken JSON"),
        (json.dumps(STORY | {"id": "g", "text": ""}), "line 7: field 'text' is empty"),
        (json.dumps({"id": "g", "title": "G"}), "line 7: field 'text' is missing"),
    ],
)
def test_stories(command: Command, tmp_path: Path, row: str, says: str) -> None:
    stories = tmp_path / "stories.jsonl"
    lines = [json.dumps(STORY | {"id": f"s{index}"}) for index in range(6)]
    stories.write_text("\n".join([*lines, row]) + "\n")
    message = build(command, tmp_path, "name: x\nteacher: {kind: scripted}\n", "--narratives", stories)
    assert str(stories) in message
    assert says in message
    assert not (tmp_path / "work").exists()


def test_a_teacher_that_is_not_there(command: Command, tmp_path: Path) -> None:
    teacher = "{kind: endpoint, model: m, urls: ['http://127.0.0.1:9/v1'], retries: 0}"
    recipe = f"name: x\nnarratives: {{limit: 1}}\nteacher: {teacher}\n"
    assert "labels.labeler: likelihood needs" in build(command, tmp_path, recipe), "a plain server gives no such scores"
    recipe += "labels: {labeler: verbalised}\ndescriptors: {describer: generated}\n"
    message = build(command, tmp_path, recipe)
    assert "the teacher does not respond" in message
    assert not (tmp_path / "work/corpus").exists()
    assert not (tmp_path / "work/characters/manifest.json").exists()


def test_the_trainer(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("name: x\nepochs: many\n")
    done = command("-m", "train.classifier", "--recipe", path)
    message = refused(done.returncode, done.stderr)
    assert "recipe.yaml" in message
    path.write_text(
        "name: x\nbase_model: y\ndataset: nowhere/at/all\nconfig: contextless\nepochs: 1\nlearning_rate: 1e-3\n"
        "head_learning_rate: 1e-3\n"
    )
    done = command("-m", "train.classifier", "--recipe", path, "--output-dir", tmp_path / "model")
    assert "nowhere/at/all" in refused(done.returncode, done.stderr)
    assert not (tmp_path / "model").exists()


def test_the_measures(command: Command, tmp_path: Path) -> None:
    done = command("-m", "eval.run", "--model", tmp_path, "--benchmark", "goemotion")
    assert "unknown benchmark 'goemotion'" in refused(done.returncode, done.stderr)
    done = command("-m", "eval.run", "--model", tmp_path / "none", "--benchmark", "goemotions")
    assert "no such folder" in refused(done.returncode, done.stderr)
    done = command("-m", "eval.run", "--model", tmp_path, "--benchmark", "goemotions", "--out", tmp_path / "out")
    assert "no config.json" in refused(done.returncode, done.stderr)
    assert not (tmp_path / "out").exists()
