"""The Space: what it shows, that it decides as the project does, and the page in a browser."""

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub.errors import LocalEntryNotFoundError
from transformers import AutoTokenizer

import app
import chart
import scores
from dataset_builder.taxonomy import LABELS
from eval import zero_shot
from eval.decision_rules import by_expected_f1, log_odds
from eval.models import load_bi_encoder, load_classifier
from scores import Answer, CannotAnswer, Score
from tests.conftest import ROOT, contrast, without

SPACE = ROOT / "space"
TEXT = "river window letter"


@pytest.fixture(scope="module")
def models(tiny_models: Path, bi_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny models of the names that the Space asks for."""
    folder = tmp_path_factory.mktemp("published")
    given = {
        scores.CONTEXTLESS: tiny_models / "emo-pillars-contextless-minilm",
        scores.CONTEXTUAL: tiny_models / "emo-pillars-contextual-minilm",
        scores.ZERO_SHOT: bi_encoder,
    }
    for name, place in given.items():
        (folder / name.rpartition("/")[2]).symlink_to(place)
    return folder


@pytest.fixture
def local(models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(scores.FOLDER, str(models))
    return models


def answer(**values: tuple[float, float]) -> Answer:
    return Answer(tuple(Score(label, *value) for label, value in values.items()), "somebody/some-model")


# ---------------------------------------------------------------- what is shown


def test_every_label_has_a_bar_and_its_threshold() -> None:
    found = chart.page(Answer(tuple(Score(name, 0.1, 0.6) for name in LABELS), "a/b"))
    assert found.count('class="emo-bar" style="width:10.0%"') == 28
    assert found.count('class="emo-mark" style="left:60.0%"') == 28
    assert found.partition("<details")[0].count("emo-bar") == chart.AT_FIRST
    assert "The other 18 of 28 labels" in found
    assert 'href="https://huggingface.co/a/b"' in found
    assert "href" not in chart.page(Answer((Score("joy", 0.1, 0.4),), "/a/folder/b"))


def test_what_the_text_has_comes_first() -> None:
    found = chart.page(answer(joy=(0.5, 0.6), grief=(0.1, 0.05), fear=(0.2, 0.1)))
    assert re.findall(r'scope="row">(\w+)<', found) == ["fear", "grief", "joy"]
    assert found.count("emo-given") == 2
    assert "This reads as <b>fear</b> and <b>grief</b>: their scores reach their thresholds." in found
    many = chart.page(Answer(tuple(Score(name, 0.5, 0.4) for name in LABELS[:20]), "a/b"))
    assert "<details" not in many, "all that a text has is shown at once"


def test_one_label_or_none() -> None:
    assert "This reads as <b>joy</b>: its score" in chart.page(answer(joy=(0.7, 0.6), fear=(0.1, 0.2)))
    none = chart.page(answer(joy=(0.5, 0.9), fear=(0.19, 0.2)))
    assert "No label reaches its threshold. The nearest is <b>fear</b>: 0.19, but 0.20 is required." in none


def test_small_scores_have_a_shorter_scale() -> None:
    found = chart.page(answer(dread=(0.05, 0.02), glee=(0.0001, 0.1)))
    assert 'style="width:50.0%"' in found
    assert "&lt;0.001" in found


def test_what_visitors_write_stays_text() -> None:
    found = chart.page(answer(**{"<script>": (0.5, 0.4)})) + chart.message("<script>")
    assert "<script>" not in found
    assert found.count("&lt;script&gt;") == 3


# ---------------------------------------------------------------- what is read


def test_labels_are_read() -> None:
    assert scores.read_labels(' joy, "pride, quiet" ,, dread\nquiet   joy, joy ') == [
        "joy",
        "pride, quiet",
        "dread",
        "quiet joy",
    ]
    for nothing in ("", " \n ", ", ,", '""'):
        with pytest.raises(CannotAnswer, match="Enter one or more labels"):
            scores.read_labels(nothing)
    with pytest.raises(CannotAnswer, match="51 labels; this page accepts up to 50"):
        scores.read_labels(",".join(map(str, range(51))))


def test_empty_and_endless_texts_are_refused_before_a_model_loads() -> None:
    for ask in (scores.emotions, lambda text: scores.own_labels(text, ["joy"])):
        with pytest.raises(CannotAnswer, match="Enter a text first"):
            ask(" \n")
        with pytest.raises(CannotAnswer, match="up to 20,000 characters"):
            ask("a" * 20_001)
    with pytest.raises(CannotAnswer, match="up to 20,000 characters"):
        scores.emotions("a", "a" * 20_001)


def test_labels_are_bounded_in_length_and_in_all() -> None:
    assert scores.read_labels("a" * 200) == ["a" * 200]
    with pytest.raises(CannotAnswer, match="A label may have up to 200 characters"):
        scores.read_labels(f"joy, {'a' * 201}")
    for given in ("a" * 140_000, "joy, " * 4_001, '"' * 20_001):
        with pytest.raises(CannotAnswer, match="up to 20,000 characters"):
            scores.read_labels(given)
    assert scores.read_labels('a"b, "c" d, """') == ['a"b', "c d", '"']
    assert scores.read_labels("joy\0, dread") == ["joy\0", "dread"]


@pytest.mark.parametrize("show", [app.show_emotions, app.show_own_labels])
def test_odd_input_of_visitors_and_programs_gets_a_message(show: Any) -> None:
    for text, second in ((None, None), (None, "joy"), ("", None)):
        assert "emo-note" in show(text, second)
    for text, second in (("I am fine \ud83d", "joy"), ("I am fine", "joy \udc00")):
        assert "incomplete character" in show(text, second)
    assert "characters" in show("I am fine", "a" * 140_000)


@pytest.mark.parametrize("given", ["['joy', 'dread']", '["joy", "dread"]', "[1, 2]", "{'text': 'a'}", "[]"])
def test_a_list_of_a_program_is_no_text(given: str) -> None:
    assert "This is a list" in app.show_emotions(given, None)
    assert "This is a list" in app.show_own_labels("I am fine", given)


def test_brackets_of_people_are_text() -> None:
    for given in ("[laughs] So be it [sighs]", "[", "{joy}", "[" * 19_000, "[REDACTED]"):
        assert scores.read(given) == given


def test_a_network_that_is_down_is_no_model_without_reference_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: str) -> str:
        raise LocalEntryNotFoundError("cannot reach the Hub")

    monkeypatch.setattr(scores, "SentenceTransformer", lambda place: [loaded(zero_shot={"temperature": 1, "bias": 0})])
    monkeypatch.setattr(scores, "hf_hub_download", download)
    with pytest.raises(CannotAnswer, match="The model down cannot be loaded at the moment"):
        scores.bi_encoder("somebody/down")


