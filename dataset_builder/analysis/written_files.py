"""Checks written files before they are used: form, labels, repeats, beginnings; counts for the writer."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from dataset_builder.filters.near_duplicates import NearDuplicates, shingles, tokens
from dataset_builder.filters.validate import words
from dataset_builder.schema import Item
from dataset_builder.taxonomy import LABELS
from dataset_builder.written_rows import checked_rows, labels_of, written_files

# Limits of the guide: of rows that nearly repeat another one, and of texts that begin with the same three words (a few
# may, however small the file is). Chosen on the first files, whose writers varied what they wrote.
NEAR_AT, NEAR_SHARE = 0.5, 0.02
BEGINNING, BEGINNING_SHARE, BEGINNING_LEAST = 3, 0.01, 6


def check(files: Sequence[Path]) -> tuple[list[str], str]:
    """Return a line for each fault of the files, and a page of counts.

    Raises:
        InputError: a file cannot be read, or is of another kind.
    """
    found = list(checked_rows(written_files([str(file) for file in files])))
    faults = [one for one in found if isinstance(one, str)]
    rows = [one for one in found if isinstance(one, Item)]
    texts: dict[str, list[Item]] = defaultdict(list)  # a contrast set counts as one text
    for row in rows:
        texts[row.fields.get("group") or row.id].append(row)
    firsts = [group[0] for group in texts.values()]
    faults += _repeats(firsts)
    near, compared = _near_repeats(rows)
    if near > NEAR_SHARE * compared:
        faults.append(f"{near} of {compared} rows nearly repeat another one: write them anew.")
    begun = Counter(" ".join(words(row.text)[:BEGINNING]) for row in firsts)
    for beginning, count in begun.most_common(1):
        if count > max(BEGINNING_LEAST, BEGINNING_SHARE * len(firsts)):
            faults.append(f"{count} of {len(firsts)} texts begin with '{beginning}': vary them.")
    return faults, _page(rows, firsts, near, begun)


def _repeats(firsts: Sequence[Item]) -> list[str]:
    """Return a fault for each text with the words of an earlier one; texts and contrast sets are not compared.

    In dialogues, people may say what others say.
    """
    places: dict[tuple[bool, str], str] = {}
    faults = []
    for row in firsts:
        if _is_turn(row):
            continue
        place = row.fields["source"]
        first = places.setdefault(("group" in row.fields, " ".join(words(row.text)) or row.text), place)
        if first != place:
            faults.append(f"{place}: has the words of {first}. Delete one.")
    return faults


def _is_turn(row: Item) -> bool:
    return "context" in row.fields and "group" not in row.fields


def _near_repeats(rows: Sequence[Item]) -> tuple[int, int]:
    """Return how many rows have nearly the words of an earlier one, and how many were compared.

    Of contrast sets, the situations are compared. Of a dialogue, only the last row: its turns share their former turns.
    """
    index, near, compared = NearDuplicates(NEAR_AT), 0, 0
    last = {row.fields["story"]: row.id for row in rows}
    for row in rows:
        if _is_turn(row) and last[row.fields["story"]] != row.id:
            continue
        made = shingles(tokens(row.fields.get("context") or row.text))
        near += any(True for _ in index.matches(made))
        compared += 1
        index.add(made)
    return near, compared


def _page(rows: Sequence[Item], firsts: Sequence[Item], near: int, begun: Counter[str]) -> str:
    lengths = [len(row.text.split()) for row in firsts]
    first = Counter(next(iter(labels_of(row)), "none") for row in rows)
    named = sum(
        any(re.search(rf"\b{label[:6]}", row.text.lower()) for label in labels_of(row) if label != "neutral")
        for row in firsts
    )
    return "\n".join(
        [
            f"{len(rows)} rows, {len(firsts)} texts; {near} nearly repeat another; {named} name a label of theirs",
            f"words: {sum(n <= 8 for n in lengths)} texts of up to 8, {sum(8 < n <= 18 for n in lengths)} of 9 to 18, "
            f"{sum(n > 18 for n in lengths)} longer",
            "first labels: " + ", ".join(f"{label} {first[label]}" for label in (*LABELS, "none") if first[label]),
            "most frequent beginnings: " + ", ".join(f"{text} ({count})" for text, count in begun.most_common(8)),
        ]
    )
