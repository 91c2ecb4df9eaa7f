"""Runs one shard: its items go through all stages, each unit as soon as its input row exists.

The teacher lists a story's characters, writes utterances for each character, labels each utterance, and so on. Many
stories are processed at a time to keep the teacher busy, but not all, so that memory use does not grow with their
number. The result of a unit is one line in its stage's journal; a restart reads this line instead of calling the
teacher again. At the end, every stage's journal becomes its shard, with the units in the order of their input rows.
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

from dataset_builder.files.shards import Journal, Shard, file_lock, shard_path, stage_rows
from dataset_builder.hashing import stable_hash
from dataset_builder.inputs import InputError
from dataset_builder.pipeline.ask import Ask, UnitRejected
from dataset_builder.pipeline.progress import SECONDS_BETWEEN_TICKS, Bar, Progress
from dataset_builder.pipeline.stages import Stage
from dataset_builder.pipeline.unanswered import Unanswered, UnansweredUnits, Unit
from dataset_builder.processes import available_cores, exit_with_parent
from dataset_builder.recipe import Run
from dataset_builder.run_state import JOURNAL, NARRATIVES, PROGRESS
from dataset_builder.schema import Item, UnitRecord
from dataset_builder.teachers import load_teacher
from dataset_builder.teachers.base import Teacher

logger.disable("datatrove")  # workers import this module; datatrove's log lines and tracebacks would hide ours


class Flow(PipelineStep):  # type: ignore[misc]
    """The only datatrove step of a run: rank = shard."""

    name = "flow"
    type = "🎓 - TEACHER"

    def __init__(self, recipe: Run, work_dir: Path, stages: tuple[Stage, ...]) -> None:
        super().__init__()
        self.recipe, self.work_dir, self.stages = recipe, work_dir, stages
        # Only local workers are children of this process. Ray and Slurm start their workers elsewhere.
        self.parent = os.getpid() if recipe.executor.kind == "local" else None

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> None:
        """Run one shard; units that an earlier run finished are not repeated."""
        if self.parent is not None and self.parent != os.getpid():
            exit_with_parent(self.parent)
            # Torch reads these variables when it is loaded. Without limits, workers would compete for the cores.
            os.environ.setdefault("OMP_NUM_THREADS", str(max(1, available_cores() // self.recipe.executor.workers)))
        lock = self.work_dir / PROGRESS / f"{rank:05d}.lock"
        # Another job may hold the lock if, for example, a cluster job was submitted twice.
        with file_lock(lock, f"{self.work_dir}: another job is working on shard {rank}"):
            if not all(shard_path(self.work_dir / stage.name, rank).exists() for stage in self.stages):
                asyncio.run(_ShardFlow(self.recipe, self.work_dir, rank, self.stages).run())
            for stage in self.stages:  # left behind if the run was killed after the last shard was written
                journal_path(self.work_dir, stage.name, rank).unlink(missing_ok=True)


def journal_path(work_dir: Path, stage: str, rank: int) -> Path:
    """Return the path of the finished units of an unfinished shard."""
    return work_dir / stage / JOURNAL / f"{rank:05d}.jsonl"


class _ShardFlow:
    def __init__(self, recipe: Run, work_dir: Path, rank: int, stages: tuple[Stage, ...]) -> None:
        self._recipe, self._work_dir, self._rank, self._stages = recipe, work_dir, rank, stages
        self._records: dict[str, Journal | Shard] = {}  # of each stage
        self._free = asyncio.Semaphore(recipe.teacher.in_flight)
        self._shared: dict[str, asyncio.Task[Any]] = {}
        self._teachers: dict[int, Teacher] = {}

    async def run(self) -> None:
        """Run all stories through all stages, retry the units on which the teacher failed, then write the shards."""
        for stage in self._stages:
            shard = shard_path(self._work_dir / stage.name, self._rank)
            journal = journal_path(self._work_dir, stage.name, self._rank)
            # Both exist if the run was killed before it deleted a written shard's journal. The journal is then written
            # out again.
            done = shard.exists() and not journal.exists()
            self._records[stage.name] = Shard(shard) if done else Journal(journal)
        items = [*stage_rows(self._work_dir / NARRATIVES, (self._rank,))]
        self._unanswered = UnansweredUnits(self._work_dir, len(items))
        empty = [name for name, kept in self._records.items() if isinstance(kept, Journal) and not len(kept)]
        file = self._work_dir / PROGRESS / f"{self._rank:05d}.json"
        self._progress = Progress(file, self._stages, self._recipe, len(items), empty)
        at_once = min(self._recipe.executor.workers, self._recipe.executor.shards)
        bar = Bar(self._progress, self._rank, self._rank % at_once if at_once > 1 else None)
        ticking = asyncio.create_task(self._tick(bar))
        try:
            await self._run_items(items)
            await self._ask_once_more()
        finally:
            ticking.cancel()
            self._progress.write()
            bar.close()
            # Connections belong to this shard's event loop, which ends now.
            for teacher in self._teachers.values():
                await teacher.close()
        self._write_shards()

    async def _tick(self, bar: Bar) -> None:
        while True:
            await asyncio.sleep(SECONDS_BETWEEN_TICKS)
            bar.tick()
            with contextlib.suppress(OSError):  # a full disk ends the run elsewhere, when a unit is written
                self._progress.write()

    async def _run_items(self, items: list[dict[str, Any]]) -> None:
        """Open items in order, enough at a time to keep the teacher busy."""
        most_open = max(2, self._recipe.teacher.in_flight // 2)
        pending: set[asyncio.Task[None]] = set()

        async def run_item(row: dict[str, Any]) -> None:
            self._progress.stories.opened += 1
            await self._run_children(NARRATIVES, [row], Item.model_validate(row))
            self._progress.stories.done += 1

        try:
            for row in items:
                if len(pending) >= most_open:
                    done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                    await asyncio.gather(*done)  # retrieve every exception, also when several tasks failed
                pending.add(asyncio.create_task(run_item(row)))
            await asyncio.gather(*pending)
            pending = set()
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    async def _run_children(self, after: str, rows: Iterable[dict[str, Any]], item: Item) -> None:
        """Run everything that depends on these rows of the stage `after`."""
        stages = [stage for stage in self._stages if stage.after == after]
        units = [Unit(stage, row, item) for stage in stages for row in _selected(stage, rows, self._recipe)]
        for unit in units:
            self._progress.stages[unit.stage.name].known += 1
        await asyncio.gather(*(self._run_unit(unit) for unit in units))

    async def _run_unit(self, unit: Unit, before: UnitRecord | None = None) -> None:
        """Run a unit, or use its result from an earlier run, and continue with its rows.

        `before` is the record of the first round, in which the teacher failed; its cost counts too.
        """
        stage = unit.stage.name
        record = self._records[stage].get(unit.row["id"])
        new = record is None
        if record is None:
            # Held only during the teacher's calls. A unit that also held it for its children could deadlock.
            async with self._free:
                started = time.monotonic()
                made, ask = await self._ask(unit)
                self._progress.asked(stage, made, time.monotonic() - started)
            if before:
                made.usage.add(before.usage)
                made.retried = dict(Counter(made.retried) + Counter(before.retried))
            if ask.failure and self._unanswered.hold(Unanswered(unit, made, ask.failure), answered=ask.answered):
                return
            # Write to the journal before the rows are used: after a kill, no stage has a row whose source row is lost.
            self._keep(stage, made)
            record = made.model_dump()
            # An answer shows that the stage works, so the cause of earlier refusals was the refused units themselves.
            await self._reject(self._unanswered.answer_came(stage))
        elif record["status"] == "ok":
            self._unanswered.answer_came(stage)
        self._progress.done(stage, record["rows"], new=new)
        await self._run_children(stage, record["rows"], unit.item)

    async def _ask_once_more(self) -> None:
        """Retry the units on which the teacher failed, then reject those that it refused.

        Raises:
            InputError: the teacher answered no unit of a stage. They are not at fault and stay unfinished.
        """
        again = self._unanswered.for_the_last_round()
        await asyncio.gather(*(self._run_unit(one.unit, one.record) for one in again))
        # Repeat, because the rows of a rejected unit may lead to further refused units.
        while refused := self._unanswered.refused_for_good():
            await self._reject(refused)

    async def _reject(self, refused: list[Unanswered]) -> None:
        """Keep the records of units that were held back, and continue with their rows."""
        for one in refused:
            self._keep(one.unit.stage.name, one.record)
            self._progress.done(one.unit.stage.name, one.record.rows, new=True)
        await asyncio.gather(
            *(self._run_children(one.unit.stage.name, one.record.rows, one.unit.item) for one in refused)
        )

    async def _ask(self, unit: Unit) -> tuple[UnitRecord, Ask]:
        """Return the result of a unit, and the counts of its calls."""
        stage, row = unit.stage, unit.row
        ask = Ask(self._teacher(unit.item), self._recipe.seed, stage.name, row["id"], self._shared)
        status, rows = "ok", []
        try:
            made = await stage.run(stage.reads.model_validate(row), unit.item, ask, self._recipe)
            rows = [one.model_dump() for one in made]
        except UnitRejected as rejected:
            status = rejected.reason
            ask.reject(rejected.reason, rejected.text)
        record = UnitRecord(
            unit=row["id"], status=status, rows=rows, rejected=ask.rejected, retried=dict(ask.retried), usage=ask.usage
        )
        return record, ask

    def _teacher(self, item: Item) -> Teacher:
        """Return the replica that serves all calls for this item, so that its prefix cache is used."""
        replicas = len(getattr(self._recipe.teacher, "urls", ("",)))
        number = stable_hash("replica", item.id) % replicas
        if number not in self._teachers:
            self._teachers[number] = load_teacher(self._recipe.teacher, number)
        return self._teachers[number]

    def _keep(self, stage: str, record: UnitRecord) -> None:
        journal = self._records[stage]
        if not isinstance(journal, Journal):  # the input rows have been regenerated since the shard was written
            raise InputError(f"{self._work_dir}: {stage}: rows are missing. Generate them with --restart-from {stage}.")
        journal.append(record.unit, record.model_dump())

    def _write_shards(self) -> None:
        """Write every stage's shard from its journal, then delete the journals. It is safe to repeat after a kill."""
        journals = {name: kept for name, kept in self._records.items() if isinstance(kept, Journal)}
        for stage in self._stages:
            if stage.name in journals:
                before = stage_rows(self._work_dir / stage.after, (self._rank,))
                # Use the order of the input rows, not of the answers, so that two runs write the same file.
                order = (row["id"] for row in _selected(stage, before, self._recipe))
                journals[stage.name].write(order, shard_path(self._work_dir / stage.name, self._rank))
        for journal in journals.values():
            journal.discard()


def _selected(stage: Stage, rows: Iterable[dict[str, Any]], recipe: Run) -> Iterator[dict[str, Any]]:
    for row in rows:
        if stage.selects(stage.reads.model_validate(row), recipe):
            yield row
