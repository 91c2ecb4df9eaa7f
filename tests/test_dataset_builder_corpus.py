"""Any corpus validated and deduplicated: every planted fault is found, and the corpus without it passes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_builder.analysis.deduplicate_corpus import REMOVED, deduplicate
from dataset_builder.analysis.validate_corpus import CHECKS, validate
from dataset_builder.corpus import open_corpus
from dataset_builder.files.texts import benchmark_texts
from dataset_builder.filters.deduplicate import DuplicateFilter
from dataset_builder.inputs import InputError
from dataset_builder.schema import features
from dataset_builder.taxonomy import LABELS
from tests.conftest import Command

Rows = list[dict[str, Any]]


@pytest.fixture
def corpus(scripted_work: Path, tmp_path: Path) -> Path:
    """A copy of the scripted corpus, to be spoilt."""
    return Path(shutil.copytree(scripted_work / "corpus", tmp_path / "corpus"))


def file(corpus: Path, config: str, split: str) -> Path:
    (path,) = (corpus / config).glob(f"{split}-*.parquet")
    return path


def change(corpus: Path, config: str, split: str, edit: Callable[[Rows], object]) -> Rows:
    """Edit the rows of a split in place."""
    path = file(corpus, config, split)
    rows = pq.read_table(path).to_pylist()
    edit(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=features(config).arrow_schema), path)
    return rows


def each(**values: Any) -> Callable[[Rows], object]:
    """Set values in the first row."""
    return lambda rows: rows[0].update(values)


def no_scores(rows: Rows) -> None:
    rows[0]["scores"][0] = 1.5


def weaker_label(rows: Rows) -> None:
    rows[0]["labels"] = [int(min(range(28), key=lambda label: rows[0]["scores"][label]))]


def alphabetical(rows: Rows) -> None:
    """The fault of the released models: classes in alphabetical order, which is not the taxonomy's."""
    order = sorted(range(28), key=lambda label: LABELS[label])
    for row in rows:
        scores = [row["scores"][label] for label in order]
        row.update(scores=scores, labels=[label for label, score in enumerate(scores) if score >= 0.3])


def own_label_word(rows: Rows) -> None:
    rows[0].update(labels=[2], scores=[0.0, 0.0, 1.0] + [0.0] * 25, raw_labels=[], text="I feel anger about it all.")


def name_the_feeling(rows: Rows) -> None:
    own_label_word(rows)
    rows[0].update(text="I waited for you.", original_text="I waited for you.", context="She was full of anger then.")


def twin_of(place: int, text: Callable[[str], str] = str) -> Callable[[Rows], object]:
    return lambda rows: rows[0].update(text=text(rows[place]["text"]))


def original(rows: Rows, **values: Any) -> None:
    next(row for row in rows if row["variant"] == "original").update(values)


LONG = "I know that the boat was on the river and that nobody had seen it since we left the house by the mill"
ECHO = "I know: Give the five that fit best, the strongest first, one a line, numbered."
ROW = {
    "null_value": each(character=None),
    "score_out_of_range": no_scores,
    "no_label": each(labels=[]),
    "labels_out_of_order": each(labels=[5, 3]),
    "labels_are_not_the_strongest": weaker_label,
    "scores_unlike_raw_labels": alphabetical,
    "too_short": each(text="I do."),
    "too_long": each(text=" ".join(f"I saw the number {number}" for number in range(40))),
    "not_english": each(text="Ich habe den ganzen Tag auf dich gewartet."),
    "repetitive": each(text="I go to the mill and I go to the mill and I go to the mill and I go to the mill."),
    "third_person": lambda rows: rows[0].update(text=f"Then {rows[0]['character']} went out to see the mill."),
    "label_word": own_label_word,
    "refusal": each(text="I'm sorry, but I can't assist with that request."),
    "prompt_echo": each(text=ECHO),
    "duplicate": twin_of(1),
    "id_twice": lambda rows: rows[0].update(id=rows[1]["id"]),
}


@pytest.mark.parametrize("check", ROW)
def test_a_planted_fault_is_found(corpus: Path, check: str) -> None:
    assert not validate(corpus).counts
    change(corpus, "contextless", "train", ROW[check])
    found = validate(corpus)
    assert found.counts["contextless", check] >= 1, found.page()
    assert found.examples["contextless", check]
    assert check in found.page()


