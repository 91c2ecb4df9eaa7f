"""Zero-shot use: rules and valence by hand, the command, the benchmarks and probe."""

import json
import os
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
import sklearn.metrics
from scipy.special import expit
from sentence_transformers import SentenceTransformer

from dataset_builder.domains.prepare import prepare
from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import LABELS
from eval.ablations import read_runs, together
from eval.benchmark_rows import Rows, descriptors
from eval.benchmarks import find
from eval.cards.results import ModelResult, VariantResult
from eval.cards.sections import model_section, variants_table
from eval.decision_rules import (
    DEFAULT,
    RULES,
    apply_rule,
    best_thresholds,
    by_prior,
    by_z_score,
    labels_per_text,
    log_odds,
    shift_to,
)
from eval.label_sets import find_set, label_sets, own_sentences, read_definitions
from eval.measure import bi_encoder_numbers
from eval.metrics import pearson
from eval.models import FALLBACK_TEMPERATURE, BiEncoder, load_bi_encoder
from eval.probe import by_chance, leave_one_out_projections, probe, same_group
from eval.run import bi_encoder_result
from eval.valence import ANGLES, CIRCLE_AROUSAL, CIRCLE_VALENCE, TAXONOMY, values_by_anchors, weighted_mean
from eval.zero_shot import classify, read_labels, read_texts
from tests.conftest import Command
from tests.test_dataset_builder_domains import goemotions_files, isear_files
from tools.loopback_hub import client_environment, serve

TEXTS = ["river window letter", "garden harbour", "candle bridge street"]


def test_the_prior_rule_by_hand() -> None:
    reference = log_odds(np.array([[0.8, 0.1], [0.4, 0.1]]))  # priors .6 and .1; of two labels both get .5
    logits = log_odds(np.array([[0.55, 0.2]]))
    expected = [np.log(0.55 / 0.45) - np.log(0.6 / 0.4), np.log(0.2 / 0.8) - np.log(0.1 / 0.9)]
    assert by_prior(logits, reference)[0] == pytest.approx(expected)
    assert apply_rule("prior", logits, reference, at_least_one=False).tolist() == [[0, 1]]
    assert apply_rule("sigmoid", logits, reference, at_least_one=False).tolist() == [[1, 0]]


def test_the_z_score_rule_by_hand() -> None:
    reference = np.array([[0.0, 5, 1, 1], [2.0, 7, 3, 3]])  # means 1, 6, 2, 2; deviations 1
    found = by_z_score(np.array([[2.5, 6.0, 2.0, 2.0]]), reference)
    cut = NormalDist().inv_cdf(0.75)
    assert found[0] == pytest.approx([1.5 - cut, -cut, -cut, -cut], abs=1e-4)


def test_the_best_threshold_is_that_of_the_largest_expected_f1() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.1], [0.2, 0.1], [0.1, 0.1]])
    # first label, 2 in all: 1 chosen 1.8/3, 2 chosen 3.4/4, 3 chosen 3.8/5, 4 chosen 4/6
    assert best_thresholds(probabilities)[0] == 0.8
    # second: .4 in all; the more are chosen the better, 0.8 / 4.4
    assert best_thresholds(probabilities)[1] == 0.1
    draw = np.random.default_rng(0)
    true = draw.beta(0.5, 3, (20000, 1))
    gold = draw.random(true.shape) < true
    found = best_thresholds(true)[0]
    values = {cut: sklearn.metrics.f1_score(gold, true >= cut) for cut in (found, found / 2, found * 1.5, 0.5)}
    assert max(values, key=values.__getitem__) == found
    assert values[found] / 2 == pytest.approx(found, abs=0.02), "the best threshold is half of the best F1"


def test_the_shift_gives_one_label_a_text() -> None:
    logits = np.random.default_rng(0).normal(-20, 4, (300, 6))
    assert expit(logits + shift_to(logits, 1.0)).sum(axis=1).mean() == pytest.approx(1.0)
    assert labels_per_text(1) == 0.5
    assert labels_per_text(28) == 1.0


def test_every_rule_decides_and_a_text_may_be_given_one() -> None:
    draw = np.random.default_rng(0)
    logits, reference = draw.normal(-8, 2, (50, 5)), draw.normal(-8, 2, (80, 5))
    for rule in RULES:
        given = apply_rule(rule, logits, reference, at_least_one=False)
        assert given.shape == (50, 5)
        assert set(np.unique(given)) <= {0, 1}
        assert apply_rule(rule, logits, reference, at_least_one=True).sum(axis=1).min() == 1
    assert apply_rule("sigmoid", logits, reference, at_least_one=False).sum() == 0
    assert apply_rule(DEFAULT, logits, reference, at_least_one=False).sum() > 10
    assert np.array_equal(
        apply_rule(DEFAULT, logits - 3, reference - 3, at_least_one=False),
        apply_rule(DEFAULT, logits, reference, at_least_one=False),
    ), "a bias that is wrong for the label set does no harm"


