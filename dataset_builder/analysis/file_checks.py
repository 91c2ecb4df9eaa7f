"""Checks the metadata of a corpus's files and card: the number of rows and the names of the classes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dataset_builder.corpus import Corpus
from dataset_builder.files.parquet_rows import open_parquet
from dataset_builder.files.reading import json_file
from dataset_builder.inputs import SHOWN, InputError, read_card


def count_faults(corpus: Corpus) -> Iterator[tuple[str, str]]:
    """Yield configs whose row counts differ from the corpus's manifest, each with a sentence."""
    path = corpus.folder / "manifest.json"
    manifest = json_file(path) if path.exists() else {}
    rows = manifest.get("rows") if isinstance(manifest, dict) else None
    for config, wanted in rows.items() if isinstance(rows, dict) else ():
        found = corpus.count(config) if config in corpus.files else {}
        if found != wanted:
            yield config, f"manifest.json counts {wanted}, but the files contain {found or 'nothing'}"


def class_names(corpus: Corpus, config: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the names of a config's classes in each Parquet file and in the card, each with its place."""
    for path in (path for paths in corpus.files[config].values() for path in paths):
        notes = (open_parquet(path).schema_arrow.metadata or {}).get(b"huggingface", b"{}")
        try:
            names = _names(json.loads(notes).get("info", {}).get("features", {}).get("labels"), "feature", "names")
        except (ValueError, RecursionError, AttributeError):
            raise InputError(f"{path}: its `datasets` metadata is invalid. Build or download it again.") from None
        if names:
            yield f"{config}/{path.name}", names
    if in_card := _card_names(corpus.folder / "README.md").get(config):
        yield "README.md", in_card


def _card_names(path: Path) -> dict[str, list[str]]:
    """Return the class names of each config in a card's YAML, if it lists them in one of the formats of `datasets`."""
    infos = read_card(path).get("dataset_info", []) if path.exists() else []
    found = {}
    try:
        for info in infos if isinstance(infos, list) else [infos]:
            for column in info.get("features", []):
                kind = "list" if "list" in column else "sequence"
                if column.get("name") == "labels" and (names := _names(column, kind, "class_label", "names")):
                    found[info.get("config_name", "default")] = names
    except (AttributeError, TypeError, ValueError):
        raise InputError(
            f"{path}: its dataset_info is not in the format of `datasets`. Correct or delete it."
        ) from None
    return found


def _names(value: Any, *keys: str) -> list[str]:
    """Return the names below these keys, a list or a mapping of numbers to names; none if a key is missing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    names = [value[key] for key in sorted(value, key=int)] if isinstance(value, dict) else value or []
    return [str(name)[:SHOWN] for name in names]
