"""What every teacher is: a question, an answer, scores, how a call fails, and the interface that stages use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dataset_builder.schema import Usage


@dataclass(frozen=True)
class Request:
    """One question to a teacher; `prompt` names its prompt file.

    `prefill` begins the answer; `stop` are single characters that end it. `shots` are questions with their answers,
    for base models only; `schema` is the answer's JSON schema, for teachers that were told to use it. `story` tells
    whether two questions are about the same story or text.
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
        """The question for a base model: a text that begins with answered questions and ends where the answer begins.

        A blank line ends the answer (`DOCUMENT_STOP`).
        """
        answered = [f"{user}\n{answer}" for user, answer in self.shots]
        return "\n\n".join([self.system, *answered, f"{self.user}\n{self.prefill}"])


NO_CONNECTION = "no_connection"  # the reason of a TeacherError: nobody is there


DOCUMENT_STOP = "\n\n"


@dataclass(frozen=True)
class Reply:
    """A teacher's whole answer, the prefill included where the engine took it. `cut`: it hit `max_new_tokens`.

    `retried`: why the call had to be repeated (time_out, http_500, …), once for each time.
    """

    text: str
    cut: bool
    usage: Usage
    retried: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scores:
    """Log-probabilities of the choices as the answer's beginning, in the order of the choices."""

    log_probabilities: tuple[float, ...]
    usage: Usage
    retried: tuple[str, ...] = ()


class TeacherError(Exception):
    """A call failed for good; `reason` is its code (time_out, http_500, …). The unit is rejected, the run goes on.

    `detail`: the teacher's own words. `advice`: what to change in the recipe or at the teacher.
    `retryable`: the fault is the teacher's, not the question's. It is asked again; if that goes on, the run stops.
    `retried`: why it was asked again before. `retry_after`: seconds that the teacher wants to be left alone.
    """

    def __init__(self, reason: str, detail: str = "", *, retryable: bool = False, advice: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.retryable = retryable
        self.advice = advice
        self.retried: tuple[str, ...] = ()
        self.retry_after = 0.0
        self.server = ""  # which one, where there may be several

    @property
    def message(self) -> str:
        """Detail and advice as one line."""
        return " ".join(part for part in (self.detail, self.advice) if part)


class Teacher(Protocol):
    """What a stage may ask of a teacher."""

    @property
    def name(self) -> str:
        """What rows and cards call it: model, revision and weights format."""

    async def generate(self, request: Request) -> Reply:
        """Answer a request. Raises TeacherError when the call fails for good."""

    async def score(self, request: Request, choices: Sequence[str]) -> Scores:
        """Log-probability of each choice as the beginning of the answer (after the prefill)."""

    async def continuation_probability(self, request: Request, choices: Sequence[str]) -> tuple[float, ...]:
        """How probable each choice is once its first token is there: 1 where that token can be nothing else.

        Also 1 from a teacher whose `score` does not go by first tokens.
        """

    async def close(self) -> None:
        """End what belongs to the running event loop; the teacher can be used again in another."""


class NoAnswer(TeacherError):
    """The teacher replied, but there is no answer in it: all reasoning, a tool call, a refusal by a filter.

    Another attempt, with another seed, may have one. `usage` is what it cost.
    """

    def __init__(self, reason: str, detail: str = "", *, usage: Usage, advice: str = "") -> None:
        super().__init__(reason, detail, advice=advice)
        self.usage = usage
