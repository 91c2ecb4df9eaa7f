"""Cross-validation: every fold is trained and measured once, and a second run measures nothing again."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.conftest import ROOT, Command
from tests.test_dataset_builder_domains import isear_files


@pytest.mark.end_to_end
def test_folds_are_averaged_and_continued(tiny_encoder: Path, tmp_path: Path, command: Command) -> None:
    recipe, out, work = tmp_path / "recipe.yaml", tmp_path / "out", tmp_path / "work"
    values = yaml.safe_load((ROOT / "train/recipes/paper/emo-pillars-contextless-roberta-large-isear.yaml").read_text())
    values |= {
        "base_model": str(tiny_encoder),
        "epochs": 1,
        "batch_size": 64,
        "max_length": 64,
        "mixed_precision": "no",
    }
    recipe.write_text(yaml.safe_dump(values))
    asked = ["-m", "eval.folds", "--domain", "isear", "--source", isear_files(tmp_path / "files", 40)]
    asked += ["--recipe", recipe, "--folds", "2", "--work-dir", work, "--out", out]
    done = command(*asked)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((out / f"system/folds-{values['name']}.json").read_text())
    found = result["metrics"]["macro_f1"]
    assert len(found["seeds"]) == 2
    assert found["value"] == pytest.approx(np.mean(found["seeds"]), abs=1e-4)
    assert found["deviation"] == pytest.approx(np.std(found["seeds"]), abs=1e-4)
    points = (work / "points.jsonl").read_bytes()
    assert command(*asked).returncode == 0
    assert (work / "points.jsonl").read_bytes() == points
