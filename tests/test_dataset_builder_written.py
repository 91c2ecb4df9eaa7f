"""Written rows: their files, the corpus that is built from them, and corpora of several parts."""

import itertools
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_dataset

from dataset_builder.analysis.deduplicate_corpus import deduplicate
from dataset_builder.analysis.survey import survey
from dataset_builder.analysis.validate_corpus import validate
from dataset_builder.analysis.written_files import check
from dataset_builder.corpus import open_corpus
from dataset_builder.files.shards import read_json
from dataset_builder.filters import benchmark_similarity
from dataset_builder.filters.benchmark_similarity import BenchmarkSimilarity
from dataset_builder.filters.deduplicate import DuplicateFilter
from dataset_builder.filters.split import split_narratives
from dataset_builder.filters.validate import words
from dataset_builder.held_out import is_contrast_test
from dataset_builder.inputs import InputError, read_recipe
from dataset_builder.pipeline.build import assemble_parts, build
from dataset_builder.pipeline.parts import read_part
from dataset_builder.pipeline.status import status
from dataset_builder.recipe import BuildRecipe
from dataset_builder.taxonomy import LABELS
from dataset_builder.written_rows import (
    FORMER_WORDS,
    WRITTEN,
    checked_rows,
    is_development,
    labels_of,
    read_written,
    written_files,
)
from tests.conftest import ROOT, Command
from tests.test_dataset_builder_judges import ensemble_file, store

TEXTS = [
    ("joy:1,surprise:.4", "They gave my sister the part and she has not stopped singing since."),
    ("neutral:1", "The library closes at six on Fridays."),
    ("anger:1", "He sold my bicycle while I was away at camp."),
    ("disappointment:1,sadness:.7", "The seat I kept for her stayed empty all evening."),
    ("fear:1", "Someone was trying the door handle at three in the morning."),
    ("gratitude:1", "You drove four hours with that spare key."),
    ("relief:1", "The lump was nothing, the doctor says."),
    ("curiosity:1", "What is behind the little green door upstairs?"),
]


PLACES = [
    "Ana stood in the kitchen and counted the plates",
    "At the bus stop a man asked her for the time",
    "The letter lay open between two cups of cold tea",
    "Nobody had told them that the school was closed",
    "Her brother came back from the sea after a year",
    "It had rained for a week and the cellar was full",
    "The queue moved on by one and the clerk looked up",
    "Below the bridge the boats had been tied together",
    "They cut the cake before the last guest arrived",
]
NUMBERS = itertools.count()


def a_set(text: str, *labels: str) -> dict[str, Any]:
    situations = [
        {
            "character": f"Ana {number}",
            "situation": f"{PLACES[next(NUMBERS) % len(PLACES)]} with a {label[::-1]} hat.",
            "labels": {label: 1},
        }
        for number, label in enumerate(labels)
    ]
    return {"text": text, "situations": situations}


