"""Parses a teacher's reply: a list, a sentence, a paragraph or scored labels. Raises BadReply if parsing fails.

Lists and labels may also be JSON, with or without a code fence: some teachers write JSON unasked, others are given a
schema (`SCHEMAS`). JSON is checked like any other reply.
"""

import contextlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from dataset_builder.filters.validate import words
from dataset_builder.schema import RawLabel
from dataset_builder.taxonomy import LABELS
from dataset_builder.teachers.reply_text import (
    LIST_MARKER,
    QUOTES,
    BadReply,
    close_json,
    text_lines,
    whole_sentences,
    with_table_rows,
    without_assistant_talk,
    without_emphasis,
    without_fence,
    without_introduction,
    without_marker,
    without_quotes,
)


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


_TEXT: Final = {"type": "string"}
_LABEL: Final = {"enum": list(LABELS)}
_LABEL_LEVEL: Final = {"enum": [n / 10 for n in range(11)]}
VERBALISED_BY_A_JUDGE: Final = "judges/verbalised"
_LABELS: Final = _object(labels=_list(_object(emotion=_LABEL, level=_LABEL_LEVEL)))
# The JSON schemas of answers, by prompt file.
SCHEMAS: Final[Mapping[str, Mapping[str, Any]]] = {
    "characters": _object(characters=_list(_TEXT)),
    "utterances_list": _object(utterances=_list(_object(emotion=_LABEL, text=_TEXT))),
    "labels_verbalised": _LABELS,
    VERBALISED_BY_A_JUDGE: _LABELS,
    "descriptors_generated": _object(descriptors=_list(_TEXT)),
}
# Prompts whose answers are labels and levels alone.
CLOSED_FORM: Final = ("labels_verbalised", "closed_set", VERBALISED_BY_A_JUDGE)


_LABEL_WORDS = re.compile(r"[^\W\d_](?:[^\W\d_]|[ '’-](?=[^\W\d_]))*")  # letters, with single signs between them
_AROUND_LABEL = " :：=→([)]|–—-\"'*"
_BEFORE_LEVEL = frozenset(":：=→([|–—-")
# The ways in which teachers write a level: .8, 0,8, 80 %, 8/10, 8 out of 10.
_LEVEL = re.compile(
    r"(\d{0,3}[.,]\d+(?:e-\d{1,2})?|\d+(?:e-\d{1,2})?) ?(?:(%|percent)|(?:/|out of) ?(\d{1,3}))?", re.IGNORECASE
)
# Words between a label and its level: "joy: Expressiveness level: 0.8", "joy, with an intensity of 0.8".
_OF_LEVEL = (
    r"(?:with )?(?:an? )?(?:expressiveness |emotional )?(?:level|score|intensity|strength|expressiveness)\b(?: of| is)?"
)
_WORDS_OF_LEVEL = re.compile(rf"[ :：=,(|–—-]{{1,4}}{_OF_LEVEL}[ :：=]{{0,3}}$", re.IGNORECASE)
_NEXT_LABEL = re.compile(rf" ?[,;] (?=[A-Za-z])(?!{_OF_LEVEL})", re.IGNORECASE)
_NEGATIVE = re.compile(r"[:：=|] ?[-−–]$")
_TAG = re.compile(r"[\[【]\s?([A-Za-z]+)\s?[\]】]\s?[:–-]?\s?")
_TAG_WITHIN = 25  # characters: the prefix before a tag is a line number ("a)", "Utterance 1:")
# The second form matches an answer whose opening bracket was in the prefill.
_BRACKETED = re.compile(r"[\[(]\s*([^\])]+?)\s*[\])]\s*[:–-]?\s*(.+)|([A-Za-z]+)\s*\]\s*[:–-]?\s*(.+)")
_NAMED = re.compile(r"\**([A-Za-z]+)\**\s*[:–-]\**\s+(.+)")
_NO_ITEM = frozenset(("none", "n/a", "nobody", "no one", "no character", "no characters"))
_BETWEEN_NAMES = re.compile(r" ?, ?(?:and )?| and ")
_NAME = r"[^\W\d_a-z][\w.'’-]{0,30}(?: [^\W\d_a-z][\w.'’-]{0,30}){0,3}"
_NAMES = re.compile(rf"{_NAME}(?:, {_NAME}){{0,9}},? and {_NAME}")  # several names in one item of a list
_HEADING = re.compile(r"^(?:the )?(?:main )?(?:characters?|names?)(?: in the story)?(?: are| is)? ?: ?", re.IGNORECASE)
_EMOTIONS_ARE = re.compile(r"^(?:\w+[!,.] )?(?:(?:here are )?the )?(?:emotions?|answer)[^,;:]{0,40}:", re.IGNORECASE)
_TEXT_IS = re.compile(r"^(?:text|context|situation|answer) ?: ?", re.IGNORECASE)
_JSON_AT_START = re.compile(r"\{\s*[\"}]|\[\s*[\"{\[]")
_JSON_ON_A_LINE = re.compile(r"^(?:\{\s*\"|\[\s*[\"{])", re.MULTILINE)  # after a line that introduces it
LONGEST_LABEL, MOST_LABELS = 40, 40  # characters of a label, and labels of one text; longer strings are not labels
# Beginnings of an assistant's refusal, but not of a character's utterance ("I can't help but smile").
_REFUSAL = re.compile(
    r"^\W*(?:1\W+)?(?:\w{1,20}\] ?)?(?:(?:(?:i'm|i am) )?(?:very )?(?:sorry|afraid)\W+)?(?:but )?"
    r"(?:(?:as|i'm|i am) (?:just |only )?an? (?:ai|artificial|(?:large )?language model|virtual assistant)\b|"
    r"i (?:cannot|can't|can not|am unable to|am not able to|won't) "
    r"(?:assist|fulfil|comply|generate|rewrite this|engage in|provide (?:that|this|you)|"
    r"help (?:you )?with (?:that|this|your)|(?:write|create) (?:that|this|such)))",
    re.IGNORECASE,
)


