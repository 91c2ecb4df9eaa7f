"""Turns replies into plain text: removes reasoning, code fences, emphasis, quotation marks and assistant phrases.

A teacher may repeat any character a hundred thousand times, so the patterns here run in time linear in the text length.
"""

import re

from dataset_builder.text_hygiene import REASONING_TAG

# The marker of a list item: a bullet, a number, or both. A number may stand twice, where an answer repeats the prefill.
# No digit may follow a number's dot or colon, or "5:30 already!" would lose its hour.
_BULLET = r"[-*•–](?:\s+|$)"
LIST_MARKER = re.compile(
    rf"\s*(?:{_BULLET})?[(\[]?(?P<number>\d{{1,3}})[.):\]](?!\d)\s*(?:[(\[]?(?P=number)[.):\]](?!\d)\s*)?(?:{_BULLET})?"
    rf"|\s*{_BULLET}"
)
_EMPHASIS = re.compile(r"\*\*|__|`+")
MOST_MARKS = 1000  # of emphasis; a teacher that writes more repeats itself, and all are removed
FENCE = "```"
# The end of a turn: a server with a wrong template sends it as text, often followed by text that the model invented.
_TURN_END = re.compile(
    r"<\|(?:im_end|eot_id|eom_id|end|endoftext|return|end_of_text)\|>|<[|｜]end▁of▁sentence[|｜]>|<end_of_turn>|</s>"
)
_JSON_SIGN = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{},]', re.DOTALL)  # a text, or what stands between values
_CLOSING_TAG = re.compile(r"/|end|unused95|final", re.IGNORECASE)
QUOTES = "\"“”«»„'‘’ \t"
_DOUBLE_QUOTES = '"“”«»„ \t'  # never an apostrophe
_APOSTROPHES = "'‘’"
_OPENING = re.compile(r"(?:^|\s)['‘]")
_LONE_CLOSING = re.compile(r"(?<=[.!?…,])['’]$")
_LONE_OPENING = re.compile(r"^['‘](?=[A-Z])(?!(?:Tis|Twas|Twere|Em|Cause|Cos|Bout|Til|Nuff|Round)\b)")

# Phrases with which an assistant introduces, follows or labels its answer.
_BEFORE_ANSWER = re.compile(
    r"(?:sure|certainly|of course|absolutely|okay|ok|here(?:'s|’s| is| are))\b.{0,120}:", re.IGNORECASE
)
_AFTER_ANSWER = re.compile(r"(?:i hope (?:this|that|it|you)|let me know|feel free|\(?note ?:)", re.IGNORECASE)
_NAMED_ANSWER = re.compile(
    r"^(?:rewritten|rewriting|rewrite|answer|response)(?: (?:text|utterance|version|sentence))? ?: ?", re.IGNORECASE
)
_SPEAKER = re.compile(r"^[A-Z][\w .'’-]{0,30}: (?=[\"“].*[\"”]$)")


