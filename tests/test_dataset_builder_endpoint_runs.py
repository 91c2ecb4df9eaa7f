"""Runs against servers as they are: what a server or a recipe does wrong ends a run early, and nothing is lost."""

import asyncio
import contextlib
import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from dataset_builder.descriptors.recipe import WritingRecipe
from dataset_builder.descriptors.writing import asked_for, write
from dataset_builder.inputs import InputError, read_recipe
from dataset_builder.narratives import read_narratives
from dataset_builder.parquet import read_manifest
from dataset_builder.pipeline.build import build
from dataset_builder.pipeline.label_texts import label, label_file
from dataset_builder.recipe import BuildRecipe, Executor, Narratives
from tests.conftest import ROOT, Command
from tests.loopback_teacher import (
    LoopbackTeacher,
    Spoil,
    build_recipe,
    corpus_of,
    done_units,
    failing,
    loopback_teacher,
    user_of,
)

THOUGHT = "I should list them.\n1. joy: 0.1 is my first guess.\n2. No, that is wrong."
PAGE = "<!doctype html><html><title>Chat</title></html>"


@pytest.fixture(scope="module")
def faultless(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The corpus of a server without a fault."""
    work = tmp_path_factory.mktemp("faultless")
    with loopback_teacher() as teacher:
        build(build_recipe(teacher.url), work)
    return corpus_of(work)


@pytest.fixture
def teacher() -> Iterator[LoopbackTeacher]:
    with loopback_teacher() as started:
        yield started


def message_of(answer: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = answer["choices"][0]["message"]
    return found


def replies(finish: str = "stop", **changes: Any) -> Spoil:
    """The message of every reply changed; `{text}` stands for what it said."""

    def spoil(asked: dict[str, Any], answer: dict[str, Any]) -> Response:
        message = message_of(answer)
        said = message["content"]
        message |= {
            key: value.replace("{text}", said) if isinstance(value, str) else value for key, value in changes.items()
        }
        answer["choices"][0]["finish_reason"] = finish
        return JSONResponse(answer)

    return spoil


def without(parameter: str, status: int, message: str) -> Spoil:
    """Refuse calls that have a parameter, or a message of the role `system`."""

    def spoil(asked: dict[str, Any], answer: dict[str, Any]) -> Response | None:
        roles = {one["role"] for one in asked["messages"]}
        return failing(status, message)(asked, answer) if parameter in {*asked, *roles} else None

    return spoil


EVENTS = Response('data: {"choices": []}\n\ndata: [DONE]\n\n', media_type="text/event-stream")
LIMITED = {"id": None, "choices": None, "error": {"message": "Provider returned error", "code": 429}}


@pytest.mark.parametrize(
    ("spoil", "recipe", "says", "advises", "mended"),
    [
        (
            without("max_tokens", 400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
            {},
            "Unsupported parameter: 'max_tokens'",
            "teacher.length_parameter: max_completion_tokens",
            {"length_parameter": "max_completion_tokens"},
        ),
        (
            without("temperature", 400, "'temperature' does not support 0.0 with this model."),
            {},
            "does not support 0.0",
            r"teacher.leave_out: \[temperature\]",
            {"leave_out": ["temperature"]},
        ),
        (
            without("seed", 422, "Extra inputs are not permitted: seed"),
            {},
            "Extra inputs are not permitted",
            r"teacher.leave_out: \[seed\]",
            None,
        ),
        (
            without("system", 400, "System role not supported."),
            {},
            "System role not supported",
            "teacher.system_role: false",
            {"system_role": False},
        ),
        (
            without("system", 500, "Only user, assistant and tool roles are supported, got system"),
            {},
            "got system",
            "teacher.system_role: false",
            None,
        ),
        (
            without("response_format", 400, "This response_format type is unavailable now"),
            {"structured": True},
            "response_format",
            "teacher.structured: false",
            {"structured": False},
        ),
        (failing(413, "Request Entity Too Large"), {}, "Entity Too Large", "", None),
        (lambda asked, answer: JSONResponse(LIMITED), {}, "Provider returned error", "", None),
        (lambda asked, answer: Response(PAGE, media_type="text/html"), {}, "'Chat'", "web page .* ends in /v1", None),
        (lambda asked, answer: EVENTS, {}, "data:", "event stream", None),
        (replies(content=f"<think>\n{THOUGHT}", finish="length"), {}, "", "teacher.reasoning_tokens", None),
        (replies(content=None, reasoning_content=THOUGHT, finish="length"), {}, "", "enable_thinking", None),
        (
            replies(content="", reasoning=f"{THOUGHT} {{text}}"),
            {},
            "I should list",
            "used its budget for reasoning",
            None,
        ),
        (replies(content="", finish="length"), {}, "", "used its budget for reasoning", None),
        (replies(content=None, tool_calls=[{"function": {"name": "answer"}}]), {}, "answer", "called a tool", None),
        (failing(400, "No such thing here."), {}, "No such thing here", "", None),
    ],
)
def test_a_server_that_refuses_everything_ends_the_run_and_the_mended_command_goes_on(
    spoil: Spoil,
    recipe: dict[str, Any],
    says: str,
    advises: str,
    mended: dict[str, Any] | None,
    faultless: dict[str, bytes],
    teacher: LoopbackTeacher,
    tmp_path: Path,
) -> None:
    teacher.spoil = spoil
    with pytest.raises(InputError, match=rf"(?s){says}.*{advises}.*same command") as error:
        build(build_recipe(teacher.url, **recipe), tmp_path)
    assert len(teacher.asked) <= 20
    assert "\n" not in str(error.value)
    assert done_units(tmp_path) == 0
    if mended is None:  # the server is mended
        teacher.spoil = None
    build(build_recipe(teacher.url, **(mended or recipe)), tmp_path)
    if not recipe and "system_role" not in (mended or {}):  # both change the question
        assert corpus_of(tmp_path) == faultless


@pytest.mark.parametrize(
    "spoil",
    [
        replies(content=f"<think>\n{THOUGHT}\n</think>\n\n{{text}}"),
        replies(content=f"{THOUGHT}\n</think>\n\n{{text}}"),
        replies(content=f"[THINK]{THOUGHT}[/THINK]{{text}}"),
        replies(
            content=f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>{{text}}"
        ),
        replies(content="{text}", reasoning_content=THOUGHT),
        replies(content="{text}<|im_end|>\n<|im_start|>user\nMore!"),
        replies(content="\ufeff{text}\u200b"),
    ],
)
def test_what_is_around_an_answer_changes_nothing(
    spoil: Spoil, faultless: dict[str, bytes], teacher: LoopbackTeacher, tmp_path: Path
) -> None:
    teacher.spoil = spoil
    build(build_recipe(teacher.url), tmp_path)
    assert corpus_of(tmp_path) == faultless


def test_content_as_a_list_of_parts(faultless: dict[str, bytes], teacher: LoopbackTeacher, tmp_path: Path) -> None:
    def spoil(asked: dict[str, Any], answer: dict[str, Any]) -> Response:
        message = message_of(answer)
        thought = {"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]}
        message["content"] = [thought, {"type": "text", "text": message["content"]}]
        return JSONResponse(answer)

    teacher.spoil = spoil
    build(build_recipe(teacher.url), tmp_path)
    assert corpus_of(tmp_path) == faultless


@pytest.mark.parametrize(
    ("refuse", "reason"),
    [
        (failing(400, "This model's maximum context length is 2048 tokens. Please reduce the length."), "http_400"),
        (failing(400, "The response was filtered by the content management policy.", "content_filter"), "http_400"),
        (failing(403, "Your input was flagged by moderation."), "http_403"),
        (replies(content=None, finish="content_filter"), "content_filter"),
        (replies(content=None, refusal="I will not."), "refusal"),
        (failing(422, "Something is wrong with this one."), "http_422"),
    ],
)
def test_a_story_that_is_refused_is_rejected_and_the_others_are_made(
    refuse: Spoil, reason: str, teacher: LoopbackTeacher, tmp_path: Path
) -> None:
    """Also where it is the very first: it is not done before another one is answered."""
    first = "Story: The Night Clerk"

    def spoil(asked: dict[str, Any], answer: dict[str, Any]) -> Response | None:
        nonlocal first
        if len(teacher.asked) == 1:
            first = user_of(asked)[:60]
        return refuse(asked, answer) if user_of(asked).startswith(first) else None

    teacher.spoil = spoil
    build(build_recipe(teacher.url, in_flight=1), tmp_path)
    manifest = read_manifest(tmp_path / "characters")
    assert (manifest["units"], manifest["rejected"].get(reason)) == (6, 1)


def test_a_stage_that_is_refused_loses_nothing_of_the_one_before(
    faultless: dict[str, bytes], teacher: LoopbackTeacher, tmp_path: Path
) -> None:
    def spoil(asked: dict[str, Any], answer: dict[str, Any]) -> Response | None:
        too_much = asked["max_tokens"] > 400
        return failing(400, "max_tokens is too large: 500, at most 400")(asked, answer) if too_much else None

    teacher.spoil = spoil
    recipe = build_recipe(teacher.url)
    with pytest.raises(InputError, match=r"utterances_list.*too large: 500.*max_new_tokens"):
        build(recipe, tmp_path)
    asked = len(teacher.asked)
    assert not (tmp_path / "utterances/journal/00000.jsonl").read_bytes()
    assert (tmp_path / "characters/journal/00000.jsonl").read_bytes()
    lower = recipe.utterances.decoding.model_copy(update={"max_new_tokens": 400})
    build(recipe.model_copy(update={"utterances": recipe.utterances.model_copy(update={"decoding": lower})}), tmp_path)
    again = [user_of(body) for body in teacher.asked[:asked] if "Who are the characters" in user_of(body)]
    assert len(set(again)) == len(again), "what was answered is not asked again"


def test_one_server_error_in_three_is_no_reason_to_stop(
    faultless: dict[str, bytes], teacher: LoopbackTeacher, tmp_path: Path
) -> None:
    def spoil(asked: dict[str, Any], answer: dict[str, Any]) -> Response | None:
        return failing(500, "Out of memory")(asked, answer) if len(teacher.asked) % 3 == 0 else None

    teacher.spoil = spoil
    build(build_recipe(teacher.url, retries=8), tmp_path)
    assert corpus_of(tmp_path) == faultless


@pytest.mark.parametrize("how", ["half", "limit"])
def test_a_prompt_that_is_cut_without_a_word_is_noticed(
    how: str, teacher: LoopbackTeacher, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoil(asked: dict[str, Any], answer: dict[str, Any]) -> Response:
        count = answer["usage"]["prompt_tokens"]
        answer["usage"]["prompt_tokens"] = count // 2 if how == "half" else min(count, 520)
        return JSONResponse(answer)

    build(build_recipe(teacher.url), tmp_path / "whole")
    assert read_manifest(tmp_path / "whole/characters")["cut_prompts"] == 0
    assert "warning" not in capsys.readouterr().err
    teacher.spoil = spoil
    build(build_recipe(teacher.url, model="another"), tmp_path / "cut")
    assert read_manifest(tmp_path / "cut/utterances")["cut_prompts"] > 0
    said = capsys.readouterr().err
    assert said.count("truncates long prompts") == 1
    assert "prompt tokens for" in said


def texts_file(folder: Path) -> Path:
    path = folder / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": f"This is text number {n}."}) + "\n" for n in range(8)))
    return path


def written(recipe: BuildRecipe, folder: Path) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(recipe.model_dump_json())  # JSON is YAML
    return path


@pytest.mark.parametrize(
    "spoil",
    [
        failing(400, "max_tokens is unknown here"),
        failing(503, "Overloaded"),
        replies(content="I do not know."),
        replies(content=None, reasoning_content=THOUGHT, finish="length"),
    ],
)
def test_label_texts_without_any_answer_is_an_error(
    spoil: Spoil, teacher: LoopbackTeacher, tmp_path: Path, command: Command
) -> None:
    teacher.spoil = spoil
    recipe = written(build_recipe(teacher.url), tmp_path)
    done = command(
        "-m", "dataset_builder", "label-texts", texts_file(tmp_path), "--recipe", recipe, "--out", tmp_path / "s"
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "s").exists()


def test_a_redirection_that_loses_the_question_is_named(teacher: LoopbackTeacher, tmp_path: Path) -> None:
    teacher.spoil = lambda asked, answer: RedirectResponse(f"{teacher.url}/there", 301)
    with pytest.raises(InputError, match=r"it redirects to http://127.*/there. Set 'teacher.urls' to "):
        build(build_recipe(teacher.url), tmp_path)


def test_an_answer_that_comes_sign_by_sign_times_out(teacher: LoopbackTeacher, tmp_path: Path) -> None:
    async def dripping() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" "
            await asyncio.sleep(0.1)

    teacher.spoil = lambda asked, answer: StreamingResponse(dripping(), media_type="application/json")
    with pytest.raises(InputError, match="time_out"):
        build(build_recipe(teacher.url, timeout=0.3, retries=0), tmp_path)


def test_a_proxy_is_none_for_this_machine_and_is_named_elsewhere(
    teacher: LoopbackTeacher, tmp_path: Path, faultless: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "socks5://user:secret@127.0.0.1:9")
    build(build_recipe(teacher.url), tmp_path / "here")
    assert corpus_of(tmp_path / "here") == faultless
    with pytest.raises(InputError, match=r"through .*\$ALL_PROXY.* \(ImportError\). Set it to an http:// url") as error:
        build(build_recipe("http://teacher.invalid/v1"), tmp_path / "there")
    assert "secret" not in str(error.value)
    monkeypatch.delenv("ALL_PROXY")
    with pytest.raises(InputError, match=r"the teacher does not respond .*Calls go through \$HTTP_PROXY"):
        build(build_recipe("http://teacher.invalid/v1"), tmp_path / "there")


def test_label_texts_reads_tables(scripted_recipe: Path, tmp_path: Path) -> None:
    table = tmp_path / "texts.tsv"
    table.write_bytes(b"label\ttext\r\njoy\tI won the race.\r\nfear\tI lost the key.\r\n")
    label_file(table, read_recipe(scripted_recipe, BuildRecipe), tmp_path / "s")
    said = [json.loads(line)["text"] for line in (tmp_path / "s").read_text().splitlines()]
    assert said == ["I won the race.", "I lost the key."]


def test_label_texts_says_how_many_failed_and_why(teacher: LoopbackTeacher, tmp_path: Path, command: Command) -> None:
    def spoil(asked: dict[str, Any], answer: dict[str, Any]) -> Response | None:
        return failing(400, "flagged by moderation")(asked, answer) if "number 3" in user_of(asked) else None

    teacher.spoil = spoil
    recipe = written(build_recipe(teacher.url), tmp_path)
    done = command(
        "-m", "dataset_builder", "label-texts", texts_file(tmp_path), "--recipe", recipe, "--out", tmp_path / "s"
    )
    assert done.returncode == 0, done.stderr
    assert "8 texts; the teacher failed on 1 (1 http_400)" in done.stdout
    assert len((tmp_path / "s").read_text().splitlines()) == 8


def test_measures_and_checks_without_any_answer_are_errors(
    teacher: LoopbackTeacher, tmp_path: Path, command: Command
) -> None:
    teacher.spoil = failing(400, "seed is not permitted")
    recipe = written(build_recipe(teacher.url), tmp_path)
    done = command("-m", "dataset_builder", "check-teacher", "--recipe", recipe)
    assert done.returncode == 2
    assert "leave_out: [seed]" in done.stderr
    with pytest.raises(InputError, match="seed is not permitted"):
        label(["I am here."] * 3, build_recipe(teacher.url, model="b"))
    teacher.spoil = replies(content="Who knows?")
    with pytest.raises(InputError, match=r"none of 3 texts \(3 no_scores; the last: Who knows"):
        label(["I am here."] * 3, build_recipe(teacher.url, model="c"))
    assert label(["I am here."] * 3, build_recipe(teacher.url, model="d"), any_answer=True).failed == 3


def test_a_file_without_texts(tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").write_text("")
    with pytest.raises(InputError, match=r"none\.jsonl: contains no text"):
        label_file(tmp_path / "none.jsonl", build_recipe("http://127.0.0.1:9/v1"), tmp_path / "out")


@pytest.mark.end_to_end
def test_workers_end_with_the_same_line(teacher: LoopbackTeacher, tmp_path: Path, command: Command) -> None:
    teacher.spoil = failing(422, "Extra inputs are not permitted: seed")
    executor = Executor(shards=2, workers=2)
    recipe = written(build_recipe(teacher.url).model_copy(update={"executor": executor}), tmp_path)
    asked = ("-m", "dataset_builder", "build", "--recipe", recipe, "--work-dir", tmp_path / "work")
    refused = command(*asked, environment=dict(os.environ))
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert "leave_out: [seed]" in refused.stderr.splitlines()[-1]
    assert done_units(tmp_path / "work") == 0
    teacher.spoil = None
    assert command(*asked, environment=dict(os.environ)).returncode == 0


def test_texts_are_written_once_the_recipe_is_mended(teacher: LoopbackTeacher, tmp_path: Path) -> None:
    teacher.spoil = without("seed", 422, "Extra inputs are not permitted: seed")
    options: dict[str, Any] = {"name": "w", "words": ("joy", "fear", "pride"), "each": 2}
    with pytest.raises(InputError, match="not permitted: seed"):
        write(WritingRecipe(teacher=build_recipe(teacher.url).teacher, **options), tmp_path)
    mended = build_recipe(teacher.url, leave_out=["seed"]).teacher
    with contextlib.suppress(InputError):  # what a scripted teacher writes for a word may all be rejected
        write(WritingRecipe(teacher=mended, **options), tmp_path)
    assert read_manifest(tmp_path / "writing")["units"] == len(asked_for(WritingRecipe(teacher=mended, **options)))


def test_the_paper_s_recipe_runs_where_the_system_role_is_refused(teacher: LoopbackTeacher, tmp_path: Path) -> None:
    """A server with the chat template of Mistral-7B-Instruct-v0.2, and two stories in the files of WikiPlots."""
    teacher.spoil = without("system", 400, "Conversation roles must alternate user/assistant/user/assistant/...")
    tales = read_narratives(Narratives(limit=2))
    stories = [re.split(r"(?<=[.!?])\s+", tale.text) for tale in tales]
    (tmp_path / "plots").write_text("".join("\n".join([*story, "<EOS>", ""]) for story in stories))
    (tmp_path / "titles").write_text("".join(f"{tale.fields['title']}\n" for tale in tales))
    recipe = read_recipe(ROOT / "dataset_builder/recipes/faithful.yaml", BuildRecipe)
    recipe = recipe.model_copy(
        update={
            "narratives": recipe.narratives.model_copy(update={"source": str(tmp_path)}),
            "teacher": recipe.teacher.model_copy(update={"urls": (teacher.url,)}),
            "executor": Executor(),
        }
    )
    build(recipe, tmp_path / "work")
    made = read_manifest(tmp_path / "work/corpus")
    assert sum(made["rows"]["contextless"].values()) > 50
    assert sum(made["rows"]["contextual"].values()) > 10
    asked = teacher.asked[0]
    assert [message["role"] for message in asked["messages"]][:1] == ["user"]
    assert asked["messages"][0]["content"].startswith("You read a story")
    labels = next(user_of(one) for one in teacher.asked if "Which emotions of this list" in user_of(one))
    assert "We got the keys" not in labels, "no worked example"
    utterances = next(user_of(one) for one in teacher.asked if "Imagine that a character" in user_of(one))
    assert "never naming the emotion" not in utterances