def check_refusal_and_echo(text: str, instructions: str) -> None:
    """Raise BadReply for a refusal, or for a reply that repeats eight consecutive words of its instructions."""
    if is_refusal(text):
        raise BadReply("refusal")
    if shingles(text) & shingles(instructions):
        raise BadReply("prompt_echo")


def is_refusal(text: str) -> bool:
    """Return whether a text begins like an assistant's refusal."""
    return bool(_REFUSAL.match(text))


def shingles(text: str) -> set[tuple[str, ...]]:
    """Return all sequences of eight consecutive words."""
    found = words(text)
    return {tuple(found[i : i + 8]) for i in range(len(found) - 7)}


# ------------------------------------------------------------------ lists


def items(text: str, cut: bool) -> list[str]:
    """Return list items, one per line: numbered, bulleted or plain. If the reply was cut, the last item is dropped."""
    listed = _json_list(text, cut)
    if listed is not None:
        found = [item for item in map(_item_text, listed) if item]
    else:
        lines = with_table_rows(text_lines(text))
        lines = [without_emphasis(line) for line in (lines[:-1] if cut else lines)]
        marked = [line for line in lines if LIST_MARKER.match(line)]
        # Lines before and after a numbered list are not part of it.
        found = [item for item in map(without_marker, marked or lines) if item]
    if not found:
        raise BadReply("cut_off" if cut and listed is None else "empty")
    return found


def names(text: str, cut: bool) -> list[str]:
    """Return the names or roles in a list, without duplicates or explanations (after a colon, dash or bracket)."""
    listed = items(text, cut)
    if len(listed) == 1:
        listed = [_HEADING.sub("", listed[0], count=1)]
        if not LIST_MARKER.match(text) and re.search(r",| and ", listed[0]):
            listed = _BETWEEN_NAMES.split(listed[0])
    listed = [name for item in listed for name in (_BETWEEN_NAMES.split(item) if _NAMES.fullmatch(item) else [item])]
    found: dict[str, str] = {}
    for item in listed:
        name = re.split(r" ?[:(\[,;]| [-–—] ", item, maxsplit=1)[0].strip(QUOTES + ".*_")
        if name and name.lower() not in _NO_ITEM:
            found.setdefault(name.lower(), name)
    return list(found.values())


def utterances(text: str, cut: bool) -> list[tuple[str, str]]:
    """Return (emotion, utterance) pairs from lines like `1. [joy] I did it!`; emotions in lower case, "" if missing."""
    listed = _json_list(text, cut)
    if listed and all(isinstance(item, (dict, list, tuple)) for item in listed):
        pairs = [pair for pair in map(_utterance_of_json, listed) if pair[1]]
        if not pairs:
            raise BadReply("empty")
        return pairs
    lines = [part for item in items(text, cut) for part in re.split(r"(?<=\S) (?=\d{1,2}[.)] ?\[)", item)]
    # A word and a colon before one utterance may be part of it; before every utterance they name the emotion.
    named = [_NAMED.match(line) for line in lines]
    all_named = len(lines) > 1 and all(name and ":" in name.string[: name.start(2)] for name in named)
    pairs = []
    for line in lines:
        emotion, said = _split_emotion(line, any_word=all_named)
        pairs.append((emotion.lower(), without_quotes(said)))
    return pairs


