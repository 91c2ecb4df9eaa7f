"""What every result names of the run that made it, and the one way in which results are written."""

import hashlib
import importlib.metadata
import json
import math
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from dataset_builder.inputs import InputError

RESULTS = Path("eval/results")
WRITTEN = (RESULTS.as_posix(), "model_cards", "README.md", "docs/measurements.md")


def provenance() -> dict[str, Any]:
    """Commit, command, library versions and hardware of this run.

    `dirty` says that tracked files differ from the commit; what measuring writes, results and cards, does not count.
    """
    commit = _git("rev-parse", "HEAD")
    left_out = [f":(top,exclude){path}" for path in WRITTEN]
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", *left_out)
    path = Path(sys.argv[0]).with_suffix("")
    path = path.parent if path.name == "__main__" else path
    module = ".".join(path.relative_to(Path.cwd()).parts) if path.is_relative_to(Path.cwd()) else path.name
    libraries = ("datasets", "torch", "transformers")
    return {
        "commit": commit or "unknown",
        "dirty": bool(changed),
        "command": " ".join(["python -m", module, *map(without_place, sys.argv[1:])]),
        "libraries": {name: importlib.metadata.version(name) for name in libraries},
        "hardware": f"{platform.machine()}, {os.cpu_count()} CPU cores",
    }


def _git(*asked: str) -> str:
    """What git says; nothing without git or a repository."""
    git = shutil.which("git")
    done = subprocess.run([git, *asked], capture_output=True, text=True, check=False) if git else None
    return done.stdout.strip() if done else ""


def cores() -> int:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_digest(folder: Path) -> str:
    """The SHA-256 of all weights of a model folder, in hexadecimal: its safetensors one after the other, by path.

    A checkpoint's do not count. `publish/checks.py` does the same with the files that it sends.
    """
    digest = hashlib.sha256()
    for name, path in sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*.safetensors")):
        if not name.startswith("checkpoint"):
            with path.open("rb") as file:
                hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def without_place(argument: str) -> str:
    """An argument as others can use it: a path from the repository on, and of one outside it the last part."""
    if Path(argument).is_absolute() and Path(argument).is_relative_to(Path.cwd()):
        return Path(argument).relative_to(Path.cwd()).as_posix()
    name, equals, place = argument.partition("=")  # NAME=PLACE
    if not (equals and place.startswith(("/", "~", ".."))):
        name, equals, place = "", "", argument
    outside = place.startswith(("/", "~", ".."))
    return f"{name}{equals}…/{Path(place).name}" if outside else argument


def results_folder(text: str) -> Path:
    """The `--out` of a command line. Raises InputError, before anything is measured, where it cannot be written to."""
    folder = Path(text)
    if folder.exists() and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise InputError(f"--out {text}: is no folder that can be written to. Give another.")
    return folder


def write_result(content: dict[str, Any], out: Path, name: str, benchmark: str) -> Path:
    """Write `<out>/<name>/<benchmark>.json`, whole or not at all; what is undefined, NaN or infinite, is left out."""
    path = out / name / f"{benchmark}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(_defined(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)
    return path


def _defined(content: Any) -> Any:
    """Content without numbers that JSON cannot hold, and without metrics whose value is one; None in lists."""
    if isinstance(content, dict):
        return {name: _defined(value) for name, value in content.items() if not _undefined(value)}
    if isinstance(content, list | tuple):
        return [None if _undefined(value) else _defined(value) for value in content]
    return content


def _undefined(value: Any) -> bool:
    value = value.get("value") if isinstance(value, dict) else value
    return isinstance(value, float) and not math.isfinite(value)
