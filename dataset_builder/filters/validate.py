"""The rules for one row: each check returns a reason code, or None.

The stages apply them as soon as a text is generated, so that no call is spent on a text that would be rejected later.
analysis/validate_corpus.py applies them to a whole corpus.
"""

import re
from collections.abc import Iterable

from dataset_builder.recipe import Quality
from dataset_builder.schema import UNNAMED, ContextlessRow, ContextualRow, PublishedRow
from dataset_builder.taxonomy import LABELS
from dataset_builder.text_hygiene import cleaned, first_fault, row_faults

_FIRST_PERSON = re.compile(r"\b(i|me|my|mine|myself|we|us|our|ours|ourselves)\b", re.IGNORECASE)
_COMMON_ENGLISH = frozenset(
    """
    a about all am an and are as at be been but by can come could did do does don for from get go had has have he her
    here him his how i if in is it just know let like ll look made make me more my never no not now of on one or our
    out over re s she should so some t take than that the their them then there they this time to up us ve very was we
    well were what when where which who why will with would you your
    """.split()
)
# People say "I love you"; any other label word in an utterance gives the label away.
_NAMEABLE = frozenset({"love", "neutral"})
# Bounds of raw labels: both labelers give at most 28 words, and the vocabulary's longest word has 20 letters.
MOST_LABELS, LONGEST_LABEL = 40, 60


def words(text: str) -> list[str]:
    """Lower-case word tokens."""
    return re.findall(r"\w+", text.lower())


def check_language(text: str) -> str | None:
    """Return `not_english` if over a fifth of the letters are non-ASCII, or 5+ words include no common English word."""
    letters = [character for character in text if character.isalpha()]
    if not letters or sum(character > "\x7f" for character in letters) > len(letters) / 5:
        return "not_english"
    tokens = words(text)
    return "not_english" if len(tokens) >= 5 and not _COMMON_ENGLISH.intersection(tokens) else None


def check_repetition(text: str) -> str | None:
    """Return `repetitive` if over two fifths of the 3-grams of 12 or more words repeat an earlier 3-gram."""
    tokens = words(text)
    shingles = list(zip(tokens, tokens[1:], tokens[2:], strict=False))
    return "repetitive" if len(tokens) >= 12 and len(set(shingles)) < 0.6 * len(shingles) else None


def check_form(text: str, shortest: int, longest: int) -> str | None:
    """Check the rules for all texts: a text_hygiene.py fault, `too_short`, `too_long` (in words), `not_english`, …"""
    if fault := first_fault(cleaned(text)):
        return fault
    count = len(text.split())
    if count < shortest:
        return "too_short"
    if count > longest:
        return "too_long"
    return check_language(text) or check_repetition(text)


def check_utterance(text: str, character: str, quality: Quality) -> str | None:
    """Return a fault of form, or `third_person`: the text names its speaker and never uses I or we."""
    if reason := check_form(text, quality.min_words, quality.max_words):
        return reason
    named = character and re.search(rf"\b{re.escape(character)}\b", text, re.IGNORECASE)
    return "third_person" if named and not _FIRST_PERSON.search(text) else None


def check_label_word(text: str, labels: Iterable[str], quality: Quality) -> str | None:
    """Return `label_word` if the text names one of its own emotions."""
    if quality.label_words:
        return None
    said = set(words(text))
    return "label_word" if any(label in said for label in labels if label not in _NAMEABLE) else None


def check_context(text: str, labels: Iterable[str], quality: Quality) -> str | None:
    """Return a fault of form, or `label_word`: the situation names the emotion."""
    return check_form(text, quality.min_words, quality.max_context_words) or check_label_word(text, labels, quality)


def check_bounds(row: PublishedRow) -> str | None:
    """Check that the labels of a row are within bounds.

    `raw_labels_out_of_bounds`: more than 40 raw labels or descriptors, or one of more than 60 characters.
    `requested_emotion`: neither a class nor `unnamed`, not empty, and not the word that the text was written for.
    """
    labels = [label.label for label in getattr(row, "raw_labels", ())]
    labels += [descriptor.text for descriptor in getattr(row, "descriptors", ())]
    if len(labels) > MOST_LABELS or any(len(label) > LONGEST_LABEL for label in labels):
        return "raw_labels_out_of_bounds"
    asked = row.requested_emotion
    for_a_word = getattr(row, "describer", "") == "written" or getattr(row, "variant", "") == "open"
    if asked in LABELS or asked in (UNNAMED, "") or (for_a_word and len(asked) <= LONGEST_LABEL):
        return None
    return "requested_emotion"


def check_texts(row: PublishedRow) -> str | None:
    """Check the rules for rows from any source: clean texts (text_hygiene.py) and labels within bounds."""
    return next((fault for _, fault in row_faults(row.model_dump())), None) or check_bounds(row)


def check_row(row: PublishedRow, quality: Quality) -> str | None:
    """Check all rules for a published row: the rules for any source, the row's numbers, the form of its texts."""
    return check_texts(row) or check_values(row, quality)


def check_values(row: PublishedRow, quality: Quality) -> str | None:
    """Check a row's numbers, then the form of its texts."""
    if not isinstance(row, ContextlessRow):
        return check_utterance(row.text, row.character, quality)
    if len(row.scores) != len(LABELS):
        return "scores_not_28"
    if not all(0 <= score <= 1 for score in row.scores):
        return "score_out_of_range"
    if not row.labels:
        return "no_label"
    if row.labels != sorted(set(row.labels)) or not all(0 <= label < len(LABELS) for label in row.labels):
        return "labels_out_of_order"
    named = [LABELS[label] for label in row.labels]
    reason = check_utterance(row.text, row.character, quality) or check_label_word(row.text, named, quality)
    if reason is None and isinstance(row, ContextualRow):
        reason = check_context(row.context, named, quality)
        return f"context_{reason}" if reason else None
    return reason
