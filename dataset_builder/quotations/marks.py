"""Finds quoted spans in a paragraph: which marks open, which close, and which are apostrophes."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dataset_builder.quotations.tags import end_before_tag

# Closing marks of each opening mark. A low opening mark is closed by either of the high ones.
CLOSERS = {'"': '"', "“": "”", "”": "”", "‘": "’", "'": "'", "’": "’", "„": "“”", "«": "»", "»": "«", "‹": "›"}
SINGLE = "'‘’"
_MARK = re.compile("[\"'“”‘’«»„‹›]")
# Words that are written with an apostrophe in front: never the beginning of speech.
_ELISION = re.compile(
    r"(?:tis|twas|twere|twill|twould|tisn|twasn|em|ere|e|er|im|is|un|til|till|cause|bout|round|neath|gainst|fore|n)\b"
    r"|(?:Tis|Twas|Twere|Twill|Twould)\b"
)
_BEFORE_OPENING = " \t([—–-\"“‘'"
_AFTER_CLOSING = " \t)]—–-,.;:!?\"”’'"
_ENDS_SPEECH = '.,!?;:—–-…)"”’*'
_DASH = re.compile(r"\s*[—–―]\s*(?=[^\W\d_])")


@dataclass(frozen=True)
class Span:
    """A quoted span: paragraph, place in it (with the marks), the text inside, and a fault of the marks or None."""

    paragraph: int
    start: int
    end: int
    text: str
    fault: str | None = None
    goes_on: bool = False  # not closed in its last paragraph
    last: int = 0  # the paragraph in which it ends


def spans(paragraphs: Sequence[str]) -> list[Span]:
    """Return the quoted spans of a story in order; speech over several paragraphs is one span of the first of them.

    `fault` is `unclosed` where the closing mark is missing.
    """
    if _has_dash_dialogue(paragraphs):
        return [span for number, text in enumerate(paragraphs) for span in _dash_span(number, text)]
    found: list[Span] = []
    for number, text in enumerate(paragraphs):
        for span in _in_paragraph(number, text):
            before = found[-1] if found else None
            if before and before.goes_on and _continues(before, span, paragraphs):
                joined = f"{before.text} {span.text}"
                found[-1] = replace(span, paragraph=before.paragraph, start=before.start, text=joined)
            else:
                found.append(span)
    return found


def _continues(before: Span, span: Span, paragraphs: Sequence[str]) -> bool:
    """Return whether a span is the next paragraph of speech that was not closed: its opening mark is repeated."""
    same_mark = paragraphs[before.paragraph][before.start] == paragraphs[span.paragraph][0]
    return span.paragraph == before.last + 1 and span.start == 0 and same_mark


def _in_paragraph(number: int, text: str) -> Iterator[Span]:
    place = 0
    while (start := _next_opening(text, place)) is not None:
        end, fault = _closing(text, start)
        if fault == "unclosed" and end == len(text):
            yield Span(number, start, end, text[start + 1 :].strip(), fault, goes_on=True, last=number)
        elif fault:
            yield Span(number, start, end, text[start + 1 : end].strip(), fault, last=number)
        else:
            yield Span(number, start, end + 1, text[start + 1 : end].strip(), last=number)
            end += 1
        place = end


def _next_opening(text: str, place: int) -> int | None:
    for found in _MARK.finditer(text, place):
        if _opens(text, found.start()):
            return found.start()
    return None


def _opens(text: str, place: int) -> bool:
    """Return whether a mark outside speech opens it."""
    mark, after = text[place], text[place + 1 : place + 12]
    before = text[place - 1] if place else " "
    if not after or after[0].isspace():
        return False
    if mark in "“„«‹":
        return True
    if before not in _BEFORE_OPENING:
        return mark == '"' and not before.isalnum() and after[0].isalpha()
    if mark in SINGLE and (_ELISION.match(after) or after[0].isdigit()):
        return False
    # A closing mark in the place of an opening one is a common defect of scanned books.
    return mark in "\"'‘" or (mark in "”’»" and after[0].isupper())


def _closing(text: str, start: int) -> tuple[int, str | None]:
    """Return where the speech from `start` ends, and `unclosed` if other speech begins before or nothing ends it."""
    mark = text[start]
    closers = CLOSERS[mark]
    for found in _MARK.finditer(text, start + 1):
        place = found.start()
        if mark in SINGLE:
            if found[0] in closers and _closes_single(text, place, closers):
                return place, None
            if found[0] == mark and mark != "’" and _begins_anew(text, place):
                return place, "unclosed"
        elif found[0] in closers:
            strictly_opens = mark == '"' and text[place - 1].isspace() and text[place + 1 : place + 2].isalpha()
            return place, "unclosed" if strictly_opens else None
        elif found[0] == mark:
            return place, "unclosed"
    return len(text), "unclosed"


def _closes_single(text: str, place: int, closers: str) -> bool:
    """Return whether a single mark closes speech; after a letter it may be a possessive or a dropped letter."""
    before, after = text[place - 1], text[place + 1 : place + 2]
    if before.isspace() or (after and after not in _AFTER_CLOSING):
        return False
    if before in _ENDS_SPEECH:
        return True
    for later in _MARK.finditer(text, place + 1):
        if _opens(text, later.start()):
            return True
        follows = text[later.end() : later.end() + 1]
        if (
            later[0] in closers
            and text[later.start() - 1] in _ENDS_SPEECH
            and (not follows or follows in _AFTER_CLOSING)
        ):
            return False
    return True


def _begins_anew(text: str, place: int) -> bool:
    """Return whether a single mark inside speech opens other speech, so that the former was not closed."""
    before = text[:place].rstrip()
    return text[place - 1].isspace() and before[-1:] in ":,.!?" and text[place + 1 : place + 2].isupper()


def _has_dash_dialogue(paragraphs: Sequence[str]) -> bool:
    """Return whether lines of speech begin with a dash: at least three, in a story with few other marks."""
    dashes = sum(bool(_DASH.match(text)) for text in paragraphs)
    marked = sum(text.lstrip()[:1] in tuple('"“‘«„') for text in paragraphs)
    return dashes >= 3 and dashes > 3 * marked


def _dash_span(number: int, text: str) -> Iterator[Span]:
    """Yield the speech after a dash, up to a tag that follows it (", said he")."""
    if found := _DASH.match(text):
        end = end_before_tag(text, found.end())
        yield Span(number, found.start(), end, text[found.end() : end].strip(), last=number)
