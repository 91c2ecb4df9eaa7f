"""An OpenAI-compatible server of scripted replies that fails in every way.

python -m dataset_builder.stress_tests.server 8123 LOG

The log gets a line when a call arrives, with the question's hash and the fault or `asked`, and a second line when the
call is `answered`. A call without the second line was lost when the server was killed.
"""

import asyncio
import random
import sys
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dataset_builder.hashing import stable_hash
from dataset_builder.recipe import ScriptedTeacher
from dataset_builder.teachers.base import Request
from dataset_builder.teachers.scripted import Scripted

LATENCY = 0.3  # mean seconds of an answer
CUT_OFF, NO_FAULT = "cut_off", "asked"
# The share of each fault among the calls.
FAULTS = {"time_out": 0.05, "http_500": 0.05, "http_429": 0.02, "broken_body": 0.015, CUT_OFF: 0.015}
ANSWERED = "answered"
# Words that identify the prompt file of a question.
PROMPTS = {
    "Who are the characters": "characters",
    "Imagine that a character": "utterances_list",
    "Imagine that you are": "utterances_single",
    "Which emotions of this list": "labels_verbalised",
    "Which emotions does the writer": "descriptors_generated",
    "A character of this story says": "context",
    "Delete from this text": "cleaning",
    "Rewrite this in the first person": "rewriting",
}


async def completion(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the scripted teacher's chat completion for the body of a call."""
    # A begun answer may be the last message.
    user = next(str(one["content"]) for one in reversed(asked["messages"]) if one["role"] == "user")
    prompt = next((name for words, name in PROMPTS.items() if words in user), "labels_verbalised")
    request = Request(prompt=prompt, system="", user=user, seed=asked.get("seed", 0))
    reply = await Scripted(ScriptedTeacher(kind="scripted")).generate(request)
    read, written = len(user) // 4, len(reply.text) // 4
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": asked["model"],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": reply.text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
    }


def app(log_path: Path) -> Starlette:
    """Return the server: POST /v1/chat/completions."""
    log = open(log_path, "a", encoding="ascii", buffering=1)  # noqa: SIM115 - closed with the process
    draw = random.Random(7 + log.tell())  # after a restart the server fails at other calls

    async def complete(request: HttpRequest) -> Response:
        body = await request.json()
        question = stable_hash(body["messages"][-1]["content"], body.get("seed", 0))
        names, shares = [*FAULTS, NO_FAULT], [*FAULTS.values(), 1 - sum(FAULTS.values())]
        fault = draw.choices(names, shares)[0]
        log.write(f"{question} {fault}\n")
        if fault == "time_out":
            await asyncio.sleep(3600)
        await asyncio.sleep(LATENCY * draw.uniform(0.5, 1.5))
        if fault.startswith("http_"):
            return JSONResponse({"error": {"message": fault}}, int(fault[-3:]), {"Retry-After": "1"})
        if fault == "broken_body":
            return Response('{"choices": [{"index": 0, "mess', media_type="application/json")
        answer = await completion(body)
        if fault == CUT_OFF:
            choice = answer["choices"][0]
            text = choice["message"]["content"]
            choice["message"]["content"], choice["finish_reason"] = text[: len(text) // 3], "length"
        else:
            log.write(f"{question} {ANSWERED}\n")
        return JSONResponse(answer)

    return Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])


if __name__ == "__main__":
    port, log_path = sys.argv[1:]
    uvicorn.run(app(Path(log_path)), host="127.0.0.1", port=int(port), log_level="error")
