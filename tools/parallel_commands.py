"""Runs commands side by side and shows their lines, their progress bars, and how long each has been running."""

import codecs
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_BETWEEN_TICKS = 1.0  # on a terminal, where the progress line is overwritten
SECONDS_BETWEEN_LINES = 4.0  # elsewhere
WIDTH = 150
COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass
class Step:
    """A command with its title; `code` is its exit status after it has ended."""

    title: str
    command: list[str]
    code: int | None = None
    latest: str = field(default="", init=False)  # the last state of its progress bar
    started: float = field(default=0.0, init=False)


class _Screen:
    """Prints lines and progress: on a terminal one line that is overwritten, elsewhere a line every few seconds."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._lock = threading.Lock()
        self._printed = time.monotonic()

    def line(self, text: str) -> None:
        with self._lock:
            self._printed = time.monotonic()
            print(("\r\x1b[K" if self._live else "") + text, flush=True)

    def progress(self, text: str) -> None:
        now = time.monotonic()
        with self._lock:
            if now - self._printed < (SECONDS_BETWEEN_TICKS if self._live else SECONDS_BETWEEN_LINES):
                return
            self._printed = now
            print("\r\x1b[K" + text[:WIDTH] if self._live else text, end="" if self._live else "\n", flush=True)

    def clear(self) -> None:
        if self._live:
            print("\r\x1b[K", end="", flush=True)


def watch(steps: Sequence[Step], environment: Mapping[str, str], seconds: dict[str, float]) -> Step | None:
    """Run all steps and put their times into `seconds`. Returns the first that fails; the others are then stopped."""
    screen = _Screen()
    running = [(step, _start(step, environment)) for step in steps]
    readers = []
    for step, process in running:
        names = (step, process, screen, len(steps) > 1)
        readers.append(threading.Thread(target=_read, args=names, daemon=True))
        readers[-1].start()
    failed = None
    try:
        while any(step.code is None for step in steps):
            time.sleep(SECONDS_BETWEEN_LOOKS)
            for step, process in running:
                if step.code is None and (code := process.poll()) is not None:
                    step.code, seconds[step.title] = code, time.monotonic() - step.started
                    failed = failed or (step if code else None)
            if failed:
                break
            if running_steps := [step for step in steps if step.code is None]:
                screen.progress(" | ".join(map(_state, running_steps)))
    finally:
        for _, process in running:
            if process.poll() is None:
                process.terminate()
            process.wait()
        for reader in readers:
            reader.join(5)
        screen.clear()
    return failed


def _start(step: Step, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    step.started = time.monotonic()
    return subprocess.Popen(
        step.command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def _state(step: Step) -> str:
    return f"    {step.title}, {time.monotonic() - step.started:.0f} s" + (f": {step.latest}" if step.latest else "")


def _read(step: Step, process: "subprocess.Popen[bytes]", screen: _Screen, several: bool) -> None:
    """Print a step's whole lines, and keep the last state of its progress bar."""
    assert process.stdout is not None
    before = f"[{step.title}] " if several else ""
    rest, decoder = "", codecs.getincrementaldecoder("utf-8")("replace")
    while chunk := os.read(process.stdout.fileno(), 65536):
        *parts, rest = re.split(r"(?<=[\r\n])", rest + decoder.decode(chunk))
        for part in filter(None, parts):
            text = COLOURS.sub("", part).rstrip()
            if part.endswith("\r"):
                step.latest = " ".join(text.split()) or step.latest
            elif text:
                step.latest = ""
                screen.line(before + text)
        bar = COLOURS.sub("", rest).strip()
        step.latest = " ".join(bar.split()) if "%|" in bar else step.latest
    if rest.strip():
        screen.line(before + rest.strip())
