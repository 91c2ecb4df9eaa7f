"""Where stories come from: the built-in tales, a JSONL file, or a Hub data set. All of it is checked before any use."""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dataset_builder.inputs import InputError
from dataset_builder.recipe import Narratives
from dataset_builder.schema import Narrative

TALES = Path(__file__).parent / "tales"
FIELDS = ("id", "title", "text")


def read_narratives(source: Narratives) -> list[Narrative]:
    """Read and check narratives.

    Raises:
        InputError: naming file and line of the first fault (broken JSON, missing or empty field, an id used twice).
    """
    if source.source == "tales":
        found = list(_tales())
    elif source.source.endswith((".jsonl", ".jsonl.gz")):
        found = list(_jsonl(Path(source.source), source.limit))
    else:
        found = list(_hub(source))
    found = found[: source.limit]
    if not found:
        raise InputError(f"{source.source}: no story in it. Give at least one with the fields {', '.join(FIELDS)}.")
    return found


def _tales() -> Iterator[Narrative]:
    for path in sorted(TALES.glob("*.txt")):
        title, _, text = path.read_text(encoding="utf-8").partition("\n")
        yield Narrative(id=path.stem, title=title.strip(), text=text.strip(), source="tales")


def _jsonl(path: Path, limit: int | None) -> Iterator[Narrative]:
    """Stories of a JSONL file, gzipped or not; reads no further than `limit` rows."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as lines:
            yield from _checked(_parsed(lines, path), path.name.split(".")[0], limit)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file. Give a .jsonl or .jsonl.gz with {', '.join(FIELDS)}.") from None
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error}). Is it whole, UTF-8, and gzip only if .gz?") from None


def _parsed(lines: Iterable[str], path: Path) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            yield place, json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(
                f"{place}: broken JSON ({error.msg} at column {error.colno}). Mend or delete it."
            ) from None


def _hub(source: Narratives) -> Iterator[Narrative]:
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub.errors import HfHubHTTPError

    try:
        rows = load_dataset(source.source, split="train", revision=source.revision)
    except (DatasetNotFoundError, FileNotFoundError, ValueError, ConnectionError, HfHubHTTPError) as error:
        first_line = str(error).splitlines()[0]
        raise InputError(
            f"narratives '{source.source}': neither 'tales', nor a .jsonl[.gz] file, nor a data set that loads "
            f"({first_line})."
        ) from None
    places = ((f"{source.source}, row {number}", row) for number, row in enumerate(rows))
    yield from _checked(places, source.source, source.limit)


def _checked(places: Iterable[tuple[str, Any]], source: str, limit: int | None) -> Iterator[Narrative]:
    """Turn raw rows into narratives or say which row is at fault."""
    seen: dict[str, str] = {}
    for place, row in places:
        if limit is not None and len(seen) == limit:
            return
        if not isinstance(row, dict):
            raise InputError(f"{place}: a story is an object with {', '.join(FIELDS)}; this is {type(row).__name__}.")
        for field in FIELDS:
            if field not in row:
                raise InputError(f"{place}: field '{field}' is missing. Every story needs {', '.join(FIELDS)}.")
            if not isinstance(row[field], str):
                raise InputError(f"{place}: field '{field}' must be text, found {type(row[field]).__name__}.")
            if any("\ud800" <= character <= "\udfff" for character in row[field]):
                raise InputError(f"{place}: field '{field}' holds half a character (a lone surrogate). Mend the file.")
            if not row[field].strip():
                raise InputError(f"{place}: field '{field}' is empty. Fill it or delete the story.")
        if "/" in row["id"]:
            raise InputError(
                f"{place}: id '{row['id']}' contains '/', which separates the parts of row ids. Rename it."
            )
        if row["id"] in seen:
            raise InputError(f"{place}: id '{row['id']}' was used at {seen[row['id']]}. Ids must be unique.")
        seen[row["id"]] = place
        yield Narrative(id=row["id"], title=row["title"].strip(), text=row["text"].strip(), source=source)
