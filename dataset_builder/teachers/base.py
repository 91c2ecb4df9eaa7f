"""The interface of a teacher: requests, replies and errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dataset_builder.schema import Usage

DOCUMENT_STOP = "\n\n"  # ends the answer of a base model
NO_CONNECTION = "no_connection"  # a reason of TeacherError: the server cannot be reached


@dataclass(frozen=True)
class Request:
    """One request to a teacher; `prompt` is the name of the prompt file.

    `prefill` is the beginning of the answer; the single characters in `stop` end it. `shots` are few-shot examples, for
    base models only; `schema` is the JSON schema of the answer, for teachers with `structured: true`. Requests about
    the same story or text have the same `story`.
    """

    prompt: str
    system: str
    user: str
    prefill: str = ""
    story: str = ""
    stop: tuple[str, ...] = ()
    shots: tuple[tuple[str, str], ...] = ()
    schema: Mapping[str, Any] | None = None
    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 0

    def as_document(self) -> str:
        """Return the prompt for a base model: answered questions, then the question and the prefill."""
        answered = [f"{user}\n{answer}" for user, answer in self.shots]
        return "\n\n".join([self.system, *answered, f"{self.user}\n{self.prefill}"])


@dataclass(frozen=True)
class Reply:
    """A teacher's whole answer, including the prefill if the engine continued it.

    `cut`: it hit `max_new_tokens`. `retried`: the reason of every repeated call (time_out, http_500, …).
    """

    text: str
    cut: bool
    usage: Usage
    retried: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scores:
    """Log-probabilities of the choices as the beginning of the answer, in the order of the choices."""

    log_probabilities: tuple[float, ...]
    usage: Usage
    retried: tuple[str, ...] = ()


class TeacherError(Exception):
    """A call finally failed; `reason` is a code (time_out, http_500, …). The unit is rejected, and the run continues.

    `detail`: the server's error message. `advice`: what to change in the recipe or on the server.
    `retryable`: the teacher failed, not the prompt. The call is repeated; if failures persist, the run stops.
    `retried`: the reasons of the previous calls. `retry_after`: seconds that the server asks us to wait.
    `server`: its url, if a recipe has several.
    """

    def __init__(self, reason: str, detail: str = "", *, retryable: bool = False, advice: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.retryable = retryable
        self.advice = advice
        self.retried: tuple[str, ...] = ()
        self.retry_after = 0.0
        self.server = ""

    @property
    def message(self) -> str:
        """Detail and advice as one line."""
        return " ".join(part for part in (self.detail, self.advice) if part)


class NoAnswer(TeacherError):
    """A well-formed reply without an answer: only reasoning, a tool call, a refusal by a content filter.

    Another attempt with another seed may return an answer. `usage` is the cost of this attempt.
    """

    def __init__(self, reason: str, detail: str = "", *, usage: Usage, advice: str = "") -> None:
        super().__init__(reason, detail, advice=advice)
        self.usage = usage


class Teacher(Protocol):
    """The interface that stages use. Every method raises TeacherError if the call finally fails."""

    name: str  # in rows and cards: model, revision and format of the weights

    async def generate(self, request: Request) -> Reply:
        """Answer a request."""

    async def score(self, request: Request, choices: Sequence[str]) -> Scores:
        """Return the log-probability of each choice as the beginning of the answer (after the prefill)."""

    async def continuation_probability(self, request: Request, choices: Sequence[str]) -> tuple[float, ...]:
        """Return the probability of each choice given its first token: low if that token usually begins another word.

        1 from a teacher whose `score` does not stop at first tokens.
        """

    async def close(self) -> None:
        """Close the resources of the running event loop; the teacher can be used again in another loop."""