class BadReply(Exception):
    """A reply that cannot be used; `reason` is the code under which it is counted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def strip_reasoning(text: str) -> str:
    """The answer in the reply of a reasoning model: what follows the last block of reasoning, up to the end of turn.

    An opening tag alone begins reasoning that was cut off, a closing one alone ends reasoning that the server's
    template began. Raises BadReply if the reply is reasoning alone.
    """
    tags = [*REASONING_TAG.finditer(text)]
    start, end = 0, len(text)
    for tag in tags:
        channel = "channel" in tag[0].lower()
        if text.startswith("final", tag.end()) if channel else _CLOSING_TAG.search(tag[0]):
            start, end = tag.end(), len(text)
        else:
            end = min(end, tag.start())
    answer = text[start:end]
    if tags:
        answer = answer.strip().removeprefix("final<|message|>").removeprefix("<answer>").removesuffix("</answer>")
        if not answer.strip():
            raise BadReply("only_reasoning")
    return _TURN_END.split(answer, maxsplit=1)[0]


def without_emphasis(text: str) -> str:
    """Return a text without pairs of emphasis marks (`**`, `__`, backticks); a single mark stays."""
    marks = [*_EMPHASIS.finditer(text)]
    if len(marks) > MOST_MARKS:
        return _EMPHASIS.sub("", text)
    pairs: set[int] = set()  # where the marks of pairs begin
    opened: dict[str, re.Match[str]] = {}
    for mark in marks:
        before = opened.pop(mark[0], None)
        if before and before.end() < mark.start():
            pairs |= {before.start(), mark.start()}
        else:
            opened[mark[0]] = mark
    return _EMPHASIS.sub(lambda mark: "" if mark.start() in pairs else mark[0], text)


def without_fence(text: str) -> str:
    """Return a reply without the code fence around it."""
    text = text.strip()
    if text.startswith(FENCE):
        first, _, rest = text.partition("\n")
        language = first.removeprefix(FENCE).strip()
        text = rest if language.isalnum() or not language else text
    return text.removesuffix(FENCE).strip()


def whole_sentences(text: str) -> str:
    """Return the text up to its last sentence end. Raises BadReply if there is none."""
    match = re.match(r"(.*[.!?…][\"”'’)]*)(?:\s|$)", text, flags=re.DOTALL)
    if not match:
        raise BadReply("cut_off")
    return match[1].strip()


def close_json(text: str) -> str:
    """JSON that was cut, up to its last comma, with the brackets closed that are open there."""
    signs = [*_JSON_SIGN.finditer(text)]
    comma = max((sign.start() for sign in signs if sign[0] == ","), default=len(text))
    open_now: list[str] = []
    open_at_comma: list[str] = []
    for sign in signs:
        if sign.start() == comma:
            open_at_comma = open_now.copy()
        elif sign[0] in "[{":
            open_now.append(sign[0])
        elif sign[0] in "]}" and open_now:
            open_now.pop()
            if not open_now:
                return text  # it was cut after the JSON
    return text[:comma] + "".join("]" if bracket == "[" else "}" for bracket in reversed(open_at_comma))


def text_lines(text: str) -> list[str]:
    """Return the lines of a reply that are not empty, with single blanks between words."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return [line for line in lines if line and not line.startswith(FENCE)]


def with_table_rows(lines: list[str]) -> list[str]:
    """If the lines hold a Markdown table, its rows as `first: second`, without their numbers and the heading."""
    rules = [at for at, line in enumerate(lines) if set(line) <= set("|:- ") and "|" in line and "-" in line]
    if not rules:
        return lines
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[rules[0] + 1 :] if line[0] == "|"]
    texts = [cells[1:] if len(cells) > 1 and cells[0].rstrip(".)").isdigit() else cells for cells in rows]
    return [": ".join(filter(None, cells)) for cells in texts if any(cells)]


def without_marker(line: str) -> str:
    """Return a line without the marker of a list item."""
    marker = LIST_MARKER.match(line)
    return line[marker.end() if marker else 0 :].strip()


def without_assistant_talk(lines: list[str]) -> list[str]:
    """Remove an assistant's phrases around the answer: "Sure, here is the text:", "I hope this helps!"."""
    lines = lines[1:] if lines and _BEFORE_ANSWER.fullmatch(lines[0]) else lines
    return lines[:-1] if len(lines) > 1 and _AFTER_ANSWER.match(lines[-1]) else lines


def without_introduction(text: str) -> str:
    """An utterance on one line, without an assistant's talk, a list's marker, its speaker, a name for the answer."""
    line = " ".join(without_assistant_talk(text_lines(text))).removeprefix("> ")
    marker = LIST_MARKER.match(line)
    if marker and marker["number"] in (None, "1"):  # "12. That is my number." is no list
        line = line[marker.end() :]
    return _SPEAKER.sub("", _NAMED_ANSWER.sub("", line, count=1), count=1)


def without_quotes(text: str) -> str:
    """Return an utterance without the quotation marks around it; an apostrophe that belongs to a word stays."""
    text = text.strip(_DOUBLE_QUOTES)
    if len(text) > 1 and text[0] in _APOSTROPHES and text[-1] in _APOSTROPHES:
        text = text[1:-1].strip(QUOTES)
    elif not _OPENING.search(text):
        text = _LONE_CLOSING.sub("", text)
    return _LONE_OPENING.sub("", text) if text.strip(QUOTES) else ""