HYGIENE: dict[str, dict[str, Any]] = {
    "control_character": {"text": "I hear steps\x00 behind us.", "character": "Ma\x1b[2Jra", "narrative_id": "a\nb"},
    "byte_order_mark": {"text": "\ufeffI hear steps behind us.", "character": "Mara\ufeff", "teacher": "\ufeffme"},
    "invisible_character": {"text": "I hear steps\u202e behind us.", "source": "ta\u200bles"},
    "replacement_character": {"text": "I hear steps behind us\ufffd.", "requested_emotion": "\ufffd"},
    "reasoning": {"text": "<think>A line.</think> I hear steps behind us.", "character": "</think>Mara"},
    "chat_token": {"text": "I hear steps behind us.<|im_end|>", "raw_labels": [{"label": "[INST]", "score": 0.0}]},
    "raw_labels_out_of_bounds": {"raw_labels": [{"label": f"word {number}", "score": 0.0} for number in range(41)]},
    "requested_emotion": {"requested_emotion": "<img src=x onerror=alert(1)"},
}


@pytest.mark.parametrize(("check", "field"), [(check, name) for check, fields in HYGIENE.items() for name in fields])
def test_what_no_text_may_hold_is_found_in_every_field(corpus: Path, check: str, field: str) -> None:
    change(corpus, "contextless", "train", each(**{field: HYGIENE[check][field]}))
    found = validate(corpus)
    assert found.counts["contextless", check] == 1, found.page()
    assert found.page().isprintable() or not {"\x00", "\x1b", "\ufeff", "\u202e"} & {*found.page()}


@pytest.mark.parametrize("field", ["text", "context", "original_text", "raw_labels"])
def test_half_characters_are_found_and_end_nothing_else(
    corpus: Path, tmp_path: Path, field: str, command: Command
) -> None:
    path = file(corpus, "contextual", "train")
    table = pq.read_table(path)
    broken = b"I hear \xed\xa0\xbd steps behind us."
    column = table.schema.get_field_index(field)
    if field == "raw_labels":
        labels = [[{"label": broken, "score": 1.0}]] * len(table)
        kind = pa.list_(pa.struct([("label", pa.binary()), ("score", pa.float32())]))
        values = pa.array(labels, kind).cast(table.schema.field(field).type, safe=False)
    else:
        values = pa.array([broken] * len(table), pa.binary()).view(pa.string())
    pq.write_table(table.set_column(column, table.schema.field(field), values), path)
    found = validate(corpus)
    assert found.counts["contextual", "lone_surrogate"] == len(table)
    json.dumps(found.as_json(), ensure_ascii=False).encode()
    found.page().encode()
    if field == "text":
        refused = command("-m", "dataset_builder", "deduplicate", corpus, "--out", tmp_path / "clean")
        assert (refused.returncode, "is not UTF-8" in refused.stderr) == (2, True), refused.stderr


def test_breaches_across_configs_are_found_and_removed(corpus: Path, tmp_path: Path) -> None:
    """A story, an equal text and a near-equal one: train in one config, held out in another."""
    held_out = change(corpus, "contextless", "test", lambda rows: rows)

    def move(rows: Rows) -> None:
        rows[0].update(narrative_id=held_out[0]["narrative_id"])
        rows[1].update(text=held_out[1]["text"].upper())
        rows[2].update(text=f"{LONG}.")

    change(corpus, "descriptors", "train", move)
    change(corpus, "contextless", "validation", each(text=f"{LONG} again."))
    counts = validate(corpus).counts
    assert counts["descriptors", "story_in_two_splits"] == 1
    assert counts["descriptors", "duplicate_across_splits"] == 1
    assert counts["descriptors", "near_duplicate_across_splits"] == 1
    assert sum(counts.values()) == 3
    manifest = deduplicate(corpus, tmp_path / "clean")
    assert manifest["removed"]["descriptors"] == {"story_in_two_splits": 1, "duplicate": 1, "near_duplicate": 1}
    assert sum(sum(reasons.values()) for reasons in manifest["removed"].values()) == 3
    assert not validate(tmp_path / "clean").counts


