"""What an utterance must not be: archaic, dialect, verse, markup, a foreign or broken text. Each check is a reason."""

import re
from functools import cache
from itertools import pairwise
from pathlib import Path

from dataset_builder.filters.validate import check_language, check_repetition
from dataset_builder.inputs import read_list

VOCABULARY = Path(__file__).parents[1] / "vocabulary"
_VERB_ENDING = re.compile(
    r"\b(?!(?:seth|death|breath|teeth|beneath|heath|wreath|sheath|Elizabeth|tooth|eth)\b)[a-z]{2,}eth\b"
)
_THOU_FORM = re.compile(r"\b(?:[a-z]+(?:d|l|v|k|m|n|w)est thou|know'st|see'st|say'st|com'st)\b")
_DROPPED = re.compile(r"\b\w+in['’](?=\s|[,.!?;]|$)|(?<!\w)['’](?!s\b|em\b)[a-z]{1,6}\b|\b[a-z]{1,3}['’](?=\s)")
_MARKUP = re.compile(r"[\[\]{}<>*|=^\\~#@]|\bhttp|\d{5,}")
_SLUR = re.compile(r"\b(?:nigger|darky|darkie|darkies|coon|chink|kike|wench|slut|whore|harlot)s?\b", re.IGNORECASE)
_TOO_BARE = re.compile(
    r"^(?:(?:tra|la|ha|ho|he|hee|hi|hum|lo|cock|doodle|doo|oh|ah|quack|miaow|croak|baa|moo|o)\W*)+$", re.I
)


@cache
def _pattern(name: str) -> re.Pattern[str]:
    words = "|".join(re.escape(word) for word in read_list(VOCABULARY / f"{name}.txt"))
    return re.compile(rf"(?<![\w'])(?:{words})(?![\w'])", re.IGNORECASE)


def is_archaic(text: str) -> bool:
    """Return whether a text has archaic words or forms: thou, hath, 'tis, goeth."""
    text = text.replace("’", "'").replace("‘", "'")
    return bool(_pattern("archaic_words").search(text) or _VERB_ENDING.search(text) or _THOU_FORM.search(text))


def is_dialect(text: str) -> bool:
    """Return whether at least two words are spelled as dialect: goin', 'ere, canna."""
    text = text.replace("’", "'").replace("‘", "'")
    return len(_pattern("dialect_words").findall(text)) + len(_DROPPED.findall(text)) >= 2


def is_verse(text: str) -> bool:
    """Return whether a text is verse: several lines that begin with a capital after a comma, or rhyme."""
    inner = [found for found in re.finditer(r"([\w'’]+)[,;:]\s+([A-Z][a-z'’]*)", text) if found[2] not in _NOT_A_LINE]
    ends = [found[1].lower() for found in inner] + re.findall(r"[\w'’]+", text.lower())[-1:]
    rhymes = any(a != b and len(a) > 2 and a[-3:] == b[-3:] for a, b in pairwise(ends))
    return len(inner) >= 3 or (bool(inner) and rhymes)


_NOT_A_LINE = frozenset(
    ("I", "I'm", "I’m", "I'll", "I’ll", "I've", "I’ve", "I'd", "I’d", "Mr", "Mrs", "Miss", "Sir", "God")
)


def fault_of_language(text: str, *, archaic: bool, dialect: bool) -> str | None:
    """Return why a text is no modern English prose, or None. `archaic` and `dialect` allow these."""
    if _MARKUP.search(text):
        return "markup"
    if _SLUR.search(text):
        return "slur"
    if not archaic and is_archaic(text):
        return "archaic"
    if not dialect and is_dialect(text):
        return "dialect"
    if _TOO_BARE.match(text):
        return "no_words"
    if is_verse(text):
        return "verse"
    letters = [character for character in text if character.isalpha()]
    if sum(character.isupper() for character in letters) > len(letters) / 2:
        return "capitals"
    return check_language(text) or check_repetition(text)
