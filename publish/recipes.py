"""Whether a model was trained by the recipe beside it: both ways, with what a recipe leaves out filled in."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path, PurePath
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NUMBER = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
UNKNOWN = object()  # the default of a key that no recipe of today has


@cache
def schemas() -> dict[str, dict[str, Any]]:
    """The JSON schema of each kind of recipe, asked of `train` as a program: this folder imports nothing of it."""
    asked = [sys.executable, "-m", "train.schema"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


def differing(given: Mapping[str, Any], made: Mapping[str, Any]) -> Iterator[str]:
    """The keys in which a recipe is not that of a training, with both values; `lora.rank` where they are nested.

    Args:
        given: the recipe as it is written.
        made: the recipe as the training had it, with all its keys.
    """
    schema = max(schemas().values(), key=lambda known: len(known["properties"].keys() & (made.keys() | given.keys())))
    yield from _below(_cut(given), _cut(made), schema, schema.get("$defs", {}), "")


def _cut(value: Any) -> Any:
    """A recipe with folders outside the repository by their names alone, as records have them."""
    if isinstance(value, Mapping):
        return {_cut(key): _cut(one) for key, one in value.items()}
    outside = isinstance(value, str) and value.startswith(("/", "~", ".."))
    return f"…/{PurePath(value).name}" if outside else value


def _below(
    given: Mapping[str, Any], made: Mapping[str, Any], schema: dict[str, Any], parts: dict[str, Any], path: str
) -> Iterator[str]:
    known = schema.get("properties", {})
    for key in dict.fromkeys((*given, *made)):
        about = known.get(key, {})
        wanted = given.get(key, about.get("default", UNKNOWN))
        found = made.get(key, None if key in given else wanted)
        if isinstance(wanted, dict) and isinstance(found, dict):
            yield from _below(wanted, found, _nested(about, parts), parts, f"{path}{key}.")
        elif not _same(wanted, found):
            yield f"{path}{key} {_shown(found)}, not {_shown(wanted)}"


def _nested(about: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    """The schema of a recipe inside a recipe."""
    for one in (about, *about.get("anyOf", [])):
        if "$ref" in one:
            found: dict[str, Any] = parts[one["$ref"].rpartition("/")[2]]
            return found
    return {}


def _same(given: Any, made: Any) -> bool:
    if isinstance(given, str) and NUMBER.fullmatch(given):  # PyYAML reads 1e-5 as a string
        given = float(given)
    if isinstance(given, list | tuple) and isinstance(made, list | tuple):
        return len(given) == len(made) and all(map(_same, given, made))
    return bool(given == made)


def _shown(value: Any) -> str:
    return "(not there)" if value is UNKNOWN else json.dumps(value, default=str)
