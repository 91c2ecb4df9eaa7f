"""Human evaluation: the sample, the page, the answers, and the metrics."""

import json
import random
import tempfile
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import cohen_kappa_score

from dataset_builder.corpus import open_corpus
from dataset_builder.human_eval.answers import Answer, read_answers
from dataset_builder.human_eval.page import export, page
from dataset_builder.human_eval.sample import (
    NONE,
    Key,
    allocate,
    distractor_of,
    draw,
    ranked,
    read_key,
)
from dataset_builder.human_eval.score import decisions, kappa_counts, kappas, score, section
from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import EMOTIONS, LABEL_TO_INDEX, LABELS, NEUTRAL
from tests.conftest import Command, contrast

HOSTILE = "</p></script><img src=x onerror=alert(1)>&amp; \u2028 'so' \"so\" __SCRIPT__ __TASKS__"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of 1,200 contextual rows: pride is common, grief has 3 utterances; the texts are hostile to a page."""
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
                    "text": f"{variant} words {number} {HOSTILE}",
                    "original_text": f"original words {number} {HOSTILE}",
                    "context": f"The situation {number}. {HOSTILE}",
                    "variant": variant,
                    "character": f"Ana {HOSTILE}",
                    "labels": [index for index, value in enumerate(scores) if value >= 0.3],
                    "scores": scores,
                    "teacher": "tested",
                }
            )
    return write_corpus(tmp_path_factory.mktemp("people") / "corpus", rows)


def write_corpus(folder: Path, rows: list[dict[str, Any]]) -> Path:
    (folder / "contextual").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "contextual" / "test-00000-of-00001.parquet")
    return folder


@pytest.fixture(scope="module")
def key(corpus: Path) -> Key:
    return draw(open_corpus(corpus), "contextual", "test", rows=200)


# ---------------------------------------------------------------- the sample


def test_the_sample_holds_a_tenth_neutral_and_rare_labels(key: Key) -> None:
    strongest = Counter(task.strongest for task in key.tasks)
    assert len(key.tasks) == 200
    assert strongest["neutral"] == 20
    assert strongest["grief"] == 3, "all that there are"
    others = [strongest[label] for label in LABELS if label not in ("neutral", "grief")]
    assert max(others) - min(others) <= 1
    assert len({task.row_id.rpartition("/")[0] for task in key.tasks}) == 200, "one variant of an utterance"
    assert sum(task.weight for task in key.tasks) == pytest.approx(600, abs=0.01), "weights add up to the corpus"
    shown = {task.text for task in key.tasks}
    seen = [
        [text in shown for text in (pair.texts if pair.rewritten == "1" else pair.texts[::-1])] for pair in key.pairs
    ]
    assert len(key.pairs) <= len(key.tasks) // 2
    assert {tuple(one) for one in seen} >= {(True, False), (False, True)}, "the text seen before may be of either form"
    assert min(Counter(pair.rewritten for pair in key.pairs).values()) > 0.3 * len(key.pairs)


def test_the_seed_decides_the_sample(corpus: Path, key: Key) -> None:
    assert draw(open_corpus(corpus), "contextual", "test", rows=200) == key
    other = draw(open_corpus(corpus), "contextual", "test", rows=200, seed=14)
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


def test_the_options_are_the_top_five_and_a_distractor(corpus: Path, key: Key) -> None:
    scores = {row["id"]: row["scores"] for row in open_corpus(corpus).rows("contextual")}
    assert len(Counter(task.options.index(task.distractor) for task in key.tasks)) == 6, "at every position"
    for task in key.tasks:
        top = [label for label in task.options if label != task.distractor]
        values = [scores[task.row_id][LABEL_TO_INDEX[label]] for label in top]
        rest = [score for label, score in zip(LABELS, scores[task.row_id], strict=True) if label not in top]
        assert len(set(task.options)) == 6
        assert top[0] == task.strongest
        assert values == sorted(values, reverse=True)
        assert min(values) >= max(rest)
        assert task.distractor != "neutral"


def test_a_distractor_is_of_another_basic_emotion_than_what_is_kept() -> None:
    scores = [0.0] * len(LABELS)
    sadness, remorse = LABEL_TO_INDEX["sadness"], LABEL_TO_INDEX["remorse"]
    scores[sadness], scores[remorse] = 0.9, 0.4
    for number in range(200):
        order = ranked(f"r{number}", scores, 13)
        assert order[:2] == [sadness, remorse]
        assert EMOTIONS[distractor_of(f"r{number}", order, [sadness, remorse], 13)].ekman != "sadness"


def test_a_built_corpus_of_both_configs(scripted_work: Path, command: Command, tmp_path: Path) -> None:
    for config in ("contextual", "contextless"):
        out = tmp_path / config
        options = ("--config", config, "--split", "train", "--rows", 20, "--out", out)
        done = command("-m", "dataset_builder", "people", "export", scripted_work, *options)
        assert done.returncode == 0, done.stderr
        found = read_key(out / "key.json")
        assert len(found.tasks) == 20
        assert bool(found.tasks[0].context) is (config == "contextual")
        assert {path.name for path in out.iterdir()} == {*(f"annotator-{n}.html" for n in (1, 2, 3)), "key.json"}
        assert str(tmp_path.parent) not in (out / "key.json").read_text(), "no path of this machine"


def test_what_cannot_be_drawn(corpus: Path, tmp_path: Path, key: Key, command: Command) -> None:
    with pytest.raises(InputError, match="no config 'contextless'; it has contextual"):
        draw(open_corpus(corpus), "contextless", "test", rows=2)
    with pytest.raises(InputError, match="no split 'train'; it has test"):
        draw(open_corpus(corpus), "contextual", "train", rows=2)
    good = {"id": "a", "text": "b", "labels": [0], "scores": [0.5] * 28}
    for changes, says in (
        ({"scores": None}, "need a field 'scores'"),
        ({"scores": [0.5] * 27}, "'a' has 27 scores; 28 are needed"),
        ({"scores": [0.0] * 28}, "has no labelled row"),
        ({"scores": [None] + [0.5] * 27}, "'a' has a score that is not a number"),
        ({"scores": [0.5] * 27 + [float("nan")]}, "a score that is not a number"),
        ({"labels": [28]}, r"'a' has labels \[28\], which are not all"),
        ({"labels": [-1]}, r"'a' has labels \[-1\]"),
        ({"id": 5}, "'5' has an id or a text that is not a string"),
    ):
        folder = write_corpus(Path(tempfile.mkdtemp(dir=tmp_path)), [good | changes])
        with pytest.raises(InputError, match=says):
            draw(open_corpus(folder), "contextual", "test", rows=2)
    export(key, tmp_path)
    export(key, tmp_path)
    with pytest.raises(InputError, match="contains another sample"):
        export(draw(open_corpus(corpus), "contextual", "test", rows=200, seed=14), tmp_path)
    done = command("-m", "dataset_builder", "people", "export", corpus, "--rows", 0, "--out", tmp_path / "none")
    assert done.returncode == 2
    assert "--rows 0: must be 1 or more" in done.stderr


# ---------------------------------------------------------------- the page


class Parsed(HTMLParser):
    """The tags and attributes of a page in order, and the text outside its script and style."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] not in ("script", "style"):
            self.text += data


