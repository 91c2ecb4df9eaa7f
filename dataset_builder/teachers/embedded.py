"""A language model in this process: requests wait in a queue, and compatible requests are run as one batch.

A request is encoded (encoding.py) and queued. `_take_batch` picks requests of one kind and keeps requests for one story
together. The prefix cache (prefix_cache.py) lays them out as a batch whose common prefixes are computed once.
`LanguageModel` (language_model.py) generates or scores the batch in a separate thread. loading.py, int8.py and
grouped_attention.py load the model; choice_tree.py turns choices into tokens.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from dataset_builder.recipe import EmbeddedTeacher
from dataset_builder.teachers.base import Reply, Request, Scores
from dataset_builder.teachers.encoding import Prompt
from dataset_builder.teachers.language_model import LanguageModel

Kind = tuple[str, tuple[str, ...] | None, Request]


@dataclass(eq=False)
class _Job:
    """A prompt in the queue, the method of LanguageModel that it waits for, and its future answer."""

    prompt: Prompt
    method: str
    choices: tuple[str, ...] | None
    answer: "asyncio.Future[Any]"

    @property
    def kind(self) -> Kind:
        """Jobs of one kind can share a batch: they are equal except for the texts of their requests."""
        request = self.prompt.request
        prefill = request.prefill if self.choices else ""  # choices are tokenised after it
        texts: dict[str, Any] = {"prompt": "", "system": "", "user": "", "story": "", "shots": (), "schema": None}
        return self.method, self.choices, replace(request, prefill=prefill, seed=0, **texts)


class Embedded:
    """A teacher that runs in this process. Seeds make a run repeatable only for equal batches."""

    def __init__(self, config: EmbeddedTeacher) -> None:
        self.name = config.name
        self._config = config
        self._model: LanguageModel | None = None
        self._loading: asyncio.Future[LanguageModel] | None = None
        # One thread, because the model and its prefix cache serve one call at a time.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="teacher")
        self._queue: list[_Job] = []
        self._runner: asyncio.Task[None] | None = None

    async def generate(self, request: Request) -> Reply:
        """Answer a request, in a batch with others that wait."""
        reply: Reply = await self._enqueue(request, "generate")
        return reply

    async def score(self, request: Request, choices: Sequence[str]) -> Scores:
        """Log-probabilities of the choices, each from as many first tokens as tell it apart: one or two forward passes.

        Raises:
            InputError: the second pass is needed and the model's layers do not allow it.
        """
        scores: Scores = await self._enqueue(request, "score", tuple(choices))
        return scores

    async def continuation_probability(self, request: Request, choices: Sequence[str]) -> tuple[float, ...]:
        """Return the probability of each choice given its first token: two forward passes."""
        found: tuple[float, ...] = await self._enqueue(request, "continuation_probability", tuple(choices))
        return found

    async def load(self) -> LanguageModel:
        """Load the model now instead of with the first request."""
        if self._model is None:
            loop = asyncio.get_running_loop()
            if self._loading is None or self._loading.get_loop() is not loop:
                self._loading = loop.run_in_executor(self._thread, LanguageModel, self._config)
            try:
                # All requests continue in the same moment, so that the first batch is the same in every run.
                self._model = await asyncio.shield(self._loading)
            except Exception:
                self._loading = None  # the next request tries again
                raise
        return self._model

    async def close(self) -> None:
        """Nothing to close: the model is needed again by the next shard."""

    # ------------------------------------------------------------------ the queue

    async def _enqueue(self, request: Request, method: str, choices: tuple[str, ...] | None = None) -> Any:
        model = await self.load()
        loop = asyncio.get_running_loop()
        job = _Job(model.encode(request), method, choices, loop.create_future())
        self._queue.append(job)
        if self._runner is None or self._runner.done():
            self._runner = loop.create_task(self._run_batches())
        return await job.answer

    async def _run_batches(self) -> None:
        """Run batches until the queue is empty."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)  # let every unit that is ready join the first batch
        while batch := self._take_batch():
            run = getattr(self._model, batch[0].method)
            choices = [] if batch[0].choices is None else [batch[0].choices]
            try:
                answers = await loop.run_in_executor(self._thread, run, [job.prompt for job in batch], *choices)
            except Exception as error:  # goes to the waiting requests; this task must continue
                for job in batch:
                    if not job.answer.done():  # cancelled meanwhile
                        job.answer.set_exception(error)
                continue
            for job, answer in zip(batch, answers, strict=True):
                if not job.answer.done():
                    job.answer.set_result(answer)
            await asyncio.sleep(0)

    def _take_batch(self) -> list[_Job]:
        """Take a batch of the most frequent kind, jobs on one story together, the largest stories first.

        Small kinds (stages that have few units ready, retries) thus wait until they fill a batch. Cancelled jobs are
        dropped. Empty when the queue is.
        """
        kinds: dict[Kind, dict[tuple[str, str], list[_Job]]] = {}
        self._queue = [job for job in self._queue if not job.answer.done()]
        for job in self._queue:
            kinds.setdefault(job.kind, {}).setdefault(job.prompt.beginning, []).append(job)
        if not kinds:
            return []
        stories = max(kinds.values(), key=lambda found: sum(map(len, found.values())))  # the first of equals
        ordered = sorted(stories.values(), key=len, reverse=True)  # stable: equals stay in order
        batch = [job for jobs in ordered for job in jobs][: self._config.batch_size]
        taken = set(map(id, batch))
        self._queue = [job for job in self._queue if id(job) not in taken]
        return batch
