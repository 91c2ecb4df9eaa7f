"""One shard: its stories go through all stages, each unit as soon as what it reads is there.

A story's characters are asked for, then the utterances of each, then the labels of each utterance, and so on; many
stories are open at a time, so that the teacher always has something to do, and no more than that, so that memory does
not grow with their number. What a unit became is a line of its stage's journal; a restart reads it there instead of
asking again. At the end every stage's journal becomes its shard, units in the order of what they were made from.
"""

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from datatrove.pipeline.base import PipelineStep
from loguru import logger

from dataset_builder.files.shards import Journal, Shard, held, read_lines, shard_path
from dataset_builder.hashing import stable_hash
from dataset_builder.inputs import InputError
from dataset_builder.pipeline.ask import Ask, UnitRejected
from dataset_builder.pipeline.progress import NARRATIVES, PROGRESS, SECONDS_BETWEEN_TICKS, Bar, Notes
from dataset_builder.pipeline.stages import ALONE, STAGES, Stage
from dataset_builder.pipeline.unanswered import HeldBack, Unanswered, Unit
from dataset_builder.processes import available_cores, exit_with_parent
from dataset_builder.recipe import Run
from dataset_builder.schema import Narrative, UnitRecord
from dataset_builder.teachers import load_teacher
from dataset_builder.teachers.base import Teacher

logger.disable("datatrove")  # workers import this module: their lines and tracebacks would bury what we say
JOURNAL = "journal"


