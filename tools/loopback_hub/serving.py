"""Serves the Hub on loopback, with faults, and gives clients their environment."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tools.loopback_hub.access import HubError
from tools.loopback_hub.hub import LoopbackHub

# Faults of a call, besides a status that is answered instead. DROPPED: the connection closes and nothing was done.
# APPLIED_500, APPLIED_DROPPED: the call was carried out, and its answer is lost.
DROPPED, APPLIED_500, APPLIED_DROPPED = "dropped", "applied, then 500", "applied, then dropped"
# Variables of the caller that must not reach a client: tokens, caches, offline switches.
HIDDEN = {"HF_TOKEN", "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"}
HIDDEN |= {"TRANSFORMERS_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_DATASETS_CACHE", "HF_ASSETS_CACHE"}


def _application(hub: LoopbackHub) -> Starlette:
    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

    async def respond(request: Request) -> Response:
        path = request.scope["raw_path"].decode().split("?")[0]
        try:
            body = await request.body()
        except ClientDisconnect:  # killed while it was sending: nobody is left to answer
            return Response(status_code=400)
        called = f"{request.method} {path}"
        fault = next((due.pop(0) for prefix, due in hub.faults.items() if due and called.startswith(prefix)), None)
        try:
            if isinstance(fault, int):
                raise HubError(fault, "injected fault")
            answer = {} if fault == DROPPED else hub.answer(request, path, body)
            if fault == APPLIED_500:
                raise HubError(500, "injected fault")
        except HubError as error:
            answer = error.response
        except Exception:  # a defect of this double: raised, and seen in `calls` as well
            hub.calls.append((request.method, path, 500))
            raise
        response = answer if isinstance(answer, Response) else JSONResponse(answer)
        hub.calls.append((request.method, path, response.status_code))
        if fault in (DROPPED, APPLIED_DROPPED):
            cycle: Any = request.receive  # uvicorn's, the one way to the connection
            cycle.__self__.transport.abort()
        return response

    return Starlette(routes=[Route("/{path:path}", respond, methods=methods)])


@contextmanager
def serve(hub: LoopbackHub | None = None, port: int = 0) -> Iterator[tuple[LoopbackHub, str]]:
    """Serve a Hub on 127.0.0.1 in a thread; yields it and its URL."""
    hub = hub or LoopbackHub()
    with socket.socket() as reserved:  # handed to the server as it is: nobody can take the port in between
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", port))
        port = reserved.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(_application(hub), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [reserved]}, daemon=True)
        thread.start()
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the loopback Hub did not start; its messages are above")
            time.sleep(0.02)
        try:
            yield hub, f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(timeout=10)


def client_environment(url: str, home: Path, token: str | None = "hf_writer") -> dict[str, str]:
    """Return the environment of a client process: this Hub, a cache of its own, a token or none."""
    ours = {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    ours |= {"HF_HUB_DISABLE_UPDATE_CHECK": "1", **({"HF_TOKEN": token} if token else {})}
    local = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"]))
    ours |= {"NO_PROXY": local, "no_proxy": local}
    return {name: value for name, value in os.environ.items() if name not in HIDDEN} | ours
