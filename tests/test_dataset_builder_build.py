"""The builder as a whole, with the scripted teacher."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from datasets import get_dataset_config_names, load_dataset

from dataset_builder.files.shards import read_lines, shard_path
from dataset_builder.hashing import fingerprint
from dataset_builder.inputs import InputError, read_recipe
from dataset_builder.pipeline.ask import prompt_versions
from dataset_builder.pipeline.build import build
from dataset_builder.pipeline.status import status
from dataset_builder.recipe import BuildRecipe
from dataset_builder.taxonomy import LABELS
from tests.conftest import ROOT, Command


def recipe_of(path: Path, **changes: object) -> BuildRecipe:
    recipe = read_recipe(path, BuildRecipe)
    return BuildRecipe.model_validate(recipe.model_dump() | changes)


def parquet(work: Path) -> dict[str, bytes]:
    corpus = work / "corpus"
    return {path.relative_to(corpus).as_posix(): path.read_bytes() for path in sorted(corpus.rglob("*.parquet"))}


def everything(work: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in work.rglob("*") if path.is_file()}


def test_the_corpus_has_typed_columns(scripted_work: Path) -> None:
    for config in ("contextless", "contextual"):
        corpus = load_dataset(str(scripted_work / "corpus"), config)
        assert set(corpus) == {"train", "validation", "test"}
        features = corpus["train"].features
        assert features["labels"].feature.names == list(LABELS)
        assert features["scores"].length == 28
        for row in corpus["train"].select(range(20)):
            assert row["labels"] == [i for i, score in enumerate(row["scores"]) if score >= 0.3 - 1e-6]
            assert row["teacher"] == "scripted (for tests only)"
        narratives = [set(split["narrative_id"]) for split in corpus.values()]
        assert not narratives[0] & narratives[1]
        assert not narratives[0] & narratives[2]
    assert {"original", "rewritten"} == set(corpus["train"]["variant"])


def test_descriptors_are_published_in_the_splits_of_their_texts(scripted_work: Path) -> None:
    described = load_dataset(str(scripted_work / "corpus"), "descriptors")
    labelled = load_dataset(str(scripted_work / "corpus"), "contextless")
    row = described["train"][0]
    assert row["describer"] == "likelihood"
    assert row["descriptors"][0]["weight"] == 1.0
    assert all(0.3 <= descriptor["weight"] <= 1 for descriptor in row["descriptors"])
    for split, rows in described.items():
        assert {r["narrative_id"] for r in rows} == set(labelled[split]["narrative_id"])


def test_the_cards_yaml_agrees_with_the_files(scripted_work: Path) -> None:
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCard

    card = DatasetCard.load(scripted_work / "corpus/README.md").data
    infos = DatasetInfosDict.from_dataset_card_data(card)
    assert [config["config_name"] for config in card.configs] == ["contextless", "contextual", "descriptors"]
    for config, info in infos.items():
        corpus = load_dataset("parquet", data_dir=str(scripted_work / "corpus" / config))
        for split, rows in corpus.items():
            assert info.splits[split].num_examples == len(rows)
            assert set(rows.features) == set(info.features)
        if config != "descriptors":
            assert info.features["labels"].feature.names == list(LABELS)


def test_a_row_traces_back_to_its_story(scripted_work: Path) -> None:
    row = load_dataset(str(scripted_work / "corpus"), "contextual", split="train")[0]
    narrative, character, utterance, variant = row["id"].split("/")
    assert row["narrative_id"] == narrative
    assert row["variant"] == variant
    assert row["character"] in (ROOT / "dataset_builder/tales" / f"{narrative}.txt").read_text()
    stages = {"characters": f"{narrative}/{character}", "utterances": f"{narrative}/{character}/{utterance}"}
    for stage, wanted in stages.items():
        records = [line for shard in (0, 1) for line in read_lines(shard_path(scripted_work / stage, shard))]
        assert wanted in [made["id"] for record in records for made in record["rows"]]
    run = json.loads((scripted_work / "run.json").read_text())
    assert row["seed"] == run["recipe"]["seed"]
    assert row["teacher"] == "scripted (for tests only)"
    manifest = json.loads((scripted_work / "corpus/manifest.json").read_text())
    assert row["prompt_version"] == fingerprint(run["prompts"]) == manifest["prompt_version"]
    assert manifest["prompts"] == run["prompts"] == prompt_versions()


def test_what_was_rejected_is_kept_with_its_reason(scripted_work: Path) -> None:
    reasons = set()
    for stage in ("characters", "utterances", "context", "cleaning", "rewriting", "publish"):
        counted: dict[str, int] = {}
        for line in (scripted_work / "rejects" / f"{stage}.jsonl").read_text().splitlines():
            reject = json.loads(line)
            counted[reject["reason"]] = counted.get(reject["reason"], 0) + 1
        folder = "corpus" if stage == "publish" else stage
        assert json.loads((scripted_work / folder / "manifest.json").read_text())["rejected"] == counted
        reasons |= set(counted)
    assert reasons


def test_units_in_are_units_out(scripted_work: Path) -> None:
    manifests = {
        stage: json.loads((scripted_work / stage / "manifest.json").read_text())
        for stage in ("narratives", "characters", "utterances", "labels", "context", "cleaning", "rewriting")
    }
    assert manifests["characters"]["units"] == manifests["narratives"]["rows"]
    assert manifests["utterances"]["units"] == manifests["characters"]["rows"]
    assert manifests["labels"]["units"] == manifests["utterances"]["rows"]
    assert manifests["cleaning"]["units"] == manifests["context"]["rows"]
    assert manifests["rewriting"]["units"] == manifests["cleaning"]["rows"]
    assert sum(manifests[stage]["retried"].get("refusal", 0) for stage in ("utterances", "context", "rewriting")) > 0


def test_building_again_changes_nothing_and_says_so(
    scripted_recipe: Path, scripted_work: Path, command: Command
) -> None:
    before = everything(scripted_work)
    again = command("-m", "dataset_builder", "build", "--recipe", scripted_recipe, "--work-dir", scripted_work)
    assert again.returncode == 0
    assert "nothing was changed" in again.stdout
    assert everything(scripted_work) == before


def test_equal_recipes_give_equal_bytes(scripted_recipe: Path, scripted_work: Path, tmp_path: Path) -> None:
    assert build(recipe_of(scripted_recipe), tmp_path)
    assert parquet(tmp_path) == parquet(scripted_work)


def test_the_number_of_shards_changes_no_row(scripted_recipe: Path, scripted_work: Path, tmp_path: Path) -> None:
    build(recipe_of(scripted_recipe, executor={"shards": 3, "workers": 2}), tmp_path)
    assert parquet(tmp_path) == parquet(scripted_work)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seed": 8}, "recipe.seed"),
        ({"executor": {"shards": 5}}, "shards"),
        ({"teacher": {"kind": "scripted", "bad_reply_share": 0.2}}, "bad_reply_share"),
        ({"narratives": {"limit": 5}}, "narratives"),
    ],
)
def test_another_run_in_the_folder_is_refused(
    scripted_recipe: Path, scripted_work: Path, changes: dict[str, object], says: str
) -> None:
    before = everything(scripted_work)
    with pytest.raises(InputError, match=says):
        build(recipe_of(scripted_recipe, **changes), scripted_work)
    assert everything(scripted_work) == before


def test_a_killed_build_goes_on_where_it_was(scripted_recipe: Path, scripted_work: Path, tmp_path: Path) -> None:
    arguments = ["-m", "dataset_builder", "build", "--recipe", str(scripted_recipe), "--work-dir", str(tmp_path)]
    for stage in ("utterances", "labels", "corpus"):
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(f"{stage}*")) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert build(recipe_of(scripted_recipe), tmp_path) in (True, False)
    assert parquet(tmp_path) == parquet(scripted_work)


def test_a_half_written_corpus_is_not_taken_for_whole(
    scripted_recipe: Path, scripted_work: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(scripted_recipe)
    build(recipe, tmp_path)
    (tmp_path / "corpus").rename(tmp_path / "corpus.part")
    (tmp_path / "corpus.part/contextless/train-.parquet").write_bytes(b"PAR1")
    assert build(recipe, tmp_path)
    assert parquet(tmp_path) == parquet(scripted_work)


def test_narratives_from_a_file(tmp_path: Path, scripted_recipe: Path, command: Command) -> None:
    stories = tmp_path / "stories.jsonl.gz"
    text = "One day Ana met Ben at the gate. Ben told Ana that Cem was ill, and Ana ran to Cem."
    rows = [{"id": f"s{i}", "title": f"T{i}", "text": text, "extra": 1} for i in range(4)]
    stories.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    arguments = ["--recipe", scripted_recipe, "--work-dir", tmp_path / "work", "--narratives", stories, "--limit", 3]
    built = command("-m", "dataset_builder", "build", *arguments)
    assert built.returncode == 0, built.stderr
    corpus = load_dataset(str(tmp_path / "work/corpus"), "contextless")
    assert {row for split in corpus.values() for row in split["narrative_id"]} == {"s0", "s1", "s2"}
    assert set(corpus["train"]["source"]) == {"generated"}
    assert set(corpus["train"]["provenance"]) == {f"{tmp_path.name}/stories"}


def test_a_corpus_without_situations_has_no_contextual_config(scripted_recipe: Path, tmp_path: Path) -> None:
    build(recipe_of(scripted_recipe, situations={"share": 0}), tmp_path)
    assert len(load_dataset(str(tmp_path / "corpus"), "contextless", split="train"))
    assert get_dataset_config_names(str(tmp_path / "corpus")) == ["contextless", "descriptors"]


def test_no_row_at_all_is_said(scripted_recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no row was kept"):
        build(recipe_of(scripted_recipe, quality={"min_words": 100}), tmp_path)
    assert not (tmp_path / "corpus").exists()


def test_another_build_of_equal_size_is_not_read_from_the_cache_of_the_first(
    scripted_recipe: Path, tmp_path: Path
) -> None:
    """`datasets` identifies local folders by the names of their files."""
    from datasets import load_dataset

    texts = []
    for seed in (7, 8):
        build(recipe_of(scripted_recipe, seed=seed, narratives={"limit": 1}), tmp_path / "work")
        texts.append(load_dataset(str(tmp_path / "work/corpus"), "contextless", split="train")["text"][0])
        shutil.rmtree(tmp_path / "work")
    assert texts[0] != texts[1]


def test_a_shard_that_was_deleted_is_made_again(scripted_work: Path, scripted_recipe: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(scripted_work, work)
    recipe = read_recipe(scripted_recipe, BuildRecipe)
    shutil.rmtree(work / "corpus")
    shard_path(work / "labels", 0).write_bytes(b"torn")
    with pytest.raises(InputError, match="Delete it and build again"):
        build(recipe, work)
    shard_path(work / "labels", 0).unlink()
    build(recipe, work)
    assert parquet(work) == parquet(scripted_work)
    (work / "labels/manifest.json").unlink()
    with pytest.raises(InputError, match=r"labels/manifest.json: no such file.*--restart-from STAGE"):
        status(work)
    build(recipe, work, "labels")
    assert parquet(work) == parquet(scripted_work)


def test_restarting_is_advised_only_where_it_helps(scripted_work: Path, scripted_recipe: Path) -> None:
    with pytest.raises(InputError, match=r"differs in narratives .*use another --work-dir\.$"):
        build(recipe_of(scripted_recipe, narratives={"limit": 1}), scripted_work)
    with pytest.raises(InputError, match=r"differs in recipe\.seed .*--restart-from"):
        build(recipe_of(scripted_recipe, seed=8), scripted_work)
