"""An OpenAI-compatible server (`vllm serve`, llama.cpp, a provider), by the `openai` client.

The client retries time-outs, lost connections, 408, 409, 429 and 5xx with back-off and honours Retry-After; what
still fails is a TeacherError, and the unit is rejected with its code. A server that refuses the key or does not know
the model ends the run with a message, and so does one that was never there; one that was and is gone is waited for.
The same command goes on from there.
"""

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx2
import openai
from openai.types import Completion
from openai.types.chat import ChatCompletion

from dataset_builder.inputs import InputError
from dataset_builder.recipe import EndpointTeacher
from dataset_builder.schema import Usage
from dataset_builder.teachers import DOCUMENT_STOP, Reply, Request, Scores, TeacherError
from dataset_builder.teachers.choices import ChoiceTree, Path

CHOSEN_AT_ONCE = 128  # token ids whose log-probabilities vLLM gives in one call
VERBALISE = "Set 'labels.labeler: verbalised' and 'descriptors.describer: generated' in the recipe"


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
        body = await self._complete(
            request,
            extra,
            max_tokens=request.max_new_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed,
            stop=stop or openai.omit,
        )
        text = (body.choices[0].text if isinstance(body, Completion) else body.choices[0].message.content) or ""
        prefix = request.prefill if continued and not text.startswith(request.prefill) else ""
        return Reply(text=prefix + text, cut=body.choices[0].finish_reason == "length", usage=_usage(body))

    async def score(self, request: Request, choices: Sequence[str]) -> Scores:
        """Log-probabilities of exactly the choices' tokens, which vLLM gives and other servers do not.

        A call gives those of up to 128 tokens; choices that begin alike need further calls.

        Raises:
            InputError: the server is not vLLM.
        """
        if not self._vllm:
            raise InputError(f"{self._url}: only vLLM gives the log-probabilities of chosen words. {VERBALISE}.")
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
                    begun, extra, max_tokens=1, temperature=0.0, logprobs=True if self._config.chat else 1
                )
                usage.add(_usage(body))
                given = {token.removeprefix("token_id:"): value for token, value in self._alternatives(body)}
                if missing := [token for token in ids if str(token) not in given]:
                    raise TeacherError("no_log_probability", f"of the tokens {missing[:5]}")
                found[node] |= {token: given[str(token)] for token in ids}
        return Scores(tree.combine(found), usage)

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
        url = f"{self._url.removesuffix('/v1')}/{path}"
        key = os.environ.get(self._config.api_key_env)
        async with httpx2.AsyncClient(timeout=self._config.timeout) as client:
            try:
                answer = await client.post(
                    url,
                    json={"model": self._config.model, **fields},
                    headers={"Authorization": f"Bearer {key}"} if key else {},
                )
                answer.raise_for_status()
            except httpx2.HTTPError as error:
                raise InputError(f"{url}: {error}. Is it vLLM? Otherwise set 'teacher.server: openai'.") from None
            return answer.json()

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
                max_retries=self._config.retries,
            )
            self._clients = {loop: (client, asyncio.Semaphore(self._config.in_flight))}
        return self._clients[loop]

    async def _complete(
        self, request: Request, extra: dict[str, Any], **parameters: Any
    ) -> ChatCompletion | Completion:
        client, free = self._client()
        parameters["model"] = self._config.model
        body: ChatCompletion | Completion
        try:
            async with free:
                if self._config.chat:
                    messages: list[Any] = [
                        {"role": "system", "content": request.system},
                        {"role": "user", "content": request.user},
                    ]
                    if self._continues(request):
                        messages.append({"role": "assistant", "content": request.prefill})
                        extra = extra | {"continue_final_message": True, "add_generation_prompt": False}
                    body = await client.chat.completions.create(
                        messages=messages, extra_body=extra or None, **parameters
                    )
                else:
                    body = await client.completions.create(
                        prompt=request.as_document(), extra_body=extra or None, **parameters
                    )
        except openai.APITimeoutError:
            raise TeacherError("time_out", sick=True) from None
        except openai.APIConnectionError as error:
            if self._answered:
                raise TeacherError("no_connection", str(error.__cause__ or error), sick=True) from None
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
            sick = error.status_code == 429 or error.status_code >= 500
            raise TeacherError(f"http_{error.status_code}", error.message, sick=sick) from None
        except (openai.APIError, json.JSONDecodeError) as error:
            raise TeacherError("broken_body", str(error), sick=True) from None
        self._answered = True
        if not getattr(body, "choices", None):
            raise TeacherError("broken_body", str(body)[:200], sick=True)
        return body


def _usage(body: ChatCompletion | Completion) -> Usage:
    if body.usage is None:
        return Usage(calls=1)
    details = body.usage.prompt_tokens_details
    return Usage(
        calls=1,
        prompt_tokens=body.usage.prompt_tokens,
        cached_tokens=(details.cached_tokens or 0) if details else 0,
        completion_tokens=body.usage.completion_tokens,
    )