SETS = [
    a_set("So it is finished.", "relief", "grief", "neutral"),
    a_set("You kept all of them.", "love", "annoyance", "surprise"),
    a_set("Well, look at the time.", "nervousness", "anger", "neutral"),
]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    (folder / "descriptors").mkdir(parents=True)
    lines = ["labels\ttext", *("\t".join(pair) for pair in TEXTS)]
    (folder / "contextless-days.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    described = "descriptors\ttext\nglee, pride, surprise\t" + TEXTS[0][1] + "\n"
    (folder / "descriptors/days.tsv").write_text(described, encoding="utf-8")
    (folder / "contextual-sets.jsonl").write_text("\n".join(map(json.dumps, SETS)) + "\n", encoding="utf-8")
    return folder


def recipe_for(folder: Path, **changes: Any) -> BuildRecipe:
    return BuildRecipe.model_validate(
        {
            "name": "written",
            "narratives": {"source": str(folder)},
            "utterances": {"mode": "written"},
            "quality": {"label_words": True, "min_words": 1},
        }
        | changes
    )


@pytest.fixture
def work(files: Path, tmp_path: Path) -> Path:
    build(recipe_for(files), tmp_path / "work")
    return tmp_path / "work"


def test_the_projects_own_files_have_no_fault() -> None:
    rows = read_written([WRITTEN])
    assert len(rows) > 60_000
    sets = {row.fields["group"] for row in rows if "group" in row.fields}
    assert len(sets) > 7_000
    assert not any(is_contrast_test(row.text) for row in rows if "group" in row.fields)
    held = [
        row for row in rows if row.fields["story"] == row.id and "labels" in row.fields and is_development(row.text)
    ]
    assert 1_000 <= len(held) <= 1_500
    assert len({row.id for row in rows}) == len(rows)


def test_rows_have_the_writers_labels_and_say_where_they_are_from(work: Path, files: Path) -> None:
    rows = {row["text"]: row for row in open_corpus(work).rows("contextless")}
    assert set(rows) == {text for _, text in TEXTS}
    row = rows[TEXTS[0][1]]
    assert [LABELS[label] for label in row["labels"]] == ["joy", "surprise"]
    assert row["scores"][LABELS.index("surprise")] == pytest.approx(0.4)
    assert row["raw_labels"][0] == {"label": "joy", "score": 1.0}
    assert (row["source"], row["labeler"], row["agreement"]) == ("written", "writer", 1.0)
    assert row["provenance"] == "contextless-days.tsv, line 2"
    assert row["teacher"] == "a large language model"
    (described,) = open_corpus(work).rows("descriptors")
    assert [word["text"] for word in described["descriptors"]] == ["glee", "pride", "surprise"]
    assert described["descriptors"][0]["weight"] == 1.0


def test_a_contrast_set_is_a_group_in_one_split(work: Path) -> None:
    groups = defaultdict(list)
    for row in open_corpus(work).rows("contextual"):
        groups[row["group"]].append(row)
    assert [len(rows) for rows in groups.values()] == [3, 3, 3]
    for rows in groups.values():
        assert len({row["split"] for row in rows}) == 1
        assert len({row["text"] for row in rows}) == 1
        assert len({row["context"] for row in rows}) == 3
        assert all(row["character"].startswith("Ana") and row["variant"] == "original" for row in rows)
    loaded = load_dataset(str(work / "corpus"), "contextual")
    assert sum(len(rows) for rows in loaded.values()) == 9
    assert validate(work, recipe_for(Path("x")).quality).counts == {}


def test_it_resumes_shows_its_state_and_publishes_again(work: Path, files: Path) -> None:
    assert not build(recipe_for(files), work)
    assert "rewriting" in status(work)
    assert "characters" not in status(work)
    stricter = recipe_for(files, quality={"label_words": True, "min_words": 4})
    with pytest.raises(InputError, match=r"min_words.*--restart-from"):
        build(stricter, work)
    assert build(stricter, work, restart_from="publish")
    reasons = read_json(work / "corpus/manifest.json")["rejected"]
    assert reasons == {}
    with pytest.raises(InputError, match="narratives"):
        build(recipe_for(files / "contextless-days.tsv"), work)


def test_sets_alone_and_texts_without_labels(files: Path, tmp_path: Path) -> None:
    build(recipe_for(files / "contextual-sets.jsonl"), tmp_path / "sets")
    assert list(open_corpus(tmp_path / "sets").files) == ["contextual"]
    bare = tmp_path / "bare.tsv"
    bare.write_text("text\nI had told the whole class her secret.\n", encoding="utf-8")
    with pytest.raises(InputError, match="no row was kept"):
        build(recipe_for(bare), tmp_path / "bare")
    (reject,) = (tmp_path / "bare/rejects/publish.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(reject)["reason"] == "no_label"
    (row,) = read_part(tmp_path / "bare").stage_rows("contextless")
    assert row["labeler"] == "none"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("joy:1", "line 2: 1 columns instead of 2"),
        ("joy:2\tIt works.", "'joy:2' is not one of the 28 labels"),
        ("delight:1\tIt works.", "'delight:1' is not one of the 28 labels"),
        ("joy:.7\tIt works.", "no label of weight 1"),
        ("joy:1,joy:.4\tIt works.", "not one to three different labels"),
        ('joy:1\t"It works."', "quotation marks around the whole text"),
        ("joy:1\tIt works.\nfear:1\tIt works.", "line 3: has the text of"),
    ],
)
def test_a_fault_of_a_text_names_its_line(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "contextless-x.tsv"
    path.write_text(f"labels\ttext\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"contextless-x\.tsv, line") as error:
        read_written([str(path)])
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (a_set("So it is.", "joy", "joy", "fear"), "first labels joy, joy, fear are not different"),
        (a_set("So it is.", "joy", "fear"), "situations"),
        (a_set("So it is.", "joy", "fear", "bliss"), "situation 3: 'bliss:1'"),
        (a_set(" ", "joy", "fear", "anger"), "a text is empty"),
        ({"text": "So it is."}, "situations"),
    ],
)
def test_a_fault_of_a_set_names_its_line(tmp_path: Path, value: dict[str, Any], says: str) -> None:
    path = tmp_path / "contextual-x.jsonl"
    path.write_text(json.dumps(value) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"contextual-x\.jsonl, line 1") as error:
        read_written([str(path)])
    assert says in str(error.value)


