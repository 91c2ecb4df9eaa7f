"""What continuous integration does: it has a browser, and a test without one fails there."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, without


def test_what_is_not_installed_fails_in_ci_and_is_skipped_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="Chromium is not installed"):
        without("Chromium")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="Chromium is not installed"):
        without("Chromium")


@pytest.mark.parametrize(("there", "user"), [("apt-get", 0), ("apt-get chromium", 0), ("apt-get", 1000), ("", 0)])
def test_ci_installs_a_browser_where_it_can(tmp_path: Path, there: str, user: int) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("bash", "dirname"):
        (commands / name).symlink_to(str(shutil.which(name)))
    log = 'echo "$(basename0) $*" >>"$LOG"'.replace("$(basename0)", "${0##*/}")
    stand_ins = {"id": f"echo {user}", "make": f'{log}; echo "CI=$CI" >>"$LOG"'} | dict.fromkeys(there.split(), log)
    for name, body in stand_ins.items():
        (commands / name).write_text(f"#!/bin/bash\n{body}\n")
        (commands / name).chmod(0o755)
    environment = {"PATH": str(commands), "LOG": str(tmp_path / "log")}
    subprocess.run([str(commands / "bash"), str(ROOT / ".ci/run")], env=environment, check=True)
    done = (tmp_path / "log").read_text().splitlines()
    assert done[-2:] == ["make check", "CI=true"]
    installed = any(line.startswith("apt-get install") and line.endswith(" chromium") for line in done)
    assert installed is (there == "apt-get" and user == 0)
