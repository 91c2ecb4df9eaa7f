"""States of the Hub, of git and of the environment that stand in a push's way: each ends in a line that says which."""

import datetime
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import HfApi, RepoCard, close_session
from huggingface_hub.errors import OfflineModeIsEnabled
from starlette.responses import JSONResponse, Response

import push
from publish import checks, hub, server
from publish.plan import CARD, Places, Plan, Repository, _card, _measured, _model_files, make
from publish.recipes import differing
from tests.conftest import Command
from tools.loopback_hub.hub import LoopbackHub, client_environment, serve
from tools.loopback_hub.repository import HubError

RELEASE = hub.Release("tester", "v1", "", private=True)


class Odd(LoopbackHub):
    """A Hub whose answers to some calls are changed."""

    def __init__(self, change: Callable[[str, Any], Any]) -> None:
        super().__init__()
        self.change = change

    def answer(self, request: Any, path: str, body: bytes) -> Any:
        return self.change(f"{request.method} {path}", lambda: super(Odd, self).answer(request, path, body))


@pytest.fixture
def sent_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[Odd], LoopbackHub]]:
    """Sends a model of two files to a Hub and gives the Hub."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(hub.time, "sleep", lambda seconds: None)
    close_session()

    def send(served: Odd) -> LoopbackHub:
        repository = Repository("m", "model", tmp_path, {"config.json": b"{}", "notes.txt": b"two"})
        with serve(served) as (held, url):
            api = HfApi(endpoint=url, token="hf_writer")
            hub.whoami(api, "tester")
            hub.send(api, repository, RELEASE)
        return held

    yield send
    close_session()


def test_a_renamed_repository_is_not_written_to(sent_to: Callable[[Odd], LoopbackHub]) -> None:
    def change(call: str, answer: Callable[[], Any]) -> Any:
        moved = call.startswith("GET /api/models/tester/m") and "/tree/" not in call and "/refs" not in call
        return {"id": "tester/other", "sha": "0" * 40, "private": True} if moved else answer()

    with pytest.raises(hub.NotAllowed, match=r"tester/m \(model\) was renamed or moved to tester/other"):
        sent_to(Odd(change))


def test_a_repository_that_the_token_may_not_see_is_said_to_be_there(sent_to: Callable[[Odd], LoopbackHub]) -> None:
    def change(call: str, answer: Callable[[], Any]) -> Any:
        if call.startswith("GET /api/models/tester/m"):
            raise HubError(403, "Access to model tester/m is restricted", "GatedRepo")
        if call.startswith("POST /api/repos/create"):
            return JSONResponse({"error": "You already created it", "url": "https://huggingface.co/tester/m"}, 409)
        return answer()

    with pytest.raises(hub.NotAllowed, match=r"tester/m \(model\) is there, but this token may not see it"):
        sent_to(Odd(change))


def test_a_file_that_the_hub_ignores_is_not_passed_over_in_silence(sent_to: Callable[[Odd], LoopbackHub]) -> None:
    def change(call: str, answer: Callable[[], Any]) -> Any:
        found = answer()
        if "/preupload/" in call:  # as the Hub says where a .gitignore of the repository names a file
            found["files"] = [one | {"shouldIgnore": one["path"] == "notes.txt"} for one in found["files"]]
        return found

    served = Odd(change)
    with pytest.raises(hub.NotAllowed, match=r"the Hub did not take notes\.txt; a \.gitignore there may name it"):
        sent_to(served)
    assert not served.repositories["models", "tester/m"].tags, "what lacks a file gets no tag"


@pytest.mark.parametrize("about", [{"user": "x"}, ["tester"], {"name": "tester", "orgs": [3]}])
def test_a_server_that_is_no_hub_is_named(about: Any, sent_to: Callable[[Odd], LoopbackHub]) -> None:
    with pytest.raises(hub.NotAllowed, match=r"http://127\.0\.0\.1:\d+ does not answer as a Hub does"):
        sent_to(Odd(lambda call, answer: about if "whoami" in call else answer()))


def test_nothing_is_tried_again_where_the_hub_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub.time, "sleep", lambda seconds: pytest.fail("waits"))

    def attempt() -> None:
        raise OfflineModeIsEnabled("offline mode is enabled")

    with pytest.raises(OfflineModeIsEnabled):
        hub.retried(attempt)


@pytest.mark.parametrize("answer", [b"null", b"[]", b"{}"])
def test_an_answer_over_which_the_client_stumbles_is_told_from_a_fault_of_ours(
    answer: bytes, sent_to: Callable[[Odd], LoopbackHub]
) -> None:
    def change(call: str, given: Callable[[], Any]) -> Any:
        asked = call.startswith("GET /api/models/tester/m")
        return Response(answer, media_type="application/json") if asked else given()

    with pytest.raises((KeyError, TypeError)) as raised:
        sent_to(Odd(change))
    assert push._of_the_client(raised.value)
    with pytest.raises(KeyError) as own:
        {}["a"]
    assert not push._of_the_client(own.value)


# ---------------------------------------------------------------- the command line and the environment


def ended(error: BaseException | None, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """Run push.py's `main` with these words, in which reading the folders raises an error."""

    def make(*_: object) -> Plan:
        assert error is not None, "nothing is read"
        raise error

    monkeypatch.setattr("sys.argv", ["push.py", "--namespace", "tester", *words])
    monkeypatch.setattr(push, "make", make)
    with pytest.raises(SystemExit):
        push.main()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OfflineModeIsEnabled("offline"), "switched off by HF_HUB_OFFLINE"),
        (KeyboardInterrupt(), "interrupted. What was sent is whole"),
        (httpx2.InvalidURL("Invalid port"), "InvalidURL: Invalid port"),
        (json.JSONDecodeError("Expecting value", "<html>", 0), "answers what is no JSON, the page of a proxy perhaps"),
    ],
)
def test_every_end_of_a_push_is_a_line(
    error: BaseException, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended(error, monkeypatch)
    said = capsys.readouterr().err
    assert says in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("tag", ["a b", "v1..2", "main", "refs/heads/x", "v1.lock", "é", "-x"])
def test_a_tag_that_git_does_not_take_is_refused_before_anything_is_sent(
    tag: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended(None, monkeypatch, f"--tag={tag}")
    assert "is no name for a tag" in capsys.readouterr().err


@pytest.mark.parametrize("tag", ["v0.1.0", "2026-01-01", "release_2", "v1.0.0-rc.1"])
def test_usual_tags_are_taken(tag: str) -> None:
    assert push.TAG.fullmatch(tag)


@pytest.mark.parametrize("endpoint", ["https://[bad", "https://host:abc", "https://", "https://u:S3cr3t@[bad"])
def test_an_endpoint_that_is_no_address_is_named(endpoint: str) -> None:
    [line] = server.in_clear(endpoint)
    assert line.startswith("HF_ENDPOINT is https://")
    assert "S3cr3t" not in line
    assert server.stranger(endpoint) in ([], ["the token goes to host, which is not huggingface.co"])


@pytest.mark.parametrize("endpoint", ["https://[bad", "https://u:S3cr3t@host:abc"])
def test_an_address_that_the_client_does_not_bear_ends_in_a_line(
    endpoint: str, command: Command, tmp_path: Path
) -> None:
    done = command("push.py", "--namespace", "tester", environment=client_environment(endpoint, tmp_path))
    assert done.returncode == 2
    assert done.stderr == "error: HF_ENDPOINT is no address. Give one that begins with https://, or take it away.\n"


def test_a_page_for_an_error_is_not_printed_whole() -> None:
    response = httpx2.Response(502, request=httpx2.Request("POST", "http://hub"))
    error = push.HfHubHTTPError("bad gateway", response=response, server_message="x " * 10_000)
    assert len(server.explain(error, "https://h", "tester")) < 700


# ---------------------------------------------------------------- git


def test_git_says_itself_what_is_wrong_with_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = shutil.which("git")
    assert git
    run = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    (tmp_path / "x").write_text("x")
    for words in (["init", "-q"], ["add", "x"], ["commit", "-qm", "x"]):
        subprocess.run([git, "-C", str(tmp_path), *run, *words], check=True)
    assert checks.source_tree(tmp_path)[1] == []
    (tmp_path / ".git/index").write_bytes(b"torn")
    commit, [line] = checks.source_tree(tmp_path)
    assert commit == "", "a state that git cannot tell is not a clean one"
    assert "index file smaller than expected" in line
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "'git'" in checks.source_tree(tmp_path)[1][0]


# ---------------------------------------------------------------- files as people have them


def test_links_in_a_circle_and_odd_module_paths_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").symlink_to("config.json")
    (tmp_path / "modules.json").write_text('[{"path": "a\\u0000b"}]')
    problems: list[str] = []
    assert list(_model_files(tmp_path, problems)) == ["modules.json"]
    assert [line for line in problems if "config.json" in line and "leads nowhere" in line]
    assert [line for line in problems if "modules.json: has the path" in line]


@pytest.mark.parametrize(
    "content",
    [
        {"hub_dataset": "x"},
        {"metrics": [1]},
        {"metrics": {"a": 3}},
        {"metrics": {"a": {}}},
        {"metrics": {"a": {"value": float("nan")}}},
        {"headline": ["a"]},
        {"headline": "b"},
    ],
)
def test_a_foreign_result_is_refused_by_its_file(content: dict[str, Any], tmp_path: Path) -> None:
    whole = {"hub_dataset": {"id": "a/b", "config": "c"}, "metrics": {"a": {"value": 0.5}}}
    (tmp_path / "goemotions.json").write_text(json.dumps(whole))
    problems: list[str] = []
    assert list(_measured(tmp_path, problems)) == [".eval_results/goemotions.yaml"]
    (tmp_path / "goemotions.json").write_text(json.dumps(whole | content))
    assert not _measured(tmp_path, problems)
    assert "goemotions.json: its hub_dataset lacks" in problems[0]


def test_a_byte_order_mark_does_not_cost_a_card_its_yaml(tmp_path: Path) -> None:
    (tmp_path / "m.md").write_bytes("\ufeff---\r\nlicense: mit\r\n---\r\n# T\r\n".encode())
    card = _card(Plan(), tmp_path / "m.md", "tester")[CARD]
    assert isinstance(card, bytes)
    assert RepoCard(card.decode()).data.to_dict() == {"license": "mit"}


def test_a_date_in_a_recipe_is_named_as_what_differs() -> None:
    assert "2024-01-01" in next(iter(differing({"name": "x", "base_model": datetime.date(2024, 1, 1)}, {"name": "x"})))


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ("tokenizer_config.json", "has no tokenizer_config.json, so nobody could load it"),
        ("config.json", "has no config.json, so nobody could load it"),
        ("onnx/export.json", "onnx: has no export.json, so nobody knows what it was made from"),
        ("", ""),
    ],
)
def test_a_model_that_lacks_a_part_is_not_sent(missing: str, says: str, tmp_path: Path) -> None:
    names = ("config.json", "tokenizer_config.json", "model.safetensors", "onnx/export.json", "onnx/model.onnx")
    digest = checks.sha256(b"weights")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("weights" if "model" in name else json.dumps({"weights_sha256": digest}))
    if missing:
        (tmp_path / missing).unlink()
    problems: list[str] = []
    repository = Repository("m", "model", tmp_path, _model_files(tmp_path, problems))
    found = [*problems, *checks._weights(repository, {"weights_sha256": digest})]
    assert len(found) == bool(says)
    assert says in "".join(found)


def test_what_is_not_sent_since_it_is_not_there_is_said(tmp_path: Path) -> None:
    places = Places(
        **dict.fromkeys(("corpus", "models", "cards", "results", "recipes"), tmp_path),
        descriptors=tmp_path / "d",
        space=tmp_path / "s",
    )
    assert make("tester", places).notes == [f"left out: {tmp_path / name}, which is no folder" for name in "ds"]
