"""Reads the body of a server's response: an answer, or a failure with the server's error message.

Servers differ and fail in many ways: errors with HTTP 200, web pages, event streams, content in parts, reasoning in
separate fields, counts that are not numbers. All of this becomes an answer or a TeacherError, never another exception.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dataset_builder.schema import Usage
from dataset_builder.teachers.base import NoAnswer, TeacherError
from dataset_builder.teachers.failures import failure_of
from dataset_builder.teachers.reply_text import BadReply, strip_reasoning
from dataset_builder.text_hygiene import without_surrogates

LONGEST_WORDS = 300  # characters of a server's own words in a message
LONGEST_REASONING = 80  # characters of the model's reasoning in a message
MOST_TOKENS = 2**53  # larger counts are invalid
REASONING_KEYS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")  # names that servers use
STATUS_KEYS = ("code", "status", "status_code")
WEB_PAGE = (
    "It sent a web page instead of JSON: check that 'teacher.urls' is the url of the API, which often ends in /v1."
)
STREAM = "It sent an event stream although none was requested: turn off streaming in the server or its proxy."
ONLY_REASONING = (
    "The model used its budget for reasoning. Turn reasoning off, for example with 'teacher.extra_body: "
    "{chat_template_kwargs: {enable_thinking: false}}' or '{reasoning_effort: none}', or allow more tokens with "
    "'teacher.reasoning_tokens: 2000'."
)
EMPTY = "The answer is empty: check the model's chat template at the server, or set 'teacher.leave_out: [stop]'."
NO_TOOLS = "The model called a tool although none was offered: start the server without automatic tool choice."


@dataclass(frozen=True)
class Answer:
    """A server's answer; `cut`: it hit the limit of tokens. `choice` is the part of the body that it is from."""

    text: str
    cut: bool
    usage: Usage
    choice: Mapping[str, Any]


def read_answer(content: bytes, content_type: str, *, chat: bool, scored: bool = False) -> Answer:
    """Return the answer in a body. With `scored` only its log-probabilities are wanted, so its text may be missing.

    Raises:
        NoAnswer: a well-formed reply without an answer in it.
        TeacherError: an error in the place of an answer, or no well-formed reply.
    """
    body = _read_json(content, content_type)
    if _is_error(body):
        raise failure_of(_status_in(body), words_of(body), {})
    try:
        answer = _answer_in(body, chat=chat)
        strip_reasoning(answer.text)
    except NoAnswer as error:
        if scored:
            return Answer("", True, error.usage, body["choices"][0])
        raise
    except BadReply as error:
        if not scored:
            raise NoAnswer(
                error.reason, one_line(answer.text, LONGEST_REASONING), usage=answer.usage, advice=ONLY_REASONING
            ) from None
    return answer


def words_in(content: bytes) -> str:
    """Return the server's own words in the body of a failed call, which may be JSON or any text."""
    try:
        return words_of(json.loads(content))
    except (ValueError, RecursionError):
        return one_line(content[:2000].decode("utf-8", "replace"))


def words_of(error: Any) -> str:
    """Return the server's own words in an error as one line: its message, the parameter's name, its code."""
    if isinstance(error, list):  # FastAPI: one entry for each wrong field
        return one_line("; ".join(filter(None, map(words_of, error[:3]))))
    if not isinstance(error, dict):
        return one_line(str(error)) if error is not None else ""
    inner = error.get("error")
    if inner and isinstance(inner, dict):
        return words_of(inner)
    keys = ("message", "msg", "detail", "error_description", "error")
    message = next((error[key] for key in keys if error.get(key)), None)
    if isinstance(message, (dict, list)):
        message = words_of(message)
    words = str(message or one_line(json.dumps(error, default=str)))
    place, details = error.get("loc"), error.get("metadata")
    more = [
        ".".join(map(str, place)) if isinstance(place, list) else error.get("param"),
        error.get("code") or error.get("type"),
        details.get("raw") if isinstance(details, dict) else None,
    ]
    new = [str(part) for part in more if part and str(part) not in words]
    return one_line(words + (f" ({', '.join(new)})" if new else ""))