def test_valence_by_hand() -> None:
    cosines, values = np.array([[0.2, 0.1], [0.0, 0.0]]), np.array([1.0, -1.0])
    first = (np.exp(2) - np.exp(1)) / (np.exp(2) + np.exp(1))
    assert weighted_mean(cosines, values, 0.1) == pytest.approx([first, 0.0])
    assert (TAXONOMY["joy"], TAXONOMY["grief"], TAXONOMY["surprise"], TAXONOMY["neutral"]) == (1, -1, 0, 0)
    assert len(ANGLES) == 28
    assert CIRCLE_VALENCE["pleased"] > 0.9 > 0 > CIRCLE_VALENCE["miserable"]
    assert CIRCLE_AROUSAL["tense"] > 0.9 > 0 > CIRCLE_AROUSAL["sleepy"]


def test_our_label_sets() -> None:
    assert {name: len(one.labels) for name, one in label_sets().items()} == {
        "labels-11": 11, "labels-32": 32, "labels-6": 6,
    }  # fmt: skip
    texts = own_sentences()
    assert len(texts) == len(set(texts)) == 6 * 4 + 11 * 3 + 32 * 2
    for one in label_sets().values():
        for label in one.labels:
            assert all(label.name.lower() not in text.lower() for text in label.examples), label.name


def test_labels_are_read() -> None:
    assert read_labels('joy,"quiet pride", "pride, quiet"') == ["joy", "quiet pride", "pride, quiet"]
    assert read_labels("joy,dread\nhope") == ["joy", "dread", "hope"]
    assert read_labels('\n joy,\r\n"quiet, pride",\n\ndread  of   it\n') == ["joy", "quiet, pride", "dread of it"]
    for wrong in ("", "joy,,dread", "joy,joy", "joy\njoy", " \n", "joy," + "x" * 140_000):
        with pytest.raises(InputError, match="pass one or more labels"):
            read_labels(wrong)
    with pytest.raises(InputError, match="label 2 contains half a character"):
        read_labels("joy,tr\udce4ume")


def test_texts_of_a_command_line_are_utf_8(command: Command) -> None:
    assert read_texts(["I was there.", "Caf\u00e9 \U0001f60a"]) == ["I was there.", "Caf\u00e9 \U0001f60a"]
    with pytest.raises(InputError, match=r"text 2 contains half a character .*iconv -f LATIN1"):
        read_texts(["a", os.fsdecode(b"\xff\xfe")])
    with pytest.raises(InputError, match="text 1 is empty"):
        read_texts([" "])
    ask = ["-m", "eval.zero_shot", "--model", "none", "--labels", "joy,dread\nhope"]
    done = command(*ask, os.fsdecode("tr\u00e4ume".encode("latin-1")))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "text 1 contains half a character" in done.stderr


def test_what_a_model_brings_is_used(bi_encoder: Path) -> None:
    encoder = load_bi_encoder(str(bi_encoder))
    record = json.loads((bi_encoder / "training.json").read_text())
    assert (encoder.temperature, encoder.bias) == (record["temperature"], record["bias"])
    assert encoder.revision == record["weights_sha256"][:16]
    assert encoder.reference is not None
    assert encoder.reference.shape[1] == 32
    found = encoder.predict(TEXTS, ["joy", "dread"])
    assert found.source == "the model's reference texts"
    stock = SentenceTransformer(str(bi_encoder), device="cpu")
    similarity = stock.similarity(stock.encode_query(TEXTS), stock.encode_document(["joy", "dread"])).numpy()
    assert found.cosines == pytest.approx(similarity, abs=1e-5)
    assert found.logits == pytest.approx(similarity / record["temperature"] + record["bias"], abs=1e-3)
    assert found.reference_logits.shape == (len(encoder.reference), 2)


def test_definitions_move_a_label_half_way(bi_encoder: Path) -> None:
    encoder = load_bi_encoder(str(bi_encoder))
    name, meaning = encoder.embed_labels(["joy", "river window"])
    both = encoder.embed_labels(["joy", "dread"], {"joy": "river window"})
    assert both[0] == pytest.approx((name + meaning) / np.linalg.norm(name + meaning), abs=1e-5)
    assert both[1] == pytest.approx(encoder.embed_labels(["dread"])[0], abs=1e-5)