def test_a_model_of_another_kind_is_said_not_to_load(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scores, "SentenceTransformer", lambda place: [loaded()])
    for number, config in enumerate([{}, {"thresholds": {}}, {"thresholds": [0.5]}]):
        kind = SimpleNamespace(model=SimpleNamespace(config=SimpleNamespace(id2label={0: "joy"}, **config)))
        monkeypatch.setattr(scores, "pipeline", lambda *_, kind=kind, **__: kind)
        with pytest.raises(CannotAnswer, match="cannot be loaded"):
            scores.classifier(f"somebody/plain-{number}")
    with pytest.raises(CannotAnswer, match="cannot be loaded"):
        scores.bi_encoder("somebody/plain")
    assert "its config has no threshold of joy" in capsys.readouterr().out


def loaded(**config: Any) -> Any:
    """The first module of an encoder, with its configuration alone."""
    return SimpleNamespace(auto_model=SimpleNamespace(config=SimpleNamespace(**config)))


def test_null_is_an_empty_field(local: Path) -> None:
    assert "emo-bar" in app.show_emotions(TEXT, None)
    assert "Enter one or more labels" in app.show_own_labels(TEXT, None)


def test_what_is_cut_is_said(tiny_encoder: Path) -> None:
    left = AutoTokenizer.from_pretrained(tiny_encoder, truncation_side="left")
    right = AutoTokenizer.from_pretrained(tiny_encoder, truncation_side="right")
    assert scores.truncation_note("text", left, "river window letter", 3) == ()
    (said,) = scores.truncation_note("text", left, "river window letter garden", 3)
    assert said.endswith("has 4 tokens, but only 3 fit. Truncated at its start: “river”")
    (said,) = scores.truncation_note("text", right, "river window letter garden", 3)
    assert said.endswith("Truncated at its end: “garden”")
    assert scores.shortened("word  " * 100) == f"{'word ' * 8}… {'word ' * 8}".strip()


def test_the_28_emotions_are_those_of_the_project(local: Path) -> None:
    for situation, name in ((None, scores.CONTEXTLESS), ("garden harbour bridge", scores.CONTEXTUAL)):
        found = scores.emotions(f" {TEXT} ", situation or "")
        model = load_classifier(scores.model_location(name))
        expected = model.predict([TEXT], [situation] if situation else None)[0]
        by_label = {one.label: one for one in found.scores}
        assert [by_label[label].value for label in LABELS] == pytest.approx(expected.tolist(), abs=1e-6)
        assert [by_label[label].threshold for label in LABELS] == pytest.approx(model.thresholds.tolist())
        assert found.model == str(local / name.rpartition("/")[2])
        assert found.notes == ()


