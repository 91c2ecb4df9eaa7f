"""push.py and the real clients against a Hub on loopback."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import close_session

import push
from dataset_builder.analysis.deduplicate_corpus import deduplicate
from dataset_builder.corpus import open_corpus
from eval.benchmark_rows import GOEMOTIONS as GOEMOTIONS_ON_HUB
from tests.conftest import Command
from tests.publishable import arguments
from tools.loopback_hub import APPLIED_500, APPLIED_DROPPED, DROPPED, LoopbackHub, client_environment, serve
from tools.push_kills.__main__ import measure

USER = """
import json, sys
from datasets import load_dataset
from huggingface_hub import HfApi, ModelCard, hf_hub_download
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
found["cards"] = {name: str(ModelCard.load(f"{namespace}/{name}")) for name in (
    "emo-pillars-contextless-minilm", "emo-pillars-contextual-minilm")}
found["sdk"] = HfApi().space_info(f"{namespace}/emo-pillars").sdk
found["app"] = open(hf_hub_download(f"{namespace}/emo-pillars", "app.py", repo_type="space")).read()
[collection] = HfApi().list_collections(owner=namespace)
found["collection"] = [[item.item_type, item.item_id] for item in HfApi().get_collection(collection.slug).items]
print("FOUND" + json.dumps(found))
"""


def numbers(results: Path) -> set[str]:
    """Every number of a model's results, to three and to four places, as cards write them."""

    def found(content: Any) -> Iterator[float]:
        if isinstance(content, dict | list):
            for one in content.values() if isinstance(content, dict) else content:
                yield from found(one)
        elif isinstance(content, float):
            yield content

    values = {value for path in results.rglob("*.json") for value in found(json.loads(path.read_text()))}
    return {f"{value:.{places}f}" for value in values for places in (3, 4)}


@pytest.fixture(scope="module")
def hub() -> Iterator[tuple[LoopbackHub, str]]:
    with serve() as served:
        yield served


@pytest.fixture
def places(scripted_work: Path, tiny_models: Path, evidence: Path) -> list[str]:
    return arguments(scripted_work, tiny_models, evidence)


def test_the_plan_sends_nothing(
    places: list[str], command: Command, hub: tuple[LoopbackHub, str], tmp_path: Path
) -> None:
    calls = len(hub[0].calls)
    done = command("push.py", "--namespace", "tester", *places, environment=client_environment(hub[1], tmp_path, None))
    assert done.returncode == 0, done.stderr
    for name in ("emo-pillars", "emo-pillars-contextless-minilm", "emo-pillars-contextual-minilm", "model.safetensors"):
        assert name in done.stdout
    assert "space    tester/emo-pillars" in done.stdout
    assert "private, tag v0.1.0" in done.stdout
    assert "nothing was sent" in done.stdout
    assert len(hub[0].calls) == calls


