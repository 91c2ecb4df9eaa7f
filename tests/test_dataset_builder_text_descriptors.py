"""Given texts described by weighted emotion words: what is read, what is asked, what is published."""

import asyncio
import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from dataset_builder.descriptors.calibration import advantages, agreement, descriptors
from dataset_builder.descriptors.describe import describe
from dataset_builder.descriptors.merge import publish_rows
from dataset_builder.descriptors.phrases import one_line
from dataset_builder.descriptors.recipe import TextsRecipe, Weights, WritingRecipe
from dataset_builder.descriptors.sources import read_sources
from dataset_builder.descriptors.words import log_probabilities
from dataset_builder.descriptors.writing import write
from dataset_builder.files.parquet_rows import read_rows
from dataset_builder.files.shards import read_json, read_lines, shard_path, stage_rows
from dataset_builder.inputs import InputError, read_recipe
from dataset_builder.pipeline.ask import Ask
from dataset_builder.pipeline.build import build
from dataset_builder.pipeline.stages.descriptors import emotion_words
from dataset_builder.pipeline.status import status as said_by_status
from dataset_builder.recipe import BuildRecipe, EmbeddedTeacher
from dataset_builder.schema import Descriptor
from dataset_builder.taxonomy import LABELS
from dataset_builder.teachers.base import Request
from dataset_builder.teachers.choice_tree import ChoiceTree
from dataset_builder.teachers.scripted import Scripted
from tests.conftest import ROOT, Command
from tests.loopback_teacher import corpus_of

CUES: dict[str, Any] = {
    "in_texts": [5, 5],
    "encoder_share": 0,
    "whole": 0,
    "neutral_share": 1,
    "clear_at": 0.3,
    "full_at": 2.0,
}
TEXTS = [f"{'very ' * (number % 7)}odd thing number {number}" for number in range(40)]


def recipe(**changes: Any) -> TextsRecipe:
    given: dict[str, Any] = {"name": "t", "teacher": {"kind": "scripted"}, "executor": {"shards": 2}, "validation": 0.2}
    return TextsRecipe.model_validate(given | changes)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "own" / "diary.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps({"id": f"d{n}", "text": text}) + "\n" for n, text in enumerate(TEXTS)))
    return path


