"""Decides what is at fault when a call fails, and when failures end the run.

- The server: time-outs, 5xx, broken bodies. The call is repeated (`retryable`).
- The prompt: too long, or rejected by a content filter. The unit is rejected.
- The recipe: a wrong key or model, or a parameter that the server does not know. Every call would fail and good prompts
  would be rejected, so the run ends with a message about what to change.

One failure does not always distinguish the last two. `FailureLimit` therefore counts how many prompts in a row failed,
for how many stories, and whether any request with that prompt file was ever answered.
"""

import contextlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from dataset_builder.inputs import InputError
from dataset_builder.teachers.base import NO_CONNECTION, TeacherError

# Temporary: not counted, and no advice is looked for.
OVERLOADED = ("http_408", "http_429", "http_502", "http_503", "http_504", "time_out", NO_CONNECTION)
_NO_ACCESS = ("http_401", "http_402", "http_403", "http_404", "http_405")
_OUT_OF_CREDIT = ("insufficient_quota", "insufficient balance", "insufficient credit", "billing")  # often a 429
_TOO_LONG = re.compile(
    r"context.{0,20}(?:length|window|size)|maximum.{0,30}tokens|too (?:many tokens|long)|reduce the length|"
    r"input.{0,10}length|longer than|prompt.{0,20}exceed|max_model_len|max_new_tokens.{0,10} must be"
)
_FILTERED = re.compile(
    r"content.?(?:filter|management|policy)|moderation|flagged|safety|guardrail|responsible.?ai|prohibited.content"
)
_SHORTER = (
    "Serve the model with a longer context, or use shorter stories ('narratives.max_words') and answers "
    "('max_new_tokens')."
)
# Patterns in the error of a server that refuses a part of the call, and what to change; the first match counts.
_ADVICE = (
    (r"max_completion_tokens", "Set 'teacher.length_parameter: max_completion_tokens'."),
    (r"max_tokens", "Set 'teacher.length_parameter: max_completion_tokens', or lower the stages' 'max_new_tokens'."),
    (r"response_format|json_schema|guided|structured", "Set 'teacher.structured: false'."),
    (r"repetition_penalty", "Set 'teacher.server: openai', or 'teacher.leave_out: [repetition_penalty]'."),
    (r"continue_final_message|add_generation_prompt|logprob_token_ids", "Set 'teacher.server: openai'."),
    (
        r"temperature",
        "Set 'teacher.leave_out: [temperature]', or the stages' 'temperature' to a value that it accepts.",
    ),
    (r"top_p", "Set 'teacher.leave_out: [top_p]', or the stages' 'top_p' to a value that it accepts."),
    (r"\bseed\b", "Set 'teacher.leave_out: [seed]'."),
    (r"\bstop\b", "Set 'teacher.leave_out: [stop]'."),
    (r"\brole|system", "Set 'teacher.system_role: false', so that no message has the role 'system'."),
    (r"enable_thinking|chat_template_kwargs|reasoning_effort|extra", "Check 'teacher.extra_body'."),
    (r"chat template|chat_template", "Set 'teacher.system_role: false', or 'teacher.chat: false' for a base model."),
    (r"\bmodel\b", "Check 'teacher.model'."),
)
# Failures in a row that end the run, by fault: (before the first answer to a prompt, after it, for so many stories).
# A refused parameter is certain after a few calls; one bad prompt does not mean that the next will fail.
_LIMITS = {"recipe": (5, 20, 1), "unknown": (12, 100, 3), "question": (100, 1000, 30)}


def advise(words: str) -> str:
    """Return what to change in the recipe, by the server's own words; "" if they do not help."""
    if is_about_the_question(words):
        return _SHORTER if _TOO_LONG.search(words.lower()) else ""
    return next((advice for pattern, advice in _ADVICE if re.search(pattern, words.lower())), "")


