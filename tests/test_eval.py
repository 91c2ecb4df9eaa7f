"""Benchmarks' files, models measured on them, result files, cards."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_dataset

from dataset_builder.domains.prepare import prepare
from dataset_builder.inputs import InputError
from dataset_builder.label_maps import LABEL_MAPS
from dataset_builder.provenance import RESULTS, write_result
from dataset_builder.taxonomy import LABELS
from eval import context_use
from eval.benchmark_rows import Rows, goemotions, own
from eval.benchmarks import find
from eval.cards.overview import readme_section
from eval.cards.plots import draw, is_fresh
from eval.cards.render import fill, plots, render
from eval.cards.results import CorpusResult, ModelResult, read_ablations, read_results
from eval.cards.sections import corpus_section, model_section
from eval.context_use import compare, rows_of_other_stories
from eval.measure import classifier_numbers, decide
from eval.metrics import Metrics, largest
from eval.models import load_classifier, load_seeds
from eval.run import classifier_result, scores_result
from tests.conftest import Command
from tests.publishable import descriptors_alone
from tests.test_dataset_builder_domains import emocontext_files, goemotions_files, iemocap_files, isear_files

GOEMOTIONS = Path(__file__).parent.parent.parent / "shared/data/goemotions"


def test_the_largest_score_decides() -> None:
    assert largest(np.array([[0.1, 0.3], [0.2, 0.2]])).tolist() == [[0, 1], [1, 0]]
    scores = np.zeros((2, 28))
    scores[0, LABELS.index("embarrassment")] = 0.2
    scores[0, LABELS.index("neutral")] = 0.9  # no class of ISEAR reads it
    scores[1, LABELS.index("love")] = 0.4
    decided = decide(find("isear"), scores, np.full(28, 0.5))
    assert [list(LABEL_MAPS["isear"])[row.argmax()] for row in decided] == ["shame", "joy"]
    assert decided.sum(axis=1).tolist() == [1, 1]
    assert np.flatnonzero(decide(find("goemotions"), scores, np.full(28, 0.5))[0]).tolist() == [27]


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
    with pytest.raises(InputError, match=r"unknown benchmark 'goemotion'\. Known: contrast, descriptors, emob"):
        find("goemotion")
    with pytest.raises(InputError, match="--data"):
        find("own").load(None)


def test_a_model_is_measured_as_a_user_loads_it(tiny_models: Path, scripted_work: Path, tmp_path: Path) -> None:
    model = load_classifier(str(tiny_models / "emo-pillars-contextual-minilm"))
    rows = own(str(scripted_work / "corpus"), "contextual")
    scores = model.predict(rows.texts, rows.contexts)
    assert scores.shape == rows.gold.shape
    assert rows.contexts is not None
    first = model.pipeline({"text": rows.texts[0], "text_pair": rows.contexts[0]})
    assert scores[0][LABELS.index(first[0]["label"])] == pytest.approx(first[0]["score"], abs=1e-5)
    content = classifier_result(find("own"), rows, [model], [scores])
    path = write_result(content, tmp_path, model.name, "own")
    read = json.loads(path.read_text())
    assert read["support"] == len(rows.texts)
    found = read["metrics"]["macro_f1"]
    assert read["intervals"] == "95% bootstrap intervals, 2,000 resamples of 1 stories"
    assert "low" not in found, "one story says nothing about others"
    assert read["trained_on"]["dataset_revision"] == read["data_revision"]
    assert "macro_f1_at_05" in read["metrics"]
    section = model_section(model.name, read_results(tmp_path)[model.name])
    f1 = [label["f1"] for label in read["per_label"].values() if label["support"]]
    assert np.mean(f1) == pytest.approx(found["value"], abs=1e-3)
    assert f"{found['value']:.3f}" in section
    assert "| grief |" in section


def test_prepared_folders_are_benchmarks(tmp_path: Path) -> None:
    prepare("goemotions", goemotions_files(tmp_path / "g"), tmp_path / "goemotions")
    official, prepared = (goemotions(str(tmp_path / place), "contextless") for place in ("g", "goemotions"))
    assert official.texts == prepared.texts
    assert official.gold.tolist() == prepared.gold.tolist()
    assert prepared.revision == json.loads((tmp_path / "goemotions/manifest.json").read_text())["revision"]
    prepare("emocontext", emocontext_files(tmp_path / "e"), tmp_path / "emocontext")
    rows = find("emocontext").load(str(tmp_path / "emocontext"), "contextual")
    assert rows.contexts is not None
    assert rows.contexts[0] == "A: Hi / B: Hello"
    assert rows.gold.tolist() == [[0, 0, 0, 1], [1, 0, 0, 0]]
    assert find("emocontext").load(str(tmp_path / "emocontext"), "contextless").contexts is None
    prepare("iemocap-6", iemocap_files(tmp_path / "i"), tmp_path / "iemocap-6")
    turns = find("iemocap-6").load(str(tmp_path / "iemocap-6"), "contextual")
    assert turns.gold.shape == (6, 6)
    assert set(turns.clusters or ()) == {"iemocap/Ses05F_impro01", "iemocap/Ses05F_impro02"}
    assert turns.units == "dialogues"


def test_folders_of_another_set_are_refused(tmp_path: Path, scripted_work: Path) -> None:
    prepare("iemocap-6", iemocap_files(tmp_path / "i"), tmp_path / "iemocap-6")
    with pytest.raises(InputError, match=r"contains iemocap-6\. Pass a folder written by .*domain iemocap-4"):
        find("iemocap-4").load(str(tmp_path / "iemocap-6"), "contextual")
    with pytest.raises(InputError, match="contains no domain set"):
        find("isear").load(str(scripted_work / "corpus"), "contextless")
    with pytest.raises(InputError, match=r"benchmark .isear.: pass a folder written by .*domain isear. with --data"):
        find("isear").load(None, "contextless")
    (tmp_path / "iemocap-6/manifest.json").write_text("{")
    with pytest.raises(InputError, match=r"manifest.json: broken JSON"):
        find("iemocap-6").load(str(tmp_path / "iemocap-6"), "contextual")


def test_both_kinds_are_measured_by_the_command_and_have_their_tables(
    tiny_models: Path, tmp_path: Path, command: Command
) -> None:
    name = "emo-pillars-contextual-minilm"
    makers = {"goemotions": goemotions_files, "isear": isear_files, "emocontext": emocontext_files}
    for benchmark, make in makers.items():
        prepare(benchmark, make(tmp_path / "files" / benchmark), tmp_path / benchmark)
        arguments = ("--benchmark", benchmark, "--data", tmp_path / benchmark, "--out", tmp_path / "out")
        done = command("-m", "eval.run", "--model", tiny_models / name, *arguments)
        assert done.returncode == 0, done.stderr
        assert find(benchmark).headline in done.stdout
    results = read_results(tmp_path / "out")
    files = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "out" / name).glob("*.json")}
    isear, chat = files["isear"], files["emocontext"]
    assert set(isear) == set(chat) == set(files["goemotions"]) - {"reliability", "hub_dataset"}
    assert isear["threshold_source"] == "argmax over the classes"
    assert isear["protocol"].startswith("split by person")
    assert list(isear["per_label"]) == list(LABEL_MAPS["isear"])
    assert sum(found["support"] for found in isear["per_label"].values()) == isear["support"] == 28
    assert "micro_f1_emotions" not in isear["metrics"]
    assert isear["intervals"] == "95% bootstrap intervals, 2,000 resamples of 4 persons"
    assert chat["intervals"] == "95% bootstrap intervals, 2,000 resamples of 2 rows"
    assert 0 <= chat["metrics"]["micro_f1_emotions"]["value"] <= 1
    section = model_section(name, results[name])
    columns = "macro-F1 | micro-F1 | macro-F1 at 0.5 | mean average precision"
    calibration = "class-wise calibration error | pooled calibration error | Brier skill"
    assert f"| benchmark | rows | {columns} | {calibration} |" in section
    assert "| macro-F1 | accuracy | weighted F1 | unweighted average recall | micro-F1 of the emotions |" in section
    assert "ISEAR, 7 classes: split by person" in section
    assert "| admiration |" in section
    assert "| guilt |" in model_section(f"{name}-isear", results[name])
    assert "SamLowe" in section
    assert "micro-F1 of the emotions" not in model_section(name, {"isear": results[name]["isear"]})
    assert "more recipes without a result" in readme_section(results)


def test_a_perfect_model_has_perfect_numbers() -> None:
    benchmark = find("iemocap-4")
    gold = np.eye(4, dtype=np.int8)[[0, 1, 2, 3, 0]]
    scores = np.zeros((5, 28))
    for row, name in enumerate(("joy", "sadness", "neutral", "anger", "excitement")):
        scores[row, LABELS.index(name)] = 0.9
    rows = Rows(["x"] * 5, None, gold, "r", "p", classes=tuple(LABEL_MAPS["iemocap-4"]))
    metrics = classifier_numbers(benchmark, rows, [scores], [np.full(28, 0.5)], "t")["metrics"]
    assert {name: found["value"] for name, found in metrics.items()} == {
        "macro_f1": 1.0, "accuracy": 1.0, "weighted_f1": 1.0, "macro_recall": 1.0,
        "feelings_as_neutral": 0.0, "neutral_as_feeling": 0.0,
    }  # fmt: skip


def test_models_that_do_not_fit(tmp_path: Path, tiny_models: Path, tiny_encoder: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        load_classifier(str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no config.json"):
        load_classifier(str(tmp_path / "empty"))
    with pytest.raises(InputError, match="not the 28 emotions"):
        load_classifier(str(tiny_encoder))
    folder = tmp_path / "swapped"
    folder.mkdir()
    for path in (tiny_models / "emo-pillars-contextless-minilm").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    config["id2label"]["0"], config["id2label"]["1"] = config["id2label"]["1"], config["id2label"]["0"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="GoEmotions order"):
        load_classifier(str(folder))


def test_cards_are_filled_between_their_markers() -> None:
    card = "# A\n<!-- results:begin -->\nold\n<!-- results:end -->\nprose\n"
    assert fill(card, "new", Path("a.md")) == "# A\n<!-- results:begin -->\nnew\n<!-- results:end -->\nprose\n"
    with pytest.raises(InputError, match="has no"):
        fill("# A\n", "new", Path("a.md"))


def test_the_repository_s_cards_are_fresh_and_stale_ones_are_found() -> None:
    results = read_results(RESULTS)
    for path, text in render(results, RESULTS).items():
        assert path.read_text(encoding="utf-8") == text, f"{path} is stale: run python -m eval.cards"
    for path, found in plots(results, RESULTS).items():
        assert is_fresh(path, found), f"{path} is stale: run python -m eval.cards"
    assert render({}, Path("nowhere"))[Path("model_cards/emo-pillars.md")].count("Not built yet.") == 1


def test_a_corpus_of_texts_with_descriptors_is_described(scripted_work: Path, tmp_path: Path, command: Command) -> None:
    folder = descriptors_alone(scripted_work / "corpus", tmp_path / "texts")
    done = command("-m", "eval.corpus", "--data", folder, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "emo-pillars-descriptors/corpus.json").read_text())
    rows = load_dataset(str(folder), "descriptors")
    assert sum(found["sources"].values()) == sum(map(len, rows.values()))
    assert found["metrics"]["descriptors_train_rows"]["value"] == len(rows["train"])
    shown = corpus_section({"corpus": CorpusResult.model_validate(found)})
    assert f"| `descriptors` | {len(rows['train'])} |" in shown
    assert "Rows per label" not in shown


def test_seeds_are_averaged_and_kept() -> None:
    gold = np.zeros((40, 28), dtype=np.int8)
    gold[:20, 0] = gold[20:, 1] = 1
    right, half = gold.astype(float), gold.astype(float)
    half[::2] = 0

    def measured(*scores: np.ndarray) -> Metrics:
        rows = Rows(["x"] * 40, None, gold, "r", "p")
        metrics: Metrics = classifier_numbers(find("own"), rows, scores, [np.full(28, 0.5)] * len(scores), "t")[
            "metrics"
        ]
        return metrics

    metrics = measured(right, half)
    assert metrics["micro_f1"]["seeds"] == [1.0, 0.6667]
    assert metrics["micro_f1"]["value"] == 0.8333
    assert 0.7 < metrics["micro_f1"]["low"] < 0.8333 < metrics["micro_f1"]["high"] < 0.9
    assert "seeds" not in measured(right)["micro_f1"]


def test_seeds_are_of_one_recipe(tiny_models: Path, tmp_path: Path) -> None:
    place = tiny_models / "emo-pillars-contextless-minilm"
    with pytest.raises(InputError, match="two models have the same seed"):
        load_seeds([str(place), str(place)])
    with pytest.raises(InputError, match="different recipes"):
        load_seeds([str(place), str(tiny_models / "emo-pillars-contextual-minilm")])
    other = tmp_path / "other"
    shutil.copytree(place, other)
    record = json.loads((other / "training.json").read_text())
    record["recipe"]["seed"] = 14
    (other / "training.json").write_text(json.dumps(record))
    assert [model.record["recipe"]["seed"] for model in load_seeds([str(place), str(other)])] == [13, 14]


def test_what_a_situation_gains_by_hand() -> None:
    gold = np.zeros((60, 28), dtype=np.int8)
    gold[:30, 0] = gold[30:, 1] = 1
    blind = np.zeros_like(gold)
    blind[:, 0] = 1
    groups = {"all": np.ones(60, dtype=bool), "nobody": np.zeros(60, dtype=bool)}
    metrics = compare(gold, {"own": gold, "none": blind, "other": blind}, groups)
    assert metrics["micro_f1_own_all"]["value"] == 1.0
    assert metrics["micro_f1_none_all"]["value"] == 0.5
    assert metrics["micro_f1_gain_over_none_all"]["value"] == 0.5
    assert metrics["micro_f1_gain_over_other_all"]["low"] > 0.3
    assert not any(name.endswith("nobody") for name in metrics)


def test_other_situations_are_of_other_stories() -> None:
    stories = ["a"] * 5 + ["b"] * 3
    found = rows_of_other_stories(stories)
    assert all(stories[row] != stories[other] for row, other in enumerate(found))
    with pytest.raises(InputError, match="from one story"):
        rows_of_other_stories(["a", "a"])


@pytest.mark.end_to_end
def test_context_use_by_the_command(
    tiny_models: Path, scripted_work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = tmp_path / "marks.jsonl"
    marks.write_text('{"id": "x", "needs_context": true}\n')
    place = tiny_models / "emo-pillars-contextual-minilm"
    ask = ["-m", "eval.context_use", "--model", place, "--data", scripted_work / "corpus", "--out", tmp_path]
    monkeypatch.setattr("sys.argv", [*map(str, ask[1:]), "--needs", str(marks)])
    with pytest.raises(InputError, match="from one story"):  # the scripted corpus has no test split of several
        context_use.main()
    ask += ["--split", "train"]
    monkeypatch.setattr("sys.argv", [*map(str, ask[1:]), "--needs", str(marks)])
    context_use.main()
    content = json.loads((tmp_path / "emo-pillars-contextual-minilm/context.json").read_text())
    assert {"macro_f1_own_all", "macro_f1_none_original", "micro_f1_gain_over_other_rewritten"} <= set(
        content["metrics"]
    )
    marks.write_text("{}\n")
    monkeypatch.setattr("sys.argv", [*map(str, ask[1:]), "--needs", str(marks)])
    with pytest.raises(InputError, match="not the marks of"):
        context_use.main()


def test_ablations_stand_beside_the_published_model(tmp_path: Path) -> None:
    metrics = {"macro_f1": {"value": 0.5, "low": 0.4, "high": 0.6}, "ece": {"value": 0.01}}
    published = {
        "benchmark": "goemotions",
        "metrics": metrics,
        "seeds": [1, 2, 3],
        "support": 9,
        "per_label": {"joy": {"f1": 0.5, "support": 9}},
    }
    published |= {"threshold_source": "t", "protocol": "p", "model_revision": "m", "recipe_hash": "h", "commit": "c"}
    published |= {"hardware": "x", "trained_on": {"steps": 1, "train_rows": 1, "dataset_revision": "r"}, "name": "n"}
    worse = published | {
        "name": "goemotions-frozen",
        "seeds": [1],
        "metrics": {"macro_f1": {"value": 0.3}} | {"ece": {"value": 0.2}},
    }
    write_result(worse, tmp_path / "n/ablations", "goemotions-frozen", "goemotions")
    section = model_section("n", {"goemotions": ModelResult.model_validate(published)}, read_ablations(tmp_path, "n"))
    assert "| **this model** | 3 | 0.500 [0.400, 0.600] | 0.010 |" in section
    assert "| `goemotions-frozen` | 1 | 0.300 | 0.200 |" in section


def test_a_card_says_what_its_figures_are() -> None:
    draw = np.random.default_rng(0)
    gold = np.zeros((120, 28), dtype=np.int8)
    gold[np.arange(120), draw.integers(0, 3, 120)] = 1
    gold[:4, 5] = 1
    scores = np.clip(gold * 0.3 + draw.random(gold.shape) * 0.6, 0, 1)
    stories = [f"story {row // 6}" for row in range(120)]
    rows = Rows(["x"] * 120, None, gold, "r", "p", stories, "stories")
    content = scores_result("m", find("own"), rows, scores, 0.5, "m") | {
        "seeds": [1], "recipe_hash": "h", "commit": "c", "hardware": "x",
        "trained_on": {"steps": 1, "train_rows": 1, "dataset_revision": "r"},
    }  # fmt: skip
    section = model_section("m", {"own": ModelResult.model_validate(content)})
    found = {name: content["metrics"][name] for name in ("macro_f1", "classwise_ece")}
    assert f"{found['macro_f1']['value']:.3f} [{found['macro_f1']['low']:.3f}, " in section
    assert f"| {found['classwise_ece']['value']:.3f} |" in section
    assert "Brackets show 95% bootstrap intervals, 2,000 resamples of 20 stories; seed 1." in section
    first = content["per_label"][LABELS[0]]
    assert f"| {LABELS[0]} | {first['f1']:.3f} [{first['low']:.3f}, {first['high']:.3f}] |" in section
    assert f"have no interval: {LABELS[3]} (0), {LABELS[4]} (0), {LABELS[5]} (4), " in section
    assert f"| {LABELS[5]} | {content['per_label'][LABELS[5]]['f1']:.3f} |" in section
    assert f"| {LABELS[3]} |  |" in section, "without a row there is no recall, and so no F1"
    assert f"leaves out {LABELS[3]}, {LABELS[4]}, {LABELS[6]}" in section
    assert "were measured before" not in section
    older = {name: {"value": one["value"]} for name, one in content["metrics"].items() if "ece" not in name}
    content |= {"metrics": older, "measured_before": "today's intervals", "reliability": []}
    del content["intervals"]
    section = model_section("m", {"own": ModelResult.model_validate(content)})
    assert "Rows without brackets were measured before this project computed today's intervals." in section
    assert "Brackets show" not in section


def test_plots_are_known_by_what_they_were_drawn_from(tmp_path: Path) -> None:
    classes = {name: {"f1": 0.1 * place, "support": 20 * place} for place, name in enumerate(LABELS[:5])}
    bins = [
        {"probability": 0.1, "frequency": 0.2, "decisions": 90},
        {"probability": 0.9, "frequency": 0.8, "decisions": 9},
    ]
    metrics = {name: {"value": 0.2} for name in ("macro_f1", "ece", "classwise_ece")}
    about: dict[str, Any] = {"threshold_source": "t", "protocol": "p", "model_revision": "m", "recipe_hash": "h"}
    about |= {"name": "m", "commit": "c", "hardware": "x", "trained_on": {}, "seeds": []}
    content = {"benchmark": "own", "per_label": classes, "reliability": bins, "metrics": metrics, "support": 99} | about
    result = ModelResult.model_validate(content)
    found = plots({"m": {"own": result}}, tmp_path)
    assert [path.name for path in found] == ["own-per-label.png", "own-reliability.png"]
    for path in found:
        assert not is_fresh(path, result)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(draw(path.name, result))
        assert is_fresh(path, result)
        assert not is_fresh(path, ModelResult.model_validate(content | {"support": 100}))
