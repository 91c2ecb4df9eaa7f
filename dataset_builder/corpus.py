"""Reads a built or downloaded corpus: configs, splits, files, rows. Rows are read a few at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builder.inputs import InputError, first_line
from dataset_builder.schema import SPLITS, features

ROWS_AT_ONCE = 64  # few, since a small Parquet file may hold very long texts


@dataclass(frozen=True)
class Corpus:
    """Where a corpus is: `files[config][split]` are its Parquet files in order."""

    place: str
    folder: Path
    files: dict[str, dict[str, list[Path]]]

    def rows(
        self, config: str, split: str | None = None, columns: list[str] | None = None, *, broken_text: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows of a config (or of one split), in the order of the files, each with its `split`.

        With `broken_text`, bytes that are not UTF-8 become lone surrogates; otherwise they raise an InputError.
        """
        for name, paths in self.files[config].items():
            if split in (None, name):
                for path in paths:
                    for row in read_rows(path, columns, broken_text=broken_text):
                        yield row | {"split": name}

    def count(self, config: str) -> dict[str, int]:
        """Return rows of each split, from the files' metadata."""
        return {
            split: sum(open_parquet(path).metadata.num_rows for path in paths)
            for split, paths in self.files[config].items()
        }


def open_corpus(place: str | Path) -> Corpus:
    """Open the corpus in a work folder, a folder with one subfolder per config, or a Hub dataset (`owner/name`).

    Raises:
        InputError: there is no such folder or dataset, or no `<config>/<split>-*.parquet` in it.
    """
    folder = Path(place)
    if not folder.is_dir():
        folder = _download(str(place))
    if (folder / "corpus").is_dir():
        folder = folder / "corpus"
    files: dict[str, dict[str, list[Path]]] = {}
    for path in sorted(folder.glob("*/*.parquet")):
        files.setdefault(path.parent.name, {}).setdefault(path.stem.partition("-")[0], []).append(path)
    if not files:
        raise InputError(
            f"{folder}: contains no <config>/<split>-*.parquet. Pass a work folder, a corpus folder or a Hub id."
        )
    order = {split: number for number, split in enumerate(SPLITS)}
    ordered = {
        config: dict(sorted(splits.items(), key=lambda item: order.get(item[0], len(order))))
        for config, splits in files.items()
    }
    return Corpus(str(place), folder, ordered)


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


def column_faults(corpus: Corpus, config: str) -> list[str]:
    """Return how the columns of a config's files differ from the published ones, a sentence for each file that does."""
    wanted = features(config).arrow_schema
    found = []
    for path in (path for paths in corpus.files[config].values() for path in paths):
        schema = open_parquet(path).schema_arrow
        faults = [
            f"{name}: {schema.field(name).type if name in schema.names else 'missing'}, expected {column.type}"
            for name, column in zip(wanted.names, wanted, strict=True)
            if name not in schema.names or schema.field(name).type != column.type
        ]
        faults += [f"{name}: unknown" for name in schema.names if name not in wanted.names]
        if faults:
            found.append(f"{config}/{path.name}: {'; '.join(faults)}")
    return found


def _download(place: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        found = snapshot_download(place, repo_type="dataset", allow_patterns=["*.parquet", "README.md"])
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"'{place}': no such folder, and not a dataset on the Hub ({first_line(error)}). Check the path or the id."
        ) from None
    return Path(found)
