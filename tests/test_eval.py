"""Measures with known answers, benchmarks' files, result files, cards."""

import json
from pathlib import Path

import numpy as np
import pytest

from dataset_builder.inputs import InputError
from dataset_builder.provenance import write_result
from dataset_builder.taxonomy import LABELS
from eval.benchmarks import find, goemotions, own
from eval.cards import fill, model_section, read_results, render, table
from eval.metrics import bootstrap, expected_calibration_error, macro_f1, micro_f1, per_class_f1
from eval.predict import load_model, probabilities
from eval.run import measure, result

GOEMOTIONS = Path(__file__).parent.parent.parent / "shared/data/goemotions"


def test_f1_by_hand() -> None:
    gold = np.array([[1, 0], [1, 0], [0, 1], [0, 1]])
    predicted = np.array([[1, 0], [0, 0], [1, 1], [0, 1]])
    # class 0: 1 hit, 1 false, 1 missed -> 0.5; class 1: 2 hits -> 1.0; together 3 hits, 1 false, 1 missed
    assert macro_f1(gold, predicted) == pytest.approx(0.75)
    assert micro_f1(gold, predicted) == pytest.approx(0.75)
    assert per_class_f1(gold, predicted) == pytest.approx([0.5, 1.0])
    assert macro_f1(gold, np.zeros_like(gold)) == 0


def test_calibration_error_by_hand() -> None:
    gold = np.array([[1], [0], [0], [0]])
    assert expected_calibration_error(gold, np.full((4, 1), 0.25)) == pytest.approx(0)
    assert expected_calibration_error(gold, np.full((4, 1), 0.75)) == pytest.approx(0.5)
    assert expected_calibration_error(np.ones((2, 1)), np.ones((2, 1))) == 0


def test_an_interval_holds_its_value() -> None:
    draw = np.random.default_rng(0)
    gold = draw.integers(0, 2, (400, 5))
    predicted = np.where(draw.random((400, 5)) < 0.8, gold, 1 - gold)
    low, high = bootstrap(macro_f1, gold, predicted)
    assert low < macro_f1(gold, predicted) < high
    assert 0.01 < high - low < 0.1


def test_an_off_by_one_label_order_shows() -> None:
    draw = np.random.default_rng(0)
    gold = np.eye(28, dtype=int)[draw.integers(0, 28, 500)]
    assert macro_f1(gold, gold) == 1
    assert macro_f1(gold, np.roll(gold, 1, axis=1)) < 0.1


def write_goemotions(folder: Path, lines: list[str], names: tuple[str, ...] = LABELS) -> Path:
    (folder / "test.tsv").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (folder / "emotions.txt").write_text("\n".join(names) + "\n")
    return folder


def test_goemotions_files(tmp_path: Path) -> None:
    place = write_goemotions(tmp_path, ["So happy\t17\ta", '"He said ""no"""\t2,3\tb'])
    rows = goemotions(str(place), "contextless")
    assert rows.texts == ["So happy", 'He said "no"']
    assert [np.flatnonzero(row).tolist() for row in rows.gold] == [[17], [2, 3]]


@pytest.mark.parametrize("line", ["only text", "text\t28\tid", "text\tjoy\tid", "a\tb\t1\tid"])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    place = write_goemotions(tmp_path, ["So happy\t17\ta", line])
    with pytest.raises(InputError, match=r"test.tsv, line 2"):
        goemotions(str(place), "contextless")


def test_goemotions_in_another_label_order_is_refused(tmp_path: Path) -> None:
    place = write_goemotions(tmp_path, ["x\t1\ta"], tuple(reversed(LABELS)))
    with pytest.raises(InputError, match="GoEmotions' order"):
        goemotions(str(place), "contextless")
    with pytest.raises(InputError, match="no such file"):
        goemotions(str(tmp_path / "none"), "contextless")


@pytest.mark.skipif(not GOEMOTIONS.exists(), reason="GoEmotions' files are not here")
def test_the_official_test_split() -> None:
    rows = goemotions(str(GOEMOTIONS), "contextless")
    assert rows.gold.shape == (5427, 28)
    support = dict(zip(LABELS, rows.gold.sum(axis=0).tolist(), strict=True))
    assert (support["grief"], support["neutral"], support["admiration"]) == (6, 1787, 504)


def test_unknown_names() -> None:
    with pytest.raises(InputError, match=r"unknown benchmark 'goemotion'\. Known: goemotions, own"):
        find("goemotion")
    with pytest.raises(InputError, match="--data"):
        own(None, "contextless")


def test_a_model_is_measured_as_a_user_loads_it(tiny_models: Path, scripted_work: Path, tmp_path: Path) -> None:
    model = load_model(str(tiny_models / "emo-pillars-contextual-minilm"))
    rows = own(str(scripted_work / "corpus"), "contextual")
    scores = probabilities(model, rows.texts, rows.contexts)
    assert scores.shape == rows.gold.shape
    assert rows.contexts is not None
    first = model.classify({"text": rows.texts[0], "text_pair": rows.contexts[0]})
    assert scores[0][LABELS.index(first[0]["label"])] == pytest.approx(first[0]["score"], abs=1e-5)
    content = result(model, "own", rows, scores)
    path = write_result(content, tmp_path, model.name, "own")
    read = json.loads(path.read_text())
    assert read["support"] == len(rows.texts)
    found = read["metrics"]["macro_f1"]
    assert found["low"] <= found["value"] <= found["high"]
    assert read["trained_on"]["dataset_revision"] == read["data_revision"]
    assert "macro_f1_at_05" in measure(rows, scores, model.thresholds)
    section = model_section(read_results(tmp_path)[model.name])
    f1 = [label["f1"] for label in read["per_label"].values()]
    assert np.mean(f1) == pytest.approx(found["value"], abs=1e-3)
    assert f"{found['value']:.3f}" in section
    assert "| grief |" in section


def test_models_that_do_not_fit(tmp_path: Path, tiny_models: Path, tiny_encoder: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        load_model(str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no config.json"):
        load_model(str(tmp_path / "empty"))
    with pytest.raises(InputError, match="not the 28 emotions"):
        load_model(str(tiny_encoder))
    folder = tmp_path / "swapped"
    folder.mkdir()
    for path in (tiny_models / "emo-pillars-contextless-minilm").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    config["id2label"]["0"], config["id2label"]["1"] = config["id2label"]["1"], config["id2label"]["0"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="GoEmotions order"):
        load_model(str(folder))


def test_cards_are_filled_between_their_markers() -> None:
    card = "# A\n<!-- results:begin -->\nold\n<!-- results:end -->\nprose\n"
    assert fill(card, "new", Path("a.md")) == "# A\n<!-- results:begin -->\nnew\n<!-- results:end -->\nprose\n"
    with pytest.raises(InputError, match="has no"):
        fill("# A\n", "new", Path("a.md"))
    assert table(["a"], [["1"]]) == "| a |\n| --- |\n| 1 |"


def test_the_repository_s_cards_are_fresh_and_stale_ones_are_found() -> None:
    rendered = render(read_results(Path("eval/results")))
    for path, text in rendered.items():
        assert path.read_text(encoding="utf-8") == text, f"{path} is stale: run python -m eval.cards"
    assert render({})[Path("model_cards/emo-pillars.md")].count("Not built yet.") == 1
