"""Measures with known answers, gates, the report of work folders and of bare corpora, plots, human reference values."""

import io
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_builder.analysis import diversity_metrics as measures
from dataset_builder.analysis.gates import judge
from dataset_builder.analysis.label_errors import confident, label_errors
from dataset_builder.analysis.measure_corpora import measure, read_reference
from dataset_builder.analysis.report import _made_by, name_of, report
from dataset_builder.analysis.survey import HashSample, survey
from dataset_builder.corpus import open_corpus
from dataset_builder.filters.near_duplicates import tokens
from dataset_builder.inputs import InputError
from dataset_builder.recipe import BuildRecipe, Gate, Gates, ScriptedTeacher
from dataset_builder.taxonomy import LABEL_TO_INDEX, NEUTRAL
from tests.conftest import ROOT, Command

DATA = ROOT.parent / "shared/data"
FOUR = ["a b c d e", "a b c d f", "p q r s", "u v w"]


def split(*texts: str) -> list[list[str]]:
    return [tokens(text) for text in texts]


def test_tokens_are_words_and_single_marks() -> None:
    assert tokens("I DON'T know...") == ["i", "don", "'", "t", "know", ".", ".", "."]


def test_distinct_n_grams() -> None:
    assert measures.distinct(split("a b a", "b a"), 1) == 2 / 5
    assert measures.distinct(split("a b a", "b a"), 2) == 2 / 3
    assert math.isnan(measures.distinct(split("a"), 2))


def test_a_token_budget_is_kept_or_refused() -> None:
    assert measures.first_tokens(split("a b c", "d e f"), 4) == [["a", "b", "c"], ["d"]]
    assert measures.first_tokens(split("a b c"), 4) is None


def test_compression() -> None:
    ratio, size = measures.gzip_ratio(["the same"] * 1000)
    assert ratio > 50
    assert size == 9000
    assert measures.gzip_ratio(["abcd"] * 9, size=12)[1] == 12


def test_four_grams_in_more_than_one_text() -> None:
    found = measures.shared_four_grams(split(*FOUR))
    assert found["shared_four_grams"] == 2 / 5  # of abcd, bcde, abcd, bcdf, pqrs
    assert found["texts_with_shared_four_gram"] == 2 / 3
    assert found["self_repetition"] == pytest.approx(2 * math.log(2) / 4)


def test_self_bleu_of_copies_of_strangers_and_by_hand() -> None:
    assert measures.self_bleu(split("a b c d e", "a b c d e")) == pytest.approx(1)
    assert measures.self_bleu(split("a b c d", "e f g h")) < 0.1
    # a b c | a b d: 2 of 3 words, 1 of 2 pairs, no triple (0.1 of 1), equal lengths
    assert measures.self_bleu(split("a b c", "a b d")) == pytest.approx((2 / 3 * 1 / 2 * 0.1) ** (1 / 3))
    # a shorter text is cut by exp(1 - longer / shorter)
    both = (math.exp(1 - 5 / 4) + (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** (1 / 4)) / 2
    assert measures.self_bleu(split("a b c d", "a b c d e")) == pytest.approx(both)


def test_duplicates() -> None:
    texts = split("One two three four!", "one two three four !", "other words are here", "other words are")
    assert measures.near_duplicates(texts) == 1 / 4
    assert measures.near_duplicates(texts, at=0.5) == 2 / 4
    long = "a b c d e f g h i j k l m n o p"
    assert measures.near_duplicates(split(long, long + " q", "z " + long + " q r s")) == 2 / 3


def test_near_duplicates_are_those_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    texts = [[str(word) for word in rng.integers(0, 3, size=rng.integers(1, 12))] for _ in range(150)]
    sets = [{tuple(text[i : i + 3]) for i in range(max(1, len(text) - 2))} for text in texts]
    for at in (0.5, 0.7, 1.0):
        twins = [any(len(a & b) / len(a | b) >= at for b in sets[:i]) for i, a in enumerate(sets)]
        assert measures.near_duplicates(texts, at) == pytest.approx(sum(twins) / len(twins))


def test_vendi_score_counts_different_texts() -> None:
    assert measures.vendi_score(np.eye(4)) == pytest.approx(4)
    assert measures.vendi_score(np.ones((5, 1))) == pytest.approx(1)
    assert measures.vendi_score(np.eye(2)[[0, 0, 1, 1]]) == pytest.approx(2)


def test_cosines_within_and_across() -> None:
    within, across = measures.pair_cosines(np.eye(2)[[0, 0, 1]], ["x", "x", "y"])
    assert within.tolist() == [1]
    assert across.tolist() == [0, 0]


def test_entropy() -> None:
    assert measures.entropy(np.array([1, 1, 1, 1])) == 2
    assert measures.entropy(np.array([[1, 1], [1, 0], [0, 0]])) == pytest.approx(1 / 3)


def test_confident_learning_suspects_the_confident_ones() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9], [0.95, 0.05]])
    top = np.array([0, 0, 1, 1, 1])  # the last one is surely 0
    suspected, suggested = confident(probabilities, np.eye(2, dtype=bool)[top], top)
    assert suspected.tolist() == [False, False, False, False, True]
    assert suggested[4] == 0
    both = np.ones((5, 2), dtype=bool)  # a label that the row has too is no error
    assert not confident(probabilities, both, top)[0].any()


