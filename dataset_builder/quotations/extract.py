"""Extracts the quotations of a story: utterance, speaker, situation; with a reason for each that is left out."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dataset_builder.quotations.finding import Speech, speeches
from dataset_builder.quotations.language import fault_of_language
from dataset_builder.quotations.situations import Situations
from dataset_builder.quotations.speakers import Speakers
from dataset_builder.quotations.tags import verbs
from dataset_builder.recipe import Quotations

_WRITTEN = re.compile(
    r"\b(?:wrote|written|writing|inscri\w+|letter|letters|placard|sign|signboard|title|titled|headline|headed|proverb|"
    r"note|telegram|engraved|printed|advertisement|book called|entitled|postcard|label|labelled|words were|read|"
    r"reads|ran)\b[^.]*$"
)
# A word or a title is quoted after these.
_NAMES_WORDS = re.compile(r"\b(?:called|named|words?|saying)\W*$")
_SUNG = re.compile(r"\b(?:sang|sung|sings|sing|singing|song|chanted|chanting|recited|verses?|rhyme|ballad|hummed)\b")


# A clause after a comma, with a verb of speech whose subject the rules did not find: "came the answer".
_TAGGED_SOMEHOW = re.compile(
    r"\s*,?\s*(?:[a-z]\w*|I|[A-Z]\w+)(?:\s+\w+){0,5}\s+(?:answer|reply|voice|voices|words)\b|\s*" + verbs()
)


@dataclass(frozen=True)
class Quotation:
    """An utterance of a story: `speaker` and `situation` are "" where the rules found none.

    `sentence` is its place, counted from 1. `fault` is the reason why it is left out, or None.
    """

    text: str
    speaker: str
    situation: str
    sentence: int
    fault: str | None
    rule: str = ""


def quotations(text: str, limits: Quotations) -> Iterator[Quotation]:
    """Yield all quotations of a story in order, those left out with their fault."""
    paragraphs = [line.strip() for line in text.split("\n") if line.strip()]
    found = speeches(paragraphs)
    if not found:
        return
    people, situations = Speakers(paragraphs, found), Situations(paragraphs, found)
    for number, speech in enumerate(found):
        fault = _fault(speech, limits)
        situation = "" if fault else situations.before(speech, limits.situation_words)
        if speech.text and speech.text.rstrip(".!?") in situation:
            situation = ""  # a refrain: the situation would quote the utterance itself
        yield Quotation(
            speech.text, people.names[number], situation, situations.number(speech), fault, people.rules[number]
        )


def _fault(speech: Speech, limits: Quotations) -> str | None:
    """Return why a quoted text is left out, or None."""
    if any(piece.span.fault for piece in speech.pieces):
        return "unclosed"
    words = len(speech.text.split())
    if words < limits.min_words:
        return "too_short"
    if words > limits.max_words:
        return "too_long"
    around = speech.first.before[-60:] + " " + (speech.pieces[-1].after[:30] if speech.tag else "")
    if not speech.tag and _WRITTEN.search(speech.first.before[-200:]):
        return "written"
    if not _is_speech(speech):
        return "not_speech"
    if _SUNG.search(around):
        return "sung"
    if speech.text.endswith(("—", "-", "…")):
        return "unfinished"
    if re.search(r"[\"“”‘«»]|(?<!\w)'[^']+'(?!\w)", speech.text):
        return "nested"
    return fault_of_language(speech.text, archaic=limits.archaic, dialect=limits.dialect)


def _is_speech(speech: Speech) -> bool:
    """Return whether a quoted text is said or thought, not a title, a word that is talked about, or a piece of one."""
    text = speech.text
    if text[:1].islower() or not text[:1].isalnum():
        return False
    if speech.tag or _TAGGED_SOMEHOW.match(speech.pieces[-1].after):
        return True
    if speech.pieces[-1].span.text[-1:] not in ".!?…—-":
        return False
    before = speech.first.before.rstrip()
    if not before:
        return True
    ends_clause = before[-1] in ".!?:;—–-\"”’'…," and not _NAMES_WORDS.search(before)
    return ends_clause or bool(re.search(rf"\b{verbs()}", before[-80:]))