def test_other_encoders_are_scored_too(raw_encoder: Path) -> None:
    encoder = load_bi_encoder(str(raw_encoder))
    assert (encoder.temperature, encoder.bias, encoder.reference) == (FALLBACK_TEMPERATURE, None, None)
    found = encoder.predict(TEXTS, ["joy", "dread", "awe"])
    assert found.source == "the sentences of eval/label_sets"
    assert expit(found.reference_logits).sum(axis=1).mean() == pytest.approx(1.0)
    many = encoder.predict(TEXTS * 20, ["joy", "dread", "awe"])
    assert many.source == "the given texts"


def test_texts_are_classified(bi_encoder: Path) -> None:
    encoder = load_bi_encoder(str(bi_encoder))
    labels = ["joy", "quiet pride", "dread"]
    answers, how = classify(encoder, TEXTS, labels, single=True)
    assert how == "argmax over the labels"
    for answer in answers:
        (given,) = answer.given
        assert answer.probabilities[given] == max(answer.probabilities.values())
    answers, how = classify(encoder, TEXTS, [*labels, "neutral"])
    assert how == f"rule {DEFAULT} on the model's reference texts"
    assert all(answer.given for answer in answers), "with neutral among the labels a text has one"
    values = values_by_anchors(encoder, encoder.embed_texts(TEXTS))
    assert values.shape == (3,)
    assert np.abs(values).max() <= 1