def test_long_situations_and_long_texts(local: Path) -> None:
    (note,) = scores.emotions(TEXT, "garden " * 400).notes
    assert note.startswith("The situation has 400 tokens")
    (note,) = scores.emotions("river " * 600).notes
    assert note.startswith("The text has 600 tokens")
    (note,) = scores.emotions("river " * 600, "garden").notes
    assert "both were truncated" in note
    (note,) = scores.own_labels("river " * 600, ["joy"]).notes
    assert note.startswith("The text has 600 tokens")


def test_own_labels_are_decided_as_by_the_project(local: Path) -> None:
    labels = ["joy", "quiet pride", "dread"]
    found = scores.own_labels(TEXT, labels)
    (expected,), _ = zero_shot.classify(load_bi_encoder(scores.model_location(scores.ZERO_SHOT)), [TEXT], labels)
    assert {one.label: one.value for one in found.scores} == pytest.approx(expected.probabilities, abs=1e-4)
    assert tuple(one.label for one in found.scores if one.given) == expected.given


@pytest.mark.parametrize("labels", [1, 2, 7])
def test_thresholds_are_those_of_the_largest_expected_f1(labels: int) -> None:
    draw = np.random.default_rng(labels)
    logits, reference = draw.normal(-5, 3, (200, labels)), draw.normal(-4, 3, (300, labels))
    margins = logits - log_odds(scores.thresholds_of(reference))
    assert margins == pytest.approx(by_expected_f1(logits, reference), abs=1e-4)


