"""The context test: what it finds of labelers that read situations, ignore them, or answer nothing."""

import json
from pathlib import Path

import numpy as np
import pytest

from dataset_builder.corpus import open_corpus
from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import LABEL_TO_INDEX
from dataset_builder.teacher_eval import context_ablation as context_test
from dataset_builder.teacher_eval.context_ablation import Shifts, marks, metrics
from tests.conftest import Command

ANGER, JOY = LABEL_TO_INDEX["anger"], LABEL_TO_INDEX["joy"]


def scores(*classes: int | None) -> np.ndarray:
    found = np.zeros((len(classes), 28))
    for row, index in zip(found, classes, strict=True):
        if index is not None:
            row[index] = 1.0
    return found


def rows(*published: int) -> list[dict[str, object]]:
    return [
        {
            "id": f"s/c/u{number}/original",
            "variant": "original",
            "narrative_id": "s",
            "scores": [float(label == index) for label in range(28)],
        }
        for number, index in enumerate(published)
    ]


def test_labels_that_the_situation_brings_back() -> None:
    found = Shifts(
        rows(ANGER, ANGER, JOY, JOY),
        {"own": scores(ANGER, ANGER, JOY, None), "none": scores(JOY, ANGER, JOY, JOY), "other": scores(*[JOY] * 4)},
    )
    assert found.divergence("own", "none") == pytest.approx([1.0, 0.0, 0.0, 0.0])
    assert found.needs_context().tolist() == [True, False, False, False]
    values = {name: value["value"] for name, value in metrics(found).items()}
    assert values["needs_context"] == 0.25
    assert values["as_published_own"] == 0.75
    assert values["as_published_none"] == 0.75
    assert values["as_published_other"] == 0.5
    assert values["moved_own_none"] == 0.25
    assert values["changed_own_none"] == 0.5, "no answer is another answer"
    assert [line["needs_context"] for line in marks(found)] == [True, False, False, False]
    assert marks(found)[3]["own"] is None


def test_how_far_two_distributions_are_apart() -> None:
    half = np.zeros((1, 28))
    half[0, [ANGER, JOY]] = 0.7  # scores are no distribution: the strongest is 1, or it is not
    found = Shifts(rows(ANGER), {"own": scores(ANGER), "none": half, "other": half})
    # By hand: H(.75, .25) - (H(1) + H(.5, .5)) / 2
    assert found.divergence("own", "none") == pytest.approx([0.8112781 - 0.5])
    assert found.divergence("none", "other") == pytest.approx([0.0])


def test_a_labeler_that_ignores_situations_is_seen(
    scripted_work: Path, monkeypatch: pytest.MonkeyPatch, scripted_recipe: Path
) -> None:
    from dataset_builder.inputs import read_recipe
    from dataset_builder.pipeline.label_texts import Labelled
    from dataset_builder.recipe import BuildRecipe
    from dataset_builder.schema import Usage

    asked: list[list[str]] = []

    def label(texts: list[str], recipe: BuildRecipe) -> Labelled:
        asked.append(texts)
        made = scores(*[len(text.partition("\n")[0]) % 28 for text in texts])
        return Labelled(made, made > 0, 0, Usage())

    monkeypatch.setattr(context_test, "label", label)
    found, content = context_test.context_test(scripted_work, read_recipe(scripted_recipe, BuildRecipe), 40, "train")
    assert content["metrics"]["needs_context"]["value"] == content["metrics"]["moved_own_none"]["value"] == 0
    assert content["support"] == len(found.rows) == len(asked[0])
    own, none, other = asked
    contexts = {row["context"]: row["narrative_id"] for row in open_corpus(scripted_work).rows("contextual")}
    for row, with_own, without, with_other in zip(found.rows, own, none, other, strict=True):
        assert with_own == f"{row['text']}\nSituation: {row['context']}"
        assert without == row["text"]
        assert contexts[with_other.partition("\nSituation: ")[2]] != row["narrative_id"], (
            "the situation of another story"
        )


def test_the_command_marks_rows(scripted_work: Path, scripted_recipe: Path, tmp_path: Path, command: Command) -> None:
    arguments = ("-m", "dataset_builder", "context-test", scripted_work, "--recipe", scripted_recipe)
    places = ("--name", "test", "--out", tmp_path, "--marks", tmp_path / "marks.jsonl")
    done = command(*arguments, *places, "--split", "train", "--rows", 20)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "marks.jsonl").read_text().splitlines()]
    content = json.loads((tmp_path / "system/context-test-test.json").read_text())
    share = sum(line["needs_context"] for line in lines) / len(lines)
    assert content["metrics"]["needs_context"]["value"] == pytest.approx(share, abs=1e-4)
    assert "scripted" in content["labeler"]
    none = command(*arguments, *places, "--split", "holdout")
    assert (none.returncode, "no contextual rows in the split 'holdout'" in none.stderr) == (2, True)


def test_one_story_has_no_other_situation() -> None:
    with pytest.raises(InputError, match="no row can get another story's"):
        context_test.other_contexts([{"id": "a", "narrative_id": "s", "context": "x"}] * 2)
