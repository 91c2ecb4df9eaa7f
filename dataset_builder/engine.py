"""Runs a stage on datatrove's executors.

A stage is a pipeline of two datatrove steps: `Units` reads the rows of the stage before, each with its story, as
documents; `AskTeacher` runs the stage's async function on them, many at a time, and writes one shard. What datatrove
gives is the executor (local processes, Slurm, Ray) with its ranks and logs. Its own `InferenceRunner` is not used:
it turns a failed write into a warning, ends on one HTTP 500, ignores its time-out on loopback servers, commits to
SQLite per call, and drops the log-probabilities that labels are made from. The step below is shorter than the guards
that would mend that.

State on disk: `<work>/<stage>/00000.jsonl.gz` is there when the shard is done, `journal/00000.jsonl` holds the units
finished so far. The number of shards is part of the state.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from loguru import logger
from tqdm import tqdm

from dataset_builder.ask import Ask, UnitRejected
from dataset_builder.inputs import InputError
from dataset_builder.recipe import BuildRecipe
from dataset_builder.schema import Narrative, UnitRecord, Usage
from dataset_builder.shards import Journal, read_json, read_lines, shard_path, to_line, write_json, write_whole
from dataset_builder.stages import STAGES, Stage
from dataset_builder.teachers import load_teacher

logger.disable("datatrove")  # its INFO lines would bury the progress bars; here, so that workers obey too
NARRATIVES = "narratives"
REJECTS = "rejects"
MANIFEST = "manifest.json"
SICK_AFTER = 20  # units in a row at which the teacher failed


def stage_named(name: str) -> Stage:
    """The stage of this name."""
    return next(stage for stage in STAGES if stage.name == name)


class Units(PipelineStep):  # type: ignore[misc]
    """Reads the rows that a stage takes on, each with its narrative: document id = row id, text = the story."""

    name = "units"
    type = "📖 - READER"

    def __init__(self, stage: str, recipe: BuildRecipe, work_dir: str) -> None:
        super().__init__()
        self.stage, self.recipe, self.work_dir = stage, recipe, work_dir

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield the documents of one shard, siblings next to each other."""
        stage, work = stage_named(self.stage), Path(self.work_dir)
        stories = {row["id"]: row for row in read_lines(shard_path(work / NARRATIVES, rank))}
        for row in rows_of(work / stage.after, rank):
            if stage.selects(stage.reads.model_validate(row), self.recipe):
                story = stories[row.get("narrative_id", row["id"])]
                yield Document(text=story["text"], id=row["id"], metadata={"story": story, "row": row})


class AskTeacher(PipelineStep):  # type: ignore[misc]
    """Runs a stage's function on every document and writes what became of each, in the order of the documents."""

    name = "ask"
    type = "🎓 - TEACHER"

    def __init__(self, stage: str, recipe: BuildRecipe, work_dir: str) -> None:
        super().__init__()
        self.stage, self.recipe, self.work_dir = stage, recipe, work_dir

    def run(self, data: Iterable[Document], rank: int = 0, world_size: int = 1) -> None:
        """Do one shard; what a former run finished of it is not asked again."""
        folder = Path(self.work_dir) / self.stage
        shard = shard_path(folder, rank)
        if shard.exists():
            return
        documents = list(data)
        journal = Journal(folder / "journal" / f"{rank:05d}.jsonl")
        asyncio.run(self._ask_all([d for d in documents if d.id not in journal], journal, rank, len(documents)))
        journal.finish((document.id for document in documents), shard)

    async def _ask_all(self, documents: list[Document], journal: Journal, rank: int, total: int) -> None:
        """Ask for all units, and once more for those at which the teacher failed; all are in the journal then."""
        started, spent = time.monotonic(), Usage()
        bar = tqdm(total=total, initial=len(journal), desc=f"{self.stage:<11}", unit="unit", mininterval=0.5)

        def keep(record: UnitRecord) -> None:
            journal.append(record.unit, record.model_dump())
            spent.add(record.usage)
            bar.update()
            rate = (spent.prompt_tokens + spent.completion_tokens) / max(time.monotonic() - started, 1e-9)
            bar.set_postfix_str(f"{rate:,.0f} tok/s", refresh=False)

        shared: dict[str, asyncio.Task[Any]] = {}
        try:
            failed = await self._round(documents, rank, shared, keep)
            failed = await self._round([document for document, _ in failed], rank, shared, keep)
            for _, record in failed:
                keep(record)
        finally:
            bar.close()
            await load_teacher(self.recipe.teacher, rank).close()

    async def _round(
        self,
        documents: list[Document],
        rank: int,
        shared: "dict[str, asyncio.Task[Any]]",
        keep: Callable[[UnitRecord], None],
    ) -> list[tuple[Document, UnitRecord]]:
        """Keep `in_flight` units going until all are done; returns those at which the teacher failed.

        Raises:
            InputError: it failed at many in a row, so that going on would only turn units into rejects.
        """
        pending: set[asyncio.Task[None]] = set()
        failed: list[tuple[Document, UnitRecord]] = []
        in_a_row = 0

        async def one(document: Document) -> None:
            nonlocal in_a_row
            record, sick = await self._ask_one(document, rank, shared)
            in_a_row = in_a_row + 1 if sick else 0
            if not sick:
                keep(record)
                return
            failed.append((document, record))
            if in_a_row >= SICK_AFTER:
                raise InputError(
                    f"{self.stage}: the teacher failed at {in_a_row} units in a row (last: {sick}). See to it and run "
                    "the same command again: what was made is kept, and these units are asked again."
                )

        try:
            for document in documents:
                if len(pending) >= self.recipe.teacher.in_flight:
                    done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
                pending.add(asyncio.create_task(one(document)))
            await asyncio.gather(*pending)
        finally:
            for task in pending:
                task.cancel()
        return failed

    async def _ask_one(
        self, document: Document, rank: int, shared: "dict[str, asyncio.Task[Any]]"
    ) -> tuple[UnitRecord, str]:
        """What became of a unit, and why the teacher failed at it ("" if it did not)."""
        stage = stage_named(self.stage)
        ask = Ask(load_teacher(self.recipe.teacher, rank), self.recipe.seed, self.stage, document.id, shared)
        row = stage.reads.model_validate(document.metadata["row"])
        story = Narrative.model_validate(document.metadata["story"])
        status, rows = "ok", []
        try:
            rows = [made.model_dump() for made in await stage.run(row, story, ask, self.recipe)]
        except UnitRejected as rejected:
            status = rejected.reason
            ask.reject(rejected.reason, rejected.text)
        record = UnitRecord(
            unit=document.id,
            status=status,
            rows=rows,
            rejected=ask.rejected,
            retried=dict(ask.retried),
            usage=ask.usage,
        )
        return record, ask.sick