@pytest.mark.end_to_end
def test_push_then_load_as_a_user_then_push_again(
    places: list[str],
    command: Command,
    hub: tuple[LoopbackHub, str],
    tmp_path: Path,
    scripted_work: Path,
    evidence: Path,
) -> None:
    environment = client_environment(hub[1], tmp_path / "sender")
    push = ["push.py", "--namespace", "tester", "--execute"]
    hub[0].faults = {"PUT /_lfs/": [500, 503], "POST /api/datasets/tester/emo-pillars/commit": [503]}
    sent = command(*push, *places, environment=environment)
    assert sent.returncode == 0, sent.stderr
    assert "README.md" in sent.stdout.partition(", new")[0]
    assert "hf_writer" not in sent.stdout + sent.stderr
    ours = {key: held for key, held in hub[0].repositories.items() if key[1].startswith("tester/")}
    assert all(repository.private for repository in ours.values())
    assert {kind for kind, _ in ours} == {"datasets", "models", "spaces"}

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
    assert found["sdk"] == "gradio"
    assert 'model="tester/emo-pillars-contextual-minilm"' in found["app"]
    assert found["collection"] == [
        ["dataset", "tester/emo-pillars"],
        ["model", "tester/emo-pillars-contextless-minilm"],
        ["model", "tester/emo-pillars-contextual-minilm"],
        ["space", "tester/emo-pillars"],
    ]

    for name, card in found["cards"].items():
        told = re.findall(r"(?<![\d.])\d\.\d{3,4}(?!\d)", card.partition("<!-- recipe:begin -->")[0])
        measured = numbers(evidence / "results" / name)
        assert len(set(told)) >= 5, "four measures and a label's"
        assert {one for one in told if one not in measured} == set(), f"numbers of no result in the card of {name}"

    checked = command(
        "-m",
        "dataset_builder",
        "validate",
        "tester/emo-pillars",
        environment=client_environment(hub[1], tmp_path / "checker"),
    )
    assert (checked.returncode, "valid: all" in checked.stdout) == (0, True), checked.stdout + checked.stderr

    for repository in ours.values():
        first, last = repository.commits.values()
        assert (first.title, last.title) == ("initial commit", "Publish v0.1.0"), "one commit after the first"
        assert "commit " in last.message
        assert repository.sha("v0.1.0") == repository.sha("main")
    before = hub[0].collections.copy(), {key: len(repository.commits) for key, repository in ours.items()}
    writes = len([call for call in hub[0].calls if call[0] != "GET" and "validate-yaml" not in call[1]])
    again = command(*push, *places, environment=environment)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("nothing new") == len(ours)
    assert (hub[0].collections, {key: len(repository.commits) for key, repository in ours.items()}) == before
    assert len([call for call in hub[0].calls if call[0] != "GET" and "validate-yaml" not in call[1]]) == writes

    # Another corpus in the place of the first: its files have other names, and nobody reads those of the first.
    smaller = tmp_path / "smaller"
    benchmark = tmp_path / "test.jsonl"
    benchmark.write_text(json.dumps({"text": next(open_corpus(scripted_work).rows("contextless", "train"))["text"]}))
    deduplicate(scripted_work, smaller, benchmarks=[str(benchmark)])
    places = ["--corpus", str(smaller), *places[2:]]
    tagged = command(*push, *places, environment=environment)
    assert tagged.returncode == 2
    assert "already has the tag v0.1.0" in tagged.stderr
    assert "use a new --tag" in tagged.stderr
    assert {key: len(repository.commits) for key, repository in ours.items()} == before[1]
    replaced = command(*push, *places, "--tag", "v0.2.0", environment=environment)
    assert replaced.returncode == 0, replaced.stderr
    user = command("-c", USER, "tester", environment=client_environment(hub[1], tmp_path / "later"))
    rows = json.loads(user.stdout.partition("FOUND")[2])["rows"]
    assert rows == json.loads((smaller / "manifest.json").read_text())["rows"]
    assert rows != found["rows"]
    dataset = ours["datasets", "tester/emo-pillars"]
    assert len(dataset.commits) == 3
    assert not set(dataset.commits[dataset.sha("v0.1.0")].files) <= set(dataset.commits[dataset.sha("v0.2.0")].files)


@pytest.mark.end_to_end
def test_lost_answers_and_faults_double_nothing(places: list[str], command: Command, tmp_path: Path) -> None:
    """An answer that is lost before or after the Hub did what it was asked; every kind of call that writes."""
    with serve() as (hub, url):
        hub.faults = {
            "GET /api/whoami-v2": [503],
            "POST /api/repos/create": [APPLIED_500, DROPPED, APPLIED_DROPPED],
            "POST /api/datasets/tester/emo-pillars/commit": [APPLIED_DROPPED],
            "POST /api/datasets/tester/emo-pillars/tag": [APPLIED_500],
            "POST /api/models/tester/emo-pillars-contextless-minilm/commit": [APPLIED_500],
            "POST /api/models/tester/emo-pillars-contextless-minilm/tag": [429, APPLIED_DROPPED],
            "POST /api/models/tester/emo-pillars-contextual-minilm/commit": [429, 412],
            "POST /api/spaces/tester/emo-pillars/commit": [DROPPED],
            "POST /api/collections/": [APPLIED_500],
            "POST /api/collections": [APPLIED_DROPPED],
        }
        environment = client_environment(url, tmp_path)
        done = command("push.py", "--namespace", "tester", "--execute", *places, environment=environment)
        assert done.returncode == 0, done.stderr
        assert not any(hub.faults.values()), "each befell the push"
        assert len(hub.repositories) == 4
        for repository in hub.repositories.values():
            assert [commit.title for commit in repository.commits.values()] == ["initial commit", "Publish v0.1.0"]
            assert repository.tags == {"v0.1.0": repository.sha("main")}
        [collection] = hub.collections.values()
        assert len(collection["items"]) == len({(item["type"], item["id"]) for item in collection["items"]}) == 4


