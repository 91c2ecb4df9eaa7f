"""What a server sends back, taken apart with care: anything may be missing, of another type, or not JSON at all.

The answer's text, its usage, and the server's own words where something went wrong. What cannot be used is a
TeacherError with a reason; nothing that a server sends is any other exception.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from dataset_builder.files.text_hygiene import without_surrogates
from dataset_builder.schema import Usage
from dataset_builder.teachers.base import NoAnswer, TeacherError

LONGEST_WORDS = 300  # characters of a server's own words that are kept
SHORT = 80  # of what the model thought
MOST_TOKENS = 2**53  # more than a server can have counted
WEB_PAGE = (
    "It sent a web page where JSON should be: see that 'teacher.urls' is that of the API, which often ends in /v1."
)
STREAM = "It sent an event stream, which was not asked for: turn streaming off at the server or at the proxy before it."
NO_REASONING = (
    "The model's budget went into reasoning. Turn that off, as by 'teacher.extra_body: {chat_template_kwargs: "
    "{enable_thinking: false}}' or '{reasoning_effort: none}', or leave more room by 'teacher.reasoning_tokens: 2000'"
)
THOUGHTS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")  # where servers put reasoning
EMPTY = "The answer is empty: see to the model's chat template at the server, or set 'teacher.leave_out: [stop]'."
NO_TOOLS = "The model called a tool, and none was offered: start the server without automatic tool choice."


@dataclass(frozen=True)
class Answer:
    """A server's answer: its text, whether the limit of tokens cut it, its cost, and the choice that it is from."""

    text: str
    cut: bool
    usage: Usage
    choice: Mapping[str, Any]


