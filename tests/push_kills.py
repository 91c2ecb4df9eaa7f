"""python -m tests.push_kills [--kills 10] [--out DIR]

Kills push.py -9 while it sends a small corpus, two tiny models and a Space to a Hub on loopback, each time at another
moment; runs it again, and compares everything on that Hub with what an undisturbed push leaves. Moments are counted in
calls that write (repositories, uploads, commits, tags, the collection): the kill comes as one arrives, or when it is
done and its answer not yet given. Writes <out>/system/push-kills.json.
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
from dataset_builder.provenance import RESULTS, provenance, write_result
from tests import publishable
from tools.loopback_hub.hub import LoopbackHub, client_environment, serve
from tools.loopback_hub.repository import Json

NAMESPACE = "tester"
READS = ("GET", "HEAD")


class LethalHub(LoopbackHub):
    """A Hub that kills its client at its n-th writing call, counted from 1: before it is done, or after."""

    def __init__(self, number: int = 0, done: bool = False) -> None:
        super().__init__()
        self.number, self.done = number, done
        self.writes: list[str] = []
        self.client: subprocess.Popen[bytes] | None = None

    def answer(self, request: Request, path: str, body: bytes) -> Json:
        """The Hub's answer, and the kill where it is due."""
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
        """Kill the client with all that it started."""
        if self.client:
            os.killpg(self.client.pid, signal.SIGKILL)
            self.client = None

    def holds(self) -> Json:
        """All that a user can see: every file, the commits of everyone, the tags' content, the collections."""
        found: dict[str, Json] = {}
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
    """Push undisturbed, then with `kills` kills that are spread over the calls that write, each on a Hub of its own.

    `words` are push.py's arguments; clients have their home and their log in `folder`.
    """
    whole = LethalHub()
    status, seconds = _push(whole, words, folder)
    assert status == 0, "the undisturbed push must come to its end"
    wanted, number = whole.holds(), len(whole.writes)
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
        same = status == 0 and hub.holds() == wanted
        tally["inconsistent"] += not same
        print(
            f"killed at {hub.writes[hub.number - 1]}: {'as it should be' if same else 'INCONSISTENT'} in the end",
            flush=True,
        )
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
    """Make what is pushed; returns push.py's arguments."""
    work = publishable.scripted_work(publishable.scripted_recipe(folder / "recipe.yaml"), folder / "work")
    (folder / "encoder").mkdir()
    encoder = publishable.tiny_encoder(folder / "encoder")
    models = publishable.tiny_models(encoder, work / "corpus", folder / "models")
    return publishable.arguments(work, models, publishable.evidence(models, folder / "evidence"))


def _push(hub: LethalHub, words: list[str], folder: Path) -> tuple[int, float]:
    """Run push.py against the Hub; its exit status and the seconds that it took."""
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
    parser = argparse.ArgumentParser(prog="python -m tests.push_kills", description="Kills push.py and looks after it.")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--out", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="push-kills-") as folder:
        content = measure(prepare(Path(folder)), Path(folder), args.kills) | provenance()
    print(write_result(content, args.out, "system", content["name"]))
    for metric, found in content["metrics"].items():
        print(f"{metric:<40}{found['value']:g}")


if __name__ == "__main__":
    run_command(main)
