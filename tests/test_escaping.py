"""Text of corpora, teachers and annotators on pages and terminals: shown, and never obeyed."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dataset_builder.analysis import report_page
from dataset_builder.analysis.validate_corpus import Findings
from dataset_builder.corpus import open_corpus
from dataset_builder.escaping import one_line, printable
from dataset_builder.human_eval.answers import read_answers
from dataset_builder.human_eval.sample import Key, draw
from dataset_builder.human_eval.score import score, section
from dataset_builder.inputs import InputError, run_command
from dataset_builder.markdown import cell, code, table
from eval.cards.results import CorpusResult
from eval.cards.sections import corpus_section

EVIL = (
    "I am here** now.\n\n## Gates\n\n| config | value |\n| --- | --- |\n| `x` | **ok** |\n\n<img src=http://t.invalid/p.gif>"
    "<script>alert(1)</script> [free](javascript:alert(2)) \x1b]52;c;ZWNobw==\x07\x1b[2J ![x](http://t.invalid/q.png)\u202e"
    " <!-- results:end --> `\ud83d"
)


def is_quiet(text: str) -> bool:
    """No control character but line feeds, nothing that turns the direction of writing, no half of a character."""
    return re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e\ud83d]", text) is None


def is_tame(page: str) -> bool:
    """No HTML, link or picture of the text, no heading or row that it begins, and quiet."""
    lines = [line for line in page.splitlines() if re.match(r"\s*(## Gates|\| config \| value|\| `x` \|)", line)]
    prose = re.sub(r"`[^`]*`", "", page.replace("\\`", ""))
    links = re.search(r"(?<!\\)\[(free|x)\]\(", prose)
    return not lines and not links and not re.search(r"<(img|script|!--)", page) and is_quiet(page)


def test_each_way_of_showing() -> None:
    assert not is_tame(EVIL)
    for shown in (cell(EVIL), code(EVIL), table(["a", "b"], [[cell(EVIL), code(EVIL)]])):
        assert is_tame(shown)
    assert "\n" not in one_line(EVIL) + cell(EVIL) + code(EVIL)
    assert printable("a\tb\nc\x1b[2J\x9b\u2028") == "a\\tb\nc\\x1b[2J\\x9b\\u2028"
    assert cell("a | b *c* [d](e) `f` \\g <h>") == "a \\| b \\*c\\* \\[d](e) \\`f\\` \\\\g &lt;h>"
    assert code("a`|<b>") == "`a'\\|&lt;b>`"
    assert cell("It's 3 < 4, isn't it? #1 & more…") == "It's 3 &lt; 4, isn't it? #1 & more…"
    assert table(["x"], [["a|b\nc"], ["a\\|b"]]).splitlines()[2:] == ["| a\\|b c |", "| a\\|b |"]


def test_a_report_of_a_hostile_corpus_is_tame() -> None:
    names = ("text", "context", "original_text", "character", "requested_emotion", "id", "source", "variant")
    row: dict[str, Any] = dict.fromkeys(names, EVIL) | {"descriptors": [{"text": EVIL, "weight": 1.0}]}
    about = {"name": EVIL, "place": EVIL, "rows": {EVIL: {"train": 1}}, "metrics": {}, "per_label": {}}
    made = about | dict.fromkeys(("teacher", "recipe"), EVIL)
    made |= {
        "sources": {EVIL: 1},
        "support": 1,
        **dict.fromkeys(("recipe_hash", "prompt_version", "data_revision"), EVIL),
    }
    for content in (about, made):
        rows = [row, row | {"variant": "rewritten"}, row | {"descriptors": [EVIL, {"text": None}]}]
        page = report_page.page(content, [], {EVIL: rows}, ["labels"])
        assert is_tame(page)
        assert page.count("I am here") >= 9, "and nothing of it is hidden"


def test_a_card_s_section_of_a_hostile_corpus_is_tame() -> None:
    named = dict.fromkeys(("teacher", "labeler", "describer", "recipe", "recipe_hash", "prompt_version"), EVIL)
    common = named | {"name": EVIL, "data_revision": EVIL, "seeds": [1], "narratives": 1, "sources": {EVIL: 1}}
    metrics = {
        f"{EVIL}_{name}": {"value": 1.0} for name in ("neutral_share", "labels_per_text", "descriptors_per_text")
    }
    for per_label in ({EVIL: {EVIL: 1}}, {}):
        found = common | {"metrics": metrics, "configs": [EVIL], "per_label": per_label}
        assert is_tame(corpus_section({"corpus": CorpusResult.model_validate(found)}))


def test_findings_on_a_terminal_are_tame() -> None:
    findings = Findings(rows={EVIL: {"train": 1}})
    findings.add(EVIL, "null_value", f"train x: {EVIL}")
    page = findings.page()
    assert is_quiet(page)
    assert len(page.splitlines()) == 4
    json.dumps(findings.as_json()).encode("utf-8")


def test_errors_on_a_terminal_are_tame(capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> None:
        raise InputError(f"x: {EVIL}")

    with pytest.raises(SystemExit):
        run_command(fails)
    assert is_quiet(capsys.readouterr().err)


# ---------------------------------------------------------------- annotators


@pytest.fixture(scope="module")
def key(scripted_work: Path) -> Key:
    return draw(open_corpus(scripted_work), "contextual", "train", rows=5, annotators=1)


def answers(key: Key, annotator: str) -> dict[str, Any]:
    given = {task.id: {"picks": [task.options[0]], "revealed": False} for task in key.tasks}
    return {"format": key.format, "sample": key.sample, "annotator": annotator, "answers": given}


@pytest.mark.parametrize("annotator", ["annotator-2", "Mallory", EVIL, "", "a" * 5000])
def test_only_annotators_of_the_key_answer(key: Key, tmp_path: Path, annotator: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps(answers(key, annotator)))
    with pytest.raises(InputError, match=r"a\.json") as raised:
        read_answers(key, [tmp_path / "a.json"])
    assert is_quiet(str(raised.value))
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 1000


def test_a_section_for_the_card_is_tame(key: Key, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(answers(key, "annotator-1")))
    content = score(key, read_answers(key, [tmp_path / "a.json"]), "people")
    json.dumps(content, allow_nan=False)
    content |= dict.fromkeys(("corpus", "teacher", "data_revision", "split", "config"), EVIL)
    content["annotators"][0]["annotator"] = EVIL
    content["per_label"][EVIL] = next(iter(content["per_label"].values()))
    assert is_tame(section(content))
