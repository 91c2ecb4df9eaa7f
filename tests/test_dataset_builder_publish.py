"""What is published of the stages' rows: one split of stories for all configs, clean texts, bounded labels."""

import json
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataset_builder.analysis.validate_corpus import validate
from dataset_builder.corpus import open_corpus
from dataset_builder.files.shards import read_json, read_lines, shard_path, to_line, write_whole
from dataset_builder.filters.validate import words
from dataset_builder.inputs import read_recipe
from dataset_builder.parquet import CORPUS
from dataset_builder.pipeline.assemble import assemble
from dataset_builder.pipeline.build import build
from dataset_builder.pipeline.parts import read_part
from dataset_builder.recipe import BuildRecipe, Split

Row = dict[str, Any]
MANY = """
name: many
seed: 13
teacher: {kind: scripted}
narratives: {limit: 12}
characters: {limit: 3}
situations: {share: 0.5}
"""


def edit(work: Path, stage: str, change: Callable[[list[Row]], object]) -> None:
    """Change the rows of a stage's first shard, all at once."""
    path = shard_path(work / stage, 0)
    units = list(read_lines(path))
    change([row for unit in units for row in unit["rows"]])
    write_whole(path, (to_line(unit) for unit in units))


@pytest.fixture
def recipe(scripted_recipe: Path) -> BuildRecipe:
    return read_recipe(scripted_recipe, BuildRecipe)


@pytest.fixture
def work(scripted_work: Path, tmp_path: Path) -> Path:
    """Finished stages, not yet published."""
    work = Path(shutil.copytree(scripted_work, tmp_path / "work"))
    shutil.rmtree(work / CORPUS)
    return work


def published(recipe: BuildRecipe, work: Path) -> tuple[dict[str, dict[str, Row]], dict[str, str]]:
    """The rows of each config by id, and the reasons of those that were rejected, by config and id."""
    assemble(recipe, [read_part(work)], work)
    corpus = open_corpus(work)
    rows = {config: {row["id"]: row for row in corpus.rows(config)} for config in corpus.files}
    rejects = [json.loads(line) for line in (work / "rejects/publish.jsonl").read_text().split("\n") if line]
    return rows, {f"{one['stage'].rpartition('/')[2]} {one['id']}": one["reason"] for one in rejects}


def straddling(work: Path) -> list[str]:
    """Stories and texts that are in more than one split of all configs."""
    splits: dict[str, set[str]] = defaultdict(set)
    corpus = open_corpus(work)
    for config in corpus.files:
        for row in corpus.rows(config):
            splits[f"story {row['narrative_id']}"].add(row["split"])
            splits[" ".join(words(row["text"]))].add(row["split"])
    return [name for name, found in splits.items() if len(found) > 1]


