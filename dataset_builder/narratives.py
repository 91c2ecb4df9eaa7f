"""Where stories come from: the built-in tales, a JSONL file, or a Hub data set. All of it is checked before any use."""

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from dataset_builder.files.reading import json_lines
from dataset_builder.files.text_hygiene import cleaned, damage_of
from dataset_builder.files.texts import HELD_OUT_NAMES, SNIFFED_ROWS, not_texts, path_words
from dataset_builder.inputs import InputError, first_line
from dataset_builder.recipe import Narratives
from dataset_builder.schema import Item

TALES = Path(__file__).parent / "tales"
FIELDS = ("id", "title", "text")
ENDINGS = (".jsonl", ".jsonl.gz", ".parquet")
LONGEST = 1_000_000  # characters of a story: about 170,000 words, more than any teacher reads


def read_narratives(source: Narratives) -> list[Item]:
    """Read and check narratives.

    Raises:
        InputError: naming file and line of the first fault (broken JSON, missing or empty field, an id used twice).
    """
    found: list[Item] = []
    places: dict[str, str] = {}
    texts: dict[str, str] = {}
    twins: list[str] = []
    for name in source.sources:
        stories = list(islice(_fitting(_of_source(name, source.revision), source), source.limit))
        if not stories:
            lengths = f" of {source.min_words} to {source.max_words or 'any number of'} words"
            words = lengths if source.min_words or source.max_words else ""
            raise InputError(f"{name}: no story{words} in it. Give at least one with the fields {', '.join(FIELDS)}.")
        if kind := not_texts([story.text for story in stories[:SNIFFED_ROWS]]):
            raise InputError(f"{name}: the field 'text' holds {kind} ({stories[0].text[:40]}, …) and no stories.")
        for story in stories:
            if len(story.text) > LONGEST:
                raise InputError(
                    f"{name}: story '{story.id}' has {len(story.text):,} characters, more than {LONGEST:,}. Split it, "
                    "or set 'max_words' in the recipe's narratives to pass over such stories."
                )
            if story.id in places:
                raise InputError(f"{name}: the id '{story.id}' was used in {places[story.id]}. Ids must be unique.")
            places[story.id] = name
            if (first := texts.setdefault(story.text, story.id)) != story.id:
                twins.append(f"'{story.id}' that of '{first}'")
        found += stories
    if twins:
        print(
            f"note: {len(twins)} of {len(found)} stories have the text of another ({', '.join(twins[:3])}). Rows of "
            "both are made and may come into different splits: delete one of each.",
            file=sys.stderr,
        )
    return found


def _of_source(name: str, revision: str | None) -> Iterator[Item]:
    if name == "tales":
        return _tales()
    path = Path(name)
    if name.endswith(ENDINGS):
        return _checked(_rows(path), _name(path))
    if path.is_dir() and not (path / "README.md").exists():
        return _folder(path)
    if path.is_file():
        raise InputError(
            f"narratives '{name}': not one of {', '.join(ENDINGS)}, or a folder of them. Write one story a line, an "
            f"object with {', '.join(FIELDS)} (of a JSON list: jq -c '.[]' FILE)."
        )
    return _hub(name, revision)


def _fitting(stories: Iterable[Item], source: Narratives) -> Iterator[Item]:
    """Stories of the lengths that the recipe wants."""
    for story in stories:
        if source.min_words <= len(story.text.split()) <= (source.max_words or float("inf")):
            yield story


def _tales() -> Iterator[Item]:
    for path in sorted(TALES.glob("*.txt")):
        title, _, text = path.read_text(encoding="utf-8").partition("\n")
        yield Item(id=path.stem, text=text.strip(), fields={"title": title.strip(), "source": "tales"})


def _folder(folder: Path) -> Iterator[Item]:
    """Stories of all train files of a folder: `.jsonl[.gz]` or `.parquet`, below it at any depth."""
    files = [path for path in sorted(folder.rglob("*")) if path.name.endswith(ENDINGS) and path.is_file()]
    kinds = {path.name.endswith(".parquet") for path in files}
    if len(kinds) != 1:
        found = "both .jsonl and .parquet files" if kinds else f"neither {', '.join(ENDINGS[:2])} nor .parquet files"
        raise InputError(f"narratives '{folder}': holds {found}. Give stories as JSON lines with {', '.join(FIELDS)}.")
    words = {path: path_words(path.relative_to(folder)) for path in files}
    of_train = [path for path in files if "train" in words[path]]
    of_train = of_train or [path for path in files if not HELD_OUT_NAMES & words[path]]
    if not of_train:
        raise InputError(f"narratives '{folder}': all files are of held-out splits by their names. Give train files.")
    name = folder.absolute().name  # rows are published: no place of this machine
    yield from _checked((row for path in of_train for row in _rows(path)), name)


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    if not path.name.endswith(".parquet"):
        return json_lines(path, f"Give a .jsonl or .jsonl.gz with {', '.join(FIELDS)}.")

    from dataset_builder.corpus import read_rows

    return ((f"{path}, row {number}", row) for number, row in enumerate(read_rows(path)))


def _name(path: Path) -> str:
    """What a file is called in rows, which are published: with its folder, since many are called `stories`.

    The name of a home folder is its owner's and is left out.
    """
    folder = "" if path.absolute().parent == Path.home() else path.absolute().parent.name
    return f"{folder}/{path.name.split('.')[0]}" if folder else path.name.split(".")[0]


def _hub(name: str, revision: str | None) -> Iterator[Item]:
    from dataset_builder.files.data_sets import read_data_set

    try:
        rows = read_data_set(name, None, revision).rows("train")
    except InputError as error:
        raise InputError(
            f"narratives '{name}': neither 'tales', nor a .jsonl[.gz] file or folder, nor a data set that loads "
            f"({first_line(error)})."
        ) from None
    places = ((f"{name}, row {number}", row) for number, row in enumerate(rows))
    yield from _checked(places, Path(name).absolute().name if Path(name).is_dir() else name)


def _checked(places: Iterable[tuple[str, Any]], source: str) -> Iterator[Item]:
    """Turn raw rows into narratives or say which row is at fault."""
    seen: dict[str, str] = {}
    for place, row in places:
        if not isinstance(row, dict):
            raise InputError(
                f"{place}: a story is an object with {', '.join(FIELDS)}; this is {type(row).__name__}. Write "
                "one story a line (of a JSON list: jq -c '.[]' FILE)."
            )
        for field in FIELDS:
            if field not in row:
                raise InputError(f"{place}: field '{field}' is missing. Every story needs {', '.join(FIELDS)}.")
            if not isinstance(row[field], str):
                quoted = ": write it in quotes" if isinstance(row[field], int) else ""
                raise InputError(f"{place}: field '{field}' must be text, found {type(row[field]).__name__}{quoted}.")
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
        fields = {"title": row["title"].strip(), "source": source}
        yield Item(id=row["id"], text=row["text"].strip(), fields=fields)
