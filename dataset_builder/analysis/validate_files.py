"""Columns, types and class names of a corpus's files and card, compared with those that are published."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dataset_builder.corpus import Corpus, open_parquet
from dataset_builder.files.shards import read_json
from dataset_builder.inputs import SHOWN, InputError, read_card


def count_faults(corpus: Corpus) -> Iterator[tuple[str, str]]:
    """Configs whose files do not hold the rows that the corpus's manifest counts, each with a sentence."""
    path = corpus.folder / "manifest.json"
    manifest = read_json(path) if path.exists() else {}
    rows = manifest.get("rows") if isinstance(manifest, dict) else None
    for config, wanted in rows.items() if isinstance(rows, dict) else ():
        there = corpus.count(config) if config in corpus.files else {}
        if there != wanted:
            yield config, f"manifest.json counts {wanted}, and the files hold {there or 'nothing'}"


def names_of_classes(corpus: Corpus, config: str) -> Iterator[tuple[str, list[str]]]:
    """Where the classes of a config are named, and how: in the files' notes and in the card."""
    for path in (path for paths in corpus.files[config].values() for path in paths):
        metadata = open_parquet(path).schema_arrow.metadata or {}
        try:
            names = _class_names(json.loads(metadata.get(b"huggingface", b"{}")))
        except (ValueError, RecursionError, AttributeError):
            raise InputError(f"{path}: its notes for `datasets` are broken. Build or download it again.") from None
        if names:
            yield f"{config}/{path.name}", names
    if names := _card_names(corpus).get(config):
        yield "README.md", names


def _class_names(metadata: Mapping[str, Any]) -> list[str] | None:
    """Class names of the column `labels` in what `datasets` writes into a file."""
    labels = metadata.get("info", {}).get("features", {}).get("labels", {})
    feature = labels.get("feature", {}) if isinstance(labels, dict) else {}
    return feature.get("names") if isinstance(feature, dict) else None


def _card_names(corpus: Corpus) -> dict[str, list[str]]:
    """Class names of each config in the card's YAML, where it has them in one of the forms of `datasets`."""
    path = corpus.folder / "README.md"
    card = read_card(path) if path.exists() else {}
    infos = card.get("dataset_info", [])
    found = {}
    try:
        for info in infos if isinstance(infos, list) else [infos]:
            for column in info.get("features", []):
                inner = column.get("list", column.get("sequence")) if column.get("name") == "labels" else None
                names = inner.get("class_label", {}).get("names") if isinstance(inner, dict) else None
                if isinstance(names, dict):
                    names = [names[key] for key in sorted(names, key=int)]
                if names:
                    found[info.get("config_name", "default")] = [str(name)[:SHOWN] for name in names]
    except (AttributeError, TypeError, ValueError):
        raise InputError(f"{path}: its dataset_info is not of the form of `datasets`. Mend or delete it.") from None
    return found
