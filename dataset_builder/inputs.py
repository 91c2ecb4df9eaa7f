"""What comes from outside, read strictly: the one error for bad input, YAML recipes, models in installed packages."""

import errno
import hashlib
import importlib.util
import json
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError


class InputError(Exception):
    """Something outside the program is wrong: a file, a recipe, a server. The message says what and what to do."""


class Strict(BaseModel):
    """Base of every recipe: frozen; an unknown key or a number that is not finite is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())


class _RecipeLoader(yaml.SafeLoader):
    """PyYAML reads `1e-5` as a string; recipes are full of such numbers."""


_RecipeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)

RecipeT = TypeVar("RecipeT", bound=Strict)


def read_recipe(path: str | Path, model: type[RecipeT]) -> RecipeT:
    """Read a YAML recipe.

    Raises:
        InputError: the file is missing, is not YAML, or has an unknown key or a wrong value (file, key and
            value are named).
    """
    path = Path(path)
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_RecipeLoader)
    except FileNotFoundError:
        raise InputError(f"{path}: no such recipe. Recipes are in {path.parent}/*.yaml.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not a readable YAML file: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: a recipe is a mapping of keys to values; this file holds {type(content).__name__}.")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {describe(error)}") from None


def describe(error: ValidationError) -> str:
    """The first faults of a pydantic validation as one line: key, what is wrong, the value found."""
    faults = []
    for fault in error.errors()[:3]:
        key = ".".join(str(part) for part in fault["loc"]) or "(top level)"
        if fault["type"] == "extra_forbidden":
            faults.append(f"unknown key '{key}': remove it or correct its spelling")
        elif fault["type"] == "missing":
            faults.append(f"key '{key}' is missing: add it")
        elif fault["type"] == "value_error":  # our own checks: they say what was found where it helps
            faults.append(f"key '{key}': {fault['ctx']['error']}" if fault["loc"] else str(fault["ctx"]["error"]))
        else:
            faults.append(f"key '{key}': {fault['msg']} (found {fault['input']!r})")
    more = len(error.errors()) - len(faults)
    return "; ".join(faults) + (f"; and {more} more" if more > 0 else "")


def first_line(error: BaseException) -> str:
    """What an error of a library says, in one line; some say nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def wheel_path(wheel: str | None) -> Path | None:
    """Where an installed Python package holds a model (`package/file` or `package/folder`); None if it is not there."""
    if wheel is None:
        return None
    package, _, inside = wheel.partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    path = Path(spec.origin).parent / inside if spec and spec.origin else None
    return path if path and path.exists() else None


@cache
def read_list(path: Path) -> tuple[str, ...]:
    """The lines of a vocabulary file, in their order, without blank ones and comments."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def fingerprint(value: Any) -> str:
    """A short stable hash (16 hex digits) of anything that JSON can hold: recipes, prompts, rows."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()


def run_command(main: Callable[[], int | None]) -> None:
    """Run a command's `main`; bad input ends it with one line on stderr and exit code 2, never a traceback."""
    try:
        sys.exit(main() or 0)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        place = f"{error.filename}: " if error.filename else ""
        print(
            f"error: {place}{error.strerror}. Make room or give another folder; what is finished is kept.",
            file=sys.stderr,
        )
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; what was finished is kept, the same command goes on from there", file=sys.stderr)
        sys.exit(130)
