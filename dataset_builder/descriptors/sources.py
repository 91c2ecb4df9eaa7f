"""Reads texts without labels: only ids and texts from a file or folder, never from a held-out split."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dataset_builder.corpus import open_corpus
from dataset_builder.files.texts import HELD_OUT_NAMES, SNIFFED_ROWS, not_texts, path_words, texts_of
from dataset_builder.hashing import digest_of, stable_hash
from dataset_builder.inputs import InputError
from dataset_builder.parquet import MANIFEST, read_manifest
from dataset_builder.schema import CONFIGS, Item

TRAIN = "train"
TERMS = ("domain", "licence", "terms", "citation", "recipe", "revision")  # manifest keys to copy
ENDINGS = (".jsonl", ".jsonl.gz", ".tsv", ".tsv.gz", ".csv", ".csv.gz")
_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?…][\"”’'])\s+|(?<=[.!?…])\s+(?=[\"“‘'A-Z])")
_FIRST_PERSON = re.compile(r"\b(?:I|me|my|we|us|our)\b")
QUOTES = "\"“”‘’' "
SHORTEST, LONGEST = 4, 40  # words per sentence


@dataclass(frozen=True)
class Source:
    """Texts from one place: its name, the hashes of its files, and the terms in its manifest."""

    name: str
    texts: list[Item]
    files: dict[str, str]
    manifest: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return the entry for our manifest."""
        return {"texts": len(self.texts), "files": self.files, **self.manifest}


def read_sources(places: list[Path], column: str) -> list[Source]:
    """Return the texts of all places in order, including blank texts.

    Args:
        column: the field of the text in JSON Lines, or the name of the text column in a table's header.

    Raises:
        InputError: a place that is missing or in an unknown format, a held-out split, a line without its text
            (the message names file and line), or an id that occurs twice.
    """
    found: list[Source] = []
    seen: dict[str, str] = {}
    for place in places:
        source = _folder(place) if place.is_dir() else _file(place, column)
        if not source.texts:
            raise InputError(f"{place}: contains no text. Pass a file or folder with texts.")
        for text in source.texts:
            if text.id in seen:
                raise InputError(f"{place}: the id '{text.id}' occurs twice (also in {seen[text.id]}). Rename one.")
            seen[text.id] = str(place)
        found.append(source)
    return found


def first_person_sentences(source: Source, most: int, seed: int) -> Source:
    """Return the first-person sentences of stories, of 4 to 40 words; at most a given number, drawn by hash."""
    found = {
        sentence: Item(id=f"{story.id}/s{number:04d}", text=sentence, fields=story.fields)
        for story in source.texts
        for number, part in enumerate(_BETWEEN_SENTENCES.split(" ".join(story.text.split())))
        if SHORTEST <= len((sentence := part.strip(QUOTES)).split()) <= LONGEST and _FIRST_PERSON.search(sentence)
    }
    if not found:
        raise InputError(f"{source.name}: contains no first-person sentence. Pass stories to --stories.")
    drawn = sorted(found.values(), key=lambda text: (stable_hash(seed, "spoken", text.text), text.id))[:most]
    return replace(source, texts=sorted(drawn, key=lambda text: text.id))


def _folder(place: Path) -> Source:
    """Return the train split of a prepared domain set or corpus; of two configs, the one without situations."""
    corpus = open_corpus(place)
    config = next((name for name in CONFIGS if name in corpus.files), None)
    if config is None or TRAIN not in corpus.files[config]:
        found = ", ".join(f"{config}/{split}" for config, splits in corpus.files.items() for split in splits)
        raise InputError(
            f"{place}: contains no train split of {', '.join(CONFIGS)} (found {found}). Held-out splits are not "
            "described."
        )
    manifest = read_manifest(corpus.folder) if (corpus.folder / MANIFEST).exists() else {}
    name = str(manifest.get("domain") or manifest.get("recipe") or place.name)
    texts = []
    for number, row in enumerate(corpus.rows(config, TRAIN, columns=["id", "text"])):
        key, text = row.get("id"), row.get("text", 0)
        if key is None or not (text is None or isinstance(text, str)):  # a null is a blank text: left out and counted
            raise InputError(f"{place}, {config}/{TRAIN}, row {number}: no 'id', or 'text' is not text.")
        texts.append(Item(id=str(key), text=text or "", fields={"source": name}))
    if kind := not_texts([text.text for text in texts[:SNIFFED_ROWS]]):
        raise InputError(f"{place}: the column 'text' contains {kind} ({texts[0].text[:40]}, …), not texts.")
    files = {path.relative_to(corpus.folder).as_posix(): digest_of(path) for path in corpus.files[config][TRAIN]}
    return Source(name, texts, files, {key: manifest[key] for key in TERMS if key in manifest})


def _file(place: Path, column: str) -> Source:
    ending = next((ending for ending in ENDINGS if place.name.endswith(ending)), None)
    if ending is None:
        raise InputError(f"{place}: not a {', '.join(ENDINGS)} file or a folder with <config>/train-*.parquet.")
    stem = place.name.removesuffix(ending)
    if held_out := HELD_OUT_NAMES & path_words(Path(stem)):
        raise InputError(
            f"{place}: '{held_out.pop()}' in its name means that it is a validation or test split, which must not be "
            "used. Pass train texts."
        )
    folder = place.absolute().parent.name
    name = f"{folder}/{stem}" if folder else stem
    what = "Name the field with --column, or pass other texts with --texts."
    texts = [
        Item(id=id_ or f"{name}/{int(row.rpartition(' ')[2]):07d}", text=text, fields={"source": name})
        for row, id_, text in texts_of(place, column, what)
    ]
    return Source(name, texts, {place.name: digest_of(place)}, {})
