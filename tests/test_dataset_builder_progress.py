"""How far a build is said to be: by its bar, in a log, and by `status`."""

import asyncio
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dataset_builder.inputs import InputError, read_recipe
from dataset_builder.parquet import read_manifest
from dataset_builder.pipeline import progress
from dataset_builder.pipeline.build import build
from dataset_builder.pipeline.progress import (
    StageCounts,
    StoryCounts,
    expected_units,
    minutes_left,
    read_progress,
    sample,
)
from dataset_builder.pipeline.stages import STAGES
from dataset_builder.pipeline.status import status
from dataset_builder.recipe import BuildRecipe
from dataset_builder.teachers.base import Reply, Request
from dataset_builder.teachers.scripted import Scripted


def test_units_are_expected_by_what_is_known_of_each_stage() -> None:
    counts = {stage.name: StageCounts() for stage in STAGES}
    counts["characters"] = StageCounts(done=4, known=6)
    counts["utterances"] = StageCounts(done=5, known=8)  # two of each of four stories
    counts["labels"] = StageCounts(done=10, known=50)
    counts["descriptors"] = StageCounts(known=50)
    counts["context"] = StageCounts(known=3)
    after = {stage.name: stage.after for stage in STAGES}
    found = expected_units(after, counts, StoryCounts(opened=6, all=12))
    assert found["characters"] == 12
    assert found["utterances"] == 8 + 2 * 8
    assert found["labels"] == found["descriptors"] == 50 + 10 * (24 - 5)
    assert found["context"] == pytest.approx(3 + 0.3 * (240 - 10))
    assert "rewriting" not in found, "nothing can be said yet"


def test_minutes_left_go_by_the_waiting_of_each_stage() -> None:
    stages = {
        "characters": StageCounts(units=12, busy_seconds=120.0),
        "labels": StageCounts(units=50, busy_seconds=100.0),
    }
    assert minutes_left(stages, {"characters": 12.0, "labels": 150.0}, spent=110.0) == pytest.approx(100 / 60)
    assert minutes_left(stages, {"characters": 12.0}, spent=110.0) is None
    assert minutes_left(stages | {"labels": StageCounts()}, {"labels": 9.0}, 110.0) is None


