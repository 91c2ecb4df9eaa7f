"""Teachers: the endpoint against a loopback server that fails in every way, the embedded one with a tiny model."""

import asyncio
import contextlib
import email.utils
import math
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from dataset_builder.inputs import InputError
from dataset_builder.recipe import EmbeddedTeacher, EndpointTeacher
from dataset_builder.teachers.base import Reply, Request, TeacherError
from dataset_builder.teachers.embedded import Embedded
from dataset_builder.teachers.endpoint import Endpoint
from dataset_builder.teachers.failures import retry_after
from tests.loopback_teacher import loopback_teacher

Answer = Callable[[dict[str, Any], int], Response]
ASKED = Request(prompt="test", system="You test.", user="Say it.", prefill="1.", stop=("\n",), max_new_tokens=8, seed=5)


def completion(text: str, finish: str = "stop", **choice: Any) -> JSONResponse:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 20, "completion_tokens": 3, "total_tokens": 23}
    usage |= {"prompt_tokens_details": {"cached_tokens": 16}}  # type: ignore[dict-item]
    choices = [{"index": 0, "message": message, "finish_reason": finish, **choice}]
    return JSONResponse(
        {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": choices, "usage": usage}
    )


@contextmanager
def server(answer: Answer, port: int = 0) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server on loopback with `answer(body, number of the call)`; its url, and the bodies that it was sent."""
    with loopback_teacher(port=port) as serves:
        serves.spoil = lambda asked, _: answer(asked, len(serves.asked))
        yield serves.url, serves.asked


def teacher(url: str, **changes: Any) -> Endpoint:
    options: dict[str, Any] = {"kind": "endpoint", "model": "m", "urls": (url,), "timeout": 10, "retries": 2} | changes
    return Endpoint(EndpointTeacher(**options), url)


def ask(url: str, **changes: Any) -> Reply:
    async def once() -> Reply:
        endpoint = teacher(url, **changes)
        try:
            return await endpoint.generate(ASKED)
        finally:
            await endpoint.close()

    return asyncio.run(once())


def test_an_answer_with_its_tokens() -> None:
    with server(lambda body, call: completion(" Mara")) as (url, bodies):
        reply = ask(url)
    assert (reply.text, reply.cut) == (" Mara", False)
    assert (reply.usage.prompt_tokens, reply.usage.cached_tokens, reply.usage.completion_tokens) == (20, 16, 3)
    assert bodies[0]["seed"] == 5
    assert bodies[0]["stop"] == ["\n"]
    assert [message["role"] for message in bodies[0]["messages"]] == ["system", "user"]


def test_a_prefill_where_the_server_continues_it() -> None:
    with server(lambda body, call: completion(" Mara", "length")) as (url, bodies):
        reply = ask(url, server="vllm")
    assert (reply.text, reply.cut) == ("1. Mara", True)
    assert bodies[0]["messages"][-1] == {"role": "assistant", "content": "1."}
    assert bodies[0]["continue_final_message"] is True


def test_an_opening_quote_does_not_end_the_answer() -> None:
    request = Request(prompt="test", system="s", user="u", prefill='"I', stop=('"', "\n"))
    with server(lambda body, call: completion('"I did.')) as (url, bodies):
        for kind in ("openai", "vllm"):
            asyncio.run(teacher(url, server=kind).generate(request))
    assert [body["stop"] for body in bodies] == [["\n"], ['"', "\n"]]


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_passing_failures_are_retried(status: int) -> None:
    def answer(body: dict[str, Any], call: int) -> Response:
        return completion("ok") if call == 3 else JSONResponse({"error": "x"}, status, {"retry-after-ms": "10"})

    with server(answer) as (url, bodies):
        reply = ask(url)
    assert (reply.text, reply.retried) == ("ok", (f"http_{status}",) * 2)
    assert len(bodies) == 3


def test_retry_after_is_honoured() -> None:
    def answer(body: dict[str, Any], call: int) -> Response:
        return completion("ok") if call == 2 else JSONResponse({"error": "x"}, 429, {"Retry-After": "1"})

    with server(answer) as (url, _):
        started = time.monotonic()
        assert ask(url).text == "ok"
    assert 1.0 <= time.monotonic() - started < 10.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "7", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "soon"}, 0.0),
        ({"retry-after": "-5"}, 0.0),
        ({}, 0.0),
    ],
)
def test_how_long_a_server_wants_to_be_left_alone(headers: dict[str, str], seconds: float) -> None:
    assert retry_after(headers) == seconds


def test_a_server_may_name_the_moment_from_which_it_answers() -> None:
    headers = {"retry-after": email.utils.formatdate(time.time() + 3600, usegmt=True)}
    assert retry_after(headers) == pytest.approx(3600, abs=5)


def test_a_server_that_was_there_is_waited_for() -> None:
    async def twice(url: str, port: int) -> Reply:
        endpoint = teacher(url, retries=0)
        try:
            with server(lambda body, call: completion("first"), port):
                await endpoint.generate(ASKED)
            asked = asyncio.create_task(endpoint.generate(ASKED))
            await asyncio.sleep(1.0)
            with server(lambda body, call: completion("second"), port):
                return await asked
        finally:
            await endpoint.close()

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    reply = asyncio.run(twice(f"http://127.0.0.1:{port}/v1", port))
    assert reply.text == "second"
    assert set(reply.retried) == {"no_connection"}


def test_patience_has_an_end() -> None:
    async def gone() -> None:
        endpoint = teacher(url, patience=0.2)
        await endpoint.generate(ASKED)
        running.close()
        await endpoint.generate(ASKED)

    running = contextlib.ExitStack()
    url, _ = running.enter_context(server(lambda body, call: completion("first")))
    with pytest.raises(TeacherError) as error:
        asyncio.run(gone())
    assert (error.value.reason, error.value.retryable, error.value.retried) == (
        "no_connection",
        True,
        ("no_connection",),
    )


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda body, call: JSONResponse({"error": "x"}, 500, {"retry-after-ms": "5"}), "http_500"),
        (lambda body, call: JSONResponse({"error": "x"}, 429, {"retry-after-ms": "5"}), "http_429"),
        (lambda body, call: JSONResponse({"error": {"message": "too long"}}, 400), "http_400"),
        (lambda body, call: JSONResponse({"unexpected": True}), "broken_body"),
        (lambda body, call: Response('{"choices": [', media_type="application/json"), "broken_body"),
        (lambda body, call: Response("hello", media_type="text/plain"), "broken_body"),
        (lambda body, call: JSONResponse({"choices": [{}]}), "broken_body"),
        (lambda body, call: JSONResponse({"choices": [{"message": None}]}), "broken_body"),
        (lambda body, call: JSONResponse({"choices": [{"message": {"content": [{"text": "x"}]}}]}), "broken_body"),
        (lambda body, call: time.sleep(1.0) or completion("late"), "time_out"),
    ],
)
def test_lasting_failures_have_a_code(answer: Answer, reason: str) -> None:
    with server(answer) as (url, _), pytest.raises(TeacherError) as error:
        ask(url, timeout=0.3 if reason == "time_out" else 5, retries=1)
    assert error.value.reason == reason
    assert error.value.retried == (() if reason == "http_400" else (reason,))


def test_a_server_that_is_gone_or_refuses_ends_the_run() -> None:
    with pytest.raises(InputError, match="the teacher does not respond"):
        ask("http://127.0.0.1:9/v1", retries=0)
    with (
        server(lambda body, call: JSONResponse({"error": {"message": "bad key"}}, 401)) as (url, _),
        pytest.raises(InputError, match=r"rejected the call.*OPENAI_API_KEY"),
    ):
        ask(url)


def top(token: str, value: float) -> dict[str, Any]:
    return {"token": token, "logprob": value, "bytes": None}


def scored(tops: list[dict[str, Any]]) -> JSONResponse:
    return completion("x", logprobs={"content": [{**top("x", -0.5), "top_logprobs": tops}]})


def test_only_vllm_scores() -> None:
    with (
        server(lambda body, call: completion("x")) as (url, _),
        pytest.raises(InputError, match=r"only vLLM .*verbalised"),
    ):
        asyncio.run(teacher(url).score(ASKED, [" joy"]))
    with (
        server(lambda body, call: completion("x")) as (url, _),
        pytest.raises(InputError, match="no log-probabilities"),
    ):
        asyncio.run(teacher(url, server="vllm").score(ASKED, [" joy"]))


def test_vllm_scores_exactly_the_tokens_of_the_choices() -> None:
    def answer(body: dict[str, Any], call: int) -> Response:
        begun = body["messages"][-1]["content"]
        values = {"j": -1.0, "f": -2.0} if begun == "1." else {"o": -0.5, "a": -1.0}
        return scored([top("token_id:7", -0.1), *(top(f"token_id:{ord(k)}", v) for k, v in values.items())])

    with server(answer) as (url, bodies):
        scores = asyncio.run(teacher(url, server="vllm").score(ASKED, [" joy", " jam", " fear"]))
    assert scores.log_probabilities == (-1.5, -2.0, -2.0)
    assert [body["logprob_token_ids"] for body in bodies] == [[ord("f"), ord("j")], [ord("a"), ord("o")]]
    assert bodies[1]["messages"][-1]["content"] == "1. j"
    assert scores.usage.calls == 2


def test_a_schema_where_the_recipe_wants_it() -> None:
    asked = replace(ASKED, schema={"type": "object"})
    with server(lambda body, call: completion('{"characters": ["Mara"]}')) as (url, bodies):
        for structured in (False, True):
            asyncio.run(teacher(url, server="vllm", structured=structured).generate(asked))
    assert "response_format" not in bodies[0]
    assert bodies[1]["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert [message["role"] for message in bodies[1]["messages"]] == ["system", "user"], "no begun answer"


def test_a_base_model_is_given_a_text_to_continue() -> None:
    asked = replace(ASKED, shots=(("Say what?", "1. This."),))

    def answer(body: dict[str, Any], call: int) -> Response:
        choice = {"index": 0, "text": " Mara", "finish_reason": "stop", "logprobs": None}
        if body.get("logprobs"):
            choice |= {"logprobs": {"top_logprobs": [{f"token_id:{ord('j')}": -0.5, f"token_id:{ord('f')}": -2.0}]}}
        return JSONResponse({"id": "x", "object": "text_completion", "created": 0, "model": "m", "choices": [choice]})

    with server(answer) as (url, bodies):
        reply = asyncio.run(teacher(url, chat=False).generate(asked))
        scores = asyncio.run(teacher(url, chat=False, server="vllm").score(asked, [" joy", " fear"]))
    assert bodies[0]["prompt"] == "You test.\n\nSay what?\n1. This.\n\nSay it.\n1."
    assert "\n\n" in bodies[0]["stop"]
    assert reply.text == "1. Mara"
    assert scores.log_probabilities == (-0.5, -2.0)


def requests() -> list[Request]:
    stories = ["Once Mara lost a ring. " * 60, "Tomas never sat on that bench again. " * 40]
    users = [f"{story}\nWho is {name}?" for name in ("Mara", "the mayor of the town") for story in stories]
    return [
        Request(prompt="test", system="Answer.", user=user, prefill="It is", max_new_tokens=12)
        for user in [*users, "A short one?"]
    ]


def test_batches_and_kept_beginnings_change_no_answer(tiny_teacher: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = EmbeddedTeacher(kind="embedded", model=str(tiny_teacher), batch_size=8)
    batched = Embedded(config)

    async def together() -> list[Any]:
        answers = await asyncio.gather(*(batched.generate(request) for request in requests()))
        return [*answers, *await asyncio.gather(*(batched.score(r, ["a", "b", "z"]) for r in requests()))]

    found = asyncio.run(together())
    assert sum(answer.usage.cached_tokens for answer in found) > 3000

    monkeypatch.setattr("dataset_builder.teachers.prefix_cache.SHORTEST", 10**9)
    alone = Embedded(config)

    async def one_by_one() -> list[Any]:
        answers: list[Any] = [await alone.generate(request) for request in requests()]
        return answers + [await alone.score(request, ["a", "b", "z"]) for request in requests()]

    expected = asyncio.run(one_by_one())
    assert all(answer.usage.cached_tokens == 0 for answer in expected)
    count = len(requests())
    assert [answer.text for answer in found[:count]] == [answer.text for answer in expected[:count]]
    for mine, theirs in zip(found[count:], expected[count:], strict=True):
        assert mine.log_probabilities == pytest.approx(theirs.log_probabilities, abs=1e-4)


def test_grouped_attention_equals_the_stock_one(tiny_teacher: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from dataset_builder.teachers.grouped_attention import NAME

    model = AutoModelForCausalLM.from_pretrained(tiny_teacher).eval()
    ids = torch.randint(1, 200, (3, 17), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, :5] = 0
    outputs = []
    for implementation in ("sdpa", NAME):
        model.set_attn_implementation(implementation)
        with torch.inference_mode():
            outputs.append(model(input_ids=ids, attention_mask=mask).logits[mask.bool()])
            outputs.append(model(input_ids=ids).logits)
    assert torch.allclose(outputs[0], outputs[2], atol=1e-5)
    assert torch.allclose(outputs[1], outputs[3], atol=1e-5)


def test_stops_and_errors_of_the_embedded_teacher(tiny_teacher: Path, tmp_path: Path) -> None:
    embedded = Embedded(EmbeddedTeacher(kind="embedded", model=str(tiny_teacher)))
    request = Request(prompt="test", system="s", user="u", max_new_tokens=64, stop=tuple("abcdefghijklmnopqrstuvwxyz"))
    reply = asyncio.run(embedded.generate(request))
    assert not any(letter in reply.text for letter in "abcdefghijklmnopqrstuvwxyz")
    with pytest.raises(TeacherError, match="prompt_too_long"):
        asyncio.run(embedded.generate(Request(prompt="test", system="s", user="u" * 4000)))
    with pytest.raises(InputError, match="no weights"):
        asyncio.run(Embedded(EmbeddedTeacher(kind="embedded", model=str(tmp_path))).generate(request))


def test_a_teacher_without_a_chat_template_sees_few_shot_examples(tiny_teacher: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_teacher, base)
    (base / "chat_template.jinja").unlink()
    embedded = Embedded(EmbeddedTeacher(kind="embedded", model=str(base)))
    request = Request(prompt="t", system="s", user="u", prefill="1.", shots=(("v", "1. w"),), max_new_tokens=24)
    reply = asyncio.run(embedded.generate(request))
    assert reply.usage.prompt_tokens == len("s\n\nv\n1. w\n\nu\n1.")
    assert reply.text.startswith("1.")
    assert "\n\n" not in reply.text


def test_choices_are_tokenised_behind_the_begun_answer(tiny_teacher: Path, tmp_path: Path) -> None:
    """Many tokenizers write a space as a mark before a word: alone, " joy" has a token that "Emotion: joy" has not."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    pieces = ["<end>", "▁", "▁joy", "▁jam", "▁fear", "▁E:"]
    fast = Tokenizer(models.WordLevel({piece: index for index, piece in enumerate(pieces)}, unk_token="▁"))
    fast.pre_tokenizer = pre_tokenizers.Metaspace()
    fast.decoder = decoders.Metaspace()
    folder = tmp_path / "sentencepiece"
    PreTrainedTokenizerFast(tokenizer_object=fast, eos_token="<end>").save_pretrained(folder)
    AutoModelForCausalLM.from_pretrained(tiny_teacher).save_pretrained(folder)
    embedded = Embedded(EmbeddedTeacher(kind="embedded", model=str(folder)))
    tree = asyncio.run(embedded.load()).tree((" joy", " jam", " fear"), "E:")
    assert tree.choices == [(2,), (3,), (4,)]


def test_choices_that_begin_alike_are_told_apart(tiny_teacher: Path) -> None:
    """Letters are tokens here: `jo` is the beginning of `joy`, and `jam` shares one letter with both."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(tiny_teacher).eval(),
        AutoTokenizer.from_pretrained(tiny_teacher),
    )

    def log_probability(prompt: str, token: str) -> float:
        ids = torch.tensor([tokenizer(prompt, add_special_tokens=False)["input_ids"]])
        with torch.inference_mode():
            logits = model(input_ids=ids).logits[0, -1]
        return float(logits.log_softmax(-1)[tokenizer(token, add_special_tokens=False)["input_ids"][0]])

    embedded = Embedded(EmbeddedTeacher(kind="embedded", model=str(tiny_teacher)))
    choices = ["joy", "jam", "jo", "fear", "joyful"]
    asked = [Request(prompt="t", system="s", user="u" * length, max_new_tokens=1) for length in (3, 40, 200)]

    async def together() -> list[Any]:
        return await asyncio.gather(*(embedded.score(request, choices) for request in asked))

    for request, scores in zip(asked, asyncio.run(together()), strict=True):
        prompt = f"s<end>{request.user}<end>"
        j, o = log_probability(prompt, "j"), log_probability(prompt + "j", "o")
        y, f = log_probability(prompt + "jo", "y"), log_probability(prompt + "joy", "f")
        expected = [
            j + o + y + math.log(1 - math.exp(f)),
            j + log_probability(prompt + "j", "a"),
            j + o + math.log(1 - math.exp(y)),
            log_probability(prompt, "f"),
            j + o + y + f,
        ]
        assert scores.log_probabilities == pytest.approx(expected, abs=1e-4)
