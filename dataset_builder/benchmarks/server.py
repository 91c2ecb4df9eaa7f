"""An OpenAI-shaped server of scripted replies with a latency, healthy or failing in every way, in its own process.

python -m dataset_builder.benchmarks.server --port 8123 --latency 0.5 [--faults --log FILE]

The log has a line for every call when it comes, the question's hash and the fault or `asked`, and another one when it
is `answered`: a call without it was lost when the server was killed.
"""

import argparse
import asyncio
import random
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

# What goes wrong, and how often.
FAULTS = {"time_out": 0.05, "http_500": 0.05, "http_429": 0.02, "broken_body": 0.015, "cut_off": 0.015}
CUT_OFF = "cut_off"
RETRY_AFTER = "1"
ASKED, ANSWERED = "asked", "answered"
# The first words by which a question shows which prompt file it is from.
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


def app(latency: float, faults: bool, log: Path | None) -> Starlette:
    """The server: POST /v1/chat/completions answers, GET /count says how many calls there were."""
    teacher = Scripted(ScriptedTeacher(kind="scripted"))
    draw = random.Random(7 if log is None or not log.exists() else log.stat().st_size)
    lines = open(log, "a", encoding="ascii", buffering=1) if log else None  # noqa: SIM115 - closed with the process
    calls = 0

    async def complete(request: HttpRequest) -> Response:
        nonlocal calls
        body = await request.json()
        user, seed = body["messages"][1]["content"], body.get("seed", 0)
        calls += 1
        fault = _fault(draw) if faults else None
        if lines:
            lines.write(f"{stable_hash(user, seed)} {fault or ASKED}\n")
        if fault == "time_out":
            await asyncio.sleep(3600)
        await asyncio.sleep(latency * draw.uniform(0.5, 1.5))
        if lines and not fault:
            lines.write(f"{stable_hash(user, seed)} {ANSWERED}\n")
        if fault in ("http_500", "http_429"):
            return JSONResponse({"error": {"message": fault}}, int(fault[-3:]), {"Retry-After": RETRY_AFTER})
        if fault == "broken_body":
            return Response('{"choices": [{"index": 0, "mess', media_type="application/json")
        prompt = next(name for words, name in PROMPTS.items() if words in user)
        reply = await teacher.generate(Request(prompt=prompt, system="", user=user, seed=seed))
        text = reply.text[: len(reply.text) // 3] if fault == "cut_off" else reply.text
        finish = "length" if fault == "cut_off" else "stop"
        return JSONResponse(_completion(body["model"], text, finish, len(user) // 4))

    async def counted(request: HttpRequest) -> Response:
        return JSONResponse({"calls": calls})

    return Starlette(
        routes=[Route("/v1/chat/completions", complete, methods=["POST"]), Route("/count", counted, methods=["GET"])]
    )


def _fault(draw: random.Random) -> str | None:
    at = draw.random()
    for name, share in FAULTS.items():
        if at < share:
            return name
        at -= share
    return None


def _completion(model: str, text: str, finish: str, asked: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": asked, "completion_tokens": len(text) // 4, "total_tokens": asked + len(text) // 4}
    choices = [{"index": 0, "message": message, "finish_reason": finish}]
    return {"id": "x", "object": "chat.completion", "created": 0, "model": model, "choices": choices, "usage": usage}


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m dataset_builder.benchmarks.server")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency", type=float, default=0.5, help="mean seconds of an answer")
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--log", type=Path)
    args = parser.parse_args()
    uvicorn.run(app(args.latency, args.faults, args.log), host="127.0.0.1", port=args.port, log_level="error")


if __name__ == "__main__":
    main()