def test_a_sample_is_one_line_that_a_terminal_does_not_act_on() -> None:
    row = {
        "text": "We \x1b]0;pwned\x07 won\n\n\u202ethe\ud800 cup! " + "x" * 300,
        "raw_labels": [{"label": "joy\x9b", "score": 1.0}, {"label": "pride", "score": 0.5}],
    }
    said = sample(row)
    assert said.isprintable()
    assert said.startswith("“We \\x1b]0;pwned\\x07 won \\u202ethe\\ud800 cup! xx")
    assert said.endswith("…” (joy\\x9b 1.00, pride 0.50)")
    assert len(said) < 150
    said.encode()
    assert sample({"character": "Ada"}) == ""


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scripted teacher that takes its time, and progress that is quick to show."""
    answers = Scripted.generate

    async def slow(self: Scripted, request: Request) -> Reply:
        await asyncio.sleep(0.05)
        return await answers(self, request)

    monkeypatch.setattr(Scripted, "generate", slow)
    for name in ("SECONDS_BETWEEN_LINES", "SECONDS_BETWEEN_SAMPLES"):
        monkeypatch.setattr(progress, name, 0.0)
    monkeypatch.setattr("dataset_builder.pipeline.flow.SECONDS_BETWEEN_TICKS", 0.1)


@pytest.mark.usefixtures("slowly")
def test_a_log_has_lines_of_units_and_samples(
    scripted_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build(one_shard(scripted_recipe), tmp_path)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("shard 0: ")]
    counts = [int(line.split()[2]) for line in lines if " units, " in line]
    assert len(set(counts)) > 3, "it moves within a story"
    assert counts == sorted(counts)
    units = sum(read_manifest(tmp_path / stage.name)["units"] for stage in STAGES)
    assert f"shard 0: {units} of {units} units, " in lines[-1]
    assert any("“" in line for line in lines), "a row that was made"
    assert "\r" not in "".join(lines)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("slowly")
def test_the_bar_counts_units(scripted_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    build(one_shard(scripted_recipe), tmp_path)
    units = sum(read_manifest(tmp_path / stage.name)["units"] for stage in STAGES)
    drawn = screen.getvalue()
    assert f"{units}/{units}" in drawn
    assert len({part.split("/")[0] for part in drawn.split("\r") if "/" in part}) > 3


@pytest.mark.usefixtures("slowly")
def test_status_moves_and_says_what_is_left(
    scripted_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked at while the build runs: what it expects in all is near what there is in the end."""
    seen: list[str] = []
    write = progress.Progress.write

    def looked_at(self: progress.Progress) -> None:
        write(self)
        seen.append(status(tmp_path))

    monkeypatch.setattr(progress.Progress, "write", looked_at)
    build(one_shard(scripted_recipe), tmp_path)
    running = [said for said in seen if said.startswith("not finished")]
    assert len(running) > 5
    half = running[len(running) // 2]
    about = {line.split()[0]: line.split()[2] for line in half.splitlines()[2:-1]}
    for stage in ("characters", "utterances", "labels"):
        assert float(about[stage]) == pytest.approx(read_manifest(tmp_path / stage)["units"], rel=0.5)
    assert any(line.endswith("minutes left") for line in running[-1].splitlines())


def one_shard(path: Path) -> BuildRecipe:
    recipe = read_recipe(path, BuildRecipe)
    return recipe.model_copy(update={"executor": recipe.executor.model_copy(update={"shards": 1, "workers": 1})})


def figures(work: Path) -> dict[str, Any]:
    manifests = {stage.name: read_manifest(work / stage.name) for stage in STAGES}
    noted = {stage.name: sum(note.stages[stage.name].units for note in read_progress(work)) for stage in STAGES}
    tokens = {stage.name: sum(note.stages[stage.name].tokens for note in read_progress(work)) for stage in STAGES}
    for stage, manifest in manifests.items():
        assert noted[stage] == manifest["units"]
        assert tokens[stage] == manifest["prompt_tokens"] + manifest["completion_tokens"]
    return noted


def test_a_restart_doubles_no_figure(scripted_recipe: Path, tmp_path: Path) -> None:
    recipe = read_recipe(scripted_recipe, BuildRecipe)
    build(recipe, tmp_path)
    before = figures(tmp_path)
    path = next((tmp_path / "progress").glob("*.json"))
    note = json.loads(path.read_text())
    note["seconds"] = note["stages"]["labels"]["busy_seconds"] = 1e9  # labels took nearly all of the time
    path.write_text(json.dumps(note))
    kept = read_manifest(tmp_path / "utterances")["busy_seconds"]
    build(recipe, tmp_path, "labels")
    assert figures(tmp_path) == before
    assert read_manifest(tmp_path / "labels")["busy_seconds"] < 1e6
    assert read_manifest(tmp_path / "utterances")["busy_seconds"] == kept
    assert sum(note.seconds for note in read_progress(tmp_path)) < 1e6


def test_a_shard_that_was_deleted_by_hand_is_counted_once(scripted_recipe: Path, tmp_path: Path) -> None:
    recipe = read_recipe(scripted_recipe, BuildRecipe)
    build(recipe, tmp_path)
    before = figures(tmp_path)
    for path in (tmp_path / "rewriting/00000.jsonl.gz", tmp_path / "rewriting/manifest.json"):
        path.unlink()
    (tmp_path / "corpus/manifest.json").unlink()
    build(recipe, tmp_path)
    assert figures(tmp_path) == before


def test_a_run_that_was_stopped_goes_on_counting(
    scripted_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = one_shard(scripted_recipe)
    answers, asked = Scripted.generate, 0

    async def stops(self: Scripted, request: Request) -> Reply:
        nonlocal asked
        asked += 1
        if asked > 40:
            raise InputError("stopped")
        return await answers(self, request)

    monkeypatch.setattr(Scripted, "generate", stops)
    with pytest.raises(InputError, match="stopped"):
        build(recipe, tmp_path)
    said = status(tmp_path)
    assert "not finished" in said
    monkeypatch.setattr(Scripted, "generate", answers)
    build(recipe, tmp_path)
    figures(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("corpus/manifest.json", "[]", "contains list instead of an object"),
        ("corpus/manifest.json", '{"rows": {"contextless": 3}}', "key 'rows.contextless'"),
        ("labels/manifest.json", "{}", "key 'units' is missing"),
        ("labels/manifest.json", '{"units": ', "broken JSON"),
        ("progress/00000.json", '{"stages": []}', "key 'stages'"),
    ],
)
def test_status_names_a_damaged_file(scripted_work: Path, tmp_path: Path, file: str, content: str, says: str) -> None:
    work = Path(shutil.copytree(scripted_work, tmp_path / "work"))
    (work / file).write_text(content)
    with pytest.raises(InputError, match=rf"{file}: .*{says}"):
        status(work)


def test_notes_of_an_earlier_version_are_read(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "progress").mkdir()
    note = {"seconds": 10.0, "at_once": 1, "stories": {"done": 1, "all": 2}, "stages": {}}
    note["stages"] = {stage.name: {"units": 3, "busy_seconds": 1.0, "tokens": 9} for stage in STAGES}
    (tmp_path / "progress/00000.json").write_text(json.dumps(note))
    assert "not finished: 1 of 0 stories" in status(tmp_path)