def one_line(text: str, longest: int = LONGEST_WORDS) -> str:
    """Return the beginning of a text as one printable line; of a web page its title."""
    if re.match(r"\s*<(?:!doctype|html|head|body|\?xml)", text[:200], re.IGNORECASE):
        title = re.search(r"<title>([^<]{1,200})", text, re.IGNORECASE)
        text = f"a web page, '{title[1].strip()}'" if title else text
    line = "".join(c if c.isprintable() else " " for c in without_surrogates(text[: 4 * longest]))
    line = " ".join(line.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def _read_json(content: bytes, content_type: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        start = content[:1000].decode("utf-8", "replace").lstrip("\ufeff \r\n\t")
        advice = ""
        if "html" in content_type or start[:1] == "<":
            advice = WEB_PAGE
        elif "event-stream" in content_type or start.startswith(("data:", "event:", ": ")):
            advice = STREAM
        raise TeacherError("broken_body", one_line(start) or "nothing", retryable=True, advice=advice) from None


def _is_error(body: Any) -> bool:
    """Return whether a body has an error instead of an answer, whatever its HTTP status was."""
    if not isinstance(body, dict) or body.get("choices"):
        return False
    return bool(body.get("error") or body.get("object") == "error" or "detail" in body)


def _status_in(body: Any) -> int:
    """Return the HTTP status that an error in a body names; 0 if it names none."""
    places = [place for place in (body.get("error"), body) if isinstance(place, dict)]
    codes = (str(place.get(key)) for place in places for key in STATUS_KEYS)
    return next((int(code) for code in codes if re.fullmatch(r"[45][0-9]{2}", code)), 0)


def _answer_in(body: Any, *, chat: bool) -> Answer:
    choices = body.get("choices") if isinstance(body, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if chat and isinstance(choice, dict) else choice
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise _broken(body)
    text, reasoning = _split_content(message.get("content" if chat else "text"), body)
    usage = Usage(
        calls=1,
        prompt_tokens=_count(body, "prompt_tokens"),
        cached_tokens=_count(body, "prompt_tokens_details", "cached_tokens"),
        completion_tokens=_count(body, "completion_tokens"),
    )
    cut = choice.get("finish_reason") == "length"
    if text.strip():
        return Answer(text, cut, usage, choice)

    # There is no text. The first reason found is reported.
    if refused := _text_of(message.get("refusal")):
        raise NoAnswer("refusal", one_line(refused), usage=usage)
    if choice.get("finish_reason") == "content_filter":
        raise NoAnswer("content_filter", "the server's filter removed the answer", usage=usage)
    if called := message.get("tool_calls") or message.get("function_call"):
        raise NoAnswer("tool_calls", one_line(json.dumps(called, default=str)), usage=usage, advice=NO_TOOLS)
    reasoning = reasoning or next(filter(None, (_text_of(message.get(key)) for key in REASONING_KEYS)), "")
    counted = _count(body, "completion_tokens_details", "reasoning_tokens")
    if reasoning or counted or (cut and usage.completion_tokens > 1):
        detail = one_line(reasoning, LONGEST_REASONING) or "no text"
        raise NoAnswer("only_reasoning", detail, usage=usage, advice=ONLY_REASONING)
    raise NoAnswer("empty", usage=usage, advice=EMPTY)


def _count(body: Any, *keys: str) -> int:
    """Return a number of tokens in the body's `usage`; 0 if it is none that a server can have counted."""
    value = body.get("usage")
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return int(value) if type(value) in (int, float) and 0 <= value <= MOST_TOKENS else 0


def _split_content(content: Any, body: Any) -> tuple[str, str]:
    """Return the text and the reasoning in a message's content, which is a text or a list of parts of several types."""
    if content is None or isinstance(content, str):
        return content or "", ""
    if not isinstance(content, list) or not all(isinstance(part, (dict, str)) for part in content):
        raise _broken(body)
    text, reasoning = [], []
    for part in content:
        kind = "text" if isinstance(part, str) else part.get("type")
        if kind in ("text", "output_text"):
            text.append(part if isinstance(part, str) else _text_of(part.get("text")))
        elif isinstance(kind, str) and ("think" in kind or "reason" in kind):
            reasoning.append(_text_of(part.get(kind)) or _text_of(part.get("text")) or kind)
    if content and not text and not reasoning:
        raise _broken(body)
    return "".join(text), "".join(reasoning)


def _text_of(value: Any) -> str:
    """Return the text of a field that is a text, or has parts with texts."""
    if isinstance(value, list):
        return "".join(map(_text_of, value))
    if isinstance(value, dict):
        value = value.get("value", value.get("text"))
    return value if isinstance(value, str) else ""


def _broken(body: Any) -> TeacherError:
    try:
        words = json.dumps(body)
    except (ValueError, RecursionError):
        words = type(body).__name__
    return TeacherError("broken_body", one_line(words), retryable=True)
