"""The table of benchmarks: other forms of a set, scores of any system, another order of labels, all at once."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset_builder.domains.prepare import prepare
from dataset_builder.inputs import InputError
from dataset_builder.label_maps import LABEL_MAPS
from dataset_builder.taxonomy import LABELS
from eval.benchmark_rows import Rows
from eval.benchmarks import find
from eval.measure import check_order, classifier_numbers, decide, valence_of
from eval.metrics import Metrics
from eval.official_files import SEMEVAL, SEMEVAL_TEST
from eval.run import scores_result
from eval.scores_file import VALENCE, read_scores
from tests.conftest import Command
from tests.test_dataset_builder_domains import goemotions_files, isear_files

HALF = np.full(28, 0.5)
EKMAN = {label: group for group, labels in LABEL_MAPS["goemotions-ekman"].items() for label in labels}


def written(folder: Path) -> dict[str, Any]:
    """The result files of a folder, by benchmark."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")}


def scores_of(*labels: str) -> np.ndarray:
    """Scores (1, 28), 0.9 for these labels."""
    row = np.zeros((1, 28))
    row[0, [LABELS.index(label) for label in labels]] = 0.9
    return row


def measured(name: str, rows: Rows, scores: np.ndarray) -> Metrics:
    """The metrics of scores (rows, 28) at thresholds of .5."""
    metrics: Metrics = classifier_numbers(find(name), rows, [scores], [HALF], "t")["metrics"]
    return metrics


def emobank_files(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        "id,split,V,A,D,text",
        "a,train,3,3,3,left out",
        'b_1_20_37,test,4.2,3.1,3,"so glad, so very"',
        "c,test,2,3,3,awful",
    ]
    (folder / "emobank.csv").write_text("\n".join(rows) + "\n")
    return folder


