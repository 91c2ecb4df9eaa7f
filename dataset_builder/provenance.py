"""Where results come from: commit, command, libraries, hardware, digests of files. Results are written here too."""

import hashlib
import importlib.metadata
import math
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from dataset_builder.files.shards import write_json
from dataset_builder.inputs import InputError

RESULTS = Path("eval/results")
# What measuring itself writes: a change there does not make the code another one.
GENERATED = (RESULTS.as_posix(), "model_cards", "README.md", "docs/measurements.md")


def provenance(*libraries: str) -> dict[str, Any]:
    """Commit, command, library versions and hardware of this run.

    `dirty` is true if tracked files differ from the commit, apart from those that an evaluation writes.

    Args:
        libraries: those to name besides datasets, torch and transformers.
    """
    left_out = [f":(top,exclude){path}" for path in GENERATED]
    path = Path(sys.argv[0]).with_suffix("")
    path = path.parent if path.name == "__main__" else path
    module = ".".join(path.relative_to(Path.cwd()).parts) if path.is_relative_to(Path.cwd()) else path.name
    return {
        "commit": _git("rev-parse", "HEAD") or "unknown",
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no", "--", ":/", *left_out)),
        "command": " ".join(["python -m", module, *map(shareable, sys.argv[1:])]),
        "libraries": {
            name: importlib.metadata.version(name) for name in ("datasets", "torch", "transformers", *libraries)
        },
        "hardware": f"{platform.machine()}, {os.cpu_count()} CPU cores",
    }


def _git(*arguments: str) -> str:
    """Return what git prints; nothing without git or a repository."""
    git = shutil.which("git")
    done = subprocess.run([git, *arguments], capture_output=True, text=True, check=False) if git else None
    return done.stdout.strip() if done else ""


def weights_digest(folder: Path) -> str:
    """Return the SHA-256 of a model folder's safetensors, one after the other by path, without those of checkpoints.

    `publish/checks.py` computes the same from the files that it sends.
    """
    digest = hashlib.sha256()
    for name, path in sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*.safetensors")):
        if not name.startswith("checkpoint"):
            with path.open("rb") as file:
                hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def shareable(argument: str) -> str:
    """An argument without this machine's folders: relative to the repository, or only the name of a path outside it."""
    if Path(argument).is_absolute() and Path(argument).is_relative_to(Path.cwd()):
        return Path(argument).relative_to(Path.cwd()).as_posix()
    name, equals, place = argument.partition("=")  # NAME=PLACE
    if not (equals and place.startswith(("/", "~", ".."))):
        name, equals, place = "", "", argument
    outside = place.startswith(("/", "~", ".."))
    return f"{name}{equals}…/{Path(place).name}" if outside else argument


def results_folder(text: str) -> Path:
    """Return the `--out` folder of a command line. Raises InputError, before any measurement, if it is not writable."""
    folder = Path(text)
    if folder.exists() and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise InputError(f"--out {text}: is not a writable folder. Use another.")
    return folder


def write_result(content: dict[str, Any], out: Path, name: str, benchmark: str) -> Path:
    """Write `<out>/<name>/<benchmark>.json`, whole or not at all. NaN and infinite values are left out."""
    path = out / name / f"{benchmark}.json"
    write_json(path, _defined(content))
    return path


def write_measurement(content: dict[str, Any], out: Path, name: str) -> None:
    """Write `<out>/system/<name>.json`, with its provenance; print its path and its metrics."""
    print(write_result(content | provenance(), out, "system", name))
    for metric, found in content["metrics"].items():
        print(f"{metric:<56}{found['value']:g}")


def _defined(content: Any) -> Any:
    """Content without numbers that JSON cannot hold, and without metrics with such a value; in lists they are None."""
    if isinstance(content, dict):
        return {name: _defined(value) for name, value in content.items() if not _undefined(value)}
    if isinstance(content, list | tuple):
        return [None if _undefined(value) else _defined(value) for value in content]
    return content


def _undefined(value: Any) -> bool:
    value = value.get("value") if isinstance(value, dict) else value
    return isinstance(value, float) and not math.isfinite(value)
