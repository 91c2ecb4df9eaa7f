"""Calls to the Hub: repeated, never over what somebody else sent, only with what was checked; and what failures say."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import HfApi, close_session
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled
from starlette.responses import JSONResponse, Response

import push
from publish import hub, hub_errors
from publish.plan import Repository
from tests.conftest import Command
from tests.publishable import arguments
from tools.loopback_hub import HubError, LoopbackHub, client_environment, serve
from tools.loopback_hub.repository import Repository as Held
from tools.loopback_hub.repository import now

RELEASE = hub.Release("tester", "v1", "", private=True)
Change = Callable[[str, Callable[[], Any]], Any]


class ChangedHub(LoopbackHub):
    """A Hub whose answers are changed by a function of the call and its usual answer."""

    def __init__(self, change: Change = lambda call, answer: answer()) -> None:
        super().__init__()
        self.change = change

    def answer(self, request: Any, path: str, body: bytes) -> Any:
        return self.change(f"{request.method} {path}", lambda: super(ChangedHub, self).answer(request, path, body))


def once(place: str, happens: Callable[[], object]) -> Change:
    """Something happens once, before a call of this place is answered."""
    due = [place]

    def change(call: str, answer: Callable[[], Any]) -> Any:
        if due and due[0] in call:
            due.clear()
            happens()
        return answer()

    return change


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], HfApi]]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(hub.time, "sleep", lambda seconds: None)
    close_session()
    yield lambda url: HfApi(endpoint=url, token="hf_writer")
    close_session()


def checked(folder: Path, **contents: bytes) -> Repository:
    """A model repository with these files, each with its digest."""
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    return Repository("m", "model", folder, {name: folder / name for name in contents}, digests)


def commits(served: LoopbackHub) -> list[int]:
    return [len(repository.commits) for repository in served.repositories.values()]


# ---------------------------------------------------------------- what is repeated


def refused(status: int, message: str | None = None, **headers: str) -> HfHubHTTPError:
    response = httpx2.Response(status, headers=headers, request=httpx2.Request("POST", "http://hub"))
    return HfHubHTTPError("refused", response=response, server_message=message)


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (refused(500), [1]),
        (refused(412), [1]),
        (refused(429), [1]),
        (refused(429, RateLimit='"api";r=0;t=55'), [56]),
        (httpx2.ReadTimeout("slow"), [1]),
        (httpx2.RemoteProtocolError("closed"), [1]),
        (ConnectionError("storage"), [1]),
        (refused(403), []),
        (refused(400), []),
        (OfflineModeIsEnabled("offline mode is enabled"), []),
    ],
)
def test_what_may_pass_is_tried_again(error: Exception, waits: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[int] = []
    monkeypatch.setattr(hub.time, "sleep", slept.append)
    answers: Iterator[Exception | str] = iter([error, "done"])

    def attempt() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    if waits:
        assert hub.retried(attempt) == "done"
    else:
        with pytest.raises(type(error)):
            hub.retried(attempt)
    assert slept == waits


def test_attempts_come_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[int] = []
    monkeypatch.setattr(hub.time, "sleep", slept.append)

    def attempt() -> None:
        raise refused(503)

    with pytest.raises(HfHubHTTPError):
        hub.retried(attempt)
    assert slept == [2**tried for tried in range(hub.TRIES - 1)]


# ---------------------------------------------------------------- what is there


def test_one_collection_in_the_plan_s_order(client: Callable[[str], HfApi], tmp_path: Path) -> None:
    data = Repository("data", "dataset", tmp_path, {"README.md": b"# T\n\nRows.\n"})
    models = [Repository(f"m{i}", "model", tmp_path, {"README.md": b"# T\n\nModel.\n"}) for i in range(5)]
    renamed = Repository("m0", "model", tmp_path, {"README.md": b"# T\n\nA better model.\n"})
    public = hub.Release("tester", "v2", "", private=False)
    with serve() as (served, url):
        api = client(url)
        for repository in (data, *models, Repository("other", "model", tmp_path, {})):
            api.create_repo(f"tester/{repository.name}", repo_type=repository.kind)
        place = hub.collect(api, [data, models[0], models[2]], RELEASE)
        slug = place.partition("/collections/")[2]
        api.add_collection_item(slug, "tester/other", "model", note="added by hand")
        assert hub.collect(api, [data, renamed, *models[1:]], public) == place
        [collection] = served.collections.values()
        names = [item["id"].partition("/")[2] for item in collection["items"]]
        assert names == ["data", *(f"m{i}" for i in range(5)), "other"]
        assert collection["items"][1]["note"]["text"] == "A better model."
        assert not collection["private"]
        calls = len(served.calls)
        hub.collect(api, [data, renamed, *models[1:]], public)
        assert [call[0] for call in served.calls[calls:]] == ["GET", "GET"], "a second time changes nothing"


def test_the_state_of_each_file(client: Callable[[str], HfApi], tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"weights")
    files = {"README.md": b"# T", "config.json": b"{}\n", "weights.safetensors": tmp_path / "weights.safetensors"}
    repository = Repository("model", "model", tmp_path, files)
    with serve() as (_, url):
        api = client(url)
        api.create_repo("tester/model", private=True)
        for name, content in (files | {"LICENSE": b"by hand", "onnx/old.onnx": b"graph", "config.json": b"{}"}).items():
            api.upload_file(path_or_fileobj=content, path_in_repo=name, repo_id="tester/model")
        found = hub.file_states(repository, hub.look(api, "tester/model", "model"))
    assert found == {
        "README.md": hub.UNCHANGED,
        "config.json": hub.CHANGED,
        "weights.safetensors": hub.UNCHANGED,
        "onnx/old.onnx": hub.DELETED,
    }
    assert set(hub.file_states(repository, None).values()) == {hub.NEW}


def renamed(call: str, answer: Callable[[], Any]) -> Any:
    moved = call.startswith("GET /api/models/tester/m") and "/tree/" not in call and "/refs" not in call
    return {"id": "tester/other", "sha": "0" * 40, "private": True} if moved else answer()


def hidden(call: str, answer: Callable[[], Any]) -> Any:
    if call.startswith("GET /api/models/tester/m"):
        raise HubError(403, "Access to model tester/m is restricted", "GatedRepo")
    if call.startswith("POST /api/repos/create"):
        return JSONResponse({"error": "You already created it", "url": "https://huggingface.co/tester/m"}, 409)
    return answer()


def ignoring(call: str, answer: Callable[[], Any]) -> Any:
    found = answer()
    if "/preupload/" in call:  # as the Hub answers if a .gitignore of the repository lists a file
        found["files"] = [one | {"shouldIgnore": one["path"] == "notes.txt"} for one in found["files"]]
    return found


def as_user(about: Any) -> Change:
    return lambda call, answer: about if "whoami" in call else answer()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (renamed, r"tester/m \(model\) was renamed or moved to tester/other"),
        (hidden, r"tester/m \(model\) exists, but this token may not see it"),
        (ignoring, r"the Hub did not accept notes\.txt; a \.gitignore there may list it"),
        (as_user({"user": "x"}), r"http://127\.0\.0\.1:\d+ does not respond like a Hub"),
        (as_user(["tester"]), r"http://127\.0\.0\.1:\d+ does not respond like a Hub"),
        (as_user({"name": "tester", "orgs": [3]}), r"http://127\.0\.0\.1:\d+ does not respond like a Hub"),
    ],
)
def test_a_state_of_the_hub_that_forbids_a_push_is_named(
    change: Change, said: str, client: Callable[[str], HfApi], tmp_path: Path
) -> None:
    repository = checked(tmp_path, **{"config.json": b"{}", "notes.txt": b"two"})

    def push_to(url: str) -> None:
        hub.check_token(client(url), "tester")
        hub.send(client(url), repository, RELEASE)

    with serve(ChangedHub(change)) as (served, url), pytest.raises(hub_errors.Refused, match=said):
        push_to(url)
    assert not any(held.tags for held in served.repositories.values()), "an incomplete repository gets no tag"


@pytest.mark.parametrize("answer", [b"null", b"[]", b"{}"])
def test_an_answer_that_no_hub_gives_is_not_a_defect_of_ours(
    answer: bytes, client: Callable[[str], HfApi], tmp_path: Path
) -> None:
    def change(call: str, usual: Callable[[], Any]) -> Any:
        asked = call.startswith("GET /api/models/tester/m")
        return Response(answer, media_type="application/json") if asked else usual()

    with serve(ChangedHub(change)) as (_, url), pytest.raises((KeyError, TypeError)) as raised:
        hub.send(client(url), checked(tmp_path, config=b"{}"), RELEASE)
    assert "does not respond like a Hub" in str(hub_errors.explain(raised.value, url, "tester"))
    with pytest.raises(KeyError) as own:
        {}["a"]
    assert hub_errors.explain(own.value, url, "tester") is None


# ---------------------------------------------------------------- what is sent is what was checked


def test_a_file_that_changed_after_the_checks_is_not_sent(client: Callable[[str], HfApi], tmp_path: Path) -> None:
    repository = checked(tmp_path, **{"thresholds.json": b"{}", "model.safetensors": b"weights"})
    with serve() as (served, url):
        for name in repository.files:
            before = (tmp_path / name).read_bytes()
            (tmp_path / name).write_bytes(b"another")
            with pytest.raises(hub.FileChanged, match=f"{name}: changed after it was checked"):
                hub.send(client(url), repository, RELEASE)
            (tmp_path / name).write_bytes(before)
        assert hashlib.sha256(b"another").hexdigest() not in served.blobs
        assert commits(served) == [1], "the first commit, the Hub's own"


@pytest.mark.parametrize("call", ["/preupload/", "objects/batch"])
@pytest.mark.parametrize("name", ["thresholds.json", "model.safetensors"])
def test_a_file_that_changes_while_it_is_sent_is_sent_as_it_was(
    client: Callable[[str], HfApi], tmp_path: Path, call: str, name: str
) -> None:
    contents = {"thresholds.json": b"{}", "model.safetensors": b"weights"}
    repository = checked(tmp_path, **contents)
    with serve(ChangedHub(once(call, lambda: (tmp_path / name).write_bytes(b"another")))) as (served, url):
        hub.send(client(url), repository, RELEASE)
        sent = [*served.repositories["models", "tester/m"].commits.values()][-1].files
        assert {path: served.blobs[sent[path].lfs or sent[path].oid] for path in contents} == contents


def test_a_large_file_that_changes_while_it_is_sent_is_refused(
    client: Callable[[str], HfApi], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "READ_HERE", 0)
    repository = checked(tmp_path, **{"model.safetensors": b"weights"})
    change = once("objects/batch", lambda: (tmp_path / "model.safetensors").write_bytes(b"another"))
    with serve(ChangedHub(change)) as (served, url):
        with pytest.raises(hub.FileChanged, match=r"model\.safetensors: changed after it was checked"):
            hub.send(client(url), repository, RELEASE)
        assert commits(served) == [1]


@pytest.mark.parametrize("call", ["POST /api/repos/create", "/preupload/", "/commit/main", "/tag/"])
def test_of_two_pushes_with_one_tag_the_second_is_refused(
    client: Callable[[str], HfApi], tmp_path: Path, call: str
) -> None:
    """The other one sends and tags at any moment of this one."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    others, ours = checked(tmp_path / "a", config=b"of A"), checked(tmp_path / "b", config=b"of B")
    served = ChangedHub()
    served.change = once(call, lambda: send_directly(served, others))
    with serve(served) as (_, url):
        with pytest.raises(hub_errors.Refused, match="another push has just set the tag v1, with a different config"):
            hub.send(client(url), ours, RELEASE)
        model = served.repositories["models", "tester/m"]
        tagged = model.commits[model.tags["v1"]].files["config"]
        assert served.blobs[tagged.lfs or tagged.oid] == b"of A"


