"""push.py and the real clients against a Hub on loopback."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataset_builder.quality.corpus import open_corpus
from dataset_builder.quality.deduplicate_corpus import deduplicate
from eval.benchmarks import GOEMOTIONS as GOEMOTIONS_ON_HUB
from tests.conftest import ROOT, Command
from tests.loopback_hub import LoopbackHub, client_environment, serve

USER = """
import json, sys
from datasets import load_dataset
from huggingface_hub import HfApi
from transformers import pipeline

namespace = sys.argv[1]
found = {"rows": {}}
for config in ("descriptors", "contextless", "contextual"):
    corpus = load_dataset(f"{namespace}/emo-pillars", config)
    found["rows"][config] = {split: len(rows) for split, rows in corpus.items()}
found["default"] = load_dataset(f"{namespace}/emo-pillars", split="train").column_names
found["names"] = corpus["train"].features["labels"].feature.names
found["streamed"] = next(iter(load_dataset(f"{namespace}/emo-pillars", split="test", streaming=True)))["id"]
single = pipeline("text-classification", model=f"{namespace}/emo-pillars-contextless-minilm", top_k=None)
found["single"] = single("river window")[0]
pair = pipeline("text-classification", model=f"{namespace}/emo-pillars-contextual-minilm", top_k=None)
found["pair"] = pair({"text": "river window", "text_pair": "letter garden"})
found["alone"] = pair({"text": "river window"})
found["thresholds"] = pair.model.config.thresholds
found["card"] = HfApi().model_info(f"{namespace}/emo-pillars-contextual-minilm").card_data.to_dict()
print("FOUND" + json.dumps(found))
"""


@pytest.fixture(scope="module")
def hub() -> Iterator[tuple[LoopbackHub, str]]:
    with serve() as served:
        yield served


@pytest.fixture
def places(scripted_work: Path, tiny_models: Path) -> list[object]:
    return ["--corpus", scripted_work / "corpus", "--models", tiny_models, "--cards", ROOT / "model_cards"]


def test_the_plan_sends_nothing(
    places: list[object], command: Command, hub: tuple[LoopbackHub, str], tmp_path: Path
) -> None:
    calls = len(hub[0].calls)
    done = command("push.py", "--namespace", "tester", *places, environment=client_environment(hub[1], tmp_path, None))
    assert done.returncode == 0, done.stderr
    for name in ("emo-pillars", "emo-pillars-contextless-minilm", "emo-pillars-contextual-minilm", "model.safetensors"):
        assert name in done.stdout
    assert "private" in done.stdout
    assert "nothing was sent" in done.stdout
    assert len(hub[0].calls) == calls


@pytest.mark.end_to_end
def test_push_then_load_as_a_user_then_push_again(
    places: list[object], command: Command, hub: tuple[LoopbackHub, str], tmp_path: Path, scripted_work: Path
) -> None:
    environment = client_environment(hub[1], tmp_path / "sender")
    hub[0].faults = {"PUT /_lfs/": [500, 503], "POST /api/datasets/tester/emo-pillars/commit": [503]}
    sent = command("push.py", "--namespace", "tester", *places, "--execute", environment=environment)
    assert sent.returncode == 0, sent.stderr
    assert "sent by tester" in sent.stdout
    assert all(repository.private for repository in hub[0].repositories.values())

    user = command("-c", USER, "tester", environment=client_environment(hub[1], tmp_path / "user"))
    assert user.returncode == 0, user.stderr
    found = json.loads(user.stdout.partition("FOUND")[2])
    assert found["rows"] == json.loads((scripted_work / "corpus/manifest.json").read_text())["rows"]
    assert "context" not in found["default"], "the default config is contextless"
    assert found["names"][0] == "admiration"
    assert found["names"][27] == "neutral"
    for scores in (found["single"], found["pair"], found["alone"]):
        assert sorted(score["label"] for score in scores) == sorted(found["names"])
        assert all(0 < score["score"] < 1 for score in scores)
    assert found["pair"] != found["alone"]
    assert found["thresholds"].keys() == set(found["names"])
    assert found["card"]["datasets"] == ["tester/emo-pillars"]
    assert found["card"]["pipeline_tag"] == "text-classification"

    checked = command(
        "-m",
        "dataset_builder",
        "validate",
        "tester/emo-pillars",
        environment=client_environment(hub[1], tmp_path / "checker"),
    )
    assert (checked.returncode, "valid: all" in checked.stdout) == (0, True), checked.stdout + checked.stderr

    commits = {key: len(repository.commits) for key, repository in hub[0].repositories.items()}
    assert set(commits.values()) == {2}, "one commit after the first"
    again = command("push.py", "--namespace", "tester", *places, "--execute", environment=environment)
    assert again.returncode == 0, again.stderr
    assert {key: len(repository.commits) for key, repository in hub[0].repositories.items()} == commits

    # Another corpus in the place of the first: its files have other names, and nobody reads those of the first.
    smaller = tmp_path / "smaller"
    benchmark = tmp_path / "test.jsonl"
    benchmark.write_text(json.dumps({"text": next(open_corpus(scripted_work).rows("contextless", "train"))["text"]}))
    deduplicate(scripted_work, smaller, benchmarks=[str(benchmark)])
    places = ["--corpus", smaller, *places[2:]]
    replaced = command("push.py", "--namespace", "tester", *places, "--execute", environment=environment)
    assert replaced.returncode == 0, replaced.stderr
    user = command("-c", USER, "tester", environment=client_environment(hub[1], tmp_path / "later"))
    rows = json.loads(user.stdout.partition("FOUND")[2])["rows"]
    assert rows == json.loads((smaller / "manifest.json").read_text())["rows"]
    assert rows != found["rows"]


@pytest.mark.parametrize(
    ("token", "namespace", "says"),
    [
        ("hf_wrong", "tester", "refuses the token"),
        (None, "tester", "no Hub token"),
        ("hf_reader", "tester", "may not write to 'tester'"),
        ("hf_writer", "someone-else", "may not write to 'someone-else'"),
    ],
)
def test_a_hub_that_refuses(
    places: list[object],
    command: Command,
    hub: tuple[LoopbackHub, str],
    tmp_path: Path,
    token: str | None,
    namespace: str,
    says: str,
) -> None:
    environment = client_environment(hub[1], tmp_path, token)
    done = command("push.py", "--namespace", namespace, *places, "--execute", environment=environment)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert str(token) not in done.stdout + done.stderr.replace("no Hub token", "") or token is None


def test_what_is_not_whole_is_not_sent(
    places: list[object], command: Command, tmp_path: Path, scripted_work: Path, tiny_models: Path
) -> None:
    arguments = ["push.py", "--namespace", "tester"]
    missing = command(*arguments, "--corpus", tmp_path, "--models", tiny_models)
    assert missing.returncode == 2
    assert "manifest.json" in missing.stderr
    (tmp_path / "models/emo-pillars-contextless-minilm").mkdir(parents=True)
    half = command(*arguments, "--corpus", scripted_work / "corpus", "--models", tmp_path / "models")
    assert half.returncode == 2
    assert "training did not end" in half.stderr
    cardless = command(*arguments, *places[:4], "--cards", tmp_path)
    assert cardless.returncode == 2
    assert "no card" in cardless.stderr
    nobody = command(
        *arguments, *places, "--execute", environment=client_environment("http://127.0.0.1:9", tmp_path / "home")
    )
    assert nobody.returncode == 2
    assert "Traceback" not in nobody.stderr


GOEMOTIONS = """
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value
names = __import__("dataset_builder.taxonomy", fromlist=["LABELS"]).LABELS
features = Features({"text": Value("string"), "labels": List(ClassLabel(names=list(names))), "id": Value("string")})
rows = {"text": ["river window", "letter", "garden"], "labels": [[0], [27], [3, 5]], "id": ["a", "b", "c"]}
test = Dataset.from_dict(rows, features=features)
name, config, revision, _ = __import__("eval.benchmarks", fromlist=["GOEMOTIONS"]).GOEMOTIONS
DatasetDict(test=test).push_to_hub(name, config, set_default=True)
__import__("huggingface_hub").HfApi().create_tag(name, tag=revision, repo_type="dataset")
"""


@pytest.mark.end_to_end
def test_goemotions_comes_from_the_hub_by_default(
    command: Command, hub: tuple[LoopbackHub, str], tmp_path: Path, tiny_models: Path
) -> None:
    environment = client_environment(hub[1], tmp_path / "home")
    pushed = command("-c", GOEMOTIONS, environment=environment)
    assert pushed.returncode == 0, pushed.stderr
    model = tiny_models / "emo-pillars-contextless-minilm"
    arguments = ["--model", model, "--benchmark", "goemotions", "--out", tmp_path]
    done = command("-m", "eval.run", *arguments, environment=environment)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / model.name / "goemotions.json").read_text())
    assert result["support"] == 3
    assert result["data_revision"] == GOEMOTIONS_ON_HUB.revision


def test_onnx_files_are_sent_with_the_weights_they_were_made_from(
    scripted_work: Path, tiny_models: Path, command: Command, hub: tuple[LoopbackHub, str], tmp_path: Path
) -> None:
    name = "emo-pillars-contextless-minilm"
    shutil.copytree(tiny_models / name, tmp_path / "models" / name)
    folder = tmp_path / "models" / name
    for part in ("onnx", "checkpoint"):
        (folder / part).mkdir()
    (folder / "onnx/model.onnx").write_bytes(b"graph")
    (folder / "checkpoint/optimizer.bin").write_bytes(b"state")
    weights = json.loads((folder / "training.json").read_text())["weights_sha256"]
    (folder / "onnx/export.json").write_text(json.dumps({"weights_sha256": weights}))
    asked = ["push.py", "--namespace", "tester", "--corpus", scripted_work / "corpus", "--models", tmp_path / "models"]
    environment = client_environment(hub[1], tmp_path, None)
    done = command(*asked, environment=environment)
    assert done.returncode == 0, done.stderr
    assert "onnx/model.onnx (5 bytes)" in done.stdout
    assert "optimizer.bin" not in done.stdout, "a checkpoint is nobody else's business"
    (folder / "onnx/export.json").write_text(json.dumps({"weights_sha256": "other"}))
    done = command(*asked, environment=environment)
    assert done.returncode != 0
    assert "made from other weights" in done.stderr
