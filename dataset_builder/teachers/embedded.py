"""A language model in this process, by `transformers`: micro-batches, and a cache of the prompts' common beginning.

Waiting requests that begin alike (the same story) are run as one batch. Their common beginning is read once, its
key-value states are kept for the next batch, and only the rest of each prompt is read per request. Padding stands
between the common beginning and the rest, masked, so that positions stay those of the unpadded prompt.
"""

import asyncio
import copy
import functools
import importlib.util
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache
from transformers.cache_utils import DynamicLayer

from dataset_builder.inputs import InputError
from dataset_builder.recipe import EmbeddedTeacher
from dataset_builder.schema import Usage
from dataset_builder.teachers import Reply, Request, Scores, TeacherError

CACHED_PREFIXES = 4
SHORTEST_PREFIX = 24  # tokens; below, a cache costs more than it saves
SHORT_PROMPT = 256  # tokens
BEGINNING = 200  # characters by which prompts on one story are told


@dataclass(eq=False)
class _Waiting:
    """A request in the queue; `choices` is None for generation."""

    request: Request
    tokens: list[int]
    choices: tuple[str, ...] | None
    answer: "asyncio.Future[Any]"

    @property
    def kind(self) -> tuple[Any, ...]:
        """Only requests of one kind can share a batch."""
        r = self.request
        return (self.choices, r.stop, r.max_new_tokens, r.temperature, r.top_p, r.repetition_penalty)


class _RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """Key-value states of one layer with room for what comes: the stock layer copies all of them for every token."""

    def __init__(self, prefix: DynamicLayer, batch: int, room: int) -> None:
        super().__init__()
        self.dtype, self.device, self.is_initialized = prefix.dtype, prefix.device, True
        self._buffers = []
        for states in (prefix.keys, prefix.values):
            _, heads, length, size = states.shape
            buffer = states.new_empty(batch, heads, length + room, size)
            buffer[:, :, :length] = states
            self._buffers.append(buffer)
        self._show(length)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        start, end = self.get_seq_length(), self.get_seq_length() + key_states.shape[-2]
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, start:end] = states
        self._show(end)
        return self.keys, self.values

    def _show(self, length: int) -> None:
        self.keys, self.values = (buffer[:, :, :length] for buffer in self._buffers)


