"""What every result names of the run that made it, and the one way in which results are written."""

import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

RESULTS = Path("eval/results")


def provenance() -> dict[str, Any]:
    """Commit, command, library versions and hardware of this run."""
    git = shutil.which("git")
    asked = [git, "rev-parse", "HEAD"] if git else ["true"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    path = Path(sys.argv[0]).with_suffix("")
    path = path.parent if path.name == "__main__" else path
    module = ".".join(path.relative_to(Path.cwd()).parts) if path.is_relative_to(Path.cwd()) else path.name
    libraries = ("datasets", "torch", "transformers")
    return {
        "commit": commit or "unknown",
        "command": " ".join(["python -m", module, *map(without_place, sys.argv[1:])]),
        "libraries": {name: importlib.metadata.version(name) for name in libraries},
        "hardware": f"{platform.machine()}, {os.cpu_count()} CPU cores",
    }


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def without_place(argument: str) -> str:
    """An argument as others can use it: a path from the repository on, and of one outside it the last part."""
    if Path(argument).is_absolute() and Path(argument).is_relative_to(Path.cwd()):
        return Path(argument).relative_to(Path.cwd()).as_posix()
    name, equals, place = argument.partition("=")  # NAME=PLACE
    if not (equals and place.startswith(("/", "~", ".."))):
        name, equals, place = "", "", argument
    outside = place.startswith(("/", "~", ".."))
    return f"{name}{equals}…/{Path(place).name}" if outside else argument


def write_result(content: dict[str, Any], out: Path, name: str, benchmark: str) -> Path:
    """Write `<out>/<name>/<benchmark>.json`, whole or not at all."""
    path = out / name / f"{benchmark}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)
    return path