def a_dialogue(*turns: tuple[str, str, dict[str, float]]) -> str:
    return json.dumps({"turns": [{"character": who, "text": text, "labels": labels} for who, text, labels in turns]})


def test_each_later_turn_of_a_dialogue_is_a_row_after_its_former_turns(tmp_path: Path) -> None:
    long = " ".join(" ".join(PLACES).split()[: FORMER_WORDS - 3])
    said = a_dialogue(
        ("Ines", "The vet rang.", {"nervousness": 1}),
        ("Theo", "And?", {"curiosity": 1, "nervousness": 0.7}),
        ("Ines", "He's going to be fine.", {"relief": 1}),
        ("Theo", long, {"joy": 1}),
        ("Ines", "I know.", {"neutral": 1}),
    )
    (tmp_path / "contextual-talks.jsonl").write_text(said + "\n", encoding="utf-8")
    rows = read_written([str(tmp_path)])
    assert [(row.text, row.fields["context"], row.fields["character"]) for row in rows[:2]] == [
        ("And?", "Ines: The vet rang.", "Theo"),
        ("He's going to be fine.", "Ines: The vet rang. / Theo: And?", "Ines"),
    ]
    assert len(rows[-1].fields["context"].split()) <= FORMER_WORDS
    assert rows[-1].fields["context"].endswith(f"Theo: {long}")
    assert labels_of(rows[0]) == {"curiosity": 1, "nervousness": 0.7}
    assert len({row.fields["story"] for row in rows}) == 1, "all of a dialogue is in one split"
    assert not any("group" in row.fields for row in rows), "its turns are different texts"
    build(recipe_for(tmp_path), tmp_path / "work")
    published = list(open_corpus(tmp_path / "work").rows("contextual"))
    assert {row["text"] for row in published} == {row.text for row in rows}
    assert validate(tmp_path / "work", recipe_for(Path("x")).quality).counts == {}


@pytest.mark.parametrize(
    ("turns", "says"),
    [
        ([("Ines", "Hello.", {"neutral": 1})], "at least 2"),
        ([("Ines", "Hello.", {"neutral": 1}), ("Theo", "Hi.", {"glee": 1})], "turn 2: 'glee:1'"),
        ([("Ines", "Hello.", {"neutral": 1}), ("Theo", "", {"joy": 1})], "turn 2: a text is empty"),
        ([("Ines", "Hello.", {"glee": 1}), ("Theo", "Hi.", {"joy": 1})], "turn 1: 'glee:1'"),
        ([("Ines", "", {"neutral": 1}), ("Theo", "Hi.", {"joy": 1})], "turn 1: a text is empty"),
    ],
)
def test_a_fault_of_a_dialogue_names_its_line(tmp_path: Path, turns: list[Any], says: str) -> None:
    (tmp_path / "contextual-talks.jsonl").write_text(a_dialogue(*turns) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="contextual-talks.jsonl, line 1.*" + re.escape(says)):
        read_written([str(tmp_path)])


def test_a_folder_without_written_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no contextless-"):
        written_files([str(tmp_path)])


