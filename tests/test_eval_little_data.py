"""Students that get little of a data set."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataset_builder.domains.prepare import prepare
from dataset_builder.files.data_sets import read_data_set
from dataset_builder.taxonomy import LABELS
from eval.little_data import plot, write_share
from tests.conftest import ROOT, Command
from tests.test_data_sets import write
from tests.test_dataset_builder_domains import isear_files


def rows(split: str, size: int) -> list[dict[str, Any]]:
    made = []
    for number in range(size):
        scores = [float(label == number % 28) for label in range(len(LABELS))]
        made.append({"id": f"{split}{number}", "text": f"Text {number}.", "labels": [number % 28], "scores": scores})
    return made


def test_a_share_is_drawn_by_its_seed_and_keeps_the_names_of_the_labels(tmp_path: Path) -> None:
    data = read_data_set(str(write(tmp_path / "d", {s: rows(s, 400) for s in ("train", "validation", "test")})), None)
    drawn = {}
    for seed, percent, folder in ((13, 5, "a"), (13, 5, "b"), (14, 5, "c"), (13, 100, "d")):
        size = write_share(data, "contextless", percent, seed, tmp_path / folder)
        found = read_data_set(str(tmp_path / folder), "contextless")
        assert set(found.splits) == {"train", "validation"}
        assert found.rows("train").features["labels"].feature.names == list(LABELS)
        drawn[folder] = found.rows("train")["id"][:]
        assert len(drawn[folder]) == size == 400 * percent // 100
        assert len(found.rows("validation")) == max(100, size), "thresholds need a hundred rows"
    assert drawn["a"] == drawn["b"] != drawn["c"]


def test_the_picture_is_drawn() -> None:
    points = [
        {"start": start, "rows": size, "value": 0.1 + share} | {"percent": share, "seed": seed}
        for start, share in (("base", 0.1), ("corpus", 0.2))
        for size in (40, 400)
        for seed in (13, 14)
    ]
    assert plot(points, "a title", "macro-F1").startswith(b"\x89PNG")


@pytest.mark.end_to_end
def test_the_command_measures_starts_and_continues(tiny_encoder: Path, tmp_path: Path, command: Command) -> None:
    data = tmp_path / "isear"
    prepare("isear", isear_files(tmp_path / "files", 40), data)
    values = yaml.safe_load((ROOT / "train/recipes/demo/emo-pillars-contextless-minilm.yaml").read_text())
    values |= {"base_model": str(tiny_encoder), "base_model_wheel": None, "epochs": 1, "batch_size": 64}
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(values))
    asked = ["-m", "eval.little_data", "--benchmark", "isear", "--data", data, "--recipe", recipe, "--seeds", "13"]
    asked += ["--work-dir", tmp_path / "work", "--out", tmp_path / "out", "--shares"]
    done = command(*asked, "20", "100")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "out/system/little-data-isear.json").read_text())
    assert set(result["metrics"]) == {"base: 20%", "base: 100%"}
    assert [point["rows"] for point in result["points"]] == [
        round(0.2 * result["points"][1]["rows"]),
        result["points"][1]["rows"],
    ]
    assert (tmp_path / "out/system/little-data-isear.png").exists()
    points = (tmp_path / "work/points.jsonl").read_bytes()
    again = command(*asked, "20", "100")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "work/points.jsonl").read_bytes() == points
    assert "--shares 0: is not a percentage" in command(*asked, "0").stderr
