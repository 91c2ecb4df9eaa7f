"""Texts that a teacher writes for emotion words."""

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

from dataset_builder.descriptors.merge import publish_rows
from dataset_builder.descriptors.recipe import WritingRecipe
from dataset_builder.descriptors.situate import REMARKS, situate
from dataset_builder.descriptors.writing import asked_for, first_sentence, write
from dataset_builder.files.shards import read_json
from dataset_builder.inputs import InputError, read_list, read_recipe
from dataset_builder.pipeline.status import status as said_by_status
from dataset_builder.schema import DescriptorsRow
from dataset_builder.taxonomy import LABELS
from dataset_builder.teachers.reply_text import BadReply
from tests.conftest import ROOT


def recipe(**changes: Any) -> WritingRecipe:
    given = {
        "name": "t",
        "teacher": {"kind": "scripted"},
        "words": ["joy", "quiet pride"],
        "each": 5,
        "validation": 0.3,
    }
    return WritingRecipe.model_validate(given | changes)


def test_every_recipe_is_one() -> None:
    for path in (ROOT / "dataset_builder/recipes/writing").glob("*.yaml"):
        assert read_recipe(path, WritingRecipe).prompts


def test_written_texts_have_the_word_they_were_written_for(tmp_path: Path) -> None:
    assert write(recipe(), tmp_path / "work")
    corpus = load_dataset(str(tmp_path / "work/corpus"), "descriptors")
    rows = [row for split in ("train", "validation") for row in corpus[split]]
    rejected = read_json(tmp_path / "work/corpus/manifest.json")["rejected"]
    assert len(rows) + rejected["label_word"] == 2 * 3 * 5
    assert list(rejected) == ["label_word"], "the scripted teacher draws from all words"
    assert {row["descriptors"][0]["text"] for row in rows} == {"joy", "quiet pride"}
    assert {row["describer"] for row in rows} == {"written"}
    assert not any("I felt" in row["text"] or "moment of" in row["text"] for row in rows), "the begun answer is off"
    assert len({row["text"] for row in rows}) == len(rows)
    assert not write(recipe(), tmp_path / "work"), "what is done is not done again"
    assert write(recipe(validation=0.5), tmp_path / "work"), "but other splits are made of it"
    assert "writing" in said_by_status(tmp_path / "work")
    with pytest.raises(InputError, match="differs in recipe_hash"):
        write(recipe(each=6), tmp_path / "work")


def test_bad_replies_are_counted(tmp_path: Path) -> None:
    assert write(recipe(teacher={"kind": "scripted", "bad_reply_share": 0.7}), tmp_path / "work")
    manifest = read_json(tmp_path / "work/corpus/manifest.json")
    assert sum(manifest["rejected"].values()) + sum(manifest["rows"]["descriptors"].values()) == 30
    assert manifest["rejected"]


def test_asked_turn_by_turn() -> None:
    asked = asked_for(recipe(each=2, prompts=["diary", "moment"]))
    assert [one.id for one in asked[:3]] == ["diary/joy/0", "diary/quiet-pride/0", "moment/joy/0"]
    assert len(asked) == 8


@pytest.mark.parametrize(
    ("reply", "cut", "text"),
    [
        ("I felt a wave of joy when the train came in. Then we", True, "The train came in."),
        ('A moment of joy: "We made it, we made it!" she said', True, "We made it, we made it!"),
        ("I was full of joy because my brother called me", False, "My brother called me."),
        ("the sun came out at last.", False, "The sun came out at last."),
    ],
)
def test_the_first_sentence_is_kept(reply: str, cut: bool, text: str) -> None:
    assert first_sentence(reply, cut, "joy", recipe()) == text


@pytest.mark.parametrize(
    ("reply", "word", "reason"),
    [
        ("I felt a wave of joy when the train", "joy", "cut_off"),
        ("I felt a wave of disgust when I saw the disgusting mess there.", "disgust", "label_word"),
        ("I felt a wave of joy when he came.", "joy", "too_short"),
    ],
)
def test_what_is_not_kept(reply: str, word: str, reason: str) -> None:
    with pytest.raises(BadReply, match=reason):
        first_sentence(reply, True, word, recipe())