def test_a_hostile_text_stays_text_on_the_page(key: Key) -> None:
    found = Parsed(page(key, "annotator-1"))
    assert not [tag for tag, attributes in found.tags if tag == "img" or "onerror" in attributes]
    assert sum(tag == "script" for tag, _ in found.tags) == 1
    for task in key.tasks:
        assert task.text in found.text
        assert task.character in found.text
        assert (task.context or "") in found.text
    policy = next(given["content"] or "" for _, given in found.tags if given.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "script-src 'sha256-" in policy
    assert not [given for _, given in found.tags if "src" in given or "href" in given], "nothing from outside"


def test_the_page_tells_neither_distractor_nor_scores_nor_rewriting(key: Key) -> None:
    content = page(key, "annotator-1")
    for secret in ("distractor", "strongest", "score", "tested", "/rewritten", "/original"):
        assert secret not in content
    ids = {item.id for item in (*key.tasks, *key.pairs)}
    for tag, attributes in Parsed(content).tags:
        if tag in ("fieldset", "input", "label", "details"):
            assert set(attributes) <= {"id", "type", "name", "value", "autocomplete"}
            assert {attributes.get("id"), attributes.get("name")} <= ids | {None}
    assert {given["value"] for tag, given in Parsed(content).tags if tag == "input"} <= {
        *LABELS,
        NONE,
        "1",
        "2",
        "same",
    }


def test_each_annotator_has_an_order_of_their_own(key: Key) -> None:
    orders = [
        [given["id"] for tag, given in Parsed(page(key, name)).tags if tag == "fieldset"] for name in key.annotators
    ]
    assert len({tuple(order) for order in orders}) == 3
    assert len({tuple(sorted(map(str, order))) for order in orders}) == 1
    assert all(str(order[-1]).startswith("p") for order in orders), "pairs come last"


# ---------------------------------------------------------------- answers


def answer_file(key: Key, annotator: str, answers: dict[str, Any]) -> dict[str, Any]:
    annotator = dict(zip("abc", key.annotators, strict=False)).get(annotator, annotator)
    return {"format": key.format, "sample": key.sample, "annotator": annotator, "answers": answers}


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"format": ', "cannot be read as JSON"),
        ("task;picks\nt001;joy\n", "cannot be read as JSON"),
        ({"answers": {}}, "key 'format' is missing"),
        ([{"task": "t001"}], "not an answer file"),
        ({"format": "emo-pillars-people/1"}, "key 'format'"),
        ({"sample": "0123"}, "belongs to the sample '0123'"),
        ({"annotator": "Mallory"}, "'Mallory' is not an annotator of this key"),
        ({"answers": {"t999": {"picks": ["joy"]}}}, "answers 't999', which is not in the sample"),
        ({"answers": {"t001": {"picks": ["bliss"]}}}, "'t001' has the pick 'bliss', which was not offered"),
        ({"answers": {"t001": {"picks": ["none"], "revealed": "maybe"}}}, "revealed"),
        ({"answers": {"p001": {"picks": ["1", "2"]}}}, "'p001' has 2 picks that exclude each other"),
    ],
)
def test_bad_answers_name_the_file(key: Key, tmp_path: Path, content: Any, says: str) -> None:
    if isinstance(content, dict) and says != "key 'format' is missing":
        content = answer_file(key, "a", {}) | content
    path = write(tmp_path / "from-ana.json", content)
    with pytest.raises(InputError, match=r"from-ana\.json") as error:
        read_answers(key, [path])
    assert says in str(error.value)


