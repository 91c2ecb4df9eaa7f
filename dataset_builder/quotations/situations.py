"""What happened before an utterance: whole sentences of the story, without the words that name a feeling."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from dataset_builder.inputs import read_list
from dataset_builder.quotations.finding import Speech
from dataset_builder.quotations.language import is_archaic, is_dialect, is_verse
from dataset_builder.quotations.tags import lead_without_tag

FEELINGS = Path(__file__).parents[1] / "vocabulary" / "feeling_words.txt"
FEWEST_WORDS = 8  # a shorter situation tells nothing
MORE_FOR_A_NAME = 30  # words above the budget that may be used to reach a sentence that names somebody
_ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|Messrs|[A-Z])\.$")
_BOUNDARY = re.compile(r"[.!?…][\"”’')]*\s+(?=[\"“‘'(«]?[A-ZÀ-Þ])")
_NAMES_NOBODY = re.compile(
    r"[\"“‘'(]?(?:He|She|They|It|His|Her|Their|This|That|These|Those|And|But|So|Then|Him|Them|Its)\b"
)
# A sentence with which a scene begins: another day or hour ("The next morning", "Three weeks later"), or another place.
_NEW_SCENE = re.compile(
    r"(?:(?:So|And|But|Now|Then|Well|Thus|It happened that|It happened)\b,?\s+)*(?:"
    r"(?:(?:On|In|At|By|During|Towards?|Early|Late|After|About)\s+)*(?:the|that|this|one|next|all|a|an)?\s*"
    r"(?:(?:very|next|following|same|second|third|fourth|last|few|other|some|early|fine)\s+)*"
    r"(?:day|morning|evening|night|afternoon|noon|midnight|dawn|daybreak|nightfall|year|week|month|spring|summer|autumn"
    r"|winter)(?:,|\s+(?!was\b|were\b|had\b|of\b))"
    r"|(?:(?:After|In|For)\s+)?"
    r"(?:(?:about|a|an|some|several|many|few|two|three|four|five|six|seven|ten|twenty|half an?)\s+)+"
    r"(?:minutes?\s+(?:later|after)|(?:hours?|days?|weeks?|months?|years?|time|while|nights?)\b)"
    r"|(?:Soon|Not long|Shortly|Long)\s+after|Meanwhile\b|Meantime\b|In the mean(?:while| time)|Once upon a time|Once,"
    r"|(?:When|As soon as|After|No sooner had|Scarcely had)\s[^,.;]*\b"
    r"(?:home|back|arrived?|returned|reached|came to|got to|finished|gone|left|awoke|woke|set out)\b)",
    re.IGNORECASE,
)
ENOUGH_OF_A_SCENE = 15  # words: a scene shorter than this is told with what was before it
# What is left of "the King was in despair, and" without its feeling.
_CUT_OFF = re.compile(
    r"\b(?:am|is|are|was|were|be|been|being|became|become|felt|feel|grew|got|looked|seemed|so|too|very|quite|not|such|more)"
    r"(?:\s+(?:at once|now|then|also|only|always|almost))?\s*(?=[,.;:!?]|$)",
    re.I,
)
# Speech without a tag.
_SPEECH_ALONE = re.compile(r"\"[^\"]*\"|“[^”]*”|‘.*’|'.*'")


@cache
def _feeling() -> str:
    return "(?:" + "|".join(re.escape(word) for word in read_list(FEELINGS)) + r")\b"


@cache
def _removable() -> tuple[re.Pattern[str], ...]:
    feeling = _feeling()
    more = r"(?:(?:very|so|too|quite|most|rather|more|much|and|half|almost|still)\s+)*"
    return (
        # "said sadly", "cried he, angrily and loudly"
        re.compile(
            rf",?\s+{more}(?=\w+ly\b){feeling}(?:\s+and\s+\w+ly\b)?(?=\s*[,.;:!?]|\s+(?:and|to|at|as)\b|$)", re.I
        ),
        re.compile(rf"(?<=[,.]\s)(?=\w+ly\b){feeling},\s*", re.I),
        # "with great joy", "in her distress", "full of anger and shame"
        re.compile(
            rf",?\s+(?:(?:filled|trembling|pale|red|white|beside\s+\w+|full|overcome|weeping|crying)\s+)?(?:with|in|for|from|of|by|to\s+\w+|out\s+of)\s+"
            rf"(?:\w+\s+){{0,3}}?{feeling}(?:\s+(?:and|or)\s+(?:\w+\s+)?\w+)?(?=\s*[,.;:!?]|$)",
            re.I,
        ),
        # ", sad and weary,"; ", and was very angry"
        re.compile(rf",\s+{more}{feeling}(?:\s+and\s+\w+)?(?=[,.;:])", re.I),
        re.compile(
            rf",?\s+(?:and|but)\s+(?:\w+\s+)?(?:was|were|felt|became|grew|got|looked|seemed)\s+{more}{feeling}(?:\s+(?:and|or)\s+\w+)?(?=[,.;:])",
            re.I,
        ),
    )


def without_feelings(sentence: str) -> str:
    """Return a sentence without the words that name a feeling; "" if it is about nothing else, or does not go on."""
    named = re.compile(rf"(?<![\w'’-]){_feeling()}", re.I)
    if not named.search(sentence):
        return sentence
    before = len(_CUT_OFF.findall(sentence))
    for pattern in _removable():
        sentence = pattern.sub("", sentence)
    return "" if named.search(sentence) or len(_CUT_OFF.findall(sentence)) > before else sentence


class Situations:
    """The sentences of a story and the situations that they make."""

    def __init__(self, paragraphs: Sequence[str], speeches: Sequence[Speech]) -> None:
        self._paragraphs = paragraphs
        inside: dict[int, list[tuple[int, int]]] = {}
        for speech in speeches:
            for piece in speech.pieces:
                span = piece.span
                for number in range(span.paragraph, span.last + 1):
                    start = span.start if number == span.paragraph else 0
                    end = span.end if number == span.last else len(paragraphs[number])
                    # A tag that follows belongs to the same sentence.
                    inside.setdefault(number, []).append((start, end + (1 if piece.tag_after else -1)))
        self._sentences = [
            (number, start, end)
            for number, text in enumerate(paragraphs)
            for start, end in _sentences(text, inside.get(number, []))
        ]

    def number(self, speech: Speech) -> int:
        """Return the number of the sentence in which a speech begins, counted from 1."""
        span = speech.first.span
        return sum((number, start) <= (span.paragraph, span.start) for number, start, _ in self._sentences)

    def before(self, speech: Speech, most_words: int) -> str:
        """Return what happened before a speech, in at most about `most_words` words; "" if nothing suitable."""
        here = self.number(speech) - 1
        if here < 0:
            return ""
        number, start, _ = self._sentences[here]
        taken: list[str] = []
        lead = (
            self._paragraphs[number][start : speech.first.span.start] if number == speech.first.span.paragraph else ""
        )
        if (sentence := lead_without_tag(lead)) and (sentence := without_feelings(sentence)):
            taken.append(sentence)
        for place in range(here - 1, -1, -1):
            number, start, end = self._sentences[place]
            sentence = self._paragraphs[number][start:end].strip()
            words = sum(len(one.split()) for one in (*taken, sentence))
            enough = words > most_words and (
                not taken or not _NAMES_NOBODY.match(taken[-1]) or words > most_words + MORE_FOR_A_NAME
            )
            if enough or not _is_fit(sentence) or _is_heading(self._paragraphs[number]):
                break
            if re.search(r"[:,;—–-]$", sentence):  # it leads to speech in the next paragraph, which follows it here
                sentence = sentence if taken and taken[-1][:1] in "\"“‘'«" else lead_without_tag(sentence)
            if cleaned := without_feelings(sentence):
                taken.append(cleaned)
            if _NEW_SCENE.match(sentence) and sum(len(one.split()) for one in taken) >= ENOUGH_OF_A_SCENE:
                break
        while len(taken) > 1 and _SPEECH_ALONE.fullmatch(taken[-1].strip()):
            taken.pop()  # nobody would know who said it
        text = _tidy(" ".join(reversed(taken)))
        return text if len(text.split()) >= FEWEST_WORDS else ""


def _sentences(text: str, inside: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the sentences of a paragraph; speech with its tag is never cut."""
    found, start = [], 0
    for boundary in _BOUNDARY.finditer(text):
        if _ABBREVIATION.search(text[: boundary.start() + 1]):
            continue
        if any(first < boundary.end() - 1 and boundary.start() < last for first, last in inside):
            continue
        found.append((start, boundary.end()))
        start = boundary.end()
    if start < len(text):
        found.append((start, len(text)))
    return found


def _is_fit(sentence: str) -> bool:
    return not (is_archaic(sentence) or is_dialect(sentence) or is_verse(sentence) or re.search(r"[\[\]*|_]", sentence))


def _is_heading(paragraph: str) -> bool:
    """Return whether a paragraph is a heading or names a source: capitals, brackets, or a few words without a stop."""
    return (
        not re.search(r"[a-z]", paragraph)
        or bool(re.fullmatch(r"[\[(].*[\])]\.?", paragraph))
        or (len(paragraph.split()) <= 8 and paragraph[-1].isalnum())
    )


def _tidy(text: str) -> str:
    text = re.sub(r"\s*-{2,}\s*", "—", re.sub(r"\s+", " ", text)).strip()
    return re.sub(r"\s+([,.;:!?])(?=\s|$)", r"\1", text)