def read_body(content: bytes, kind: str) -> Any:
    """The JSON of a body, of content type `kind`. Raises TeacherError where it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        start = content[:1000].decode("utf-8", "replace").lstrip("\ufeff \r\n\t")
        advice = ""
        if "html" in kind or start[:1] == "<":
            advice = WEB_PAGE
        elif "event-stream" in kind or start.startswith(("data:", "event:", ": ")):
            advice = STREAM
        raise TeacherError("broken_body", one_line(start) or "nothing", retryable=True, advice=advice) from None


def error_in(body: Any) -> tuple[int, Any] | None:
    """Status and error of a body that holds an error instead of an answer, whatever its HTTP status said.

    The status is 0 where the error names none.
    """
    if not isinstance(body, dict) or body.get("choices"):
        return None
    error = body.get("error") or (body if body.get("object") == "error" or "detail" in body else None)
    if not error:
        return None
    codes = [error.get(key) for key in ("code", "status", "status_code")] if isinstance(error, dict) else []
    codes.append(body.get("code"))
    texts = [str(code) for code in codes]
    return next((int(text) for text in texts if re.fullmatch(r"[45][0-9]{2}", text)), 0), error


def words_of(error: Any) -> str:
    """A server's own words in an error: its message, its parameter's name and its code, as one line."""
    if isinstance(error, list):  # FastAPI: one entry for each wrong field
        return one_line("; ".join(filter(None, map(words_of, error[:3]))))
    if not isinstance(error, dict):
        return one_line(str(error)) if error is not None else ""
    inner = error.get("error") if isinstance(error.get("error"), (dict, str)) else None
    message = next((error[key] for key in ("message", "msg", "detail", "error_description") if error.get(key)), inner)
    if isinstance(message, (dict, list)):
        message = words_of(message)
    where = error.get("loc")
    place = ".".join(map(str, where)) if isinstance(where, list) else error.get("param")
    raw = error["metadata"].get("raw") if isinstance(error.get("metadata"), dict) else None
    code = error.get("code") or error.get("type")
    said = str(message or one_line(json.dumps(error, default=str)))
    more = [str(part) for part in (place, code, raw) if part and str(part) not in said]
    return one_line(said + (f" ({', '.join(more)})" if more else ""))


def one_line(text: str, longest: int = LONGEST_WORDS) -> str:
    """The beginning of a text as one line that can be printed; of a web page its title."""
    if re.match(r"\s*<(?:!doctype|html|head|body|\?xml)", text[:200], re.IGNORECASE):
        title = re.search(r"<title>([^<]{1,200})", text, re.IGNORECASE)
        text = f"a web page, '{title[1].strip()}'" if title else text
    line = "".join(c if c.isprintable() else " " for c in without_surrogates(text[: 4 * longest]))
    line = " ".join(line.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def answer_in(body: Any, *, chat: bool) -> Answer:
    """The answer in a body.

    Raises:
        NoAnswer: a reply in due form without an answer in it.
        TeacherError: no reply in due form.
    """
    choices = body.get("choices") if isinstance(body, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    holder = choice.get("message") if chat and isinstance(choice, dict) else choice
    if not isinstance(choice, dict) or not isinstance(holder, dict):
        raise _broken(body)
    text, thoughts = _content(holder.get("content" if chat else "text"), body)
    usage = usage_in(body)
    cut = choice.get("finish_reason") == "length"
    if not text.strip():
        thoughts = thoughts or next(filter(None, (_text_of(holder.get(key)) for key in THOUGHTS)), "")
        _say_why_there_is_none(holder, choice, thoughts, usage, _reasoning_tokens(body), cut)
    return Answer(text, cut, usage, choice)


def usage_in(body: Any) -> Usage:
    """The tokens that a body says were spent; 0 where it says nothing that can be."""
    found = body.get("usage") if isinstance(body, dict) else None
    found = found if isinstance(found, dict) else {}
    details = found.get("prompt_tokens_details")
    return Usage(
        calls=1,
        prompt_tokens=_count(found.get("prompt_tokens")),
        cached_tokens=_count(details.get("cached_tokens")) if isinstance(details, dict) else 0,
        completion_tokens=_count(found.get("completion_tokens")),
    )


def _reasoning_tokens(body: Any) -> int:
    usage = body.get("usage")
    details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    return _count(details.get("reasoning_tokens")) if isinstance(details, dict) else 0


def _count(value: Any) -> int:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return int(value) if is_number and math.isfinite(value) and 0 <= value <= MOST_TOKENS else 0


def _broken(body: Any) -> TeacherError:
    try:
        said = json.dumps(body)
    except (ValueError, RecursionError):
        said = type(body).__name__
    return TeacherError("broken_body", one_line(said), retryable=True)


def _content(content: Any, body: Any) -> tuple[str, str]:
    """The text of a message's content and the reasoning in it: a text, or a list of parts of several types."""
    if content is None:
        return "", ""
    if isinstance(content, str):
        return content, ""
    if not isinstance(content, list) or not all(isinstance(part, (dict, str)) for part in content):
        raise _broken(body)
    text, thoughts = [], []
    for part in content:
        kind = "text" if isinstance(part, str) else part.get("type")
        if kind in ("text", "output_text"):
            text.append(part if isinstance(part, str) else _text_of(part.get("text")))
        elif isinstance(kind, str) and ("think" in kind or "reason" in kind):
            thoughts.append(_text_of(part.get(kind)) or _text_of(part.get("text")) or kind)
    if content and not text and not thoughts:
        raise _broken(body)
    return "".join(text), "".join(thoughts)


def _text_of(value: Any) -> str:
    """The text of a field that holds one, or parts that do."""
    if isinstance(value, list):
        return "".join(_text_of(part) for part in value)
    if isinstance(value, dict):
        value = value.get("value", value.get("text"))
    return value if isinstance(value, str) else ""


def _say_why_there_is_none(
    message: Mapping[str, Any], choice: Mapping[str, Any], thoughts: str, usage: Usage, reasoning: int, cut: bool
) -> NoReturn:
    """Raise NoAnswer for a reply without text, by what it says of the reason."""
    if refused := _text_of(message.get("refusal")):
        raise NoAnswer("refusal", one_line(refused), usage=usage)
    if choice.get("finish_reason") == "content_filter":
        raise NoAnswer("content_filter", "the server's filter took the answer away", usage=usage)
    if message.get("tool_calls") or message.get("function_call"):
        called = message.get("tool_calls") or message.get("function_call")
        raise NoAnswer("tool_calls", one_line(json.dumps(called, default=str)), usage=usage, advice=NO_TOOLS)
    if thoughts or reasoning or (cut and usage.completion_tokens > 1):
        raise NoAnswer("only_reasoning", one_line(thoughts, SHORT) or "no text", usage=usage, advice=f"{NO_REASONING}.")
    raise NoAnswer("empty", usage=usage, advice=EMPTY)
