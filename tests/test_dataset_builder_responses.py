"""Whatever a server sends is an answer or a TeacherError with a reason, and never another exception."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from dataset_builder.inputs import InputError
from dataset_builder.schema import Usage
from dataset_builder.teachers.base import NoAnswer, TeacherError
from dataset_builder.teachers.failures import FailureLimit, advise, is_about_the_question
from dataset_builder.teachers.responses import Answer, one_line, read_answer, words_in, words_of
from dataset_builder.teachers.truncation import TruncationDetector

URL = "http://127.0.0.1:8000/v1"
GOOD: dict[str, Any] = {
    "id": "x",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "1. Mara", "refusal": None, "tool_calls": []},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": {"prompt_tokens": 20, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 16}},
}
MISSING = object()
ODD: list[Any] = [None, "", "abc", 0, -1, 5, 1e400, float("nan"), True, [], [None], ["x"], [1], {}, {"a": 1}, [[]]]


def spoilt(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in a nested one."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from spoilt(one, (*path, key))


def read(body: Any) -> Answer:
    return read_answer(json.dumps(body).encode(), "application/json", chat=True)


@pytest.mark.parametrize("path", list(spoilt(GOOD)), ids=str)
def test_any_value_may_be_anything(path: tuple[Any, ...]) -> None:
    for odd in [*ODD, MISSING]:
        body = copy.deepcopy(GOOD)
        holder = body
        for key in path[:-1]:
            holder = holder[key]
        if not path:
            body = odd if odd is not MISSING else {}
        elif odd is MISSING:
            del holder[path[-1]]
        else:
            holder[path[-1]] = odd
        reason, answer = "", None
        try:
            answer = read(body)
        except TeacherError as error:
            reason = error.reason
        assert reason in ("", "broken_body", "error_in_body", "empty", "tool_calls", "refusal")
        if answer:
            assert isinstance(answer.text, str)
            json.dumps(answer.usage.model_dump(), allow_nan=False)


@pytest.mark.parametrize(
    ("content", "kind", "advises"),
    [
        (b"", "application/json", ""),
        (b"hello", "text/plain", ""),
        (b"<!doctype html><title>Chat</title>", "text/html; charset=utf-8", "web page"),
        (b"\n <html>", "application/json", "web page"),
        (b'data: {"choices": []}\n\n', "text/event-stream", "event stream"),
        (b": ping\n\ndata: [DONE]", "application/json", "event stream"),
        (b'{"choices": [', "application/json", ""),
        (b"[" * 100_000 + b"]" * 100_000, "application/json", ""),
        (b'{"a": "\xff"}', "application/json", ""),
        (b'{"a": ' + b"1" * 10_000 + b"}", "application/json", ""),
    ],
)
def test_a_body_that_is_no_json(content: bytes, kind: str, advises: str) -> None:
    with pytest.raises(TeacherError) as error:
        read_answer(content, kind, chat=True)
    assert (error.value.reason, error.value.retryable) == ("broken_body", True)
    assert advises in error.value.advice
    assert bool(advises) is bool(error.value.advice)
    assert error.value.detail
    assert len(error.value.detail) <= 300


def body(finish: str = "stop", usage: dict[str, Any] | None = None, **message: Any) -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": finish}], "usage": usage}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("1. Mara", "1. Mara"),
        ([{"type": "text", "text": "1. "}, {"type": "text", "text": "Mara"}], "1. Mara"),
        ([{"type": "output_text", "text": "1. Mara"}], "1. Mara"),
        ([{"type": "text", "text": {"value": "1. Mara"}}], "1. Mara"),
        (["1. ", "Mara"], "1. Mara"),
        ([{"type": "reasoning", "text": "Hm."}, {"type": "text", "text": "1. Mara"}], "1. Mara"),
    ],
)
def test_content_in_parts(content: Any, text: str) -> None:
    assert read(body(content=content)).text == text


@pytest.mark.parametrize(
    ("reply", "reason", "says"),
    [
        (body(content=None, reasoning_content="Hm, well.", finish="length"), "only_reasoning", "Hm, well"),
        (body(content="  \n", reasoning="Hm, well."), "only_reasoning", "Hm, well"),
        (body(content="", thinking="Hm, well."), "only_reasoning", "Hm, well"),
        (body(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]), "only_reasoning", "Hm."),
        (
            body(content="", finish="length", usage={"completion_tokens": 300}),
            "only_reasoning",
            "teacher.reasoning_tokens",
        ),
        (
            body(content="", usage={"completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 9}}),
            "only_reasoning",
            "enable_thinking",
        ),
        (body(content=None, tool_calls=[{"function": {"name": "say"}}]), "tool_calls", "say"),
        (body(content=None, function_call={"name": "say"}), "tool_calls", "tool choice"),
        (body(content=None, refusal="I will not."), "refusal", "I will not"),
        (body(content=None, finish="content_filter"), "content_filter", "filter"),
        (body(content=None), "empty", "chat template"),
    ],
)
def test_why_there_is_no_answer(reply: dict[str, Any], reason: str, says: str) -> None:
    with pytest.raises(NoAnswer) as error:
        read(reply)
    assert error.value.reason == reason
    assert says in error.value.message
    assert error.value.usage.calls == 1


@pytest.mark.parametrize(
    ("sent", "reason", "words"),
    [
        ({"choices": None, "error": {"message": "Slow down", "code": 429}}, "http_429", "Slow down (429)"),
        ({"error": {"message": "No", "code": "unsupported"}}, "error_in_body", "No (unsupported)"),
        ({"error": "model not loaded"}, "error_in_body", "model not loaded"),
        ({"object": "error", "message": "Too long", "code": 400}, "http_400", "Too long (400)"),
        ({"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs"}]}, "error_in_body", "Extra inputs (body.seed)"),
        (
            {"error": {"message": {"text": "odd"}, "code": "abc", "param": 5}},
            "error_in_body",
            '{"text": "odd"} (5, abc)',
        ),
        ({"error": "Bad Request", "status": 400, "message": "no seed"}, "http_400", "no seed"),
        ({"error": {}, "choices": [{}]}, "broken_body", "choices"),
        ({"unexpected": True}, "broken_body", "unexpected"),
        ([1], "broken_body", "[1]"),
    ],
)
def test_an_error_in_the_place_of_an_answer(sent: Any, reason: str, words: str) -> None:
    with pytest.raises(TeacherError) as error:
        read(sent)
    assert error.value.reason == reason
    assert words in error.value.detail
    if reason != "broken_body":
        assert words_in(json.dumps(sent).encode()) == error.value.detail, "as the body of a failed call"


def test_a_servers_words_are_one_short_line() -> None:
    assert one_line("a\n\x1b[31m  b\ud83d\x00") == "a [31m b?"
    assert len(one_line("word " * 1000)) <= 300
    assert one_line("<!DOCTYPE html><head><title>\n Sign in </title>") == "a web page, 'Sign in'"
    assert words_of({"error": {"error": {"message": "deep"}}})


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", "length_parameter"),
        ("max_tokens is too large: 500. This model supports at most 256 completion tokens", "max_new_tokens"),
        ("'temperature' does not support 0.0 with this model.", "leave_out: [temperature]"),
        ("Extra inputs are not permitted: seed", "leave_out: [seed]"),
        ("unknown field: top_p", "leave_out: [top_p]"),
        ("`stop` is not supported by this model", "leave_out: [stop]"),
        ("repetition_penalty: extra fields not permitted", "repetition_penalty"),
        ("Conversation roles must alternate user/assistant", "system_role: false"),
        ("This response_format type is unavailable now", "structured: false"),
        ("unexpected keyword continue_final_message", "server: openai"),
        ("chat_template_kwargs is not supported", "extra_body"),
        ("This model's maximum context length is 2048 tokens.", "narratives.max_words"),
        ("the request exceeds the available context size", "narratives.max_words"),
        ("prompt is too long: 9000 tokens > 8192 maximum", "narratives.max_words"),
        ("The response was filtered by the content management policy", ""),
        ("Something else", ""),
    ],
)
def test_what_to_change_by_a_servers_words(words: str, key: str) -> None:
    assert key in advise(words)
    assert bool(key) is bool(advise(words))


def test_what_is_the_questions_fault() -> None:
    assert is_about_the_question("maximum context length is 2048")
    assert is_about_the_question("Your input was flagged by moderation")
    assert not is_about_the_question("Unsupported parameter: max_tokens")


def limit() -> FailureLimit:
    return FailureLimit(URL, "the key")


def refuse(limits: FailureLimit, count: int, words: str, stories: int = 100, **options: Any) -> int:
    """How many calls are made before the run ends; all of them where it does not."""
    for number in range(count):
        error = TeacherError(
            options.get("reason", "http_400"), words, retryable=options.get("retryable", False), advice=advise(words)
        )
        try:
            limits.failed("labels", f"story {number % stories}", error)
        except InputError:
            return number + 1
    return count


def test_when_failures_end_a_run() -> None:
    assert refuse(limit(), 500, "seed is not permitted", stories=1) == 5
    assert refuse(limit(), 500, "No.") == 12
    assert refuse(limit(), 500, "No.", stories=2) == 500, "two stories may be odd"
    assert refuse(limit(), 99, "maximum context length is 2048 tokens") == 99
    assert refuse(limit(), 500, "Overloaded", reason="http_503", retryable=True) == 500, "passes by itself"
    assert refuse(limit(), 500, "template error", reason="http_500", retryable=True) == 12


def test_after_an_answer_it_takes_more_to_end_a_run() -> None:
    limits = limit()
    limits.answered("labels")
    assert refuse(limits, 19, "seed is not permitted") == 19
    limits.answered("labels")
    assert refuse(limits, 99, "No.") == 99
    limits.answered("characters")
    assert refuse(limits, 500, "No.") == 1, "an answer to another prompt says nothing"


PROSE = "Ana came to the mill early and Ben was there before her with the key. "


def counted(lengths: TruncationDetector, repeats: int, tokens: int) -> bool:
    return lengths.is_truncated(PROSE * repeats, Usage(prompt_tokens=tokens))


def test_prompts_that_are_counted_whole(capsys: pytest.CaptureFixture[str]) -> None:
    lengths = TruncationDetector(URL)
    for divisor in (2.5, 4, 5.5):
        assert not any(counted(lengths, n, int(len(PROSE) * n / divisor)) for n in range(1, 60))
    assert not any(counted(lengths, n, 0) for n in range(60)), "a server that does not count"
    assert not any(counted(TruncationDetector(URL), 20, 333) for _ in range(60)), "the same prompt again"
    assert not lengths.is_truncated(PROSE * 100, Usage(prompt_tokens=20, cached_tokens=1750))
    assert capsys.readouterr().err == ""


def test_prompts_that_a_server_cut(capsys: pytest.CaptureFixture[str]) -> None:
    lengths = TruncationDetector(URL)
    assert counted(lengths, 60, 512)
    assert counted(lengths, 50, 512)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{URL} counted 512 prompt tokens for 900 words" in said
    near = TruncationDetector(URL)  # not fewer tokens than words, but always the same number
    assert [counted(near, n, min(n * 16, 512)) for n in (30, 32, 36, 40, 41, 42, 38, 39)][4:] == [
        False,
        True,
        True,
        True,
    ]