class Embedded:
    """A teacher that runs in this process. Seeds make a run repeatable only for equal batches."""

    def __init__(self, config: EmbeddedTeacher) -> None:
        self._config = config
        self._model: Any = None
        self._tokenizer: Any = None
        self._prefixes: list[tuple[list[int], DynamicCache]] = []
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="teacher")
        self._waiting: list[_Waiting] = []
        self._pump: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Model, revision and weights, for rows and cards."""
        weights = f", {self._config.wheel}" if self._gguf() else ""
        return f"{self._config.model}@{self._config.revision}{weights}"

    async def generate(self, request: Request) -> Reply:
        """Answer a request, in a batch with others that wait."""
        reply: Reply = await self._enqueue(request, None)
        return reply

    async def score(self, request: Request, choices: Sequence[str]) -> Scores:
        """Log-probabilities of the choices from one forward pass: that of each choice's first token.

        Raises:
            InputError: two choices begin with the same token, so that one token cannot tell them apart.
        """
        scores: Scores = await self._enqueue(request, tuple(choices))
        return scores

    # ------------------------------------------------------------------ the queue

    async def _enqueue(self, request: Request, choices: tuple[str, ...] | None) -> Any:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._load)
        tokens = self._encode(request)
        longest = self._model.config.max_position_embeddings
        if len(tokens) + request.max_new_tokens > longest:
            raise TeacherError("prompt_too_long", f"{len(tokens)} tokens, the model reads {longest}")
        waiting = _Waiting(request, tokens, choices, loop.create_future())
        self._waiting.append(waiting)
        if self._pump is None or self._pump.done():
            self._pump = loop.create_task(self._run_batches())
        return await waiting.answer

    async def _run_batches(self) -> None:
        """Run batches until nobody waits."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)  # let every unit that is ready join the first batch
        while self._waiting:
            batch = self._take_batch()
            run = self._generate if batch[0].choices is None else self._score
            try:
                answers = await loop.run_in_executor(self._thread, run, batch)
            except Exception as error:  # whatever it is belongs to those who wait, not to this task
                for waiting in batch:
                    waiting.answer.set_exception(error)
                continue
            for waiting, answer in zip(batch, answers, strict=True):
                waiting.answer.set_result(answer)
            await asyncio.sleep(0)

    def _take_batch(self) -> list[_Waiting]:
        """The largest group of requests that begin alike; short prompts, cheap to read, fill the batch up.

        Small groups (retries, mostly) wait until they have grown or nothing larger is left.
        """
        groups: dict[tuple[Any, ...], list[_Waiting]] = {}
        for waiting in self._waiting:
            groups.setdefault((waiting.kind, waiting.request.system, waiting.request.user[:BEGINNING]), []).append(
                waiting
            )
        largest = max(groups.values(), key=len)
        batch = largest[: self._config.batch_size]
        if all(len(waiting.tokens) <= SHORT_PROMPT for waiting in batch):
            others = (w for w in self._waiting if w.kind == batch[0].kind and len(w.tokens) <= SHORT_PROMPT)
            batch += [waiting for waiting in others if waiting not in largest][: self._config.batch_size - len(batch)]
        taken = {id(waiting) for waiting in batch}
        self._waiting = [waiting for waiting in self._waiting if id(waiting) not in taken]
        return batch

    # ------------------------------------------------------------------ the model

    def _gguf(self) -> Path | None:
        """The GGUF file in the installed package that the recipe names, if it is installed."""
        if self._config.wheel is None:
            return None
        package, _, file = self._config.wheel.partition("/")
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            return None
        path = Path(spec.origin).parent / file
        return path if path.exists() else None

    def _load(self) -> None:
        if self._model is not None:
            return
        gguf = self._gguf()
        source: dict[str, Any] = (
            {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
            if gguf
            else {"pretrained_model_name_or_path": self._config.model, "revision": self._config.revision}
        )
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(**source)
            model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
        except (OSError, ValueError) as error:
            hint = f" or install the package of {self._config.wheel}" if self._config.wheel else ""
            raise InputError(
                f"teacher '{self._config.model}': no weights ({str(error).splitlines()[0]}). Name a model that the "
                f"Hub serves{hint}."
            ) from None
        self._model = model.eval()

    def _encode(self, request: Request) -> list[int]:
        """Token ids of the whole prompt: chat template where the tokenizer has one, then the prefill."""
        if self._tokenizer.chat_template:
            messages = [{"role": "system", "content": request.system}, {"role": "user", "content": request.user}]
            prompt = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        else:
            prompt = f"{request.system}\n\n{request.user}\n"
        tokens: list[int] = self._tokenizer(prompt + request.prefill, add_special_tokens=False)["input_ids"]
        return tokens

    @functools.lru_cache(maxsize=16)  # noqa: B019 - one teacher lives as long as the process
    def _stop_tokens(self, stop: tuple[str, ...]) -> list[int]:
        """The end token and every token whose text contains a stop character."""
        texts = self._tokenizer.batch_decode([[token] for token in range(len(self._tokenizer))])
        found = [token for token, text in enumerate(texts) if any(s in text for s in stop)]
        return [self._tokenizer.eos_token_id, *found]

    @functools.lru_cache(maxsize=16)  # noqa: B019
    def _first_tokens(self, choices: tuple[str, ...]) -> list[int]:
        firsts = [self._tokenizer(choice, add_special_tokens=False)["input_ids"][0] for choice in choices]
        for index, token in enumerate(firsts):
            if token in firsts[:index]:
                twin = choices[firsts.index(token)]
                raise InputError(
                    f"teacher '{self._config.model}': the choices '{twin}' and '{choices[index]}' begin with the same "
                    "token; use the verbalised labeler or another teacher."
                )
        return firsts

    def _prefix_cache(self, tokens: list[int]) -> tuple[DynamicCache, int]:
        """A copy of the key-value states of these tokens, and how many of them were still in the cache."""
        for index, (known, cache) in enumerate(self._prefixes):
            if _common(known, tokens) == len(tokens):
                self._prefixes.insert(0, self._prefixes.pop(index))
                cut = copy.deepcopy(cache)
                if len(known) > len(tokens):
                    cut.crop(len(tokens) - len(known))  # negative: how many to remove
                return cut, len(tokens)
        cache = DynamicCache(config=self._model.config)
        self._model(input_ids=torch.tensor([tokens]), past_key_values=cache, logits_to_keep=1)
        self._prefixes.insert(0, (tokens, cache))
        del self._prefixes[CACHED_PREFIXES:]
        return copy.deepcopy(cache), 0

    def _expanded(self, cache: DynamicCache, batch: int, room: int) -> DynamicCache:
        """One sequence's states repeated for a batch, with room for `room` more tokens."""
        for index, layer in enumerate(cache.layers):
            if type(layer) is DynamicLayer:
                cache.layers[index] = _RoomyLayer(layer, batch, room)
            else:  # sliding windows and the like keep their own way
                layer.batch_repeat_interleave(batch)
        return cache

    def _inputs(self, batch: list[_Waiting]) -> tuple[dict[str, Any], list[Usage]]:
        """Batched model inputs behind the common beginning, and each request's usage so far."""
        rows = [waiting.tokens for waiting in batch]
        common = min(_common(rows[0], row) for row in rows)
        common = min(common, min(map(len, rows)) - 1)  # each row keeps at least one token to read
        cached = 0
        if common < SHORTEST_PREFIX:
            common = 0
        longest = max(len(row) - common for row in rows)
        pad = self._tokenizer.pad_token_id or self._tokenizer.eos_token_id
        ids = [row[:common] + [pad] * (longest - len(row) + common) + row[common:] for row in rows]
        mask = [[1] * common + [0] * (longest - len(row) + common) + [1] * (len(row) - common) for row in rows]
        inputs: dict[str, Any] = {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}
        if common:
            cache, cached = self._prefix_cache(rows[0][:common])
            room = longest + batch[0].request.max_new_tokens
            inputs["past_key_values"] = self._expanded(cache, len(rows), room)
        usages = [Usage(calls=1, prompt_tokens=len(row), cached_tokens=common) for row in rows]
        usages[0].cached_tokens = cached  # who comes first pays for reading the common beginning
        return inputs, usages

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _generate(self, batch: list[_Waiting]) -> list[Reply]:
        request = batch[0].request
        inputs, usages = self._inputs(batch)
        stops = self._stop_tokens(request.stop)
        sampling = {"temperature": request.temperature, "top_p": request.top_p} if request.temperature else {}
        torch.manual_seed(request.seed)
        output = self._model.generate(
            **inputs,
            max_new_tokens=request.max_new_tokens,
            do_sample=request.temperature > 0,
            repetition_penalty=request.repetition_penalty,
            eos_token_id=stops,
            pad_token_id=self._tokenizer.pad_token_id or self._tokenizer.eos_token_id,
            **sampling,
        )
        replies = []
        ends = set(stops)
        for waiting, row, usage in zip(batch, output[:, inputs["input_ids"].shape[1] :].tolist(), usages, strict=True):
            length = next((i + 1 for i, token in enumerate(row) if token in ends), None)
            usage.completion_tokens = length or len(row)
            text = self._tokenizer.decode(row[:length], skip_special_tokens=True)
            stopped_at = min((text.find(s) for s in request.stop if s in text), default=len(text))
            replies.append(Reply(waiting.request.prefill + text[:stopped_at], cut=length is None, usage=usage))
        return replies

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _score(self, batch: list[_Waiting]) -> list[Scores]:
        assert batch[0].choices is not None
        firsts = self._first_tokens(batch[0].choices)
        inputs, usages = self._inputs(batch)
        mask = inputs["attention_mask"]
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        read = inputs["past_key_values"].get_seq_length() if "past_key_values" in inputs else 0
        logits = self._model(
            **inputs | {"input_ids": inputs["input_ids"][:, read:]}, position_ids=positions[:, read:], logits_to_keep=1
        ).logits[:, -1]
        log_probabilities = logits.float().log_softmax(-1)[:, firsts].tolist()
        return [Scores(tuple(row), usage) for row, usage in zip(log_probabilities, usages, strict=True)]


def _common(left: list[int], right: list[int]) -> int:
    """How many first tokens two prompts share."""
    length = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        length += 1
    return length
