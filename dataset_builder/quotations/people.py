"""The people of a story: how the narration mentions them, and which pronoun stands for each."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dataset_builder.files.reading import package_table
from dataset_builder.quotations.tags import NAME, OBJECT_BEFORE, is_finite, phrase_at, verbs

PEOPLE = Path(__file__).parents[1] / "vocabulary" / "people.tsv"
EITHER = "it"  # stands for whom the words do not tell: an animal, a servant, an unknown name
# Words that follow a determiner and name nobody in particular.
NOBODY = frozenset(
    "other others one first second third fourth fifth sixth seventh eighth ninth tenth latter former last same rest "
    "next both all each some them him her".split()
)
# Capitalised words that are no names.
_NO_NAMES = frozenset(
    """
    I God Lord Heaven Heavens Christmas Easter Sunday Monday Tuesday Wednesday Thursday Friday Saturday January February
    March April May June July August September October November December English French German Russian Irish Chinese
    Indian Spanish The A An And But Then So When As He She They It We You His Her My Our Their This That There What Who
    These Those Nobody Somebody Someone Everybody Everyone Several Well Never Perhaps Just Only Such Some Many All Both
    Each Every Another Still Yet Here Nor Or Thus Again Also Why How Now If In On At To For From With Yes No Not Oh Ah O
    One Once After Before While Where Mr Mrs Miss Dr Sir Said Says Thought Asked Answered Cried Replied Often Therefore
    Whereupon Meantime Meanwhile Though By-and-by Of
    """.split()
)
_TIMES = frozenset(
    "ago later time hour hours day days week weeks month months year years minute minutes moment morning evening night "
    "afternoon Sunday".split()
)
_NAMES_IN_LY = frozenset("Emily Molly Polly Sally Dolly Milly Lily Nelly Billy Willy Kelly Holly".split())
# Words of the list above that do begin a name or a phrase.
_HEADS = frozenset(
    "The A An His Her My Our Their This That Mr Mrs Miss Dr Sir Lord God Another Some Every Each All Both One".split()
)
_TITLE = re.compile(r"(Mr|Mrs|Ms|Miss|Sir|Lord|Lady|King|Queen|Prince|Princess|Madame|Aunt|Uncle)\b")
_SHE = re.compile(r"\b(?:she|her|herself|hers)\b", re.IGNORECASE)
_PRONOUNS = re.compile(r"\b(he|his|him|himself|she|her|herself|hers)\b", re.IGNORECASE)
_SPEAKS = re.compile(rf"\b{verbs()}\s+$")
_CLAUSE_START = re.compile(r"(?:^|[.!?,;:—”\"])\s*$|\b(?:and|but|when|then|there|until|till|as)\s+$", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?]\s")


@dataclass(frozen=True)
class Mention:
    """A person in the narration: where, the name or phrase, the pronoun, and whether it begins a clause."""

    place: int
    name: str
    pronoun: str
    is_subject: bool


@cache
def _pronoun_of_word() -> dict[str, str]:
    return {row["word"]: row["pronoun"] for row in package_table(PEOPLE)}


def named(phrase: str) -> str:
    """Return a speaker as the rows name it: "The Fox" -> "the Fox"; "" for phrases that name nobody ("the other")."""
    words = phrase.split()
    while len(words) > 1 and words[0] in _NO_NAMES and words[0] not in _HEADS:
        words, phrase = words[1:], phrase[len(words[0]) :].lstrip()  # "Then Balna", "But the fox"
    while len(words) > 2 and words[-1].endswith("ly") and words[-1].islower():
        words, phrase = words[:-1], phrase.rsplit(maxsplit=1)[0]  # "the boy briefly"
    if not words or (len(words) == 1 and words[0].capitalize() in _NO_NAMES) or _TIMES & {*words}:
        return ""
    last = words[-1].lower()
    if last in NOBODY or last in ("of", "the", "and") or last.endswith(("'s", "’s", "s'", "s’")):
        return ""
    if words[0].endswith("ly") and words[0] not in _NAMES_IN_LY:
        return ""  # an adverb at the head of a sentence
    if any(is_finite(word) for word in words[1:]):
        return ""
    if re.match(
        r"(?:The|An?|His|Her|Their|My|Our|Its|This|That|One|Another|Every|Some|Both|All|Neither|Each)\b", phrase
    ):
        return phrase[0].lower() + phrase[1:]
    return phrase.strip("-—– ")


def head(name: str) -> str:
    """Return the word of a name by which two mentions are compared: "the old king" and "the King" -> king."""
    bare = re.split(r"\s+(?:of|with|from)\s", name)[0]
    return bare.split()[-1].lower().removesuffix("'s").removesuffix("’s") if bare.split() else ""


class Cast:
    """Mentions of people in the narration of a story, in order, without objects ("to the king").

    `narration` is the story with its speech blanked.
    """

    def __init__(self, narration: str) -> None:
        found = [*self._phrases(narration), *self._names(narration)]
        inside, speaking = r"(?<=[a-zà-þ,;’'] )[A-ZÀ-Þ][\w’'-]*", rf"\b[A-ZÀ-Þ][\w’'-]*(?=\s+{verbs()}\b)"
        self._capitalised = {*re.findall(inside, narration), *re.findall(speaking, narration)}
        self._pronouns = self._learn(narration, found)
        self.mentions = [
            Mention(place, name, self.pronoun(name), _is_subject(narration, place, name))
            for place, name in sorted(found)
            if not OBJECT_BEFORE.search(narration[max(0, place - 12) : place])
        ]

    def pronoun(self, name: str) -> str:
        """Return he, she, or it for either."""
        if title := _TITLE.match(name):
            return _pronoun_of_word().get(title[1].lower(), "she")
        word = head(name)
        known = _pronoun_of_word().get(word, EITHER)
        return known if known != EITHER else self._pronouns.get(word, EITHER)

    def is_known(self, name: str) -> bool:
        """Return whether a phrase surely means a person or an animal: by its last word, or as a name."""
        return head(name) in _pronoun_of_word() or (name[:1].isupper() and self.is_name(name))

    def is_name(self, name: str) -> bool:
        """Return whether a capitalised word also stands inside a sentence or before "said", unlike "Close"."""
        return " " in name or not name[:1].isupper() or name in self._capitalised

    @staticmethod
    def _phrases(narration: str) -> list[tuple[int, str]]:
        """Phrases whose last word is known to mean a person or an animal."""
        known = _pronoun_of_word()
        found = []
        for start in re.finditer(r"\b(?:[Tt]he|[Aa]n?|[Hh]is|[Hh]er|[Mm]y|[Tt]heir|[Oo]ur)\s", narration):
            words = phrase_at(narration, start.start()).split()
            while len(words) > 1 and words[-1].lower() not in known:
                words.pop()
            if len(words) > 1 and (name := named(" ".join(words))):
                found.append((start.start(), name))
        return found

    @staticmethod
    def _names(narration: str) -> list[tuple[int, str]]:
        """Names: capitalised words that also stand inside a sentence."""
        all_names = [found for found in re.finditer(NAME, narration) if found[0].split()[0] not in _NO_NAMES]
        inside = {found[0] for found in all_names if re.search(r"[a-z,;’']\s$", narration[: found.start()][-2:])}
        before = re.compile(r"\b(?:the|a|an|his|her|their|my|our)\s+(?:\w+\s+)?$", re.IGNORECASE)
        return [
            (found.start(), found[0])
            for found in all_names
            if found[0] in inside
            and not found[0].endswith(("'s", "’s"))
            and not before.search(narration[max(0, found.start() - 20) : found.start()])
        ]

    @staticmethod
    def _learn(narration: str, found: Sequence[tuple[int, str]]) -> dict[str, str]:
        """Learn whether a name is a he or a she from the first pronoun after it in its sentence."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for place, name in found:
            after = narration[place + len(name) : place + len(name) + 120]
            if end := _SENTENCE_END.search(after):
                after = after[: end.end()]
            if pronoun := _PRONOUNS.search(after):
                counts[head(name)]["she" if _SHE.match(pronoun[0]) else "he"] += 1
        learned = {}
        for name, counted in counts.items():
            usual, most = counted.most_common(1)[0]
            if most >= 2 and most >= 0.75 * counted.total():
                learned[name] = usual
        return learned


def _is_subject(narration: str, place: int, name: str) -> bool:
    """Return whether a mention begins a sentence or clause, or stands before a verb in the past."""
    if _SPEAKS.search(narration[max(0, place - 20) : place]):
        return True
    if name.startswith(("a ", "an ")) and not _CLAUSE_START.search(narration[max(0, place - 12) : place]):
        return False  # "what a woman wanted"
    follows = re.match(r"[,]?\s+(\w+)", narration[place + len(name) : place + len(name) + 30])
    return bool(follows and (is_finite(follows[1]) or follows[1] in ("who", "then", "also", "now")))
