"""Judges: what each kind gives, how their scores are kept, and how an ensemble of them decides."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dataset_builder.judges.judge as judging
from dataset_builder.filters.ensemble import Ensemble, Fit, Judged
from dataset_builder.filters.judgements import key_of, read_judgements, seconds_per_text
from dataset_builder.inputs import InputError, read_recipe
from dataset_builder.judges.disputed import disputed_rows
from dataset_builder.judges.fit import fit, fit_all, out_of_fold
from dataset_builder.judges.judge import ToJudge, judge_run, judge_texts, texts_of_run
from dataset_builder.judges.labelled_rows import read_labelled
from dataset_builder.judges.load import load_judge
from dataset_builder.judges.recipe import EnsembleRecipe, JudgeRecipe
from dataset_builder.taxonomy import LABEL_TO_INDEX, LABELS, NEUTRAL
from tests.conftest import ROOT, Command

SCRIPTED = {"kind": "scripted"}
TEXTS = ["We won the cup today.", "He forgot our anniversary.", "The shop opens at nine."]
SITUATIONS = [None, "Ana cooked all day and laid the table for two.", None]


def recipe(name: str = "one", **kind: Any) -> JudgeRecipe:
    return JudgeRecipe.model_validate({"name": name, "texts_at_once": 7, "judge": kind})


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def tiny_classifier(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained classifier of the 28 labels."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed

    folder = tmp_path_factory.mktemp("classifier")
    set_seed(3)
    names = dict(enumerate(LABELS))
    model = AutoModelForSequenceClassification.from_pretrained(
        tiny_encoder, id2label=names, label2id=LABEL_TO_INDEX, problem_type="multi_label_classification"
    )
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(folder)
    return folder


# ------------------------------------------------------------------ the kinds


@pytest.mark.parametrize("kind", ["likelihood", "verbalised", "encoder", "classifier"])
def test_every_kind_scores_texts_alone_and_in_situations(kind: str, tiny_encoder: Path, tiny_classifier: Path) -> None:
    settings: dict[str, dict[str, Any]] = {
        "likelihood": {"teacher": SCRIPTED},
        "verbalised": {"teacher": SCRIPTED},
        "encoder": {"encoder": str(tiny_encoder), "wheel": None},
        "classifier": {"model": str(tiny_classifier), "situation": True},
    }
    judge = load_judge(recipe(kind=kind, **settings[kind]))
    scores = judge.score(TEXTS, SITUATIONS, LABELS)
    assert scores.shape == (3, 28)
    assert ((scores >= 0) & (scores <= 1)).all()
    alone = judge.score(TEXTS, [None, None, None], LABELS)
    assert np.allclose(scores[[0, 2]], alone[[0, 2]], atol=1e-5)
    assert not np.allclose(scores[1], alone[1], atol=1e-5)


def test_a_classifier_reads_situations_only_if_told(tiny_classifier: Path) -> None:
    judge = load_judge(recipe(kind="classifier", model=str(tiny_classifier)))
    assert np.allclose(judge.score(TEXTS, SITUATIONS, LABELS), judge.score(TEXTS, [None] * 3, LABELS), atol=1e-5)


def test_a_classifier_of_other_labels_is_refused(tiny_encoder: Path) -> None:
    with pytest.raises(InputError, match="not the 28 emotions"):
        load_judge(recipe(kind="classifier", model=str(tiny_encoder)))


def test_likelihoods_are_calibrated_by_content_free_texts() -> None:
    judge = load_judge(recipe(kind="likelihood", teacher=SCRIPTED, prompts=["feels"]))
    usual = load_judge(recipe(kind="likelihood", teacher=SCRIPTED, prompts=["feels"], calibration=0.0))
    scores = judge.score(TEXTS, SITUATIONS, LABELS)
    assert np.allclose(scores.sum(axis=1), 1)
    assert not np.allclose(scores, usual.score(TEXTS, SITUATIONS, LABELS))


def test_texts_without_an_answer_have_no_scores() -> None:
    teacher = {"kind": "scripted", "bad_reply_share": 0.6}
    judge = load_judge(recipe(kind="verbalised", teacher=teacher, decoding={"max_new_tokens": 60, "attempts": 1}))
    scores = judge.score([f"text {number}" for number in range(30)], [None] * 30, LABELS)
    unanswered = np.isnan(scores).all(axis=1)
    assert 0 < unanswered.sum() < 30
    assert np.isfinite(scores[~unanswered]).all()


def test_the_phrases_of_a_finished_run_judge_texts(tmp_path: Path) -> None:
    from dataset_builder.descriptors.describe import describe
    from dataset_builder.descriptors.recipe import TextsRecipe

    cues = {"in_texts": [2], "encoder_share": 0, "whole": 0, "clear_at": 0.3, "full_at": 2.0}
    given = {"name": "t", "teacher": SCRIPTED, "describer": "cues", "cues": cues, "validation": 0.2}
    (tmp_path / "cues.yaml").write_text(json.dumps(given))
    texts = write_lines(tmp_path / "texts.jsonl", [{"text": f"{w} anew {n}"} for w in ("sad", "glad") for n in (1, 2)])
    describe(TextsRecipe.model_validate(given), [texts], "text", tmp_path / "work")
    kind = {"kind": "phrases", "recipe": str(tmp_path / "cues.yaml"), "work_dir": str(tmp_path / "work")}
    scores = load_judge(recipe(**kind)).score(["I am sad", "so glad", "unknown words"], [None] * 3, LABELS)
    assert scores.shape == (3, 28)
    assert np.allclose(scores.sum(axis=1), 1)
    assert not np.allclose(scores[0], scores[1])
    with pytest.raises(InputError, match="no run of describe-texts"):
        load_judge(recipe(**kind | {"work_dir": str(tmp_path / "none")}))


def test_a_reader_judges_what_it_has_read(tmp_path: Path) -> None:
    read = write_lines(
        tmp_path / "read.jsonl",
        [
            {"text": TEXTS[0], "labels": {"joy": 1, "pride": 0.4}},
            {"text": TEXTS[1], "situation": SITUATIONS[1], "labels": {"sadness": 1}},
        ],
    )
    scores = load_judge(recipe(kind="labels", files=[str(read)])).score(TEXTS, SITUATIONS, LABELS)
    assert scores[0, LABEL_TO_INDEX["joy"]] == 1
    assert scores[0, LABEL_TO_INDEX["pride"]] == 0.4
    assert scores[1].argmax() == LABEL_TO_INDEX["sadness"]
    assert np.isnan(scores[2]).all()


def test_written_files_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "contextless-a.tsv").write_text("labels\ttext\njoy:1,love:.4\tWe got the keys.\n")
    rows = read_labelled([tmp_path / "contextless-a.tsv"])
    assert [(row.text, row.situation, row.labels, row.first) for row in rows] == [
        ("We got the keys.", None, {"joy": 1.0, "love": 0.4}, "joy")
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({"text": "a"}, "'labels' is missing"),
        ({"text": "a", "labels": {}}, "no label"),
        ({"text": "a", "labels": {"glee": 1}}, "'glee' is no label"),
        ({"text": "a", "labels": {"joy": 2}}, "'joy' is no label with a weight"),
    ],
)
def test_bad_labelled_lines_are_named(tmp_path: Path, line: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=rf"bad.jsonl, line 1: .*{says}"):
        read_labelled([write_lines(tmp_path / "bad.jsonl", [line])])


def test_the_recipes_can_be_read() -> None:
    folder = ROOT / "dataset_builder/recipes/judges"
    named = {path.stem: read_recipe(path, JudgeRecipe) for path in folder.glob("*.yaml") if path.stem != "ensemble"}
    assert all(found.name == name for name, found in named.items())
    for member in read_recipe(folder / "ensemble.yaml", EnsembleRecipe).judges:
        assert (ROOT / member.recipe).exists()
        assert Path(member.recipe).stem in named


# ------------------------------------------------------------------ a work folder


class Killed(Exception):
    pass


def test_a_killed_judge_goes_on_where_it_was(
    scripted_work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = recipe(kind="likelihood", teacher=SCRIPTED, prompts=["feels"])
    texts = texts_of_run(scripted_work)
    pieces = 0

    def load(given: JudgeRecipe) -> Any:
        judge = load_judge(given)
        score = judge.score

        def count(*arguments: Any) -> np.ndarray:
            nonlocal pieces
            pieces += 1
            if pieces == 3:
                raise Killed
            return score(*arguments)

        judge.score = count  # type: ignore[method-assign, assignment]
        return judge

    monkeypatch.setattr(judging, "load_judge", load)
    with pytest.raises(Killed):
        judge_texts(texts, one, tmp_path)
    assert len(read_judgements(tmp_path, "one")) == 14
    with (tmp_path / "judged/one/scores.jsonl").open("ab") as journal:
        journal.write(b'{"unit": "to')  # torn by the kill
    assert len(read_judgements(tmp_path, "one")) == 14
    assert judge_texts(texts, one, tmp_path) == len(texts) - 14
    assert judge_texts(texts, one, tmp_path) == 0
    assert {key_of(*text) for text in texts} == set(read_judgements(tmp_path, "one"))
    assert seconds_per_text(tmp_path, "one") > 0


def test_another_judge_of_the_same_name_is_refused(tmp_path: Path) -> None:
    judge_texts([ToJudge("a", None)], recipe(kind="likelihood", teacher=SCRIPTED), tmp_path)
    with pytest.raises(InputError, match="another judge with this name"):
        judge_texts([ToJudge("a", None)], recipe(kind="verbalised", teacher=SCRIPTED), tmp_path)


def test_a_sample_is_part_of_a_larger_one_and_disputed_texts_come_first(
    scripted_work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = texts_of_run(scripted_work)
    assert any(text.situation for text in texts)
    monkeypatch.setattr(judging, "texts_of_run", lambda work_dir: texts)
    one, two = recipe(kind="likelihood", teacher=SCRIPTED), recipe("two", kind="verbalised", teacher=SCRIPTED)
    assert judge_run(tmp_path, one, 10) == 10
    first = set(read_judgements(tmp_path, "one"))
    assert judge_run(tmp_path, one, None) == len(texts) - 10
    judge_run(tmp_path, two, None)
    judge_run(tmp_path, recipe("three", kind="verbalised", teacher=SCRIPTED), 5, ["one", "two"])
    of_one, of_two = read_judgements(tmp_path, "one"), read_judgements(tmp_path, "two")
    assert first < set(of_one)
    for key in read_judgements(tmp_path, "three"):
        assert of_one[key].argmax() != of_two[key].argmax()


def test_judge_as_a_command(scripted_work: Path, tmp_path: Path, command: Command) -> None:
    import shutil

    work = shutil.copytree(scripted_work, tmp_path / "work")
    (tmp_path / "judge.yaml").write_text("name: it\njudge: {kind: likelihood, teacher: {kind: scripted}}\n")
    arguments = ("-m", "dataset_builder", "judge", work, "--recipe", tmp_path / "judge.yaml")
    made = command(*arguments, "--limit", 20)
    assert made.returncode == 0, made.stderr
    assert "'it' has read 20" in made.stdout
    refused = command("-m", "dataset_builder", "judge", tmp_path, "--recipe", tmp_path / "judge.yaml")
    assert refused.returncode == 2
    assert "Run `build` first" in refused.stderr
    unknown = command(*arguments, "--disputed-by", "nobody")
    assert "judge 'nobody' has not read it" in unknown.stderr


# ------------------------------------------------------------------ the ensemble


def made_up(rows: int = 300, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A good judge, a bad one and noise, (rows, 3, 28), and the true labels, (rows, 28)."""
    draw = np.random.default_rng(seed)
    gold = np.eye(28)[draw.integers(0, 28, rows)]
    judged = np.stack([gold * strength + draw.random(gold.shape) for strength in (1.2, 0.3, 0.0)], axis=1) / 2.3
    return judged, gold


