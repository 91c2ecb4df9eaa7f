"""python -m tools.push_kills [--kills 10] [--out DIR]: does the next push finish what a killed one began?

Kills push.py (SIGKILL) while it sends a small corpus, two tiny models and a Space to a Hub on loopback, each time at a
different moment; runs it again, and compares everything on that Hub with the result of an undisturbed push. Moments are
counted in calls that write (repositories, uploads, commits, tags, the collection): the kill happens when a call
arrives, or after the call is carried out but not yet answered. Writes <out>/system/push-kills.json.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from starlette.requests import Request

from dataset_builder.inputs import run_command
from dataset_builder.provenance import RESULTS, write_measurement
from tools.loopback_hub import LoopbackHub, client_environment, serve
from tools.push_kills import release

NAMESPACE = "tester"
READS = ("GET", "HEAD")


class LethalHub(LoopbackHub):
    """A Hub that kills its client at its n-th writing call, counted from 1: before or after it carries the call out."""

    def __init__(self, number: int = 0, done: bool = False) -> None:
        super().__init__()
        self.number, self.done = number, done
        self.writes: list[str] = []
        self.client: subprocess.Popen[bytes] | None = None

    def answer(self, request: Request, path: str, body: bytes) -> Any:
        """Answer a call, and kill the client if this is the call."""
        if request.method in READS or path.endswith(("/validate-yaml", "/objects/batch")) or "/preupload/" in path:
            return super().answer(request, path, body)
        self.writes.append(f"{request.method} {path}")
        due = len(self.writes) == self.number
        if due and not self.done:
            self.kill()
            return {}
        answer = super().answer(request, path, body)
        if due:
            self.kill()
        return answer

    def kill(self) -> None:
        """Kill the client and every process that it started."""
        if self.client:
            os.killpg(self.client.pid, signal.SIGKILL)
            self.client = None

    def state(self) -> Any:
        """Return all that a user can see: files, commits, tags and collections."""
        found: dict[str, Any] = {}
        for (kind, name), repository in sorted(self.repositories.items()):
            heads = {"main": repository.branches["main"], **repository.tags}
            found[f"{kind}/{name}"] = {
                "private": repository.private,
                "commits": [commit.title for commit in repository.commits.values()],
                **{
                    ref: {path: file.oid for path, file in repository.commits[sha].files.items()}
                    for ref, sha in heads.items()
                },
            }
        for slug, collection in self.collections.items():
            items = [(item["type"], item["id"], item.get("note")) for item in collection["items"]]
            found[slug] = {"private": collection["private"], "items": items}
        return found


def measure(words: list[str], folder: Path, kills: int = 10) -> dict[str, Any]:
    """Push undisturbed, then with kills spread over the calls that write, each on a Hub of its own.

    Args:
        words: the arguments of push.py.
        folder: for the clients' home and their log.
    """
    whole = LethalHub()
    status, seconds = _push(whole, words, folder)
    assert status == 0, "the undisturbed push must succeed"
    wanted, number = whole.state(), len(whole.writes)
    tally: Counter[str] = Counter()
    for turn in range(kills):
        hub = LethalHub(1 + turn * (number - 1) // max(1, kills - 1), done=turn % 2 == 1)
        status, _ = _push(hub, words, folder)
        if status != -signal.SIGKILL:
            continue
        tally["kills"] += 1
        tally["kills_after_the_call_was_done" if hub.done else "kills_before_the_call_was_done"] += 1
        tally["kills_between_commits"] += 0 < sum("/commit/" in call for call in hub.writes[:-1]) < len(wanted) - 1
        status, _ = _push(hub, words, folder)
        same = status == 0 and hub.state() == wanted
        tally["inconsistent"] += not same
        print(f"killed at {hub.writes[hub.number - 1]}: then {'complete' if same else 'INCONSISTENT'}", flush=True)
    names = ("kills", "inconsistent", "kills_before_the_call_was_done", "kills_after_the_call_was_done")
    metrics = {name: {"value": tally[name]} for name in (*names, "kills_between_commits")}
    about = {"writing_calls": number, "seconds_undisturbed": round(seconds, 1)}
    files = sum(len(found["main"]) for found in wanted.values() if "main" in found)
    return {
        "name": "push-kills",
        "metrics": metrics | {name: {"value": value} for name, value in about.items()},
        "support": files,
        "repositories": len(whole.repositories),
        "seeds": [],
    }


def prepare(folder: Path) -> list[str]:
    """Make a small release; returns the arguments of push.py."""
    work = release.scripted_work(release.scripted_recipe(folder / "recipe.yaml"), folder / "work")
    (folder / "encoder").mkdir()
    encoder = release.tiny_encoder(folder / "encoder")
    models = release.tiny_models(encoder, work / "corpus", folder / "models")
    return release.arguments(work, models, release.evidence(models, folder / "evidence"))


def _push(hub: LethalHub, words: list[str], folder: Path) -> tuple[int, float]:
    """Run push.py against the Hub; returns its exit status and its seconds."""
    command = [sys.executable, "push.py", "--namespace", NAMESPACE, "--execute", *words]
    started = time.monotonic()
    with serve(hub) as (_, url), open(folder / "push.log", "ab") as log:
        environment = client_environment(url, folder / "home")
        client = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        hub.client = client
        try:
            status = client.wait(timeout=600)
        finally:
            hub.client = None
            with contextlib.suppress(ProcessLookupError):
                os.killpg(client.pid, signal.SIGKILL)
    return status, time.monotonic() - started


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m tools.push_kills", description="Kills push.py and runs it again.")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--out", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="push-kills-") as folder:
        content = measure(prepare(Path(folder)), Path(folder), args.kills)
    write_measurement(content, args.out, content["name"])


if __name__ == "__main__":
    run_command(main)
