"""A full disk and a read-only folder, real ones: a small file system is filled, frozen and given more room."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.test_dataset_builder_build import parquet


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 KB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="needs mount")
def test_a_full_disk_is_said_and_nothing_is_lost(
    scripted_recipe: Path, scripted_work: Path, small_disk: Path, command: Command
) -> None:
    build = ("-m", "dataset_builder", "build", "--recipe", scripted_recipe, "--work-dir", small_disk / "work")
    reached = []
    for room in range(100, 2000, 100):  # it runs full in several places
        remount(small_disk, f"size={room}k")
        built = command(*build, environment=dict(os.environ))
        if built.returncode == 0:
            break
        assert built.returncode == 2, built.stderr
        assert "No space left on device. Free some space or use another folder" in built.stderr
        assert "Traceback" not in built.stderr
        reached.append(sum(1 for path in (small_disk / "work").rglob("*") if path.is_file()))
    assert len(reached) >= 3
    assert reached == sorted(reached), "every run keeps what the ones before it made"
    assert parquet(small_disk / "work") == parquet(scripted_work)


@pytest.mark.skipif(shutil.which("mount") is None, reason="needs mount")
def test_a_read_only_folder_is_said_and_nothing_is_lost(
    scripted_recipe: Path, scripted_work: Path, small_disk: Path, command: Command
) -> None:
    build = ("-m", "dataset_builder", "build", "--recipe", scripted_recipe, "--work-dir", small_disk / "work")
    assert command(*build, environment=dict(os.environ)).returncode == 2, (
        "the disk is too small, so that there is something half done"
    )
    remount(small_disk, "size=64m,ro")
    frozen = command(*build, environment=dict(os.environ))
    assert frozen.returncode == 2
    assert "Read-only file system" in frozen.stderr
    assert "Traceback" not in frozen.stderr
    remount(small_disk, "rw")
    assert command(*build, environment=dict(os.environ)).returncode == 0
    assert parquet(small_disk / "work") == parquet(scripted_work)