def test_the_better_judge_weighs_more_and_together_they_are_better() -> None:
    judged, gold = made_up()
    made = fit(["good", "bad", "noise"], judged, gold)
    assert made.weights[0] > made.weights[1] > made.weights[2] >= 0
    assert 0 < made.threshold < 1
    right = {}
    for judges in (["good"], ["bad"], ["good", "bad"]):
        columns = [["good", "bad"].index(judge) for judge in judges]
        scores, chosen = out_of_fold(judges, judged[:, columns], gold, np.arange(len(gold)))
        right[len(judges), judges[0]] = (scores.argmax(axis=1) == gold.argmax(axis=1)).mean()
        assert chosen.any(axis=1).mean() > 0.5
    assert right[2, "good"] >= right[1, "good"] > right[1, "bad"]


def test_there_is_a_fit_for_each_set_of_judges_with_enough_texts() -> None:
    judged, gold = made_up()
    judged[60:, 2] = np.nan  # read a sample
    judged[:40, 1] = np.nan  # together with it only 20 texts
    fits = fit_all(["a", "b", "c"], judged, gold)
    assert [made.judges for made in fits] == [("a",), ("b",), ("c",), ("a", "b"), ("a", "c")]


def ensemble_file(folder: Path, least: float = 0.5) -> Path:
    """Two judges that are believed as they are, and their fits alone and together."""
    fits = tuple(
        Fit(judges=judges, weights=(1.0,) * len(judges), bias=(1.0,) * 28, threshold=0.5)
        for judges in (("a",), ("b",), ("a", "b"))
    )
    made = Ensemble(name="e", judges=("a", "b"), least_agreement=least, contextless=fits, contextual=fits)
    path = folder / "ensemble.json"
    path.write_text(made.model_dump_json())
    return path


