"""An OpenAI-compatible server (`vllm serve`, llama.cpp, a provider), by the `openai` client.

A call is repeated after a time-out, 429, 5xx or a broken body, at most `teacher.retries` times, with growing waits or
as long as Retry-After says; a server that was there and is gone is waited for, `teacher.patience` seconds. Every
repetition is counted by its reason. What still fails is a TeacherError, and the unit is rejected with its code. A
server that refuses the key or does not know the model ends the run with a message, and so does one that was never
there; the same command goes on from there.
"""

import asyncio
import contextlib
import json
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import openai
from openai.types import Completion
from openai.types.chat import ChatCompletion

from dataset_builder.inputs import InputError
from dataset_builder.recipe import EndpointTeacher
from dataset_builder.schema import Usage
from dataset_builder.teachers import DOCUMENT_STOP, NO_CONNECTION, Reply, Request, Scores, TeacherError
from dataset_builder.teachers.choices import ChoiceTree, Path

FIRST_WAIT, LONGEST_WAIT = 0.5, 8.0  # seconds before a call is repeated; doubled each time
CHOSEN_AT_ONCE = 128  # token ids whose log-probabilities vLLM gives in one call
VERBALISE = "Set 'labels.labeler: verbalised' and 'descriptors.describer: generated' in the recipe"
T = TypeVar("T")


