"""Joins the quoted spans of a story to utterances, and finds the speech tag of each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from dataset_builder.quotations.marks import Span, spans
from dataset_builder.quotations.tags import PRONOUN, Tag, sentence_start, tag_after, tag_before

LONGEST_INTERRUPTION = 30  # words of narration inside one utterance


@dataclass(frozen=True)
class Piece:
    """A quoted span with the narration around it, in its paragraph, up to the spans next to it."""

    span: Span
    before: str
    after: str
    tag_before: Tag | None
    tag_after: Tag | None

    @property
    def speaker(self) -> str:
        """The speaker as a tag has it: "he", "the old king"; "" without a tag."""
        tag = self.tag_after or self.tag_before
        return tag.speaker if tag else ""


@dataclass(frozen=True)
class Speech:
    """An utterance: one piece, or several with their tags between them."""

    pieces: tuple[Piece, ...]
    text: str

    @property
    def first(self) -> Piece:
        """The piece where it begins."""
        return self.pieces[0]

    @property
    def tag(self) -> Tag | None:
        """Its first tag."""
        return next((tag for piece in self.pieces for tag in (piece.tag_before, piece.tag_after) if tag), None)


def speeches(paragraphs: Sequence[str]) -> list[Speech]:
    """Return all utterances of a story in order."""
    found: list[Speech] = []
    for group in _by_paragraph(_pieces(paragraphs)):
        shared = _is_shared(group)
        open_speech: list[Piece] = []
        for piece in group:
            if open_speech and _goes_on(open_speech[-1], piece, shared):
                open_speech.append(piece)
            else:
                if open_speech:
                    found.append(_speech(open_speech))
                open_speech = [piece]
        found.append(_speech(open_speech))
    return found


def _by_paragraph(pieces: Sequence[Piece]) -> list[list[Piece]]:
    groups: list[list[Piece]] = []
    for piece in pieces:
        if groups and groups[-1][-1].span.last == piece.span.paragraph:
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return groups


def _pieces(paragraphs: Sequence[str]) -> list[Piece]:
    found = spans(paragraphs)
    pieces: list[Piece] = []
    for number, span in enumerate(found):
        former = found[number - 1] if number else None
        later = found[number + 1] if number + 1 < len(found) else None
        begins = former.end if former and former.last == span.paragraph else 0
        ends = later.start if later and later.paragraph == span.last else len(paragraphs[span.last])
        before, after = paragraphs[span.paragraph][begins : span.start], paragraphs[span.last][span.end : ends]
        if not before.strip() and not begins and span.paragraph:
            # "He said in a low voice:", then the speech in a paragraph of its own
            above = paragraphs[span.paragraph - 1]
            left = former.end if former and former.last == span.paragraph - 1 else 0
            if above.rstrip().endswith((":", ",")):
                before = above[left:]
        follows = _tag_after(span, after)
        leads = tag_before(before) if before.strip() else None
        if leads and pieces and pieces[-1].tag_after and pieces[-1].span.last == span.paragraph:
            # What stands between two spans may be the tag of the first alone.
            leads = _second_tag(before, pieces[-1].tag_after)
        if leads and follows and _is_of_the_next(span, after, leads, follows):
            follows = None
        pieces.append(Piece(span, before, after, None if follows else leads, follows))
    return pieces


def _second_tag(narration: str, first: Tag) -> Tag | None:
    """Return the tag of the later span in the narration between two spans, after the tag of the former one."""
    rest = narration[first.end :]
    if not re.search(r"[.;!?]\s+\S|,?\s+(?:and|but|while|then|so)\s", rest):
        return None
    found = re.search(r"(?:[.;!?]\s+|,?\s+(?=(?:and|but|while|then|so)\s))", rest)
    tag = tag_before(rest[found.end() :]) if found else None
    if tag and found and not tag.speaker:
        return replace(tag, speaker=first.speaker)
    return tag


def _is_of_the_next(span: Span, after: str, leads: Tag, follows: Tag) -> bool:
    """Return whether the tag after a span is that of the next one: 'The ants said, "Why?" Samira said, "Because."'."""
    same = not leads.speaker or leads.speaker.lower() == follows.speaker.lower() or PRONOUN.fullmatch(follows.speaker)
    return not same and span.text[-1:] in ".!?" and after.rstrip()[-1:] in (",", ":")


def _tag_after(span: Span, after: str) -> Tag | None:
    tag = tag_after(after)
    if not tag:
        return None
    last = span.text[-1:]
    begins = after.lstrip(" ,;—–-")[:1]
    if last == "." and begins.isupper() and not after.lstrip().startswith((",", "—")):
        return None  # a sentence of its own: "He said no more."
    return tag


def _is_shared(group: Sequence[Piece]) -> bool:
    """Return whether several people speak in a paragraph: two tags of its own, or speech right after speech."""
    speakers = {piece.speaker.lower() for piece in group if piece.speaker}
    adjacent = any(not piece.before.strip() for piece in group[1:])
    return len(speakers) > 1 or adjacent


def _goes_on(former: Piece, piece: Piece, shared: bool) -> bool:
    """Return whether a span is the rest of the utterance before it: only the tag of that stands between."""
    between = piece.before
    if former.span.fault or piece.span.fault or not between.strip() or piece.tag_before:
        return False
    if len(between.split()) > LONGEST_INTERRUPTION or sentence_start(between.strip()) > 0:
        return False
    if not former.tag_after:  # a clause that is no tag may still stand inside a sentence: the next word is small
        return (
            bool(re.match(r"\s*[,a-z]", between)) and piece.span.text[:1].islower() and between.rstrip()[-1:] in ",;—–-"
        )
    if piece.tag_after and piece.tag_after.speaker.lower() != former.tag_after.speaker.lower():
        return False
    if between.rstrip()[-1:] in ",;:—–-" or piece.span.text[:1].islower():
        return former.span.text[-1:] not in "." or piece.span.text[:1].islower()
    return not shared and not piece.tag_after


def _speech(pieces: Sequence[Piece]) -> Speech:
    text = pieces[0].span.text
    for former, piece in pairwise(pieces):
        new_sentence = former.after.rstrip()[-1:] in ".!?" and piece.span.text[:1].isupper()
        if text.endswith(",") and new_sentence:
            text = text[:-1] + "."
        text = f"{text} {piece.span.text}"
    return Speech(tuple(pieces), _tidy(text))


def _tidy(text: str) -> str:
    """Return speech as a text of its own: one space between words, no comma or semicolon of its tag at the end."""
    text = re.sub(r"\s+", " ", text.replace("_", " ")).strip()
    text = re.sub(r"\s*-{2,}\s*", "—", text)
    text = re.sub(r"\s+([,.!?;:])(?=\s|$)", r"\1", text)
    if text.endswith((",", ";", ":")):
        text = text[:-1].rstrip()
    if text[-1:].isalnum() or text[-1:] in "’'":
        text += "."
    return text