def is_about_the_question(words: str) -> bool:
    """Return whether a server refuses a question for its content: it is too long, or a filter rejects it."""
    return bool(_TOO_LONG.search(words.lower()) or _FILTERED.search(words.lower()))


def failure_of(status: int, words: str, headers: Mapping[str, str]) -> TeacherError:
    """Return the failure behind an HTTP status and the server's words; the status is 0 if it gives none."""
    question = is_about_the_question(words)
    if not status:
        return TeacherError("error_in_body", words, retryable=not question, advice=advise(words))
    reason = f"http_{status}"
    # The statuses that the openai client repeats, except server errors about the prompt itself: these would come again.
    retryable = status in (408, 409, 429) or (status >= 500 and not question)
    failure = TeacherError(reason, words, retryable=retryable, advice="" if reason in OVERLOADED else advise(words))
    failure.retry_after = retry_after(headers)
    return failure


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the server asks us to wait, given as milliseconds, seconds or a date; 0 if it does not ask."""
    # In the order of the openai client: the header of some providers in milliseconds, then HTTP's own in its two forms.
    given = headers.get("retry-after", "")
    with contextlib.suppress(ValueError):
        return max(0.0, float(headers.get("retry-after-ms", "")) / 1000)
    with contextlib.suppress(ValueError):
        return max(0.0, float(given))
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(given).timestamp() - time.time())
    return 0.0


@dataclass
class _Streak:
    """The failures with one prompt since its last answer."""

    answered: bool = False
    failures: int = 0
    stories: set[str] = field(default_factory=set)


class FailureLimit:
    """Counts one server's consecutive failures per prompt, and ends the run if the prompts are not at fault.

    `what_to_check` is advice for a server that refuses access.
    """

    def __init__(self, server: str, what_to_check: str) -> None:
        self._server = server
        self._what_to_check = what_to_check
        self._prompts: dict[str, _Streak] = {}

    def answered(self, prompt: str) -> None:
        """A question with this prompt was answered."""
        self._prompts[prompt] = _Streak(answered=True)

    def was_answered(self, prompt: str) -> bool:
        """Return whether a question with this prompt was ever answered."""
        return prompt in self._prompts and self._prompts[prompt].answered

    def failed(self, prompt: str, story: str, error: TeacherError) -> None:
        """Count a failed call. Raises InputError if the next ones will fail, too."""
        fault = _fault(error)
        if fault == "access":
            place = " 'teacher.urls' (an API's url often ends in /v1)," if error.reason.endswith(("404", "405")) else ""
            raise InputError(
                f"{self._server}: the server rejected the call ({error.reason}: {error.detail}). Check{place} "
                f"'teacher.model' in the recipe and {self._what_to_check}. To resume, run the same command again."
            )
        streak = self._prompts.setdefault(prompt, _Streak())
        # A server that answered before and fails now is counted by units (pipeline/unanswered.py).
        if error.reason in OVERLOADED or (error.retryable and streak.answered):
            return
        streak.failures += 1
        streak.stories.add(story)
        before, after, stories = _LIMITS[fault]
        if streak.failures >= (after if streak.answered else before) and len(streak.stories) >= stories:
            raise InputError(
                f"{self._server}: {streak.failures} calls in a row failed ({prompt}, the last by {error.reason}: "
                f"{error.detail}). {error.advice or 'Check the server and the recipe.'} Then run the same command "
                "again: finished work is kept, and these calls are repeated."
            )


def _fault(error: TeacherError) -> str:
    refused = error.reason.startswith("http_")
    # First, because some providers send it as 429, which would otherwise be repeated for a long time.
    if (refused or error.reason == "error_in_body") and any(sign in error.detail.lower() for sign in _OUT_OF_CREDIT):
        return "access"
    if is_about_the_question(error.detail) or error.reason in ("refusal", "content_filter"):
        return "question"
    if error.reason in _NO_ACCESS:
        return "access"
    return "recipe" if refused and error.advice and not error.retryable else "unknown"
