"""Says who speaks: the tag's name, else the person for whom its pronoun stands, else the turn in a dialogue."""

import re
from collections.abc import Sequence

from dataset_builder.quotations.finding import Speech
from dataset_builder.quotations.people import EITHER, NOBODY, Cast, head, named
from dataset_builder.quotations.tags import first_subject, sentence_start

NARRATOR = "the narrator"
_PRONOUNS = {"he": "he", "she": "she", "it": EITHER}
LOOK_BACK = 500  # characters of the story in which the person of a pronoun must have been mentioned
RIVAL_WITHIN = 60  # characters: another person that near to the best one makes a pronoun unclear
# Who is addressed: in the speech ("Robert, come here"), or in its tag ("said he to the wolf", "asked his wife:").
_ADDRESSED = re.compile(r"(?:^|[,!?.] )(?:\w+ )?(\w+)(?=[,!?.])")
_TOLD_BEFORE = re.compile(r"\b(?:to|asked|told) (?:the |his |her |a |my )?(?:\w+ ){0,2}?(\w+)\W*$")
_TOLD_AFTER = re.compile(r"\W*\w+ \w+ to (?:the |his |her )?(?:\w+ )?(\w+)")
# Words with which an answer begins.
_ANSWER = re.compile(r"(?:Yes|No|Nay|Oh?|Ah|Indeed|Certainly|Well|Never|Not)\b")


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
        if name := self._by_continuation(number, speech):
            return name, "continuation"
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
        if own := self._own_subject(speech):
            if head(own) in NOBODY:
                return ""  # "the first looked round, and he said"
            name = named(own)
            if (
                self._cast.is_known(name)
                and self._fits(self._cast.pronoun(name), pronoun)
                and head(name) not in excluded
            ):
                return name
        fitting = [
            (mention.place, mention.name, mention.is_subject)
            for mention in self._cast.mentions
            if place - LOOK_BACK <= mention.place < place
            and self._fits(mention.pronoun, pronoun)
            and head(mention.name) not in excluded
            and (mention.is_subject or not re.match(r"an?\s", mention.name))  # not "what a woman wanted"
        ]
        if number and (name := self.names[number - 1]) and name != NARRATOR and head(name) not in excluded:
            said = self._speeches[number - 1].pieces[-1].span
            if self._fits(self._cast.pronoun(name), pronoun) and place - LOOK_BACK < self._starts[said.last] + said.end:
                fitting.append((self._starts[said.last] + said.end, name, True))
        if len({head(name) for _, name, _ in fitting}) == 1:
            _, name, is_subject = max(fitting)
            return name if is_subject or self._cast.pronoun(name) == pronoun else ""
        subjects = sorted((one for one in fitting if one[2]), reverse=True)
        if not subjects:
            return ""
        nearest = subjects[0]
        if self._cast.pronoun(nearest[1]) != pronoun:
            return ""
        rivals = [one for one in fitting if head(one[1]) != head(nearest[1]) and one[0] > nearest[0] - RIVAL_WITHIN]
        return "" if rivals else nearest[1]

    def _own_subject(self, speech: Speech) -> str:
        """Return the subject of the sentence whose pronoun speaks: "the king" of "When the king saw it, he said"."""
        if not speech.first.tag_before:
            return ""
        lead = speech.first.before.strip()
        lead = lead[sentence_start(lead) :]
        subject = first_subject(re.sub(r"^(?:When|As|While|After|Before|As soon as)\s+", "", lead))
        return "" if self._is_pronoun(subject) else subject

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

    def _by_continuation(self, number: int, speech: Speech) -> str:
        """Return who spoke right before in the paragraph, if only the tag stands between: "said the cat. \"And"."""
        if not number:
            return ""
        before = self._speeches[number - 1].pieces[-1]
        tag, here = before.tag_after, speech.first.span
        if not tag or before.span.last != here.paragraph or before.span.text.endswith("?") or _ANSWER.match(here.text):
            return ""
        return self.names[number - 1] if re.fullmatch(r"[^.!?;]*[.!?]?\s*", before.after[tag.end :]) else ""

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
        name = self._named(subject, number, speech) if subject else ""
        return name if self._cast.is_known(name) else ""
