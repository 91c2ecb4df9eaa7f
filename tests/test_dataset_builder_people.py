"""Human evaluation: what is drawn, what the page shows, what is read back, and what is measured."""

import json
import random
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import krippendorff
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_builder.corpus import open_corpus
from dataset_builder.human_eval.agreement import alpha_counts, alpha_of, kappa_counts, kappa_of
from dataset_builder.human_eval.answers import Answer, Answers, read_answers
from dataset_builder.human_eval.card import section
from dataset_builder.human_eval.label_studio import CONFIG, studio_tasks
from dataset_builder.human_eval.page import export, page
from dataset_builder.human_eval.sample import (
    NONE,
    Key,
    Wanted,
    allocate,
    distractor_of,
    draw,
    ranked,
    read_key,
    strongest_of,
)
from dataset_builder.human_eval.score import Panel, ratios_of, score
from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import EMOTIONS, LABEL_TO_INDEX, LABELS, NEUTRAL
from tests.conftest import Command, contrast


def wanted(**change: Any) -> Wanted:
    settings = {"config": "contextual", "split": "test", "rows": 200, "seed": 13, "annotators": 3, "order": "ranked"}
    return Wanted(**settings | change)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of 1,200 situated rows: pride is common, grief has 3 utterances; some texts are hard on a page."""
    draws = random.Random(5)
    often = ["pride", "neutral", "neutral", *(label for label in LABELS if label != "grief")]
    rows = []
    for number in range(600):
        strongest = "grief" if number < 3 else draws.choice(often)
        scores = [round(draws.random() * 0.6, 1) if draws.random() < 0.3 else 0.0 for _ in LABELS]
        scores[LABEL_TO_INDEX["grief"]] = 0.0
        scores[LABEL_TO_INDEX[strongest]] = 0.9
        for variant in ("original", "rewritten"):
            rows.append(
                {
                    "id": f"s{number // 10}/c00/u{number:03d}/{variant}",
                    "text": f"{variant} words {number} </script><b>&amp; \u2028 'so' __SCRIPT__",
                    "original_text": f"original words {number} </script><b>&amp; \u2028 'so' __SCRIPT__",
                    "context": f"The situation {number}.",
                    "variant": variant,
                    "character": "Ana",
                    "labels": [index for index, value in enumerate(scores) if value >= 0.3],
                    "scores": scores,
                    "teacher": "tested",
                }
            )
    folder = tmp_path_factory.mktemp("people") / "corpus"
    (folder / "contextual").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "contextual" / "test-00000-of-00001.parquet")
    return folder


@pytest.fixture(scope="module")
def key(corpus: Path) -> Key:
    return draw(open_corpus(corpus), wanted())


# ---------------------------------------------------------------- the sample


def test_the_sample_holds_a_tenth_neutral_and_rare_labels(key: Key) -> None:
    strongest = Counter(task.strongest for task in key.tasks)
    assert len(key.tasks) == 200
    assert strongest["neutral"] == 20
    assert strongest["grief"] == 3, "all that there are"
    assert set(strongest) == set(LABELS)
    others = [count for label, count in strongest.items() if label not in ("neutral", "grief")]
    assert max(others) - min(others) <= 1
    assert len({task.row_id.rpartition("/")[0] for task in key.tasks}) == 200, "one variant of an utterance"
    assert {task.variant for task in key.tasks} == {"original", "rewritten"}
    shown = {task.text for task in key.tasks}
    met = [
        [text in shown for text in (pair.texts if pair.rewritten == "1" else pair.texts[::-1])] for pair in key.pairs
    ]
    assert len(key.pairs) <= len(key.tasks) // 2
    assert {tuple(one) for one in met} >= {(True, False), (False, True)}, "which text was met does not tell which it is"


def test_weights_add_up_to_the_corpus(key: Key) -> None:
    assert sum(task.weight for task in key.tasks) == pytest.approx(600, abs=0.01)


def test_the_sample_is_the_same_again_and_another_with_another_seed(corpus: Path, key: Key) -> None:
    assert draw(open_corpus(corpus), wanted()) == key
    other = draw(open_corpus(corpus), wanted(seed=14))
    assert {task.row_id for task in other.tasks} != {task.row_id for task in key.tasks}
    assert other.sample != key.sample


@pytest.mark.parametrize(
    ("counts", "rows", "size", "neutral"),
    [
        ({0: 500, 1: 500, NEUTRAL: 500}, 200, 200, 20),
        ({0: 500, 1: 2, NEUTRAL: 5}, 200, 200, 5),
        ({0: 9, 1: 9, NEUTRAL: 500}, 200, 20, 2),
        ({NEUTRAL: 500}, 200, 200, 200),
        ({0: 1}, 200, 1, 0),
        ({0: 9, 1: 9, 2: 9}, 2, 2, 0),
    ],
)
def test_allocation(counts: dict[int, int], rows: int, size: int, neutral: int) -> None:
    quotas = allocate(counts, rows)
    assert sum(quotas.values()) == size
    assert quotas.get(NEUTRAL, 0) == neutral
    assert all(quota <= counts[label] for label, quota in quotas.items())


def test_the_options_are_the_top_five_and_an_implausible_one(corpus: Path, key: Key) -> None:
    places = Counter(task.options.index(task.distractor) for task in key.tasks)
    assert len(places) == 6, "a distractor that is always last would soon be known"
    for task in key.tasks:
        top = [label for label in task.options if label != task.distractor]
        values = [task.scores[LABEL_TO_INDEX[label]] for label in top]
        rest = [score for label, score in zip(LABELS, task.scores, strict=True) if label not in top]
        assert len(set(task.options)) == 6
        assert top[0] == task.strongest
        assert values == sorted(values, reverse=True)
        assert min(values) >= max(rest)
        assert task.distractor != "neutral"
        assert task.distractor not in task.kept
    shuffled = draw(open_corpus(corpus), wanted(order="shuffled")).tasks
    assert {task.row_id: set(task.options) for task in shuffled} == {t.row_id: set(t.options) for t in key.tasks}
    assert Counter(task.options.index(task.strongest) for task in shuffled).keys() == set(range(6))
    mixed = Counter(task.order for task in draw(open_corpus(corpus), wanted(order="mixed")).tasks)
    assert mixed == {"ranked": 100, "shuffled": 100}


def test_a_distractor_is_of_another_basic_emotion_than_what_is_kept() -> None:
    scores = [0.0] * len(LABELS)
    sadness, remorse = LABEL_TO_INDEX["sadness"], LABEL_TO_INDEX["remorse"]
    scores[sadness], scores[remorse] = 0.9, 0.4
    for number in range(200):
        order = ranked(f"r{number}", scores, 13)
        assert order[:2] == [sadness, remorse]
        assert EMOTIONS[distractor_of(f"r{number}", order, [sadness, remorse], 13)].ekman != "sadness"


def test_a_scripted_corpus_gives_both_samples(scripted_work: Path, command: Command, tmp_path: Path) -> None:
    for config in ("contextual", "contextless"):
        out = tmp_path / config
        arguments = (
            "people",
            "export",
            scripted_work,
            "--config",
            config,
            "--split",
            "train",
            "--rows",
            20,
            "--out",
            out,
        )
        done = command("-m", "dataset_builder", *arguments)
        assert done.returncode == 0, done.stderr
        found = read_key(out / "key.json")
        assert len(found.tasks) == 20
        assert bool(found.tasks[0].context) is (config == "contextual")
        assert {path.name for path in out.iterdir()} == {
            "annotator-1.html", "annotator-2.html", "annotator-3.html", "key.json", "label-studio",
        }  # fmt: skip
        assert str(tmp_path.parent) not in (out / "key.json").read_text(), "no path of this machine"


def test_the_strongest_label_is_the_first_of_the_ranking() -> None:
    draws = random.Random(1)
    for number in range(300):
        scores = [draws.choice((0.0, 0.5, 1.0)) for _ in LABELS]
        assert strongest_of(f"r{number}", scores, 13) == ranked(f"r{number}", scores, 13)[0]


def test_what_cannot_be_drawn(corpus: Path, tmp_path: Path, key: Key, command: Command) -> None:
    with pytest.raises(InputError, match="no config 'contextless'; it has contextual"):
        draw(open_corpus(corpus), wanted(config="contextless"))
    with pytest.raises(InputError, match="no split 'train'; it has test"):
        draw(open_corpus(corpus), wanted(split="train"))
    for row, says in (
        ({"id": "a", "text": "b", "labels": [0]}, "need a field 'scores'"),
        ({"id": "a", "text": "b", "labels": [0], "scores": [0.5] * 27}, "'a' has 27 scores; 28 are needed"),
        ({"id": "a", "text": "b", "labels": [0], "scores": [0.0] * 28}, "has no labelled row"),
        ({"id": "a", "text": "b", "labels": [0], "scores": [None] + [0.5] * 27}, "'a' has a score that is no number"),
        ({"id": "a", "text": "b", "labels": [0], "scores": [0.5] * 27 + [float("nan")]}, "a score that is no number"),
        ({"id": "a", "text": "b", "labels": [28], "scores": [0.5] * 28}, r"'a' has labels \[28\], which are not all"),
        ({"id": "a", "text": "b", "labels": [-1], "scores": [0.5] * 28}, r"'a' has labels \[-1\]"),
        ({"id": 5, "text": "b", "labels": [0], "scores": [0.5] * 28}, "'5' has an id or a text that is none"),
    ):
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        (folder / "contextual").mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist([row]), folder / "contextual" / "test-00000-of-00001.parquet")
        with pytest.raises(InputError, match=says):
            draw(open_corpus(folder), wanted())
    export(key, tmp_path)
    export(key, tmp_path)
    with pytest.raises(InputError, match="holds another sample"):
        export(draw(open_corpus(corpus), wanted(seed=14)), tmp_path)
    done = command("-m", "dataset_builder", "people", "export", corpus, "--rows", 0, "--out", tmp_path / "none")
    assert done.returncode == 2
    assert "--rows 0: give 1 or more" in done.stderr


# ---------------------------------------------------------------- the page


def shown(content: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(content.split('id="data">')[1].split("</script>")[0])
    return found


def test_the_page_tells_neither_distractor_nor_scores(key: Key) -> None:
    content = page(key, "annotator-1")
    data = shown(content)
    for task in data["tasks"]:
        assert set(task) == {"id", "text", "character", "situation", "options"}
    for pair in data["pairs"]:
        assert set(pair) == {"id", "texts"}
    told = json.dumps({name: value for name, value in data.items() if name not in ("tasks", "pairs")})
    for secret in ("distractor", "strongest", "scores", "tested", "/rewritten", "/original"):
        assert secret not in told
        assert secret not in content.replace("original words", "")
    places = Counter(pair.rewritten for pair in key.pairs)
    assert min(places.values()) > 0.3 * len(key.pairs)


def test_the_page_holds_any_text_and_asks_for_nothing_outside(key: Key) -> None:
    content = page(key, "annotator-2")
    assert {task["text"] for task in shown(content)["tasks"]} == {task.text for task in key.tasks}
    assert "http" not in content.replace(key.tasks[0].text, "").split('id="data"')[0].replace("http-equiv", "")
    assert "default-src 'none'" in content
    assert content.count("</script>") == 2


def test_each_annotator_has_an_order_of_their_own(key: Key) -> None:
    orders = [[task["id"] for task in shown(page(key, name))["tasks"]] for name in key.annotators]
    assert len({tuple(order) for order in orders}) == 3
    assert len({tuple(sorted(order)) for order in orders}) == 1


# ---------------------------------------------------------------- agreement, against published examples


def kappa(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return kappa_of(kappa_counts(first, second).sum(axis=0))


def test_cohen_kappa_of_a_worked_example() -> None:
    """Cohen's kappa, Wikipedia's first example: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no give .40."""
    first = np.array([1.0] * 25 + [0.0] * 25)[:, None]
    second = np.array([1.0] * 20 + [0.0] * 5 + [1.0] * 10 + [0.0] * 15)[:, None]
    assert kappa(first, second)[0] == pytest.approx(0.4)
    from sklearn.metrics import cohen_kappa_score

    draws = np.random.default_rng(1)
    first, second = draws.integers(0, 2, (80, 3)).astype(float), draws.integers(0, 2, (80, 3)).astype(float)
    expected = [cohen_kappa_score(first[:, column], second[:, column]) for column in range(3)]
    assert kappa(first, second) == pytest.approx(expected)
    first[:5] = np.nan
    expected = [cohen_kappa_score(first[5:, column], second[5:, column]) for column in range(3)]
    assert kappa(first, second) == pytest.approx(expected), "missing answers are left out"
    weights = np.bincount(draws.integers(5, 80, 75), minlength=80).astype(float)
    again = np.repeat(np.arange(80), weights.astype(int))
    assert kappa_of(weights @ kappa_counts(first, second)) == pytest.approx(kappa(first[again], second[again]))
    assert np.isnan(kappa(np.ones((4, 1)), np.ones((4, 1)))[0]), "not defined where nothing varies"


def test_krippendorff_s_alpha_is_the_library_s() -> None:
    # "Computing Krippendorff's Alpha-Reliability" (2011), B: two observers, ten units, binary, alpha = .095
    binary = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]], dtype=float)[:, :, None]
    assert alpha_of(alpha_counts(binary).sum(axis=0)) == pytest.approx(0.095, abs=0.0005)
    draws = np.random.default_rng(2)
    picks = (draws.random((4, 30, 5)) < draws.random((30, 5))).astype(float)
    picks[draws.random(picks.shape) < 0.3] = np.nan
    expected = krippendorff.alpha(picks.reshape(4, -1), level_of_measurement="nominal")
    assert alpha_of(alpha_counts(picks).sum(axis=0)) == pytest.approx(expected)
    assert np.isnan(alpha_of(alpha_counts(picks[:1]).sum(axis=0)))
    assert np.isnan(alpha_of(alpha_counts(np.zeros((2, 5, 1))).sum(axis=0)))


# ---------------------------------------------------------------- answers


def answer_file(key: Key, annotator: str, answers: dict[str, Any]) -> dict[str, Any]:
    annotator = dict(zip("abc", key.annotators, strict=False)).get(annotator, annotator)
    return {"format": key.format, "sample": key.sample, "annotator": annotator, "answers": answers}


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def studio(change: dict[str, Any]) -> list[dict[str, Any]]:
    """An export of Label Studio of one annotation, changed."""
    return [{"data": {"task": "t001", "sample": "x"}, "annotations": [{"completed_by": 1, "result": []} | change]}]


def simulate(key: Key, annotator: str, right: float, slip: float, none: float, reveal: float) -> dict[str, Any]:
    """An annotator who sees the strongest label with probability `right`, and errs at known rates."""
    draws = random.Random(annotator)
    answers = {}
    for task in key.tasks:
        others = [option for option in task.options if option not in (task.strongest, task.distractor)]
        if draws.random() < none:
            picks = [NONE]
        else:
            picks = [task.strongest] if draws.random() < right else [draws.choice(others)]
            picks += [task.distractor] if draws.random() < slip else []
        revealed = draws.choice(("before", "after")) if draws.random() < reveal else "no"
        answers[task.id] = {"picks": picks, "revealed": revealed, "seconds": 9.5}
    for pair in key.pairs:
        answers[pair.id] = {"picks": [pair.rewritten if draws.random() < 0.7 else "same"], "seconds": 3}
    return answer_file(key, annotator, answers)


def test_simulated_annotators_are_recovered(key: Key, tmp_path: Path) -> None:
    names = ("a", "b", "c")
    files = [write(tmp_path / f"{name}.json", simulate(key, name, 0.75, 0.1, 0.05, 0.4)) for name in names]
    content = score(key, read_answers(key, files), "people")
    truth = {
        "strongest_picked": 0.95 * 0.75,
        "distractor_share": 0.95 * 0.1,
        "none_share": 0.05,
        "revealed_share": 0.4,
        "revealed_before_share": 0.2,
        "rewritten_weaker": 0.7,
    }
    for metric, value in truth.items():
        found = content["metrics"][metric]
        assert found["low"] - 0.01 <= value <= found["high"] + 0.01, metric
        assert 0.03 < found["high"] - found["low"] < 0.2
    # The teacher's label is picked by two or three of three, or two agree on something else.
    p = truth["strongest_picked"]
    two = p**3 + 3 * p**2 * (1 - p)
    assert content["metrics"]["accuracy_two_agree"]["value"] > two
    assert content["metrics"]["accuracy_all_agree"]["value"] > content["metrics"]["accuracy_two_agree"]["value"]
    for metric in ("kappa", "kappa_decisions", "alpha"):
        found = content["metrics"][metric]
        assert 0.2 < found["low"] < found["value"] < found["high"] < 0.8, metric
    assert content["support"] == 200
    assert sum(found["strongest"] for found in content["per_label"].values()) == 200
    assert set(content["by_variant"]) == {"original", "rewritten"}
    assert content["by_order"] == {}


def test_intervals_hold_the_true_rate_as_often_as_they_say(key: Key) -> None:
    truth = {"strongest_picked": 0.95 * 0.75, "distractor_share": 0.95 * 0.1, "none_share": 0.05, "revealed_share": 0.4}
    held = []
    for number in range(60):
        contents = [simulate(key, f"{number}-{name}", 0.75, 0.1, 0.05, 0.4) for name in "abc"]
        people = []
        for content in contents:
            tasks = {item: Answer(**given) for item, given in content["answers"].items() if item.startswith("t")}
            people.append(Answers(content["annotator"], Path("simulated"), tasks, {}))
        panel = Panel(key, people)
        for metric, value in truth.items():
            found = panel.ratio(ratios_of(panel)[metric])
            assert found is not None
            held.append(found["low"] <= value <= found["high"])
    assert 0.91 <= np.mean(held) <= 0.99, np.mean(held)


def test_random_annotators_do_not_agree(key: Key, tmp_path: Path) -> None:
    files = []
    for name in ("a", "b", "c"):
        draws = random.Random(name)
        answers = {task.id: {"picks": draws.sample((*task.options, NONE), draws.choice((1, 2)))} for task in key.tasks}
        files.append(write(tmp_path / f"{name}.json", answer_file(key, name, answers)))
    metrics = score(key, read_answers(key, files), "people")["metrics"]
    for metric in ("kappa", "kappa_decisions", "alpha"):
        assert abs(metrics[metric]["value"]) < 0.06, metric
    assert "revealed_share" not in metrics


def test_small_numbers_by_hand(key: Key, tmp_path: Path) -> None:
    neutral = next(task for task in key.tasks if task.strongest == "neutral")
    missed = next(task for task in key.tasks if "neutral" in task.options and task.strongest != "neutral")
    other = next(task for task in key.tasks if "neutral" not in task.options)
    picks = {
        "a": {neutral.id: ["neutral"], missed.id: ["neutral", missed.strongest], other.id: [other.strongest]},
        "b": {neutral.id: ["neutral"], missed.id: ["neutral"], other.id: [NONE]},
        "c": {neutral.id: ["neutral"], missed.id: ["neutral"]},
    }
    files = [
        write(
            tmp_path / f"{name}.json", answer_file(key, name, {task: {"picks": given} for task, given in found.items()})
        )
        for name, found in picks.items()
    ]
    metrics = score(key, read_answers(key, files), "people")["metrics"]
    assert metrics["neutral_recall"]["value"] == 0.5
    assert metrics["neutral_precision"]["value"] == 1
    assert metrics["accuracy_two_agree"] == {"value": 0.5, "support": 2}, "no interval from two tasks"
    assert metrics["accuracy_all_agree"]["value"] == 0.5
    assert metrics["none_share"]["value"] == pytest.approx(1 / 8)
    assert metrics["strongest_picked"]["value"] == pytest.approx(5 / 8)


def test_one_annotator(key: Key, tmp_path: Path) -> None:
    alone = write(tmp_path / "a.json", simulate(key, "a", 0.75, 0.1, 0.05, 0.4))
    content = score(key, read_answers(key, [alone]), "people")
    assert content["not_defined"]["kappa"] == "needs two annotators"
    assert "kappa" not in content["metrics"]
    assert content["metrics"]["strongest_picked"]["value"] > 0.6
    text = section(content)
    assert "| kappa | not defined: needs two annotators | .365 (GoEmotions: .293) |" in text
    empty = write(tmp_path / "b.json", answer_file(key, "b", {}))
    content = score(key, read_answers(key, [empty]), "people")
    assert content["metrics"] == {}
    assert section(content)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"format": ', "cannot be read as JSON"),
        ({"answers": {}}, "key 'format' is missing"),
        ({"sample": "0123"}, "answers to the sample 0123"),
        ({"answers": {"t999": {"picks": ["joy"]}}}, "answers 't999', which is not in the sample"),
        ({"answers": {"t001": {"picks": ["bliss"]}}}, "'t001' has the pick 'bliss', which was not offered"),
        ({"answers": {"t001": {"picks": ["none"], "seconds": -1}}}, "greater than or equal to 0"),
        ({"answers": {"p001": {"picks": ["1", "2"]}}}, "'p001' has 2 picks, where one is asked for"),
        ("task;picks\nt001;joy\n", "Export it again, as JSON"),
        ([{"task": "t001", "picks": "joy"}], "Export as 'JSON'"),
        (studio({"result": [3]}), "item 1: its result is not of Label Studio's form"),
        (studio({"result": [{"from_name": "picks", "value": None}]}), "item 1: its result is not of"),
        (studio({"completed_by": None}), "item 1: nobody knows whose annotation it is"),
    ],
)
def test_bad_answers_name_the_file(key: Key, tmp_path: Path, content: Any, says: str) -> None:
    if isinstance(content, dict) and says != "key 'format' is missing":
        content = answer_file(key, "a", {}) | content
    path = write(tmp_path / "from-ana.json", content)
    with pytest.raises(InputError, match=r"from-ana\.json") as error:
        read_answers(key, [path])
    assert says in str(error.value)


def test_somebody_who_answered_nothing_does_not_undo_the_agreement_of_the_others(key: Key, tmp_path: Path) -> None:
    files = [write(tmp_path / f"{name}.json", simulate(key, name, 0.9, 0, 0, 0)) for name in "ab"]
    two = score(key, read_answers(key, files), "people")["metrics"]["accuracy_all_agree"]
    files.append(write(tmp_path / "c.json", answer_file(key, "c", {})))
    assert score(key, read_answers(key, files), "people")["metrics"]["accuracy_all_agree"] == two


def test_a_key_of_other_labels_is_refused(key: Key, tmp_path: Path) -> None:
    content = key.model_dump(mode="json")
    content["tasks"][0]["distractor"] = "bliss"
    with pytest.raises(
        InputError, match=r"key\.json: not the key of a sample: key 'tasks\.0\.distractor': 'bliss' is no label"
    ):
        read_key(write(tmp_path / "key.json", content))


def test_the_same_annotator_twice_names_both_files(key: Key, tmp_path: Path) -> None:
    files = [write(tmp_path / name, simulate(key, "a", 1, 0, 0, 0)) for name in ("first.json", "second.json")]
    with pytest.raises(InputError, match=r"first.json and .*second.json: both are answers of 'annotator-1'"):
        read_answers(key, files)


def test_label_studio_there_and_back(key: Key, tmp_path: Path) -> None:
    tasks = studio_tasks(key)
    assert [option["value"] for option in tasks[0]["data"]["options"]] == [*key.tasks[0].options, NONE]
    config = ElementTree.fromstring(CONFIG)
    used = {value[1:] for tag in config.iter() for value in tag.attrib.values() if value.startswith("$")}
    assert used <= set(tasks[0]["data"])
    names = {tag.get("name") for tag in config.iter()}
    assert {tag.get("toName") for tag in config.iter("Choices")} <= names
    exported: list[dict[str, Any]] = []
    for number, (task, asked) in enumerate(zip(tasks, key.tasks, strict=True)):
        submitted = [(1, [asked.strongest]), ({"id": 2, "email": "someone"}, [asked.strongest, NONE])]
        if number == 0:
            submitted += [(1, [asked.distractor])]  # an earlier one: the last submitted counts
        exported.append(
            task
            | {
                "id": number,
                "annotations": [
                    {
                        "completed_by": by,
                        "lead_time": 4.2,
                        "was_cancelled": False,
                        "updated_at": f"2025-01-0{3 - place}T00:00:00Z",
                        "result": [{"from_name": "picks", "type": "choices", "value": {"choices": picks}}],
                    }
                    for place, (by, picks) in enumerate(submitted)
                ]
                + [{"completed_by": 1, "was_cancelled": True, "result": []}],
            }
        )
    answers = read_answers(key, [write(tmp_path / "studio.json", exported)])
    assert [one.annotator for one in answers] == ["studio-1", "studio-2"]
    metrics = score(key, answers, "people")["metrics"]
    assert metrics["accuracy_all_agree"]["value"] == 1
    assert metrics["none_share"]["value"] == 0
    assert "revealed_share" not in metrics, "it does not record it"


def test_the_command_writes_a_result_and_a_section(key: Key, tmp_path: Path, command: Command) -> None:
    export(key, tmp_path)
    files = [write(tmp_path / f"{name}.json", simulate(key, name, 0.75, 0.1, 0.05, 0.4)) for name in key.annotators]
    arguments = (
        "people",
        "score",
        tmp_path / "key.json",
        *files,
        "--out",
        tmp_path / "results",
        "--name",
        "people-test",
    )
    done = command("-m", "dataset_builder", *arguments)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "results/system/people-test.json").read_text())
    assert content["name"] == "people-test"
    assert {"commit", "command", "libraries", "hardware", "seeds", "support"} <= set(content)
    assert all(isinstance(found["value"], float) for found in content["metrics"].values())
    text = (tmp_path / "results/system/people-test.md").read_text()
    assert ".365" in text
    assert all(f"| {label} |" in text for label in LABELS)
    bad = command("-m", "dataset_builder", "people", "score", tmp_path / "key.json", tmp_path / "nothing.json")
    assert bad.returncode == 2
    assert "nothing.json" in bad.stderr
    assert "Traceback" not in bad.stderr


# ---------------------------------------------------------------- a browser


@pytest.fixture
def small(corpus: Path, tmp_path: Path) -> tuple[Key, Path]:
    key = draw(open_corpus(corpus), wanted(rows=10, annotators=2))
    export(key, tmp_path / "pages")
    return key, tmp_path / "pages"


def opened(browser: Any, path: Path, **options: Any) -> tuple[Any, list[str]]:
    """A page with what it complained about; anything it asks of a network is a complaint."""
    found = browser.new_context(**options).new_page()
    said: list[str] = []
    found.on("pageerror", lambda error: said.append(str(error)))
    found.on("console", lambda message: said.append(message.text))
    found.on("request", lambda request: request.url.startswith(("file:", "blob:")) or said.append(request.url))
    found.goto(path.as_uri())
    return found, said


def test_a_whole_session_from_the_keyboard(
    browser: Any, small: tuple[Key, Path], tmp_path: Path, command: Command
) -> None:
    key, pages = small
    tasks = {task.id: task for task in key.tasks}
    screen, said = opened(browser, pages / "annotator-1.html")
    order = [task["id"] for task in shown((pages / "annotator-1.html").read_text())["tasks"]]
    press = screen.keyboard.press
    press("Enter")  # from the instructions to the first task
    first = tasks[order[0]]
    assert screen.inner_text("#text") == first.text.replace("\u2028", "\n") or first.text[:8] in screen.inner_text(
        "#text"
    )
    assert not screen.is_visible("#situation-text")
    assert first.context not in screen.inner_text("body")
    press("s")
    assert screen.inner_text("#situation-text p") == first.context
    press("1")
    press("3")
    press("1")
    press("Enter")
    press("2")
    press("s")
    press("ArrowRight")
    press("1")
    press("7")
    assert screen.eval_on_selector_all("#options input", "all => all.map(one => one.checked)") == [False] * 6 + [True]
    press("Tab")
    press("Shift+Tab")
    focused = "document.activeElement.value"
    assert screen.evaluate(focused) == "none"
    assert screen.evaluate("getComputedStyle(document.activeElement.parentElement).outlineStyle") == "solid"
    press("Shift+Tab")
    press("Space")  # picks the option in focus, which takes "none" back
    assert screen.evaluate(focused) == tasks[order[2]].options[5]
    screen.reload()
    assert "3 of " in screen.inner_text("#where"), "progress is kept"
    assert screen.eval_on_selector_all("#options input", "all => all.filter(one => one.checked).length") == 1
    press("Backspace")
    assert screen.inner_text("#situation-text p") == tasks[order[1]].context, "what was opened stays open"
    for _ in range(len(key.tasks) - 2):
        press("ArrowRight")
    press("1")
    for _ in range(len(key.pairs)):
        press("Enter")
        press("2")
        press("1")
    press("Enter")
    assert "not answered yet" in screen.inner_text("#verdict")
    with screen.expect_download() as downloaded:
        for _ in range(20):
            press("Tab")
            if screen.evaluate("document.activeElement.id") == "export-end":
                break
        press("Enter")
    saved = tmp_path / downloaded.value.suggested_filename
    downloaded.value.save_as(saved)
    assert said == []
    content = json.loads(saved.read_text())
    assert saved.name == "answers-annotator-1.json"
    answers = content["answers"]
    assert answers[order[0]]["picks"] == [first.options[2]]
    assert answers[order[0]]["revealed"] == "before"
    assert answers[order[1]]["revealed"] == "after"
    assert answers[order[2]]["picks"] == [tasks[order[2]].options[5]]
    assert answers[order[2]]["revealed"] == "no"
    assert {item for item in answers if item.startswith("p")} == {pair.id for pair in key.pairs}
    assert len(answers) == 4 + len(key.pairs)
    assert all(0 <= one["seconds"] < 60 for one in answers.values())
    done = command("-m", "dataset_builder", "people", "score", pages / "key.json", saved, "--out", tmp_path / "results")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "results/system/people.json").read_text())["support"] == 4


def test_earlier_answers_come_back(browser: Any, small: tuple[Key, Path], tmp_path: Path) -> None:
    key, pages = small
    task = key.tasks[0]
    earlier = answer_file(key, "annotator-2", {task.id: {"picks": [task.options[0]], "revealed": "no", "seconds": 2}})
    screen, said = opened(browser, pages / "annotator-2.html")
    screen.set_input_files("#file", write(tmp_path / "mine.json", earlier))
    # Asked from outside, since the page lets nothing be evaluated.
    screen.locator("#where", has_text=re.compile("^1 of")).wait_for()
    screen.set_input_files("#file", write(tmp_path / "other.json", earlier | {"annotator": "annotator-1"}))
    screen.wait_for_selector("#warning:not([hidden])")
    assert "another annotator" in screen.inner_text("#warning")
    assert said == []


def test_a_browser_that_keeps_nothing_says_so(browser: Any, small: tuple[Key, Path]) -> None:
    _, pages = small
    context = browser.new_context()
    context.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new Error('closed'); } })")
    screen = context.new_page()
    screen.goto((pages / "annotator-1.html").as_uri())
    assert "does not keep your answers" in screen.inner_text("#warning")
    screen.keyboard.press("Enter")
    screen.keyboard.press("1")
    assert "1 answered" in screen.inner_text("#where")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_can_be_read(browser: Any, small: tuple[Key, Path], scheme: str) -> None:
    screen, _ = opened(
        browser, small[1] / "annotator-1.html", viewport={"width": 320, "height": 640}, color_scheme=scheme
    )
    screen.keyboard.press("Enter")
    screen.keyboard.press("s")
    screen.keyboard.press("2")
    assert screen.evaluate("document.documentElement.scrollWidth <= 320"), "no sideways scrolling"
    names = ["#text", "#question", ".option b", ".option small", ".option.picked small", ".speaker", "#next"]
    pairs = screen.evaluate(
        """names => names.map(name => {
          const one = document.querySelector(name);
          let ground = one;
          while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
          return [getComputedStyle(one).color, getComputedStyle(ground).backgroundColor];
        })""",
        names,
    )
    for ink, ground in pairs:
        assert contrast(ink, ground) >= 4.5, (ink, ground)