def run(made: TextsRecipe, texts: Path, work: Path, *others: Path) -> bool:
    return describe(made, [texts], "text", work, others)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows by what the scripted teacher is asked to score from now on."""
    asked: list[str] = []
    score = Scripted.score

    async def watched(self: Scripted, request: Request, choices: Sequence[str]) -> Any:
        asked.append(request.user)
        return await score(self, request, choices)

    monkeypatch.setattr(Scripted, "score", watched)
    return asked


def goemotions(folder: Path) -> Path:
    """A prepared domain set with three splits of one row each."""
    from dataset_builder.domains.prepare import prepare

    source = folder / "official"
    source.mkdir(parents=True)
    (source / "emotions.txt").write_text("\n".join(LABELS))
    for split in ("train", "dev", "test"):
        (source / f"{split}.tsv").write_text(f'"What a ""{split}"" day"\t17\t{split}1\n')
    prepare("goemotions", source, folder / "goemotions")
    return folder / "goemotions"


# ------------------------------------------------------------------ what is read


def test_a_domain_set_gives_its_train_texts_and_no_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, read = goemotions(tmp_path), []

    def spy(path: Path, columns: list[str] | None = None, **how: bool) -> Any:
        read.append((path.name.partition("-")[0], columns))
        return read_rows(path, columns, **how)

    monkeypatch.setattr("dataset_builder.corpus.read_rows", spy)
    (source,) = read_sources([place], "text")
    assert [(text.id, text.text) for text in source.texts] == [("goemotions/train1", 'What a "train" day')]
    assert read == [("train", ["id", "text"])]
    assert source.as_json()["licence"] == "cc-by-4.0"
    assert [*source.files] == [next((place / "contextless").glob("train-*")).relative_to(place).as_posix()]


def test_a_corpus_of_another_kind_is_kept(
    scripted_work: Path, scripted_recipe: Path, texts: Path, tmp_path: Path
) -> None:
    """Whether its stages are still there or not, and before anything is asked or written."""
    built, described_ = tmp_path / "built", tmp_path / "described"
    shutil.copytree(scripted_work, built)
    with pytest.raises(InputError, match="contains a corpus built by 'publish', which is kept"):
        run(recipe(), texts, built)
    with pytest.raises(InputError, match="contains a corpus built by 'publish', which is kept"):
        publish_rows([], built, {"stage": "situate"})
    assert corpus_of(built) == corpus_of(scripted_work)
    shutil.rmtree(built / "corpus")
    with pytest.raises(InputError, match=r"run\.json: belongs to another kind of run"):
        run(recipe(), texts, built)
    run(recipe(), texts, described_)
    before = corpus_of(described_)
    with pytest.raises(InputError, match="contains a corpus built by 'describe-texts', which is kept"):
        build(read_recipe(scripted_recipe, BuildRecipe), described_)
    assert corpus_of(described_) == before
    (tmp_path / "alone").mkdir()
    shutil.copytree(described_ / "corpus", tmp_path / "alone/corpus")
    with pytest.raises(InputError, match="contains a corpus built by 'describe-texts'"):
        build(read_recipe(scripted_recipe, BuildRecipe), tmp_path / "alone")
    assert not (tmp_path / "alone/run.json").exists()
    shutil.rmtree(described_ / "corpus")
    with pytest.raises(InputError, match=r"run\.json: belongs to another kind of run"):
        build(read_recipe(scripted_recipe, BuildRecipe), described_)


def test_tables_and_lines_have_their_texts_only(tmp_path: Path) -> None:
    table, lines = tmp_path / "train.tsv", tmp_path / "more.jsonl"
    table.write_text('text\tlabel\nI won!\tjoy\n"He said ""no"""\tanger\n')
    lines.write_text('{"body": "So it goes.", "label": "grief"}\n\n{"body": "  ", "id": 7}\n')
    found = [*read_sources([table], "text"), *read_sources([lines], "body")]
    name = tmp_path.name
    (tmp_path / "train.csv").write_text('label,text\njoy,"Well, I won!"\n')
    assert read_sources([tmp_path / "train.csv"], "text")[0].texts[0].text == "Well, I won!"
    assert [(text.id, text.text) for source in found for text in source.texts] == [
        (f"{name}/train/0000002", "I won!"),
        (f"{name}/train/0000003", 'He said "no"'),
        (f"{name}/more/0000001", "So it goes."),
        ("7", "  "),
    ]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("dev.tsv", "a\t1\tx\n", "'dev' in its name means that it is a validation or test split"),
        ("goemotions_test.jsonl", '{"text": "a"}\n', "'test' in its name"),
        ("validation-2.jsonl", '{"text": "a"}\n', "'validation' in its name"),
        ("a.txt", "text\n", r"not a \.jsonl, "),
        ("a.jsonl", '{"text": "a"}\n{"te', "line 2: broken JSON"),
        ("a.jsonl", '{"body": "a"}\n', r"line 1: no text in 'text' \(it has body\). Name the field with --column"),
        ("a.jsonl", "[]\n", "line 1: no text in 'text'"),
        ("a.jsonl", "", "contains no text"),
        ("a.jsonl", '{"text": "a", "id": "x"}\n{"text": "b", "id": "x"}\n', "the id 'x' occurs twice"),
        ("a.jsonl.gz", '{"text": "a"}\n', "cannot be read"),
        ("none.jsonl", None, "no such file"),
    ],
)
def test_what_is_not_described(tmp_path: Path, name: str, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=says):
        read_sources([tmp_path / name], "text")


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"id": ["a"], "body": ["x y"]}, "row 0: no 'id', or 'text' is not text"),
        ({"text": ["x y"]}, "row 0: no 'id', or 'text' is not text"),
        ({"id": ["a"], "text": [7]}, "row 0: no 'id', or 'text' is not text"),
        ({"id": [*"abcdef"], "text": ["t1", "t2", "t3", "t4", "t5", "t6"]}, "the column 'text' contains ids"),
    ],
)
def test_a_folder_whose_rows_are_no_texts_is_refused(tmp_path: Path, columns: dict[str, list[Any]], says: str) -> None:
    (tmp_path / "contextless").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "contextless/train-0.parquet")
    with pytest.raises(InputError, match=says):
        read_sources([tmp_path], "text")


