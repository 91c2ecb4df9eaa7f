"""Reads stories from the built-in tales, files, or a Hub dataset, and checks all of them before use."""

import sys
from collections.abc import Iterable, Iterator
from heapq import nsmallest
from itertools import chain, islice
from pathlib import Path
from typing import Any

from dataset_builder.files.parquet_rows import read_rows
from dataset_builder.files.reading import json_lines, lines
from dataset_builder.files.texts import HELD_OUT_NAMES, SNIFFED_ROWS, not_texts, path_words
from dataset_builder.hashing import stable_hash
from dataset_builder.inputs import InputError, first_line
from dataset_builder.recipe import Narratives
from dataset_builder.schema import Item
from dataset_builder.text_hygiene import cleaned, damage_of

TALES = Path(__file__).parent / "tales"
FIELDS = ("id", "title", "text")
ORIGIN = ("book", "collection", "author", "translator", "license")  # columns that a story may have, kept in its fields
ENDINGS = (".jsonl", ".jsonl.gz", ".parquet")
MOST_CHARACTERS = 1_000_000  # of a story: about 170,000 words, more than any teacher reads
WIKIPLOTS, END_OF_STORY = ("plots", "titles"), "<EOS>"
Rows = Iterable[tuple[str, Any]]  # raw rows, each with its place (file and line)


def read_narratives(source: Narratives) -> list[Item]:
    """Read and check stories; `title` and `source` are their fields.

    Raises:
        InputError: naming file and line of the first fault (broken JSON, missing or empty field, an id used twice).
    """
    found: list[Item] = []
    sources: dict[str, str] = {}  # of each id
    ids: dict[str, str] = {}  # of each text
    repeated: list[str] = []
    for name in source.sources:
        rows, shown_name = _raw_rows(name, source.revision)
        longest = source.max_words or float("inf")
        fitting = (s for s in _checked(rows, shown_name) if source.min_words <= len(s.text.split()) <= longest)
        if source.draw == "hash" and source.limit:
            every = list(fitting)
            drawn = {story.id for story in nsmallest(source.limit, every, key=_rank)}
            stories = [story for story in every if story.id in drawn]
        else:
            stories = list(islice(fitting, source.limit))
        if not stories:
            lengths = f" of {source.min_words} to {source.max_words or 'any number of'} words"
            words = lengths if source.min_words or source.max_words else ""
            raise InputError(
                f"{name}: contains no story{words}. Pass at least one with the fields {', '.join(FIELDS)}."
            )
        if kind := not_texts([story.text for story in stories[:SNIFFED_ROWS]]):
            raise InputError(
                f"{name}: the field 'text' contains {kind} ({stories[0].text[:40]}, …) instead of stories."
            )
        for story in stories:
            if len(story.text) > MOST_CHARACTERS:
                raise InputError(
                    f"{name}: story '{story.id}' has {len(story.text):,} characters, more than {MOST_CHARACTERS:,}. "
                    "Split it, or set 'max_words' in the recipe's narratives to skip such stories."
                )
            if story.id in sources:
                raise InputError(f"{name}: the id '{story.id}' was used in {sources[story.id]}. Ids must be unique.")
            sources[story.id] = name
            if (first := ids.setdefault(story.text, story.id)) != story.id:
                repeated.append(f"'{story.id}' that of '{first}'")
        found += stories
    if repeated:
        print(
            f"note: {len(repeated)} of {len(found)} stories have the same text as another story "
            f"({', '.join(repeated[:3])}). The rows of both are built and may be in different splits: delete one of "
            "each.",
            file=sys.stderr,
        )
    return found


def _raw_rows(name: str, revision: str | None) -> tuple[Rows, str]:
    """Return the rows of a source, and its name in published rows: without any place of this machine."""
    path = Path(name)
    if name == "tales":
        return _tales(), name
    if all((path / part).is_file() for part in WIKIPLOTS):
        return _wikiplots(path), "WikiPlots"
    if name.endswith(ENDINGS):
        # With its folder, since many files are called `stories`. A home folder has its owner's name and is left out.
        folder = "" if path.absolute().parent == Path.home() else path.absolute().parent.name
        return _file_rows(path), f"{folder}/{path.name.split('.')[0]}".lstrip("/")
    if path.is_dir() and not (path / "README.md").exists():
        return chain.from_iterable(map(_file_rows, _train_files(path))), path.absolute().name
    if path.is_file():
        raise InputError(
            f"narratives '{name}': not one of {', '.join(ENDINGS)}, or a folder of them. Write one story per line, an "
            f"object with {', '.join(FIELDS)} (of a JSON list: jq -c '.[]' FILE)."
        )
    return _hub_rows(name, revision), path.absolute().name if path.is_dir() else name