def run_stage(name: str, recipe: BuildRecipe, work_dir: Path) -> bool:
    """Run a stage on the recipe's executor and write its manifest; False when it was done before."""
    folder = work_dir / name
    if (folder / MANIFEST).exists():
        return False
    started = time.monotonic()
    LocalPipelineExecutor(
        pipeline=[Units(name, recipe, str(work_dir)), AskTeacher(name, recipe, str(work_dir))],
        tasks=recipe.executor.shards,
        workers=recipe.executor.workers,
        logging_dir=str(folder / "logs"),
        skip_completed=False,  # the shard's file is the one truth about what is done
    ).run()
    _summarise(name, work_dir, recipe.executor.shards, time.monotonic() - started)
    return True


def _summarise(name: str, work_dir: Path, shards: int, seconds: float) -> None:
    """Write `rejects/<stage>.jsonl` and then the stage's manifest, from its shards."""
    rejected: Counter[str] = Counter()
    retried: Counter[str] = Counter()
    usage, units, rows = Usage(), 0, 0

    def rejects() -> Iterator[bytes]:
        nonlocal units, rows
        for shard in range(shards):
            for line in read_lines(shard_path(work_dir / name, shard)):
                record = UnitRecord.model_validate(line)
                units += 1
                rows += len(record.rows)
                retried.update(record.retried)
                usage.add(record.usage)
                for reject in record.rejected:
                    rejected[reject.reason] += 1
                    yield to_line(reject.model_dump())

    write_whole(work_dir / REJECTS / f"{name}.jsonl", rejects())
    manifest = {
        "stage": name,
        "units": units,
        "rows": rows,
        "rejected": dict(sorted(rejected.items())),
        "retried": dict(sorted(retried.items())),
        **usage.model_dump(),
        "seconds": round(seconds, 2),
        "shards": shards,
    }
    write_json(work_dir / name / MANIFEST, manifest)


def write_narratives(narratives: list[Narrative], work_dir: Path, shards: int) -> None:
    """Cut the narratives into shards of neighbours; concatenated, the shards are in the source's order."""
    folder = work_dir / NARRATIVES
    if (folder / MANIFEST).exists():
        return
    for shard in range(shards):
        part = narratives[shard * len(narratives) // shards : (shard + 1) * len(narratives) // shards]
        write_whole(shard_path(folder, shard), (to_line(narrative.model_dump()) for narrative in part))
    write_json(folder / MANIFEST, {"stage": NARRATIVES, "rows": len(narratives), "shards": shards})


def rows_of(folder: Path, shard: int) -> Iterator[dict[str, Any]]:
    """The rows of one shard of a stage's folder (or of the narratives), in order."""
    for line in read_lines(shard_path(folder, shard)):
        if "unit" in line:
            yield from line["rows"]
        else:
            yield line


def read_manifest(folder: Path) -> dict[str, Any]:
    """A stage's manifest. Raises InputError when the stage is not done."""
    manifest: dict[str, Any] = read_json(folder / MANIFEST)
    return manifest
