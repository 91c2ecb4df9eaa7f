"""Calls to an OpenAI-compatible server by the `openai` client: how often, how many at once, and what a failure means.

A call is repeated after a time-out, 429, 5xx or a broken body, at most `teacher.retries` times, with growing waits or
as long as Retry-After says; a server that was there and is gone is waited for, `teacher.patience` seconds. Every
repetition is counted by its reason. What still fails is a TeacherError, and the unit is rejected with its code. A
server that refuses the key or does not know the model ends the run with a message, and so does one that was never
there, or that refuses whatever it is asked (refusals.py); the same command goes on from there.
"""

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import openai

from dataset_builder.inputs import InputError
from dataset_builder.recipe import EndpointTeacher
from dataset_builder.recipe_teachers import shown_url
from dataset_builder.teachers.base import NO_CONNECTION, NoAnswer, Request, TeacherError
from dataset_builder.teachers.bodies import (
    NO_REASONING,
    SHORT,
    Answer,
    answer_in,
    error_in,
    one_line,
    read_body,
    words_of,
)
from dataset_builder.teachers.keys import OPENAI_VARIABLE, read_key
from dataset_builder.teachers.prompt_lengths import PromptLengths
from dataset_builder.teachers.proxies import http_client, proxies_to
from dataset_builder.teachers.refusals import BUSY, NO_MONEY, Refusals, advise, is_the_questions
from dataset_builder.teachers.reply_text import BadReply, strip_reasoning

FIRST_WAIT, LONGEST_WAIT = 0.5, 8.0  # seconds before a call is repeated; doubled each time
TRIED_AT_ONCE = 4  # calls by a prompt before any of them was answered: a server that refuses it is asked no more
LONG_SECRET = 16  # characters from which a key is looked for in answers too
T = TypeVar("T")


@dataclass
class _Connection:
    """What belongs to one event loop: connections and locks cannot be shared between loops."""

    client: openai.AsyncOpenAI
    free: asyncio.Semaphore
    changed: asyncio.Condition