@pytest.mark.end_to_end
def test_a_push_that_is_killed_is_finished_by_the_next(places: list[str], tmp_path: Path) -> None:
    metrics = measure(places, tmp_path, kills=4)["metrics"]
    assert metrics["kills"]["value"] == 4
    assert metrics["inconsistent"]["value"] == 0
    assert metrics["kills_between_commits"]["value"] > 0


@pytest.fixture
def push_here(
    places: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs a push that is refused, in this process and without waits; returns its lines on stderr."""

    def run(url: str, token: str | None, *words: object) -> str:
        monkeypatch.setattr("sys.argv", ["push.py", *places, *map(str, words)])
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("HF_TOKEN", token or "")
        close_session()
        with pytest.raises(SystemExit) as left:
            push.main()
        close_session()
        assert left.value.code == 2
        printed = capsys.readouterr()
        assert not token or token not in printed.out + printed.err
        return printed.err

    return run


@pytest.mark.parametrize(
    ("token", "namespace", "says"),
    [
        ("hf_wrong", "tester", "rejected the token"),
        (None, "tester", "no Hub token"),
        ("hf_reader", "tester", "may not write to 'tester'"),
        ("hf_reader", "reader", "it is read-only"),
        ("hf_writer", "someone-else", "may not write to 'someone-else'"),
    ],
)
def test_a_hub_that_refuses(
    push_here: Callable[..., str],
    hub: tuple[LoopbackHub, str],
    token: str | None,
    namespace: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("publish.checks.cards_are_fresh", lambda folders: [])  # a second or two for each
    [line] = push_here(hub[1], token, "--namespace", namespace, "--execute").splitlines()
    assert says in line


def test_nobody_answers(push_here: Callable[..., str]) -> None:
    *waits, line = push_here("http://127.0.0.1:9", "hf_writer", "--namespace", "tester", "--compare").splitlines()
    assert [wait.partition(";")[2] for wait in waits] == [f" trying again in {2**n} s" for n in range(4)]
    assert "http://127.0.0.1:9: ConnectError" in line
    assert line.endswith("Run the command again.")


def test_all_that_is_wrong_is_said_at_once(
    push_here: Callable[..., str], tmp_path: Path, tiny_models: Path, evidence: Path
) -> None:
    """And nobody is asked: the Hub that is named does not exist."""
    key = "hf_" + "aBcD3fGh1jKlMn0pQrStUvWxYz" * 2
    for name in ("emo-pillars-contextless-minilm", "emo-pillars-contextual-minilm"):
        shutil.copytree(tiny_models / name, tmp_path / "models" / name)
    (tmp_path / "models/emo-pillars-half").mkdir()
    folder = tmp_path / "models/emo-pillars-contextless-minilm"
    (folder / "pytorch_model.bin").write_bytes(b"weights")
    (folder / "notes.txt").write_text(f"login with {key}")
    shutil.copytree(evidence / "cards", tmp_path / "cards")
    card = tmp_path / "cards/emo-pillars-contextual-minilm.md"
    card.write_text(card.read_text().replace("0.250", "0.950"))
    given = ["--corpus", tmp_path / "none", "--models", tmp_path / "models", "--cards", tmp_path / "cards"]
    given += ["--results", tmp_path / "results"]
    lines = push_here("http://hub.invalid", "hf_writer", "--namespace", "tester", "--execute", *given)
    for said in (
        "none/manifest.json",
        "half: has no training.json, so its training did not finish",
        "out-of-date numbers in",
        "no result of emo-pillars-contextless-minilm",
        "pytorch_model.bin: does not belong in a model repository",
        "notes.txt: contains a Hub token",
    ):
        assert said in lines, said
    assert key not in lines


GOEMOTIONS = """
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value
names = __import__("dataset_builder.taxonomy", fromlist=["LABELS"]).LABELS
features = Features({"text": Value("string"), "labels": List(ClassLabel(names=list(names))), "id": Value("string")})
rows = {"text": ["river window", "letter", "garden"], "labels": [[0], [27], [3, 5]], "id": ["a", "b", "c"]}
test = Dataset.from_dict(rows, features=features)
name, config, revision, _ = __import__("eval.benchmark_rows", fromlist=["GOEMOTIONS"]).GOEMOTIONS
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