def test_the_same_annotator_twice_names_both_files(key: Key, tmp_path: Path) -> None:
    files = [write(tmp_path / name, answer_file(key, "a", {})) for name in ("first.json", "second.json")]
    with pytest.raises(InputError, match=r"first.json and .*second.json: both files are from 'annotator-1'"):
        read_answers(key, files)


def test_a_key_of_other_labels_is_refused(key: Key, tmp_path: Path) -> None:
    content = key.model_dump(mode="json")
    content["tasks"][0]["distractor"] = "bliss"
    with pytest.raises(InputError, match=r"key\.json: not the key of a sample: .*distractor': 'bliss' is not a label"):
        read_key(write(tmp_path / "key.json", content))


# ---------------------------------------------------------------- metrics


def people_of(**answers: dict[str, list[str]]) -> dict[str, dict[str, Answer]]:
    return {
        name: {task: Answer(picks=tuple(picks)) for task, picks in given.items()} for name, given in answers.items()
    }


def simulate(key: Key, annotator: str, right: float, slip: float, none: float, reveal: float) -> dict[str, Any]:
    """An annotator who sees the strongest label with probability `right`, and errs at known rates."""
    draws = random.Random(annotator)
    answers: dict[str, Any] = {}
    for task in key.tasks:
        others = [option for option in task.options if option not in (task.strongest, task.distractor)]
        if draws.random() < none:
            picks = [NONE]
        else:
            picks = [task.strongest] if draws.random() < right else [draws.choice(others)]
            picks += [task.distractor] if draws.random() < slip else []
        answers[task.id] = {"picks": picks, "revealed": draws.random() < reveal}
    for pair in key.pairs:
        answers[pair.id] = {"picks": [pair.rewritten if draws.random() < 0.7 else "same"]}
    return answer_file(key, annotator, answers)


