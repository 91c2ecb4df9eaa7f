"""Reads a teacher's reply: lists, one sentence, a paragraph, scored labels. What cannot be read is a BadReply.

Lists and labels may also come as JSON, by itself or in a fence: some teachers do so unasked, others are given the
schema (`SCHEMAS`). What comes by a schema is checked like all else.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from dataset_builder.schema import RawLabel
from dataset_builder.taxonomy import LABELS
from dataset_builder.teachers.reply_text import (
    MARKER,
    QUOTES,
    BadReply,
    closed,
    lines_of,
    plain,
    said_in,
    table_rows,
    unquoted,
    whole_sentences,
    without_fence,
    without_frame,
)


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
_AROUND_LABEL = " :：=→([)]|–—-\"'*"
_BEFORE_LEVEL = frozenset(":：=→([|–—-")
# A level as teachers write it: .8, 0,8, 80 %, 8/10, 8 out of 10.
_LEVEL = re.compile(
    r"(\d{0,3}[.,]\d+(?:e-\d{1,2})?|\d+(?:e-\d{1,2})?) ?(?:(%|percent)|(?:/|out of) ?(\d{1,3}))?", re.IGNORECASE
)
_NEGATIVE = re.compile(r"[:：=|] ?[-−–]$")
_TAG = re.compile(r"[\[【]\s?([A-Za-z]+)\s?[\]】]\s?[:–-]?\s?")
_TAG_WITHIN = 25  # characters: what stands before a tag numbers the line ("a)", "Utterance 1:")
_NO_ITEM = frozenset(("none", "n/a", "nobody", "no one", "no character", "no characters"))
_HEADING = re.compile(r"^(?:the )?(?:main )?(?:characters?|names?)(?: in the story)?(?: are| is)? ?: ?", re.IGNORECASE)
_EMOTIONS_ARE = re.compile(r"^(?:\w+[!,.] )?(?:(?:here are )?the )?(?:emotions?|answer)[^,;:]{0,40}:", re.IGNORECASE)
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
        begins = re.search(r"^(?:\{\s*\"|\[\s*[\"{])", text, re.MULTILINE)  # behind a line that announces it
        if not begins:
            return None
        text = text[begins.start() :]
    text = closed(text) if cut else text
    try:
        value, _ = json.JSONDecoder(parse_constant=_no_number).raw_decode(text)
        json.dumps(value, ensure_ascii=False).encode()  # half a character (a lone surrogate) is an error here
    except (ValueError, RecursionError):
        raise BadReply("cut_off" if cut else "broken_json") from None
    if isinstance(value, dict) and len(value) == 1 and isinstance(only := next(iter(value.values())), (list, dict)):
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
    lines = table_rows(lines_of(text))
    if cut and lines:
        lines.pop()
    lines = [*map(plain, lines)]
    markers = [MARKER.match(line) for line in lines]
    found = [line[marker.end() if marker else 0 :].strip() for line, marker in zip(lines, markers, strict=True)]
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
    if len(listed) == 1:
        listed = [_HEADING.sub("", listed[0], count=1)]
    if len(listed) == 1 and not MARKER.match(text) and re.search(r",| and ", listed[0]):
        listed = re.split(r" ?, ?(?:and )?| and ", listed[0])
    for item in listed:
        name = re.split(r" ?[:(\[,;]| [-–—] ", item, maxsplit=1)[0].strip(QUOTES + ".*_")
        if name and name.lower() not in _NO_ITEM:
            found.setdefault(name.lower(), name)
    return list(found.values())


def utterances(text: str, cut: bool) -> list[tuple[str, str]]:
    """(emotion, utterance) pairs of lines such as `1. [joy] I did it!`; the emotion is lower case, "" if not given."""
    found = _json(text, cut)
    if found and all(isinstance(item, (dict, list, tuple)) for item in found):
        made = [pair for pair in map(_pair, found) if pair[1]]
        if not made:
            raise BadReply("empty")
        return made
    listed = [part for item in items(text, cut) for part in re.split(r"(?<=\S) (?=\d{1,2}[.)] ?\[)", item)]
    named = [re.match(r"\**([A-Za-z]+)\**\s*[:–-]\**\s+(.+)", item) for item in listed]
    all_named = len(listed) > 1 and all(
        name and ":" in item[: name.start(2)] for name, item in zip(named, listed, strict=True)
    )
    pairs = []
    for item, name in zip(listed, named, strict=True):
        tag = _TAG.search(item[:_TAG_WITHIN])
        bracketed = re.match(r"[\[(]\s*([^\])]+?)\s*[\])]\s*[:–-]?\s*(.+)|([A-Za-z]+)\s*\]\s*[:–-]?\s*(.+)", item)
        if bracketed:  # the second form where the begun answer held the opening bracket
            emotion, said = bracketed[1] or bracketed[3], bracketed[2] or bracketed[4]
        elif tag and tag[1].lower() in LABELS:
            emotion, said = tag[1], item[tag.end() :]
        elif name and (all_named or name[1].lower() in LABELS):  # "Well - I never" names none
            emotion, said = name[1], name[2]
        else:
            emotion, said = "", item
        pairs.append((emotion.lower(), unquoted(said)))
    return pairs


def _pair(item: Any) -> tuple[str, str]:
    """Emotion and utterance of an object of a JSON reply, whatever its keys are called, or of a pair; "" for none."""
    if not isinstance(item, dict):
        item = dict(zip(("emotion", "text"), item, strict=False))
    others = (value for key, value in item.items() if key != "emotion" and isinstance(value, str))
    said = item["text"] if isinstance(item.get("text"), str) else max(others, key=len, default="")
    return _word(item.get("emotion")), unquoted(_word(said, lower=False))


def _word(value: Any, *, lower: bool = True) -> str:
    """A JSON value as text; "" for what is none."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    return text.lower() if lower else text


