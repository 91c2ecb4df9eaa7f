"""The benchmarks, one entry each: where the rows come from, which labels, what the measure is called.

Adding one is adding a loader of (text, situation, gold labels) rows and an entry of the table.
"""

import csv
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import DatasetDict, load_dataset
from datasets.exceptions import DatasetNotFoundError
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from dataset_builder.inputs import InputError, first_line
from dataset_builder.taxonomy import LABELS

GOEMOTIONS = "google-research-datasets/go_emotions"


@dataclass(frozen=True)
class Rows:
    """What a model is measured on. `gold` is (rows, 28), 0 or 1; `contexts` is None where there are no situations."""

    texts: list[str]
    contexts: list[str] | None
    gold: np.ndarray
    revision: str


@dataclass(frozen=True)
class Benchmark:
    """A test set: `load(place, config)` gives its rows, from `place` or, where that is None, from the Hub."""

    name: str
    title: str
    load: Callable[[str | None, str], Rows]
    headline: str
    licence: str
    citation: str


def goemotions(place: str | None, config: str) -> Rows:
    """GoEmotions' official test split (5,427 rows, 28 labels), from a folder of the official TSV files or the Hub."""
    del config
    if place is not None:
        return _goemotions_tsv(Path(place))
    rows = load_splits(GOEMOTIONS, "simplified", None)["test"]
    return Rows(list(rows["text"]), None, _multi_hot(rows["labels"]), str(HfApi().dataset_info(GOEMOTIONS).sha))


def _goemotions_tsv(folder: Path) -> Rows:
    """Read `test.tsv` and `emotions.txt`; quotes are taken off as the Hub's copy has them.

    Raises:
        InputError: a file is missing, the labels are in another order, or a line is malformed.
    """
    path, names = folder / "test.tsv", folder / "emotions.txt"
    for file in (path, names):
        if not file.exists():
            raise InputError(f"{file}: no such file. --data takes the folder of GoEmotions' official TSV files.")
    if tuple(names.read_text(encoding="utf-8").split()) != LABELS:
        raise InputError(f"{names}: not the 28 labels in GoEmotions' order. Take the official file.")
    texts, labels = [], []
    with open(path, encoding="utf-8", newline="") as lines:
        for number, fields in enumerate(csv.reader(lines, delimiter="\t"), start=1):
            if len(fields) != 3 or not all(part.isdigit() and int(part) < 28 for part in fields[1].split(",")):
                raise InputError(f"{path}, line {number}: expected text, label numbers 0-27 and an id, tab-separated.")
            texts.append(fields[0])
            labels.append([int(part) for part in fields[1].split(",")])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Rows(texts, None, _multi_hot(labels), f"test.tsv sha256 {digest[:16]}")


def own(place: str | None, config: str) -> Rows:
    """The test split of the corpus that a model was trained on, in the model's own config."""
    if place is None:
        raise InputError("benchmark 'own': give the corpus, a folder or Hub id, with --data.")
    corpus = load_splits(place, config, None)
    if "test" not in corpus:
        raise InputError(f"data set '{place}', config '{config}': has no test rows. Build it from more stories.")
    rows = corpus["test"]
    contexts = list(rows["context"]) if config == "contextual" else None
    manifest = Path(place) / "manifest.json"
    return Rows(list(rows["text"]), contexts, _multi_hot(rows["labels"]), _revision_of(manifest) or place)


def _revision_of(manifest: Path) -> str | None:
    return str(json.loads(manifest.read_text(encoding="utf-8"))["revision"]) if manifest.exists() else None


def load_splits(place: str, config: str, revision: str | None) -> DatasetDict:
    """`load_dataset` with a clear error. Raises InputError when nothing there loads."""
    try:
        return load_dataset(place, config, revision=revision)
    except (DatasetNotFoundError, FileNotFoundError, ValueError, ConnectionError, HfHubHTTPError) as error:
        raise InputError(
            f"data set '{place}', config '{config}': does not load ({first_line(error)}). Give a folder with "
            "--data, or check the network and HF_ENDPOINT."
        ) from None


def _multi_hot(labels: list[list[int]]) -> np.ndarray:
    gold = np.zeros((len(labels), len(LABELS)), dtype=np.int8)
    for row, indices in enumerate(labels):
        gold[row, indices] = 1
    return gold


BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            name="goemotions",
            title="GoEmotions test, 28 labels",
            load=goemotions,
            headline="macro_f1",
            licence="cc-by-4.0",
            citation="Demszky et al. 2020, arXiv 2005.00547",
        ),
        Benchmark(
            name="own",
            title="The corpus's own test split",
            load=own,
            headline="macro_f1",
            licence="apache-2.0",
            citation="this project",
        ),
    )
}


def find(name: str) -> Benchmark:
    """The benchmark of this name. Raises InputError with the names there are."""
    if name not in BENCHMARKS:
        raise InputError(f"unknown benchmark '{name}'. Known: {', '.join(sorted(BENCHMARKS))}.")
    return BENCHMARKS[name]