Said = dict[tuple[str, str | None], dict[str, float] | None]


def store(folder: Path, judge: str, given: Said) -> None:
    """Write a judge's scores as `judge` does; labels that are not named have .05."""
    lines = []
    for pair, labels in given.items():
        scores = None if labels is None else [labels.get(label, 0.05) for label in LABELS]
        lines.append({"unit": key_of(*pair), "text": pair[0], "scores": scores, "seconds": 0.1})
    (folder / f"judged/{judge}").mkdir(parents=True)
    write_lines(folder / f"judged/{judge}/scores.jsonl", lines)


def test_an_ensemble_decides_and_says_why_not(tmp_path: Path) -> None:
    both: Said = {("agreed", None): {"joy": 0.9}, ("agreed", "s"): {"fear": 0.9}, ("faint", None): {"joy": 0.2}}
    store(tmp_path, "a", both | {("differ", None): {"joy": 0.9}, ("sample", None): None, ("none", None): None})
    store(tmp_path, "b", both | {("differ", None): {"fear": 0.8}, ("sample", None): {"anger": 0.9}})
    judged = Judged.open(ensemble_file(tmp_path, least=0.6), [tmp_path])
    agreed = judged.decide("agreed", None)
    assert (agreed.labels, agreed.agreement, agreed.judges, agreed.reason) == ([LABEL_TO_INDEX["joy"]], 1.0, 2, None)
    assert judged.decide("agreed", "s").labels == [LABEL_TO_INDEX["fear"]]
    assert judged.decide("faint", None).reason == "no_label"
    assert judged.decide("sample", None).labels == [LABEL_TO_INDEX["anger"]]
    assert judged.decide("none", None).reason == "not_judged"
    assert judged.decide("unread", None).reason == "not_judged"
    assert judged.decide("agreed", None, expected="grief").reason == "not_as_requested"
    assert judged.decide("agreed", None, expected="joy").reason is None
    differ = judged.decide("differ", None)
    assert (differ.reason, differ.agreement) == ("judges_disagree", 0.5)
    assert judged.agreement("differ", None, "fear") == 0.5
    assert judged.agreement("unread", None, "fear") is None


