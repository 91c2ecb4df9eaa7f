"""The demo's steps: side by side, with movement, and stopped where one fails."""

import os
import re
import sys
import time

import pytest

from tools import parallel_commands
from tools.parallel_commands import Step, watch

BAR = """
import sys, time
for done in range(8):
    sys.stderr.write(f"\\rwork: {done * 10}%|##| {done}/8")
    sys.stderr.flush()
    time.sleep(0.4)
"""


def step(title: str, code: str) -> Step:
    return Step(title, [sys.executable, "-c", code])


def test_lines_of_both_are_shown_and_bars_become_lines_that_move(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parallel_commands, "SECONDS_BETWEEN_LINES", 0.1)
    seconds: dict[str, float] = {}
    one = step("one", "import time; print('h\xe9llo \\x1b[1mbold\\x1b[0m'); time.sleep(.8); print('end', end='')")
    other = step("other", BAR)
    environment = os.environ | {"PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}
    assert watch([one, other], environment, seconds) is None
    said = capsys.readouterr().out
    assert "[one] h\xe9llo bold\n" in said
    assert "[one] end\n" in said
    assert len(set(re.findall(r"other, \d+ s: work: (\d+)%", said))) > 1
    assert "\r" not in said
    assert one.code == other.code == 0
    assert 0.7 < seconds["one"] < 20


def test_a_step_that_fails_stops_the_others() -> None:
    started = time.monotonic()
    failing = step("failing", "raise SystemExit(3)")
    failed = watch([failing, step("long", "import time; time.sleep(60)")], dict(os.environ), {})
    assert failed is failing
    assert failed.code == 3
    assert time.monotonic() - started < 30
