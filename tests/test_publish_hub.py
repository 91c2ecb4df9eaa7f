"""Calls to the Hub: tried again, never over what somebody else sent, and with what was checked alone."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from huggingface_hub import HfApi, close_session
from huggingface_hub.errors import HfHubHTTPError

from publish import hub, server
from publish.plan import Repository, make
from publish.recipes import differing
from tests.conftest import Command
from tests.publishable import arguments, one_model
from tools.loopback_hub.hub import LoopbackHub, client_environment, serve
from tools.loopback_hub.repository import HubError


def refused(status: int, **headers: str) -> HfHubHTTPError:
    response = httpx2.Response(status, headers=headers, request=httpx2.Request("POST", "http://hub"))
    return HfHubHTTPError("refused", response=response)


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (refused(500), 1),
        (refused(412), 1),
        (refused(429), 1),
        (refused(429, RateLimit='"api";r=0;t=55'), 56),
        (httpx2.ReadTimeout("slow"), 1),
        (httpx2.RemoteProtocolError("closed"), 1),
        (ConnectionError("storage"), 1),
    ],
)
def test_what_may_pass_is_tried_again(error: Exception, waits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[int] = []
    monkeypatch.setattr(hub.time, "sleep", slept.append)
    answers: Iterator[Exception | str] = iter([error, "done"])

    def attempt() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert hub.retried(attempt) == "done"
    assert slept == [waits]


@pytest.mark.parametrize(("error", "times"), [(refused(403), 1), (refused(400), 1), (refused(503), hub.TRIES)])
def test_what_does_not_pass_is_raised(error: Exception, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub.time, "sleep", lambda seconds: None)
    tried = []

    def attempt() -> None:
        tried.append(1)
        raise error

    with pytest.raises(HfHubHTTPError):
        hub.retried(attempt)
    assert len(tried) == times


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[HfApi, LoopbackHub]]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    close_session()
    with serve() as (served, url):
        yield HfApi(endpoint=url, token="hf_writer"), served
    close_session()


def test_one_collection_in_the_plan_s_order(api: tuple[HfApi, LoopbackHub], tmp_path: Path) -> None:
    client, served = api
    release = hub.Release("tester", "v1", "", private=True)
    data = Repository("data", "dataset", tmp_path, {"README.md": b"# T\n\nRows.\n"})
    models = [Repository(f"m{i}", "model", tmp_path, {"README.md": b"# T\n\nModel.\n"}) for i in range(5)]
    for repository in (data, *models, Repository("other", "model", tmp_path, {})):
        client.create_repo(f"tester/{repository.name}", repo_type=repository.kind)
    url = hub.collect(client, [data, models[0], models[2]], release)
    slug = url.partition("/collections/")[2]
    client.add_collection_item(slug, "tester/other", "model", note="put there by hand")
    renamed = Repository("m0", "model", tmp_path, {"README.md": b"# T\n\nA better model.\n"})
    assert hub.collect(client, [data, renamed, *models[1:]], hub.Release("tester", "v2", "", private=False)) == url
    [collection] = served.collections.values()
    assert [item["id"].partition("/")[2] for item in collection["items"]] == [
        "data",
        *(f"m{i}" for i in range(5)),
        "other",
    ]
    assert collection["items"][1]["note"]["text"] == "A better model."
    assert not collection["private"]
    calls = len(served.calls)
    hub.collect(client, [data, renamed, *models[1:]], hub.Release("tester", "v2", "", private=False))
    assert [call[0] for call in served.calls[calls:]] == ["GET", "GET"], "twice changes nothing"


def test_what_is_there_is_told_file_by_file(api: tuple[HfApi, LoopbackHub], tmp_path: Path) -> None:
    client, _ = api
    (tmp_path / "weights.safetensors").write_bytes(b"weights")
    files = {"README.md": b"# T", "config.json": b"{}\n", "weights.safetensors": tmp_path / "weights.safetensors"}
    client.create_repo("tester/model", private=True)
    for name, content in (files | {"LICENSE": b"by hand", "onnx/old.onnx": b"graph", "config.json": b"{}"}).items():
        client.upload_file(path_or_fileobj=content, path_in_repo=name, repo_id="tester/model")
    assert hub.states(Repository("model", "model", tmp_path, files), hub.look(client, "tester/model", "model")) == {
        "README.md": hub.UNCHANGED,
        "config.json": hub.CHANGED,
        "weights.safetensors": hub.UNCHANGED,
        "onnx/old.onnx": hub.DELETED,
    }
    assert set(hub.states(Repository("model", "model", tmp_path, files), None).values()) == {hub.NEW}


# ---------------------------------------------------------------- what is sent is what was checked


class Interrupted(LoopbackHub):
    """A Hub at which something happens, once, before it answers a call."""

    def __init__(self, call: str, happens: Callable[[], object]) -> None:
        super().__init__()
        self.call, self.happens = call, happens

    def answer(self, request: Any, path: str, body: bytes) -> Any:
        if self.call and self.call in f"{request.method} {path}":
            self.call = ""
            self.happens()
        return super().answer(request, path, body)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], HfApi]]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(hub.time, "sleep", lambda seconds: None)
    close_session()
    yield lambda url: HfApi(endpoint=url, token="hf_writer")
    close_session()


RELEASE = hub.Release("tester", "v1", "", private=True)


def checked(folder: Path, **contents: bytes) -> Repository:
    """A model repository of files as they are now, each with its digest."""
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    return Repository("m", "model", folder, {name: folder / name for name in contents}, digests)


def test_a_file_that_changed_after_the_checks_is_not_sent(client: Callable[[str], HfApi], tmp_path: Path) -> None:
    repository = checked(tmp_path, **{"thresholds.json": b"{}", "model.safetensors": b"weights"})
    with serve() as (held, url):
        for name in repository.files:
            before = (tmp_path / name).read_bytes()
            (tmp_path / name).write_bytes(b"another")
            with pytest.raises(hub.Changed, match=f"{name}: changed since it was checked"):
                hub.send(client(url), repository, RELEASE)
            (tmp_path / name).write_bytes(before)
        assert not held.blobs.keys() & {hashlib.sha256(b"another").hexdigest()}
        assert [len(one.commits) for one in held.repositories.values()] == [1], "the first commit, of the Hub's own"


@pytest.mark.parametrize("call", ["/preupload/", "objects/batch"])
@pytest.mark.parametrize("name", ["thresholds.json", "model.safetensors"])
def test_a_file_that_changes_while_it_is_sent_is_sent_as_it_was(
    client: Callable[[str], HfApi], tmp_path: Path, call: str, name: str
) -> None:
    contents = {"thresholds.json": b"{}", "model.safetensors": b"weights"}
    repository = checked(tmp_path, **contents)
    served = Interrupted(call, lambda: (tmp_path / name).write_bytes(b"another"))
    with serve(served) as (held, url):
        hub.send(client(url), repository, RELEASE)
        files = held.repositories["models", "tester/m"].commits
        sent = [*files.values()][-1].files
        found = {path: held.blobs[sent[path].lfs or sent[path].oid] for path in contents}
    assert found == contents


def test_a_large_file_that_changes_while_it_is_sent_ends_in_a_line(
    client: Callable[[str], HfApi], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "READ_HERE", 0)
    repository = checked(tmp_path, **{"model.safetensors": b"weights"})
    served = Interrupted("objects/batch", lambda: (tmp_path / "model.safetensors").write_bytes(b"another"))
    with serve(served) as (held, url):
        with pytest.raises(hub.Changed, match=r"model\.safetensors: changed since it was checked"):
            hub.send(client(url), repository, RELEASE)
        assert [len(one.commits) for one in held.repositories.values()] == [1]


@pytest.mark.parametrize("call", ["POST /api/repos/create", "/preupload/", "/commit/main", "/tag/"])
def test_of_two_pushes_under_one_tag_the_second_is_refused(
    client: Callable[[str], HfApi], tmp_path: Path, call: str
) -> None:
    """The other one sends and tags at any moment of this one."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    others, ours = checked(tmp_path / "a", config=b"of A"), checked(tmp_path / "b", config=b"of B")
    with serve() as (held, url):
        held.__class__ = Interrupted
        held.call, held.happens = call, lambda: others_send(held, others)  # type: ignore[attr-defined]
        with pytest.raises(hub.NotAllowed, match="was given the tag v1 by another push meanwhile, with another config"):
            hub.send(client(url), ours, RELEASE)
        model = held.repositories["models", "tester/m"]
        tagged = model.commits[model.tags["v1"]].files["config"]
        assert held.blobs[tagged.lfs or tagged.oid] == b"of A"