def send_directly(served: LoopbackHub, repository: Repository) -> None:
    """What another push does, done to the Hub's own tables: it answers one call at a time."""
    key = ("models", "tester/m")
    if key not in served.repositories:
        served.repositories[key] = Held("tester/m", "models", private=True, created=now())
        first = served.repositories[key].commit(None, {}, "initial commit", "", "a")
        served.repositories[key].branches["main"] = first
    model = served.repositories[key]
    files = {name: served._keep(repository.files[name].read_bytes()) for name in repository.files}  # type: ignore[union-attr]
    model.branches["main"] = model.tags["v1"] = model.commit(model.branches["main"], files, "Publish v1", "", "a")


def test_what_was_added_by_hand_does_not_disturb_the_tag(client: Callable[[str], HfApi], tmp_path: Path) -> None:
    repository = checked(tmp_path, config=b"of A")
    with serve() as (_, url):
        assert hub.send(client(url), repository, RELEASE)[1]
        client(url).upload_file(path_or_fileobj=b"by hand", path_in_repo="LICENSE", repo_id="tester/m")
        assert not hub.send(client(url), repository, RELEASE)[1]


# ---------------------------------------------------------------- where the token goes


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("https://huggingface.co", ""),
        ("https://hub.example.org", ""),
        ("http://127.0.0.1:8000", ""),
        ("http://localhost:8000", ""),
        ("http://[::1]:8000", ""),
        *(
            (endpoint, f"HF_ENDPOINT is {endpoint}: the token would be sent unencrypted")
            for endpoint in (
                "http://hub.example.org",
                "http://0.0.0.0:8000",
                "http://127.0.0.1.example.org",
                "http://huggingface.co",
                "ftp://huggingface.co",
            )
        ),
        ("huggingface.co", "HF_ENDPOINT is huggingface.co"),
        *((endpoint, "HF_ENDPOINT is https://") for endpoint in ("https://[bad", "https://host:abc", "https://")),
    ],
)
def test_a_token_crosses_no_network_unencrypted(endpoint: str, said: str) -> None:
    lines = hub_errors.address_problems(endpoint)
    assert len(lines) == bool(said)
    assert "".join(lines).startswith(said)