def test_unknown_prompts() -> None:
    with pytest.raises(ValueError, match="prompts are because, diary, moment"):
        recipe(prompts=["letter"])


def test_rows_of_several_makers_are_on_one_side(tmp_path: Path) -> None:
    """Of equal texts and stories with splits of their own, those that are held out stay; what has a fault goes."""
    draft = DescriptorsRow(
        id="a",
        text="The sun came out.",
        character="",
        narrative_id="a",
        source="generated",
        provenance="x",
        requested_emotion="wistful joy",
        teacher="t",
        prompt_version="p",
        seed=1,
        descriptors=[],
        describer="written",
    )

    def row(key: str, text: str, **more: str) -> DescriptorsRow:
        return draft.model_copy(update={"id": key, "narrative_id": key, "text": text} | more)

    rows = [
        ("train", row("a", "The sun came out.")),
        ("validation", row("b", "the sun came out!")),
        ("test", row("c", "THE SUN came out")),
        ("train", row("d", "We went home at last.", narrative_id="s")),
        ("validation", row("e", "Nobody was there today.", narrative_id="s")),
        ("train", row("f", "The rain began <think> again.")),
        ("train", row("g", "The rain began again.")),
        ("train", row("h", "The rain began again!")),
    ]
    publish_rows(rows, tmp_path, {"stage": "x", "rejected": {"blank": 2}})
    corpus = load_dataset(str(tmp_path / "corpus"), "descriptors")
    assert {split: found["id"][:] for split, found in corpus.items()} == {
        "train": ["g", "h"],
        "validation": ["e"],
        "test": ["c"],
    }
    manifest = json.loads((tmp_path / "corpus/manifest.json").read_text())
    assert manifest["rejected"] == {"blank": 2, "held_out_elsewhere": 3, "reasoning": 1}
    rejects = [json.loads(line) for line in (tmp_path / "rejects/publish.jsonl").read_text().split("\n") if line]
    assert [reject["id"] for reject in rejects] == ["a", "b", "d", "f"]
    with pytest.raises(InputError, match="no row is left to publish"):
        publish_rows([("train", row("f", "The rain <think>."))], tmp_path / "none", {"stage": "x"})


def test_remarks_after_what_happened(tmp_path: Path, scripted_work: Path) -> None:
    asked = recipe(words=["joy", "dread", "wanderlust", "alertness"], each=40)
    assert write(asked, tmp_path / "written")
    situate(tmp_path / "written/corpus", tmp_path / "work", [scripted_work / "corpus"])
    corpus = load_dataset(str(tmp_path / "work/corpus"), "contextual")
    rows = [row | {"split": split} for split, found in corpus.items() for row in found]
    ours = [row for row in rows if row["variant"] == "open"]
    classes = {(row["requested_emotion"], *(LABELS[label] for label in row["labels"])) for row in ours}
    assert classes == {("joy", "joy"), ("dread", "fear"), ("wanderlust", "desire")}, "alertness has no home"
    for row in ours:
        assert (row["text"] in read_list(REMARKS), row["scores"][row["labels"][0]]) == (True, 1)
    for column in ("text", "context"):
        of_split = [{row[column] for row in ours if row["split"] == split} for split in ("train", "validation", "test")]
        assert all(of_split)
        assert len(set().union(*of_split)) == sum(map(len, of_split)), "no remark, and nothing that happened, in two"
    theirs = load_dataset(str(scripted_work / "corpus"), "contextual")
    assert len(rows) - len(ours) == sum(map(len, theirs.values()))
    with pytest.raises(InputError, match="contains no text that was written"):
        situate(scripted_work / "corpus", tmp_path / "other")
    with pytest.raises(InputError, match="has no config 'contextual'"):
        situate(tmp_path / "written/corpus", tmp_path / "other", [tmp_path / "written/corpus"])