def test_a_folder_without_its_train_split_is_refused(tmp_path: Path) -> None:
    place = goemotions(tmp_path)
    for path in place.glob("contextless/train-*"):
        path.unlink()
    with pytest.raises(InputError, match="no train split"):
        read_sources([place], "text")
    with pytest.raises(InputError, match="no <config>/<split>"):
        read_sources([tmp_path / "official"], "text")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"prompts": ["emotion", "emotion"]}, "occurs twice"),
        ({"prompts": ["labels_likelihood"]}, "prompts are emotion, felt, told, writer"),
        ({"weights": {"temperature": 0}}, "temperature"),
        ({"colour": "red"}, "colour"),
        ({"teacher": {"kind": "endpoint", "model": "m", "urls": ["http://x"]}}, "set describer: generated"),
    ],
)
def test_bad_recipes(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        recipe(**changes)


def test_every_recipe_is_one() -> None:
    for path in (ROOT / "dataset_builder/recipes/descriptors").glob("*.yaml"):
        made = read_recipe(path, TextsRecipe)
        assert made.name == path.stem
        assert (made.weights == Weights()) == ("smollm2" in path.stem), "the defaults are the small teacher's"


# ------------------------------------------------------------------ from texts to the config


def test_texts_become_the_config_descriptors(texts: Path, tmp_path: Path) -> None:
    with open(texts, "a") as lines:
        for line in ({"text": "  "}, {"text": TEXTS[3].upper()}, {"text": f" {TEXTS[3]}\n"}, {"text": "half \ud83d"}):
            lines.write(json.dumps(line) + "\n")
    assert run(recipe(), texts, tmp_path / "work")
    corpus = load_dataset(str(tmp_path / "work/corpus"), "descriptors")
    rows = [row for split in ("train", "validation") for row in corpus[split]]
    assert sorted(row["text"] for row in rows) == sorted([*TEXTS, TEXTS[3].upper()])
    assert len(corpus["validation"]) > 0
    for row in rows:
        weights = [descriptor["weight"] for descriptor in row["descriptors"]]
        assert weights[0] == 1.0
        assert weights == sorted(weights, reverse=True)
        assert len(weights) <= 8
        assert {descriptor["text"] for descriptor in row["descriptors"]} <= set(emotion_words())
    manifest = read_json(tmp_path / "work/corpus/manifest.json")
    assert manifest["rejected"] == {"blank": 1, "broken": 1, "twin": 1}
    assert manifest["teacher"] == rows[0]["teacher"] == "scripted (for tests only)"
    assert manifest["seed"] == 13
    assert sorted(manifest["prompts"]) == ["words/emotion", "words/felt", "words/writer"]
    assert manifest["sources"]["own/diary"]["texts"] == 44
    assert len(manifest["sources"]["own/diary"]["files"]["diary.jsonl"]) == 64
    rejects = [json.loads(line) for line in (tmp_path / "work/rejects/texts.jsonl").read_text().splitlines()]
    assert [(reject["id"], reject["reason"]) for reject in rejects] == [
        ("own/diary/0000041", "blank"),
        ("own/diary/0000043", "twin"),
        ("own/diary/0000044", "broken"),
    ]


def test_equal_runs_are_equal_and_what_is_done_is_not_done_again(texts: Path, tmp_path: Path) -> None:
    assert run(recipe(), texts, tmp_path / "one")
    assert run(recipe(executor={"shards": 5}), texts, tmp_path / "other")
    first, other = (read_json(tmp_path / work / "corpus/manifest.json")["revision"] for work in ("one", "other"))
    assert first == other, "shards change no row"
    assert not run(recipe(), texts, tmp_path / "one")
    with pytest.raises(InputError, match=r"differs in recipe\.prompts"):
        run(recipe(prompts=["felt"]), texts, tmp_path / "one")
    texts.write_text('{"text": "Something else."}\n')
    with pytest.raises(InputError, match="differs in texts"):
        run(recipe(), texts, tmp_path / "one")


def test_a_smaller_draw_is_a_part_of_a_larger_one(texts: Path, tmp_path: Path) -> None:
    drawn = []
    for limit in (10, 20):
        assert describe(recipe(), [texts], "text", tmp_path / str(limit), limit=limit)
        corpus = load_dataset(str(tmp_path / str(limit) / "corpus"), "descriptors")
        drawn.append({row["text"] for split in corpus.values() for row in split})
    assert [len(found) for found in drawn] == [10, 20]
    assert drawn[0] < drawn[1]


def test_other_weights_ask_the_teacher_nothing(texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(recipe(), texts, tmp_path / "work")
    monkeypatch.setattr(Scripted, "score", None)
    assert run(recipe(weights={"most": 2, "clear_at": 3.3}), texts, tmp_path / "work")
    manifest = read_json(tmp_path / "work/corpus/manifest.json")
    assert manifest["descriptors_per_text"] <= 2
    assert 0 < manifest["rejected"]["unclear"] < len(TEXTS)
    assert sum(manifest["rows"]["descriptors"].values()) + manifest["rejected"]["unclear"] == len(TEXTS)


def test_a_killed_run_goes_on_where_it_was(texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = recipe(teacher={"kind": "scripted", "in_flight": 4})
    killing = f"""
import os, signal
from pathlib import Path
from dataset_builder.teachers.scripted import Scripted
from tests.test_dataset_builder_text_descriptors import recipe, run
asked, score = 0, Scripted.score
async def until_killed(self, request, choices):
    global asked
    asked += 1
    if asked > 3 * 25:  # after the texts of one shard and a bit
        os.kill(os.getpid(), signal.SIGKILL)
    return await score(self, request, choices)
Scripted.score = until_killed
run(recipe(teacher={{"kind": "scripted", "in_flight": 4}}), Path({str(texts)!r}), Path({str(tmp_path / "killed")!r}))
"""
    with open(tmp_path / "log", "wb") as log:  # no pipe: a helper of datatrove's outlives the kill and would hold it
        started = subprocess.Popen(
            [sys.executable, "-c", killing], cwd=ROOT, stdout=log, stderr=log, start_new_session=True
        )
        status = started.wait(timeout=120)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    assert status == -signal.SIGKILL, (tmp_path / "log").read_text()
    assert not (tmp_path / "killed/corpus").exists()
    assert "words" in said_by_status(tmp_path / "killed")
    assert run(settings, texts, tmp_path / "whole")

    asked = counted(monkeypatch)
    assert run(settings, texts, tmp_path / "killed")
    assert 0 < len(asked) <= 3 * (len(TEXTS) - 20), "what was journaled is not asked again"
    manifests = [read_json(tmp_path / work / "corpus/manifest.json") for work in ("whole", "killed")]
    assert manifests[0] == manifests[1]
    assert "corpus descriptors: " in said_by_status(tmp_path / "killed")
    for shard in range(2):
        both = [shard_path(tmp_path / work / "words", shard).read_bytes() for work in ("whole", "killed")]
        assert both[0] == both[1]
        assert sum(1 for _ in read_lines(shard_path(tmp_path / "killed/words", shard))) == len(TEXTS) / 2


def test_a_teacher_may_write_its_own_descriptors(texts: Path, tmp_path: Path) -> None:
    made = recipe(teacher={"kind": "scripted", "bad_reply_share": 0.6}, describer="generated")
    assert run(made, texts, tmp_path / "work")
    rows = load_dataset(str(tmp_path / "work/corpus"), "descriptors", split="train")
    assert all(descriptor["weight"] == 1.0 for row in rows for descriptor in row["descriptors"])
    manifest = read_json(tmp_path / "work/corpus/manifest.json")
    assert sum(manifest["rejected"].values()) + sum(manifest["rows"]["descriptors"].values()) == len(TEXTS)
    assert manifest["rejected"]


def test_texts_may_be_described_by_their_cues(texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = counted(monkeypatch)
    settings = {"describer": "cues", "prompts": ["felt"], "cues": CUES}
    made = recipe(**settings)
    assert run(made, texts, tmp_path / "work")
    # number, odd, thing, very; odd thing, thing number, very odd, very very
    assert len(asked) == 8
    corpus = load_dataset(str(tmp_path / "work/corpus"), "descriptors")
    rows = {row["text"]: row["descriptors"] for split in corpus.values() for row in split}
    assert set(rows) == set(TEXTS), "every text once"
    assert rows[TEXTS[0]] == rows[TEXTS[7]], "texts with equal cues say the same"
    assert rows[TEXTS[0]] != rows[TEXTS[1]]
    asked.clear()
    assert run(recipe(**settings | {"cues": CUES | {"clear_at": 50, "full_at": 51}}), texts, tmp_path / "work")
    assert not asked, "other weights ask the teacher nothing"
    corpus = load_dataset(str(tmp_path / "work/corpus"), "descriptors")
    assert {row["descriptors"][0]["text"] for row in corpus["train"]} == {"neutral"}
    with pytest.raises(InputError, match="differs in cues"):
        run(recipe(**settings | {"cues": {"in_texts": [2]}}), texts, tmp_path / "work")
    with pytest.raises(InputError, match="share no phrase"):
        run(recipe(**settings | {"cues": {"in_texts": [500]}}), texts, tmp_path / "other")


def described(corpus: Path) -> dict[str, list[dict[str, Any]]]:
    splits = load_dataset(str(corpus), "descriptors")
    return {row["text"]: row["descriptors"] for split in splits.values() for row in split}


def test_reports_of_what_happens_are_sentences_and_none_is_a_text_of_isear() -> None:
    found = [text.text for text in read_sources([ROOT / "dataset_builder/vocabulary/happenings.tsv"], "text")[0].texts]
    assert 2000 < len(found) == len(set(map(str.lower, found)))
    assert all(1 <= len(text.split()) <= 60 and text[-1] in ".!?" and text[0].isupper() for text in found)
    isear = ROOT.parent / "shared/data/isear"
    if not isear.exists():
        pytest.skip("ISEAR's files are not here")
    own = {text.lower().strip(".") for text in found}
    for name in ("train.tsv", "dev.tsv"):
        theirs = (row.split("\t")[2] for row in (isear / name).read_text("utf-8").splitlines()[1:])
        assert not own & {one_line(text.lower()).strip(".") for text in theirs}


def test_a_larger_teacher_may_judge_some_of_the_texts(texts: Path, tmp_path: Path) -> None:
    """What it says is taken along where it is known, and a run that is not finished is used as far as it came."""
    judge = recipe(name="judge", prompts=["felt"], seed=4)
    assert describe(judge, [texts], "text", tmp_path / "judged", limit=10)
    cues = recipe(describer="cues", prompts=["writer"], cues=CUES | {"judged": 5, "share": 1})
    assert run(cues, texts, tmp_path / "work")
    alone = described(tmp_path / "work/corpus")
    assert describe(cues, [texts], "text", tmp_path / "work", judged=[tmp_path / "judged"])
    both = described(tmp_path / "work/corpus")
    known = {row["text"] for row in stage_rows(tmp_path / "judged/words", (0, 1))}
    assert len(known) == 10
    assert {text for text in TEXTS if both[text] != alone[text]} <= known
    assert sum(both[text] != alone[text] for text in known) > 5
    manifest = read_json(tmp_path / "work/corpus/manifest.json")
    assert manifest["judged"][0]["texts"] == 10
    shard_path(tmp_path / "judged/words", 1).unlink()
    assert describe(cues, [texts], "text", tmp_path / "work", judged=[tmp_path / "judged"])
    assert read_json(tmp_path / "work/corpus/manifest.json")["judged"][0]["texts"] == 5
    fewer = recipe(describer="cues", prompts=["writer"], cues=CUES | {"share": 0})
    assert describe(fewer, [texts], "text", tmp_path / "work", judged=[tmp_path / "judged"])
    assert len(described(tmp_path / "work/corpus")) == 5, "of the others none"
    with pytest.raises(InputError, match="--judged needs 'describer: cues'"):
        describe(judge, [texts], "text", tmp_path / "other", judged=[tmp_path / "judged"])
    with pytest.raises(InputError, match="--judged needs a work folder of describe-texts"):
        describe(cues, [texts], "text", tmp_path / "work", judged=[tmp_path / "work"])


def test_texts_that_were_written_for_a_word_are_judged_too(texts: Path, tmp_path: Path) -> None:
    asked = {"name": "w", "teacher": {"kind": "scripted"}, "words": ["joy", "grief"], "validation": 0.3}
    assert write(WritingRecipe.model_validate(asked), tmp_path / "written")
    theirs = described(tmp_path / "written/corpus")
    cues = recipe(describer="cues", prompts=["felt"], cues=CUES | {"requested": 0})
    assert run(cues, texts, tmp_path / "work", tmp_path / "written")
    assert theirs.items() <= described(tmp_path / "work/corpus").items(), "as they are, if nothing is asked of them"
    cues = recipe(describer="cues", prompts=["felt"], cues=CUES | {"requested": 2.0})
    assert run(cues, texts, tmp_path / "work", tmp_path / "written")
    ours = described(tmp_path / "work/corpus")
    assert all(theirs[text][0] in ours[text] for text in theirs), "the word that was asked for"
    cues = recipe(describer="cues", prompts=["felt"], cues=CUES | {"requested": 0.1})
    assert run(cues, texts, tmp_path / "work", tmp_path / "written")
    assert read_json(tmp_path / "work/corpus/manifest.json")["rejected"]["unfit"] == len(theirs)


def test_of_stories_what_is_said_in_the_first_person(texts: Path, tmp_path: Path) -> None:
    story = 'The king sat down. "I have lost my only son!" he said. “We must go now, all of us.” She left. I saw it.'
    (tmp_path / "tales.jsonl").write_text(json.dumps({"id": "t1", "text": story}) + "\n")
    stories = [tmp_path / "tales.jsonl"]
    assert describe(recipe(), [texts], "text", tmp_path / "work", stories=stories)
    corpus = load_dataset(str(tmp_path / "work/corpus"), "descriptors")
    found = {row["text"] for split in corpus.values() for row in split} - set(TEXTS)
    assert found == {"I have lost my only son!", "We must go now, all of us."}
    assert describe(recipe(spoken=1), [texts], "text", tmp_path / "one", stories=stories)
    assert sum(read_json(tmp_path / "one/corpus/manifest.json")["rows"]["descriptors"].values()) == len(TEXTS) + 1
    (tmp_path / "tales.jsonl").write_text('{"text": "The king sat down."}\n')
    with pytest.raises(InputError, match="contains no first-person sentence"):
        describe(recipe(), [texts], "text", tmp_path / "none", stories=stories)


def test_a_corpus_brings_its_own_descriptors(texts: Path, tmp_path: Path, scripted_work: Path) -> None:
    assert run(recipe(), texts, tmp_path / "work", scripted_work)
    theirs = load_dataset(str(scripted_work / "corpus"), "descriptors")
    both = load_dataset(str(tmp_path / "work/corpus"), "descriptors")
    assert sum(map(len, both.values())) == len(TEXTS) + len(theirs["train"]) + len(theirs["validation"])
    assert "test" not in both
    named = read_json(tmp_path / "work/corpus/manifest.json")["with"]
    assert named == [{"name": "test", "revision": read_json(scripted_work / "corpus/manifest.json")["revision"]}]
    with pytest.raises(InputError, match="has no config 'descriptors'"):
        run(recipe(), texts, tmp_path / "work", goemotions(tmp_path))


# ------------------------------------------------------------------ the teacher's pass


def test_the_fast_pass_gives_what_each_text_alone_gives(tiny_teacher: Path) -> None:
    """Kept beginning, batches, last position: against whole prompts, one by one, all logits."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from dataset_builder.teachers.embedded import Embedded

    embedded = Embedded(EmbeddedTeacher(kind="embedded", model=str(tiny_teacher), batch_size=8))
    choices = ("j", "f", "q", " ")
    said = ["Oh.", "He did it again, in front of all of them!", *TEXTS[:14]]
    prompts = ("descriptors/emotion", "descriptors/felt", "descriptors/writer")
    asked: list[Request] = []
    score = embedded.score

    async def watched(request: Request, given: Sequence[str]) -> Any:
        asked.append(request)
        return await score(request, given)

    embedded.score = watched  # type: ignore[method-assign]

    async def together() -> list[tuple[float, ...]]:
        ask = Ask(embedded, 1, "words", "u", {})
        found = await asyncio.gather(*(ask.scores(p, choices, text=text) for p in prompts for text in said))
        assert ask.usage.cached_tokens > 0.6 * ask.usage.prompt_tokens
        return list(found)

    found = asyncio.run(together())
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(tiny_teacher).eval(),
        AutoTokenizer.from_pretrained(tiny_teacher),
    )
    tokens = [tokenizer(choice, add_special_tokens=False)["input_ids"][0] for choice in choices]
    for request, scores in zip(asked, found, strict=True):
        ids = asyncio.run(embedded.load()).encode(request).tokens
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        assert scores == pytest.approx(logits[tokens].tolist(), abs=1e-4)


def test_a_teacher_in_int8_says_nearly_the_same(tiny_teacher: Path) -> None:
    from dataset_builder.teachers.embedded import Embedded
    from dataset_builder.teachers.int8 import Int8Embedding, Int8Linear

    config = EmbeddedTeacher(kind="embedded", model=str(tiny_teacher), batch_size=8)
    exact, quick = Embedded(config), Embedded(config.model_copy(update={"int8": True}))
    assert quick.name == f"{exact.name}, int8"
    said = ["Oh.", "He did it again, in front of all of them!", *TEXTS[:14]]

    async def asked(teacher: Embedded) -> list[tuple[float, ...]]:
        ask = Ask(teacher, 1, "words", "u", {})
        scores = (ask.scores("descriptors/emotion", ("j", "f", "q", " "), text=text) for text in said)
        return list(await asyncio.gather(*scores))

    one, other = np.array(asyncio.run(asked(exact))), np.array(asyncio.run(asked(quick)))
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.98
    assert (one != other).any(), "it was int8"
    kinds = {name.rsplit(".", 1)[-1]: type(layer) for name, layer in asyncio.run(quick.load()).network.named_modules()}
    assert [kinds[name] for name in ("q_proj", "down_proj", "lm_head")] == [Int8Linear] * 3
    assert kinds["embed_tokens"] is Int8Embedding


def test_how_sure_a_word_is_by_its_first_token(tiny_teacher: Path) -> None:
    """Letters are tokens here; `jo` is the beginning of `joy`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from dataset_builder.teachers.embedded import Embedded

    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(tiny_teacher).eval(),
        AutoTokenizer.from_pretrained(tiny_teacher),
    )

    def probability(prompt: str, token: str) -> float:
        ids = torch.tensor([tokenizer(prompt, add_special_tokens=False)["input_ids"]])
        with torch.inference_mode():
            logits = model(input_ids=ids).logits[0, -1]
        return float(logits.softmax(-1)[tokenizer(token, add_special_tokens=False)["input_ids"][0]])

    embedded = Embedded(EmbeddedTeacher(kind="embedded", model=str(tiny_teacher)))
    request = Request(prompt="t", system="s", user="u" * 30, max_new_tokens=1)
    found = asyncio.run(embedded.continuation_probability(request, ("joy", "jo", "fear", "q")))
    prompt = f"s<end>{request.user}<end>"
    o, y = probability(prompt + "j", "o"), probability(prompt + "jo", "y")
    fear = math.prod(probability(prompt + "fear"[:length], "fear"[length]) for length in (1, 2, 3))
    assert found == pytest.approx((o * y, o * (1 - y), fear, 1.0), rel=1e-3, abs=1e-7)


def test_words_that_share_a_first_token_are_not_both_certain() -> None:
    tree = ChoiceTree([(1,), (1, 2), (3, 4)], whole=True)
    assert tree.nodes == [(), (1,), (3,)]
    found = {(): {1: -1.0, 3: -2.0}, (1,): {2: math.log(0.25)}, (3,): {4: math.log(0.9)}}
    assert [math.exp(value) for value in tree.combine(found, start=1)] == pytest.approx([0.75, 0.25, 0.9])


def test_only_words_that_the_first_token_tells_are_asked_for(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def certainty(self: Scripted, request: Request, choices: Sequence[str]) -> tuple[float, ...]:
        return tuple(0.9 if choice in (" joy", " fear", " neutral") else 0.1 for choice in choices)

    monkeypatch.setattr(Scripted, "continuation_probability", certainty)
    assert run(recipe(), texts, tmp_path / "work")
    assert read_json(tmp_path / "work/run.json")["words"] == ["fear", "joy", "neutral"]
    with pytest.raises(InputError, match=r"certain_at 0.95: no word is left \(the highest value is 0.90\)"):
        run(recipe(certain_at=0.95), texts, tmp_path / "none")
    assert run(recipe(words=["joy", "saudade"], certain_at=0.05), texts, tmp_path / "own-words")
    assert read_json(tmp_path / "own-words/run.json")["words"] == ["joy", "saudade"]


def test_prompts_see_a_text_on_one_line() -> None:
    seen: list[str] = []

    class Watching(Scripted):
        async def score(self, request: Request, choices: Sequence[str]) -> Any:
            seen.append(request.user.rpartition("\n")[2])
            return await super().score(request, choices)

    teacher = Watching(recipe().teacher)  # type: ignore[arg-type]
    ask = Ask(teacher, 1, "words", "u", {})
    found = asyncio.run(log_probabilities("Well,\n\n then.", ("joy", "fear"), ("emotion", "felt"), ask))
    assert np.shape(found) == (2, 2)
    assert seen == ["Text: Well, then.", '"Well, then."']


# ------------------------------------------------------------------ weights


def test_what_is_usual_is_taken_off() -> None:
    words = ("joy", "fear", "neutral")
    found = np.array([[[-1.0, -4.0, -3.0]], [[-1.0, -3.0, -3.0]], [[-1.0, -5.0, -3.0]]])
    settings = Weights(temperature=1.0, clear_at=0.1)
    left = advantages(found, ["a", "b", "c"], settings)
    assert left.sum(axis=1) == pytest.approx([0, 0, 0])
    assert descriptors(left[0], words, settings) == [], "as always"
    assert descriptors(left[1], words, settings) == [
        Descriptor(text="fear", weight=1.0),
        Descriptor(text="joy", weight=0.368),
        Descriptor(text="neutral", weight=0.368),
    ]
    plain = Weights(calibration=0.0, temperature=1.0)
    (first, *_) = descriptors(advantages(found, ["a", "b", "c"], plain)[1], words, plain)
    assert first.text == "joy", "the word that the teacher prefers anyway"


def test_length_explains_what_it_can() -> None:
    texts = ["a " * 2**power for power in range(8)]
    found = np.zeros((8, 1, 3))
    found[:, 0, 0] = np.arange(8)  # a word that longer texts make more probable, by the logarithm of their length
    found[6, 0, 2] += 1.0
    by_length = advantages(found, texts, Weights())
    assert by_length[6].argmax() == 2
    assert by_length[:, 0] - by_length[:, 1] == pytest.approx(np.zeros(8)), "all of it was the length"
    same = advantages(found, ["a"] * 8, Weights())
    assert same[6].argmax() == 0, "texts of one length: nothing explains it"


def test_prompts_agree_where_they_say_the_same() -> None:
    draw = np.random.default_rng(0)
    one, other = draw.normal(size=(50, 1, 20)), draw.normal(size=(50, 1, 20))
    texts = ["a"] * 50
    assert agreement(np.concatenate([one, one + 3], axis=1), texts, Weights()) == pytest.approx(1.0)
    assert abs(agreement(np.concatenate([one, other], axis=1), texts, Weights())) < 0.1


# ------------------------------------------------------------------ commands


def test_the_command(texts: Path, tmp_path: Path, command: Command) -> None:
    path = tmp_path / "texts.yaml"
    path.write_text("name: t\nteacher: {kind: scripted}\n")
    arguments = ["--recipe", path, "--texts", texts, "--work-dir", tmp_path / "work"]
    made = command("-m", "dataset_builder", "describe-texts", *arguments)
    assert made.returncode == 0, made.stderr
    assert "corpus descriptors: " in made.stdout
    again = command("-m", "dataset_builder", "describe-texts", *arguments)
    assert "complete; nothing was changed" in again.stdout
    held_out = command("-m", "dataset_builder", "describe-texts", *arguments[:2], "--texts", "test.tsv", *arguments[4:])
    assert held_out.returncode == 2
    assert held_out.stderr.startswith("error: test.tsv: 'test' in its name")


def test_descriptors_are_reported_on_against_labels(tmp_path: Path, command: Command) -> None:
    data, path = tmp_path / "dev.tsv", tmp_path / "texts.yaml"
    data.write_text("".join(f"{text}\t{number % 28}\tid{number}\n" for number, text in enumerate(TEXTS)))
    path.write_text("name: t\nteacher: {kind: scripted}\n")
    arguments = ["--recipe", path, "--data", data, "--rows", 30, "--out", tmp_path]
    made = command("-m", "dataset_builder", "measure-descriptors", *arguments)
    assert made.returncode == 0, made.stderr
    content = json.loads((tmp_path / "system/descriptors.json").read_text())
    assert content["support"] == 30
    for name in ("t_prompts_agree", "t_macro_f1_dev", "t_top3_dev"):
        assert "value" in content["metrics"][name]


def test_a_descriptor_counts_for_the_label_of_its_word() -> None:
    from dataset_builder.teacher_eval.descriptors import as_labels

    made = [Descriptor(text=word, weight=weight) for word, weight in (("fright", 1.0), ("fear", 0.5), ("hunger", 0.4))]
    found = as_labels([made, []])
    assert found.chosen.sum(axis=1).tolist() == [1, 0]
    assert found.scores[0, LABELS.index("fear")] == 1.0
    assert found.failed == 1