def test_one_text_may_have_rows_of_several_configs_in_one_split(corpus: Path) -> None:
    texts = [row["text"] for row in open_corpus(corpus).rows("contextless", "train")]
    change(corpus, "descriptors", "train", lambda rows: rows[0].update(id="of/another/maker", text=texts[0]))
    change(corpus, "descriptors", "train", lambda rows: rows[1].update(text="I never saw the sea before this day."))
    assert not {check for config, check in validate(corpus).counts if config != "descriptors"}


CONTEXT = {
    "context_too_short": each(context="He left."),
    "context_too_long": each(context=" ".join(f"She saw the number {number}." for number in range(80))),
    "context_not_english": each(context="Sie hat den ganzen Tag auf ihn gewartet."),
    "context_repetitive": each(context="He goes to the mill and he goes to the mill and he goes to the mill again."),
    "context_label_word": name_the_feeling,
    "not_its_original": lambda rows: original(rows, text="I never said what is written over there."),
    "no_original": lambda rows: rows.remove(next(row for row in rows if row["id"].endswith("/original"))),
}


@pytest.mark.parametrize("check", CONTEXT)
def test_a_planted_fault_of_a_situation_is_found(corpus: Path, check: str) -> None:
    change(corpus, "contextual", "train", CONTEXT[check])
    found = validate(corpus)
    assert found.counts["contextual", check] >= 1, found.page()


def test_faults_of_descriptors_are_found(corpus: Path) -> None:
    change(corpus, "descriptors", "train", each(descriptors=[]))
    change(corpus, "descriptors", "test", each(descriptors=[{"text": "joy", "weight": 2.0}]))
    assert set(validate(corpus).counts) == {("descriptors", "no_descriptor"), ("descriptors", "score_out_of_range")}


def test_faults_across_splits_are_found(corpus: Path) -> None:
    test = change(corpus, "contextless", "test", lambda rows: rows)
    change(corpus, "contextless", "train", each(text=test[0]["text"], narrative_id=test[0]["narrative_id"]))
    found = validate(corpus).counts
    assert found["contextless", "duplicate_across_splits"] == 1
    assert found["contextless", "story_in_two_splits"] >= 1
    change(corpus, "contextless", "test", each(text=f"{LONG}."))
    change(corpus, "contextless", "train", each(text=f"{LONG} again."))
    assert validate(corpus).counts["contextless", "near_duplicate_across_splits"] == 1
    change(
        corpus, "contextless", "train", lambda rows: (each(text=f"{LONG}.")(rows), rows[1].update(text=f"{LONG} x."))
    )
    change(corpus, "contextless", "test", each(text=test[0]["text"]))
    assert validate(corpus).counts["contextless", "near_duplicate"] == 1


def test_faults_of_files_are_found(corpus: Path) -> None:
    path = file(corpus, "contextless", "train")
    table = pq.read_table(path)
    wrong = json.dumps({"info": {"features": {"labels": {"feature": {"names": sorted(LABELS)}}}}}).encode()
    pq.write_table(table.replace_schema_metadata({b"huggingface": wrong}), path)
    card = corpus / "README.md"
    card.write_text(card.read_text().replace("'0': admiration", "'0': amusement"))
    found = validate(corpus)
    assert found.counts["contextless", "label_names"] == 2
    assert found.counts["contextual", "label_names"] == 1
    pq.write_table(table.drop_columns(["seed"]).append_column("mood", pa.array(["x"] * len(table))), path)
    (corpus / "moods").mkdir()
    shutil.copy(path, corpus / "moods/train-00000-of-00001.parquet")
    found = validate(corpus)
    assert "seed: missing, expected int64; mood: unknown" in found.examples["contextless", "schema"][0]
    assert found.counts["moods", "unknown_config"] == 1
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"train-00000-of-00001-\w+\.parquet: not a readable Parquet file"):
        validate(corpus)


def test_files_without_the_rows_that_the_manifest_counts_are_found(corpus: Path) -> None:
    file(corpus, "contextual", "validation").unlink()
    shutil.rmtree(corpus / "descriptors")
    found = validate(corpus)
    assert {key: count for key, count in found.counts.items() if key[1] == "row_count"} == {
        ("contextual", "row_count"): 1,
        ("descriptors", "row_count"): 1,
    }
    assert "files contain nothing" in found.examples["descriptors", "row_count"][0]