def test_kappa_of_a_worked_example_and_of_scikit_learn() -> None:
    """Wikipedia's first example of Cohen's kappa: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no give .40."""
    first = np.array([1.0] * 25 + [0.0] * 25)
    second = np.array([1.0] * 20 + [0.0] * 5 + [1.0] * 10 + [0.0] * 15)
    assert kappas(kappa_counts(np.stack([first, second])[:, :, None]).sum(axis=0), 1) == pytest.approx(0.4)
    picks = np.random.default_rng(1).integers(0, 2, (3, 80, 4)).astype(float)
    picks[0, :5] = np.nan
    found = kappas(kappa_counts(picks).sum(axis=0), 4)
    for pair, (one, two) in enumerate(((0, 1), (0, 2), (1, 2))):
        start = 5 if one == 0 else 0  # missing answers are left out
        for label in range(4):
            expected = cohen_kappa_score(picks[one, start:, label], picks[two, start:, label])
            assert found[pair, label] == pytest.approx(expected)
    assert np.isnan(kappas(kappa_counts(np.ones((2, 4, 1))).sum(axis=0), 1)).all(), "undefined where nothing varies"


def test_simulated_annotators_are_recovered(key: Key, tmp_path: Path) -> None:
    files = [write(tmp_path / f"{name}.json", simulate(key, name, 0.75, 0.1, 0.05, 0.4)) for name in "abc"]
    content = score(key, read_answers(key, files), "people")
    truth = {"strongest_picked": 0.7125, "distractor_share": 0.095, "none_share": 0.05, "revealed_share": 0.4}
    for metric, value in (truth | {"rewritten_weaker": 0.7}).items():
        found = content["metrics"][metric]
        assert found["low"] - 0.01 <= value <= found["high"] + 0.01, metric
        assert 0.03 < found["high"] - found["low"] < 0.2
    # The teacher's label is picked by two or three of three, or two agree on another.
    p = truth["strongest_picked"]
    assert content["metrics"]["accuracy_two_agree"]["value"] > p**3 + 3 * p**2 * (1 - p)
    assert content["metrics"]["accuracy_all_agree"]["value"] > content["metrics"]["accuracy_two_agree"]["value"]
    kappa = content["metrics"]["kappa"]
    assert 0.2 < kappa["low"] < kappa["value"] < kappa["high"] < 0.8
    assert content["support"] == 200
    assert sum(found["strongest"] for found in content["per_label"].values()) == 200


def test_random_annotators_do_not_agree(key: Key) -> None:
    people = {}
    for name in "abc":
        draws = random.Random(name)
        picks = {task.id: draws.sample(task.options, draws.choice((1, 2))) for task in key.tasks}
        people |= people_of(**{name: picks})
    assert abs(score(key, people, "people")["metrics"]["kappa"]["value"]) < 0.06


def test_small_numbers_by_hand(key: Key) -> None:
    neutral = next(task for task in key.tasks if task.strongest == "neutral")
    missed = next(task for task in key.tasks if "neutral" in task.options and task.strongest != "neutral")
    other = next(task for task in key.tasks if "neutral" not in task.options)
    people = people_of(
        a={neutral.id: ["neutral"], missed.id: ["neutral", missed.strongest], other.id: [other.strongest]},
        b={neutral.id: ["neutral"], missed.id: ["neutral"], other.id: [NONE]},
        c={neutral.id: ["neutral"], missed.id: ["neutral"]},
    )
    metrics = score(key, people, "people")["metrics"]
    assert metrics["neutral_recall"]["value"] == 0.5
    assert metrics["accuracy_two_agree"] == {"value": 0.5, "support": 2}, "no interval from two tasks"
    assert metrics["accuracy_all_agree"]["value"] == 0.5
    assert metrics["none_share"]["value"] == pytest.approx(1 / 8)
    assert metrics["strongest_picked"]["value"] == pytest.approx(5 / 8)
    nobody = score(key, people | {"d": {}}, "people")["metrics"]
    assert nobody["accuracy_all_agree"] == metrics["accuracy_all_agree"], "whoever answered nothing does not count"
    assert decisions(key, people).shape == (3, 200, 29)


