"""Reads files from outside: lines, JSON lines, JSON files and tables (TSV, CSV), each also gzipped.

A line ends at a line feed, with or without a carriage return before it, and nowhere else: U+2028, U+2029, U+0085 and
form feeds stay inside texts. A byte order mark is removed. Every fault is an InputError that names file and line.

A table has one rule of quoting, decided for the file as a whole. Comma-separated files are CSV (RFC 4180), read
strictly. In tab-separated files quotes are text, unless the file was written by a CSV writer: then every field with a
quote in it is quoted, its inner quotes are doubled, and no field is quoted without need (or all are).
"""

import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from dataset_builder.inputs import InputError

LONGEST_LINE = 16 * 2**20  # bytes, far above any text of ours: a small compressed file may hold much more
LARGEST_FILE = 256 * 2**20  # bytes of a JSON file, which is parsed as a whole
MOST_BLANK = 100_000  # blank lines one after the other
DELIMITERS = {"\t": "tab-separated", ",": "comma-separated", ";": "separated by semicolons", "|": "separated by '|'"}
SHOWN = 80  # characters of a line in a message
_GZIP = b"\x1f\x8b"
# The first bytes of other kinds of files that often have the name of a text file, and what to do about each.
_BEGINNINGS = (
    (b"\xff\xfe", "it is UTF-16; convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW"),
    (b"\xfe\xff", "it is UTF-16; convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW"),
    (b"PAR1", "it is a Parquet file"),
    (b"PK\x03\x04", "it is a ZIP archive or a spreadsheet; unpack it, or save it as UTF-8 CSV"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd; decompress it"),
    (b"\xfd7zXZ", "it is compressed with xz; decompress it"),
    (b"BZh", "it is compressed with bzip2; decompress it"),
    (b"version https://git-lfs", "it is a Git LFS pointer, not the file; run `git lfs pull` in its repository"),
    (b"<!DOCTYPE", "it is an HTML page; download the file itself"),
    (b"<!doctype", "it is an HTML page; download the file itself"),
    (b"<html", "it is an HTML page; download the file itself"),
)
_NUMBER = re.compile(r"[-+]?[\d.,]+(?:[eE][-+]?\d+)?")
_CSV_FAULTS = (
    ("unexpected end", "a quoted field begins here and is never closed"),
    ("field larger", "a field of more than 131,072 characters; is a quote not closed?"),
    ("new-line", "a carriage return in a field without quotes"),
    ("expected after", "a quote inside a quoted field that is not doubled"),
)


def lines(path: Path, what: str = "") -> Iterator[tuple[str, str]]:
    """Yield lines that are not blank, without their ends, each with its place (`file, line N`).

    Raises:
        InputError: the file cannot be read, is of another kind or encoding, or has a line of more than LONGEST_LINE
            bytes; the message ends with `what` to give.
    """
    for number, line in _raw(path, what):
        if line.strip():
            yield f"{path}, line {number}", line.rstrip("\n").removesuffix("\r")


def json_lines(path: Path, what: str = "", fault: str = "broken JSON") -> Iterator[tuple[str, Any]]:
    """Yield the value of each line that is not blank, with its place.

    Raises:
        InputError: as `lines`, or a line is not JSON, which the message calls a `fault`.
    """
    for place, line in lines(path, what):
        if place.endswith(", line 1") and line.lstrip() in ("[", "{"):
            raise InputError(
                f"{place}: one JSON value over several lines. Write one value per line: jq -c '.[]? // .' FILE."
            )
        yield place, _parsed(line, f"{place}: {fault}", "Correct or delete it.")


def json_file(path: Path, what: str = "", fault: str = "broken JSON") -> Any:
    """Return the value of a JSON file. Raises InputError if it cannot be read or is not JSON, called a `fault`."""
    content, size = [], 0
    for _, line in _raw(path, what, LARGEST_FILE):
        content.append(line)
        size += len(line)
        if size > LARGEST_FILE:
            raise InputError(f"{path}: more than {LARGEST_FILE:,} characters. {what}".rstrip())
    return _parsed("".join(content), f"{path}: {fault}", what)


def table_rows(path: Path, delimiter: str, what: str = "", form: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield rows of a table, the first line's too, all of one width, each with its place; blank lines are left out.

    Args:
        form: what a row should be, for messages.

    Raises:
        InputError: as `lines`, or a row is of another width than the first, or its quotes are broken.
    """
    width = 0
    for place, fields in _rows(path, delimiter, what):
        width = width or len(fields)
        if len(fields) != width:
            form = form or f"expected {width} fields as in the first line, {DELIMITERS[delimiter]}"
            raise InputError(f"{place}: {form}, found {len(fields)} fields. Correct or delete it.")
        yield place, fields


def named_columns(
    path: Path, columns: Mapping[str, tuple[str, ...]], what: str = "", form: str = ""
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield rows of a table with a header, as the wanted columns by name, each with its place.

    The header's names may be in any order and case, with others beside them, and separated by any of DELIMITERS.

    Args:
        columns: for each column the names that it has in the files that circulate.
        form: what a row should be, for messages.

    Raises:
        InputError: a column is missing or there twice, or as `table`.
    """
    delimiter, index = find_columns(path, columns, what)
    form = form or f"expected {', '.join(columns)}, {DELIMITERS[delimiter]}"
    rows = table_rows(path, delimiter, what, form)
    next(rows)
    for place, fields in rows:
        yield place, {name: fields[at] for name, at in index.items()}


def find_columns(path: Path, columns: Mapping[str, tuple[str, ...]], what: str = "") -> tuple[str, dict[str, int]]:
    """The delimiter of a table and where its columns are, by its first line. Raises InputError if one is missing."""
    place, line = next(lines(path, what), (f"{path}, line 1", ""))
    usual = "," if ".csv" in path.suffixes else "\t"
    # The delimiter that fits the file's name is tried first.
    for delimiter in (usual, *(other for other in DELIMITERS if other != usual)):
        names = _names(line, delimiter)
        found = {name: [at for at, own in enumerate(names) if own in known] for name, known in columns.items()}
        if all(found.values()):
            if twice := next((name for name, places in found.items() if len(places) > 1), None):
                raise InputError(f"{place}: the column '{twice}' occurs twice. Delete or rename one.")
            return delimiter, {name: places[0] for name, places in found.items()}
    form = f"expected {', '.join(columns)}, {DELIMITERS[usual]}"
    raise InputError(f"{place}: {form}, found {line[:SHOWN]!r}. {what}".rstrip())


def _names(line: str, delimiter: str) -> list[str]:
    """Return the fields of a header, in small letters."""
    try:
        return [name.strip().casefold() for name in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def package_table(path: Path) -> list[dict[str, str]]:
    """The rows of a tab-separated table of this package, by its header's names; lines that begin with # are notes."""
    rows = [line.split("\t") for _, line in lines(path) if not line.startswith("#")]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def _rows(path: Path, delimiter: str, what: str) -> Iterator[tuple[str, list[str]]]:
    if delimiter == "\t":
        how = _quoting(path, what)
        if how != "over lines":
            for place, line in lines(path, what):
                fields = line.split("\t")
                yield place, [_unquoted(field) for field in fields] if how == "in lines" else fields
            return
    yield from _csv_rows(path, delimiter, what)


def _csv_rows(path: Path, delimiter: str, what: str) -> Iterator[tuple[str, list[str]]]:
    rows = csv.reader((line for _, line in _raw(path, what)), delimiter=delimiter, strict=True)
    while True:
        place = f"{path}, line {rows.line_num + 1}"
        try:
            fields = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            fault = next((says for begins, says in _CSV_FAULTS if begins in str(error)), str(error)[:SHOWN])
            raise InputError(f"{place}: {fault}. Correct it.") from None
        if fields:
            yield place, fields


def _quoting(path: Path, what: str) -> str:
    """Return how a tab-separated file is quoted: `not`, `in lines` (no text has a line break), or `over lines`."""
    widths: set[int] = set()
    has, is_whole, is_needed, is_every = False, True, True, True
    for _, line in lines(path, what):
        fields = line.split("\t")
        widths.add(len(fields))
        for field in fields:
            if '"' not in field:
                is_every = is_every and (not field or _NUMBER.fullmatch(field) is not None)
                continue
            has, inner = True, field[1:-1]
            is_whole = is_whole and _is_quoted(field)
            is_needed = is_needed and (not inner or '""' in inner or "," in inner)
    if not has:
        return "not"
    if len(widths) > 1:
        try:
            found = {len(fields) for _, fields in _csv_rows(path, "\t", what)}
        except InputError:
            return "not"
        return "over lines" if len(found) == 1 else "not"
    return "in lines" if is_whole and (is_needed or is_every) else "not"


def _is_quoted(field: str) -> bool:
    return len(field) > 1 and field[0] == field[-1] == '"' and '"' not in field[1:-1].replace('""', "")


def _unquoted(field: str) -> str:
    return field[1:-1].replace('""', '"') if field.startswith('"') else field


def _parsed(text: str, fault: str, advice: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}" if error.lineno > 1 else f"column {error.colno}"
        says = f"{error.msg} at {where}"
    except RecursionError:
        says = "nested too deeply"
    except ValueError as error:  # a key twice, or a number of more digits than Python reads
        says = str(error)[: 2 * SHOWN]
    raise InputError(f"{fault} ({says}). {advice}".rstrip())


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for at, (key, _) in enumerate(pairs) if key in {other for other, _ in pairs[:at]})
        raise ValueError(f"the key {twice[:SHOWN]!r} occurs twice")
    return found


def _raw(path: Path, what: str, longest: int = LONGEST_LINE) -> Iterator[tuple[int, str]]:
    """Numbered lines with their ends, decoded; lines that are not UTF-8 are refused."""
    try:
        with _opened(path) as file:
            number, blank = 0, 0
            # With a limit: a small compressed file may hold one line that fills the memory.
            while line := file.readline(longest + 1):
                number += 1
                if len(line) > longest:
                    raise InputError(
                        f"{path}, line {number}: a line of more than {longest:,} bytes. Is the file complete?"
                    )
                blank = 0 if line.strip() else blank + 1
                if blank > MOST_BLANK:
                    raise InputError(f"{path}, line {number}: {MOST_BLANK:,} blank lines. Is the file complete?")
                yield number, _decoded(line, path, number)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error, what) from None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The bytes of a file, unpacked if it is gzip, whatever its name is."""
    with open(path, "rb") as raw:
        is_gzip = raw.peek(2)[:2] == _GZIP
        if path.suffix == ".gz" and not is_gzip:
            raise InputError(f"{path}: cannot be read: it is not gzip. Remove .gz from its name.")
        with gzip.GzipFile(fileobj=raw) if is_gzip else nullcontext(raw) as file:
            beginning = file.peek(64)[:64]
            for begins, says in _BEGINNINGS:
                if beginning.startswith(begins):
                    raise InputError(f"{path}: cannot be read: {says}.")
            yield file


def _decoded(line: bytes, path: Path, number: int) -> str:
    place = f"{path}, line {number}"
    if b"\0" in line:
        raise InputError(f"{place}: a NUL byte: the file is UTF-16 or damaged. iconv -f UTF-16 -t UTF-8 FILE > NEW")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{place}: cannot be read: byte 0x{line[error.start]:02x} is not UTF-8. If the file is Latin-1 or "
            "Windows-1252, convert it: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW"
        ) from None
    return text.removeprefix("\ufeff") if number == 1 else text


def _unreadable(path: Path, error: Exception, what: str) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path}: no such file. {what}".rstrip())
    says = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return InputError(f"{path}: cannot be read ({says}). Is the file complete? {what}".rstrip())
