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
from publish.secrets import kinds_in

# Pickles, formats that may hold them or other code, compiled code, and what is packed and cannot be looked into.
UNSAFE = (
    ".bin", ".ckpt", ".dill", ".joblib", ".mar", ".nemo", ".p", ".pickle", ".pkl", ".pt", ".pt2", ".pte", ".pth",
    ".h5", ".hdf5", ".keras", ".pb", ".tflite", ".dll", ".dylib", ".exe", ".pyc", ".pyd", ".pyo", ".so", ".whl",
    ".7z", ".bz2", ".egg", ".gz", ".lz4", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst",
)  # fmt: skip
MAGIC = (
    b"\x1f\x8b", b"\xfd7zXZ\0", b"BZh", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c", b"\x04\x22\x4d\x18", b"Rar!",
    b"\x89HDF", b"\x7fELF", b"\xfe\xed\xfa", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe",
)  # fmt: skip
TAR_AT, TAR = 257, b"ustar"
OPCODES = {opcode.code for opcode in pickletools.opcodes}
RUNS_CODE = {"GLOBAL", "STACK_GLOBAL", "REDUCE", "INST", "OBJ", "BUILD", "NEWOBJ", "NEWOBJ_EX"}
SMALL = 2**20  # bytes; a pickle of protocol 0 or 1 is told by reading it whole
CHUNK, OVERLAP = 2**24, 2**12  # bytes; a secret that lies across two chunks is whole in one of them
ROWS = 2**13  # at a time


def is_unsafe(name: str, content: Content) -> bool:
    """Whether loading the file may run code, or it is packed: by its name or by what is in it."""
    if name.lower().endswith(UNSAFE):
        return True
    with _open(content) as file:
        head = file.read(SMALL)
        if head.startswith(b"PK\x03\x04"):
            file.seek(0)
            return not name.lower().endswith(".npz") or _has_pickle(file)
        whole = not file.read(1)
    packed = head.startswith(MAGIC) or head[TAR_AT : TAR_AT + len(TAR)] == TAR
    return packed or _is_pickle(head[:512]) or (whole and _is_old_pickle(head))


def _is_old_pickle(content: bytes) -> bool:
    """Whether it is a pickle of protocol 0 or 1, which begins as text may, that makes more than plain values."""
    if not content.rstrip().endswith(b"."):
        return False
    found = set()
    try:
        for opcode, _, _ in pickletools.genops(content):
            found.add(opcode.name)
    except (ValueError, UnicodeDecodeError, IndexError, OverflowError):
        return False
    return bool(found & RUNS_CODE)


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
                    if member.lower().endswith(UNSAFE) or _is_pickle(inside.read(512)):
                        return True
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError):
        return True  # torn, encrypted, or packed in a way that is not known: it cannot be looked into
    return False


def secrets(name: str, content: Content) -> list[str]:
    """The kinds of secrets in a file: in its bytes or, of Parquet, in its strings, names and notes.

    Raises:
        ValueError: a Parquet file that cannot be read.
    """
    chunks = _strings_of_parquet(content) if name.endswith(".parquet") else _chunks(content)
    return sorted({kind for chunk in chunks for kind in kinds_in(chunk)})


def _chunks(content: Content) -> Iterator[bytes]:
    with _open(content) as file:
        before = b""
        while chunk := file.read(CHUNK):
            yield before + chunk
            before = chunk[-OVERLAP:]


def _strings_of_parquet(content: Content) -> Iterator[bytes]:
    """Every string of every column, and what names and notes the file and its columns have."""
    with _open(content) as source, pq.ParquetFile(source) as file:
        yield b"\n".join(_notes(file.schema_arrow))
        for batch in file.iter_batches(batch_size=ROWS):
            for column in batch.columns:
                for strings in _leaves(column):
                    yield _joined(strings)


def _joined(strings: Any) -> bytes:
    """All values of an array of strings, a line each; small numbers are bytes."""
    if pa.types.is_integer(strings.type):
        return bytes(strings.view(pa.uint8()).to_numpy(zero_copy_only=False).tobytes())
    whole = pa.ListArray.from_arrays([0, len(strings)], strings.cast(pa.binary()))
    return bytes(pc.binary_join(whole, b"\n")[0].as_buffer().to_pybytes())


def _notes(fields: Any) -> Iterator[bytes]:
    """Names and metadata of a schema or a nested type, and of all that is below."""
    for pair in (getattr(fields, "metadata", None) or {}).items():
        yield from pair
    for field in fields:
        yield field.name.encode()
        for pair in (field.metadata or {}).items():
            yield from pair
        kind = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
        yield from _notes([kind.field(number) for number in range(kind.num_fields)])


def _leaves(array: Any) -> Iterator[Any]:
    """The arrays of strings, bytes or small numbers that an array is or holds, without nulls."""
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    kind = array.type
    if pa.types.is_dictionary(kind):
        yield from _leaves(array.dictionary)
    elif pa.types.is_struct(kind):
        for child in array.flatten():
            yield from _leaves(child)
    elif pa.types.is_map(kind):
        yield from _leaves(array.keys)
        yield from _leaves(array.items)
    elif pa.types.is_union(kind):
        for number in range(kind.num_fields):
            yield from _leaves(array.field(number))
    elif pa.types.is_run_end_encoded(kind):
        yield from _leaves(array.values)
    elif pa.types.is_nested(kind):
        yield from _leaves(array.flatten())
    elif any(test(kind) for test in STRINGS) or kind in (pa.int8(), pa.uint8()):
        yield array.drop_null()


STRINGS = (
    pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_binary, pa.types.is_large_binary,
    pa.types.is_binary_view, pa.types.is_fixed_size_binary,
)  # fmt: skip


def _open(content: Content) -> Any:
    return io.BytesIO(content) if isinstance(content, bytes) else Path(content).open("rb")