def _split_emotion(line: str, *, any_word: bool) -> tuple[str, str]:
    """Return the emotion and the utterance of a line. With `any_word`, any word before a colon is an emotion."""
    if bracketed := _BRACKETED.match(line):
        return bracketed[1] or bracketed[3], bracketed[2] or bracketed[4]
    tag = _TAG.search(line[:_TAG_WITHIN])
    if tag and tag[1].lower() in LABELS:
        return tag[1], line[tag.end() :]
    name = _NAMED.match(line)
    if name and (any_word or name[1].lower() in LABELS):  # "Well - I never" names no emotion
        return name[1], name[2]
    return "", line


def descriptors(text: str, cut: bool) -> list[str]:
    """Return unique emotion words or phrases of at most 4 words, separated by commas or one per line."""
    listed = _json_list(text, cut)
    if listed is not None:
        text, cut = ", ".join(map(_item_text, listed)), False
    lines = map(without_marker, with_table_rows(text_lines(text)))
    joined = _EMOTIONS_ARE.sub("", ", ".join(lines).lstrip(), count=1)
    parts = re.split(r"[,;]|\band\b", joined)
    parts = [without_emphasis(part).partition(" (")[0].strip(QUOTES + ".!*_").lower() for part in parts]
    found = [part for part in dict.fromkeys(parts[:-1] if cut else parts) if _is_descriptor(part)]
    if not found:
        raise BadReply("cut_off" if cut else "empty")
    return found


def _is_descriptor(part: str) -> bool:
    short = 0 < len(part) <= LONGEST_LABEL and len(part.split()) <= 4
    return short and part not in _NO_ITEM and bool(_LABEL_WORDS.fullmatch(part))


# ------------------------------------------------------------------ texts


def sentence(text: str, cut: bool) -> str:
    """Return one utterance: without quotes, a final comma as a full stop, an unfinished end dropped."""
    said = without_quotes(without_introduction(without_emphasis(_text_of_json(text, cut))))
    if not said:
        raise BadReply("empty")
    if cut:
        return whole_sentences(said)
    said = said[:-1] + "." if said[-1] in ",;:" else said
    return said if said[-1] in ".!?…" else said + "."


def paragraph(text: str, cut: bool) -> str:
    """Return a short text on one line, without a code fence, a leading `Text:` or an unfinished last sentence."""
    lines = without_assistant_talk(text_lines(_text_of_json(text, cut)))
    joined = without_emphasis(_TEXT_IS.sub("", " ".join(lines))).strip(QUOTES.replace("'", ""))
    if not joined:
        raise BadReply("empty")
    return whole_sentences(joined) if cut else joined


# ------------------------------------------------------------------ scored labels


def chosen_labels(text: str, cut: bool, labels: Sequence[str], single: bool) -> list[str]:
    """Return the labels of a closed list that a reply names, separated by commas or one a line; one if `single`.

    Raises:
        BadReply: the reply names something else, or several labels where one is wanted.
    """
    known = {label.casefold(): label for label in labels}
    named = [part for line in text_lines(text) for part in re.split(r"[,;]", without_marker(line))]
    parts = [part for item in named if (part := item.strip(QUOTES + " .!*_").casefold())]
    found = list(dict.fromkeys(known[part] for part in parts if part in known))
    if not found or len(found) < len({*parts}) or (single and len(found) > 1):
        raise BadReply("cut_off" if cut else "not_in_list")
    return found


def valence(text: str, cut: bool) -> int:
    """Return the number from 1 to 5 that a reply begins with. Raises BadReply if there is none."""
    number = re.match(r"\W*(?:valence\W*)?([1-5])(?![\d.,/]*\d)", text, re.IGNORECASE)
    if not number:
        raise BadReply("cut_off" if cut else "no_scores")
    return int(number[1])


