"""The corpus in published/, as somebody loads it who has cloned the repository."""

from collections import defaultdict
from pathlib import Path

import pytest
from datasets import Dataset, load_dataset

from dataset_builder.held_out import everyday, is_contrast_test
from dataset_builder.taxonomy import LABELS
from tests.conftest import ROOT

CORPUS = ROOT / "published" / "emo-pillars"
SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module", params=["contextless", "contextual"])
def rows(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Dataset]]:
    cache = str(tmp_path_factory.mktemp("datasets"))
    found = load_dataset(str(CORPUS), request.param, cache_dir=cache)
    return request.param, {split: found[split] for split in SPLITS}


def test_it_is_large_enough_and_small_enough(rows: tuple[str, dict[str, Dataset]]) -> None:
    config, splits = rows
    assert sum(map(len, splits.values())) >= {"contextless": 60_000, "contextual": 20_000}[config]
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) <= 20_000_000


def test_rows_that_belong_together_are_in_one_split(rows: tuple[str, dict[str, Dataset]]) -> None:
    where: dict[str, set[str]] = defaultdict(set)
    for split, data in rows[1].items():
        for column in ("group", "narrative_id"):
            for value in data[column]:
                if value:
                    where[f"{column} {value}"].add(split)
    assert not [name for name, found in where.items() if len(found) > 1]


def test_no_row_is_of_a_test_set(rows: tuple[str, dict[str, Dataset]]) -> None:
    tests = {row.text for row in everyday()}
    for data in rows[1].values():
        assert not [text for text in data["text"] if text in tests or is_contrast_test(text)]


def test_every_row_says_where_it_is_from_and_what_it_expresses(rows: tuple[str, dict[str, Dataset]]) -> None:
    config, splits = rows
    for data in splits.values():
        assert data.features["labels"].feature.names == list(LABELS)
        assert set(data["source"]) <= {"written", "collected", "quoted"}
        assert all(data["labels"])
        assert all(data["provenance"])
        assert config == "contextless" or all(data["context"])


def test_paths_of_a_machine_are_not_in_it() -> None:
    for name in ("manifest.json", "README.md"):
        assert "/work/" not in Path(CORPUS, name).read_text(encoding="utf-8")