def test_a_strange_hub_is_named() -> None:
    assert hub_errors.address_notes("https://huggingface.co") == hub_errors.address_notes("http://127.0.0.1:1") == []
    assert hub_errors.address_notes("https://[bad") == []
    assert hub_errors.address_notes("https://huggingface.co.example.org") == [
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
    assert "error: HF_ENDPOINT is http://hub.invalid: the token would be sent unencrypted" in done.stderr
    assert "to http://hub.invalid, private" in done.stdout
    assert "S3cr3tWord" not in done.stdout + done.stderr
    assert "again" not in done.stderr, "nobody was asked"


@pytest.mark.parametrize(
    ("words", "endpoint", "token", "said"),
    [
        (["--namespace", "\\1"], "http://127.0.0.1:9", "hf_writer", "Repo id must use alphanumeric chars"),
        (["--namespace", "te\nster"], "http://127.0.0.1:9", "hf_writer", "96: 'te ster/emo-pillars'"),
        (["--namespace", "tester", "--compare"], "http://127.0.0.1:9", "“hf_writer”", "characters that no token has"),
        (["--namespace", "tester"], "https://[bad", "hf_writer", "HF_ENDPOINT is not an address"),
        (["--namespace", "tester"], "https://u:hf_writer@host:abc", "hf_writer", "HF_ENDPOINT is not an address"),
    ],
)
def test_odd_names_tokens_and_addresses_end_in_one_line(
    places: list[str], command: Command, tmp_path: Path, words: list[str], endpoint: str, token: str, said: str
) -> None:
    done = command("push.py", *places, *words, environment=client_environment(endpoint, tmp_path, token))
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert token not in done.stderr


# ---------------------------------------------------------------- what failures say

REASONS = {
    403: ("Private repository storage limit reached, please upgrade your plan.", "Delete what is not needed"),
    402: ("Payment required.", "get more storage"),
    413: ("Request entity too large.", "Make the files smaller"),
    422: ("The card is not valid.", "Fix the reported problem"),
    400: ("Your push was rejected because it contains binary files.", "Fix the reported problem"),
    429: ("You have exceeded the rate limit for commits.", "wait some minutes"),
}


@pytest.mark.parametrize("status", REASONS)
def test_the_hub_s_own_reason_is_shown(
    client: Callable[[str], HfApi], tmp_path: Path, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason, advice = REASONS[status]

    def refuse() -> None:
        raise HubError(status, reason)

    monkeypatch.setattr(hub, "TRIES", 1)
    with serve(ChangedHub(once("/commit/main", refuse))) as (_, url):
        with pytest.raises(HfHubHTTPError) as raised:
            hub.send(client(url), checked(tmp_path, config=b"of A"), RELEASE)
        said = str(hub_errors.explain(raised.value, url, "tester"))
    assert f"answered {status} for 'tester': {reason.rstrip('.')}." in said
    assert advice in said


def test_a_token_without_rights_and_a_page_of_a_proxy() -> None:
    said = hub_errors.explain_refusal(refused(403, "You don't have the rights"), "https://h", "tester")
    assert "You don't have the rights. Use a token with write access" in said
    assert "the token may not write to 'tester' (403)" in hub_errors.explain_refusal(
        refused(403), "https://h", "tester"
    )
    assert len(hub_errors.explain_refusal(refused(502, "x " * 10_000), "https://h", "tester")) < 700


def test_nothing_that_a_terminal_obeys_is_printed() -> None:
    said = hub_errors.printable(
        "a\x1b]52;c;aGk=\x07b\x9bc\u202ed\ud800é\n https://u:S3cr3t@[bad", "https://u:S3cr3t@[bad"
    )
    assert said == "a\\x1b]52;c;aGk=\\x07b\\x9bc\\u202ed\\ud800é  https://[bad"


def ended(error: BaseException | None, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """Run push.py with these arguments, where making the plan raises an error."""

    def make_plan(*_: object) -> None:
        assert error is not None, "nothing is read"
        raise error

    monkeypatch.setattr("sys.argv", ["push.py", "--namespace", "tester", *words])
    monkeypatch.setattr(push, "make_plan", make_plan)
    with pytest.raises(SystemExit):
        push.main()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OfflineModeIsEnabled("offline"), "switched off by HF_HUB_OFFLINE"),
        (LocalTokenNotFoundError("none"), "no Hub token"),
        (KeyboardInterrupt(), "interrupted. What was sent is complete"),
        (httpx2.InvalidURL("Invalid port"), "InvalidURL: Invalid port"),
        (json.JSONDecodeError("Expecting value", "<html>", 0), "did not answer with JSON"),
        (PermissionError(13, "Permission denied", "work/models"), "work/models: Permission denied"),
    ],
)
def test_every_end_of_a_push_is_one_line(
    error: BaseException, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended(error, monkeypatch)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]


@pytest.mark.parametrize("tag", ["a b", "v1..2", "main", "refs/heads/x", "v1.lock", "é", "-x"])
def test_a_tag_that_git_does_not_take_is_refused_before_anything_is_sent(
    tag: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended(None, monkeypatch, f"--tag={tag}")
    assert "is not a name for a tag" in capsys.readouterr().err


@pytest.mark.parametrize("tag", ["v0.1.0", "2026-01-01", "release_2", "v1.0.0-rc.1"])
def test_usual_tags_are_taken(tag: str) -> None:
    assert push.TAG.fullmatch(tag)