def write_emobank(folder: Path, lines: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "emobank.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_emobank_s_file(tmp_path: Path) -> None:
    head = "id,split,V,A,D,text"
    rows = [head, 'a,test,3.5,3.0,3.1,"river, window"', "b,train,2.0,3.0,3.0,garden", "c,test,1.5,4.0,3.0,harbour"]
    task = find("emobank").load(str(write_emobank(tmp_path, rows)), "contextless")
    assert task.texts == ["river, window", "harbour"]
    assert task.gold.tolist() == [[3.5, 3.0], [1.5, 4.0]]
    for lines, says in (
        ([head, "a,test,x,3,3,river"], "line 2: cannot be read"),
        ([head, "b,train,2.0,3.0,3.0,garden"], "has no test rows"),
        (["id,V,A,D,text"], "its header is not"),
    ):
        with pytest.raises(InputError, match=says):
            find("emobank").load(str(write_emobank(tmp_path, lines)), "contextless")
    with pytest.raises(InputError, match="no such file"):
        find("emobank").load(str(tmp_path / "none"), "contextless")
    with pytest.raises(InputError, match=r"pass the folder that contains .emobank.csv. with --data"):
        find("emobank").load(None, "contextless")


def test_a_perfect_encoder_has_perfect_numbers() -> None:
    """Each text is its label's name; the encoder gives every name an axis of its own."""

    class Model:
        def encode_document(self, texts: list[str], **_: object) -> np.ndarray:
            return np.eye(28)[[LABELS.index(text) for text in texts]]

        encode_query = encode_document

    texts = list(LABELS) * 3
    gold = np.tile(np.eye(28, dtype=np.int8), (3, 1))
    encoder = BiEncoder("x", "r", {}, Model(), 0.05, -10.0, None)
    rows = Rows(texts, None, gold, "r", "p")
    for name in ("goemotions", "labels-6"):
        found = bi_encoder_numbers(find(name), rows, [encoder])
        assert found["metrics"]["macro_f1"]["value"] == 1.0
        assert found["per_label"]["joy"] == {"f1": 1.0, "precision": 1.0, "recall": 1.0, "support": 3}
    ratings = np.array([[TAXONOMY[name], 0.0] for name in texts])
    anchors = bi_encoder_numbers(find("goemotions"), rows, [encoder])["metrics"]
    assert anchors["average_precision"]["value"] == anchors["roc_auc"]["value"] == 1.0
    assert pearson(ratings[:, 0], values_by_anchors(encoder, encoder.embed_texts(texts))) > 0.99


def test_the_corpus_s_own_descriptors(scripted_work: Path) -> None:
    task = descriptors(str(scripted_work / "corpus"), "contextless")
    assert task.gold.shape == (len(task.texts), len(task.classes))
    assert set(task.classes) <= set(LABELS)
    assert task.gold.any(axis=0).all()
    assert task.gold.any(axis=1).all()


def test_results_have_the_shape_of_the_others(bi_encoder: Path, raw_encoder: Path, tmp_path: Path) -> None:
    prepare("isear", isear_files(tmp_path / "files"), tmp_path / "isear")
    rows = find("isear").load(str(tmp_path / "isear"), "contextless")
    models = [load_bi_encoder(str(bi_encoder))]
    content = bi_encoder_result(find("isear"), rows, models, load_bi_encoder(str(raw_encoder)), defined=False)
    assert content["threshold_source"] == "argmax over the class names"
    assert set(content["metrics"]) == {"accuracy", "macro_f1", "weighted_f1", "macro_recall", "macro_f1_centred"}
    assert content["beside"]["name"] == "raw"
    assert set(content["beside"]["metrics"]) == set(content["metrics"])
    assert content["intervals"] == "95% bootstrap intervals, 2,000 resamples of 4 persons"
    assert content["prompts"] == {"query": "", "document": "emotion: "}
    assert content["seeds"] == [13]
    assert sum(found["support"] for found in content["per_label"].values()) == content["support"]


def test_projections_leave_the_word_out() -> None:
    embeddings = np.eye(3)
    # the axis of the others: their values less their mean, here ±.5 on their own dimensions
    assert leave_one_out_projections(embeddings, np.array([0.0, 1.0, 2.0])) == pytest.approx([0, 0, 0])
    line = np.array([[1.0, 0], [0.8, 0.6], [0.6, 0.8], [0, 1.0]])
    assert np.all(np.diff(leave_one_out_projections(line, np.array([1.0, 2, 3, 4]))) > 0)


def test_groups_by_hand() -> None:
    line = np.array([[1.0, 0], [0.9, 0.1], [0.1, 0.9], [0, 1.0]])
    line /= np.linalg.norm(line, axis=1, keepdims=True)
    assert same_group(line, np.array(["a", "a", "b", "b"])) == 1
    assert same_group(line, np.array(["a", "b", "a", "b"])) == 0
    assert by_chance(np.array(["a", "a", "b", "b"])) == pytest.approx(1 / 3)


def test_a_space_is_probed(bi_encoder: Path) -> None:
    found = probe(load_bi_encoder(str(bi_encoder)))
    assert {"valence_axis", "arousal_axis", "ekman_silhouette", "ekman_same_group"} <= set(found["metrics"])
    assert all(len(words) == 5 and word not in words for word, words in found["neighbours"].items())


def test_models_that_do_not_fit(bi_encoder: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        load_bi_encoder(str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"has no modules.json"):
        load_bi_encoder(str(tiny_encoder))
    half = tmp_path / "half"
    half.mkdir()
    for path in bi_encoder.iterdir():
        if path.is_file() and path.name != "training.json":
            (half / path.name).write_bytes(path.read_bytes())
    (half / "1_Pooling").mkdir()
    (half / "1_Pooling/config.json").write_bytes((bi_encoder / "1_Pooling/config.json").read_bytes())
    with pytest.raises(InputError, match="its training did not finish"):
        load_bi_encoder(str(half))


def test_definitions_and_sets_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown label set 'labels-7'"):
        find_set("labels-7")
    (tmp_path / "set.yaml").write_text("name: x\nlabels:\n  - {name: joy, definition: d}\n")
    with pytest.raises(InputError, match="two or more"):
        find_set(str(tmp_path / "set.yaml"))
    with pytest.raises(InputError, match="not a readable YAML file"):
        read_definitions(str(tmp_path / "none.yaml"))
    (tmp_path / "list.yaml").write_text("- joy\n")
    with pytest.raises(InputError, match="expected lines"):
        read_definitions(str(tmp_path / "list.yaml"))


@pytest.mark.end_to_end
def test_the_commands(bi_encoder: Path, raw_encoder: Path, tmp_path: Path, command: Command) -> None:
    ask = ["-m", "eval.zero_shot", "--model", bi_encoder]
    done = command(*ask, "--labels", 'joy,"quiet pride",dread', "--valence", *TEXTS)
    assert done.returncode == 0, done.stderr
    assert "quiet pride" in done.stdout
    assert "valence" in done.stdout
    definitions = tmp_path / "definitions.yaml"
    definitions.write_text("glee: loud joy\n")
    done = command(*ask, "--labels", "joy,dread", "--definitions", definitions, "river")
    assert done.returncode == 2
    assert "defines 'glee'" in done.stderr
    prepare("goemotions", goemotions_files(tmp_path / "files"), tmp_path / "goemotions")
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(TEXTS))
    run = ["-m", "eval.run", "--model", bi_encoder, "--out", tmp_path / "out"]
    for benchmark, more in (
        ("goemotions", ["--data", tmp_path / "goemotions", "--beside", raw_encoder, "--definitions"]),
        ("labels-32", ["--data", texts]),
    ):
        done = command(*run, "--benchmark", benchmark, *more)
        assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "out" / bi_encoder.name / "goemotions.json").read_text())
    assert {"macro_f1", "micro_f1", "average_precision", "roc_auc", "macro_f1_prior"} <= set(content["metrics"])
    assert content["threshold_source"].startswith(f"rule {DEFAULT} on the model's reference texts")
    assert content["definitions"] is True
    shares = json.loads((tmp_path / "out" / bi_encoder.name / "labels-32.json").read_text())["metrics"]
    assert sum(found["value"] for found in shares.values()) == pytest.approx(1, abs=1e-3)
    done = command("-m", "eval.probe", "--model", bi_encoder, "--beside", raw_encoder, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / bi_encoder.name / "probe.png").stat().st_size > 10_000


