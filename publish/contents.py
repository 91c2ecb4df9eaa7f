"""What a file to be sent must not contain: code that runs when it is loaded, and secrets."""

import pickletools
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from publish.files import Content, open_content
from publish.secrets import kinds_in

# How packed files (gzip, xz, bzip2, zip, zstd, 7z, lz4, rar), arrays, HDF5 and compiled programs begin.
MAGIC = (
    b"\x1f\x8b", b"\xfd7zXZ\0", b"BZh", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c", b"\x04\x22\x4d\x18",
    b"Rar!", b"\x93NUMPY", b"\x89HDF", b"\x7fELF", b"\xfe\xed\xfa", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe",
)  # fmt: skip
TAR = re.compile(rb".{257}ustar", re.DOTALL)
# A pickle of protocol 2 to 5 begins with its protocol and then an opcode.
OPCODES = "".join(opcode.code for opcode in pickletools.opcodes).encode("latin-1")
PICKLE = re.compile(rb"\x80[\x02-\x05][%s]" % re.escape(OPCODES))
RUNS_CODE = {"GLOBAL", "STACK_GLOBAL", "REDUCE", "INST", "OBJ", "BUILD", "NEWOBJ", "NEWOBJ_EX"}
SMALL = 2**20  # bytes; only a file up to this size is read as a pickle of protocol 0 or 1, which begins like a text
CHUNK, OVERLAP = 2**24, 2**12  # bytes; a secret across two chunks is complete in one of them
ROWS = 2**13  # of a Parquet file at a time, which bounds the memory


def is_unsafe(content: Content) -> bool:
    """Whether loading the file may run code, or it is packed. Its name does not matter: `allowed` refuses others."""
    with open_content(content) as file:
        head = file.read(SMALL)
        # One byte more shows whether the file ends here.
        is_whole = not file.read(1)
    if head.startswith(MAGIC) or TAR.match(head) or PICKLE.match(head):
        return True
    return is_whole and _is_old_pickle(head)


def _is_old_pickle(content: bytes) -> bool:
    """Return whether the content is a pickle of protocol 0 or 1 that makes more than plain values."""
    if not content.rstrip().endswith(b"."):
        return False
    try:
        return bool({opcode.name for opcode, _, _ in pickletools.genops(content)} & RUNS_CODE)
    except (ValueError, UnicodeDecodeError, IndexError, OverflowError):
        return False


def secrets(name: str, content: Content) -> list[str]:
    """Return the kinds of secrets in a file: in its bytes or, for Parquet, in its strings, column names and metadata.

    Raises:
        ValueError: the Parquet file cannot be read.
    """
    chunks = _parquet_chunks(content) if name.endswith(".parquet") else _chunks(content)
    return sorted({kind for chunk in chunks for kind in kinds_in(chunk)})


def _chunks(content: Content) -> Iterator[bytes]:
    with open_content(content) as file:
        before = b""
        while chunk := file.read(CHUNK):
            yield before + chunk
            # A secret may begin in one chunk and end in the next.
            before = chunk[-OVERLAP:]


def _parquet_chunks(content: Content) -> Iterator[bytes]:
    with open_content(content) as source, pq.ParquetFile(source) as file:
        yield b"\n".join(_names_and_metadata(file.schema_arrow))
        for batch in file.iter_batches(batch_size=ROWS):
            for column in batch.columns:
                yield from _values(column)


def _names_and_metadata(fields: Any) -> Iterator[bytes]:
    """Yield names and metadata of a schema or a nested type, at every level."""
    for pair in (getattr(fields, "metadata", None) or {}).items():
        yield from pair
    for field in fields:
        yield field.name.encode()
        for pair in (field.metadata or {}).items():
            yield from pair
        kind = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
        yield from _names_and_metadata([kind.field(number) for number in range(kind.num_fields)])


def _values(array: Any) -> Iterator[bytes]:
    """Yield all strings and bytes in an array at every level, joined with line ends; 8-bit numbers count as bytes."""
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    kind = array.type
    if pa.types.is_dictionary(kind):
        yield from _values(array.dictionary)
    elif pa.types.is_struct(kind):
        for child in array.flatten():
            yield from _values(child)
    elif pa.types.is_map(kind):
        yield from _values(array.keys)
        yield from _values(array.items)
    elif pa.types.is_nested(kind):
        yield from _values(array.flatten())
    elif kind in (pa.int8(), pa.uint8()):
        yield bytes(array.drop_null().view(pa.uint8()).to_numpy(zero_copy_only=False).tobytes())
    elif not (pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)):
        values = array.drop_null().cast(pa.binary())
        rows = pa.ListArray.from_arrays([0, len(values)], values)
        yield bytes(pc.binary_join(rows, b"\n")[0].as_buffer())
