"""A language model in this process, by `transformers`: requests that wait are run as batches, their beginnings kept."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from dataset_builder.inputs import InputError
from dataset_builder.recipe import EmbeddedTeacher
from dataset_builder.schema import Usage
from dataset_builder.teachers import embedded_name
from dataset_builder.teachers.base import DOCUMENT_STOP, Reply, Request, Scores, TeacherError
from dataset_builder.teachers.choices import ChoiceTree
from dataset_builder.teachers.choices import Path as TokenPath
from dataset_builder.teachers.encoding import PromptEncoder
from dataset_builder.teachers.loading import load_model
from dataset_builder.teachers.prefixes import Prefixes, can_share, join

SHORT = 1000  # characters; shorter prompts are cheap to read and share what they happen to share
BEGINNING = 200  # characters by which longer prompts on one story are told


@dataclass(eq=False)
class _Waiting:
    """A request in the queue; `choices` is None for generation, `whole` asks for `continuation_probability`."""

    request: Request
    tokens: list[int]
    choices: tuple[str, ...] | None
    answer: "asyncio.Future[Any]"
    whole: bool = False

    @property
    def kind(self) -> tuple[Any, ...]:
        """Only requests of one kind can share a batch."""
        r = self.request
        return (
            self.choices,
            self.choices and r.prefill,
            self.whole,
            r.stop,
            r.max_new_tokens,
            r.temperature,
            r.top_p,
            r.repetition_penalty,
        )

    @property
    def story(self) -> tuple[str, str]:
        """Prompts with equal ones begin alike."""
        user = self.request.user
        return (self.request.system, "" if len(user) < SHORT else user[:BEGINNING])


class Embedded:
    """A teacher that runs in this process. Seeds make a run repeatable only for equal batches."""

    def __init__(self, config: EmbeddedTeacher) -> None:
        self._config = config
        self._model: Any = None
        self._tokenizer: Any = None
        self._prefixes: Any = None
        self._pad = 0
        self._encoder: PromptEncoder | None = None
        self._stops: dict[tuple[str, ...], list[int]] = {}
        self._trees: dict[tuple[Any, ...], ChoiceTree] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="teacher")
        self._waiting: list[_Waiting] = []
        self._pump: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Model, revision and weights, for rows and cards."""
        return embedded_name(self._config)

    async def generate(self, request: Request) -> Reply:
        """Answer a request, in a batch with others that wait."""
        reply: Reply = await self._enqueue(request, None)
        return reply

    async def score(self, request: Request, choices: Sequence[str]) -> Scores:
        """Log-probabilities of the choices, each by as many first tokens as tell it apart: one forward pass, or two.

        Raises:
            InputError: the second pass is needed and the model's layers do not allow it.
        """
        scores: Scores = await self._enqueue(request, tuple(choices))
        return scores

    async def continuation_probability(self, request: Request, choices: Sequence[str]) -> tuple[float, ...]:
        """How probable each choice is once its first token is there: two forward passes."""
        found: tuple[float, ...] = await self._enqueue(request, tuple(choices), whole=True)
        return found

    async def load(self) -> None:
        """Load the model now instead of with the first request."""
        if self._model is None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._load)

    async def close(self) -> None:
        """Nothing is held but the model, which the next shard needs again."""

    # ------------------------------------------------------------------ the queue

    async def _enqueue(self, request: Request, choices: tuple[str, ...] | None, whole: bool = False) -> Any:
        loop = asyncio.get_running_loop()
        await self.load()
        tokens = self._encode(request)
        longest = self._model.config.max_position_embeddings
        if len(tokens) + request.max_new_tokens > longest:
            raise TeacherError("prompt_too_long", f"{len(tokens)} tokens, the model reads {longest}")
        waiting = _Waiting(request, tokens, choices, loop.create_future(), whole)
        self._waiting.append(waiting)
        if self._pump is None or self._pump.done():
            self._pump = loop.create_task(self._run_batches())
        return await waiting.answer

    async def _run_batches(self) -> None:
        """Run batches until nobody waits."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)  # let every unit that is ready join the first batch
        while batch := self._take_batch():
            run = self._generate if batch[0].choices is None else self._score
            try:
                answers = await loop.run_in_executor(self._thread, run, batch)
            except Exception as error:  # whatever it is belongs to those who wait, not to this task
                for waiting in batch:
                    if not waiting.answer.done():  # cancelled meanwhile
                        waiting.answer.set_exception(error)
                continue
            for waiting, answer in zip(batch, answers, strict=True):
                if not waiting.answer.done():
                    waiting.answer.set_result(answer)
            await asyncio.sleep(0)

    def _take_batch(self) -> list[_Waiting]:
        """Requests of the kind that most wait for, those on one story together, the largest stories first.

        Stages that are asked at the same time, and retries of a few units, thus wait until they fill a batch.
        Cancelled requests are dropped. Empty when nobody waits.
        """
        self._waiting = [waiting for waiting in self._waiting if not waiting.answer.done()]
        if not self._waiting:
            return []
        kinds: dict[tuple[Any, ...], dict[tuple[str, str], list[_Waiting]]] = {}
        for waiting in self._waiting:
            kinds.setdefault(waiting.kind, {}).setdefault(waiting.story, []).append(waiting)
        groups = max(kinds.values(), key=lambda stories: sum(map(len, stories.values())))  # the first of equals
        ordered = sorted(groups.values(), key=len, reverse=True)  # stable: equals stay in order
        batch = [waiting for group in ordered for waiting in group][: self._config.batch_size]
        taken = {id(waiting) for waiting in batch}
        self._waiting = [waiting for waiting in self._waiting if id(waiting) not in taken]
        return batch

    # ------------------------------------------------------------------ the model

    def _load(self) -> None:
        if self._model is not None:
            return
        self._model, self._tokenizer = load_model(self._config)
        self._prefixes = Prefixes(self._model, self._config.kept_beginnings)
        pad, end = self._tokenizer.pad_token_id, self._tokenizer.eos_token_id
        self._pad = end if pad is None else pad

    def _encode(self, request: Request) -> list[int]:
        """Token ids of the whole prompt, the prefill included: by the chat template, or as a base model reads it."""
        if self._encoder is None:
            self._encoder = PromptEncoder(self._tokenizer)
        return self._encoder.encode(request)

    def _stop_tokens(self, stop: tuple[str, ...]) -> list[int]:
        """The end token and every token whose text contains a stop."""
        if stop in self._stops:
            return self._stops[stop]
        texts = self._tokenizer.batch_decode([[token] for token in range(len(self._tokenizer))])
        found = [token for token, text in enumerate(texts) if any(s in text for s in stop)]
        ends = self._model.generation_config.eos_token_id  # chat models may end a turn otherwise than a text
        ends = ends if isinstance(ends, list) else [ends]
        own = dict.fromkeys(end for end in (self._tokenizer.eos_token_id, *ends) if end is not None)
        self._stops[stop] = [*own, *found]
        return self._stops[stop]

    def _tree(self, choices: tuple[str, ...], prefill: str, whole: bool = False) -> ChoiceTree:
        """The choices as tokens behind the begun answer; by themselves some tokenizers begin them otherwise."""
        if tree := self._trees.get((choices, prefill, whole)):
            return tree
        before = self._tokenizer(prefill, add_special_tokens=False)["input_ids"]
        begun = [self._tokenizer(prefill + choice, add_special_tokens=False)["input_ids"] for choice in choices]
        tree = ChoiceTree([tokens[len(before) :] for tokens in begun], whole)
        self._trees[choices, prefill, whole] = tree
        return tree

    def _inputs(self, batch: list[_Waiting], new_tokens: int) -> tuple[dict[str, Any], list[Usage]]:
        """Batched model inputs behind the kept beginnings, with room for new tokens; each request's usage so far."""
        by_story: dict[tuple[str, str], list[list[int]]] = {}
        for waiting in batch:
            by_story.setdefault(waiting.story, []).append(waiting.tokens)
        shared = {story: self._prefixes.length(rows) for story, rows in by_story.items()}
        beginnings, usages = [], []
        for waiting in batch:
            length, cache, kept = shared[waiting.story], None, False
            if length:
                cache, kept = self._prefixes.states(waiting.tokens[:length])
            beginnings.append((cache, length))
            cached = length if kept else 0  # who comes first pays for reading it
            usages.append(Usage(calls=1, prompt_tokens=len(waiting.tokens), cached_tokens=cached))
        front = max(length for _, length in beginnings)
        back = max(len(waiting.tokens) - length for waiting, (_, length) in zip(batch, beginnings, strict=True))
        ids, mask = [], []
        for waiting, (_, length) in zip(batch, beginnings, strict=True):
            begin, rest = waiting.tokens[:length], waiting.tokens[length:]
            left, middle = front - len(begin), back - len(rest)
            ids.append([self._pad] * left + begin + [self._pad] * middle + rest)
            mask.append([0] * left + [1] * len(begin) + [0] * middle + [1] * len(rest))
        inputs: dict[str, Any] = {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}
        if front:
            inputs["past_key_values"] = join(beginnings, room=back + new_tokens)
        return inputs, usages

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _generate(self, batch: list[_Waiting]) -> list[Reply]:
        request = batch[0].request
        stop = request.stop if self._tokenizer.chat_template else (*request.stop, DOCUMENT_STOP)
        inputs, usages = self._inputs(batch, request.max_new_tokens)
        stops = self._stop_tokens(stop)
        sampling = {"temperature": request.temperature, "top_p": request.top_p} if request.temperature else {}
        torch.manual_seed(request.seed)
        output = self._model.generate(
            **inputs,
            max_new_tokens=request.max_new_tokens,
            do_sample=request.temperature > 0,
            repetition_penalty=request.repetition_penalty,
            eos_token_id=stops,
            pad_token_id=self._pad,
            **sampling,
        )
        replies = []
        ends = set(stops)
        for waiting, row, usage in zip(batch, output[:, inputs["input_ids"].shape[1] :].tolist(), usages, strict=True):
            length = next((i + 1 for i, token in enumerate(row) if token in ends), None)
            usage.completion_tokens = length or len(row)
            text = self._tokenizer.decode(row[:length], skip_special_tokens=True)
            stopped_at = min((text.find(s) for s in stop if s in text), default=len(text))
            replies.append(
                Reply(
                    waiting.request.prefill + text[:stopped_at],
                    cut=length is None and stopped_at == len(text),
                    usage=usage,
                )
            )
        return replies

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _score(self, batch: list[_Waiting]) -> list[Scores] | list[tuple[float, ...]]:
        assert batch[0].choices is not None
        tree = self._tree(batch[0].choices, batch[0].request.prefill, batch[0].whole)
        inputs, usages = self._inputs(batch, len(tree.nodes))
        mask = inputs["attention_mask"]
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache = inputs.setdefault("past_key_values", DynamicCache(config=self._model.config))
        read = cache.get_seq_length()
        logits = self._model(
            **inputs | {"input_ids": inputs["input_ids"][:, read:]}, position_ids=positions[:, read:], logits_to_keep=1
        ).logits
        found = logits.float().log_softmax(-1)  # (batch, nodes, vocabulary)
        if inner := tree.nodes[1:]:
            found = torch.cat([found, self._inner(inner, cache, mask, positions[:, -1:])], dim=1)
        rows = [
            {
                node: dict(zip(tree.children[node], at[tree.children[node]].tolist(), strict=True))
                for node, at in zip(tree.nodes, row, strict=True)
            }
            for row in found
        ]
        if batch[0].whole:
            return [tree.continuation_probabilities(row) for row in rows]
        for usage in usages:
            usage.prompt_tokens += len(tree.nodes) - 1
        return [Scores(tree.combine(row), usage) for row, usage in zip(rows, usages, strict=True)]

    def _inner(self, nodes: list[TokenPath], cache: Any, mask: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        """Log-probabilities after each node, (batch, nodes, vocabulary), all in one pass: a node sees its own path.

        `mask` (batch, tokens) and `last` (batch, 1) are the prompts' mask and last positions; `cache` holds them.
        """
        rows = mask.shape[0]
        if not can_share(self._model):
            raise InputError(
                f"teacher '{self._config.model}': some choices begin with the same token, and this model's layers "
                "(sliding windows) do not allow to follow them. Set 'descriptors.describer: generated'."
            )
        sees = torch.tensor([[other == node[: len(other)] for other in nodes] for node in nodes])
        sees = torch.cat([mask.bool()[:, None].expand(-1, len(nodes), -1), sees.expand(rows, -1, -1)], dim=-1)
        logits = self._model(
            input_ids=torch.tensor([[node[-1] for node in nodes]]).expand(rows, -1),
            position_ids=last + torch.tensor([len(node) for node in nodes]),
            attention_mask=sees[:, None],
            past_key_values=cache,
        ).logits
        return logits.float().log_softmax(-1)
