"""Reads the rows of a Parquet file, a few at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builder.inputs import InputError, first_line

ROWS_AT_ONCE = 64  # few, since a small Parquet file may hold very long texts


def open_parquet(path: Path) -> pq.ParquetFile:
    """Return a Parquet file. Raises InputError if it cannot be read."""
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"{path}: not a readable Parquet file ({first_line(error)}). Build or download it again."
        ) from None


def read_rows(path: Path, columns: list[str] | None = None, *, broken_text: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the rows of one file. Raises InputError if it is damaged or, without `broken_text`, a text is not UTF-8."""
    file = open_parquet(path)
    wanted = [name for name in columns if name in file.schema_arrow.names] if columns else None
    try:
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=wanted):
            try:
                rows = batch.to_pylist()
            except UnicodeDecodeError as error:
                if not broken_text:
                    raise InputError(
                        f"{path}: it contains a text that is not UTF-8 ({error}). Validate the corpus first."
                    ) from None
                rows = _with_surrogates(batch)
            yield from rows
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: damaged ({first_line(error)}). Build or download it again.") from None


def _with_surrogates(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return the rows of a batch, with every byte that is not UTF-8 as a lone surrogate."""

    def as_bytes(kind: pa.DataType) -> pa.DataType:
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return pa.large_binary() if pa.types.is_large_string(kind) else pa.binary()
        if pa.types.is_list(kind):
            return pa.list_(as_bytes(kind.value_type))
        if pa.types.is_struct(kind):
            return pa.struct([pa.field(inner.name, as_bytes(inner.type)) for inner in kind])
        return kind

    def as_text(value: Any) -> Any:
        if isinstance(value, bytes):
            return value.decode("utf-8", "surrogateescape")
        if isinstance(value, dict):
            return {name: as_text(inner) for name, inner in value.items()}
        return [as_text(inner) for inner in value] if isinstance(value, list) else value

    schema = pa.schema([pa.field(column.name, as_bytes(column.type)) for column in batch.schema])
    return [as_text(row) for row in batch.cast(schema).to_pylist()]
