"""What a file to be sent must not hold: code that runs when it is loaded, and secrets."""

import io
import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from publish.plan import Content

PICKLED = (".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth")
OPCODES = {opcode.code for opcode in pickletools.opcodes}
CHUNK, OVERLAP = 2**24, 2**12  # bytes; a secret that lies across two chunks is whole in one of them
ROWS = 2**16
TEXT = (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary())

# What secrets look like: the kind, how they begin, the rest, and whether a genuine rest mixes cases or digits.
SECRETS = (
    ("a Hub token", b"hf_", rb"[A-Za-z0-9]{30,}", True),
    ("an API key of the form sk-…", b"sk-", rb"[A-Za-z0-9_-]{20,}", True),
    ("an AWS key", b"AKIA", rb"[A-Z0-9]{16}", False),
    ("a GitHub token", b"ghp_", rb"[A-Za-z0-9]{36,}", True),
    ("a GitHub token", b"github_pat_", rb"[A-Za-z0-9_]{40,}", True),
    ("a Slack token", b"xox", rb"[abeoprs]-[A-Za-z0-9-]{20,}", True),
    (
        "a private key",
        b"-----BEGIN ",
        rb"[A-Z ]*PRIVATE KEY(?: BLOCK)?-----(?:\s|\\[nrt])+(?:[\w-]+: [^\n\\]+(?:\s|\\[nrt])+)*[A-Za-z0-9+/=]{16,}",
        True,
    ),
)
PATTERNS = [
    (kind, start, re.compile(re.escape(start) + rb"(" + rest + rb")"), mixed) for kind, start, rest, mixed in SECRETS
]


def is_unsafe(name: str, content: Content) -> bool:
    """Whether loading the file may run code: a pickle, by its name or by what is in it.

    Pickles of protocol 0 begin as text does and are known by their names alone.
    """
    if name.endswith(PICKLED):
        return True
    with _open(content) as file:
        head = file.read(512)
        if head.startswith(b"PK\x03\x04"):
            file.seek(0)
            return _has_pickle(file)
    return _is_pickle(head)


def _is_pickle(head: bytes) -> bool:
    if head.startswith(b"\x93NUMPY"):
        return re.search(rb"'\|?O\d*'", head) is not None  # an array of objects is a pickle
    known = head[2:3].decode("latin-1") in OPCODES
    return head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") and known


def _has_pickle(file: Any) -> bool:
    """Whether a zip archive, as torch and numpy write them, holds a pickle."""
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.namelist():
                with archive.open(member) as inside:
                    if member.endswith(PICKLED) or _is_pickle(inside.read(512)):
                        return True
    except zipfile.BadZipFile:
        pass
    return False


def secrets(name: str, content: Content) -> list[str]:
    """The kinds of secrets in a file: in its bytes or, of Parquet, in its strings.

    Raises:
        ValueError: a Parquet file that cannot be read.
    """
    chunks = _strings_of_parquet(content) if name.endswith(".parquet") else _chunks(content)
    return sorted({kind for chunk in chunks for kind in _kinds(chunk)})


def _kinds(chunk: bytes) -> Iterator[str]:
    for kind, start, pattern, mixed in PATTERNS:
        if start in chunk and any(_is_genuine(found, mixed) for found in pattern.finditer(chunk)):
            yield kind


def _is_genuine(found: re.Match[bytes], mixed: bool) -> bool:
    """Whether it is more than a placeholder (`hf_xxx…`, `sk-your-key-here`) or the end of a word (`task-…`)."""
    before = found.string[max(0, found.start() - 2) : found.start()]
    if before[-1:].isalnum() and not re.fullmatch(rb"\\[nrt]", before):
        return False
    rest = found[1]
    if len(set(rest)) < 8 or b"EXAMPLE" in rest:
        return False
    return not mixed or re.search(rb"\d", rest) is not None or not (rest.islower() or rest.isupper())


def _chunks(content: Content) -> Iterator[bytes]:
    with _open(content) as file:
        before = b""
        while chunk := file.read(CHUNK):
            yield before + chunk
            before = chunk[-OVERLAP:]


def _strings_of_parquet(content: Content) -> Iterator[bytes]:
    """Every string of every column, and the file's own metadata."""
    with _open(content) as source, pq.ParquetFile(source) as file:
        yield b"\n".join((file.schema_arrow.metadata or {}).values())
        for batch in file.iter_batches(batch_size=ROWS):
            for column in batch.columns:
                for strings in _leaves(column):
                    whole = pa.ListArray.from_arrays([0, len(strings)], strings)
                    yield pc.binary_join(whole, b"\n")[0].as_buffer().to_pybytes()


def _leaves(array: Any) -> Iterator[Any]:
    """The arrays of strings that an array is or holds, without nulls."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        yield from _leaves(array.dictionary)
    elif pa.types.is_struct(kind):
        for child in array.flatten():
            yield from _leaves(child)
    elif pa.types.is_map(kind):
        yield from _leaves(array.keys)
        yield from _leaves(array.items)
    elif pa.types.is_nested(kind):
        yield from _leaves(array.flatten())
    elif kind in TEXT:
        yield array.drop_null().cast(pa.binary())


def _open(content: Content) -> Any:
    return io.BytesIO(content) if isinstance(content, bytes) else Path(content).open("rb")
