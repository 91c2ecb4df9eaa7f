"""Reads a built or downloaded corpus: configs, splits, files, rows. Rows are read a few at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_builder.files.parquet_rows import open_parquet, read_rows
from dataset_builder.inputs import InputError, first_line
from dataset_builder.schema import SPLITS, features


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