def others_send(held: LoopbackHub, repository: Repository) -> None:
    """What another push does, done to the Hub's own tables: it answers one call at a time."""
    from tools.loopback_hub.repository import Repository as Held
    from tools.loopback_hub.repository import now

    key = ("models", "tester/m")
    if key not in held.repositories:
        held.repositories[key] = Held("tester/m", "models", private=True, created=now())
        held.repositories[key].branches["main"] = held.repositories[key].commit(None, {}, "initial commit", "", "a")
    model = held.repositories[key]
    files = {name: held._keep(repository.files[name].read_bytes()) for name in repository.files}  # type: ignore[union-attr]
    sha = model.commit(model.branches["main"], files, "Publish v1", "", "a")
    model.branches["main"] = model.tags["v1"] = sha


def test_what_was_added_by_hand_does_not_disturb_the_tag(client: Callable[[str], HfApi], tmp_path: Path) -> None:
    repository = checked(tmp_path, config=b"of A")
    with serve() as (_, url):
        assert hub.send(client(url), repository, RELEASE)[1]
        client(url).upload_file(path_or_fileobj=b"by hand", path_in_repo="LICENSE", repo_id="tester/m")
        assert not hub.send(client(url), repository, RELEASE)[1]


# ---------------------------------------------------------------- where the token goes, and what is printed