def scored_labels(text: str, cut: bool) -> list[RawLabel]:
    """Return emotion words with levels, as in `1. joy: 0.8`, rounded to multiples of 0.1 (paper A, Table 15)."""
    found: dict[str, float] = {}
    for label, level in map(_label_of_json, _json_list(text, cut) or []):
        if level is not None and _LABEL_WORDS.fullmatch(label):
            found.setdefault(label, level)
    for part in _parts(text, cut) if not found else ():
        label, level = _label_of_text(part)
        if level is not None and _LABEL_WORDS.fullmatch(label):
            found.setdefault(label.lower(), level)
    found = {label: round(level, 1) for label, level in found.items() if len(label) <= LONGEST_LABEL}
    if not found:
        raise BadReply("no_scores")
    if not all(0 <= level <= 1 for level in found.values()):
        raise BadReply("score_out_of_range")
    return [RawLabel(label=label, score=score) for label, score in [*found.items()][:MOST_LABELS]]


def _parts(text: str, cut: bool) -> list[str]:
    """Return each `label: level` in a list, even if several are on one line."""
    return [part for item in items(text, cut) for part in _NEXT_LABEL.split(item)]


def _label_of_text(part: str) -> tuple[str, float | None]:
    """Return the label and the level of `label: level`; the level is None if it is missing."""
    level = _LEVEL.search(part)
    before = part[: level.start()] if level else ""
    before = _WORDS_OF_LEVEL.sub(": ", before)
    label = before.strip(_AROUND_LABEL).partition(" (")[0]
    between = before[len(before.rstrip(_AROUND_LABEL)) :]
    if not level or not (_BEFORE_LEVEL.intersection(between) or label.lower() in LABELS):
        return label, None
    return label, -1.0 if _NEGATIVE.search(before) else _share(level)


def _label_of_json(item: Any) -> tuple[str, float | None]:
    """Return the label and the level of a JSON pair, or of a JSON object's first two values."""
    pair = [*item.values()][:2] if isinstance(item, dict) else item
    if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not isinstance(pair[0], str):
        return "", None
    label, level = " ".join(pair[0].split()).lower(), pair[1]
    if isinstance(level, str) and (written := _LEVEL.fullmatch(level.strip())):
        return label, _share(written)
    try:
        value = math.nan if isinstance(level, bool) else float(level)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    return label, value if math.isfinite(value) else None


def _share(level: re.Match[str]) -> float:
    """Return a level from 0 to 1, from a number, a percentage, or a fraction such as 8/10 or 8 out of 10."""
    number = float(level[1].replace(",", "."))
    return number / (100 if level[2] else int(level[3] or 1) or 1)


# ------------------------------------------------------------------ JSON


def _json_list(text: str, cut: bool) -> list[Any] | None:
    """Return the list in a reply that is JSON (itself, or the only value of an object); None if the reply is not JSON.

    If the reply was cut, its unfinished end is dropped.
    """
    text = without_fence(text)
    begins = _JSON_AT_START.match(text) or _JSON_ON_A_LINE.search(text)
    if not begins:
        return None
    text = text[begins.start() :]
    value: Any = None
    for candidate in (text, close_json(text)) if cut else (text,):
        with contextlib.suppress(ValueError, RecursionError):
            value, _ = json.JSONDecoder(parse_constant=_no_number).raw_decode(candidate)
            json.dumps(value, ensure_ascii=False).encode()  # half a character (a lone surrogate) is an error here
            break
    else:
        raise BadReply("cut_off" if cut else "broken_json")
    if isinstance(value, dict) and len(value) == 1 and isinstance(only := next(iter(value.values())), (list, dict)):
        value = only
    return list(value.items()) if isinstance(value, dict) else list(value)


def _no_number(constant: str) -> float:
    raise ValueError(constant)


def _one_line(value: Any) -> str:
    """Return a JSON string on one line; "" for any other value."""
    return " ".join(value.split()) if isinstance(value, str) else ""


def _item_text(item: Any) -> str:
    """Return a JSON item as a line of text: a string, or the first string of an object."""
    if isinstance(item, dict):
        item = next((value for value in item.values() if isinstance(value, str)), "")
    return _one_line(item)


def _text_of_json(text: str, cut: bool) -> str:
    """Return the first text in a JSON reply; if the reply is not JSON, return it unchanged."""
    if not (listed := _json_list(text, cut)):
        return text
    first = listed[0]
    return _item_text(first[-1] if isinstance(first, (list, tuple)) and first else first)


def _utterance_of_json(item: Any) -> tuple[str, str]:
    """Return the emotion and the utterance of a pair, or of an object with any keys; "" for a missing part."""
    if not isinstance(item, dict):
        item = dict(zip(("emotion", "text"), item, strict=False))
    others = (value for key, value in item.items() if key != "emotion" and isinstance(value, str))
    said = item["text"] if isinstance(item.get("text"), str) else max(others, key=len, default="")
    return _one_line(item.get("emotion")).lower(), without_quotes(_one_line(said))
