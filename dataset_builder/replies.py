"""Reads a teacher's reply: lists, one sentence, a paragraph, scored labels. What cannot be read is a BadReply.

Lists and labels may also come as JSON, by itself or in a fence: some teachers do so unasked, others are given the
schema (`SCHEMAS`). What comes by a schema is checked like all else.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from dataset_builder.reply_text import (
    MARKER,
    QUOTES,
    closed,
    lines_of,
    plain,
    unquoted,
    whole_sentences,
    without_fence,
)
from dataset_builder.reply_text import BadReply as BadReply
from dataset_builder.reply_text import answer_of as answer_of
from dataset_builder.schema import RawLabel
from dataset_builder.taxonomy import LABELS


def _listed(key: str, item: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {key: {"type": "array", "items": item, "minItems": 1}},
        "required": [key],
        "additionalProperties": False,
    }


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


_TEXT: Final = {"type": "string"}
_LABEL: Final = {"enum": list(LABELS)}
SCHEMAS: Final[Mapping[str, Mapping[str, Any]]] = {
    "characters": _listed("characters", _TEXT),
    "utterances_list": _listed("utterances", _object(emotion=_LABEL, text=_TEXT)),
    "labels_verbalised": _listed("labels", _object(emotion=_LABEL, level={"enum": [n / 10 for n in range(11)]})),
    "descriptors_generated": _listed("descriptors", _TEXT),
}


_LABEL_WORDS = re.compile(r"[^\W\d_](?:[^\W\d_]|[ '’-](?=[^\W\d_]))*")  # letters, with single signs between them
_AROUND_LABEL = " :=([)]–-\"'*"
_BEFORE_LEVEL = frozenset(":=([–-")
LONGEST_LABEL, MOST_LABELS = 40, 40  # characters, and labels of one text: what is more is no label
# What an assistant says, at the beginning of its reply; what a character may say ("I can't help but smile") is none.
_REFUSAL = re.compile(
    r"^\W*(?:1\W+)?(?:(?:i'm|i am) (?:sorry|afraid)\W+)?(?:but )?(?:as an ai\b|as a language model\b|"
    r"i (?:cannot|can't|can not|am unable to|am not able to|won't) (?:assist|fulfil|comply|generate|rewrite this|"
    r"provide (?:that|this|you)|help (?:you )?with (?:that|this|your)|(?:write|create) (?:that|this|such)))",
    re.IGNORECASE,
)


def check_refusal_and_echo(text: str, instructions: str) -> None:
    """Raise BadReply for a refusal, or for a reply that repeats eight words in a row of its instructions."""
    if is_refusal(text):
        raise BadReply("refusal")
    if shingles(text) & shingles(instructions):
        raise BadReply("prompt_echo")


def is_refusal(text: str) -> bool:
    """Whether a text begins as an assistant's refusal does."""
    return bool(_REFUSAL.match(text))


def shingles(text: str, size: int = 8) -> set[tuple[str, ...]]:
    """All runs of `size` words."""
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + size]) for i in range(len(words) - size + 1)}


def _json(text: str, cut: bool) -> list[Any] | None:
    """The list in a reply that is JSON (itself, or the one value of an object); None where the reply is none.

    Of a reply that was cut, what is unfinished at its end is left off, as of a list of lines.
    """
    text = without_fence(text)
    if not re.match(r"\{\s*[\"}]|\[\s*[\"{\[]", text):
        return None
    text = closed(text) if cut else text
    try:
        value, _ = json.JSONDecoder(parse_constant=_no_number).raw_decode(text)
        json.dumps(value, ensure_ascii=False).encode()  # half a character (a lone surrogate) is an error here
    except (ValueError, RecursionError):
        raise BadReply("cut_off" if cut else "broken_json") from None
    if isinstance(value, dict) and len(value) == 1 and isinstance(only := next(iter(value.values())), list):
        value = only
    return list(value.items()) if isinstance(value, dict) else list(value)


def _no_number(constant: str) -> float:
    raise ValueError(constant)


def items(text: str, cut: bool) -> list[str]:
    """The items of a list, one a line: numbered, bulleted or plain; the last one is dropped if the reply was cut."""
    found_json = _json(text, cut)
    if found_json is not None:
        if not (found := [item for item in map(_as_text, found_json) if item]):
            raise BadReply("empty")
        return found
    lines = lines_of(text)
    if cut and lines:
        lines.pop()
    markers = [MARKER.match(line) for line in lines]
    found = [plain(line[marker.end() if marker else 0 :]).strip() for line, marker in zip(lines, markers, strict=True)]
    if any(markers):  # talk before and after a numbered list is not part of it
        found = [item for item, marker in zip(found, markers, strict=True) if marker]
    found = [item for item in found if item]
    if not found:
        raise BadReply("cut_off" if cut else "empty")
    return found


def _as_text(item: Any) -> str:
    """A JSON item as the line it would have been: a text, or the first text of an object."""
    if isinstance(item, dict):
        item = next((value for value in item.values() if isinstance(value, str)), "")
    return " ".join(item.split()) if isinstance(item, str) else ""


def names(text: str, cut: bool) -> list[str]:
    """Names or roles from a list: what explains them (after a colon, a dash, a bracket) is left off, twins too."""
    found: dict[str, str] = {}
    listed = items(text, cut)
    if len(listed) == 1 and not MARKER.match(text) and re.search(r",| and ", listed[0]):
        listed = re.split(r" ?, ?(?:and )?| and ", listed[0])
    for item in listed:
        name = re.split(r" ?[:(\[,;]| [-–—] ", item, maxsplit=1)[0].strip(QUOTES + ".*_")
        if name:
            found.setdefault(name.lower(), name)
    return list(found.values())