def test_the_checker_lists_every_fault(files: Path, command: Command) -> None:
    good = command("-m", "dataset_builder", "check-written", files)
    assert good.returncode == 0
    assert "17 rows, 11 texts" in good.stdout
    path = files / "contextless-days.tsv"
    more = ["joy:3\tNo.", "fear:1\tNo, no.", "fear:1\tno no"]
    path.write_text(path.read_text(encoding="utf-8") + "\n".join(more) + "\n", encoding="utf-8")
    bad = command("-m", "dataset_builder", "check-written", path)
    assert bad.returncode == 1
    assert "line 10: 'joy:3'" in bad.stdout
    assert "contextless-days.tsv, line 12: has the words of contextless-days.tsv, line 11" in bad.stdout
    assert len(check([path])[0]) == 2


def test_labels_are_in_the_order_of_their_weights(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text("labels\ttext\nfear:.4,joy:1\tWe are going down the slide.\n", encoding="utf-8")
    (row,) = checked_rows([path])
    assert not isinstance(row, str)
    assert labels_of(row) == {"joy": 1.0, "fear": 0.4}


def test_rows_for_development_are_in_the_validation_split() -> None:
    stories = {f"s{number}": 1 for number in range(50)}
    held = {"s3", "s4", "s5"}
    split_of = split_narratives(stories, (0.8, 0.1, 0.1), 13, held)
    assert {split_of[story] for story in held} == {"validation"}
    assert list(split_of.values()).count("validation") == 5
    assert set(split_of) == set(stories)


def test_a_group_is_one_text_for_the_duplicate_filter() -> None:
    duplicates = DuplicateFilter(0.7)

    def row(key: str, group: str) -> dict[str, Any]:
        return {"id": key, "text": "So it is finished then.", "group": group, "variant": "original"}

    assert duplicates.check(row("a/1/original", "a")) is None
    assert duplicates.check(row("a/2/original", "a")) is None
    assert duplicates.check(row("b/1/original", "b")) == ("duplicate", "a/1/original")


def test_a_group_is_one_text_for_reports_and_for_deduplicate(work: Path, tmp_path: Path) -> None:
    found = survey(open_corpus(work).rows("contextual"), "x")
    assert (found.rows, found.sampled_from, found.exact, len(found.sample)) == (9, 3, 0, 3)
    manifest = deduplicate(work, tmp_path / "out", 0.7, 0.999)
    assert sum(manifest["rows"]["contextual"].values()) == 9


def test_parts_become_one_corpus(work: Path, scripted_work: Path, tmp_path: Path) -> None:
    recipe = recipe_for(Path("x"), name="both", parts=["written", "test"], utterances={})
    counts = assemble_parts(recipe, [work, scripted_work], tmp_path / "both")
    corpus = open_corpus(tmp_path / "both")
    rows = list(corpus.rows("contextless"))
    assert len(rows) == sum(counts["contextless"].values())
    assert {row["source"] for row in rows} == {"written", "generated"}
    assert validate(tmp_path / "both", recipe.quality).counts == {}
    texts = [" ".join(words(row["text"])) for row in rows]
    assert len(set(texts)) == len(texts)
    manifest = read_json(tmp_path / "both/corpus/manifest.json")
    assert [(part["recipe"], part["source"]) for part in manifest["parts"]] == [
        ("written", "written"),
        ("test", "generated"),
    ]
    again = assemble_parts(recipe, [work, scripted_work], tmp_path / "again")
    assert again == counts
    assert read_json(tmp_path / "again/corpus/manifest.json") == manifest


def test_parts_must_be_finished_and_those_of_the_recipe(work: Path, tmp_path: Path) -> None:
    recipe = recipe_for(Path("x"), name="both", parts=["written", "quoted"], utterances={})
    with pytest.raises(InputError, match="has the parts written, quoted"):
        assemble_parts(recipe, [work], tmp_path / "out")
    with pytest.raises(InputError, match="contains no build"):
        assemble_parts(recipe, [tmp_path / "nothing"], tmp_path / "out")
    with pytest.raises(InputError, match="Give each part once"):
        assemble_parts(recipe_for(Path("x")), [work, work], tmp_path / "out")
    (work / "labels/manifest.json").unlink()
    with pytest.raises(InputError, match="not finished"):
        read_part(work)


def test_the_recipes_of_the_published_corpus_are_valid(tmp_path: Path) -> None:
    recipe = read_recipe(ROOT / "dataset_builder/recipes/emo-pillars.yaml", BuildRecipe)
    for part in recipe.parts:
        assert read_recipe(ROOT / f"dataset_builder/recipes/{part}.yaml", BuildRecipe).name == part
    with pytest.raises(InputError, match=r"build written.*then use assemble"):
        build(recipe, tmp_path)
    with pytest.raises(ValueError, match="'teacher' is missing"):
        BuildRecipe.model_validate({"name": "x"})


def test_texts_like_those_of_a_benchmark_are_rejected(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directions = {"He sold my bicycle while I was away at camp.": 0, "My bike was sold by him.": 0}

    def encode(texts: list[str]) -> np.ndarray:
        return np.stack([np.eye(2)[directions.get(text, 1)] for text in texts])

    monkeypatch.setattr(benchmark_similarity, "default_encoder", lambda: encode)
    assert BenchmarkSimilarity([], 0.8)(["anything"]) == [False]
    benchmark = tmp_path / "test.tsv"
    benchmark.write_text("text\nMy bike was sold by him.\n", encoding="utf-8")
    quality = {"label_words": True, "min_words": 1, "benchmarks": [str(benchmark)], "benchmark_cosine": 0.8}
    build(recipe_for(files, quality=quality), tmp_path / "work")
    manifest = read_json(tmp_path / "work/corpus/manifest.json")
    assert manifest["rejected"] == {"like_benchmark_text": 1}
    assert list(manifest["benchmarks"].values()) == [1]

    recipe = recipe_for(files, quality=quality | {"benchmarks": []})
    build(recipe, tmp_path / "unfiltered")
    found = validate(tmp_path / "unfiltered/corpus", recipe.quality, [str(benchmark)])
    assert found.counts == {("contextless", "like_benchmark_text"): 1}


def test_rows_of_an_older_corpus_are_read() -> None:
    from dataset_builder.schema import DescriptorsRow

    row = {"id": "a", "text": "x", "narrative_id": "a", "source": "tales", "teacher": "t", "prompt_version": "p"}
    made = DescriptorsRow.model_validate(row | {"seed": 1, "descriptors": [], "describer": "likelihood"})
    assert (made.source, made.provenance, made.group) == ("released", "tales", "")


def test_judges_label_what_nobody_has_labelled(files: Path, tmp_path: Path) -> None:
    unlabelled = ["I had told the whole class her secret.", "My cat was run over.", "We went there by bus."]
    bare = tmp_path / "bare.tsv"
    bare.write_text("\n".join(["text", *unlabelled]) + "\n", encoding="utf-8")
    labelled = files / "contextless-days.tsv"
    recipe = recipe_for(files, narratives={"source": [str(labelled), str(bare)]})
    build(recipe, tmp_path / "part")
    both: Any = {(unlabelled[0], None): {"remorse": 0.9}, (TEXTS[0][1], None): {"joy": 0.9}}
    store(tmp_path / "part", "a", both | {(unlabelled[1], None): {"joy": 0.9}, (TEXTS[1][1], None): {"fear": 0.9}})
    store(tmp_path / "part", "b", both | {(unlabelled[1], None): {"grief": 0.8}})
    labels = {"labeler": "ensemble", "judges": str(ensemble_file(tmp_path, least=0.6))}
    assemble_parts(recipe_for(files, labels=labels), [tmp_path / "part"], tmp_path / "out")
    rows = {row["text"]: row for row in open_corpus(tmp_path / "out").rows("contextless")}
    made = rows[unlabelled[0]]
    assert [LABELS[label] for label in made["labels"]] == ["remorse"]
    assert (made["labeler"], made["agreement"]) == ("ensemble", 1.0)
    assert made["raw_labels"][0]["label"] == "remorse"
    assert (rows[TEXTS[0][1]]["labeler"], rows[TEXTS[0][1]]["agreement"]) == ("writer", 1.0)
    assert rows[TEXTS[1][1]]["agreement"] == 0.0, "no judge agrees with the writer, whose label stays"
    reasons = read_json(tmp_path / "out/corpus/manifest.json")["rejected"]
    assert reasons == {"judges_disagree": 1, "not_judged": 1}
    assert validate(tmp_path / "out", recipe.quality).counts == {}
