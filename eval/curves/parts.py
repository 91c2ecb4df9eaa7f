"""The parts of a corpus on which students are trained: sizes, sources, files, and the same texts with other labels."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_builder.corpus import open_corpus
from dataset_builder.hashing import fingerprint, stable_hash
from dataset_builder.inputs import InputError
from dataset_builder.parquet import whole_folder, write_manifest, write_splits

SIZES = (1_000, 3_000, 10_000, 30_000)
LEAST_ROWS = 100  # of a source or file that gets a student of its own
TRAIN, VALIDATION = "train", "validation"
Row = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """Rows for one student. `kind`: `sizes`, `sources`, `files` or `labels`; `rows` are of the train split."""

    kind: str
    name: str
    rows: list[Row]

    @property
    def key(self) -> str:
        """What identifies the part and its content: a point with the same key need not be measured again."""
        labelled = sorted((row["id"], row["labels"], [round(score, 4) for score in row["scores"]]) for row in self.rows)
        return fingerprint([self.kind, self.name, labelled])


@dataclass(frozen=True)
class Splits:
    """The train and validation rows of a config of a corpus."""

    train: list[Row]
    validation: list[Row]


def read_splits(corpus: str | Path, config: str) -> Splits:
    """Return the rows of a corpus, ordered by a hash of their stories, so that the first ones are a random sample.

    Raises:
        InputError: no corpus there, or it has no such config, or no train and validation rows.
    """
    opened = open_corpus(corpus)
    if not {TRAIN, VALIDATION} <= opened.files.get(config, {}).keys():
        raise InputError(f"{corpus}: has no train and validation rows of the config '{config}'.")
    found = {split: list(opened.rows(config, split)) for split in (TRAIN, VALIDATION)}
    for rows in found.values():
        rows.sort(key=lambda row: (stable_hash("curves", _story(row)), row["id"]))
    return Splits(found[TRAIN], found[VALIDATION])


def sizes(rows: Sequence[Row]) -> Iterator[Part]:
    """Yield the first rows, more and more of them, contrast sets whole, and at last all."""
    for size in SIZES:
        if size < len(rows):
            end = size
            while end < len(rows) and _story(rows[end]) == _story(rows[end - 1]):
                end += 1
            yield Part("sizes", f"{size:,}", list(rows[:end]))
    yield Part("sizes", "all", list(rows))


def sources(rows: Sequence[Row]) -> Iterator[Part]:
    """Yield the rows of each source, and of all of them, if there are several."""
    if len({row["source"] for row in rows}) > 1:
        yield from _groups("sources", rows, lambda row: row["source"])
        yield Part("sources", "all sources", list(rows))


def files(rows: Sequence[Row]) -> Iterator[Part]:
    """Yield the written rows of each file, and of all of them."""
    written = [row for row in rows if row["source"] == "written"]
    if written:
        yield from _groups("files", written, lambda row: row["provenance"].partition(",")[0])
        yield Part("files", "all files", written)


def other_labels(rows: Sequence[Row], corpora: Mapping[str, str], config: str) -> Iterator[Part]:
    """Yield the rows that all corpora have, with the labels of each of them.

    Args:
        corpora: corpora of the same texts that other judges labelled, by the judge's name.
    """
    labelled = {name: _by_text(read_splits(place, config).train) for name, place in corpora.items()}
    shared = [row for row in rows if all(_text(row) in found for found in labelled.values())]
    if corpora and len(shared) < LEAST_ROWS:
        raise InputError(f"--labels: the corpora share only {len(shared)} train rows. Label the same texts.")
    if corpora:
        yield Part("labels", "the corpus", shared)
    for name, found in labelled.items():
        changed = [row | {key: found[_text(row)][key] for key in ("labels", "scores", "raw_labels")} for row in shared]
        yield Part("labels", name, changed)


def write_part(part: Part, validation: Sequence[Row], config: str, folder: Path) -> None:
    """Write a corpus folder with the part's train rows and the validation rows of the whole corpus."""
    with whole_folder(folder) as building:
        rows = ((split, row) for split, of_split in ((TRAIN, part.rows), (VALIDATION, validation)) for row in of_split)
        counts = write_splits(((split, _published(row)) for split, row in rows), config, building)
        write_manifest(building, {"stage": "curves", "rows": {config: counts}})


def _groups(kind: str, rows: Sequence[Row], name_of: Callable[[Row], str]) -> Iterator[Part]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(name_of(row), []).append(row)
    large = {name: of_name for name, of_name in found.items() if len(of_name) >= LEAST_ROWS}
    for name in sorted(large) if len(found) > 1 else ():
        yield Part(kind, name.removesuffix(".tsv").removesuffix(".jsonl"), large[name])


def _story(row: Row) -> str:
    return str(row.get("group") or row["narrative_id"])


def _text(row: Row) -> tuple[str, str]:
    return row["text"], row.get("context", "")


def _by_text(rows: Sequence[Row]) -> dict[tuple[str, str], Row]:
    return {_text(row): row for row in rows}


def _published(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "split"}
