"""Calls to an OpenAI-compatible server with the `openai` client: from a request to an answer or a failure.

`Client.complete` builds a call and repeats it while the server is at fault (time-out, 429, 5xx, broken body), at most
`teacher.retries` times, with increasing pauses or for as long as Retry-After asks. If a server that answered before is
down, the client waits up to `teacher.patience` seconds for it. `_attempt` makes one call. A failure becomes

- a TeacherError: the server (`retryable`) or the prompt (too long, filtered) is at fault. The unit is rejected.
- an InputError, which ends the run: no server answers, the key is refused, the model is unknown, or so many calls fail
  that the recipe or the server must be wrong (failures.py). The same command then resumes the run.
"""

import asyncio
import contextlib
import json
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

import openai

from dataset_builder.inputs import InputError
from dataset_builder.recipe import EndpointTeacher
from dataset_builder.recipe_teachers import public_url
from dataset_builder.teachers.base import NO_CONNECTION, Request, TeacherError
from dataset_builder.teachers.failures import FailureLimit, failure_of
from dataset_builder.teachers.keys import is_this_machine, read_key
from dataset_builder.teachers.responses import Answer, one_line, read_answer, words_in
from dataset_builder.teachers.truncation import TruncationDetector

# The values of the openai client, whose own retries are off (`max_retries=0`).
FIRST_WAIT, LONGEST_WAIT = 0.5, 8.0  # seconds before a call is repeated, doubled each time
UNTRIED_AT_ONCE = 4  # concurrent calls per prompt file before its first answer: few are lost if the server refuses it
HIDDEN_IN_ANSWERS = 16  # characters; shorter secrets are not hidden in answers, where they may be words
T = TypeVar("T")


@dataclass
class _Connection:
    """What belongs to one event loop: connections and locks cannot be shared between loops."""

    loop: asyncio.AbstractEventLoop
    client: openai.AsyncOpenAI
    free: asyncio.Semaphore
    changed: asyncio.Condition