def utterances(text: str, cut: bool) -> list[tuple[str, str]]:
    """(emotion, utterance) pairs of lines such as `1. [joy] I did it!`; the emotion is lower case, "" if not given."""
    found = _json(text, cut)
    if found and all(isinstance(item, dict) for item in found):
        made = [(_word(item.get("emotion")), unquoted(_word(item.get("text"), lower=False))) for item in found]
        return [pair for pair in made if pair[1]]
    pairs = []
    for item in items(text, cut):
        bracketed = re.match(r"[\[(]\s*([^\])]+?)\s*[\])]\s*[:–-]?\s*(.+)|([A-Za-z]+)\s*\]\s*[:–-]?\s*(.+)", item)
        named = re.match(r"([A-Za-z]+)\s*[:–-]\s+(.+)", item)
        if bracketed:  # the second form where the begun answer held the opening bracket
            emotion, said = bracketed[1] or bracketed[3], bracketed[2] or bracketed[4]
        elif named and named[1].lower() in LABELS:  # "Well - I never" names none
            emotion, said = named[1], named[2]
        else:
            emotion, said = "", item
        pairs.append((emotion.lower(), unquoted(said)))
    return pairs


def _word(value: Any, *, lower: bool = True) -> str:
    """A JSON value as text; "" for what is none."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    return text.lower() if lower else text


def sentence(text: str, cut: bool) -> str:
    """What somebody says: quotes are taken off, a final comma becomes a full stop, an unfinished end is dropped."""
    said = unquoted(" ".join(plain(text).split()))
    if not said:
        raise BadReply("empty")
    if cut:
        return whole_sentences(said)
    if said[-1] in ",;:":
        said = said[:-1] + "."
    return said if said[-1] in ".!?…" else said + "."


def paragraph(text: str, cut: bool) -> str:
    """A short text: lines joined, fences and a leading `Text:` taken off, an unfinished last sentence dropped."""
    joined = re.sub(r"^(?:text|context|situation|answer) ?: ?", "", " ".join(lines_of(text)), flags=re.IGNORECASE)
    joined = plain(joined).strip(QUOTES.replace("'", ""))
    if not joined:
        raise BadReply("empty")
    return whole_sentences(joined) if cut else joined


def scored_labels(text: str, cut: bool) -> list[RawLabel]:
    """Emotion words with levels, as in `1. joy: 0.8`; levels are rounded to the grid of 0.1 (paper A, Table 15)."""
    found = _json_levels(_json(text, cut) or [])
    for item in [] if found else _labels_of(items(text, cut)):
        level = re.search(r"\d?[.,]\d+|\d+", item)
        before = item[: level.start()] if level else ""
        label = before.strip(_AROUND_LABEL)
        between = before[len(before.rstrip(_AROUND_LABEL)) :]
        if level and _BEFORE_LEVEL.intersection(between) and _LABEL_WORDS.fullmatch(label):
            found.setdefault(label.lower(), round(float(level[0].replace(",", ".")), 1))
    found = {label: level for label, level in found.items() if 0 < len(label) <= LONGEST_LABEL}
    if not found:
        raise BadReply("no_scores")
    if not all(0 <= level <= 1 for level in found.values()):
        raise BadReply("score_out_of_range")
    return [RawLabel(label=label, score=score) for label, score in [*found.items()][:MOST_LABELS]]


def _json_levels(listed: list[Any]) -> dict[str, float]:
    """Labels with levels of a JSON reply: pairs, objects of a label and a level, or one object of label: level."""
    found: dict[str, float] = {}
    for item in listed:
        pair = [*item.values()] if isinstance(item, dict) else item
        if isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[0], str):
            label = " ".join(pair[0].split()).lower()
            if isinstance(pair[1], bool) or not _LABEL_WORDS.fullmatch(label):
                continue
            try:
                level = float(pair[1])
            except (TypeError, ValueError, OverflowError):
                continue
            if math.isfinite(level):
                found.setdefault(label, round(level, 1))
    return found


def _labels_of(lines: Iterable[str]) -> Iterable[str]:
    """Each `label: score` by itself, also where a reply puts several on one line."""
    for line in lines:
        yield from re.split(r" ?[,;] (?=[A-Za-z])", line)


def _is_descriptor(part: str) -> bool:
    """Whether a part is a word or a short phrase of letters."""
    return 0 < len(part) <= LONGEST_LABEL and len(part.split()) <= 4 and bool(_LABEL_WORDS.fullmatch(part))


def descriptors(text: str, cut: bool) -> list[str]:
    """Free emotion words or phrases, separated by commas or one a line; twins, and what has over 4 words, left off."""
    listed = _json(text, cut)
    if listed is not None:
        text, cut = ", ".join(map(_as_text, listed)), False
    lines = [line[marker.end() if (marker := MARKER.match(line)) else 0 :] for line in lines_of(text)]
    joined = re.sub(r"^(?:emotions?|answer) ?:", "", ", ".join(lines).lstrip(), flags=re.IGNORECASE)
    parts = [plain(part).strip(QUOTES + ".!*_").lower() for part in re.split(r"[,;]|\band\b", joined)]
    if cut:
        parts.pop()
    found = [part for part in dict.fromkeys(parts) if _is_descriptor(part)]
    if not found:
        raise BadReply("cut_off" if cut else "empty")
    return found
