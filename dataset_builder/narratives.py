"""Where stories come from: the built-in tales, a JSONL file, or a Hub data set. All of it is checked before any use."""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from dataset_builder.inputs import InputError, first_line
from dataset_builder.recipe import Narratives
from dataset_builder.schema import Narrative
from dataset_builder.text_hygiene import cleaned, damage_of

TALES = Path(__file__).parent / "tales"
FIELDS = ("id", "title", "text")


def read_narratives(source: Narratives) -> list[Narrative]:
    """Read and check narratives.

    Raises:
        InputError: naming file and line of the first fault (broken JSON, missing or empty field, an id used twice).
    """
    found: list[Narrative] = []
    places: dict[str, str] = {}
    for name in source.sources:
        stories = list(islice(_fitting(_of_source(name, source.revision), source), source.limit))
        if not stories:
            lengths = f" of {source.min_words} to {source.max_words or 'any number of'} words"
            words = lengths if source.min_words or source.max_words else ""
            raise InputError(f"{name}: no story{words} in it. Give at least one with the fields {', '.join(FIELDS)}.")
        for story in stories:
            if story.id in places:
                raise InputError(f"{name}: the id '{story.id}' was used in {places[story.id]}. Ids must be unique.")
            places[story.id] = name
        found += stories
    return found


def _of_source(name: str, revision: str | None) -> Iterator[Narrative]:
    if name == "tales":
        return _tales()
    return _jsonl(Path(name)) if name.endswith((".jsonl", ".jsonl.gz")) else _hub(name, revision)


def _fitting(stories: Iterable[Narrative], source: Narratives) -> Iterator[Narrative]:
    """Stories of the lengths that the recipe wants."""
    for story in stories:
        if source.min_words <= len(story.text.split()) <= (source.max_words or float("inf")):
            yield story


def _tales() -> Iterator[Narrative]:
    for path in sorted(TALES.glob("*.txt")):
        title, _, text = path.read_text(encoding="utf-8").partition("\n")
        yield Narrative(id=path.stem, title=title.strip(), text=text.strip(), source="tales")


def _jsonl(path: Path) -> Iterator[Narrative]:
    """Stories of a JSONL file, gzipped or not, read as they are asked for."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as lines:
            yield from _checked(_parsed(lines, path), _name(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file. Give a .jsonl or .jsonl.gz with {', '.join(FIELDS)}.") from None
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error}). Is it whole, UTF-8, and gzip only if .gz?") from None


def _name(path: Path) -> str:
    """What a file is called in rows: with its folder, since many are called `stories`."""
    folder = path.absolute().parent.name
    return f"{folder}/{path.name.split('.')[0]}" if folder else path.name.split(".")[0]


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


def _hub(name: str, revision: str | None) -> Iterator[Narrative]:
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub.errors import HfHubHTTPError

    try:
        rows = load_dataset(name, split="train", revision=revision)
    except (DatasetNotFoundError, FileNotFoundError, ValueError, ConnectionError, HfHubHTTPError) as error:
        raise InputError(
            f"narratives '{name}': neither 'tales', nor a .jsonl[.gz] file, nor a data set that loads "
            f"({first_line(error)})."
        ) from None
    places = ((f"{name}, row {number}", row) for number, row in enumerate(rows))
    yield from _checked(places, name)


def _checked(places: Iterable[tuple[str, Any]], source: str) -> Iterator[Narrative]:
    """Turn raw rows into narratives or say which row is at fault."""
    seen: dict[str, str] = {}
    for place, row in places:
        if not isinstance(row, dict):
            raise InputError(f"{place}: a story is an object with {', '.join(FIELDS)}; this is {type(row).__name__}.")
        for field in FIELDS:
            if field not in row:
                raise InputError(f"{place}: field '{field}' is missing. Every story needs {', '.join(FIELDS)}.")
            if not isinstance(row[field], str):
                raise InputError(f"{place}: field '{field}' must be text, found {type(row[field]).__name__}.")
            row[field] = cleaned(row[field])
            if damage := damage_of(row[field], one_line=field != "text"):
                raise InputError(f"{place}: field '{field}' holds {damage}. Mend the file.")
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
