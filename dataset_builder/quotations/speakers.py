"""Says who speaks: the tag's name, else the person for whom its pronoun stands, else the turn in a dialogue."""

import re
from collections.abc import Sequence

from dataset_builder.quotations.finding import Speech
from dataset_builder.quotations.people import EITHER, Cast, head, named
from dataset_builder.quotations.tags import first_subject, sentence_start

NARRATOR = "the narrator"
_PRONOUNS = {"he": "he", "she": "she", "it": EITHER}
LOOK_BACK = 500  # characters of the story in which the person of a pronoun must have been mentioned
RIVAL_WITHIN = 60  # characters: another person that near to the best one makes a pronoun unclear
# Who is addressed: in the speech ("Robert, come here"), or in its tag ("said he to the wolf", "asked his wife:").
_ADDRESSED = re.compile(r"(?:^|[,!?.] )(?:\w+ )?(\w+)(?=[,!?.])")
_TOLD_BEFORE = re.compile(r"\b(?:to|asked|told) (?:the |his |her |a |my )?(?:\w+ ){0,2}?(\w+)\W*$")
_TOLD_AFTER = re.compile(r"\W*\w+ \w+ to (?:the |his |her )?(?:\w+ )?(\w+)")


class Speakers:
    """The speakers of a story's utterances, in order; "" where the rules do not tell."""

    def __init__(self, paragraphs: Sequence[str], speeches: Sequence[Speech]) -> None:
        self._starts = [0]
        for text in paragraphs:
            self._starts.append(self._starts[-1] + len(text) + 1)
        self._narration = self._without_speech(paragraphs, speeches)
        self._cast = Cast(self._narration)
        self._speeches = speeches
        self.names: list[str] = []
        self.rules: list[str] = []
        for number, speech in enumerate(speeches):
            name, rule = self._speaker(number, speech)
            self.names.append(name)
            self.rules.append(rule if name else "none")

    def _without_speech(self, paragraphs: Sequence[str], speeches: Sequence[Speech]) -> str:
        text = [*"\n".join(paragraphs)]
        for speech in speeches:
            for piece in speech.pieces:
                span = piece.span
                start, end = self._starts[span.paragraph] + span.start, self._starts[span.last] + span.end
                text[start:end] = " " * (end - start)
        return "".join(text)

    def _speaker(self, number: int, speech: Speech) -> tuple[str, str]:
        tag = speech.tag
        if tag and tag.speaker:
            return self._named(tag.speaker, number, speech), "pronoun" if self._is_pronoun(tag.speaker) else "name"
        if tag:
            return "", "none"
        if name := self._by_turn(number, speech):
            return name, "turn"
        return self._by_narration(number, speech), "narration"

    @staticmethod
    def _is_pronoun(words: str) -> bool:
        return words.lower() in ("he", "she", "it", "they", "we", "i", "one")

    def _named(self, words: str, number: int, speech: Speech) -> str:
        if words == "I":
            return NARRATOR
        if words.lower() in _PRONOUNS:
            return self._person(_PRONOUNS[words.lower()], number, speech)
        name = "" if self._is_pronoun(words) else named(words)
        return name if self._cast.is_name(name) else ""

    def _person(self, pronoun: str, number: int, speech: Speech) -> str:
        """Return for whom a pronoun in the tag of a speech stands, "" if two people fit about as well."""
        place = self._starts[speech.first.span.paragraph] + speech.first.span.start
        excluded = self._excluded(number, speech)
        fitting = [
            (mention.place, mention.name, mention.is_subject)
            for mention in self._cast.mentions
            if place - LOOK_BACK <= mention.place < place
            and self._fits(mention.pronoun, pronoun)
            and head(mention.name) not in excluded
        ]
        if number and (name := self.names[number - 1]) and name != NARRATOR and head(name) not in excluded:
            said = self._speeches[number - 1].pieces[-1].span
            if self._fits(self._cast.pronoun(name), pronoun) and place - LOOK_BACK < self._starts[said.last] + said.end:
                fitting.append((self._starts[said.last] + said.end, name, True))
        if any(self._cast.pronoun(name) == pronoun for _, name, _ in fitting):
            fitting = [one for one in fitting if self._cast.pronoun(one[1]) == pronoun]
        if len({head(name) for _, name, _ in fitting}) == 1:
            return max(fitting)[1]
        subjects = sorted((one for one in fitting if one[2]), reverse=True)
        if not subjects:
            return ""
        nearest = subjects[0]
        rivals = [one for one in fitting if head(one[1]) != head(nearest[1]) and one[0] > nearest[0] - RIVAL_WITHIN]
        return "" if rivals else nearest[1]

    @staticmethod
    def _fits(known: str, pronoun: str) -> bool:
        return known in (pronoun, EITHER)

    def _excluded(self, number: int, speech: Speech) -> set[str]:
        """Return heads of those who do not speak here: whom it addresses, and who spoke right before in a dialogue."""
        found = {word.lower() for word in _ADDRESSED.findall(speech.text)}
        if speech.tag and (told := _TOLD_BEFORE.search(speech.first.before)):
            found.add(told[1].lower())
        if speech.tag and (told := _TOLD_AFTER.match(speech.first.after)):
            found.add(told[1].lower())
        if number and self._follows(number) and self.names[number - 1]:
            found.add(head(self.names[number - 1]))
        return found

    def _follows(self, number: int) -> bool:
        """Return whether a speech answers the one before: in the next paragraph, with only tags between."""
        before, here = self._speeches[number - 1], self._speeches[number].first
        gap = here.span.paragraph - before.pieces[-1].span.last
        return gap == 1 and here.span.start <= 1 and len(before.pieces[-1].after.split()) <= 12

    def _by_turn(self, number: int, speech: Speech) -> str:
        """Return who spoke before the last in a dialogue of paragraphs that take turns."""
        if number < 2 or not (self._follows(number) and self._follows(number - 1)):
            return ""
        other, name = self.names[number - 1], self.names[number - 2]
        return name if name and other and head(name) != head(other) else ""

    def _by_narration(self, number: int, speech: Speech) -> str:
        """Return the subject of the narration that stands before the speech in its paragraph."""
        piece = speech.first
        before = piece.before.strip()
        if not before or (number and self._speeches[number - 1].pieces[-1].span.last == piece.span.paragraph):
            return ""
        subject = first_subject(before[sentence_start(before) :])
        return self._named(subject, number, speech) if subject else ""
