"""Speech tags: the clauses that say who speaks ("said the old king", "the girl then asked him:")."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dataset_builder.inputs import read_list

VERBS = Path(__file__).parents[1] / "vocabulary" / "speech_verbs.txt"

_TITLES = r"(?:Mr|Mrs|Ms|Dr|St|Messrs|Mme|Mlle)\."
_CAPITAL = rf"(?:{_TITLES}|[A-ZÀ-Þ][\w'’-]*)"
# A name: capitalised words, joined by "of", "the" and the like.
NAME = rf"{_CAPITAL}(?:(?:\s+(?:of|the|de|la|von|van|and)){{0,2}}\s+{_CAPITAL}){{0,4}}"
_DETERMINER = (
    r"(?:[Tt]he|[Aa]n?|[Hh]is|[Hh]er|[Tt]heir|[Mm]y|[Oo]ur|[Ii]ts|[Tt]his|[Tt]hat|[Oo]ne of the|[Aa]nother|[Ee]very|"
    r"[Ss]ome|[Bb]oth|[Aa]ll the|[Nn]either|[Ee]ach)"
)
_PRONOUN = (
    r"(?:[Hh]e|[Ss]he|[Tt]hey|[Ww]e|I|[Ii]t|[Oo]ne|[Ee]verybody|[Ee]veryone|[Ss]omebody|[Ss]omeone|[Bb]oth|[Aa]ll)\b"
)
PRONOUN = re.compile(_PRONOUN)
# Words that a noun phrase after its verb does not go on with: "said the king | to his wife".
_STOPS = frozenset(
    """
    to in with and as who whom which when at from on for by after before again then once but while looking into out
    over up down still now that upon through very quite rather so too without under near behind is was were had has
    if or than because turning taking shaking going getting also himself herself themselves itself aloud at last
    always never suddenly quickly softly once more indeed therefore however whose where until till about around across
    he she they we it you i her him them
    against beside between during among toward towards along off away back home here there instead only just
    """.split()
)
_ADVERB = (
    r"(?:then|again|also|now|only|once|still|always|at last|at once|just|even|suddenly|therefore|thereupon|never|soon|"
    r"both|all|\w+ly)"
)
# Words that begin sentences with a capital and name nobody.
_NO_NAMES = frozenset(
    """
    In On At To For From With When While As After Before If So But And Then Now Once Here There What Why How Who
    Where Yes No Oh Ah Not Just Only Well Suddenly Presently Soon Next Again Still Yet Perhaps Nobody Thus Also Or Nor
    Upon By
    """.split()
)
_LONGEST_PHRASE = 6  # words of a noun phrase


@cache
def verbs() -> str:
    """Return a pattern of all verbs of speech."""
    longest_first = sorted(read_list(VERBS), key=len, reverse=True)
    return "(?:" + "|".join(re.escape(verb).replace(r"\ ", r"\s+") for verb in longest_first) + r")\b"


@dataclass(frozen=True)
class Tag:
    """A speech tag: its speaker as written ("he", "the old king", "" where none stands), and its place in the text."""

    speaker: str
    start: int
    end: int


@cache
def _after() -> tuple[re.Pattern[str], re.Pattern[str]]:
    verb_first = (
        rf"\s*[,;—–-]*\s*(?:so\s+|thus\s+)?(?:{_ADVERB}\s+)?{verbs()}\s+(?=({_PRONOUN}|{_DETERMINER}\s|{_CAPITAL}))"
    )
    phrase = rf"{_DETERMINER}(?:\s+[\w'’-]+){{1,4}}?"
    speaker_first = rf"\s*[,;—–-]*\s*({_PRONOUN}|{phrase}|{NAME})\s+(?:{_ADVERB}\s+){{0,2}}{verbs()}"
    return re.compile(verb_first), re.compile(speaker_first)


def tag_after(narration: str) -> Tag | None:
    """Return the tag with which the narration after some speech begins."""
    verb_first, speaker_first = _after()
    if found := verb_first.match(narration):
        speaker = phrase_at(narration, found.end())
        return Tag(speaker, found.start(), found.end() + len(speaker)) if speaker else None
    if (found := speaker_first.match(narration)) and not _has_stop(found[1]):
        return Tag(found[1], found.start(), found.end())
    return None


def phrase_at(text: str, place: int) -> str:
    """Return the pronoun, name or noun phrase that begins at a place, "" if none does."""
    if found := re.compile(_PRONOUN).match(text, place):
        return found[0]
    if (found := re.compile(NAME).match(text, place)) and not re.match(_DETERMINER + r"\b", found[0]):
        return "" if found[0] in _NO_NAMES else found[0]
    found = re.compile(rf"{_DETERMINER}\b").match(text, place)
    if not found:
        return ""
    words, end = 0, found.end()
    for word in re.compile(r"\s+([\w'’]+(?:-[\w'’]+)*)").finditer(text, end):
        joins = word[1] == "of" and words and re.match(r"\s+(?:the\s+)?[\w'’-]+", text[word.end() :])
        stops = (
            word[1].lower() in _STOPS
            or (re.fullmatch(_DETERMINER, word[1]) and not text.endswith(" of", place, end))
            or (words and (_ends_phrase(word[1]) or is_finite(word[1])))
            or words >= _LONGEST_PHRASE
        )
        if word.start() != end or (stops and not joins):
            break
        words, end = words + 1, word.end()
    return text[place:end] if words else ""


# People and animals whose names end like an adverb or a participle.
_NO_ENDINGS = re.compile(
    r"(?:\w+-)?(?:king|being|thing|darling|duckling|gosling|changeling|sibling|viking|youngling|earthling|"
    r"underling|seedling|nestling|fledgling|weakling|starling|fly|butterfly|dragonfly|family|bully|ally|jelly|ugly|"
    r"lovely|lonely|silly|jolly|elderly|wily|holy|only|kindly|sickly|"
    r"reigning|loving|living|dying|shining|laughing|neighbouring|ruling|travelling|cunning|charming|talking|singing|"
    r"young|strong|wrong)"
)


def _ends_phrase(word: str) -> bool:
    """Return whether a noun phrase ends before a word: a preposition, an adverb, a participle."""
    if word[0].isupper():
        return False
    return (
        word in _STOPS
        or "n't" in word
        or "n’t" in word
        or (word.endswith(("ly", "ing")) and not _NO_ENDINGS.fullmatch(word))
    )


def _has_stop(phrase: str) -> bool:
    """Return whether a phrase has words that no noun phrase has: then it is a clause and names nobody."""
    words = phrase.split()
    return any(_ends_phrase(word) for word in words[1:]) and not re.fullmatch(NAME, phrase)


@cache
def _before() -> re.Pattern[str]:
    return re.compile(rf"\b{verbs()}")


def tag_before(narration: str) -> Tag | None:
    """Return the tag at the end of the narration before some speech: its last sentence, which has a speech verb."""
    start = sentence_start(narration)
    lead = narration[start:]
    if not re.search(r"[:,;—–-]\s*$|\b" + verbs() + r"\s*$", lead):
        return None
    found = next(reversed([*_before().finditer(lead)]), None)
    if found and found[0] in ("called", "thought") and not re.search(r"[:,;—–-]\s*$", lead):
        return None  # "a book called …"
    if found is None or (not lead.rstrip().endswith(":") and len(lead[found.end() :].split()) > 8):
        return None
    return Tag(_subject(lead, found.start(), found.end()), start, len(narration))


def sentence_start(text: str) -> int:
    """Return where the last sentence of a text begins; a full stop or mark at the very end does not count."""
    last = 0
    for found in re.finditer(r"(?<!\bMr)(?<!\bMrs)(?<!\bDr)(?<!\bSt)[.!?…][\"”'’)]*\s+(?=[\"“‘'(]?[A-ZÀ-Þ])", text):
        last = found.end()
    return last


def _subject(lead: str, start: int, end: int) -> str:
    """Return the subject of the speech verb at `start` to `end` in a sentence, as written."""
    before = lead[:start].rstrip()
    if re.search(r"\b(?:was|were|is|are|been|be)$", before) and not lead[start:end].endswith("ing"):
        return ""  # "the king was told": another speaks
    # "Then said the king:"
    follows = phrase_at(lead, end + len(lead[end:]) - len(lead[end:].lstrip()))
    if follows and (not before or _LEADERS.fullmatch(before + " ")):
        return follows
    bare = re.sub(rf"(?:\s+{_ADVERB})+$", "", " " + before)
    if found := re.search(rf"\s({_PRONOUN})$", bare):
        return found[1]
    bare = re.sub(r",?\s+who$", "", bare)  # "an old woman, who asked him"
    if not re.search(r"(?:,|\band|\bbut|\bthen|\bor)$", bare):
        starts = [found.start(1) for found in re.finditer(rf"\s(?=({_DETERMINER}\s|{_CAPITAL}))", bare)]
        # The longest phrase that reaches the verb and is no object of a preposition or verb before it.
        for place in starts:
            phrase = phrase_at(bare, place)
            if phrase and place + len(phrase) == len(bare) and not OBJECT_BEFORE.search(bare[:place]):
                return phrase
    return last_subject(before)


OBJECT_BEFORE = re.compile(
    r"\b(?:to|at|of|with|from|for|by|on|in|into|upon|towards?|after|along|through|under|over|near|beside|behind"
    r"|saw|met|took|told|asked|and)\s*$"
)
_LEADERS = re.compile(
    r"(?:(?:Then|So|And|But|Now|At last|At length|However|Thereupon|Next|Presently|Suddenly|Soon|Again|Here|Yet|Still"
    r"|Finally|Immediately|Instantly|Thus|Accordingly|Meanwhile|At this|At that|With that|With this|On this)\b,?\s*)+"
)
_SUBORDINATE = re.compile(
    r"(?:When|As|After|While|Before|Once|Since|If|On|In|At|One|Seeing|Hearing|The next|That|Whereupon)\b[^,]*,\s*", re.I
)
# "The following morning the king came": the subject stands after the time.
_TIME = re.compile(
    r"(?:(?:The|That|This|One|Next|Every|Early|All|Some)\s+)+(?:\w+\s+){0,2}?"
    r"(?:days?|mornings?|evenings?|nights?|afternoons?|noon|time|weeks?|months?|years?|moment|instant|minutes?|hours?)\b,?\s*"
)
# Past forms and other words that end a noun phrase at the head of a sentence.
_FINITE = frozenset(
    """
    was were had did could would should might must went came saw took gave got ran sat stood rose fell began made found
    heard knew thought said told put let set held brought caught felt left met lay drew threw grew flew spoke broke bent
    kept sprang crept led paid read wept woke wrote is has comes goes does says asks bade saw struck shook flung sang
    swam hid hung rode drank ate bit blew cut shut wore won lost sent
    """.split()
)


_PRONOUN_AND_VERB = re.compile(r"\b(he|she|they|I|we)\s+(?:\w+ly\s+)?(\w+)")


def is_finite(word: str) -> bool:
    """Return whether a word after a noun phrase is probably its verb: a form of the past, or of to be, have, do."""
    return word in _FINITE or (word.endswith("ed") and len(word) > 3)


_CLAUSE = re.compile(
    r"(?:[,;:—]|--)\s*(?:(?:and|but|when|so|for|then|while|till|until|whereupon|at last|at length|presently|suddenly)"
    r"\s+)*"
)


def last_subject(sentence: str) -> str:
    """Return the subject of the last clause of a sentence that has one of its own; "" if unclear."""
    for found in reversed([*_CLAUSE.finditer(sentence)]):
        phrase = phrase_at(sentence, found.end())
        follows = re.match(r",?\s+(\w+)", sentence[found.end() + len(phrase) :])
        if phrase and follows and (is_finite(follows[1]) or follows[1] == "who"):
            return phrase
    return first_subject(sentence)


def first_subject(sentence: str) -> str:
    """Return the noun phrase at the head of a sentence, after adverbs and a subordinate clause; "" if unclear."""
    place = 0
    if found := _LEADERS.match(sentence):
        place = found.end()
    if found := _TIME.match(sentence, place):
        place = found.end()
    if found := _SUBORDINATE.match(sentence, place):
        place = found.end()
    if phrase := phrase_at(sentence, place):
        return phrase
    # "In the morning she came in and": a pronoun before its verb.
    pronouns = [found for found in _PRONOUN_AND_VERB.finditer(sentence) if is_finite(found[2])]
    return pronouns[-1][1] if pronouns else ""


@cache
def _dash() -> re.Pattern[str]:
    return re.compile(
        rf"[,.?!…]\s+(?={verbs()}\s+(?:{_PRONOUN}|{_DETERMINER}|{_CAPITAL})|(?:{_PRONOUN}|{NAME})\s+{verbs()})"
    )


def end_before_tag(text: str, place: int) -> int:
    """Return where speech without a closing mark ends: before ", said he", else at the end of the text."""
    found = _dash().search(text, place)
    return found.start() + 1 if found else len(text)


def lead_without_tag(lead: str) -> str:
    """Return the clause before a coordinated tag as a sentence: "She ran in and said:" -> "She ran in."."""
    coordinated = rf"[,;]?\s+(?:and|but)\s+(?:then\s+)?(?:{_ADVERB}\s+)?{verbs()}|[,;]\s+(?=\w+ing\b){verbs()}"
    found = re.match(rf"(.*\w)(?:{coordinated})[^.;]*$", lead, re.DOTALL)
    clause = found[1] if found else ""
    if len(clause.split()) < 4:
        return ""
    return clause.rstrip(" ,;:—-") + "."
