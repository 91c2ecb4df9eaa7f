"""Computes the metrics of the report for human text and for corpora, next to reference values of human text.

A data folder contains `goemotions/train.tsv` (text, label numbers, id), `emobank/emobank.csv` (id, split, V, A, D,
text) and `isear/train.tsv` and `dev.tsv` (key, emotion, text); missing sets are left out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dataset_builder.analysis.corpus_metrics import CorpusMetrics, Encode, measure_config
from dataset_builder.analysis.survey import COLUMNS, Survey, survey
from dataset_builder.corpus import open_corpus
from dataset_builder.domains.goemotions import file_comments
from dataset_builder.files.reading import named_columns, package_table
from dataset_builder.inputs import InputError
from dataset_builder.markdown import table
from dataset_builder.taxonomy import LABEL_TO_INDEX

REFERENCE = Path(__file__).parent / "reference_values.tsv"
PARTS = ("neutral", "admiration", "gratitude", "love", "anger")
ISEAR = "isear"
# How far a value may be from a rounded reference value: the sample and the order of the texts before gzip differ.
TOLERANCE = {"gzip_ratio": 0.02, "tokens_per_text": 0.06, "ngd": 0.01, "shared_four_grams": 0.003}
TOLERANCE |= {"texts_with_shared_four_gram": 0.006, "exact_duplicates": 0.0001, "near_duplicates": 0.0001}
SAMPLING = 0.003  # of distinct-n
NOTES = {
    "all": "Tokens are lower-case words and single punctuation marks. Duplicates are counted in the order of the file, "
    "near ones by the exact Jaccard of token 3-grams with any earlier text. Distinct-n and 4-grams are of 10,000 texts "
    "drawn by hash; gzip (level 9) reads the texts in the order of their hashes, a text a line. With words alone, "
    "distinct-2 of GoEmotions would be .526 and exact duplicates 1.28 %. Another draw moves the share of texts with a "
    "shared 4-gram by .006, another order gzip by .01; EmoBank's own order, by document, gives 2.68. "
    "GoEmotions' texts are without the CSV quotes of its files.",
    ISEAR: "the reference is of all 7,666 reports; here are those of the train and development subjects alone, cleaned",
}


def read_reference() -> dict[str, dict[str, float]]:
    """Return reference values of human text: {set: {measure: value}}; what was not measured is left out."""
    rows = package_table(REFERENCE)
    return {row["set"]: {key: float(row[key]) for key in row if key != "set" and row[key]} for row in rows}


def human_rows(data: Path) -> dict[str, list[dict[str, Any]]]:
    """Return rows by set, of the sets in a folder. Raises InputError if none is there, or a file is malformed."""
    found: dict[str, list[dict[str, Any]]] = {}
    if (data / "goemotions/train.tsv").exists():
        found["goemotions"] = list(goemotions(data))
        for part in PARTS:
            label = LABEL_TO_INDEX[part]
            found[f"goemotions-{part}"] = [row for row in found["goemotions"] if label in row["labels"]]
    if (data / "emobank/emobank.csv").exists():
        found["emobank"] = list(_table(data / "emobank/emobank.csv", "id"))
    files = [path for path in (data / "isear/train.tsv", data / "isear/dev.tsv") if path.exists()]
    if files:
        found[ISEAR] = [row for path in files for row in _table(path, "key")]
    if not found:
        raise InputError(f"{data}: contains none of goemotions/train.tsv, emobank/emobank.csv and isear/train.tsv.")
    return found


def goemotions(data: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of GoEmotions' official train split. Raises InputError if a line is not in its format."""
    for found in file_comments(data / "goemotions/train.tsv"):
        yield {"id": found.id, "text": found.text, "labels": found.labels}


def _table(path: Path, key: str) -> Iterator[dict[str, Any]]:
    for place, row in named_columns(path, {key: (key,), "text": ("text",)}):
        if not row[key] or not row["text"]:
            raise InputError(f"{place}: '{key}' or 'text' is missing.")
        yield {"id": row[key], "text": row["text"]}


def measure(data: Path | None, corpora: dict[str, str], encode: Encode | None) -> tuple[dict[str, Any], str]:
    """Return a result file's content and a page: every set and corpus, next to the reference values.

    Args:
        data: the folder of human text, or None.
        corpora: names and places of corpora; each of their configs with labels is measured.
    """
    reference = read_reference()
    measured: dict[str, CorpusMetrics] = {}
    for name, rows in (human_rows(data) if data else {}).items():
        whole_set = name in ("goemotions", "emobank", ISEAR)
        measured[name] = measure_config(survey(rows, name), encode if whole_set else None)
    for name, place in corpora.items():
        for config, found in _surveys(place):
            measured[f"{name}-{config}"] = measure_config(found, encode)
    metrics = {
        f"{name}_{metric}": value | _beside(metric, value["value"], reference.get(name, {}))
        for name, made in measured.items()
        for metric, value in made.metrics.items()
    }
    content = {
        "name": "corpus-measures",
        "metrics": metrics,
        "support": {name: int(made.metrics["rows"]["value"]) for name, made in measured.items()},
        "reference": f"dataset_builder/analysis/{REFERENCE.name}",
        "outside_tolerance": [name for name, value in metrics.items() if not value.get("within", True)],
        "notes": NOTES,
        "seconds": {name: made.seconds for name, made in measured.items()},
    }
    return content, _page(measured, reference)


def _surveys(place: str) -> Iterator[tuple[str, Survey]]:
    corpus = open_corpus(place)
    for config in corpus.files:
        found = survey(corpus.rows(config, columns=COLUMNS), f"{place} {config}")
        if found.labelled:
            yield config, found


def _beside(metric: str, value: float, reference: dict[str, float]) -> dict[str, Any]:
    if metric not in reference:
        return {}
    expected = reference[metric]
    return {"reference": expected, "within": abs(value - expected) <= TOLERANCE.get(metric, SAMPLING) + 1e-9}


def _page(measured: dict[str, CorpusMetrics], reference: dict[str, dict[str, float]]) -> str:
    compared = list(dict.fromkeys(metric for values in reference.values() for metric in values if metric != "texts"))
    metrics = dict.fromkeys(metric for made in measured.values() for metric in made.metrics)
    others = [metric for metric in metrics if metric not in compared]
    parts = [
        "# Corpora beside human text",
        "Ours, with the reference value in brackets where there is one. " + NOTES["all"],
        f"`{ISEAR}`: {NOTES[ISEAR]}.",
        _metrics_table(compared, measured, reference),
        "## What has no reference",
        "Sizes differ, so only values `of_15k_tokens` and `of_60_kb` and those that need no fixed size compare.",
        _metrics_table(others, measured, {}),
    ]
    return "\n\n".join(parts) + "\n"


def _metrics_table(
    metrics: list[str], measured: dict[str, CorpusMetrics], reference: dict[str, dict[str, float]]
) -> str:
    def shown(name: str, metric: str) -> str:
        value = measured[name].metrics.get(metric, {}).get("value")
        text = "" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
        expected = reference.get(name, {}).get(metric)
        return text + (f" ({expected:g})" if expected is not None else "")

    rows = [(f"`{metric}`", *(shown(name, metric) for name in measured)) for metric in metrics]
    return table(("measure", *measured), rows)