def _tales() -> Rows:
    for path in sorted(TALES.glob("*.txt")):
        title, _, text = path.read_text(encoding="utf-8").partition("\n")
        yield str(path), {"id": path.stem, "title": title, "text": text}


def _wikiplots(folder: Path) -> Rows:
    """Read WikiPlots (github.com/markriedl/WikiPlots): `plots` has a sentence a line and <EOS> after each story."""
    plots, titles = folder / WIKIPLOTS[0], folder / WIKIPLOTS[1]
    names = lines(titles, "Pass the folder with the files plots and titles.")
    sentences: list[str] = []
    number = 0
    for place, line in lines(plots, "Pass the folder with the files plots and titles."):
        if line.strip() != END_OF_STORY:
            sentences.append(line.strip())
            continue
        _, title = next(names, ("", ""))
        if not title.strip():
            raise InputError(f"{place}: this story has no title in {titles}. Both files must be of one release.")
        yield place, {"id": f"wikiplots-{number}", "title": title.strip(), "text": " ".join(filter(None, sentences))}
        sentences, number = [], number + 1
    if sentences or any(True for _ in names):
        raise InputError(f"{plots}: does not have as many stories as {titles} has titles. Is the file whole?")


def _rank(story: Item) -> int:
    return stable_hash("narratives", story.id)


def _file_rows(path: Path) -> Rows:
    if not path.name.endswith(".parquet"):
        return json_lines(path, f"Pass a .jsonl or .jsonl.gz file with {', '.join(FIELDS)}.")
    return ((f"{path}, row {number}", row) for number, row in enumerate(read_rows(path)))


def _train_files(folder: Path) -> list[Path]:
    """The train files of a folder, at any depth: those called so, or all that are not held out by their names."""
    files = [path for path in sorted(folder.rglob("*")) if path.name.endswith(ENDINGS) and path.is_file()]
    kinds = {path.name.endswith(".parquet") for path in files}
    if len(kinds) != 1:
        found = "both .jsonl and .parquet files" if kinds else f"neither {', '.join(ENDINGS[:2])} nor .parquet files"
        raise InputError(
            f"narratives '{folder}': contains {found}. Pass stories as JSON Lines with {', '.join(FIELDS)}."
        )
    words = {path: path_words(path.relative_to(folder)) for path in files}
    train = [path for path in files if "train" in words[path]]
    train = train or [path for path in files if not HELD_OUT_NAMES & words[path]]
    if not train:
        raise InputError(
            f"narratives '{folder}': all files are named after validation or test splits. Pass training files."
        )
    return train


def _hub_rows(name: str, revision: str | None) -> Rows:
    from dataset_builder.files.data_sets import read_data_set  # here: `datasets` loads slowly

    try:
        rows = read_data_set(name, None, revision).rows("train")
    except InputError as error:
        raise InputError(
            f"narratives '{name}': neither 'tales', nor a .jsonl[.gz] file or folder, nor a dataset that can be loaded "
            f"({first_line(error)})."
        ) from None
    return ((f"{name}, row {number}", row) for number, row in enumerate(rows))


def _checked(rows: Rows, source: str) -> Iterator[Item]:
    """Turn raw rows into stories, or raise InputError with the place of the row that is at fault."""
    seen: dict[str, str] = {}
    for place, row in rows:
        if not isinstance(row, dict):
            raise InputError(
                f"{place}: expected an object with {', '.join(FIELDS)}, found {type(row).__name__}. Write "
                "one story per line (from a JSON list: jq -c '.[]' FILE)."
            )
        for field in FIELDS:
            if field not in row:
                raise InputError(f"{place}: field '{field}' is missing. Every story needs {', '.join(FIELDS)}.")
            if not isinstance(row[field], str):
                quoted = ": write it in quotes" if isinstance(row[field], int) else ""
                raise InputError(f"{place}: field '{field}' must be text, found {type(row[field]).__name__}{quoted}.")
            row[field] = cleaned(row[field])
            if damage := damage_of(row[field], one_line=field != "text"):
                raise InputError(f"{place}: field '{field}' contains {damage}. Correct the file.")
            if not row[field].strip():
                raise InputError(f"{place}: field '{field}' is empty. Fill it or delete the story.")
        if "/" in row["id"]:
            raise InputError(
                f"{place}: id '{row['id']}' contains '/', which separates the parts of row ids. Rename it."
            )
        if row["id"] in seen:
            raise InputError(f"{place}: id '{row['id']}' was used at {seen[row['id']]}. Ids must be unique.")
        seen[row["id"]] = place
        about = {key: row[key].strip() for key in ORIGIN if isinstance(row.get(key), str) and row[key].strip()}
        fields = {"title": row["title"].strip(), "source": source} | about
        yield Item(id=row["id"], text=row["text"].strip(), fields=fields)
