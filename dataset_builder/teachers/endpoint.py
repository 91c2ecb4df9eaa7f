"""A teacher on an OpenAI-compatible server (`vllm serve`, llama.cpp, a provider).

This file chooses the parameters of a call and reads the answer; client.py makes the calls.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import openai

from dataset_builder.inputs import InputError
from dataset_builder.recipe import EndpointTeacher
from dataset_builder.schema import Usage
from dataset_builder.teachers.base import DOCUMENT_STOP, Reply, Request, Scores, TeacherError
from dataset_builder.teachers.choice_tree import ChoiceTree, Path
from dataset_builder.teachers.client import Client
from dataset_builder.teachers.reply_text import strip_reasoning
from dataset_builder.teachers.responses import Answer

MOST_CHOSEN_TOKENS = 128  # token ids whose log-probabilities vLLM returns in one call
VERBALISE = "Set 'labels.labeler: verbalised' and 'descriptors.describer: generated' in the recipe"


class Endpoint:
    """A teacher at a url such as `http://127.0.0.1:8000/v1`. Raises InputError if its key cannot be sent (keys.py)."""

    def __init__(self, config: EndpointTeacher, url: str) -> None:
        self.name = config.name
        self._config = config
        self._client = Client(config, url)
        self._vllm = config.server == "vllm"
        self._trees: dict[tuple[tuple[str, ...], str], tuple[ChoiceTree, dict[Path, str]]] = {}

    async def generate(self, request: Request) -> Reply:
        """Answer a request by a chat completion, or by a completion if the model is a base model."""
        extra: dict[str, Any] = {}
        if self._config.structured and request.schema:
            wanted = {"name": request.prompt, "schema": request.schema, "strict": True}
            extra["response_format"] = {"type": "json_schema", "json_schema": wanted}
            request = replace(request, prefill="", stop=(), user=f"{request.user}\n\nAnswer with JSON.")
        if self._vllm and "repetition_penalty" not in self._config.leave_out:
            extra["repetition_penalty"] = request.repetition_penalty
        continued = self._client.continues(request)
        # A server that begins the answer itself repeats the prefill; its characters (a quote) must not stop the answer.
        stop = [character for character in request.stop if continued or character not in request.prefill]
        stop += [] if self._config.chat else [DOCUMENT_STOP]
        retried: list[str] = []
        answer = await self._client.complete(
            request,
            extra,
            retried,
            max_tokens=request.max_new_tokens + self._config.reasoning_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed,
            stop=stop or openai.omit,
        )
        text = strip_reasoning(answer.text)
        # An answer after reasoning is a new one, and some servers return the prefill with the answer.
        is_rest = continued and answer.text.startswith(text) and not answer.text.startswith(request.prefill)
        return Reply((request.prefill if is_rest else "") + text, answer.cut, answer.usage, tuple(retried))

    async def continuation_probability(self, request: Request, choices: Sequence[str]) -> tuple[float, ...]:
        """1 for each choice: `score` follows choices with a common first token to where they differ."""
        return (1.0,) * len(choices)

    async def score(self, request: Request, choices: Sequence[str]) -> Scores:
        """Return log-probabilities of exactly the choices' tokens, which only vLLM returns.

        Choices with a common first token need further calls.

        Raises:
            InputError: the server is not vLLM.
        """
        if not self._vllm:
            raise InputError(
                f"{self._client.server}: only vLLM returns the log-probabilities of chosen words. {VERBALISE}."
            )
        retried: list[str] = []
        tree, texts = await self._tree(tuple(choices), request.prefill)
        usage = Usage()
        found: dict[Path, dict[int, float]] = {}
        for node in tree.nodes:
            begun = replace(request, prefill=request.prefill + texts[node])
            wanted = tree.children[node]
            found[node] = {}
            for start in range(0, len(wanted), MOST_CHOSEN_TOKENS):
                ids = wanted[start : start + MOST_CHOSEN_TOKENS]
                extra = {"logprob_token_ids": ids, "return_tokens_as_token_ids": True}
                answer = await self._client.complete(
                    begun, extra, retried, max_tokens=1, temperature=0.0, logprobs=True if self._config.chat else 1
                )
                usage.add(answer.usage)
                given = self._log_probabilities(answer)
                if missing := [token for token in ids if str(token) not in given]:
                    error = TeacherError("no_log_probability", f"of the tokens {missing[:5]}")
                    error.retried = tuple(retried)
                    raise error
                found[node] |= {token: given[str(token)] for token in ids}
        return Scores(tree.combine(found), usage, tuple(retried))

    async def close(self) -> None:
        """Close the connections of the running event loop."""
        await self._client.close()

    async def _tree(self, choices: tuple[str, ...], prefill: str) -> tuple[ChoiceTree, dict[Path, str]]:
        """Return the choices as the server's tokens after the prefill, and the text of each node."""
        if (choices, prefill) not in self._trees:
            before = await self._tokens(prefill)
            tree = ChoiceTree([(await self._tokens(prefill + choice))[len(before) :] for choice in choices])
            texts: dict[Path, str] = {(): ""}
            for node in tree.nodes[1:]:
                begun = await self._client.ask_vllm("detokenize", tokens=[*before, *node])
                texts[node] = begun["prompt"][len(prefill) :]
            self._trees[choices, prefill] = tree, texts
        return self._trees[choices, prefill]

    async def _tokens(self, text: str) -> list[int]:
        found: list[int] = (await self._client.ask_vllm("tokenize", prompt=text, add_special_tokens=False))["tokens"]
        return found

    def _log_probabilities(self, answer: Answer) -> dict[str, float]:
        """Return the log-probabilities at the answer's first position, by token id."""
        found: dict[str, float] = {}
        with contextlib.suppress(KeyError, IndexError, TypeError, AttributeError, ValueError):
            logprobs: Any = answer.choice["logprobs"]
            if self._config.chat:
                found = {top["token"]: float(top["logprob"]) for top in logprobs["content"][0]["top_logprobs"]}
            else:
                found = {token: float(value) for token, value in logprobs["top_logprobs"][0].items()}
        if not found:
            raise InputError(f"{self._client.server}: the server returns no log-probabilities. {VERBALISE}.")
        return {token.removeprefix("token_id:"): value for token, value in found.items()}
