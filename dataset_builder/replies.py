"""Reads a teacher's reply: lists, one sentence, a paragraph, scored labels. What cannot be read is a BadReply.

Lists and labels may also come as JSON, by itself or in a fence: some teachers do so unasked, others are given the
schema (`SCHEMAS`). What comes by a schema is checked like all else.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

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


class BadReply(Exception):
    """A reply that cannot be used; `reason` is the code under which it is counted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


_NUMBER = re.compile(r"^\s*(?:[-*•–]\s+|[(\[]?\d{1,3}[.):\]]\s*)+")
_EMPHASIS = re.compile(r"(\*\*|__|`+)(.+?)\1")
_QUOTES = "\"“”«»„'‘’ \t"
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
    text = re.sub(r"^\s*```(?:json)?\s*\n|\n\s*```\s*$", "", text).strip()
    if not re.match(r"\{\s*[\"}]|\[\s*[\"{\[]", text):
        return None
    text = _closed(text) if cut else text
    try:
        value, _ = json.JSONDecoder(parse_constant=_no_number).raw_decode(text)
        json.dumps(value, ensure_ascii=False).encode()  # half a character (a lone surrogate) is an error here
    except (ValueError, RecursionError):
        raise BadReply("cut_off" if cut else "broken_json") from None
    if isinstance(value, dict) and len(value) == 1 and isinstance(only := next(iter(value.values())), list):
        value = only
    return list(value.items()) if isinstance(value, dict) else list(value)


def _closed(text: str) -> str:
    """Cut JSON up to its last comma, with the brackets closed that are open there."""
    stack: list[str] = []
    whole, quoted, escaped = text, False, False
    for place, character in enumerate(text):
        if quoted:
            quoted = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            quoted = True
        elif character in "[{":
            stack.append("]" if character == "[" else "}")
        elif character in "]}" and stack:
            stack.pop()
            if not stack:
                return text  # whole after all; what was cut came behind it
        elif character == ",":
            whole = text[:place] + "".join(reversed(stack))
    return whole


def _no_number(constant: str) -> float:
    raise ValueError(constant)


def items(text: str, cut: bool) -> list[str]:
    """The items of a list, one a line: numbered, bulleted or plain; the last one is dropped if the reply was cut."""
    found_json = _json(text, cut)
    if found_json is not None:
        if not (found := [item for item in map(_as_text, found_json) if item]):
            raise BadReply("empty")
        return found
    lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("```")]
    if cut and lines:
        lines.pop()
    found = [_EMPHASIS.sub(r"\2", _NUMBER.sub("", line)).strip() for line in lines]
    numbered = [bool(_NUMBER.match(line)) for line in lines]
    if any(numbered):  # talk before and after a numbered list is not part of it
        found = [item for item, is_numbered in zip(found, numbered, strict=True) if is_numbered]
    found = [item for item in found if item]
    if not found:
        raise BadReply("cut_off" if cut else "empty")
    return found


def _as_text(item: Any) -> str:
    """A JSON item as the line it would have been: a text, or the first text of an object."""
    if isinstance(item, dict):
        item = next((value for value in item.values() if isinstance(value, str)), "")
    return item.strip() if isinstance(item, str) else ""


def names(text: str, cut: bool) -> list[str]:
    """Names or roles from a list: what explains them (after a colon, a dash, a bracket) is left off, twins too."""
    found: dict[str, str] = {}
    listed = items(text, cut)
    if len(listed) == 1 and not _NUMBER.match(text) and re.search(r",| and ", listed[0]):
        listed = re.split(r"\s*,\s*(?:and\s+)?|\s+and\s+", listed[0])
    for item in listed:
        name = re.split(r"\s*[:(\[,;]|\s+[-–—]\s+", item, maxsplit=1)[0].strip(_QUOTES + ".*_")
        if name:
            found.setdefault(name.lower(), name)
    return list(found.values())