def sentence(text: str, cut: bool) -> str:
    """What somebody says: quotes are taken off, a final comma becomes a full stop, an unfinished end is dropped."""
    said = unquoted(said_in(plain(_of_json(text, cut))))
    if not said:
        raise BadReply("empty")
    if cut:
        return whole_sentences(said)
    if said[-1] in ",;:":
        said = said[:-1] + "."
    return said if said[-1] in ".!?…" else said + "."


def _of_json(text: str, cut: bool) -> str:
    """The first text of a reply that is JSON; the reply itself where it is none."""
    found = _json(text, cut)
    first = found[0] if found else text
    return _as_text(first[-1] if isinstance(first, (list, tuple)) and first else first) if found else text


def paragraph(text: str, cut: bool) -> str:
    """A short text: lines joined, fences and a leading `Text:` taken off, an unfinished last sentence dropped."""
    lines = without_frame(lines_of(_of_json(text, cut)))
    joined = re.sub(r"^(?:text|context|situation|answer) ?: ?", "", " ".join(lines), flags=re.IGNORECASE)
    joined = plain(joined).strip(QUOTES.replace("'", ""))
    if not joined:
        raise BadReply("empty")
    return whole_sentences(joined) if cut else joined


def scored_labels(text: str, cut: bool) -> list[RawLabel]:
    """Emotion words with levels, as in `1. joy: 0.8`; levels are rounded to the grid of 0.1 (paper A, Table 15)."""
    found = _json_levels(_json(text, cut) or [])
    for item in [] if found else _labels_of(items(text, cut)):
        level = _LEVEL.search(item)
        before = item[: level.start()] if level else ""
        label = before.strip(_AROUND_LABEL).partition(" (")[0]
        between = before[len(before.rstrip(_AROUND_LABEL)) :]
        marked = _BEFORE_LEVEL.intersection(between) or label.lower() in LABELS
        if level and marked and _LABEL_WORDS.fullmatch(label):
            found.setdefault(label.lower(), round(-1.0 if _NEGATIVE.search(before) else _share(level), 1))
    found = {label: level for label, level in found.items() if 0 < len(label) <= LONGEST_LABEL}
    if not found:
        raise BadReply("no_scores")
    if not all(0 <= level <= 1 for level in found.values()):
        raise BadReply("score_out_of_range")
    return [RawLabel(label=label, score=score) for label, score in [*found.items()][:MOST_LABELS]]


def _share(level: re.Match[str]) -> float:
    """A level from 0 to 1, of a number, of a percentage, or of so much out of so much."""
    number = float(level[1].replace(",", "."))
    return number / (100 if level[2] else int(level[3] or 1) or 1)


def _json_levels(listed: list[Any]) -> dict[str, float]:
    """Labels with levels of a JSON reply: pairs, objects of a label and a level, or one object of label: level."""
    found: dict[str, float] = {}
    for item in listed:
        pair = [*item.values()][:2] if isinstance(item, dict) else item
        if isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[0], str):
            label = " ".join(pair[0].split()).lower()
            if isinstance(pair[1], bool) or not _LABEL_WORDS.fullmatch(label):
                continue
            try:
                written = _LEVEL.fullmatch(pair[1].strip()) if isinstance(pair[1], str) else None
                level = _share(written) if written else float(pair[1])
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
    lines = table_rows(lines_of(text))
    lines = [line[marker.end() if (marker := MARKER.match(line)) else 0 :] for line in lines]
    joined = _EMOTIONS_ARE.sub("", ", ".join(lines).lstrip(), count=1)
    parts = [
        plain(part).partition(" (")[0].strip(QUOTES + ".!*_").lower() for part in re.split(r"[,;]|\band\b", joined)
    ]
    if cut:
        parts.pop()
    found = [part for part in dict.fromkeys(parts) if _is_descriptor(part) and part not in _NO_ITEM]
    if not found:
        raise BadReply("cut_off" if cut else "empty")
    return found
