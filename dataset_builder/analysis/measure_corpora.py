"""Our measures on human text and on corpora, beside the reference values: what a value of a synthetic corpus means.

A folder of data holds `goemotions/train.tsv` (text, label numbers, id), `emobank/emobank.csv` (id, split, V, A, D,
text) and `isear/train.tsv` and `dev.tsv` (key, emotion, text); what is not there is left out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dataset_builder.analysis.corpus_metrics import Described, Encode, describe
from dataset_builder.analysis.survey import COLUMNS, Survey, survey
from dataset_builder.corpus import open_corpus
from dataset_builder.domains.goemotions import file_comments
from dataset_builder.files.reading import named_columns, package_table
from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import LABEL_TO_INDEX

REFERENCE = Path(__file__).parent / "reference_values.tsv"
PARTS = ("neutral", "admiration", "gratitude", "love", "anger")
ISEAR = "isear"
# How far a value may be from a rounded reference: another random sample, another order of the texts before gzip.
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
    """Reference values of human text: {set: {measure: value}}; what was not measured is left out."""
    rows = package_table(REFERENCE)
    return {row["set"]: {key: float(row[key]) for key in row if key != "set" and row[key]} for row in rows}


def human_rows(data: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of the sets that are in a folder, as the survey takes them.

    Raises:
        InputError: none is there, or a file is not in its format.
    """
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
        raise InputError(f"{data}: neither goemotions/train.tsv nor emobank/emobank.csv nor isear/train.tsv is there.")
    return found


def goemotions(data: Path) -> Iterator[dict[str, Any]]:
    """The rows of GoEmotions' official train split. Raises InputError where a line is not in its format."""
    for found in file_comments(data / "goemotions/train.tsv"):
        yield {"id": found.id, "text": found.text, "labels": found.labels}


def _table(path: Path, key: str) -> Iterator[dict[str, Any]]:
    for place, row in named_columns(path, {key: (key,), "text": ("text",)}):
        if not row[key] or not row["text"]:
            raise InputError(f"{place}: no '{key}' or no 'text'.")
        yield {"id": row[key], "text": row["text"]}


def measure(data: Path | None, corpora: dict[str, str], encode: Encode | None) -> tuple[dict[str, Any], str]:
    """A result file's content and a page: every set and corpus, ours beside the reference.

    Args:
        data: the folder of human text, or None.
        corpora: names and places of corpora; each of their configs with labels is measured.
    """
    reference = read_reference()
    described: dict[str, Described] = {}
    for name, rows in (human_rows(data) if data else {}).items():
        described[name] = describe(survey(rows, name), encode if name in ("goemotions", "emobank", ISEAR) else None)
    for name, place in corpora.items():
        for config, found in _surveys(place):
            described[f"{name}-{config}"] = describe(found, encode)
    metrics = {
        f"{name}_{measure}": value | _beside(measure, value["value"], reference.get(name, {}))
        for name, made in described.items()
        for measure, value in made.metrics.items()
    }
    compared = {name: value for name, value in metrics.items() if "reference" in value}
    content = {
        "name": "corpus-measures",
        "metrics": metrics,
        "support": {name: int(made.metrics["rows"]["value"]) for name, made in described.items()},
        "reference": f"dataset_builder/quality/{REFERENCE.name}",
        "outside_tolerance": [name for name, value in compared.items() if not value["within"]],
        "notes": NOTES,
        "seconds": {name: made.seconds for name, made in described.items()},
    }
    return content, _page(described, reference)


def _surveys(place: str) -> Iterator[tuple[str, Survey]]:
    corpus = open_corpus(place)
    for config in corpus.files:
        found = survey(corpus.rows(config, columns=COLUMNS), f"{place} {config}")
        if found.labelled:
            yield config, found


def _beside(measure: str, value: float, reference: dict[str, float]) -> dict[str, Any]:
    if measure not in reference:
        return {}
    expected = reference[measure]
    return {"reference": expected, "within": abs(value - expected) <= TOLERANCE.get(measure, SAMPLING) + 1e-9}


def _page(described: dict[str, Described], reference: dict[str, dict[str, float]]) -> str:
    compared = list(dict.fromkeys(measure for values in reference.values() for measure in values if measure != "texts"))
    measures = dict.fromkeys(measure for made in described.values() for measure in made.metrics)
    lines = [
        "# Corpora beside human text\n",
        "Ours, with the reference value in brackets where there is one. " + NOTES["all"] + "\n",
        f"`{ISEAR}`: {NOTES[ISEAR]}.\n",
        _table_of("measure", [*compared], described, reference),
        "## What has no reference\n",
        "Sizes differ, so only values `of_15k_tokens` and `of_60_kb` and those that need no fixed size compare.\n",
        _table_of("measure", [name for name in measures if name not in compared], described, {}),
    ]
    return "\n".join(lines)


def _table_of(
    title: str, measures: list[str], described: dict[str, Described], reference: dict[str, dict[str, float]]
) -> str:
    lines = [[title, *described], ["---"] * (len(described) + 1)]
    for measure in measures:
        cells = [f"`{measure}`"]
        for name, made in described.items():
            taken = made.metrics.get(measure, {}).get("value")
            value = "" if taken is None else f"{taken:,.0f}" if taken >= 1000 else f"{taken:.4g}"
            expected = reference.get(name, {}).get(measure)
            cells.append(value + (f" ({expected:g})" if expected is not None else ""))
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
