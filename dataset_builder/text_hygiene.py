"""Characters and tags that a published text must not have: one definition for the build, the readers and `validate`.

- A text that comes in (a story, a reply, a row of a file) goes through `cleaned`, which removes what is harmless and
  invisible. What `first_fault` finds after that is a reason to reject the text, or to refuse the file.
- `row_faults` checks every text of a row: in the build before a row is published, in `validate` for any corpus.
- `REASONING_TAG` matches one tag of a reasoning block. Replies are cut by the same pattern, so that `first_fault` finds
  nothing that the cut has left.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

# Fault codes and what each of them asks for, in the order in which they are looked for.
FAULTS: Final[dict[str, str]] = {
    "lone_surrogate": "no half of a character (a lone surrogate)",
    "control_character": "no NUL or other control character, and no line break or tab in a name",
    "byte_order_mark": "no byte order mark",
    "invisible_character": "no zero-width or text-direction character",
    "replacement_character": "no replacement character (U+FFFD), which stands for a lost character",
    "reasoning": "no reasoning block of a teacher, and no tag of such a block",
    "chat_token": "no control token of a chat template or tokenizer",
}
# Fields that may have several lines; all other texts of a row are names.
SEVERAL_LINES: Final = frozenset({"text", "context", "original_text", "context_original", "rewritten"})

# Characters as the insides of a class of a pattern, `[...]`: C0 and C1 without tab and line feed, halves of characters
# (lone surrogates), Unicode's own line ends, and marks of the direction of text.
CONTROL: Final = "\x00-\x08\x0b-\x1f\x7f-\x9f"
SURROGATES: Final = "\ud800-\udfff"
LINE_SEPARATORS: Final = "\u2028\u2029"
DIRECTION: Final = "\u200e\u200f\u202a-\u202e\u2066-\u2069"

_SURROGATE = re.compile(f"[{SURROGATES}]")
# With the code points that Unicode reserves for no character, U+FFFE and the like.
_NONCHARACTERS = "".join(map(chr, (plane * 0x10000 + last for plane in range(17) for last in (0xFFFE, 0xFFFF))))
_CONTROL = re.compile(f"[{CONTROL}\ufdd0-\ufdef{_NONCHARACTERS}]")
_LINE_BREAK = re.compile(f"[\t\n{LINE_SEPARATORS}]")
_MARK = re.compile("\ufeff|^ï»¿")  # as itself, and as UTF-8 read as Latin-1
# What is kept of the invisible ones: joiners inside emoji and other scripts, and tags that make a flag.
_INVISIBLE = re.compile(
    "(?P<flag>\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f)"
    "|[\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufff9-\ufffb\U000e0000-\U000e007f]"
    "|(?:^|(?<=[\x00-\x7f]))[\u200c\u200d]"
)
_RETURN = re.compile("\r\n?|[\x0b\x0c]")  # other line breaks, and the page breaks of scanned books

_NAME = r"(?:seed:)?(?:think(?:ing)?|thoughts?|reasoning|reflection|analysis|scratchpad|rationale|cot)"
_BLANK = r"\s{0,3}"  # bounded, so that no text can make the search slow
_ATTRIBUTE = rf"(?:\s\s?\w{{1,30}}{_BLANK}=[^<>]*|{_BLANK}:{_BLANK}\w{{1,30}})?"
REASONING_TAG: Final = re.compile(
    rf"(?:<|&lt;|◁){_BLANK}/?{_BLANK}{_NAME}{_ATTRIBUTE}{_BLANK}/?{_BLANK}(?:>|&gt;|▷|$)"  # <think>, </think>, cut ones
    rf"|\[{_BLANK}/?{_BLANK}(?-i:THINK|THINKING|REASONING){_BLANK}\]|\[{_BLANK}/{_BLANK}think(?:ing)?{_BLANK}\]"
    r"|<\|?(?:start\|>\s?assistant\s?<\|)?channel\|?>"  # gpt-oss, Gemma
    r"|(?-i:\bassistant(?:final|analysis|commentary)|^analysis(?=[A-Z]))"  # the same without its tokens
    rf"|<[|｜]{_BLANK}/?{_BLANK}(?:(?:begin|end|start)_(?:of_)?)?{_NAME}{_BLANK}[|｜]>"  # Cohere and others
    r"|<unused9[45]>",  # MedGemma
    re.IGNORECASE,
)
_CHAT_TOKEN = re.compile(
    r"<[|｜][^<>|｜\n]{1,60}[|｜]>|<[|｜][a-z]+_[a-z_]+|<\|(?:endoftext|system|user|assistant|end|eos|pad)\b"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]|<</?SYS>>"
    r"|</?s>|<(?:bos|eos|pad|unk|mask)>|</?(?:start|end)_of_(?:turn|text|utterance|sentence)>"
    r"|</?(?:tool|function)_(?:calls?|responses?)>|<(?:unused|extra_id_)\d+>|<0x[0-9A-F]{2}>"
)
# Most texts have none of these; one search confirms it.
_SUSPECT = re.compile(r"[^\x20-\x7e]|[<\[]|&lt;|assistant|analysis")


def cleaned(text: str) -> str:
    """Return the text without byte order marks and invisible characters, every line break a line feed.

    Nothing that a reader sees is changed. What is left may still have a fault.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _INVISIBLE.sub(lambda found: found["flag"] or "", _MARK.sub("", text))
    return _RETURN.sub("\n", text)