class Endpoint:
    """A teacher behind a URL such as `http://127.0.0.1:8000/v1`."""

    def __init__(self, config: EndpointTeacher, url: str) -> None:
        self._config = config
        self._url = url.rstrip("/")
        self._vllm = config.server == "vllm"
        self._clients: dict[asyncio.AbstractEventLoop, tuple[openai.AsyncOpenAI, asyncio.Semaphore]] = {}
        self._answered = False
        self._trees: dict[tuple[tuple[str, ...], str], tuple[ChoiceTree, dict[Path, str]]] = {}

    @property
    def name(self) -> str:
        """Model and revision, for rows and cards."""
        return f"{self._config.model}@{self._config.revision}"

    async def generate(self, request: Request) -> Reply:
        """Answer a request by a chat completion, or by a completion where the model is a base model."""
        schema = request.schema if self._config.structured else None
        extra: dict[str, Any] = {}
        if schema:
            request = replace(request, prefill="", stop=(), user=f"{request.user}\n\nAnswer with JSON.")
            wanted = {"name": request.prompt, "schema": schema, "strict": True}
            extra["response_format"] = {"type": "json_schema", "json_schema": wanted}
        if self._vllm:
            extra["repetition_penalty"] = request.repetition_penalty
        continued = self._continues(request)
        # Where the server begins the answer itself, what the prefill holds (an opening quote) must not end it.
        stop = [character for character in request.stop if continued or character not in request.prefill]
        stop += [] if self._config.chat else [DOCUMENT_STOP]
        retried: list[str] = []
        body = await self._complete(
            request,
            extra,
            retried,
            max_tokens=request.max_new_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed,
            stop=stop or openai.omit,
        )
        text = _text(body)
        prefix = request.prefill if continued and not text.startswith(request.prefill) else ""
        cut = body.choices[0].finish_reason == "length"
        return Reply(text=prefix + text, cut=cut, usage=_usage(body), retried=tuple(retried))

    async def certainty(self, request: Request, choices: Sequence[str]) -> tuple[float, ...]:
        """All are certain: `score` asks on for those that begin alike, and no more is known of a server's tokens."""
        return (1.0,) * len(choices)

    async def score(self, request: Request, choices: Sequence[str]) -> Scores:
        """Log-probabilities of exactly the choices' tokens, which vLLM gives and other servers do not.

        A call gives those of up to 128 tokens; choices that begin alike need further calls.

        Raises:
            InputError: the server is not vLLM.
        """
        if not self._vllm:
            raise InputError(f"{self._url}: only vLLM gives the log-probabilities of chosen words. {VERBALISE}.")
        retried: list[str] = []
        tree, texts = await self._tree(tuple(choices), request.prefill)
        usage = Usage()
        found: dict[Path, dict[int, float]] = {}
        for node in tree.nodes:
            begun = replace(request, prefill=request.prefill + texts[node])
            wanted = tree.children[node]
            found[node] = {}
            for start in range(0, len(wanted), CHOSEN_AT_ONCE):
                ids = wanted[start : start + CHOSEN_AT_ONCE]
                extra = {"logprob_token_ids": ids, "return_tokens_as_token_ids": True}
                body = await self._complete(
                    begun, extra, retried, max_tokens=1, temperature=0.0, logprobs=True if self._config.chat else 1
                )
                usage.add(_usage(body))
                given = {token.removeprefix("token_id:"): value for token, value in self._alternatives(body)}
                if missing := [token for token in ids if str(token) not in given]:
                    error = TeacherError("no_log_probability", f"of the tokens {missing[:5]}")
                    error.retried = tuple(retried)
                    raise error
                found[node] |= {token: given[str(token)] for token in ids}
        return Scores(tree.combine(found), usage, tuple(retried))

    async def close(self) -> None:
        """Close the connections of the running event loop."""
        if found := self._clients.pop(asyncio.get_running_loop(), None):
            await found[0].close()

    # ------------------------------------------------------------------ scores

    async def _tree(self, choices: tuple[str, ...], prefill: str) -> tuple[ChoiceTree, dict[Path, str]]:
        """The choices as the server's tokens behind the begun answer, and the text of each node."""
        if (choices, prefill) not in self._trees:
            before = await self._tokens(prefill)
            tree = ChoiceTree([(await self._tokens(prefill + choice))[len(before) :] for choice in choices])
            texts = {}
            for node in tree.nodes:
                whole = (await self._ask_vllm("detokenize", tokens=[*before, *node]))["prompt"] if node else prefill
                texts[node] = whole[len(prefill) :]
            self._trees[choices, prefill] = tree, texts
        return self._trees[choices, prefill]

    async def _tokens(self, text: str) -> list[int]:
        found: list[int] = (await self._ask_vllm("tokenize", prompt=text, add_special_tokens=False))["tokens"]
        return found

    async def _ask_vllm(self, path: str, **fields: Any) -> Any:
        """What vLLM offers beside the OpenAI calls: tokenize, detokenize."""
        client, _ = self._client()
        url = f"{self._url.removesuffix('/v1')}/{path}"

        async def call() -> Any:
            return await client.post(url, body={"model": self._config.model, **fields}, cast_to=object)

        try:
            return await self._again(lambda: self._named(call), [])
        except InputError as error:
            raise InputError(f"{error} Is it vLLM? Otherwise set 'teacher.server: openai'.") from None

    def _alternatives(self, body: ChatCompletion | Completion) -> list[tuple[str, float]]:
        """Tokens with their log-probabilities at the answer's first place."""
        logprobs = body.choices[0].logprobs
        found: list[tuple[str, float]] = []
        if isinstance(body, Completion):
            tops = body.choices[0].logprobs.top_logprobs if body.choices[0].logprobs else None
            found = [*tops[0].items()] if tops else []
        elif logprobs and (content := getattr(logprobs, "content", None)):
            found = [(top.token, top.logprob) for top in content[0].top_logprobs]
        if not found:
            raise InputError(f"{self._url}: the server gives no log-probabilities. {VERBALISE}.")
        return found

    # ------------------------------------------------------------------ the call

    def _continues(self, request: Request) -> bool:
        """Whether the server takes the answer's beginning from us."""
        return bool(request.prefill) and (self._vllm or not self._config.chat)

    def _client(self) -> tuple[openai.AsyncOpenAI, asyncio.Semaphore]:
        """The client of the running event loop: connections cannot be shared between loops."""
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            client = openai.AsyncOpenAI(
                base_url=self._url,
                api_key=os.environ.get(self._config.api_key_env, "none"),
                timeout=self._config.timeout,
                max_retries=0,  # the retries are ours (`_again`): the client's would not be counted
            )
            self._clients = {loop: (client, asyncio.Semaphore(self._config.in_flight))}
        return self._clients[loop]

    async def _complete(
        self, request: Request, extra: dict[str, Any], retried: list[str], **parameters: Any
    ) -> ChatCompletion | Completion:
        """The server's answer; why it had to be asked again is added to `retried`."""
        parameters |= {"model": self._config.model, "extra_body": extra or None}
        if not self._config.chat:
            parameters["prompt"] = request.as_document()
        else:
            messages = [{"role": "system", "content": request.system}, {"role": "user", "content": request.user}]
            if self._continues(request):
                messages.append({"role": "assistant", "content": request.prefill})
                begun = {"continue_final_message": True, "add_generation_prompt": False}
                parameters["extra_body"] = extra | begun
            parameters["messages"] = messages

        async def call() -> ChatCompletion | Completion:
            client, free = self._client()
            create: Any = client.chat.completions.create if self._config.chat else client.completions.create
            async with free:
                body: ChatCompletion | Completion = await create(**parameters)
            _text(body)
            return body

        return await self._again(lambda: self._named(call), retried)

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
                if over or not error.sick:
                    error.retried = tuple(retried)
                    raise
                retried.append(error.reason)
                await asyncio.sleep(error.retry_after or wait * random.uniform(0.75, 1.0))
                wait = min(2 * wait, LONGEST_WAIT)

    async def _named(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call, with what the client raises turned into a TeacherError with a reason, or into the end of the run."""
        try:
            result = await call()
        except openai.APITimeoutError:
            raise TeacherError("time_out", sick=True) from None
        except openai.APIConnectionError as error:
            if self._answered:
                raise TeacherError(NO_CONNECTION, str(error.__cause__ or error), sick=True) from None
            raise InputError(
                f"{self._url}: no teacher answers ({error.__cause__ or error}). Start the server and run the same "
                "command again; what was made is kept."
            ) from None
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
            raise InputError(
                f"{self._url}: the teacher refuses ({error.status_code}: {error.message}). Check 'teacher.model' in "
                f"the recipe and the key in ${self._config.api_key_env}."
            ) from None
        except openai.APIStatusError as error:
            sick = error.status_code in (408, 429) or error.status_code >= 500
            failed = TeacherError(f"http_{error.status_code}", error.message, sick=sick)
            failed.retry_after = min(_retry_after(error.response.headers), self._config.patience)
            raise failed from None
        except (openai.APIError, json.JSONDecodeError) as error:
            raise TeacherError("broken_body", str(error), sick=True) from None
        self._answered = True
        return result


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the server wants us to wait (milliseconds, seconds or a date); 0 where it does not say."""
    found = headers.get("retry-after", "")
    with contextlib.suppress(ValueError):
        return max(0.0, float(headers.get("retry-after-ms", "")) / 1000)
    with contextlib.suppress(ValueError):
        return max(0.0, float(found))
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(found).timestamp() - time.time())
    return 0.0


def _text(body: ChatCompletion | Completion) -> str:
    """The answer's text, which servers leave out in several ways. Raises TeacherError where there is no answer."""
    choice: Any = body.choices[0] if getattr(body, "choices", None) else None
    holder, name = (choice, "text") if isinstance(body, Completion) else (getattr(choice, "message", None), "content")
    found = getattr(holder, name, None)
    if holder is None or not isinstance(found, str | None):
        raise TeacherError("broken_body", str(body)[:200], sick=True)
    return found or ""


def _usage(body: ChatCompletion | Completion) -> Usage:
    if body.usage is None:
        return Usage(calls=1)
    details = getattr(body.usage, "prompt_tokens_details", None)
    return Usage(
        calls=1,
        prompt_tokens=getattr(body.usage, "prompt_tokens", 0) or 0,
        cached_tokens=getattr(details, "cached_tokens", 0) or 0,
        completion_tokens=getattr(body.usage, "completion_tokens", 0) or 0,
    )