def test_flipped_labels_are_found() -> None:
    rng = np.random.default_rng(1)
    true = rng.integers(0, 3, size=400)
    embedded = np.eye(3)[true] * 4 + rng.normal(size=(400, 3)) * 0.5
    given = true.copy()
    flipped = rng.choice(400, size=40, replace=False)
    given[flipped] = (given[flipped] + 1) % 3
    found = label_errors(embedded, np.eye(3, dtype=bool)[given], given, [str(i) for i in range(400)])
    assert found is not None
    assert found.share == pytest.approx(0.1, abs=0.02)
    assert found.suspected[flipped].mean() > 0.75  # a class's threshold is its mean confidence, so not all reach it
    assert (found.suggested[found.suspected] == true[found.suspected]).mean() > 0.95
    assert label_errors(embedded[:9], np.eye(3, dtype=bool)[given[:9]], given[:9], list("abcdefghi")) is None


def row(number: int, **more: object) -> dict[str, object]:
    made = {"id": f"s/c{number // 3:02}/u{number}", "text": f"text {number}", "narrative_id": "s", "labels": [0]}
    return made | {"character": f"c{number // 3}", "requested_emotion": "joy"} | more


def test_a_draw_does_not_depend_on_order_and_keeps_groups_together() -> None:
    keys = [f"{number}" for number in range(90)]
    draws = [HashSample(9), HashSample(9)]
    for key in keys:
        draws[0].add(key, key, f"group {int(key) // 3}")
    for key in reversed(keys):
        draws[1].add(key, key, f"group {int(key) // 3}")
    assert draws[0].items() == draws[1].items()
    assert len({int(key) // 3 for key in draws[0].items()}) == 3


def test_a_survey_counts_all_rows() -> None:
    scores = [0.0] * 28
    scores[0], scores[3] = 0.4, 1.0
    rows = [row(n, labels=[0, 3], scores=scores) for n in range(5)]
    rows += [row(5, text="text 1"), row(6, requested_emotion="neutral", labels=[NEUTRAL])]
    found = survey(rows, "x")
    assert (found.rows, found.exact, found.label_counts[0], found.together[0, 3]) == (7, 1, 6, 5)
    assert found.asked[LABEL_TO_INDEX["joy"], 3] == 5
    assert found.score_bins[0, 8] == found.score_bins[3, 19] == 5
    assert sorted(found.sample, key=lambda text: text.number)[0].top == 3
    assert [text.number for text in found.neutrals] == [6]
    for bad in (
        {"text": None},
        {"labels": [28]},
        {"labels": "joy"},
        {"scores": [1.0]},
        {"scores": [None, *scores[1:]]},
    ):
        with pytest.raises(InputError, match="x, row 1"):
            survey([row(0, **bad)], "x")


def test_originals_are_not_twins_of_their_rewritings() -> None:
    rows = [row(n, variant=variant) for n in range(4) for variant in ("original", "rewritten")]
    found = survey(rows, "x")
    assert (found.rows, found.sampled_from, found.exact, len(found.speakers)) == (8, 4, 0, 4)
    situated = [row(n, text="I see.", context=f"story {n % 3}") for n in range(4)]
    assert survey(situated, "x").exact == 1  # the same words in another situation are another row
    assert survey(rows[::2], "x").sampled_from == 4  # originals alone are measured


def verdicts(**values: dict[str, float]) -> dict[str, str]:
    return {found.measure: found.state for found in judge("contextless", values, Gates())}


def test_gates() -> None:
    many = {"texts": 10_000}
    assert verdicts(
        gzip_ratio={"value": 2.5, "bytes": 500_000},
        distinct_2={"value": 0.46} | many,
        exact_duplicates={"value": 0.0} | many,
        near_duplicates={"value": 0.015} | many,
    ) == {"gzip_ratio": "ok", "distinct_2": "ok", "exact_duplicates": "ok", "near_duplicates": "warn"}
    few = {"texts": 100}
    assert verdicts(
        gzip_ratio={"value": 2.5, "bytes": 50_000},
        distinct_2={"value": 0.44} | few,
        exact_duplicates={"value": 0.01} | few,
        near_duplicates={"value": 0.0} | few,
    ) == {
        "gzip_ratio": "too small to judge",
        "distinct_2": "warn",
        "exact_duplicates": "FAIL",
        "near_duplicates": "too small to judge",
    }
    found = judge("x", {"gzip_ratio": {"value": 2.9, "bytes": 9}}, Gates(gzip_ratio=Gate(fail=2.8)))
    assert [(one.state, one.limits()) for one in found] == [("FAIL", "fail above 2.8")]
    assert judge("x", {"gzip_ratio": {"value": 2.9}}, Gates(gzip_ratio=Gate())) == []


def test_gates_are_no_part_of_what_a_run_is_known_by() -> None:
    recipe = BuildRecipe(name="x", teacher=ScriptedTeacher(kind="scripted"), gates=Gates(gzip_ratio=Gate(fail=9)))
    assert recipe.gates.gzip_ratio.fail == 9
    assert "gates" not in recipe.model_dump(mode="json")


def test_the_reference_values_are_whole() -> None:
    reference = read_reference()
    assert reference["goemotions"]["gzip_ratio"] == 2.33
    assert "ngd" not in reference["goemotions-neutral"]
    for values in reference.values():
        if {"ngd", "distinct_1", "distinct_2", "distinct_3", "distinct_4"} <= set(values):
            assert values["ngd"] == pytest.approx(sum(values[f"distinct_{n}"] for n in range(1, 5)), abs=0.011)


@pytest.mark.skipif(not (DATA / "goemotions").exists(), reason="GoEmotions' files are not here")
def test_human_text_measures_as_it_did() -> None:
    content, page = measure(DATA, {}, None)
    outside = [name for name in content["outside_tolerance"] if not name.startswith("isear")]
    assert outside == []
    assert content["metrics"]["goemotions_near_duplicates"]["value"] == 0.0065
    assert "2.334 (2.33)" in page


def test_data_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="contains none of goemotions"):
        measure(tmp_path, {}, None)
    (tmp_path / "goemotions").mkdir()
    (tmp_path / "goemotions/train.tsv").write_text("text\t0\tid\nno tabs\n")
    with pytest.raises(InputError, match="line 2"):
        measure(tmp_path, {}, None)


def by_letters(texts: list[str]) -> np.ndarray:
    """Embeddings of length 1 without a model: counts of letters."""
    counts = np.array([[1 + text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts])
    lengths: np.ndarray = counts / np.linalg.norm(counts, axis=1, keepdims=True)
    return lengths


def write_config(folder: Path, rows: list[dict[str, object]], split: str = "train") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / f"{split}-00000-of-00001.parquet")


def test_the_report_of_a_work_folder(scripted_work: Path) -> None:
    found = report(str(scripted_work), "x", Gates(), by_letters)
    metrics, manifest = found.content["metrics"], json.loads((scripted_work / "labels/manifest.json").read_text())
    assert metrics["stage_labels_rows"]["value"] == manifest["rows"]
    rows = open_corpus(scripted_work).count("contextless")
    assert found.content["rows"]["contextless"] == rows
    assert metrics["contextless_rows"]["value"] == sum(rows.values())
    assert 0 < metrics["cleaning_similarity"]["value"] <= 1
    assert 0 < metrics["contextless_cosine_neutral_within_character"]["value"] <= 1
    assert metrics["contextless_vendi_score"]["value"] >= 1
    assert metrics["characters_per_story"]["value"] > 0
    assert -1 <= metrics["contextless_class_shares_like_paper"]["value"] <= 1
    assert metrics["contextless_labels_per_text"]["deviation"] > 0
    assert 0 <= metrics["contextless_label_errors"]["value"] <= 1
    assert metrics["descriptors_descriptors_per_text"]["value"] > 0
    for title in (
        "What became of everything",
        "paper A",
        "15 ± 9.44",
        "## Gates",
        "## Plots",
        "random rows of `descriptors`",
    ):
        assert title in found.page
    assert "GoEmotions, human text" in found.card
    assert found.content == report(str(scripted_work), "x", Gates(), by_letters).content | {
        "seconds": found.content["seconds"]
    }


def test_plots_are_pictures(scripted_work: Path) -> None:
    from PIL import Image

    plots = report(str(scripted_work), "x", Gates(), by_letters).plots
    assert set(plots) == {"labels", "together", "scores", "asked", "lengths"}
    for name, image in plots.items():
        assert len(image) < 150_000, name
        with Image.open(io.BytesIO(image)) as opened:
            assert opened.format == "PNG"
            assert min(opened.size) >= 400
            assert len(opened.convert("RGB").getcolors(10**6) or ()) > 5, name


def test_the_report_of_a_bare_corpus(tmp_path: Path) -> None:
    write_config(tmp_path / "simple", [{"text": f"text number {n}", "labels": [n % 3]} for n in range(60)])
    write_config(tmp_path / "plain", [{"text": f"other number {n}"} for n in range(5)], "test")
    found = report(str(tmp_path), "bare", Gates(), None)
    assert found.content["rows"] == {"plain": {"test": 5}, "simple": {"train": 60}}
    assert found.content["metrics"]["simple_labels_per_text"]["value"] == 1
    assert set(found.plots) == {"labels", "together", "lengths"}
    assert {verdict.config for verdict in found.verdicts} == {"simple"}
    assert "teacher" not in found.content
    assert str(tmp_path) not in json.dumps(found.content) + found.page + found.card


def test_a_failed_gate_ends_with_1(tmp_path: Path, scripted_recipe: Path, command: Command) -> None:
    rows = [{"id": str(n), "text": f"text number {n}", "labels": [n % 3]} for n in range(40)]
    write_config(tmp_path / "good/only", rows)
    write_config(tmp_path / "bad/only", [*rows, rows[0] | {"id": "again"}])
    arguments = ["--out", tmp_path / "out", "--recipe", tmp_path / "recipe.yaml"]
    gates = "gates: {gzip_ratio: {}, distinct_2: {}, near_duplicates: {}}\n"
    (tmp_path / "recipe.yaml").write_text(scripted_recipe.read_text() + gates)
    good = command("-m", "dataset_builder", "report", tmp_path / "good", *arguments)
    assert good.returncode == 0, good.stderr
    assert "only exact_duplicates 0 (fail above 0): too small to judge" in good.stdout
    bad = command("-m", "dataset_builder", "report", tmp_path / "bad", *arguments)
    assert bad.returncode == 1, bad.stderr
    assert "(fail above 0): FAIL" in bad.stdout
    assert json.loads((tmp_path / "out/system/bad.json").read_text())["gates"][0]["state"] == "FAIL"
    assert (tmp_path / "out/system/bad/labels.png").read_bytes().startswith(b"\x89PNG")
    assert str(tmp_path) not in (tmp_path / "out/system/bad.json").read_text()


def test_what_cannot_be_reported(scripted_work: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="contains no"):
        report(str(tmp_path), "x", Gates(), None)
    assert _made_by(tmp_path) == {}
    for manifest in ("[1]", '{"teacher": "a"}'):  # of another program
        (tmp_path / "manifest.json").write_text(manifest)
        assert _made_by(tmp_path) == {}
    shutil.copy(scripted_work / "run.json", tmp_path)
    with pytest.raises(InputError, match="no finished build"):
        report(str(tmp_path), "x", Gates(), None)


def test_names(scripted_work: Path) -> None:
    assert name_of(str(scripted_work)) == name_of(str(scripted_work / "corpus")) == scripted_work.name
    assert name_of("owner/some-set") == "some-set"
