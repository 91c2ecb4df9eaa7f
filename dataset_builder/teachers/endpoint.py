"""An OpenAI-compatible server (`vllm serve`, llama.cpp, a provider), by the `openai` client.

The client retries time-outs, lost connections, 408, 409, 429 and 5xx with back-off and honours Retry-After; what
still fails is a TeacherError, and the unit is rejected with its code. A server that refuses the key, does not know
the model or is gone ends the run with a message; the same command goes on from there.
"""

import asyncio
import json
import os
from collections.abc import Sequence
from typing import Any

import openai
from openai.types.chat import ChatCompletion

from dataset_builder.inputs import InputError
from dataset_builder.recipe import EndpointTeacher
from dataset_builder.schema import Usage
from dataset_builder.teachers import Reply, Request, Scores, TeacherError

TOP_LOGPROBS = 20  # what OpenAI-shaped servers give at most


class Endpoint:
    """A teacher behind a URL such as `http://127.0.0.1:8000/v1`."""

    def __init__(self, config: EndpointTeacher, url: str) -> None:
        self._config = config
        self._url = url
        self._clients: dict[asyncio.AbstractEventLoop, tuple[openai.AsyncOpenAI, asyncio.Semaphore]] = {}

    @property
    def name(self) -> str:
        """Model and revision, for rows and cards."""
        return f"{self._config.model}@{self._config.revision}"

    async def generate(self, request: Request) -> Reply:
        """Answer a request by a chat completion."""
        # Where the server begins the answer itself, what the prefill holds (an opening quote) must not end it.
        stop = [character for character in request.stop if self._config.prefill or character not in request.prefill]
        body = await self._complete(
            request,
            max_tokens=request.max_new_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed,
            stop=stop or openai.omit,
        )
        choice = body.choices[0]
        text = choice.message.content or ""
        prefix = request.prefill if self._config.prefill and not text.startswith(request.prefill) else ""
        return Reply(text=prefix + text, cut=choice.finish_reason == "length", usage=_usage(body))

    async def score(self, request: Request, choices: Sequence[str]) -> Scores:
        """Log-probabilities from the first token's alternatives.

        A choice takes the most likely alternative that it begins with. One that is not among the best 20 takes a
        value one below the least likely of them: an upper bound, so such labels end up weak, not absent.

        Raises:
            InputError: the server gives no log-probabilities.
        """
        if request.prefill and not self._config.prefill:
            raise InputError(
                f"{self._url}: the likelihood labeler begins the answer, which 'teacher.prefill: true' allows where "
                "the server can (vLLM can). Set it, or set 'labels.labeler: verbalised'."
            )
        body = await self._complete(request, max_tokens=1, temperature=0.0, logprobs=True, top_logprobs=TOP_LOGPROBS)
        logprobs = body.choices[0].logprobs
        if logprobs is None or not logprobs.content or not logprobs.content[0].top_logprobs:
            raise InputError(
                f"{self._url}: the server gives no log-probabilities, which the likelihood labeler needs. Set "
                "'labels.labeler: verbalised' in the recipe."
            )
        found = {top.token.strip().lower(): top.logprob for top in reversed(logprobs.content[0].top_logprobs)}
        found.pop("", None)
        floor = min(top.logprob for top in logprobs.content[0].top_logprobs) - 1.0
        begun = {token: [c for c in choices if c.strip().startswith(token)] for token in found}
        for token, several in begun.items():
            if len(several) > 1:
                raise TeacherError("ambiguous_token", f"'{token}' begins {', '.join(several)}")
        values = tuple(
            max((value for token, value in found.items() if choice.strip().startswith(token)), default=floor)
            for choice in choices
        )
        return Scores(values, _usage(body))

    async def close(self) -> None:
        """Close the connections of the running event loop."""
        if found := self._clients.pop(asyncio.get_running_loop(), None):
            await found[0].close()

    def _client(self) -> tuple[openai.AsyncOpenAI, asyncio.Semaphore]:
        """The client of the running event loop: connections cannot be shared between loops."""
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            client = openai.AsyncOpenAI(
                base_url=self._url,
                api_key=os.environ.get(self._config.api_key_env, "none"),
                timeout=self._config.timeout,
                max_retries=self._config.retries,
            )
            self._clients = {loop: (client, asyncio.Semaphore(self._config.in_flight))}
        return self._clients[loop]

    async def _complete(self, request: Request, **parameters: Any) -> ChatCompletion:
        messages = [{"role": "system", "content": request.system}, {"role": "user", "content": request.user}]
        extra: dict[str, Any] = {}
        if self._config.prefill and request.prefill:
            messages.append({"role": "assistant", "content": request.prefill})
            extra = {"continue_final_message": True, "add_generation_prompt": False}
        client, free = self._client()
        try:
            async with free:
                body: ChatCompletion = await client.chat.completions.create(
                    model=self._config.model,
                    messages=messages,  # type: ignore[arg-type]
                    extra_body=extra or None,
                    **parameters,
                )
        except openai.APITimeoutError:
            raise TeacherError("time_out") from None
        except openai.APIConnectionError as error:
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
            raise TeacherError(f"http_{error.status_code}", error.message) from None
        except (openai.APIError, json.JSONDecodeError) as error:
            raise TeacherError("broken_body", str(error)) from None
        if not getattr(body, "choices", None):
            raise TeacherError("broken_body", str(body)[:200])
        return body


def _usage(body: ChatCompletion) -> Usage:
    if body.usage is None:
        return Usage(calls=1)
    details = body.usage.prompt_tokens_details
    return Usage(
        calls=1,
        prompt_tokens=body.usage.prompt_tokens,
        cached_tokens=(details.cached_tokens or 0) if details else 0,
        completion_tokens=body.usage.completion_tokens,
    )