def utterances(text: str, cut: bool) -> list[tuple[str, str]]:
    """(emotion, utterance) pairs of lines such as `1. [joy] I did it!`; the emotion is lower case, "" if not given."""
    found = _json(text, cut)
    if found and all(isinstance(item, dict) for item in found):
        made = [(str(item.get("emotion", "")).lower(), str(item.get("text", "")).strip(_QUOTES)) for item in found]
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
        pairs.append((emotion.lower(), said.strip(_QUOTES)))
    return pairs


def sentence(text: str, cut: bool) -> str:
    """What somebody says: quotes are taken off, a final comma becomes a full stop, an unfinished end is dropped."""
    said = " ".join(_EMPHASIS.sub(r"\2", text).split()).strip(_QUOTES)
    if not said:
        raise BadReply("empty")
    if cut:
        return _whole_sentences(said)
    if said[-1] in ",;:":
        said = said[:-1] + "."
    return said if said[-1] in ".!?…" else said + "."


def paragraph(text: str, cut: bool) -> str:
    """A short text: lines joined, fences and a leading `Text:` taken off, an unfinished last sentence dropped."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("```")]
    joined = re.sub(r"^(?:text|context|situation|answer)\s*:\s*", "", " ".join(lines), flags=re.IGNORECASE)
    joined = _EMPHASIS.sub(r"\2", joined).strip(_QUOTES.replace("'", ""))
    if not joined:
        raise BadReply("empty")
    return _whole_sentences(joined) if cut else joined


def _whole_sentences(text: str) -> str:
    """The text up to its last sentence end. Raises BadReply when there is none."""
    match = re.match(r"(.*[.!?…][\"”'’)]*)(?:\s|$)", text, flags=re.DOTALL)
    if not match:
        raise BadReply("cut_off")
    return match[1].strip()


def scored_labels(text: str, cut: bool) -> list[RawLabel]:
    """Emotion words with levels, as in `1. joy: 0.8`; levels are rounded to the grid of 0.1 (paper A, Table 15)."""
    found = _json_levels(_json(text, cut) or [])
    for item in [] if found else _labels_of(items(text, cut)):
        match = re.match(r"[\[\"']?([A-Za-z][A-Za-z -]*?)[\]\"']?\s*[:=(\[–-]+\s*(\d?[.,]\d+|\d+)(?!\d)", item)
        if match:
            found.setdefault(match[1].strip().lower(), round(float(match[2].replace(",", ".")), 1))
    if not found:
        raise BadReply("no_scores")
    if max(found.values()) > 1 or min(found.values()) < 0:
        raise BadReply("score_out_of_range")
    return [RawLabel(label=label, score=score) for label, score in found.items()]


def _json_levels(listed: list[Any]) -> dict[str, float]:
    """Labels with levels of a JSON reply: pairs, objects of a label and a level, or one object of label: level."""
    found: dict[str, float] = {}
    for item in listed:
        pair = [*item.values()] if isinstance(item, dict) else item
        if isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[0], str):
            try:
                found.setdefault(pair[0].strip().lower(), round(float(pair[1]), 1))
            except (TypeError, ValueError, OverflowError):
                continue
    return found


def _labels_of(lines: Iterable[str]) -> Iterable[str]:
    """Each `label: score` by itself, also where a reply puts several on one line."""
    for line in lines:
        yield from re.split(r"\s*[,;]\s+(?=[A-Za-z])", line)


def descriptors(text: str, cut: bool) -> list[str]:
    """Free emotion words or phrases, separated by commas or one a line; twins, and what has over 4 words, left off."""
    listed = _json(text, cut)
    if listed is not None:
        text, cut = ", ".join(map(_as_text, listed)), False
    lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("```")]
    joined = re.sub(r"^\s*(?:emotions?|answer)\s*:", "", ", ".join(_NUMBER.sub("", line) for line in lines), flags=re.I)
    parts = [_EMPHASIS.sub(r"\2", part).strip(_QUOTES + ".!*_").lower() for part in re.split(r"[,;]|\band\b", joined)]
    if cut:
        parts.pop()
    found = [part for part in dict.fromkeys(parts) if part and len(part.split()) <= 4 and not re.search(r"\d", part)]
    if not found:
        raise BadReply("cut_off" if cut else "empty")
    return found