class Flow(PipelineStep):  # type: ignore[misc]
    """The one datatrove step of a build: rank = shard."""

    name = "flow"
    type = "🎓 - TEACHER"

    def __init__(self, recipe: Run, work_dir: str, stages: tuple[str, ...]) -> None:
        super().__init__()
        self.recipe, self.work_dir, self.stages = recipe, work_dir, stages
        self.parent = os.getpid() if recipe.executor.kind == "local" else None

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> None:
        """Do one shard; what a former run finished of it is not asked again."""
        if self.parent is not None and self.parent != os.getpid():
            exit_with_parent(self.parent)
            # Read when torch is loaded: workers share the cores instead of fighting for them.
            os.environ.setdefault("OMP_NUM_THREADS", str(max(1, available_cores() // self.recipe.executor.workers)))
        stages = tuple(stage for stage in (*STAGES, *ALONE) if stage.name in self.stages)
        work = Path(self.work_dir)
        lock = work / PROGRESS / f"{rank:05d}.lock"
        with held(lock, f"{work}: another job is at shard {rank}"):  # jobs submitted twice to a cluster
            if not all(shard_path(work / stage.name, rank).exists() for stage in stages):
                asyncio.run(_ShardFlow(self.recipe, work, rank, stages).run())
            for stage in stages:  # left by a kill after the last shard was written
                journal_path(work, stage.name, rank).unlink(missing_ok=True)


def journal_path(work: Path, stage: str, rank: int) -> Path:
    """Where the finished units of an unfinished shard are."""
    return work / stage / JOURNAL / f"{rank:05d}.jsonl"


class _ShardFlow:
    def __init__(self, recipe: Run, work: Path, rank: int, stages: tuple[Stage, ...]) -> None:
        self._recipe, self._work, self._rank, self._stages = recipe, work, rank, stages
        self._kept: dict[str, Journal | Shard] = {}
        self._free = asyncio.Semaphore(recipe.teacher.in_flight)
        self._shared: dict[str, asyncio.Task[Any]] = {}
        self._teachers: dict[int, Teacher] = {}
        self._unanswered = HeldBack(work)
        self._notes = Notes(work / PROGRESS / f"{rank:05d}.json", stages, recipe)

    async def run(self) -> None:
        """All stories through all stages, those units at which the teacher failed once more, then the shards."""
        for stage in self._stages:
            shard = shard_path(self._work / stage.name, self._rank)
            journal = journal_path(self._work, stage.name, self._rank)
            done = shard.exists() and not journal.exists()
            self._kept[stage.name] = Shard(shard) if done else Journal(journal)
        stories = [*read_lines(shard_path(self._work / NARRATIVES, self._rank))]
        self._unanswered.stories = len(stories)
        empty = [name for name, kept in self._kept.items() if isinstance(kept, Journal) and not len(kept)]
        self._notes.begin(len(stories), empty)
        at_once = min(self._recipe.executor.workers, self._recipe.executor.shards)
        bar = Bar(self._notes, self._rank, self._rank % at_once if at_once > 1 else None)
        ticking = asyncio.create_task(self._tick(bar))
        try:
            await self._all(stories)
            await self._once_more()
        finally:
            ticking.cancel()
            self._notes.write()
            bar.close()
            for teacher in self._teachers.values():
                await teacher.close()
        self._finish()

    async def _tick(self, bar: Bar) -> None:
        while True:
            await asyncio.sleep(SECONDS_BETWEEN_TICKS)
            bar.tick()
            with contextlib.suppress(OSError):  # a full disk ends the run where a unit is written
                self._notes.write_now_and_then()

    async def _all(self, stories: list[dict[str, Any]]) -> None:
        """Open stories in order, as many at a time as keep the teacher busy."""
        room = max(2, self._recipe.teacher.in_flight // 2)
        pending: set[asyncio.Task[None]] = set()

        async def story(row: dict[str, Any]) -> None:
            self._notes.opened()
            await self._below(NARRATIVES, [row], Narrative.model_validate(row))
            self._notes.through()

        try:
            for row in stories:
                if len(pending) >= room:
                    done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                    await asyncio.gather(*done)  # when several failed, none stays unread
                pending.add(asyncio.create_task(story(row)))
            await asyncio.gather(*pending)
            pending = set()
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    async def _below(self, after: str, rows: Iterable[dict[str, Any]], story: Narrative) -> None:
        """Everything that is made from these rows of the stage `after`."""
        units = [
            (stage, row, story)
            for stage in self._stages
            if stage.after == after
            for row in _selected(stage, rows, self._recipe)
        ]
        for stage, _, _ in units:
            self._notes.known(stage.name, 1)
        await asyncio.gather(*(self._unit(unit) for unit in units))

    async def _once_more(self) -> None:
        """Ask again where the teacher failed now and then, twice is enough; what it refused is rejected then.

        Raises:
            InputError: a stage's questions were never answered: that is not their fault, and none of them is done.
        """
        again = self._unanswered.for_the_last_round()
        await asyncio.gather(*(self._unit(one.unit, one.record) for one in again))
        while refused := self._unanswered.refused_for_good():
            await self._settle(refused)

    async def _unit(self, unit: Unit, before: UnitRecord | None = None) -> None:
        """Ask for a unit, or take what a former run made of it, and go on with its rows.

        `before` is what the unit was rejected as in the first round; its cost counts too.
        """
        stage, row, story = unit
        record = self._kept[stage.name].get(row["id"])
        new = record is None
        if record is None:
            async with self._free:
                started = time.monotonic()
                found, ask = await self._ask(stage, row, story)
                self._notes.asked(stage.name, found, time.monotonic() - started)
            if before:
                found.usage.add(before.usage)
                found.retried = dict(Counter(found.retried) + Counter(before.retried))
            if ask.failure and self._unanswered.holds(Unanswered(unit, found, ask.failure), answered=ask.answered):
                return
            self._keep(stage, found)
            record = found.model_dump()
            await self._settle(self._unanswered.answer_came(stage.name))
        elif record["status"] == "ok":
            self._unanswered.answer_came(stage.name)
        self._notes.done(stage.name, record["rows"], new=new)
        await self._below(stage.name, record["rows"], story)

    async def _settle(self, refused: list[Unanswered]) -> None:
        """Keep what became of units that were held back, and go on with their rows."""
        for one in refused:
            self._keep(one.unit[0], one.record)
            self._notes.done(one.unit[0].name, one.record.rows, new=True)
        await asyncio.gather(*(self._below(one.unit[0].name, one.record.rows, one.unit[2]) for one in refused))

    async def _ask(self, stage: Stage, row: dict[str, Any], story: Narrative) -> tuple[UnitRecord, Ask]:
        """What became of a unit, and the account of its questions."""
        ask = Ask(self._teacher(story), self._recipe.seed, stage.name, row["id"], self._shared)
        status, rows = "ok", []
        try:
            made = await stage.run(stage.reads.model_validate(row), story, ask, self._recipe)
            rows = [one.model_dump() for one in made]
        except UnitRejected as rejected:
            status = rejected.reason
            ask.reject(rejected.reason, rejected.text)
        record = UnitRecord(
            unit=row["id"],
            status=status,
            rows=rows,
            rejected=ask.rejected,
            retried=dict(ask.retried),
            usage=ask.usage,
        )
        return record, ask

    def _teacher(self, story: Narrative) -> Teacher:
        """The replica that serves all calls on this story, so that its prefix cache holds it."""
        replicas = len(getattr(self._recipe.teacher, "urls", ("",)))
        number = stable_hash("replica", story.id) % replicas
        if number not in self._teachers:
            self._teachers[number] = load_teacher(self._recipe.teacher, number)
        return self._teachers[number]

    def _keep(self, stage: Stage, record: UnitRecord) -> None:
        journal = self._kept[stage.name]
        if not isinstance(journal, Journal):  # its shard was made of rows that were made again since
            raise InputError(
                f"{self._work}: {stage.name}: rows are missing. Make them with --restart-from {stage.name}."
            )
        journal.append(record.unit, record.model_dump())

    def _finish(self) -> None:
        """Every stage's shard from its journal, then the journals away: a kill in between only repeats this."""
        rows: dict[str, Path] = {NARRATIVES: shard_path(self._work / NARRATIVES, self._rank)}
        for stage in self._stages:
            shard = rows[stage.name] = shard_path(self._work / stage.name, self._rank)
            journal = self._kept[stage.name]
            if isinstance(journal, Journal):
                before = rows_in(rows[stage.after])
                journal.write((row["id"] for row in _selected(stage, before, self._recipe)), shard)
        for kept in self._kept.values():
            if isinstance(kept, Journal):
                kept.discard()


def rows_in(shard: Path) -> Iterator[dict[str, Any]]:
    """The rows of one shard of a stage's folder (or of the narratives), in order."""
    for line in read_lines(shard):
        if "unit" in line:
            yield from line["rows"]
        else:
            yield line


def _selected(stage: Stage, rows: Iterable[dict[str, Any]], recipe: Run) -> Iterator[dict[str, Any]]:
    for row in rows:
        if stage.selects(stage.reads.model_validate(row), recipe):
            yield row
