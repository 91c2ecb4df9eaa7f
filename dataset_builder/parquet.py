"""The published format of every dataset: typed Parquet files named after their content, a card and a manifest.

`datasets` identifies a local folder only by its name and its card. The card therefore lists the full name of each file:
otherwise `datasets` would return the rows of an old corpus from its cache for a new one.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builder.files.shards import clear, read_json, write_json, write_whole
from dataset_builder.hashing import digest_of
from dataset_builder.inputs import InputError
from dataset_builder.schema import CONFIGS, SPLITS, Row, features

CORPUS = "corpus"  # the subfolder of a work folder that is published
MANIFEST = "manifest.json"  # written last: a folder without it is not finished
ROWS_PER_GROUP = 10_000  # of a Parquet row group: some megabytes in memory for each split
COMPRESSION = "zstd"  # files of text are a third smaller than with the default, snappy


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder to write to. It takes the name and the place of `target` when the block ends without an error."""
    building = target.with_name(f"{target.name}.part")
    clear(building)
    yield building
    # A kill between these two lines leaves no corpus, only the `.part`, and the same command writes it again.
    clear(target)
    building.rename(target)


class SplitWriter:
    """Writes the rows of a config, one Parquet file per split; a split without rows gets no file.

    `kinds` holds the row type of each config. `counts` are the rows of each split, complete when the writer is closed.
    """

    def __init__(self, config: str, folder: Path, kinds: Mapping[str, type[Row]] = CONFIGS) -> None:
        self.counts: dict[str, int] = {}
        self._folder = folder / config
        self._schema: pa.Schema = features(config, kinds).arrow_schema
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._waiting: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for split in SPLITS if not any(error) else ():
            self._flush(split)
        for writer in self._writers.values():
            writer.close()

    def add(self, split: str, row: dict[str, Any]) -> None:
        """Add a row to a split."""
        self._waiting[split].append(row)
        if len(self._waiting[split]) == ROWS_PER_GROUP:
            self._flush(split)

    def _flush(self, split: str) -> None:
        if not (rows := self._waiting[split]):
            return
        if split not in self._writers:
            self._folder.mkdir(parents=True, exist_ok=True)
            # `write_manifest` completes the name.
            path = self._folder / f"{split}-.parquet"
            self._writers[split] = pq.ParquetWriter(path, self._schema, compression=COMPRESSION)
        self._writers[split].write_table(pa.Table.from_pylist(rows, schema=self._schema))
        self.counts[split] = self.counts.get(split, 0) + len(rows)
        rows.clear()


def write_splits(
    rows: Iterable[tuple[str, Row | dict[str, Any]]],
    config: str,
    folder: Path,
    kinds: Mapping[str, type[Row]] = CONFIGS,
) -> dict[str, int]:
    """Write rows, each with its split, as a `SplitWriter` does; returns the number of rows in each split."""
    with SplitWriter(config, folder, kinds) as writer:
        for split, row in rows:
            writer.add(split, row if isinstance(row, dict) else row.model_dump())
    return {split: writer.counts[split] for split in SPLITS if split in writer.counts}


def write_manifest(folder: Path, manifest: dict[str, Any], kinds: Mapping[str, type[Row]] = CONFIGS) -> dict[str, Any]:
    """Name the files by their content, write the card's YAML, and last the manifest.

    Args:
        manifest: what is to be known of the dataset; `rows` counts the rows of each config and split.

    Returns:
        The manifest as it was written, with the `revision`: a hash of all files.
    """
    revision = hashlib.sha256()
    for path in sorted(folder.glob("*/*.parquet")):
        split = path.name.partition("-")[0]
        # The name holds a hash of the content: caches of `datasets` know a local file by its name.
        named = path.rename(path.with_name(f"{split}-00000-of-00001-{digest_of(path)[:16]}.parquet"))
        revision.update(named.relative_to(folder).as_posix().encode())
    _write_card(folder, manifest["rows"], kinds)
    manifest = manifest | {"revision": revision.hexdigest()[:16]}
    write_json(folder / MANIFEST, manifest)
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a finished folder. Raises InputError if it is missing or damaged."""
    return read_json(folder / MANIFEST)


def finished_corpus(work_dir: Path, stage: str) -> dict[str, Any] | None:
    """Return the manifest of the corpus in a work folder, None if there is none yet.

    Raises:
        InputError: the corpus was made by another kind of run than `stage`.
    """
    if not (work_dir / CORPUS / MANIFEST).exists():
        return None
    manifest = read_manifest(work_dir / CORPUS)
    if (other := manifest.get("stage", stage)) != stage:
        raise InputError(f"{work_dir}: contains a corpus built by '{other}', which is kept. Use another --work-dir.")
    return manifest


def _write_card(folder: Path, rows: dict[str, dict[str, int]], kinds: Mapping[str, type[Row]]) -> None:
    """A README.md with the YAML by which `load_dataset` finds configs, splits and types; push.py adds the card."""
    from datasets import DatasetInfo
    from datasets.info import DatasetInfosDict
    from datasets.splits import SplitDict, SplitInfo
    from huggingface_hub import DatasetCardData

    configs: list[dict[str, Any]] = []
    infos = {}
    for config, counts in rows.items():
        paths = {split: next((folder / config).glob(f"{split}-*.parquet")) for split in counts}
        files = [{"split": split, "path": path.relative_to(folder).as_posix()} for split, path in paths.items()]
        default = {"default": True} if not configs else {}
        configs.append({"config_name": config, **default, "data_files": files})
        splits = SplitDict()
        for split, count in counts.items():
            splits.add(SplitInfo(name=split, num_bytes=paths[split].stat().st_size, num_examples=count))
        infos[config] = DatasetInfo(config_name=config, features=features(config, kinds), splits=splits)
    card = DatasetCardData(configs=configs)
    DatasetInfosDict(infos).to_dataset_card_data(card)
    write_whole(folder / "README.md", f"---\n{card.to_yaml()}\n---\n".encode())