def test_a_model_without_reference_texts_is_cut_at_one_half(local: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    own = folder / scores.ZERO_SHOT.rpartition("/")[2]
    shutil.copytree(local / own.name, own, ignore=shutil.ignore_patterns(scores.REFERENCE))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(scores.FOLDER, str(folder))
        assert [one.threshold for one in scores.own_labels(TEXT, ["joy", "dread"]).scores] == [0.5, 0.5]


def test_a_model_that_does_not_load_is_tried_again(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(scores.FOLDER, str(tmp_path))
    for ask in (lambda: scores.emotions(TEXT), lambda: scores.own_labels(TEXT, ["joy"])):
        with pytest.raises(CannotAnswer, match="cannot be loaded at the moment") as raised:
            ask()
        assert str(tmp_path) not in str(raised.value)
        assert str(tmp_path) in capsys.readouterr().out
    for place in models.iterdir():
        (tmp_path / place.name).symlink_to(place)
    assert len(scores.emotions(TEXT).scores) == 28


def test_places_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert scores.model_location("somebody/some-model") == "somebody/some-model"
    monkeypatch.setenv(scores.OWNER, "another")
    assert scores.model_location("somebody/some-model") == "another/some-model"


# ---------------------------------------------------------------- what is sent


def test_the_namespace_is_named_only_where_it_may_be_replaced() -> None:
    for path in SPACE.iterdir():
        if path.is_file():
            after = path.read_text(encoding="utf-8").split("NAMESPACE")[1:]
            assert all(text.startswith("/emo-pillars-") for text in after), path


def test_the_card_names_models_and_versions_that_are_there() -> None:
    card = yaml.safe_load((SPACE / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert card["models"] == [scores.CONTEXTLESS, scores.CONTEXTUAL, scores.ZERO_SHOT]
    recipes = {path.stem for path in (ROOT / "train/recipes").glob("*.yaml")}
    assert {name.rpartition("/")[2] for name in card["models"]} <= recipes
    assert len(card["short_description"]) <= 60, "the Hub refuses longer ones"
    assert f"gradio=={card['sdk_version']}" in (ROOT / "constraints.txt").read_text().splitlines()
    asked = [line for line in (SPACE / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert set(asked) <= set((ROOT / "constraints.txt").read_text().splitlines()), "the versions that are tested"


# ---------------------------------------------------------------- a browser


@pytest.fixture(scope="module")
def address(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page, served from a copy of its folder as it is sent."""
    if importlib.util.find_spec("gradio") is None:
        without("gradio")
    folder = tmp_path_factory.mktemp("sent") / "space"
    shutil.copytree(SPACE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for path in folder.iterdir():
        path.write_text(path.read_text(encoding="utf-8").replace("NAMESPACE", "some-body"), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    served = f"http://127.0.0.1:{port}/"
    changed = {scores.FOLDER: str(models), "GRADIO_SERVER_PORT": str(port), "HF_HUB_OFFLINE": "1"}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | changed
    log = folder.parent / "log"
    with open(log, "w") as out:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        wait_for(served, process, log)
        yield served
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for(served: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(served, timeout=10).close()
        except urllib.error.URLError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError(log.read_text())


def opened(browser: Any, address: str, **options: Any) -> tuple[Any, list[str]]:
    """The page with what it complained about; anything it asks of another server is a complaint."""
    screen = browser.new_context(**options).new_page()
    screen.set_default_timeout(120_000)
    said: list[str] = []
    screen.on("pageerror", lambda error: said.append(str(error)))
    screen.on("console", lambda message: message.type != "error" or said.append(message.text))
    screen.on("request", lambda asked: asked.url.startswith((address, "data:", "blob:")) or said.append(asked.url))
    screen.goto(address)
    screen.wait_for_selector("#emotions-ask")
    return screen, said


def ask(screen: Any, tab: str, text: str, second: str = "") -> str:
    """Fill a tab's fields, press its button; the answer's text when a new one is there."""
    screen.evaluate("name => document.querySelector(`#${name}-found .emo`).setAttribute('data-old', '')", tab)
    screen.fill(f"#{tab}-text textarea", text)
    screen.fill(f"#{tab}-second textarea", second)
    screen.click(f"#{tab}-ask")
    screen.wait_for_selector(f"#{tab}-found .emo:not([data-old])")
    return str(screen.inner_text(f"#{tab}-found"))


@pytest.mark.end_to_end
def test_the_page_keeps_no_files(address: str) -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.bin"\r\n\r\n'
        + b"a" * 5000
        + b"\r\n--x--\r\n"
    )
    head = {"Content-Type": "multipart/form-data; boundary=x"}
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(f"{address}gradio_api/upload", body, head), timeout=30)
    assert refused.value.code == 413


@pytest.mark.end_to_end
def test_a_visit(browser: Any, address: str, tmp_path: Path) -> None:
    screen, said = opened(browser, address, viewport={"width": 1280, "height": 900})
    assert "Do not judge real people with this" in screen.inner_text("#limits")
    assert "Enter a text first" in ask(screen, "emotions", "")
    assert "Scored by emo-pillars-contextless-minilm-goemotions." in ask(screen, "emotions", TEXT)
    marks = "all => all.map(one => [one.previousSibling.style.width, one.style.left])"
    bars = screen.eval_on_selector_all("#emotions-found .emo-mark", marks)
    assert len(bars) == 28
    assert all(width.endswith("%") and left.endswith("%") for width, left in bars)
    hidden = screen.locator("#emotions-found details tr").first
    assert not hidden.is_visible()
    screen.click("#emotions-found summary")
    assert hidden.is_visible()
    situated = ask(screen, "emotions", TEXT, "garden harbour")
    assert "Scored by emo-pillars-contextual-minilm." in situated
    assert "Truncated at its start" in ask(screen, "emotions", "river " * 600)
    screen.screenshot(path=tmp_path / "emotions.png", full_page=True)
    screen.click("text=Well, that went as planned. (the cake)")
    screen.wait_for_function(
        "document.querySelector('#emotions-found').innerText.includes('Scored by emo-pillars-contextual-minilm.')"
    )
    assert screen.input_value("#emotions-second textarea").startswith("The cake")
    screen.get_by_role("tab", name="Your own labels").click()
    assert "Enter one or more labels" in ask(screen, "labels", TEXT)
    found = ask(screen, "labels", TEXT, "joy, quiet pride, ${1+1}, {{1}}, <img src=x onerror=alert(1)>")
    assert screen.locator("#labels-found .emo-mark").count() == 5
    assert screen.locator("#labels-found img").count() == 0
    assert all(label in found for label in ("quiet pride", "${1+1}", "{{1}}", "<img src=x"))
    screen.screenshot(path=tmp_path / "labels.png", full_page=True)
    assert said == []


@pytest.mark.end_to_end
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_can_be_read(browser: Any, address: str, tmp_path: Path, scheme: str) -> None:
    screen, said = opened(browser, address, viewport={"width": 360, "height": 760}, color_scheme=scheme)
    ask(screen, "emotions", TEXT)
    assert screen.evaluate("document.documentElement.scrollWidth <= 360"), "no sideways scrolling"
    screen.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)
    assert screen.locator("#emotions-found .emo-track").first.bounding_box()["width"] > 80
    names = [".emo-said", ".emo th", ".emo td:nth-child(3)", ".emo summary", ".emo-source", "#limits p"]
    names += ["#emotions-ask", "#emotions-second label span", "[role=tab][aria-selected=true]"]
    pairs = screen.evaluate(
        """names => names.map(name => {
          const one = document.querySelector(name);
          let ground = one;
          while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
          return [getComputedStyle(one).color, getComputedStyle(ground).backgroundColor];
        })""",
        names,
    )
    for name, (ink, ground) in zip(names, pairs, strict=True):
        assert contrast(ink, ground) >= 4.5, (name, ink, ground)
    screen.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)
    assert said == []
