"""What the builder costs on top of the calls: its calls a second against those of a bare load generator.

Both ask the same server, of the same latency, at the same concurrency; the bare one by one connection pool and nothing
else: no prompts, parsers, journals. They take turns, so that the machine's moods meet both.
"""

import asyncio
import contextlib
import json
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2

from dataset_builder.benchmarks.stories import write_stories

LATENCY = 1.0  # mean seconds of an answer; vLLM with a 7B model and many sequences takes longer
RECIPE = """
name: overhead
teacher: {{kind: endpoint, model: scripted, urls: ["{url}"], in_flight: {in_flight}, timeout: 30}}
narratives: {{source: {stories}}}
labels: {{labeler: verbalised}}
descriptors: {{share: 0}}
situations: {{share: 0.3333333}}
"""


@contextlib.contextmanager
def serving(*options: str) -> Iterator[str]:
    """The scripted server in a process of its own; gives its root URL."""
    port = free_port()
    process = start_server(port, *options)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_server(port: int, *options: str) -> "subprocess.Popen[bytes]":
    """Start the scripted server and wait until it answers."""
    command = [sys.executable, "-m", "dataset_builder.benchmarks.server", "--port", str(port), *options]
    process = subprocess.Popen(command)
    for _ in range(600):
        with contextlib.suppress(OSError):
            count(f"http://127.0.0.1:{port}")
            return process
        time.sleep(0.1)
    raise RuntimeError("the scripted server did not start")


def count(root: str) -> dict[str, int]:
    """What the server was asked."""
    with urllib.request.urlopen(f"{root}/count", timeout=5) as answer:
        found: dict[str, int] = json.load(answer)
    return found


def measure(folder: Path, in_flight: int = 64, stories: int = 10, rounds: int = 3) -> dict[str, Any]:
    """Calls a second of both, in turns; the builder's seconds are those with the teacher, which its notes hold."""
    folder.mkdir(parents=True, exist_ok=True)
    source = write_stories(folder / "stories.jsonl", stories)
    rates: dict[str, list[float]] = {"builder": [], "bare": []}
    calls = 0
    with serving("--latency", str(LATENCY)) as root:
        recipe = folder / "overhead.yaml"
        recipe.write_text(RECIPE.format(url=f"{root}/v1", in_flight=in_flight, stories=source), encoding="utf-8")
        for number in range(rounds):
            work = folder / f"round-{number}"
            before = count(root).get("calls", 0)
            command = [
                sys.executable,
                "-m",
                "dataset_builder",
                "build",
                "--recipe",
                str(recipe),
                "--work-dir",
                str(work),
            ]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            calls = count(root)["calls"] - before
            note = json.loads((work / "progress/00000.json").read_text(encoding="utf-8"))
            rates["builder"].append(calls / note["seconds"])
            rates["bare"].append(calls / asyncio.run(_bare(f"{root}/v1/chat/completions", calls, in_flight)))
    ratios = [ours / bare for ours, bare in zip(rates["builder"], rates["bare"], strict=True)]
    return {
        "name": "builder-overhead",
        "metrics": {
            "ratio": {
                "value": round(statistics.median(ratios), 3),
                "low": round(min(ratios), 3),
                "high": round(max(ratios), 3),
            },
            "builder_calls_per_second": {"value": round(statistics.median(rates["builder"]), 2)},
            "bare_calls_per_second": {"value": round(statistics.median(rates["bare"]), 2)},
            "calls": {"value": calls},
            "in_flight": {"value": in_flight},
            "latency": {"value": LATENCY},
            "rounds": {"value": rounds},
        },
        "support": calls,
    }


async def _bare(url: str, calls: int, in_flight: int) -> float:
    """Seconds for so many calls at this concurrency, with nothing around them."""
    body = {"model": "scripted", "messages": [{"role": "system", "content": ""}, {"role": "user", "content": ""}]}
    left = iter(range(calls))
    limits = httpx2.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
    async with httpx2.AsyncClient(timeout=60, limits=limits) as client:

        async def worker() -> None:
            for number in left:
                user = f"Delete from this text nothing. Text: number {number}"
                asked = body | {"messages": [body["messages"][0], {"role": "user", "content": user}], "seed": number}
                (await client.post(url, json=asked)).raise_for_status()

        started = time.monotonic()
        await asyncio.gather(*(worker() for _ in range(in_flight)))
        return time.monotonic() - started
