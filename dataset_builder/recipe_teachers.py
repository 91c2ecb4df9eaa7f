"""The teachers that a recipe may name (part of recipe.py)."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, SerializerFunctionWrapHandler, field_validator, model_serializer

from dataset_builder.inputs import Strict

Positive = Annotated[int, Field(gt=0)]


def shown_url(url: str) -> str:
    """A url for messages: without the user's name, a password, or what stands behind a question mark."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}".rstrip("/")


class ScriptedTeacher(Strict):
    """Deterministic replies made from the prompt's hash. For tests only: its corpora mean nothing."""

    kind: Literal["scripted"]
    in_flight: Positive = 64
    bad_reply_share: Annotated[float, Field(ge=0, lt=1)] = 0.0


class EmbeddedTeacher(Strict):
    """A language model inside this process, by `transformers`, micro-batched, with a prefix cache.

    `wheel` names a GGUF file inside an installed Python package (`package/file.gguf`); it is used instead of the Hub
    where the package is installed. `gguf` is the path of such a file. Either is part of the teacher's name in every
    row. `kept_beginnings` are stories whose states are kept: of 700 tokens and a model of 135M, 32 MB each.
    A model whose tokenizer has no chat template is a base model: it gets few-shot examples and a text to continue.
    `int8` is for models of a billion parameters on a CPU: weights in int8, a quarter of the memory and twice as fast;
    a GGUF file is never whole in memory in float32.
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


OWN_PARAMETERS: Final = frozenset({"model", "messages", "prompt", "stream", "n", "response_format"})
# Keys of EndpointTeacher that came later, with the values at which nothing is different.
LATER: Final[dict[str, object]] = {
    "length_parameter": "max_tokens",
    "leave_out": (),
    "system_role": True,
    "extra_body": {},
    "reasoning_tokens": 0,
}


class EndpointTeacher(Strict):
    """An OpenAI-compatible server: `vllm serve`, llama.cpp's server, or a provider.

    With several `urls` (replicas), all calls on one story go to one of them, so that its prefix cache serves them.
    `server: vllm` uses what vLLM adds: begun answers, repetition penalty, log-probabilities of chosen tokens.
    `structured` asks for JSON by a schema where a stage has one. `chat: false` is for base models, which continue a
    text. A call is repeated `retries` times; a server that is gone is waited for, `patience` seconds.

    The key comes from the environment variable that `api_key_env` names, never from a file. Without a name,
    https://api.openai.com gets OPENAI_API_KEY, and every other server no key.

    For servers that refuse what others take: `length_parameter` is what they call the limit of an answer, `leave_out`
    the parameters that are not sent, and with `system_role: false` the system message stands before the question.
    `extra_body` is added to every call, as `{chat_template_kwargs: {enable_thinking: false}}`. For models that reason,
    `reasoning_tokens` are added to every stage's `max_new_tokens`; what they think is taken off their answers.
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
    length_parameter: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    leave_out: tuple[Literal["temperature", "top_p", "seed", "stop", "repetition_penalty"], ...] = ()
    system_role: bool = True
    extra_body: dict[str, JsonValue] = Field(default_factory=dict)
    reasoning_tokens: Annotated[int, Field(ge=0)] = 0
    send_key_anyway: Annotated[bool, Field(exclude=True)] = False  # by the command line alone

    @field_validator("urls", mode="before")
    @classmethod
    def _one_url_is_a_list(cls, urls: object) -> object:
        return (urls,) if isinstance(urls, str) else urls

    @field_validator("urls")
    @classmethod
    def _urls_have_a_host(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if not re.fullmatch(r"https?://[^/\s]\S*", url):
                raise ValueError("a url begins with http:// or https:// and has no blank, as http://127.0.0.1:8000/v1")
            try:
                urlsplit(url).port  # noqa: B018 - it is read only here
            except ValueError as error:
                raise ValueError(f"no url: {error}. Write one as http://127.0.0.1:8000/v1") from None
        return urls

    @field_validator("extra_body")
    @classmethod
    def _nothing_is_said_twice(cls, extra: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if taken := OWN_PARAMETERS & extra.keys():
            raise ValueError(f"{', '.join(sorted(taken))}: this is set by the builder itself; take it out")
        return extra

    @field_validator("send_key_anyway")
    @classmethod
    def _no_recipe_sends_a_key(cls, said: bool) -> bool:
        if said:
            raise ValueError("a recipe cannot say that. Whoever runs it may add --send-key-anyway to the command")
        return said

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """What logs show: no password in a url."""
        for key, value in super().__repr_args__():
            yield key, tuple(map(shown_url, value)) if key == "urls" else value

    @model_serializer(mode="wrap")
    def _without_later_keys_at_rest(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What came later is written only where it is used: older work folders and hashes stay valid."""
        return {key: value for key, value in dump(self).items() if getattr(self, key) != LATER.get(key, ...)}


Teacher = Annotated[ScriptedTeacher | EmbeddedTeacher | EndpointTeacher, Field(discriminator="kind")]