class Client:
    """The calls to one server of a recipe. `server` is its name in messages.

    Raises:
        InputError: a key cannot be sent (keys.py).
    """

    def __init__(self, config: EndpointTeacher, url: str) -> None:
        self._config = config
        self._url = url.rstrip("/")
        self.server = public_url(url)
        keys = {one: read_key(config, one) for one in (url, *config.urls)}  # all, so that a bad one is reported early
        self._key = keys[url]
        self._connection: _Connection | None = None
        self._answered = False
        self._failures = FailureLimit(self.server, self._key.what_to_check)
        self._in_flight: Counter[str] = Counter()  # calls by prompt file
        self._truncation = TruncationDetector(self.server)

    async def complete(self, request: Request, extra: dict[str, Any], retried: list[str], **parameters: Any) -> Answer:
        """Return the server's answer to a request; the reasons of repeated calls are added to `retried`."""
        config = self._config
        parameters = {key: value for key, value in parameters.items() if key not in config.leave_out}
        if config.length_parameter != "max_tokens":
            extra = extra | {config.length_parameter: parameters.pop("max_tokens")}
        if config.chat:
            messages = [{"role": "system", "content": request.system}, {"role": "user", "content": request.user}]
            # Some models and servers refuse a system message: its text then begins the user's.
            if not config.system_role:
                messages = [{"role": "user", "content": f"{request.system}\n\n{request.user}".strip()}]
            if self.continues(request):
                messages.append({"role": "assistant", "content": request.prefill})
                extra = extra | {"continue_final_message": True, "add_generation_prompt": False}
            parameters["messages"], sent = messages, " ".join(message["content"] for message in messages)
        else:
            parameters["prompt"] = sent = request.as_document()
        # The recipe's own `extra_body` comes last, so it can replace anything that is set here.
        parameters |= {"model": config.model, "extra_body": {**extra, **config.extra_body} or None}

        async def call() -> Answer:
            async with self._turn(request.prompt) as client:
                api: Any = client.chat.completions if config.chat else client.completions
                # The client's own time-out is per read: a server that sends a byte now and then would never time out.
                async with asyncio.timeout(config.timeout):
                    response = (await api.with_raw_response.create(**parameters)).http_response
            self._check_redirect(response)
            kind, scored = response.headers.get("content-type", ""), "logprobs" in parameters
            return read_answer(response.content, kind, chat=config.chat, scored=scored)

        answer = await self._with_retries(call, request.prompt, request.story, retried)
        # Some servers cut long prompts silently. The answer is kept, and such prompts are counted in the manifest.
        if self._truncation.is_truncated(sent, answer.usage):
            answer.usage.cut_prompts += 1
        return replace(answer, text=self._key.hide(answer.text, HIDDEN_IN_ANSWERS))

    def continues(self, request: Request) -> bool:
        """Return whether the server continues the beginning of the answer that we send."""
        return bool(request.prefill) and (self._config.server == "vllm" or not self._config.chat)

    async def ask_vllm(self, path: str, **fields: Any) -> Any:
        """Call what vLLM offers in addition to the OpenAI API: tokenize, detokenize."""
        client = self._connect().client
        url = f"{self._url.removesuffix('/v1')}/{path}"

        async def call() -> Any:
            return await client.post(url, body={"model": self._config.model, **fields}, cast_to=object)

        advice = "Is it vLLM? Otherwise set 'teacher.server: openai'."
        try:
            found = await self._with_retries(call, path, "", [])
        except InputError as error:
            raise InputError(f"{error} {advice}") from None
        if not isinstance(found, dict) or not isinstance(found.get("tokens", found.get("prompt")), (list, str)):
            raise InputError(f"{self.server}: /{path} returned {one_line(str(found))!r} instead of tokens. {advice}")
        return found

    async def close(self) -> None:
        """Close the connections of the running event loop."""
        if self._connection and self._connection.loop is asyncio.get_running_loop():
            await self._connection.client.close()
            self._connection = None

    # ------------------------------------------------------------------ one call

    def _connect(self) -> _Connection:
        """Return the connection of the running event loop."""
        loop = asyncio.get_running_loop()
        if self._connection is None or self._connection.loop is not loop:
            client = openai.AsyncOpenAI(
                base_url=self._url,
                api_key=self._key.value,
                admin_api_key="",  # this and the next would come from the environment otherwise
                webhook_secret="",
                default_headers=self._key.headers(self._url),
                timeout=self._config.timeout,
                max_retries=0,  # `_with_retries` repeats calls, and counts them
                http_client=_http_client(self._url),
            )
            self._connection = _Connection(loop, client, asyncio.Semaphore(self._config.in_flight), asyncio.Condition())
        return self._connection

    @contextlib.asynccontextmanager
    async def _turn(self, prompt: str) -> AsyncIterator[openai.AsyncOpenAI]:
        """Wait until another call may be made; only a few calls at a time until a prompt file got its first answer."""
        here = self._connect()
        async with here.changed:
            await here.changed.wait_for(
                lambda: self._failures.was_answered(prompt) or self._in_flight[prompt] < UNTRIED_AT_ONCE
            )
            self._in_flight[prompt] += 1
        try:
            async with here.free:
                yield here.client
        finally:
            self._in_flight[prompt] -= 1
            async with here.changed:
                here.changed.notify_all()

    async def _with_retries(self, call: Callable[[], Awaitable[T]], prompt: str, story: str, retried: list[str]) -> T:
        """Call until it succeeds, until something other than the server is at fault, or until no retries are left.

        Raises:
            TeacherError: it finally failed; its `retried` has the reason of every repeated call.
        """
        wait, attempts, gone_since = FIRST_WAIT, 0, 0.0
        while True:
            try:
                return await self._attempt(call, prompt, story)
            except TeacherError as error:
                if error.reason == NO_CONNECTION:  # for a server that is away, time counts and not attempts
                    gone_since = gone_since or time.monotonic()
                    over = time.monotonic() - gone_since > self._config.patience
                else:
                    gone_since, attempts = 0.0, attempts + 1
                    over = attempts > self._config.retries
                if over or not error.retryable:
                    error.retried = tuple(retried)
                    raise
                retried.append(error.reason)
                # A server may ask for hours; no wait is longer than the recipe's patience.
                wished = min(error.retry_after, self._config.patience)
                # Random, so that calls that failed together do not return together; the range is the openai client's.
                await asyncio.sleep(wished or wait * random.uniform(0.75, 1.0))
                wait = min(2 * wait, LONGEST_WAIT)

    async def _attempt(self, call: Callable[[], Awaitable[T]], prompt: str, story: str) -> T:
        """Make one call; every failure is a TeacherError with a reason, or an InputError that ends the run."""
        try:
            result = await call()
        except TeacherError as error:
            failure = error
        # Before APIConnectionError, of which it is a subclass.
        except (openai.APITimeoutError, TimeoutError):
            failure = TeacherError("time_out", retryable=True)
        except openai.APIConnectionError as error:
            failure = self._no_connection(error.__cause__ or error)
        except openai.APIStatusError as error:
            self._check_redirect(error.response)
            words = words_in(error.response.content) or error.response.reason_phrase
            failure = failure_of(error.status_code, words, error.response.headers)
        except (openai.APIError, json.JSONDecodeError, RecursionError, UnicodeError) as error:
            failure = TeacherError("broken_body", one_line(str(error)), retryable=True)
        else:
            self._answered = True
            self._failures.answered(prompt)
            return result
        failure.detail = self._key.hide(failure.detail)  # some servers quote the key that they refuse
        failure.args, failure.server = (failure.reason, failure.detail), self.server
        self._failures.failed(prompt, story, failure)
        raise failure from None

    def _no_connection(self, cause: BaseException) -> TeacherError:
        why = self._key.hide(one_line(str(cause) or type(cause).__name__))
        # A server that answered before is only away. One that never answered may be the wrong address, where waiting is
        # no help.
        if self._answered:
            return TeacherError(NO_CONNECTION, why, retryable=True)
        through = f" Calls go through {proxies}." if (proxies := _proxies_to(self._url)) else ""
        raise InputError(
            f"{self.server}: the teacher does not respond ({why}). Start the server and run the same command again; "
            f"finished work is kept.{through}"
        )

    def _check_redirect(self, response: Any) -> None:
        """Raise InputError if a redirection lost the question: most of them turn a POST into a GET."""
        if response.history and response.request.method != "POST":
            place = public_url(str(response.url))
            raise InputError(
                f"{self.server}: it redirects to {place}. Set 'teacher.urls' to the url of the API itself."
            )


def _proxies_to(url: str) -> str:
    """Return the environment's proxy variables that apply to a url, as `$HTTPS_PROXY`; none applies to this machine."""
    names = ("http_proxy", "https_proxy", "all_proxy")
    found = [f"${name}" for name in os.environ if name.lower() in names and os.environ[name]]
    return "" if is_this_machine(urlsplit(url).hostname or "") else ", ".join(found)


def _http_client(url: str) -> Any:
    """Return the HTTP client for a url. Raises InputError if the environment's proxy cannot be used."""
    try:
        return openai.DefaultAsyncHttpxClient(trust_env=not is_this_machine(urlsplit(url).hostname or ""))
    except Exception as error:  # of several libraries; its message may contain the proxy's password
        raise InputError(
            f"{public_url(url)}: calls cannot go through {_proxies_to(url)} ({type(error).__name__}). Set it to an "
            "http:// url, or remove it from the environment."
        ) from None
