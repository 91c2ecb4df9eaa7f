"""Replies as text: the answer in them, their lines, and what is taken off: fences, emphasis, quotation marks.

A teacher may repeat any sign a hundred thousand times, so every pattern here takes time in proportion to the text.
"""

import re

from dataset_builder.files.text_hygiene import REASONING_TAG

# One marker of a list: a bullet, a number, or both. A number may stand twice, where an answer begun by us repeats it.
# What follows a number's dot or colon is no digit, or "5:30 already!" would lose its hour.
_BULLET = r"[-*•–](?:\s+|$)"
MARKER = re.compile(
    rf"\s*(?:{_BULLET})?[(\[]?(?P<number>\d{{1,3}})[.):\]](?!\d)\s*(?:[(\[]?(?P=number)[.):\]](?!\d)\s*)?(?:{_BULLET})?"
    rf"|\s*{_BULLET}"
)
_EMPHASIS = re.compile(r"\*\*|__|`+")
MOST_MARKS = 1000
FENCE = "```"
# Where the turn ends; a server with a wrong template sends it as text, and often what the model made up behind it.
_TURN_END = re.compile(
    r"<\|(?:im_end|eot_id|eom_id|end|endoftext|return|end_of_text)\|>|<[|｜]end▁of▁sentence[|｜]>|<end_of_turn>|</s>"
)
_JSON_SIGN = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{},]', re.DOTALL)  # a text, or what stands between values
_CLOSING = re.compile(r"/|end|unused95|final", re.IGNORECASE)
_APOSTROPHES = "'‘’"
_OPENING = re.compile(r"(?:^|\s)['‘]")
_LONE_CLOSING = re.compile(r"(?<=[.!?…,])['’]$")
_LONE_OPENING = re.compile(r"^['‘](?=[A-Z])(?!(?:Tis|Twas|Twere|Em|Cause|Cos|Bout|Til|Nuff|Round)\b)")
_MARKS = '"“”«»„ \t'  # quotation marks that are nothing else
QUOTES = "\"“”«»„'‘’ \t"

# What an assistant says before its answer and after it, and what it calls it.
_ANNOUNCED = re.compile(
    r"(?:sure|certainly|of course|absolutely|okay|ok|here(?:'s|’s| is| are))\b.{0,120}:", re.IGNORECASE
)
_CLOSED = re.compile(r"(?:i hope (?:this|that|it|you)|let me know|feel free|\(?note ?:)", re.IGNORECASE)
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
    """The answer in a reply of a model that reasons first: what stands behind the last block of reasoning.

    An opening tag alone is a thought that was cut off, a closing one alone ends a thought whose beginning the server's
    template holds. Raises BadReply where a reply is reasoning alone.
    """
    tags = [*REASONING_TAG.finditer(text)]
    start, end = 0, len(text)
    for tag in tags:
        channel = "channel" in tag[0].lower()
        closing = text.startswith("final", tag.end()) if channel else _CLOSING.search(tag[0])
        if closing:
            start, end = tag.end(), len(text)
        else:
            end = min(end, tag.start())
    answer = text[start:end]
    if tags:
        answer = answer.strip().removeprefix("final<|message|>").removeprefix("<answer>").removesuffix("</answer>")
        if not answer.strip():
            raise BadReply("only_reasoning")
    turn = _TURN_END.search(answer)
    return answer[: turn.start()] if turn else answer


def plain(text: str) -> str:
    """A text without pairs of emphasis marks (`**`, `__`, backticks); a mark alone stays."""
    drop: list[re.Match[str]] = []
    opened: dict[str, re.Match[str]] = {}
    if text.count("`") + text.count("**") + text.count("__") > MOST_MARKS:  # a teacher that repeats a token
        return _EMPHASIS.sub("", text)
    for mark in _EMPHASIS.finditer(text):
        before = opened.pop(mark[0], None)
        if before and before.end() < mark.start():
            drop += [before, mark]
        else:
            opened[mark[0]] = mark
    parts, end = [], 0
    for mark in sorted(drop, key=lambda found: found.start()):
        parts.append(text[end : mark.start()])
        end = mark.end()
    return "".join([*parts, text[end:]])


def without_fence(text: str) -> str:
    """A reply without the code fence around it."""
    text = text.strip()
    if text.startswith(FENCE):
        first, _, rest = text.partition("\n")
        text = rest if first.removeprefix(FENCE).strip().isalnum() or first.strip() == FENCE else text
    return text.removesuffix(FENCE).strip()


def whole_sentences(text: str) -> str:
    """The text up to its last sentence end. Raises BadReply when there is none."""
    match = re.match(r"(.*[.!?…][\"”'’)]*)(?:\s|$)", text, flags=re.DOTALL)
    if not match:
        raise BadReply("cut_off")
    return match[1].strip()


def closed(text: str) -> str:
    """Cut JSON up to its last comma, with the brackets closed that are open there."""
    comma, depth = -1, 0
    for sign in _JSON_SIGN.finditer(text):
        if sign[0] == ",":
            comma = sign.start()
        elif sign[0] in "[{":
            depth += 1
        elif sign[0] in "]}" and depth:
            depth -= 1
            if not depth:
                return text  # whole after all; what was cut came behind it
    if comma < 0:
        return text
    begun, stack = text[:comma], []
    for sign in _JSON_SIGN.finditer(begun):
        if sign[0] in "[{":
            stack.append("]" if sign[0] == "[" else "}")
        elif sign[0] in "]}" and stack:
            stack.pop()
    return begun + "".join(reversed(stack))


def lines_of(text: str) -> list[str]:
    """The lines of a reply that say something, blanks between words made one."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return [line for line in lines if line and not line.startswith(FENCE)]


def table_rows(lines: list[str]) -> list[str]:
    """Lines of which some are a Markdown table, its rows as `first: second`, without their numbers and the heading."""
    rules = [at for at, line in enumerate(lines) if set(line) <= set("|:- ") and "|" in line and "-" in line]
    if not rules:
        return lines
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[rules[0] + 1 :] if line[0] == "|"]
    texts = [cells[1:] if len(cells) > 1 and cells[0].rstrip(".)").isdigit() else cells for cells in rows]
    return [": ".join(filter(None, cells)) for cells in texts if any(cells)]


def without_frame(lines: list[str]) -> list[str]:
    """Lines without what an assistant says around its answer: "Sure, here is the text:", "I hope this helps!"."""
    lines = lines[1:] if lines and _ANNOUNCED.fullmatch(lines[0]) else lines
    return lines[:-1] if len(lines) > 1 and _CLOSED.match(lines[-1]) else lines


def said_in(text: str) -> str:
    """What is said in a reply, on one line: without what announces it, a list's marker, its speaker, a name for it."""
    line = " ".join(without_frame(lines_of(text))).removeprefix("> ")
    marker = MARKER.match(line)
    line = line[marker.end() if marker and marker["number"] in (None, "1") else 0 :]
    return _SPEAKER.sub("", _NAMED_ANSWER.sub("", line, count=1), count=1)


def unquoted(text: str) -> str:
    """What is said, without the quotation marks around it; an apostrophe that belongs to a word stays."""
    text = text.strip(_MARKS)
    if len(text) > 1 and text[0] in _APOSTROPHES and text[-1] in _APOSTROPHES:
        text = text[1:-1].strip(QUOTES)
    elif not _OPENING.search(text):
        text = _LONE_CLOSING.sub("", text)
    return _LONE_OPENING.sub("", text) if text.strip(QUOTES) else ""
