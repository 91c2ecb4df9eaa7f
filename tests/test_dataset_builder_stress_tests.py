"""The stress tests' own counting: what the faulty server's log says, what a watched command spent, metrics by size."""

import json
import sys
from pathlib import Path

import pytest

from dataset_builder.stress_tests.faults import read_log
from dataset_builder.stress_tests.full_size import merge, watch
from dataset_builder.stress_tests.stories import CHARACTERS, names, write_stories
from tests.conftest import Command


def test_calls_without_need_are_counted(tmp_path: Path) -> None:
    log = tmp_path / "calls.log"
    log.write_text(
        "1 asked\n1 answered\n"  # as it should be
        "2 http_500\n2 asked\n2 answered\n"  # repeated with need
        "3 cut_off\n3 asked\n3 answered\n"  # a cut reply is a reply: the same question again was without need
        "4 asked\n"  # lost when the server was killed
        "4 asked\n4 answered\n4 time_out\n"  # with need after the kill, without need after the answer
    )
    calls, needless = read_log(log)
    assert dict(calls) == {"answered": 4, "http_500": 1, "cut_off": 1, "time_out": 1, "lost": 1}
    assert needless == 2


def test_stories_are_the_same_each_time_and_name_their_characters(tmp_path: Path) -> None:
    first, again = (write_stories(tmp_path / f"{number}.jsonl", 3).read_bytes() for number in (1, 2))
    assert first == again
    for number, line in enumerate(first.splitlines()):
        cast = names(number)
        assert len(set(cast)) == CHARACTERS
        assert all(name in json.loads(line)["text"] for name in cast)


def test_what_a_command_spends_is_seen_with_its_children() -> None:
    child = "import time; held = bytearray(200 * 2**20); time.sleep(1.5)"
    spent = watch([sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"])
    assert spent[""].memory > 200 * 2**20
    assert spent[""].seconds > 1.5
    with pytest.raises(RuntimeError, match="no such thing"):
        watch([sys.executable, "-c", "raise SystemExit('no such thing')"])


def test_metrics_of_the_full_size_have_no_suffix() -> None:
    metrics = merge({200: {"minutes": 1.0}, 2000: {"minutes": 10.0}, 6000: {"minutes": 31.0}})
    assert metrics == {"minutes_200": {"value": 1.0}, "minutes": {"value": 10.0}, "minutes_6000": {"value": 31.0}}
    assert merge({3: {"rows": 1.0}, 5: {"rows": 2.0}}) == {"rows_3": {"value": 1.0}, "rows": {"value": 2.0}}


@pytest.mark.parametrize("once", ["overhead", "prefix"])
def test_a_measure_without_code_names_its_result(once: str, command: Command) -> None:
    done = command("-m", "dataset_builder.stress_tests", once)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: '{once}' can no longer be measured: see ")
    assert done.stderr.count("\n") == 1