def semeval_files(folder: Path, *rows: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    header = "\t".join(("ID", "Tweet", *SEMEVAL))
    (folder / SEMEVAL_TEST).write_text("\n".join([header, *rows]) + "\n")
    return folder


def test_goemotions_in_groups(tmp_path: Path) -> None:
    prepare("goemotions", goemotions_files(tmp_path / "files"), tmp_path / "goemotions")
    place = str(tmp_path / "goemotions")
    whole, ekman = (find(name).load(place, "contextless") for name in ("goemotions", "goemotions-ekman"))
    assert whole.texts == ekman.texts
    classes = ekman.classes
    for labels, groups in zip(whole.gold, ekman.gold, strict=True):
        named = {EKMAN[LABELS[label]] for label in np.flatnonzero(labels)}
        assert {classes[group] for group in np.flatnonzero(groups)} == named
    # a group is there when one of its labels is over its own threshold
    scores, thresholds = scores_of("amusement"), HALF.copy()
    scores[0, LABELS.index("grief")] = 0.2
    thresholds[LABELS.index("grief")] = 0.1
    decided = decide(find("goemotions-ekman"), scores, thresholds)
    assert {classes[group] for group in np.flatnonzero(decided[0])} == {"joy", "sadness"}
    assert decide(find("goemotions-sentiment"), scores_of("joy", "anger"), HALF).sum() == 2


def test_semeval_s_own_file(tmp_path: Path) -> None:
    row = "x\tso mad and sad\t" + "\t".join("1" if name in ("anger", "sadness") else "0" for name in SEMEVAL)
    rows = find("semeval2018-ec").load(str(semeval_files(tmp_path, row)), "contextless")
    assert [SEMEVAL[column] for column in np.flatnonzero(rows.gold[0])] == ["anger", "sadness"]
    assert measured("semeval2018-ec", rows, scores_of("annoyance"))["jaccard"]["value"] == 0.5
    with pytest.raises(InputError, match="line 3: not an id"):
        find("semeval2018-ec").load(str(semeval_files(tmp_path, row, "y\ttext\t1")), "contextless")
    with pytest.raises(InputError, match="no such file"):
        find("semeval2018-ec").load(str(tmp_path / "none"), "contextless")
    with pytest.raises(InputError, match="--data"):
        find("semeval2018-ec").load(None, "contextless")


def test_valence_by_hand(tmp_path: Path) -> None:
    assert valence_of(np.concatenate([scores_of("joy"), scores_of("anger"), scores_of("neutral")])).tolist() == (
        pytest.approx([4.8, 1.2, 3.0])
    )
    assert valence_of(scores_of("joy", "love")).tolist() == [5.0]
    rows = find("emobank").load(str(emobank_files(tmp_path)), "contextless")
    assert rows.texts == ["so glad, so very", "awful"]
    assert rows.gold.tolist() == [[4.2, 3.1], [2.0, 3.0]]
    assert rows.clusters == ["b_1", "c"]
    assert rows.units == "documents"
    scores = np.concatenate([scores_of("joy"), scores_of("anger")])
    assert measured("emobank", rows, scores)["pearson_valence"]["value"] == pytest.approx(1)


def known_predictions(rows: int = 1400) -> tuple[np.ndarray, np.ndarray]:
    """Gold of one label a text in turn, and scores that miss the first tenth of every label: macro-F1 is known."""
    gold = np.eye(28, dtype=np.int8)[np.arange(rows) % 28]
    scores = gold * 0.8 + 0.1
    missed = np.arange(rows) < rows // 10
    scores[missed] = 0.1
    return gold, scores


def test_predictions_of_known_score(tmp_path: Path, command: Command) -> None:
    gold, scores = known_predictions()
    content = scores_result("made", find("own"), Rows(["x"] * len(gold), None, gold, "r", "p"), scores, 0.5, "s")
    recall = 0.9
    assert content["metrics"]["macro_f1"]["value"] == pytest.approx(2 * recall / (1 + recall), abs=1e-4)
    assert content["metrics"]["micro_f1"]["value"] == pytest.approx(2 * recall / (1 + recall), abs=1e-4)
    assert content["metrics"]["jaccard"]["value"] == pytest.approx(recall)
    assert content["per_label"]["grief"]["precision"] == 1.0
    # the command, from files: two of three labels are found, none wrongly
    (tmp_path / "test.tsv").write_text("So happy\t17\ta\nOh no\t14,25\tb\n")
    (tmp_path / "emotions.txt").write_text("\n".join(LABELS) + "\n")
    lines = [{"text": "So happy", "scores": {"joy": 0.9}}, {"text": "Oh no", "scores": {"fear": 0.6, "anger": 0.2}}]
    path = tmp_path / "scores.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ask = ["-m", "eval.run", "--benchmark", "goemotions", "goemotions-sentiment", "--data", tmp_path, "--out", tmp_path]
    done = command(*ask, "--scores", path, "--name", "a-teacher")
    assert done.returncode == 0, done.stderr
    found = written(tmp_path / "a-teacher")
    assert found["goemotions"]["metrics"]["micro_f1"]["value"] == pytest.approx(0.8)
    assert found["goemotions-sentiment"]["metrics"]["subset_accuracy"]["value"] == 1.0
    assert found["goemotions"]["threshold_source"] == "0.5 for all labels, as given"
    nameless = command(*ask, "--scores", path)
    assert nameless.returncode == 2
    assert "--name" in nameless.stderr


def test_another_order_of_labels_is_caught() -> None:
    gold, scores = known_predictions()
    check_order(gold, scores)
    rows = Rows(["x"] * len(gold), None, gold, "r", "p")
    with pytest.raises(InputError, match="not in the order of the labels: the scores of 'amusement' fit 'admi"):
        measured("own", rows, np.roll(scores, 1, axis=1))
    by_text = np.argsort([str(index) for index in range(28)])  # 0, 1, 10, 11, …: as the released models had them
    with pytest.raises(InputError, match="not in the order"):
        check_order(gold, scores[:, by_text])
    draw = np.random.default_rng(0)
    check_order(gold, draw.random(scores.shape))  # who knows nothing has no order
    check_order(gold[:100], np.roll(scores, 1, axis=1)[:100])  # of so few rows nothing is said


def test_scores_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    good = json.dumps({"text": "a", "scores": {}})
    for second, says in (
        (json.dumps({"text": "c", "scores": {}}), "line 2: does not have the text"),
        (json.dumps({"text": "b", "scores": {"happy": 1}}), "line 2: 'happy' is not one of the 28"),
        (json.dumps({"text": "b", "scores": [1, 2]}), "line 2: not {"),
        ("{", "line 2: not {"),
        (json.dumps({"text": "b", "scores": {"joy": float("nan")}}), "line 2: the score of 'joy' is nan"),
        (json.dumps({"text": "b", "scores": {"joy": 87.5}}), "line 2: the score of 'joy' is 87.5, .* by 100"),
        (
            json.dumps({"text": "b", "scores": {"joy": -2}}),
            "line 2: the score of 'joy' is -2, which is not from 0 to 1",
        ),
        ("\n".join([good, good]), "3 lines for 2 texts"),
        (json.dumps({"text": "b", "scores": {"valence": 3}}), "line 2: 'valence' is not one of the 28 labels"),
    ):
        path.write_text(f"{good}\n{second}\n")
        with pytest.raises(InputError, match=says):
            read_scores(path, ["a", "b"])
    with pytest.raises(InputError, match="no such file"):
        read_scores(tmp_path / "none", ["a", "b"])


def test_scores_may_be_of_the_benchmark_s_own_classes(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"

    def read(classes: tuple[str, ...], *of_texts: dict[str, float]) -> tuple[Any, ...]:
        path.write_text(
            "".join(json.dumps({"text": str(n), "scores": found}) + "\n" for n, found in enumerate(of_texts))
        )
        return read_scores(path, [str(n) for n in range(len(of_texts))], classes)

    isear = tuple(LABEL_MAPS["isear"])
    scores, names, _ = read(isear, {"guilt": 1}, {"joy": 0.5}, {})
    assert (names, scores.argmax(axis=1).tolist()) == (isear, [6, 0, 0])
    scores, names, _ = read(isear, {"joy": 0.5}, {"remorse": 1})
    assert (names, scores.shape) == (LABELS, (2, 28))
    with pytest.raises(InputError, match=r"line 2: 'guilt' is not one of the 28 labels, nor one of joy, fear"):
        read(isear, {"remorse": 1}, {"guilt": 0.5})
    scores, names, _ = read(VALENCE, {"valence": 4}, {})
    assert (names, scores[:, 0].tolist()) == (VALENCE, [4.0, 3.0])
    with pytest.raises(InputError, match="'valence' is 9, which is not from 1 to 5"):
        read(VALENCE, {"valence": 9})


@pytest.mark.end_to_end
def test_every_model_on_all_that_is_at_hand(
    tiny_models: Path, scripted_work: Path, tmp_path: Path, command: Command
) -> None:
    for seed in (13, 14):
        folder = tmp_path / "models" / f"emo-pillars-contextless-minilm{'' if seed == 13 else '-14'}"
        shutil.copytree(tiny_models / "emo-pillars-contextless-minilm", folder)
        record = json.loads((folder / "training.json").read_text())
        record["recipe"]["seed"] = seed
        (folder / "training.json").write_text(json.dumps(record))
    prepare("goemotions", goemotions_files(tmp_path / "files/g"), tmp_path / "goemotions")
    prepare("isear", isear_files(tmp_path / "files/i"), tmp_path / "isear")
    given = [f"goemotions={tmp_path}/goemotions", f"isear={tmp_path}/isear", f"emobank={emobank_files(tmp_path / 'e')}"]
    given.append(f"own={scripted_work}/corpus")
    ask = ["-m", "eval.run", "--all", tmp_path / "models", "--out", tmp_path / "out", "--data"]
    done = command(*ask, *given)
    assert done.returncode == 0, done.stderr
    found = written(tmp_path / "out/emo-pillars-contextless-minilm")
    in_groups = {"goemotions-ekman", "goemotions-sentiment"}
    assert {"goemotions", *in_groups, "isear", "emobank", "own", "everyday", "contrast"} <= set(found)
    assert found["goemotions"]["seeds"] == [13, 14]
    assert found["goemotions"]["hub_dataset"]["config"] == "simplified"
    assert (
        "not evaluated: emocontext, because its data is missing. Licence: participants of SemEval-2019" in done.stdout
    )
    assert "iemocap-4" in done.stdout
    wrong = command(*ask, "isear")
    assert wrong.returncode == 2
    assert "BENCHMARK=PLACE" in wrong.stderr
    nothing = command("-m", "eval.run", "--all", tmp_path / "none")
    assert nothing.returncode == 2
    assert "no model folder" in nothing.stderr


@pytest.mark.end_to_end
def test_a_teacher_is_measured_by_the_same_code(scripted_recipe: Path, tmp_path: Path, command: Command) -> None:
    place = goemotions_files(tmp_path / "files")
    (place / "test.tsv").write_text("So happy\t17\ta\nriver window\t14,25\tb\n")
    benchmark = ["--benchmark", "goemotions", "--data", place]
    texts, scores = tmp_path / "texts.jsonl", tmp_path / "scores.jsonl"
    for step in (
        ["-m", "eval.run", "--texts", texts, *benchmark],
        ["-m", "dataset_builder", "label-texts", texts, "--recipe", scripted_recipe, "--out", scores],
        ["-m", "eval.run", "--scores", scores, "--name", "scripted", "--threshold", 0.3, *benchmark, "--out", tmp_path],
    ):
        done = command(*step)
        assert done.returncode == 0, done.stderr
    found = written(tmp_path / "scripted")["goemotions"]
    assert found["support"] == 2
    assert found["metrics"]["labels_per_text"]["value"] > 0
    prepare("isear", isear_files(tmp_path / "files/i"), tmp_path / "isear")
    for name, place, options in (
        ("isear", tmp_path / "isear", ["--labels", "isear", "--choose", "single"]),
        ("emobank", emobank_files(tmp_path / "files/e"), ["--choose", "valence"]),
    ):
        benchmark = ["--benchmark", name, "--data", place]
        ask = ["-m", "dataset_builder", "label-texts", texts, "--recipe", scripted_recipe, "--out", scores, *options]
        for step in (
            ["-m", "eval.run", "--texts", texts, *benchmark],
            ask,
            ["-m", "eval.run", "--scores", scores, "--name", "scripted", *benchmark, "--out", tmp_path],
        ):
            done = command(*step)
            assert done.returncode == 0, done.stderr
    found = written(tmp_path / "scripted")
    assert set(found["isear"]["per_label"]) == set(LABEL_MAPS["isear"])
    assert 0 < found["isear"]["metrics"]["macro_recall"]["value"] < 1
    assert 0 < found["emobank"]["metrics"]["mae_valence"]["value"] < 4
    assert "--choose single: needs --labels" in command(*ask[:-1], "single").stderr
    texts.write_text('{"text": "a"}\n{}\n')
    done = command("-m", "dataset_builder", "label-texts", texts, "--recipe", scripted_recipe, "--out", scores)
    assert done.returncode == 2
    assert "line 2: not" in done.stderr