@pytest.mark.parametrize(
    ("endpoint", "refused_there"),
    [
        ("https://huggingface.co", False),
        ("https://hub.example.org", False),
        ("http://127.0.0.1:8000", False),
        ("http://localhost:8000", False),
        ("http://[::1]:8000", False),
        ("http://hub.example.org", True),
        ("http://0.0.0.0:8000", True),
        ("http://127.0.0.1.example.org", True),
        ("http://huggingface.co", True),
        ("ftp://huggingface.co", True),
        ("huggingface.co", True),
    ],
)
def test_a_token_crosses_no_network_in_clear(endpoint: str, refused_there: bool) -> None:
    assert bool(server.in_clear(endpoint)) is refused_there


def test_a_strange_hub_is_named() -> None:
    assert server.stranger("https://huggingface.co") == server.stranger("http://127.0.0.1:1") == []
    assert server.stranger("https://huggingface.co.example.org") == [
        "the token goes to huggingface.co.example.org, which is not huggingface.co"
    ]


@pytest.fixture
def places(scripted_work: Path, tiny_models: Path, evidence: Path) -> list[str]:
    return arguments(scripted_work, tiny_models, evidence)


def test_nothing_is_asked_over_plain_http_and_no_password_is_printed(
    places: list[str], command: Command, tmp_path: Path
) -> None:
    environment = client_environment("http://user:S3cr3tWord@hub.invalid", tmp_path)
    done = command("push.py", "--namespace", "tester", *places, "--compare", environment=environment)
    assert done.returncode == 2
    assert "error: HF_ENDPOINT is http://hub.invalid: the token would go there in clear" in done.stderr
    assert "to http://hub.invalid, private" in done.stdout
    assert "S3cr3tWord" not in done.stdout + done.stderr
    assert "Run it again" not in done.stderr, "nobody was asked"


