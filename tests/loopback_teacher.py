"""A server of scripted replies on loopback, of which a test may spoil any."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dataset_builder.recipe import BuildRecipe
from dataset_builder.stress_tests.server import completion

# What was asked and the completion that would be the answer; what is sent instead, or None for it as it is.
Spoil = Callable[[dict[str, Any], dict[str, Any]], Response | None]


@dataclass
class LoopbackTeacher:
    """Its url, what it was asked and with which headers, and how it spoils its answers."""

    url: str
    spoil: Spoil | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


def user_of(asked: dict[str, Any]) -> str:
    """The question in a request."""
    return next(str(one["content"]) for one in reversed(asked["messages"]) if one["role"] == "user")


def failing(status: int, message: str, code: object = None) -> Spoil:
    """Refuse every call."""
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return lambda asked, answer: JSONResponse(body, status, {"retry-after-ms": "5"})


@contextmanager
def loopback_teacher(spoil: Spoil | None = None, port: int = 0) -> Iterator[LoopbackTeacher]:
    """Serve until the end of the block."""
    serves = LoopbackTeacher("", spoil)

    async def complete(request: HttpRequest) -> Response:
        asked = await request.json()
        serves.asked.append(asked)
        serves.headers.append(dict(request.headers))
        answer = await completion(asked) if "messages" in asked else {}
        spoilt = await asyncio.to_thread(serves.spoil, asked, answer) if serves.spoil else None
        return spoilt or JSONResponse(answer)

    async def tokenize(request: HttpRequest) -> Response:
        """As vLLM's, with one token a letter; a space before a word is part of its first letter's token."""
        text = (await request.json())["prompt"]
        return JSONResponse({"tokens": [ord(letter) for letter in text.replace(" ", "")]})

    async def detokenize(request: HttpRequest) -> Response:
        letters = "".join(map(chr, (await request.json())["tokens"]))
        return JSONResponse({"prompt": letters.replace("1.", "1. ")})

    places = {"/v1/chat/completions": complete, "/v1/completions": complete}
    places |= {"/tokenize": tokenize, "/detokenize": detokenize}
    app = Starlette(routes=[Route(place, answers, methods=["POST"]) for place, answers in places.items()])
    running = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    serves.url = f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}/v1"
    yield serves
    running.should_exit = True
    thread.join(timeout=5)


def build_recipe(url: str, **teacher: Any) -> BuildRecipe:
    """Six tales, two utterances a character, by the server of this url."""
    options = {"kind": "endpoint", "model": "m", "urls": [url], "retries": 1, "patience": 5, "in_flight": 8, **teacher}
    return BuildRecipe.model_validate(
        {
            "name": "loopback",
            "seed": 7,
            "teacher": options,
            "narratives": {"limit": 6},
            "characters": {"limit": 2},
            "utterances": {"emotional": 2, "neutral": 0},
            "labels": {"labeler": "verbalised"},
            "descriptors": {"describer": "generated"},
            "situations": {"share": 0.5},
        }
    )


def corpus_of(work: Path) -> dict[str, bytes]:
    """The files of a corpus by their names."""
    corpus = work / "corpus"
    return {str(path.relative_to(corpus)): path.read_bytes() for path in sorted(corpus.rglob("*.parquet"))}


def done_units(work: Path) -> int:
    """How many units a work folder holds as done."""
    journals = sum(len(path.read_bytes().splitlines()) for path in work.glob("*/journal/*.jsonl"))
    return journals + len([path for path in work.glob("*/*.jsonl.gz") if path.parent.name != "narratives"])