def test_every_check_is_tested() -> None:
    elsewhere = {"scores_not_28"}  # the schema has lists of 28 only: `check_row` sees it in rows that are built
    elsewhere |= {
        "no_descriptor",
        "schema",
        "label_names",
        "unknown_config",
        "near_duplicate",
        "story_in_two_splits",
        "row_count",
    }
    elsewhere |= {"duplicate_across_splits", "near_duplicate_across_splits", "benchmark_text", "lone_surrogate"}
    elsewhere |= {"like_benchmark_text"}  # in test_dataset_builder_written.py, beside the filter it belongs to
    assert set(CHECKS) == {*ROW, *CONTEXT, *HYGIENE, *elsewhere}


def test_the_command_says_what_is_wrong(corpus: Path, tmp_path: Path, command: Command) -> None:
    texts = change(corpus, "contextless", "validation", lambda rows: rows)
    benchmark = tmp_path / "test.tsv"
    benchmark.write_text(f"some other text\t1\n{texts[0]['text']}\t2\n")
    arguments = ("-m", "dataset_builder", "validate", corpus)
    good = command(*arguments)
    assert (good.returncode, good.stdout.splitlines()[-1]) == (0, f"valid: all {len(CHECKS)} checks passed")
    bad = command(*arguments, "--benchmarks", benchmark, "--json", tmp_path / "found.json")
    assert bad.returncode == 1
    found = json.loads((tmp_path / "found.json").read_text())
    assert not found["valid"]
    assert {fault["check"] for fault in found["faults"]} == {"benchmark_text"}


def test_twins_are_removed_and_kept_with_their_reason(corpus: Path, tmp_path: Path) -> None:
    test = change(corpus, "contextless", "test", lambda rows: rows)
    change(corpus, "contextless", "train", each(text=test[0]["text"].upper()))
    change(corpus, "contextual", "train", lambda rows: rows[2].update(text=rows[0]["text"]))
    benchmark = tmp_path / "test.jsonl"
    benchmark.write_text(json.dumps({"text": test[1]["text"]}) + "\n")
    before = {config: open_corpus(corpus).count(config) for config in open_corpus(corpus).files}
    manifest = deduplicate(corpus, tmp_path / "clean", benchmarks=[str(benchmark)])
    removed = [json.loads(line) for line in (tmp_path / "clean" / REMOVED).read_text().splitlines()]
    assert ("contextless", "train", "duplicate", test[0]["id"]) in {
        (line["config"], line["split"], line["reason"], line["twin"]) for line in removed
    }
    assert {line["reason"] for line in removed} >= {"duplicate", "benchmark_text"}
    for config, splits in before.items():
        assert sum(splits.values()) == sum(manifest["rows"][config].values()) + sum(
            manifest["removed"][config].values()
        )
    assert not validate(tmp_path / "clean", benchmarks=[str(benchmark)]).counts
    with pytest.raises(InputError, match="already exists"):
        deduplicate(corpus, tmp_path / "clean")
    change(corpus, "contextless", "train", lambda rows: rows[0].update(id=rows[1]["id"]))
    with pytest.raises(InputError, match="occurs twice"):
        deduplicate(corpus, tmp_path / "spoilt")
    again = deduplicate(tmp_path / "clean", tmp_path / "again", benchmarks=[str(benchmark)])
    assert again["revision"] == manifest["revision"], "a clean corpus stays as it is"


def test_rewritings_go_where_their_originals_go(corpus: Path, tmp_path: Path) -> None:
    rows = change(corpus, "contextual", "train", lambda rows: rows)
    pairs = [row for row in rows if row["variant"] == "rewritten"]
    first, second = (row["id"].rpartition("/")[0] for row in pairs[:2])

    def twins(rows: Rows) -> None:
        one, two = (next(row for row in rows if row["id"] == f"{name}/original") for name in (first, second))
        two.update(text=one["text"], original_text=one["text"])

    change(corpus, "contextual", "train", twins)
    manifest = deduplicate(corpus, tmp_path / "clean")
    assert manifest["removed"]["contextual"] == {"duplicate": 1, "original_rejected": 1}