def test_an_ensemble_needs_all_of_its_judges(tmp_path: Path) -> None:
    store(tmp_path, "a", {("x", None): {"joy": 1}})
    with pytest.raises(InputError, match="judge 'b' has not read it"):
        Judged.open(ensemble_file(tmp_path), [tmp_path])


def test_rows_that_all_judges_dispute_are_listed(tmp_path: Path, scripted_work: Path) -> None:
    import shutil

    work = shutil.copytree(scripted_work, tmp_path / "work")
    rows = [row for row, _ in judging.labelled_texts_of_run(work) if row["raw_labels"]]
    first = max(rows[0]["raw_labels"], key=lambda label: label["score"])["label"]
    others = [label for label in LABELS if label not in {one["label"] for one in rows[0]["raw_labels"]}]
    said: Said = {(rows[0]["text"], None): {others[0]: 0.9}, (rows[1]["text"], None): {first: 0.9}}
    store(work, "a", said)
    store(work, "b", {**said, (rows[0]["text"], None): {others[0]: 0.8}})
    found = [*disputed_rows(work, str(ensemble_file(tmp_path)))]
    assert rows[0]["id"] in {row["id"] for row in found}
    assert found[0]["judged"] == {others[0]: pytest.approx(0.987, abs=0.02)}


def test_judges_are_measured_and_an_ensemble_is_written(tmp_path: Path, command: Command) -> None:
    draw = np.random.default_rng(5)
    rows = [{"text": f"text {n} {'sad' if n % 2 else 'glad'}", "labels": {LABELS[n % 28]: 1}} for n in range(120)]
    write_lines(tmp_path / "marked.jsonl", rows)
    read = [row | {"labels": {LABELS[n % 28 if draw.random() < 0.8 else NEUTRAL]: 1}} for n, row in enumerate(rows)]
    write_lines(tmp_path / "read.jsonl", read)
    (tmp_path / "dev.tsv").write_text("".join(f"text {n} glad\t{n % 28}\tid{n}\n" for n in range(0, 120, 2)))
    (tmp_path / "reader.yaml").write_text(
        json.dumps({"name": "reader", "judge": {"kind": "labels", "files": [str(tmp_path / "read.jsonl")]}})
    )
    (tmp_path / "lm.yaml").write_text("name: lm\njudge: {kind: likelihood, teacher: {kind: scripted}}\n")
    members = [{"recipe": str(tmp_path / "reader.yaml")}, {"recipe": str(tmp_path / "lm.yaml"), "rows": 100}]
    (tmp_path / "all.yaml").write_text(json.dumps({"name": "all", "judges": members}))
    arguments = ["--recipe", tmp_path / "all.yaml", "--marked", tmp_path / "marked.jsonl"]
    arguments += ["--goemotions", tmp_path / "dev.tsv", "--work-dir", tmp_path / "work"]
    arguments += ["--ensemble", tmp_path / "all.json", "--out", tmp_path / "results"]
    made = command("-m", "dataset_builder", "measure-judges", *arguments)
    assert made.returncode == 0, made.stderr
    content = json.loads((tmp_path / "results/system/judges.json").read_text())
    values = {name: found["value"] for name, found in content["metrics"].items()}
    assert values["reader_marked_first_right"] > 0.7 > values["lm_marked_first_right"]
    assert values["all_marked_first_right"] > 0.7
    assert values["reader_goemotions_macro_f1"] > 0.6
    assert 100 <= content["support"]["lm_marked"] < 120
    made_of = json.loads((tmp_path / "all.json").read_text())
    assert [one["judges"] for one in made_of["contextless"]] == [["reader"], ["lm"], ["reader", "lm"]]
    assert made_of["contextless"][2]["weights"][0] > made_of["contextless"][2]["weights"][1]
    missing = command("-m", "dataset_builder", "measure-judges", *arguments[:2], *arguments[4:])
    assert "give --written CORPUS, --marked FILES, or both" in missing.stderr