def test_one_annotator_or_none(key: Key, tmp_path: Path) -> None:
    alone = write(tmp_path / "a.json", simulate(key, "a", 0.75, 0.1, 0.05, 0.4))
    content = score(key, read_answers(key, [alone]), "people")
    assert "kappa" not in content["metrics"]
    assert content["metrics"]["strongest_picked"]["value"] > 0.6
    assert ".365 (GoEmotions: .293)" in section(content)
    content = score(key, {"a": {}}, "people")
    assert content["metrics"] == {}
    assert section(content)


def test_the_command_writes_a_result_and_a_section(key: Key, tmp_path: Path, command: Command) -> None:
    export(key, tmp_path)
    files = [write(tmp_path / f"{name}.json", simulate(key, name, 0.75, 0.1, 0.05, 0.4)) for name in key.annotators]
    options = ("--out", tmp_path / "results", "--name", "people-test")
    done = command("-m", "dataset_builder", "people", "score", tmp_path / "key.json", *files, *options)
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
    key = draw(open_corpus(corpus), "contextual", "test", rows=10, annotators=2)
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


def test_answers_are_kept_and_saved(browser: Any, small: tuple[Key, Path], tmp_path: Path, command: Command) -> None:
    key, pages = small
    first, second = key.tasks[0], key.tasks[1]
    screen, said = opened(browser, pages / "annotator-1.html")
    assert not screen.locator(f"#{first.id} details p").is_visible()
    boxes = screen.locator(f"#{first.id} input")
    boxes.nth(0).check()
    boxes.nth(6).check()
    assert [boxes.nth(n).is_checked() for n in range(7)] == [False] * 6 + [True], "none of these excludes the others"
    boxes.nth(2).check()
    boxes.nth(3).check()
    assert [boxes.nth(n).is_checked() for n in (2, 3, 6)] == [True, True, False]
    screen.locator(f"#{second.id} summary").click()
    assert screen.locator(f"#{second.id} details p").is_visible()
    screen.click("#next")
    assert screen.evaluate("document.activeElement.closest('fieldset').querySelectorAll(':checked').length") == 0
    screen.keyboard.press("Space")
    pair = key.pairs[0]
    screen.locator(f"#{pair.id} input").nth(2).check()
    screen.reload()
    assert screen.inner_text("#done") == f"3 of {len(key.tasks) + len(key.pairs)} answered"
    assert boxes.nth(3).is_checked()
    assert screen.locator(f"#{second.id} details").get_attribute("open") is not None, "what was opened stays open"
    with screen.expect_download() as downloaded:
        screen.click("#save")
    saved = tmp_path / downloaded.value.suggested_filename
    downloaded.value.save_as(saved)
    assert said == []
    assert saved.name == "answers-annotator-1.json"
    answers = json.loads(saved.read_text())["answers"]
    assert len(answers) == 3
    assert answers[first.id] == {"picks": [first.options[2], first.options[3]], "revealed": False}
    assert answers[pair.id]["picks"] == ["same"]
    done = command("-m", "dataset_builder", "people", "score", pages / "key.json", saved, "--out", tmp_path / "results")
    assert done.returncode == 0, done.stderr


def test_a_browser_that_keeps_nothing_says_so(browser: Any, small: tuple[Key, Path]) -> None:
    context = browser.new_context()
    context.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new Error('closed'); } })")
    screen = context.new_page()
    screen.goto((small[1] / "annotator-1.html").as_uri())
    assert screen.is_visible("#warning")
    screen.locator("input").nth(0).check()
    assert screen.inner_text("#done").startswith("1 of")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_can_be_read(browser: Any, small: tuple[Key, Path], scheme: str, tmp_path: Path) -> None:
    screen, _ = opened(
        browser, small[1] / "annotator-1.html", viewport={"width": 320, "height": 640}, color_scheme=scheme
    )
    assert screen.evaluate("document.documentElement.scrollWidth <= 320"), "no sideways scrolling"
    pairs = screen.evaluate(
        """names => names.map(name => {
          const one = document.querySelector(name);
          let ground = one;
          while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
          return [getComputedStyle(one).color, getComputedStyle(ground).backgroundColor];
        })""",
        [".text", "legend", "label", "small", "summary"],
    )
    for ink, ground in pairs:
        assert contrast(ink, ground) >= 4.5, (ink, ground)
    screen.screenshot(path=tmp_path / f"{scheme}.png")