UPLOAD = """
import sys
from pathlib import Path
from huggingface_hub import HfApi
for folder in map(Path, sys.argv[1:]):
    HfApi().create_repo(f"tester/{folder.name}")
    HfApi().upload_folder(repo_id=f"tester/{folder.name}", folder_path=folder)
"""


@pytest.mark.end_to_end
def test_models_of_both_kinds_come_from_the_hub(
    bi_encoder: Path, tiny_models: Path, tmp_path: Path, command: Command
) -> None:
    classifier = tiny_models / "emo-pillars-contextless-minilm"
    goemotions = goemotions_files(tmp_path / "files")
    with serve() as (_, url):
        environment = client_environment(url, tmp_path / "home")
        done = command("-c", UPLOAD, bi_encoder, classifier, environment=environment)
        assert done.returncode == 0, done.stderr
        for model in (bi_encoder.name, classifier.name):
            ask = ["--model", f"tester/{model}", "--benchmark", "goemotions", "--data", goemotions]
            done = command("-m", "eval.run", *ask, "--out", tmp_path / "out", environment=environment)
            assert done.returncode == 0, done.stderr
            content = json.loads((tmp_path / "out" / model / "goemotions.json").read_text())
            assert len(content["model_revision"]) == 40, "the commit on the Hub"
            assert content["seeds"] == [13], "its training record came too"
        done = command("-m", "eval.run", "--model", "tester/none", "--benchmark", "labels-6", environment=environment)
        assert done.returncode == 2
        assert "no such model on the Hub" in done.stderr


def test_a_card_shows_both_encoders(bi_encoder: Path, raw_encoder: Path) -> None:
    rows = find("labels-6").load(None, "contextless")
    models = [load_bi_encoder(str(bi_encoder))]
    content = bi_encoder_result(find("labels-6"), rows, models, load_bi_encoder(str(raw_encoder)), defined=False)
    section = model_section("m", {"labels-6": ModelResult.model_validate(content)})
    assert "| benchmark | rows | metric | this model | for comparison: raw |" in section
    assert "| Our own sentences, 6 labels | 24 | macro-F1 |" in section
    assert "argmax over the class names" in section


def test_variants_stand_side_by_side(bi_encoder: Path, tmp_path: Path) -> None:
    rows = find("labels-6").load(None, "contextless")
    content = bi_encoder_result(find("labels-6"), rows, [load_bi_encoder(str(bi_encoder))], None, defined=False)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/labels-6.json").write_text(json.dumps(content))
    found = together(read_runs([f"sigmoid={tmp_path}/a"]))
    assert found["metrics"]["sigmoid: labels-6 macro_f1"] == content["metrics"]["macro_f1"]
    assert found["variants"]["sigmoid"]["labels-6"]["recipe_hash"] == content["recipe_hash"]
    found["metrics"] |= {"info-nce: isear macro_f1": {"value": 0.5, "low": 0.4, "high": 0.6}}
    found["variants"]["info-nce"] = {}
    lines = variants_table(VariantResult.model_validate({"name": "m", **found})).splitlines()
    assert [line.split("|")[1].strip() for line in lines] == ["variant", "---", "sigmoid", "info-nce"]
    assert lines[0].count("|") == 3, "no column for a set of our own"
    assert "0.500 [0.400, 0.600]" in lines[3]
    for wrong, says in (("x", "pass VARIANT=FOLDER"), (f"x={tmp_path}", "no result of eval.run")):
        with pytest.raises(InputError, match=says):
            read_runs([wrong])