@pytest.mark.parametrize(
    ("arguments_", "token", "says"),
    [
        (["--namespace", "\\1"], "hf_writer", "Repo id must use alphanumeric chars"),
        (["--namespace", "te\nster"], "hf_writer", "96: 'te ster/emo-pillars'"),
        (["--namespace", "tester", "--compare"], "“hf_writer”", "the Hub token holds signs that none has"),
    ],
)
def test_odd_names_and_tokens_end_in_a_line(
    places: list[str], command: Command, tmp_path: Path, arguments_: list[str], token: str, says: str
) -> None:
    environment = client_environment("http://127.0.0.1:9", tmp_path, token)
    done = command("push.py", *places, *arguments_, environment=environment)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert token not in done.stderr


SAID = {
    403: ("Private repository storage limit reached, please upgrade your plan.", "Delete what is not needed"),
    402: ("Payment required.", "get more storage"),
    413: ("Request entity too large.", "Make the files smaller"),
    422: ("The card is not valid.", "Mend what it names"),
    400: ("Your push was rejected because it contains binary files.", "Mend what it names"),
    429: ("You have exceeded the rate limit for commits.", "wait some minutes"),
}


@pytest.mark.parametrize("status", SAID)
def test_the_hub_s_own_words_are_shown(
    client: Callable[[str], HfApi], tmp_path: Path, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, advice = SAID[status]
    repository = checked(tmp_path, config=b"of A")

    def refuse() -> None:
        raise HubError(status, words)

    with serve(Interrupted("/commit/main", refuse)) as (_, url):
        monkeypatch.setattr(hub, "TRIES", 1)
        with pytest.raises(HfHubHTTPError) as raised:
            hub.send(client(url), repository, RELEASE)
        said = server.explain(raised.value, url, "tester")
    assert words.rstrip(".") in said
    assert advice in said
    assert f"answered {status}" in said


def test_a_token_without_rights_is_still_told_so() -> None:
    error = HfHubHTTPError("forbidden", response=refused(403).response, server_message="You don't have the rights")
    assert "You don't have the rights. Use a token with write access" in server.explain(error, "https://h", "tester")
    assert "the token may not write to 'tester' (403)" in server.explain(refused(403), "https://h", "tester")


def test_nothing_that_a_terminal_obeys_is_printed() -> None:
    said = server.printable("a\x1b]52;c;aGk=\x07b\x9bc\u202ed\ud800é\n")
    assert said == "a\\x1b]52;c;aGk=\\x07b\\x9bc\\u202ed\\ud800é\n"


def test_folders_of_this_machine_are_not_published(
    scripted_work: Path, tiny_models: Path, evidence: Path, tmp_path: Path
) -> None:
    name = "emo-pillars-contextless-minilm"
    places = one_model(name, {"work": scripted_work, "models": tiny_models, "evidence": evidence}, tmp_path)
    path = places.models / name / "training.json"
    record = json.loads(path.read_text())
    record["recipe"]["base_model"] = "/home/jane.doe/tiny-encoder"
    path.write_text(json.dumps(record))
    sent = next(one for one in make("tester", places).repositories if one.name == name).files["training.json"]
    assert isinstance(sent, bytes)
    assert json.loads(sent)["recipe"]["base_model"] == "…/tiny-encoder"
    assert json.loads(sent)["weights_sha256"] == record["weights_sha256"]
    assert b'"/' not in sent
    given = yaml.safe_load((places.recipes / f"{name}.yaml").read_text())
    made = record["recipe"] | {"base_model": "…/tiny-encoder"}
    for base_model, differs in (("/home/jane.doe/tiny-encoder", False), ("/home/jane.doe/other", True)):
        assert bool(list(differing(given | {"base_model": base_model}, made))) is differs
