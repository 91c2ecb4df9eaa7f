"""The project's own test sets, MELD, development splits, and what is measured with and without situations."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset_builder.domains.prepare import prepare
from dataset_builder.files.texts import benchmark_texts
from dataset_builder.hashing import stable_hash
from dataset_builder.held_out import CONTRAST, EVERYDAY, SECOND_READER, contrast, everyday, is_contrast_test
from dataset_builder.inputs import InputError
from dataset_builder.label_maps import LABEL_MAPS
from dataset_builder.taxonomy import LABELS, NEUTRAL
from eval import context_use
from eval.benchmark_rows import Rows
from eval.benchmarks import find
from eval.cards.results import read_results
from eval.cards.sections import model_section
from eval.measure import bi_encoder_numbers, classifier_numbers, development_numbers
from eval.metrics import Metrics
from eval.models import load_bi_encoder
from tests.conftest import ROOT, Command
from tests.test_dataset_builder_domains import goemotions_files, isear_files, meld_files

HALF = np.full(28, 0.5)
WRITTEN = ROOT / "dataset_builder/written"
CONTEXTUAL = "emo-pillars-contextual-minilm"


def measured(name: str, rows: Rows, scores: np.ndarray) -> Metrics:
    """The metrics of scores (rows, 28)."""
    metrics: Metrics = classifier_numbers(find(name), rows, [scores], [HALF], "t")["metrics"]
    return metrics


def values(metrics: Metrics, *names: str) -> list[float]:
    return [metrics[name]["value"] for name in names]


def test_the_held_out_rows() -> None:
    rows, second = everyday(), everyday(SECOND_READER)
    assert [row.text for row in rows] == [row.text for row in second]
    assert len(rows) == len({row.text for row in rows}) == 500
    assert sum(row.label == other.label for row, other in zip(rows, second, strict=True)) == 489
    sets = [contrast()[start : start + 3] for start in range(0, 450, 3)]
    assert len(sets) == len(contrast()) / 3 == 150
    for of_set in sets:
        assert len({row.text for row in of_set}) == 1
        assert len({row.label for row in of_set}) == 3
    assert {row.label for row in [*rows, *contrast()]} == set(LABELS)


def test_a_corpus_can_leave_them_out() -> None:
    hashes = [stable_hash("contrast test", row.text) for row in contrast()]
    assert hashes == sorted(hashes), "the sets are those with the smallest hashes, in this order"
    assert is_contrast_test(contrast()[0].text)
    assert is_contrast_test(f" {contrast()[0].text.upper().rstrip('?.!')} ")
    assert not is_contrast_test("Nobody has said this.")
    lines = (json.loads(line) for path in WRITTEN.glob("*.jsonl") for line in path.read_text().splitlines())
    written = [line["text"] for line in lines if "text" in line]  # not the dialogues
    assert written
    assert not any(map(is_contrast_test, written))
    assert len(list(benchmark_texts(EVERYDAY))) == 500
    assert len(list(benchmark_texts(CONTRAST))) == 150


def test_everyday_by_hand() -> None:
    rows = find("everyday").load(None)
    names = "accuracy", "feelings_as_neutral", "neutral_as_feeling", "accuracy_second_reader"
    assert values(measured("everyday", rows, rows.gold * 0.9), *names) == [1.0, 0.0, 0.0, 0.978]
    all_neutral = np.zeros(rows.gold.shape)
    all_neutral[:, NEUTRAL] = 0.1
    assert values(measured("everyday", rows, all_neutral), *names[:3]) == [0.25, 1.0, 0.0]
    no_neutral = np.zeros(rows.gold.shape)
    no_neutral[:, 0] = 0.1
    found = measured("everyday", rows, no_neutral)
    assert values(found, "feelings_as_neutral", "neutral_as_feeling") == [0.0, 1.0]
    assert find("everyday").headline == find("contrast").headline == "accuracy"


def test_contrast_by_hand() -> None:
    assert find("contrast").load(None, "contextless").contexts is None
    rows = find("contrast").load(None, "contextual")
    assert rows.contexts is not None
    assert len(set(rows.contexts)) == 450
    assert (len(set(rows.clusters or ())), rows.units) == (147, "utterances")
    perfect = rows.gold * 0.9
    assert values(measured("contrast", rows, perfect), "accuracy", "sets_right") == [1.0, 1.0]
    blind = np.repeat(perfect[::3], 3, axis=0)  # the first row's answer for all rows of a set
    found = measured("contrast", rows, blind)
    assert values(found, "accuracy", "sets_right") == [0.3333, 0.0]
    one_wrong = perfect.copy()
    one_wrong[:75:3] = 0  # a row of each of 25 sets; without a score the first label is predicted
    expected = 1 - 25 / 150 + (rows.gold[:75:3, 0] == 1).sum() / 150
    assert measured("contrast", rows, one_wrong)["sets_right"]["value"] == pytest.approx(expected, abs=1e-4)
    assert measured("contrast", rows, one_wrong)["sets_right"]["low"] < expected


def test_what_isear_s_texts_are_read_as() -> None:
    """Neutral is no class of ISEAR: the best of the others is predicted, and the texts are counted."""
    gold = np.eye(7, dtype=np.int8)
    scores = np.zeros((7, 28))
    for row, labels in enumerate(LABEL_MAPS["isear"].values()):
        scores[row, LABELS.index(labels[0])] = 0.5
    scores[:3, NEUTRAL] = 0.9
    rows = Rows(["x"] * 7, None, gold, "r", "p", classes=tuple(LABEL_MAPS["isear"]))
    found = measured("isear", rows, scores)
    assert values(found, "accuracy", "feelings_as_neutral") == [1.0, 0.4286]
    assert "neutral_as_feeling" not in found


def test_a_bi_encoder_by_the_names(bi_encoder: Path, tmp_path: Path) -> None:
    model = load_bi_encoder(str(bi_encoder))
    found = bi_encoder_numbers(find("everyday"), find("everyday").load(None), [model])["metrics"]
    assert {"accuracy", "accuracy_second_reader", "feelings_as_neutral", "neutral_as_feeling"} <= set(found)
    prepare("meld", meld_files(tmp_path / "files"), tmp_path / "meld")
    rows = find("meld").load(str(tmp_path / "meld"))
    assert {"weighted_f1", "feelings_as_neutral"} <= set(bi_encoder_numbers(find("meld"), rows, [model])["metrics"])


def test_thresholds_of_the_development_split(tmp_path: Path) -> None:
    prepare("goemotions", goemotions_files(tmp_path / "g"), tmp_path / "goemotions")
    development = find("goemotions").development()
    for place in ("g", "goemotions"):
        assert development.load(str(tmp_path / place)).texts == ["Fine."]
    assert (development.name, development.data_set) == ("goemotions-validation", "goemotions-validation")
    with pytest.raises(InputError, match=r"benchmark .everyday.: has no development split\. Those with one: goem"):
        find("everyday").development()
    with pytest.raises(InputError, match="'goemotions-validation': has no development split"):
        development.development()
    gold = np.eye(28, dtype=np.int8)[np.arange(280) % 28]
    low = gold * 0.2 + 0.05  # right, but under .5
    rows = Rows(["x"] * 280, None, gold, "test's", "p")
    assert measured("own", rows, low)["macro_f1"]["value"] == 0
    found = development_numbers(rows, [low], Rows(["y"] * 280, None, gold, "dev's", "p"), [low])
    assert found["metrics"]["macro_f1_dev_thresholds"]["value"] == 1.0
    assert "280 validation rows" in found["dev_threshold_source"]
    assert found["dev_threshold_source"].endswith("development split, dev's")


def test_the_commands_and_the_card(
    tiny_models: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare("meld", meld_files(tmp_path / "files/m"), tmp_path / "meld")
    prepare("goemotions", goemotions_files(tmp_path / "files/g"), tmp_path / "goemotions")
    out = ["--model", tiny_models / CONTEXTUAL, "--out", tmp_path / "out"]
    for asked in (
        ["--benchmark", "everyday", "contrast"],
        ["--benchmark", "meld", "--data", tmp_path / "meld"],
        ["--benchmark", "goemotions", "--data", tmp_path / "goemotions", "--dev-thresholds"],
        ["--benchmark", "goemotions", "--data", tmp_path / "goemotions", "--split", "validation"],
    ):
        done = command("-m", "eval.run", *asked, *out)
        assert done.returncode == 0, done.stderr
    for asked in (["--benchmark", "contrast"], ["--benchmark", "meld", "--data", tmp_path / "meld"]):
        monkeypatch.setattr("sys.argv", ["eval.context_use", *map(str, [*asked, *out])])
        context_use.main()
    folder = tmp_path / "out" / CONTEXTUAL
    files: dict[str, Any] = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    assert set(files) == {
        "everyday", "contrast", "meld", "goemotions", "goemotions-validation", "context-contrast", "context-meld",
    }  # fmt: skip
    contrasts = files["context-contrast"]["metrics"]
    assert contrasts["accuracy_own_all"]["value"] == files["contrast"]["metrics"]["accuracy"]["value"]
    assert contrasts["sets_right_none_all"]["value"] == 0
    assert contrasts["accuracy_none_all"]["value"] <= 1 / 3
    assert "accuracy_gain_over_other_all" in contrasts
    assert files["context-contrast"]["intervals"].endswith("147 utterances")
    assert {"weighted_f1_gain_over_none_all", "macro_f1_other_all"} <= set(files["context-meld"]["metrics"])
    section = model_section(CONTEXTUAL, read_results(tmp_path / "out")[CONTEXTUAL])
    assert "| Everyday sentences, first of 28 labels | 500 |" in section
    assert "macro-F1, thresholds from its development split" in section
    assert "Thresholds from the development split of GoEmotions test, 28 labels: " in section
    shown = f"| {contrasts['accuracy_own_all']['value']:.3f}"
    assert f"in three situations | 450 | accuracy {shown}" in section
    assert "goemotions-validation" not in section


def test_options_that_do_not_fit(
    tiny_models: Path, bi_encoder: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = isear_files(tmp_path / "files")
    prepare("isear", place, tmp_path / "isear")
    model = ["--model", tiny_models / CONTEXTUAL]
    for asked, says in (
        ([*model, "--benchmark", "isear", "--data", tmp_path / "isear", "--dev-thresholds"], "is for classifiers and"),
        (["--model", bi_encoder, "--benchmark", "goemotions", "--dev-thresholds"], "--dev-thresholds is for classif"),
        ([*model, "--benchmark", "contrast", "--split", "validation"], "'contrast': has no development split"),
        (["--all", tiny_models, "--split", "validation"], "Remove --benchmark, --split and --dev-thresholds"),
    ):
        done = command("-m", "eval.run", *asked, "--out", tmp_path / "out")
        assert done.returncode == 2, done.stdout
        assert says in done.stderr
    assert not (tmp_path / "out").exists()
    marks = tmp_path / "marks.jsonl"
    marks.write_text('{"id": "x", "needs_context": true}\n')
    for asked, says in (([], "corpus with --data"), (["--benchmark", "contrast", "--needs", marks], "marks rows of a")):
        monkeypatch.setattr("sys.argv", ["eval.context_use", *map(str, [*model, *asked])])
        with pytest.raises(InputError, match=says):
            context_use.main()