def text_faults(text: str, *, one_line: bool = False) -> Iterator[str]:
    """Yield all faults of a text, as keys of `FAULTS`; with `one_line` a line break or a tab is one too."""
    if not _SUSPECT.search(text):
        return
    if not (text.isascii() and text.isprintable()):
        if _SURROGATE.search(text):
            yield "lone_surrogate"
        if _CONTROL.search(text) or (one_line and _LINE_BREAK.search(text)):
            yield "control_character"
        if _MARK.search(text):
            yield "byte_order_mark"
        if any(not found["flag"] for found in _INVISIBLE.finditer(text)):
            yield "invisible_character"
        if "\ufffd" in text:
            yield "replacement_character"
        text = cleaned(text)  # a tag with an invisible character inside is still one
    if REASONING_TAG.search(text):
        yield "reasoning"
    elif _CHAT_TOKEN.search(text):
        yield "chat_token"


def first_fault(text: str, *, one_line: bool = False) -> str | None:
    """Return the first fault of a text, or None. Input that is to be kept goes through `cleaned` before."""
    return next(text_faults(text, one_line=one_line), None)


def damage_of(text: str, *, one_line: bool = False) -> str | None:
    """What makes a text of a file unreadable, for a message: half a character or a control character; else None."""
    if _SURROGATE.search(text):
        return "half a character (a lone surrogate)"
    found = _CONTROL.search(text) or (_LINE_BREAK.search(text) if one_line else None)
    return f"the control character U+{ord(found[0]):04X}" if found else None


def row_faults(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield all faults of a row's texts, lists and inner objects included, as pairs of field and fault."""
    if not _SUSPECT.search(" ".join(_texts(dict(row)))):
        return
    for field, value in row.items():
        one_line = field not in SEVERAL_LINES or not isinstance(value, str)
        for text in _texts(value):
            yield from ((field, fault) for fault in text_faults(text, one_line=one_line))


def cleaned_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row with every text of it cleaned, lists and inner objects included."""
    if (words := " ".join(_texts(dict(row)))).isascii() and words.isprintable():
        return dict(row)
    return {field: _cleaned(value) for field, value in row.items()}


def without_surrogates(text: str) -> str:
    """Return the text as it can be written to a file: half characters become `?`."""
    return text.encode("utf-8", "replace").decode()


def _texts(value: Any) -> list[str]:
    """Return all texts in a value. A list of numbers, such as scores, is recognised by its first item."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        inside: Iterable[Any] = value.values()
    elif isinstance(value, (list, tuple)) and value and not isinstance(value[0], (int, float)):
        inside = value
    else:
        return []
    return [text for inner in inside if not isinstance(inner, (int, float)) for text in _texts(inner)]


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return cleaned(value)
    if isinstance(value, dict):
        return {key: _cleaned(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)) and value and not isinstance(value[0], (int, float)):
        return type(value)(_cleaned(inner) for inner in value)
    return value