class Calls:
    """The calls to one server of a recipe. `server` is what messages call it.

    Raises:
        InputError: a key that cannot be sent (keys.py).
    """

    def __init__(self, config: EndpointTeacher, url: str) -> None:
        self._config = config
        self._url = url.rstrip("/")
        self.server = shown_url(url)
        keys = {one: read_key(config, one) for one in (url, *config.urls)}  # all, so that a bad one is said first
        self._key = keys[url]
        self._connections: dict[asyncio.AbstractEventLoop, _Connection] = {}
        self._answered = False
        self._refusals = Refusals(self.server)
        self._tried: Counter[str] = Counter()
        self._lengths = PromptLengths(self.server)

    async def complete(self, request: Request, extra: dict[str, Any], retried: list[str], **parameters: Any) -> Answer:
        """The server's answer; why it had to be asked again is added to `retried`."""
        config = self._config
        parameters = {key: value for key, value in parameters.items() if key not in config.leave_out}
        if config.length_parameter != "max_tokens":
            extra = extra | {config.length_parameter: parameters.pop("max_tokens")}
        if not config.chat:
            parameters["prompt"] = request.as_document()
        else:
            messages = [{"role": "system", "content": request.system}, {"role": "user", "content": request.user}]
            if not config.system_role:
                messages = [{"role": "user", "content": f"{request.system}\n\n{request.user}".strip()}]
            if self.continues(request):
                messages.append({"role": "assistant", "content": request.prefill})
                extra = extra | {"continue_final_message": True, "add_generation_prompt": False}
            parameters["messages"] = messages
        parameters |= {"model": config.model, "extra_body": {**extra, **config.extra_body} or None}
        sent = parameters.get("prompt") or " ".join(message["content"] for message in parameters["messages"])
        scored = "logprobs" in parameters

        async def call() -> Answer:
            async with self._turn(request.prompt) as client:
                create: Any = client.chat.completions if config.chat else client.completions
                # The client's time-out is that of each read: a server that sends a sign now and then would never end.
                async with asyncio.timeout(config.timeout):
                    raw = (await create.with_raw_response.create(**parameters)).http_response
            self._check_redirected(raw)
            return self._answer(raw.content, raw.headers.get("content-type", ""), scored)

        answer = await self._again(lambda: self._named(call, request.prompt, request.story), retried)
        if self._lengths.is_cut(sent, answer.usage):
            answer.usage.cut_prompts += 1
        return answer

    def continues(self, request: Request) -> bool:
        """Whether the server takes the answer's beginning from us."""
        return bool(request.prefill) and (self._config.server == "vllm" or not self._config.chat)

    async def ask_vllm(self, path: str, **fields: Any) -> Any:
        """What vLLM offers beside the OpenAI calls: tokenize, detokenize."""
        client = self._connection().client
        url = f"{self._url.removesuffix('/v1')}/{path}"

        async def call() -> Any:
            return await client.post(url, body={"model": self._config.model, **fields}, cast_to=object)

        advice = "Is it vLLM? Otherwise set 'teacher.server: openai'."
        try:
            found = await self._again(lambda: self._named(call, path, ""), [])
        except InputError as error:
            raise InputError(f"{error} {advice}") from None
        if not isinstance(found, dict) or not isinstance(found.get("tokens", found.get("prompt")), (list, str)):
            raise InputError(f"{self.server}: /{path} gives {one_line(str(found))!r}, and no tokens. {advice}")
        return found

    async def close(self) -> None:
        """Close the connections of the running event loop."""
        if found := self._connections.pop(asyncio.get_running_loop(), None):
            await found.client.close()

    def _connection(self) -> _Connection:
        """The connection of the running event loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._connections:
            client = openai.AsyncOpenAI(
                base_url=self._url,
                api_key=self._key.value,
                admin_api_key="",  # both would come from the environment otherwise
                webhook_secret="",
                default_headers=self._key.headers(self._url),
                timeout=self._config.timeout,
                max_retries=0,  # the retries are ours (`_again`): the client's would not be counted
                http_client=http_client(self._url),
            )
            self._connections = {
                loop: _Connection(client, asyncio.Semaphore(self._config.in_flight), asyncio.Condition())
            }
        return self._connections[loop]

    @contextlib.asynccontextmanager
    async def _turn(self, prompt: str) -> AsyncIterator[openai.AsyncOpenAI]:
        """Wait until another call may be made; at first only a few calls by the same prompt."""
        here = self._connection()
        if self._refusals.was_answered(prompt):
            async with here.free:
                yield here.client
            return
        async with here.changed:
            await here.changed.wait_for(
                lambda: self._refusals.was_answered(prompt) or self._tried[prompt] < TRIED_AT_ONCE
            )
            self._tried[prompt] += 1
        try:
            async with here.free:
                yield here.client
        finally:
            self._tried[prompt] -= 1
            async with here.changed:
                here.changed.notify_all()

    def _answer(self, content: bytes, kind: str, scored: bool) -> Answer:
        """The answer in a body. Raises TeacherError where there is none."""
        body = read_body(content, kind)
        if found := error_in(body):
            raise self._failure(found[0], words_of(found[1]), {})
        try:
            answer = answer_in(body, chat=self._config.chat)
            strip_reasoning(answer.text)
        except NoAnswer as error:
            if not scored:
                raise
            return Answer("", True, error.usage, body["choices"][0])  # of one token nothing but its scores is wanted
        except BadReply as error:
            if not scored:
                advice = f"{NO_REASONING}."
                raise NoAnswer(error.reason, one_line(answer.text, SHORT), usage=answer.usage, advice=advice) from None
        return replace(answer, text=self._key.hide(answer.text, LONG_SECRET))

    async def _again(self, call: Callable[[], Awaitable[T]], retried: list[str]) -> T:
        """Call, and once more with growing waits where it was the server's fault.

        Raises:
            TeacherError: it failed for good; its `retried` says how often and why it was repeated.
        """
        wait, tries, gone_since = FIRST_WAIT, 0, 0.0
        while True:
            try:
                return await call()
            except TeacherError as error:
                lost = error.reason == NO_CONNECTION
                tries += not lost  # a server that is away is a matter of time, not of tries
                gone_since = (gone_since or time.monotonic()) if lost else 0.0
                over = time.monotonic() - gone_since > self._config.patience if lost else tries > self._config.retries
                if over or not error.retryable:
                    error.retried = tuple(retried)
                    raise
                retried.append(error.reason)
                await asyncio.sleep(error.retry_after or wait * random.uniform(0.75, 1.0))
                wait = min(2 * wait, LONGEST_WAIT)

    async def _named(self, call: Callable[[], Awaitable[T]], prompt: str, about: str) -> T:
        """Call, with what goes wrong turned into a TeacherError with a reason, or into the end of the run."""
        try:
            result = await self._called(call)
        except TeacherError as error:
            error.detail = self._key.hide(error.detail)
            error.args, error.server = (error.reason, error.detail), self.server
            self._refusals.failed(prompt, about, error)
            raise
        except InputError as error:
            raise InputError(self._key.hide(str(error))) from None
        self._answered = True
        self._refusals.answered(prompt)
        return result

    async def _called(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            return await call()
        except (openai.APITimeoutError, TimeoutError):
            raise TeacherError("time_out", retryable=True) from None
        except openai.APIConnectionError as error:
            why = str(error.__cause__ or error) or type(error.__cause__ or error).__name__
            if self._answered:
                raise TeacherError(NO_CONNECTION, one_line(why), retryable=True) from None
            through = f" Calls go through {proxies}." if (proxies := proxies_to(self._url)) else ""
            raise InputError(
                f"{self.server}: no teacher answers ({one_line(why)}). Start the server and run the same "
                f"command again; what was made is kept.{through}"
            ) from None
        except openai.APIStatusError as error:
            self._check_redirected(error.response)
            said = words_of(_error_of(error.response.content)) or error.response.reason_phrase
            raise self._failure(error.status_code, said, error.response.headers) from None
        except (openai.APIError, json.JSONDecodeError, RecursionError, UnicodeError) as error:
            raise TeacherError("broken_body", one_line(str(error)), retryable=True) from None

    def _check_redirected(self, response: Any) -> None:
        """Raises InputError where a redirection lost the question: most become a GET."""
        if response.history and response.request.method != "POST":
            place = shown_url(str(response.url))
            raise InputError(f"{self.server}: it redirects to {place}. Write the API's own url into 'teacher.urls'.")

    def _failure(self, status: int, said: str, headers: Mapping[str, str]) -> TeacherError:
        """What a status and the server's words come to; a status of 0 where the server names none.

        Raises:
            InputError: it will not answer anything.
        """
        own = is_the_questions(said)
        if (status in (401, 402, 403, 404, 405) and not own) or any(word in said.lower() for word in NO_MONEY):
            raise InputError(f"{self.server}: the teacher refuses ({status}: {said}). {self._what_to_check(status)}")
        if not status:
            return TeacherError("error_in_body", said, retryable=not own, advice=advise(said))
        sick = status in (408, 409, 429) or (status >= 500 and not own)
        code = f"http_{status}"
        failed = TeacherError(code, said, retryable=sick, advice="" if code in BUSY else advise(said))
        failed.retry_after = min(retry_after(headers), self._config.patience)
        return failed

    def _what_to_check(self, status: int) -> str:
        variable = self._config.api_key_env
        if self._key.variable:
            key = f"the key in ${self._key.variable}"
        elif variable:
            key = f"the key: ${variable} is not set"
        else:
            key = (
                f"the key: none was sent. Name its variable by 'teacher.api_key_env' (${OPENAI_VARIABLE} alone goes "
                "to https://api.openai.com)"
            )
        place = " 'teacher.urls' (an API's url often ends in /v1)," if status in (404, 405) else ""
        return f"Check{place} 'teacher.model' in the recipe and {key}. The same command goes on from here."


def _error_of(content: bytes) -> Any:
    """The error in the body of a failed call: JSON's, or the text as it is."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return content[:2000].decode("utf-8", "replace")
    return body["error"] if isinstance(body, dict) and body.get("error") else body


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the server wants us to wait (milliseconds, seconds or a date); 0 where it does not say."""
    found = headers.get("retry-after", "")
    with contextlib.suppress(ValueError):
        return max(0.0, float(headers.get("retry-after-ms", "")) / 1000)
    with contextlib.suppress(ValueError):
        return max(0.0, float(found))
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(found).timestamp() - time.time())
    return 0.0
