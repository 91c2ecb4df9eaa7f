"""Learning curves: which rows the students get, and the whole command with a tiny encoder."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataset_builder.corpus import open_corpus
from dataset_builder.inputs import InputError
from dataset_builder.parquet import write_manifest, write_splits
from dataset_builder.taxonomy import LABELS
from eval.curves import parts as parts_module
from eval.curves import students
from eval.curves.parts import Part, files, other_labels, read_splits, sizes, sources, write_part
from eval.curves.plots import plot_bars, plot_sizes
from tests.conftest import ROOT, Command


def row(number: int, **changes: Any) -> dict[str, Any]:
    scores = [0.0] * len(LABELS)
    scores[number % len(LABELS)] = 1.0
    return {
        "id": f"r{number}",
        "text": f"I say sentence number {number}.",
        "character": "",
        "narrative_id": f"r{number}",
        "group": "",
        "source": "written" if number % 3 else "quoted",
        "provenance": f"contextless-{'home' if number % 2 else 'work'}.tsv, line {number}",
        "requested_emotion": "",
        "teacher": "t",
        "prompt_version": "",
        "seed": 13,
        "labels": [number % len(LABELS)],
        "scores": scores,
        "raw_labels": [{"label": LABELS[number % len(LABELS)], "score": 1.0}],
        "labeler": "writer",
        "agreement": 1.0,
    } | changes


def corpus_of(rows: list[dict[str, Any]], folder: Path) -> Path:
    folder.mkdir()
    split_rows = [("validation" if number % 10 == 0 else "train", one) for number, one in enumerate(rows)]
    counts = write_splits(split_rows, "contextless", folder)
    write_manifest(folder, {"stage": "publish", "rows": {"contextless": counts}})
    return folder


def test_larger_parts_contain_the_smaller_ones_and_sets_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "SIZES", (4, 9, 50))
    rows = [row(number, group=f"g{number // 3}", narrative_id=f"g{number // 3}") for number in range(18)]
    made = list(sizes(rows))
    assert [(part.name, len(part.rows)) for part in made] == [("4", 6), ("9", 9), ("all", 18)]
    for smaller, larger in itertools.pairwise(made):
        assert larger.rows[: len(smaller.rows)] == smaller.rows


def test_the_order_is_by_story_and_only_train_and_validation_are_read(tmp_path: Path) -> None:
    corpus = corpus_of([row(number) for number in range(40)], tmp_path / "corpus")
    found = read_splits(corpus, "contextless")
    assert (len(found.train), len(found.validation)) == (36, 4)
    assert [one["id"] for one in found.train] != sorted(one["id"] for one in found.train)
    with pytest.raises(InputError, match="no train and validation rows of the config 'contextual'"):
        read_splits(corpus, "contextual")


def test_sources_and_files_have_their_own_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "LEAST_ROWS", 5)
    rows = [row(number) for number in range(30)]
    assert {part.name: len(part.rows) for part in sources(rows)} == {"quoted": 10, "written": 20, "all sources": 30}
    found = {part.name: part.rows for part in files(rows)}
    assert set(found) == {"contextless-home", "contextless-work", "all files"}
    assert all(one["source"] == "written" for of_file in found.values() for one in of_file)
    assert not list(sources([one for one in rows if one["source"] == "written"]))


def test_other_labels_are_of_the_same_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "LEAST_ROWS", 5)
    rows = [row(number) for number in range(30)]
    again = [row(number) | {"labels": [3], "scores": row(3)["scores"]} for number in range(20)]
    judged = corpus_of(again, tmp_path / "judged")
    own, changed = other_labels(rows, {"judge": str(judged)}, "contextless")
    assert [one["text"] for one in own.rows] == [one["text"] for one in changed.rows]
    assert {tuple(one["labels"]) for one in changed.rows} == {(3,)}
    assert own.key != changed.key
    monkeypatch.setattr(parts_module, "LEAST_ROWS", 500)
    with pytest.raises(InputError, match="share only 18 train rows"):
        list(other_labels(rows, {"judge": str(judged)}, "contextless"))


def test_a_part_is_a_corpus(tmp_path: Path) -> None:
    rows = [row(number) | {"split": "train"} for number in range(12)]
    write_part(Part("sizes", "12", rows), [row(99) | {"split": "validation"}], "contextless", tmp_path / "part")
    assert open_corpus(tmp_path / "part").count("contextless") == {"train": 12, "validation": 1}


def test_the_pictures_are_drawn() -> None:
    points = [
        {
            "name": str(size),
            "rows": size,
            "metrics": {"goemotions macro_f1": size / 9_000, "goemotions macro_f1_dev_thresholds": 0.9, "own x": 0.1},
        }
        for size in (1_000, 3_000, 8_000)
    ]
    for draw in (plot_sizes, plot_bars):
        assert draw(points, "a title").startswith(b"\x89PNG")


def test_a_killed_run_measures_only_the_points_that_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []

    def measure(part: Part, *_: Any) -> dict[str, float]:
        if part.name == "9" and measured.count("9") == 0:
            measured.append("9")
            raise KeyboardInterrupt  # the run is killed while it measures the second point
        measured.append(part.name)
        return {"own macro_f1": len(part.rows) / 100}

    monkeypatch.setattr(parts_module, "SIZES", (4, 9))
    monkeypatch.setattr(students, "_measure", measure)
    rows = [row(number) for number in range(18)]
    recipe: dict[str, Any] = {"config": "contextless", "epochs": 1, "batch_size": 8}
    with pytest.raises(KeyboardInterrupt):
        students.measure_parts(sizes(rows), [], recipe, {}, tmp_path)
    points = students.measure_parts(sizes(rows), [], recipe, {}, tmp_path)
    assert measured == ["4", "9", "9", "all"]
    assert [point["rows"] for point in points] == [4, 9, 18]
    students.measure_parts(sizes(rows), [], recipe | {"epochs": 2}, {}, tmp_path)  # another recipe has its own points
    assert measured[4:] == ["4", "9", "all"]


@pytest.mark.end_to_end
def test_the_command_continues_where_it_was(
    scripted_work: Path, tiny_encoder: Path, tmp_path: Path, command: Command
) -> None:
    recipe = yaml.safe_load((ROOT / "train/recipes/demo/emo-pillars-contextless-minilm.yaml").read_text())
    recipe |= {"base_model": str(tiny_encoder), "base_model_wheel": None, "epochs": 1, "batch_size": 64}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    asked = ("-m", "eval.curves", scripted_work / "corpus", "--recipe", path, "--only", "sizes", "--work-dir")
    asked += (tmp_path / "work", "--out", tmp_path / "out")
    done = command(*asked)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "out/corpus/curves-contextless-sizes.json").read_text())
    assert set(result["points"][-1]["metrics"]) == {"own macro_f1", "everyday accuracy", "everyday feelings_as_neutral"}
    assert (tmp_path / "out/corpus/curves-contextless-sizes.png").exists()
    points = (tmp_path / "work/points.jsonl").read_bytes()
    again = command(*asked)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "work/points.jsonl").read_bytes() == points