@pytest.mark.parametrize(
    "split",
    ["", "split: {contextless: [0.8, 0.1, 0.1], contextual: [0.9, 0.05, 0.05]}", "quality: {near_duplicate_at: null}"],
)
def test_no_story_and_no_text_is_in_two_splits(tmp_path: Path, split: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "many.yaml"
    path.write_text(MANY + split)
    build(read_recipe(path, BuildRecipe), tmp_path / "work")
    assert straddling(tmp_path / "work") == []
    assert not validate(tmp_path / "work").counts
    corpus = open_corpus(tmp_path / "work")
    assert {config: len(splits) for config, splits in corpus.files.items()} == dict.fromkeys(corpus.files, 3)
    assert ("split.contextual has no effect" in capsys.readouterr().out) is ("contextual" in split)


def test_shares_that_have_no_effect_change_no_hash() -> None:
    both = Split(contextless=(0.8, 0.1, 0.1), contextual=(0.9, 0.05, 0.05))
    assert both.model_dump() == Split().model_dump()
    with pytest.raises(ValueError, match="'contextual' must sum to 1"):
        Split(contextual=(0.9, 0.9, 0.9))


def test_a_text_of_two_stories_is_kept_once_in_all_configs(recipe: BuildRecipe, work: Path) -> None:
    """The second story's row has a situation and descriptors, the first one's has none."""
    situated = {row["id"] for unit in read_lines(shard_path(work / "rewriting", 0)) for row in unit["rows"]}
    described = {row["id"] for unit in read_lines(shard_path(work / "descriptors", 0)) for row in unit["rows"]}
    labelled = [row for unit in read_lines(shard_path(work / "labels", 0)) for row in unit["rows"]]
    first = next(row for row in labelled if row["id"] not in situated)
    later = (row for row in labelled if row["narrative_id"] != first["narrative_id"])
    second = next(row["id"] for row in later if row["id"] in situated & described)

    def repeat(rows: list[Row]) -> None:
        next(row for row in rows if row["id"] == second)["text"] = first["text"].upper()

    for stage in ("labels", "rewriting", "descriptors"):
        edit(work, stage, repeat)
    rows, rejected = published(recipe, work)
    assert first["id"] in rows["contextless"]
    assert rejected[f"contextless {second}"] == "duplicate"
    assert rejected[f"descriptors {second}"] == "duplicate"
    assert rejected[f"contextual {second}/original"] == "duplicate"
    assert straddling(work) == []


def test_a_rewriting_that_repeats_another_story_is_rejected(recipe: BuildRecipe, work: Path) -> None:
    units = [row for unit in read_lines(shard_path(work / "rewriting", 0)) for row in unit["rows"] if row["rewritten"]]
    first = units[0]
    second = next(row for row in units if row["narrative_id"] != first["narrative_id"])

    def repeat(rows: list[Row]) -> None:
        next(row for row in rows if row["id"] == second["id"])["rewritten"] = first["rewritten"]

    edit(work, "rewriting", repeat)
    rows, rejected = published(recipe, work)
    assert rejected[f"contextual {second['id']}/rewritten"] == "duplicate"
    assert f"{second['id']}/original" in rows["contextual"]
    assert straddling(work) == []


FAULTS = {
    "control_character": "I hear steps\x00 behind us.",
    "replacement_character": "I hear steps behind us\ufffd.",
    "reasoning": "A line for Mara.</think> I hear steps behind us.",
    "chat_token": "I hear steps behind us.<|im_end|>",
}


def test_texts_with_faults_are_rejected_with_their_reason(recipe: BuildRecipe, work: Path) -> None:
    ids: dict[str, str] = {}

    def spoil(rows: list[Row]) -> None:
        for row, (reason, text) in zip(rows, FAULTS.items(), strict=False):
            row["text"] = text
            ids[row["id"]] = reason

    for stage in ("labels", "descriptors"):
        edit(work, stage, spoil)
    rows, rejected = published(recipe, work)
    for key, reason in ids.items():
        configs = [config for config in ("contextless", "descriptors") if rejected.get(f"{config} {key}") == reason]
        assert configs, (key, reason)
        assert all(key not in rows[config] for config in configs)
    manifest = read_json(work / CORPUS / "manifest.json")
    assert FAULTS.keys() <= manifest["rejected"].keys()
    assert not set(validate(work).counts)


def test_what_is_harmless_is_cleaned_in_every_field(recipe: BuildRecipe, work: Path) -> None:
    first: Row = {}

    def spoil(rows: list[Row]) -> None:
        first.update(rows[0] | {"text": rows[0]["text"]})
        rows[0]["text"] = f"\ufeff{rows[0]['text']}\u200b"
        rows[0]["character"] = f"\ufeff{rows[0]['character']}"
        rows[0]["raw_labels"][0]["label"] = f"\u202a{rows[0]['raw_labels'][0]['label']}"

    edit(work, "labels", spoil)
    rows, _ = published(recipe, work)
    row = rows["contextless"][first["id"]]
    assert (row["text"], row["character"]) == (first["text"], first["character"])
    assert row["raw_labels"][0]["label"] == first["raw_labels"][0]["label"].removeprefix("\u202a")
    assert not validate(work).counts


def test_what_is_published_of_labels_is_bounded(recipe: BuildRecipe, work: Path) -> None:
    ids: list[str] = []

    def spoil(rows: list[Row]) -> None:
        ids.extend(row["id"] for row in rows[:3])
        rows[0]["requested_emotion"] = "<img src=x onerror=alert(1)> | **x**"
        rows[1]["raw_labels"] += [{"label": f"<script>{number}", "score": 0.2} for number in range(3_000)]
        rows[2]["raw_labels"].append({"label": "x" * 500, "score": 0.2})

    edit(work, "labels", spoil)
    rows, rejected = published(recipe, work)
    assert rows["contextless"][ids[0]]["requested_emotion"] == "unnamed"
    assert [rejected[f"contextless {key}"] for key in ids[1:]] == ["raw_labels_out_of_bounds"] * 2
    named = read_json(work / CORPUS / "manifest.json")["unresolved_labels"]
    assert len(named) <= 1_000
    assert not any(word.startswith(("<", "x" * 61)) for word in named), "of rows that are published"
