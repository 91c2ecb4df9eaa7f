"""Files that survive a kill: a shard or a JSON file appears whole or not at all, a journal loses its last line."""

import errno
import fcntl
import gzip
import json
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import BaseModel, ValidationError

from dataset_builder.files.reading import json_file
from dataset_builder.inputs import InputError, validation_message

ModelT = TypeVar("ModelT", bound=BaseModel)


@contextmanager
def file_lock(lock: Path, held_by_another: str) -> Iterator[None]:
    """Hold a lock file until the block or the process ends. Raises InputError if another process holds it.

    Machines exclude each other where their shared file system shares locks (flock).
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with _open_own(lock, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{held_by_another}. Wait for it, or stop it.") from None
        except OSError as error:
            raise InputError(
                f"{lock}: this file system does not support locks ({error}). Use another folder."
            ) from None
        yield


def shard_path(folder: Path, shard: int) -> Path:
    """Return the file of one shard."""
    return folder / f"{shard:05d}.jsonl.gz"


def write_whole(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a file that appears only when complete; `.gz` is compressed, with the same bytes each time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.unlink(missing_ok=True)  # of a killed run, or a link to somebody's file
    with open(temporary, "xb") as raw:
        chunks = [content] if isinstance(content, bytes) else content
        if path.suffix == ".gz":
            # No name and no time in the header, so that equal rows give equal bytes.
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as compressed:
                for chunk in chunks:
                    compressed.write(chunk)
        else:
            for chunk in chunks:
                raw.write(chunk)
        raw.flush()
        # Before the rename: after a power cut, the final name never stands for a file with missing content.
        os.fsync(raw.fileno())
    os.replace(temporary, path)


def write_shards(folder: Path, values: Sequence[Any], shards: int) -> None:
    """Cut values into shards of neighbours; concatenated, the shards are in the order of the values."""
    for shard in range(shards):
        part = values[shard * len(values) // shards : (shard + 1) * len(values) // shards]
        write_whole(shard_path(folder, shard), map(to_line, part))


def clear(path: Path) -> None:
    """Delete the folder at a path with all that is in it; of a link, the link alone. Nothing there is fine."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def _open_own(path: Path, mode: str) -> IO[bytes]:
    """Open a file that this program made. Raises InputError if its name is a link to another file."""
    try:
        return open(path, mode, opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o666))
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise InputError(f"{path}: is a symbolic link, but this program creates no links there. Delete it.") from None


def to_line(value: Any) -> bytes:
    """Return a value as one line of JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def write_json(path: Path, value: Any) -> None:
    """Write a small JSON file for people and programs, whole or not at all."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2) + "\n"
    write_whole(path, text.encode(errors="backslashreplace"))  # a path may hold bytes that are not UTF-8


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that this program wrote. Raises InputError if it is missing, damaged or no object."""
    what = "Was it deleted or changed? Create it again (a stage's files with `build --restart-from STAGE`)."
    value = json_file(path, what)
    if not isinstance(value, dict):
        raise InputError(f"{path}: contains {type(value).__name__} instead of an object. {what}")
    return value


def read_model(path: Path, model: type[ModelT]) -> ModelT:
    """Read a JSON object as a pydantic model. Raises InputError like `read_json`, and if its format differs."""
    try:
        return model.model_validate(read_json(path))
    except ValidationError as error:
        raise InputError(f"{path}: {validation_message(error)}. Was it changed? Create it again.") from None


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the values of a shard, one by one. Raises InputError if the file is damaged."""
    try:
        with gzip.open(path, "rb") as lines:
            for line in lines:
                yield json.loads(line)
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise InputError(
            f"{path}: damaged ({error}). Delete it and build again; only this shard is built again."
        ) from None


def stage_rows(folder: Path, shards: Iterable[int]) -> Iterator[dict[str, Any]]:
    """Yield the rows in some shards of a stage's folder (or of the items that a run began with), in order."""
    for shard in shards:
        for line in read_lines(shard_path(folder, shard)):
            if "unit" in line:  # the record of a unit; the lines of items are rows
                yield from line["rows"]
            else:
                yield line


class Journal:
    """Finished units of one shard in the order in which they finished, appended line by line."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._offsets: dict[str, int] = {}
        self._file = _open_own(path, "a+b")
        self._file.seek(0)
        whole = 0
        for line in self._file:
            try:
                unit = json.loads(line)["unit"] if line.endswith(b"\n") else None
            except (ValueError, TypeError, KeyError):
                unit = None
            if unit is None:  # torn by a kill: that unit is asked again
                break
            self._offsets[unit] = whole
            whole += len(line)
        # The next line must not be appended to half a line.
        self._file.truncate(whole)

    def __len__(self) -> int:
        return len(self._offsets)

    def append(self, unit: str, record: dict[str, Any]) -> None:
        """Add a finished unit; after this call, a kill does not lose it."""
        self._offsets[unit] = self._file.seek(0, os.SEEK_END)
        self._file.write(to_line(record))
        # Not fsync, which would cost a disk write per unit: a killed process loses nothing, a power cut at most the
        # last units.
        self._file.flush()

    def get(self, unit: str) -> dict[str, Any] | None:
        """Return a finished unit's record, None if it is not finished."""
        if unit not in self._offsets:
            return None
        record: dict[str, Any] = json.loads(self._read(unit))
        return record

    def write(self, order: Iterable[str], shard: Path) -> None:
        """Write the shard, units in `order`."""
        write_whole(shard, (self._read(unit) for unit in order))

    def discard(self) -> None:
        """Delete the journal after its shard is written."""
        self._file.close()
        self._path.unlink()

    def _read(self, unit: str) -> bytes:
        self._file.seek(self._offsets[unit])
        return self._file.readline()


class Shard:
    """Units of a finished shard, asked for in about the order in which they stand there."""

    def __init__(self, path: Path) -> None:
        self._lines = read_lines(path)
        self._ahead: dict[str, dict[str, Any]] = {}

    def get(self, unit: str) -> dict[str, Any] | None:
        """Return a unit's record, or None; records passed on the way are kept until they are requested."""
        while unit not in self._ahead:
            record = next(self._lines, None)
            if record is None:
                return None
            self._ahead[record["unit"]] = record
        return self._ahead.pop(unit)
