"""When failures are the server's or the recipe's fault and not the questions': the run ends, and says what to change.

A parameter that the server does not know makes every call fail, and asking on only marks good questions as bad. A
story that is too long for the server fails alone. What tells them apart is how many questions in a row failed, of how
many stories, whether any question of that kind was ever answered, and the server's own words.
"""

import re
from dataclasses import dataclass, field

from dataset_builder.inputs import InputError
from dataset_builder.teachers.base import TeacherError

NO_MONEY = ("insufficient_quota", "insufficient balance", "insufficient credit", "billing")  # as 402 would say
BUSY = ("http_408", "http_429", "http_502", "http_503", "http_504", "time_out", "no_connection")  # passes by itself
_LONG = re.compile(
    r"context.{0,20}(?:length|window|size)|maximum.{0,30}tokens|too (?:many tokens|long)|reduce the length|"
    r"input.{0,10}length|longer than|prompt.{0,20}exceed|max_model_len|max_new_tokens.{0,10} must be"
)
_FILTERED = re.compile(
    r"content.?(?:filter|management|policy)|moderation|flagged|safety|guardrail|responsible.?ai|prohibited.content"
)
_TOO_LONG = (
    "Serve the model with a longer context, or take shorter stories ('narratives.max_words') and answers "
    "('max_new_tokens')"
)
# What a server says when it refuses a part of the call, and what to change in the recipe; the first that fits.
_ADVICE = (
    (r"max_completion_tokens", "Set 'teacher.length_parameter: max_completion_tokens'"),
    (r"max_tokens", "Set 'teacher.length_parameter: max_completion_tokens', or lower the stages' 'max_new_tokens'"),
    (r"response_format|json_schema|guided|structured", "Set 'teacher.structured: false'"),
    (r"repetition_penalty", "Set 'teacher.server: openai', or 'teacher.leave_out: [repetition_penalty]'"),
    (r"continue_final_message|add_generation_prompt|logprob_token_ids", "Set 'teacher.server: openai'"),
    (r"temperature", "Set 'teacher.leave_out: [temperature]', or the stages' 'temperature' to what it takes"),
    (r"top_p", "Set 'teacher.leave_out: [top_p]', or the stages' 'top_p' to what it takes"),
    (r"\bseed\b", "Set 'teacher.leave_out: [seed]'"),
    (r"\bstop\b", "Set 'teacher.leave_out: [stop]'"),
    (r"\brole|system", "Set 'teacher.system_role: false', so that no message has the role 'system'"),
    (r"enable_thinking|chat_template_kwargs|reasoning_effort|extra", "See to 'teacher.extra_body'"),
    (r"chat template|chat_template", "Set 'teacher.system_role: false', or 'teacher.chat: false' for a base model"),
    (r"\bmodel\b", "See to 'teacher.model'"),
)
_RECIPE = "parameter"
# Failures in a row that end the run: before the first answer to a prompt, after it; and of how many stories at least.
_LIMITS = {_RECIPE: (5, 20, 1), "other": (12, 100, 3), "question": (100, 1000, 30)}


def advise(words: str) -> str:
    """What to change in the recipe, by a server's own words; "" where they tell nothing."""
    said = words.lower()
    if is_the_questions(said):
        return f"{_TOO_LONG}." if _LONG.search(said) else ""
    return next((f"{advice}." for pattern, advice in _ADVICE if re.search(pattern, said)), "")


def is_the_questions(words: str) -> bool:
    """Whether a server refuses a question for what it says: it is too long, or a filter does not like it."""
    said = words.lower()
    return bool(_LONG.search(said) or _FILTERED.search(said))


@dataclass
class _InARow:
    """The failures at one prompt since its last answer."""

    answered: bool = False
    failures: int = 0
    about: set[str] = field(default_factory=set)


class Refusals:
    """Counts one server's failures in a row, prompt by prompt; ends the run where they are not the questions' fault."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._prompts: dict[str, _InARow] = {}

    def answered(self, prompt: str) -> None:
        """A question by this prompt was answered."""
        self._prompts[prompt] = _InARow(answered=True)

    def was_answered(self, prompt: str) -> bool:
        """Whether a question by this prompt was ever answered."""
        return prompt in self._prompts and self._prompts[prompt].answered

    def failed(self, prompt: str, about: str, error: TeacherError) -> None:
        """A call failed.

        Raises:
            InputError: it is plain that the next ones will fail as well.
        """
        if error.reason in BUSY:
            return
        row = self._prompts.setdefault(prompt, _InARow())
        if error.retryable and row.answered:
            return  # passing faults: `flow` counts them by units
        row.failures += 1
        row.about.add(about)
        first, later, stories = _LIMITS[_kind(error)]
        if row.failures >= (later if row.answered else first) and len(row.about) >= stories:
            raise InputError(
                f"{self._server}: {row.failures} calls in a row failed ({prompt}, the last by {error.reason}: "
                f"{error.detail}). {error.advice or 'See to the server and to the recipe.'} Then run the same command "
                "again: what was made is kept, and these questions are asked again."
            )


def _kind(error: TeacherError) -> str:
    if is_the_questions(error.detail) or error.reason in ("refusal", "content_filter"):
        return "question"
    return _RECIPE if error.advice and not error.retryable and error.reason.startswith("http_") else "other"