def test_rewritings_follow_wherever_they_stand_and_are_no_texts_of_benchmarks(corpus: Path, tmp_path: Path) -> None:
    rows = change(corpus, "contextual", "train", lambda rows: rows.reverse())
    pairs = [row for row in rows if row["variant"] == "rewritten"]
    first, second, third = (row["id"].removesuffix("/rewritten") for row in pairs[:3])
    texts = {row["id"]: row["text"] for row in rows}
    benchmark = tmp_path / "test.jsonl"
    known = (texts[f"{first}/original"], texts[f"{second}/rewritten"])
    benchmark.write_text("".join(json.dumps({"text": text}) + "\n" for text in known))
    found = validate(corpus, benchmarks=[str(benchmark)])
    assert found.counts["contextual", "benchmark_text"] == 2
    deduplicate(corpus, tmp_path / "clean", benchmarks=[str(benchmark)])
    left = {row["id"] for row in open_corpus(tmp_path / "clean").rows("contextual")}
    gone = {f"{first}/original", f"{first}/rewritten", f"{second}/rewritten"}
    assert not gone & left
    assert {f"{second}/original", f"{third}/original", f"{third}/rewritten"} <= left


def test_ids_of_any_form_take_no_others_with_them() -> None:
    twins = DuplicateFilter(0.7)
    texts = ("I never saw the sea before.", "I never saw the sea before.", "Nobody told me that she left.")
    found = [twins.check({"id": str(n), "text": text, "variant": "original"}) for n, text in enumerate(texts)]
    assert [bool(one) for one in found] == [False, True, False]
    assert twins.check({"id": "7", "text": "Nobody told me.", "variant": "rewritten"}) is None


def test_texts_without_words_are_compared_as_they_are() -> None:
    duplicates = DuplicateFilter(0.7)
    assert not any(duplicates.check({"id": text, "text": text}) for text in ("?!", "😂"))
    assert duplicates.check({"id": "again", "text": "😂"}) == ("duplicate", "😂")


def test_benchmarks_of_one_name_are_two(tmp_path: Path) -> None:
    places = []
    for owner, text in (("a", "I never saw the sea before."), ("b", "Nobody told me that she left us.")):
        (tmp_path / owner / "data").mkdir(parents=True)
        places.append(tmp_path / owner / "data/test.tsv")
        places[-1].write_text(f"{text}\t1\n")
    twins = DuplicateFilter(0.7, [pair for place in places for pair in benchmark_texts(place)])
    assert twins.check({"id": "x", "text": "Nobody told me that she left us."}) == ("benchmark_text", "data/test.tsv:0")


@pytest.mark.parametrize(
    "labels", ["sequence: {class_label: {names: {'0': joy}}}", "dtype: int64", "list: {class_label: {names: [joy]}}"]
)
def test_cards_of_other_forms(corpus: Path, labels: str) -> None:
    info = f"dataset_info:\n- config_name: contextless\n  features:\n  - name: labels\n    {labels}\n"
    (corpus / "README.md").write_text(f"---\n{info}---\n")
    assert bool(validate(corpus).counts) == ("joy" in labels)


def test_foreign_columns_are_named(corpus: Path, tmp_path: Path) -> None:
    path = file(corpus, "contextless", "train")
    pq.write_table(pq.read_table(path).drop_columns(["id"]), path)
    with pytest.raises(InputError, match=r"id: missing, expected string.*Validate the corpus first"):
        deduplicate(corpus, tmp_path / "clean")


def test_a_corpus_of_which_nothing_is_left(corpus: Path, tmp_path: Path) -> None:
    for config in ("contextual", "descriptors"):
        shutil.rmtree(corpus / config)
    benchmark = tmp_path / "test.jsonl"
    texts = (row["text"] for row in open_corpus(corpus).rows("contextless"))
    benchmark.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    with pytest.raises(InputError, match="no row would be left"):
        deduplicate(corpus, tmp_path / "clean", benchmarks=[str(benchmark)])


@pytest.mark.end_to_end
def test_texts_of_the_same_meaning_are_found(corpus: Path, tmp_path: Path) -> None:
    said = ("I am so happy that you came here today.", "I am so very happy that you came here today!")
    change(corpus, "contextless", "train", lambda rows: [rows[n].update(text=text) for n, text in enumerate(said)])
    manifest = deduplicate(corpus, tmp_path / "clean", None, semantic_at=0.9)
    assert manifest["removed"]["contextless"] == {"same_meaning": 1}
