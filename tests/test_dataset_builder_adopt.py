"""The released corpus, from files of its form that we wrote."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import load_dataset

from dataset_builder.filters.resolve import class_of
from dataset_builder.import_released import Fields, import_released
from dataset_builder.inputs import InputError
from dataset_builder.recipe import PaperMap
from dataset_builder.schema import features
from dataset_builder.taxonomy import LABELS
from tests.conftest import Command

ROW: dict[str, Any] = {
    "utterance": "They really built it without me.",
    "all_emotions": [["disappointment", 0.8], ["indignation", 0.6], ["sadness", "0.2"], ["envy", 0.4]],
    "all_emotions_mapped": [["disappointment", 0.8], ["anger", 0.6], ["sadness", "0.2"], ["envy", 0.4]],
}


def released(tmp_path: Path, **files: list[Any]) -> list[Path]:
    paths = []
    for name, rows in files.items():
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        paths.append(path)
    return paths


def test_released_files_become_a_typed_corpus(tmp_path: Path, command: Command) -> None:
    weak = ROW | {"all_emotions_mapped": [["joy", 0.2]]}
    files = released(tmp_path, train=[ROW, weak, ROW], dev=[ROW], test=[ROW])
    made = command("-m", "dataset_builder", "adopt", *files, "--work-dir", tmp_path / "work")
    assert made.returncode == 0, made.stderr
    assert "{'no_label': 1}" in made.stdout
    corpus = load_dataset(str(tmp_path / "work/corpus"), "contextless")
    assert corpus["train"].features == features("contextless"), "a model trains on it"
    assert {split: len(rows) for split, rows in corpus.items()} == {"train": 2, "validation": 1, "test": 1}
    row = corpus["train"][0]
    assert [LABELS[label] for label in row["labels"]] == ["anger", "disappointment"]
    assert row["scores"][LABELS.index("sadness")] == pytest.approx(0.2)
    assert {raw["label"] for raw in row["raw_labels"]} == {"disappointment", "indignation", "sadness", "envy"}
    manifest = json.loads((tmp_path / "work/corpus/manifest.json").read_text())
    assert manifest["unresolved_labels"] == {"envy": 4}
    assert json.loads((tmp_path / "work/rejects/adopt.jsonl").read_text())["id"].endswith("-train/2")


def test_rows_with_faults_are_left_out_and_marks_taken_off(tmp_path: Path) -> None:
    long = [[f"word {number}", 0.5] for number in range(50)]
    faults = {
        "reasoning": ROW | {"utterance": "<think>A line.</think> They really built it without me."},
        "raw_labels_out_of_bounds": ROW | {"all_emotions": long},
        "chat_token": ROW | {"all_emotions": [["<|im_end|>", 0.5]]},
    }
    files = released(tmp_path, train=[ROW | {"utterance": f"\ufeff{ROW['utterance']}"}, *faults.values()])
    manifest = import_released(files, tmp_path / "work", Fields())
    assert manifest["rejected"] == dict.fromkeys(sorted(faults), 1)
    rows = load_dataset(str(tmp_path / "work/corpus"), "contextless", split="train")
    assert rows["text"][:] == [ROW["utterance"]]


def test_situations_where_their_field_is_named(tmp_path: Path) -> None:
    files = released(tmp_path, train=[ROW | {"summary": "The house was finished.", "actor": "Mara"}])
    import_released(files, tmp_path / "work", Fields(context="summary", character="actor"))
    row = load_dataset(str(tmp_path / "work/corpus"), "contextual", split="train")[0]
    assert (row["context"], row["character"]) == ("The house was finished.", "Mara")


def test_the_map_of_words_outside_the_taxonomy_is_recovered(tmp_path: Path) -> None:
    twice = {"all_emotions": [["dread", 0.7], ["awe", 0.7]], "all_emotions_mapped": [["fear", 0.7]]}
    other = {
        "all_emotions": [["indignation", 0.5], ["joy", 0.2]],
        "all_emotions_mapped": [["disgust", 0.5], ["joy", 0.2]],
    }
    unclear = {
        "all_emotions": [["hope", 0.5], ["worry", 0.5]],
        "all_emotions_mapped": [["optimism", 0.5], ["nervousness", 0.5]],
    }
    files = released(tmp_path, train=[ROW, ROW, *({**ROW, **more} for more in (twice, other, unclear))])
    manifest = import_released(files, tmp_path / "work", Fields())
    assert manifest["recovered_map"] == {
        "indignation": {"anger": 2, "disgust": 1},
        "awe": {"fear": 1},
        "dread": {"fear": 1},
    }
    section = yaml.safe_load((tmp_path / "work/recovered_map.yaml").read_text())
    pairs = section["resolve"]["pairs"]
    assert pairs == {"indignation": "anger", "awe": "fear", "dread": "fear"}
    found = class_of("dread", PaperMap.model_validate(section["resolve"]))
    assert found is not None
    assert LABELS[found] == "fear"
    with pytest.raises(ValueError, match="'dread', which is none of the 28 labels"):
        PaperMap(pairs={"awe": "dread"})


@pytest.mark.end_to_end
def test_the_use_of_situations_is_measured_on_it_by_variant(
    tiny_models: Path, tmp_path: Path, command: Command
) -> None:
    rows = [
        ROW | {"utterance": f"They built {n} of it.", "short": f"They built {n}.", "summary": f"It was day {n}."}
        for n in range(4)
    ]
    files = released(tmp_path, train=rows, dev=rows, test=rows)
    named = ["--context-field", "summary", "--rewritten-field", "short", "--work-dir", tmp_path / "work"]
    made = command("-m", "dataset_builder", "adopt", *files, *named)
    assert made.returncode == 0, made.stderr
    corpus = load_dataset(str(tmp_path / "work/corpus"), "contextual", split="test")
    assert corpus["variant"][:2] == ["original", "rewritten"]
    assert corpus["text"][:2] == ["They built 0 of it.", "They built 0."]
    assert len(set(corpus["narrative_id"])) == 4, "a row without a story is a story of its own"
    model = tiny_models / "emo-pillars-contextual-minilm"
    asked = ["-m", "eval.context_use", "--model", model, "--data", tmp_path / "work/corpus", "--out", tmp_path / "out"]
    done = command(*asked)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / model.name / "context.json").read_text())
    assert found["groups"] == {"all": 8, "original": 4, "rewritten": 4}
    lone = command("-m", "dataset_builder", "adopt", *files, "--rewritten-field", "short", "--work-dir", tmp_path / "x")
    assert "--rewritten-field needs --context-field" in lone.stderr


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ('{"utterance": ', r"train.jsonl, line 2: broken JSON"),
        (["x"], "line 2: expected an object"),
        ({"utterance": "x"}, "line 2: field 'all_emotions_mapped' must be a list"),
        (ROW | {"utterance": 3}, "line 2: field 'utterance' must be text, found 3"),
        (ROW | {"all_emotions_mapped": [["joy"]]}, r"expected \[label, score\], found \['joy'\]"),
        (ROW | {"all_emotions_mapped": [["joy", 8]]}, "not between 0 and 1"),
        (ROW | {"utterance": "They \ud83d built it."}, r"contains half a character \(a lone surrogate\)"),
        (ROW | {"utterance": "They \x00 built it."}, r"contains the control character U\+0000"),
        (ROW | {"all_emotions": [["j\ud83doy", 0.5]]}, r"'all_emotions' contains half a character"),
    ],
)
def test_rows_of_another_form_are_named(tmp_path: Path, row: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        import_released(released(tmp_path, train=[ROW, row]), tmp_path / "work", Fields())
    assert not (tmp_path / "work/corpus").exists()


def test_files_without_a_split_and_folders_in_use(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its name contains no split"):
        import_released(released(tmp_path, rows=[ROW]), tmp_path / "work", Fields())
    files = released(tmp_path, train=[ROW])
    import_released(files, tmp_path / "work", Fields())
    with pytest.raises(InputError, match="already exists"):
        import_released(files, tmp_path / "work", Fields())
