"""An OpenAI-compatible server (`vllm serve`, llama.cpp, a provider): what is asked, and what its answers mean.

How it is called, and what becomes of a call that fails, is in calls.py.
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
from dataset_builder.teachers.bodies import Answer
from dataset_builder.teachers.calls import Calls
from dataset_builder.teachers.calls import retry_after as _retry_after  # noqa: F401 - known by this name
from dataset_builder.teachers.choices import ChoiceTree, Path
from dataset_builder.teachers.reply_text import strip_reasoning

CHOSEN_AT_ONCE = 128  # token ids whose log-probabilities vLLM gives in one call
VERBALISE = "Set 'labels.labeler: verbalised' and 'descriptors.describer: generated' in the recipe"


class Endpoint:
    """A teacher behind a URL such as `http://127.0.0.1:8000/v1`.

    Raises:
        InputError: its key cannot be sent (keys.py).
    """

    def __init__(self, config: EndpointTeacher, url: str) -> None:
        self._config = config
        self._calls = Calls(config, url)
        self._vllm = config.server == "vllm"
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
        if self._vllm and "repetition_penalty" not in self._config.leave_out:
            extra["repetition_penalty"] = request.repetition_penalty
        continued = self._calls.continues(request)
        # Where the server begins the answer itself, what the prefill holds (an opening quote) must not end it.
        stop = [character for character in request.stop if continued or character not in request.prefill]
        stop += [] if self._config.chat else [DOCUMENT_STOP]
        retried: list[str] = []
        answer = await self._calls.complete(
            request,
            extra,
            retried,
            max_tokens=request.max_new_tokens + self._config.reasoning_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed,
            stop=stop or openai.omit,
        )
        begun = continued and not answer.text.startswith(request.prefill)
        text = strip_reasoning(answer.text)
        # An answer behind reasoning is a new one, and does not continue what we began.
        prefix = request.prefill if begun and answer.text.startswith(text) else ""
        return Reply(text=prefix + text, cut=answer.cut, usage=answer.usage, retried=tuple(retried))

    async def continuation_probability(self, request: Request, choices: Sequence[str]) -> tuple[float, ...]:
        """All are certain: `score` asks on for those that begin alike, and no more is known of a server's tokens."""
        return (1.0,) * len(choices)

    async def score(self, request: Request, choices: Sequence[str]) -> Scores:
        """Log-probabilities of exactly the choices' tokens, which vLLM gives and other servers do not.

        A call gives those of up to 128 tokens; choices that begin alike need further calls.

        Raises:
            InputError: the server is not vLLM.
        """
        if not self._vllm:
            raise InputError(
                f"{self._calls.server}: only vLLM gives the log-probabilities of chosen words. {VERBALISE}."
            )
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
                answer = await self._calls.complete(
                    begun, extra, retried, max_tokens=1, temperature=0.0, logprobs=True if self._config.chat else 1
                )
                usage.add(answer.usage)
                given = self._alternatives(answer)
                if missing := [token for token in ids if str(token) not in given]:
                    error = TeacherError("no_log_probability", f"of the tokens {missing[:5]}")
                    error.retried = tuple(retried)
                    raise error
                found[node] |= {token: given[str(token)] for token in ids}
        return Scores(tree.combine(found), usage, tuple(retried))

    # ------------------------------------------------------------------ scores

    async def _tree(self, choices: tuple[str, ...], prefill: str) -> tuple[ChoiceTree, dict[Path, str]]:
        """The choices as the server's tokens behind the begun answer, and the text of each node."""
        if (choices, prefill) not in self._trees:
            before = await self._tokens(prefill)
            tree = ChoiceTree([(await self._tokens(prefill + choice))[len(before) :] for choice in choices])
            texts = {}
            for node in tree.nodes:
                whole = (
                    (await self._calls.ask_vllm("detokenize", tokens=[*before, *node]))["prompt"] if node else prefill
                )
                texts[node] = whole[len(prefill) :]
            self._trees[choices, prefill] = tree, texts
        return self._trees[choices, prefill]

    async def _tokens(self, text: str) -> list[int]:
        found: list[int] = (await self._calls.ask_vllm("tokenize", prompt=text, add_special_tokens=False))["tokens"]
        return found

    def _alternatives(self, answer: Answer) -> dict[str, float]:
        """The log-probabilities of tokens, by their ids, at the answer's first place."""
        found: dict[str, float] = {}
        with contextlib.suppress(KeyError, IndexError, TypeError, AttributeError, ValueError):
            logprobs: Any = answer.choice["logprobs"]
            if self._config.chat:
                found = {top["token"]: float(top["logprob"]) for top in logprobs["content"][0]["top_logprobs"]}
            else:
                found = {token: float(value) for token, value in logprobs["top_logprobs"][0].items()}
        if not found:
            raise InputError(f"{self._calls.server}: the server gives no log-probabilities. {VERBALISE}.")
        return {token.removeprefix("token_id:"): value for token, value in found.items()}

    async def close(self) -> None:
        """Close the connections of the running event loop."""
        await self._calls.close()
