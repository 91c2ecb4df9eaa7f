"""The key of an endpoint: where it may go, what it may be, and that it is neither printed nor written."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from dataset_builder.inputs import InputError
from dataset_builder.recipe import EndpointTeacher
from dataset_builder.teachers.keys import NO_KEY, _announce, read_key
from tests.conftest import Command
from tests.loopback_teacher import Spoil, build_recipe, loopback_teacher, user_of

KEY = "sk-proj-aBcD3fGh1jKlMn0pQrStUvWxYzAbCdEf"
HERE, OPENAI, ELSEWHERE = "http://127.0.0.1:8000/v1", "https://api.openai.com/v1", "https://llm.example.test/v1"


def endpoint(url: str, **options: Any) -> EndpointTeacher:
    return EndpointTeacher(kind="endpoint", model="m", urls=(url,), **options)


@pytest.fixture(autouse=True)
def exported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "MY_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD"):
        monkeypatch.setenv(name, KEY)
    _announce.cache_clear()


@pytest.mark.parametrize(
    ("url", "variable", "sent"),
    [
        (OPENAI, None, KEY),
        (OPENAI.replace("https", "http"), None, NO_KEY),
        ("https://api.openai.com.example.test/v1", None, NO_KEY),
        (HERE, None, NO_KEY),
        (ELSEWHERE, None, NO_KEY),
        (ELSEWHERE, "MY_KEY", KEY),
        (ELSEWHERE, "OPENAI_API_KEY", KEY),
        (HERE, "MY_KEY", KEY),
        ("http://localhost:1/v1", "MY_KEY", KEY),
        ("http://[::1]:1/v1", "MY_KEY", KEY),
        (ELSEWHERE, "NOT_SET", NO_KEY),
        ("http://gpu-box:8000/v1", "NOT_SET", NO_KEY),
        ("https://router.huggingface.co/v1", "HF_TOKEN", KEY),
    ],
)
def test_who_gets_which_key(url: str, variable: str | None, sent: str) -> None:
    assert read_key(endpoint(url, api_key_env=variable), url).value == sent


@pytest.mark.parametrize(
    ("url", "variable", "says"),
    [
        ("http://gpu-box:8000/v1", "MY_KEY", "MY_KEY would go to gpu-box over http"),
        ("http://127.0.0.1.example.test/v1", "MY_KEY", "over http"),
        ("http://10.0.0.7/v1", "OPENAI_API_KEY", "over http"),
        ("http://user:secretpassword@gpu-box/v1", None, "the password in the url would go to gpu-box"),
        (ELSEWHERE, "HF_TOKEN", "does not look like a teacher's key"),
        (ELSEWHERE, "AWS_SECRET_ACCESS_KEY", "does not look like a teacher's key"),
        (HERE, "DB_PASSWORD", "does not look like a teacher's key"),
        ("https://huggingface.co.example.test/v1", "HF_TOKEN", "does not look like a teacher's key"),
    ],
)
def test_where_no_key_goes_unless_the_command_line_says_so(url: str, variable: str | None, says: str) -> None:
    config = endpoint(url, api_key_env=variable)
    with pytest.raises(InputError, match=says) as error:
        read_key(config, url)
    assert "--send-key-anyway" in str(error.value)
    assert not any(secret in str(error.value) for secret in (KEY, "secretpassword"))
    key = read_key(config.model_copy(update={"send_key_anyway": True}), url)
    assert key.value == (KEY if variable else NO_KEY)


def test_no_recipe_may_allow_itself() -> None:
    with pytest.raises(ValueError, match="a recipe cannot set this"):
        endpoint(HERE, send_key_anyway=True)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        (f"“{KEY}”", "character that no key has"),
        (f'"{KEY}"', "quotation mark"),
        (f"{KEY[:9]}\n{KEY[9:]}", "a line break"),
        (f"{KEY}\x07{KEY}", "control character"),
    ],
)
def test_a_bad_key_is_refused_by_its_variable(value: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", value)
    with pytest.raises(InputError, match=rf"^\$MY_KEY .*{says}") as error:
        read_key(endpoint(HERE, api_key_env="MY_KEY"), HERE)
    assert KEY[:9] not in str(error.value)


@pytest.mark.parametrize("behind", ["\r", "\n", "\r\n", " "])
def test_what_stands_behind_a_key_is_no_part_of_it(behind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY + behind)
    assert read_key(endpoint(HERE, api_key_env="MY_KEY"), HERE).value == KEY


def test_it_is_said_once_to_whom_a_key_goes(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        read_key(endpoint(ELSEWHERE, api_key_env="MY_KEY"), ELSEWHERE)
    assert capsys.readouterr().err == "sends $MY_KEY to llm.example.test\n"


def echoing(status: int) -> Spoil:
    def spoil(asked: dict[str, Any], answer: dict[str, Any]) -> Response | None:
        if status == 200:
            answer["choices"][0]["message"]["content"] += f" {KEY}"
            return JSONResponse(answer) if "Who are the characters" not in user_of(asked) else None
        return JSONResponse({"error": {"message": f"bad header 'Bearer {KEY}'"}}, status, {"retry-after-ms": "5"})

    return spoil


def everything(work: Path) -> bytes:
    files = (path for path in work.rglob("*") if path.is_file())
    return b"".join(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes() for path in files)


@pytest.mark.parametrize("status", [200, 400, 401, 500])
def test_a_key_that_the_server_echoes_is_shown_to_nobody(status: int, tmp_path: Path, command: Command) -> None:
    with loopback_teacher(echoing(status)) as teacher:
        url = teacher.url.replace("http://", "http://somebody:S3cr3tPassw0rd@") if status == 500 else teacher.url
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(json.dumps(build_recipe(url, api_key_env="MY_KEY").model_dump(mode="json")))
        done = command("-m", "dataset_builder", "build", "--recipe", recipe, "--work-dir", tmp_path / "work")
    assert done.returncode == (0 if status == 200 else 2)
    assert ("***" in done.stderr) is (status != 200)
    if status != 500:  # a user's name in a url is sent instead of a key
        assert teacher.headers[0]["authorization"] == f"Bearer {KEY}"
    for secret in (KEY, "S3cr3tPassw0rd"):
        assert secret not in done.stdout + done.stderr
        assert secret.encode() not in everything(tmp_path / "work")


def test_what_is_meant_for_openai_goes_to_nobody_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from dataset_builder.pipeline.build import build

    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-1")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "admin-1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: 1\nAuthorization: Bearer other")
    with loopback_teacher() as teacher:
        build(build_recipe(teacher.url), tmp_path)
    sent = teacher.headers[0]
    assert sent["authorization"] == "Bearer none"
    assert not {"openai-organization", "openai-project", "x-secret"} & sent.keys()


def test_the_switch_is_on_the_command_line(command: Command, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    with loopback_teacher() as teacher:
        recipe.write_text(json.dumps(build_recipe(teacher.url, api_key_env="HF_TOKEN").model_dump(mode="json")))
        asked = ("-m", "dataset_builder", "build", "--recipe", recipe, "--work-dir", tmp_path / "work")
        refused = command(*asked)
        assert (refused.returncode, teacher.asked) == (2, [])
        assert "HF_TOKEN does not look like a teacher's key" in refused.stderr
        assert command(*asked, "--send-key-anyway").returncode == 0
    assert teacher.headers[0]["authorization"] == f"Bearer {KEY}"


def test_keys_that_came_later_change_no_hash_of_a_recipe_without_them() -> None:
    plain = build_recipe(HERE).model_dump(mode="json")["teacher"]
    assert not {"leave_out", "system_role", "extra_body", "send_key_anyway"} & plain.keys()
    used = build_recipe(HERE, leave_out=["seed"], extra_body={"top_k": 5})
    assert used.model_dump(mode="json")["teacher"]["extra_body"] == {"top_k": 5}
