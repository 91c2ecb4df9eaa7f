"""A teacher that stops answering ends the run, and nothing is lost."""

from pathlib import Path

import pytest

from dataset_builder.build import build
from dataset_builder.engine import SICK_AFTER
from dataset_builder.inputs import InputError, read_recipe
from dataset_builder.recipe import BuildRecipe, Executor
from dataset_builder.teachers import Reply, Request, TeacherError
from dataset_builder.teachers.scripted import Scripted


def parquet(work: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((work / "corpus").rglob("*.parquet"))]


def test_a_sick_teacher_ends_the_run_and_its_units_are_asked_again(
    scripted_recipe: Path, scripted_work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = read_recipe(scripted_recipe, BuildRecipe)
    recipe = recipe.model_copy(update={"executor": Executor(shards=1)})
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
    monkeypatch.setattr(Scripted, "generate", answers)
    build(recipe, tmp_path)
    assert parquet(tmp_path) == parquet(scripted_work)


def test_a_few_units_without_an_answer_are_rejected(
    scripted_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = Scripted.generate

    async def fails_for_one_character(self: Scripted, request: Request) -> Reply:
        if request.prompt == "utterances_list" and request.seed % 3 == 0:
            raise TeacherError("time_out", sick=True)
        return await answers(self, request)

    monkeypatch.setattr(Scripted, "generate", fails_for_one_character)
    build(read_recipe(scripted_recipe, BuildRecipe), tmp_path)
    assert "time_out" in (tmp_path / "utterances/manifest.json").read_text()
