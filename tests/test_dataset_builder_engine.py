"""A teacher that stops answering ends the run, and nothing is lost."""

import importlib.util
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dataset_builder.ask import stable_hash
from dataset_builder.build import build
from dataset_builder.flow import SICK_AFTER
from dataset_builder.inputs import InputError, read_recipe
from dataset_builder.recipe import BuildRecipe, Executor, Labels, ScriptedTeacher
from dataset_builder.status import status
from dataset_builder.teachers import Reply, Request, Scores, TeacherError
from dataset_builder.teachers.scripted import Scripted
from tests.conftest import Command


def parquet(work: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((work / "corpus").rglob("*.parquet"))]


def test_a_sick_teacher_ends_the_run_and_its_units_are_asked_again(
    scripted_recipe: Path, scripted_work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = read_recipe(scripted_recipe, BuildRecipe)
    recipe = recipe.model_copy(update={"executor": Executor()})
    answers = Scripted.generate
    contexts = 0

    async def fails_after_a_while(self: Scripted, request: Request) -> Reply:
        nonlocal contexts
        contexts += request.prompt == "context"
        if contexts > 30:
            raise TeacherError("http_503", sick=True)
        return await answers(self, request)

    monkeypatch.setattr(Scripted, "generate", fails_after_a_while)
    with pytest.raises(InputError, match=rf"context: the teacher failed at {SICK_AFTER} units in a row .*http_503"):
        build(recipe, tmp_path)
    said = status(tmp_path)
    assert "not finished: " in said
    assert re.search(r"^context +[1-9]", said, re.MULTILINE), "units so far of every stage"
    monkeypatch.setattr(Scripted, "generate", answers)
    build(recipe, tmp_path)
    assert parquet(tmp_path) == parquet(scripted_work)
    assert "corpus contextual: " in status(tmp_path)


def test_units_at_which_the_teacher_always_fails_are_rejected_and_the_others_made(
    scripted_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than the number in a row that ends a run, but among others, and all units of one story."""
    answers = Scripted.generate

    async def fails_at_some(self: Scripted, request: Request) -> Reply:
        asked = request.prompt == "context"
        if asked and (stable_hash(request.user) % 2 == 0 or "Story: Crab" in request.user):
            raise TeacherError("time_out", sick=True)
        return await answers(self, request)

    monkeypatch.setattr(Scripted, "generate", fails_at_some)
    build(read_recipe(scripted_recipe, BuildRecipe), tmp_path)
    manifest = json.loads((tmp_path / "context/manifest.json").read_text())
    assert manifest["rejected"]["time_out"] > SICK_AFTER
    assert manifest["units"] == manifest["rows"] + sum(manifest["rejected"].values())


def test_a_calibration_without_an_answer_rejects_nobody_for_good(
    scripted_recipe: Path, scripted_work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, failures = Scripted.score, 3

    async def fails_first(self: Scripted, request: Request, choices: Sequence[str]) -> Scores:
        nonlocal failures
        if failures:
            failures -= 1
            raise TeacherError("http_503", sick=True)
        return await scores(self, request, choices)

    monkeypatch.setattr(Scripted, "score", fails_first)
    build(read_recipe(scripted_recipe, BuildRecipe), tmp_path)
    assert parquet(tmp_path) == parquet(scripted_work)


def test_folders_of_nobody_are_not_built_on(scripted_recipe: Path, tmp_path: Path) -> None:
    recipe = read_recipe(scripted_recipe, BuildRecipe)
    (tmp_path / "labels").mkdir()
    with pytest.raises(InputError, match="nobody knows of what"):
        build(recipe, tmp_path)


@pytest.mark.parametrize("stage", ["characters", "labels", "rewriting", "publish"])
def test_a_stage_and_what_follows_from_it_are_made_again(
    scripted_recipe: Path, scripted_work: Path, tmp_path: Path, stage: str
) -> None:
    recipe = read_recipe(scripted_recipe, BuildRecipe)
    shutil.copytree(scripted_work, tmp_path / "work")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").glob("*/*.jsonl.gz")}
    assert build(recipe, tmp_path / "work", restart_from=stage)
    assert parquet(tmp_path / "work") == parquet(scripted_work)
    again = {path.parent.name for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert (
        again
        == {
            "characters": {"characters", "utterances", "labels", "descriptors", "context", "cleaning", "rewriting"},
            "labels": {"labels", "context", "cleaning", "rewriting"},
            "rewriting": {"rewriting"},
            "publish": set(),
        }[stage]
    )


def test_changes_are_taken_from_the_stage_that_follows_from_them(
    scripted_recipe: Path, scripted_work: Path, tmp_path: Path
) -> None:
    recipe = read_recipe(scripted_recipe, BuildRecipe)
    changed = recipe.model_copy(
        update={"teacher": ScriptedTeacher(kind="scripted"), "labels": Labels(labeler="verbalised")}
    )
    shutil.copytree(scripted_work, tmp_path / "work")
    with pytest.raises(InputError, match=r"recipe\.labels\.labeler .*--restart-from"):
        build(changed, tmp_path / "work")
    with pytest.raises(InputError, match=r"recipe\.labels\.labeler"):
        build(changed, tmp_path / "work", restart_from="context")
    with pytest.raises(InputError, match="no such stage"):
        build(changed, tmp_path / "work", restart_from="label")
    assert build(changed, tmp_path / "work", restart_from="labels")
    rows = pq.read_table(next((tmp_path / "work/corpus/contextless").glob("train*"))).to_pylist()
    assert {row["labeler"] for row in rows} == {"verbalised"}
    assert not build(changed, tmp_path / "work"), "the folder is the changed recipe's now"


@pytest.mark.end_to_end
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
def test_a_ray_cluster_changes_no_row(
    scripted_recipe: Path, scripted_work: Path, tmp_path: Path, command: Command
) -> None:
    """Only the executor of the recipe differs: two workers of a Ray that it starts on this machine."""
    recipe = tmp_path / "ray.yaml"
    recipe.write_text(scripted_recipe.read_text().replace("{shards: 2}", "{kind: ray, shards: 4, workers: 2}"))
    done = command("-m", "dataset_builder", "build", "--recipe", recipe, "--work-dir", tmp_path / "work")
    assert done.returncode == 0, done.stderr
    assert parquet(tmp_path / "work") == parquet(scripted_work)
