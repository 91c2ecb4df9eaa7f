"""Builds a corpus: stories, then all stages, then the published rows. What is finished is not done again."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from dataset_builder.files.texts import benchmark_texts
from dataset_builder.hashing import fingerprint
from dataset_builder.inputs import InputError
from dataset_builder.narratives import read_narratives
from dataset_builder.parquet import CORPUS, finished_corpus
from dataset_builder.pipeline import assemble
from dataset_builder.pipeline.ask import prompt_versions
from dataset_builder.pipeline.engine import run_stages, write_items
from dataset_builder.pipeline.progress import reset_stages
from dataset_builder.pipeline.stages import STAGE_NAMES, STAGES
from dataset_builder.recipe import BuildRecipe
from dataset_builder.run_state import RUNTIME_ONLY, former_run, nothing_made, run_lock, write_run
from dataset_builder.schema import Item
from dataset_builder.teachers import teacher_name

# What the corpus itself depends on, and each stage, besides what the stages before it depend on: paths in run.json.
DEPENDS_ON = {stage.name: stage.depends_on for stage in STAGES} | {assemble.STAGE: assemble.DEPENDS_ON}


def build(recipe: BuildRecipe, work_dir: Path, restart_from: str | None = None) -> bool:
    """Build the corpus of a recipe in a work folder; continue where a former run of it stopped.

    Args:
        restart_from: a stage whose rows, and those of the stages after it, are made again. The recipe, the prompts
            and the teacher may differ from that stage on.

    Returns:
        False when everything was there already.

    Raises:
        InputError: bad stories or benchmarks, no teacher, or a work folder that belongs to another run.
    """
    for benchmark in recipe.quality.benchmarks:  # a missing one fails now and not after weeks
        next(benchmark_texts(benchmark), None)
    if recipe.split.contextual not in (None, recipe.split.contextless):
        print("note: split.contextual has no effect: stories are split once for all configs, by split.contextless")
    with open_build(recipe, work_dir, restart_from) as run:
        if finished_corpus(work_dir, assemble.STAGE):
            return False
        started = time.monotonic()
        run_stages(recipe, work_dir, STAGES)
        assemble.assemble(recipe, work_dir, run["teachers"])
        print(f"built in {time.monotonic() - started:.0f} s")
        return True


@contextmanager
def open_build(recipe: BuildRecipe, work_dir: Path, restart_from: str | None = None) -> Iterator[dict[str, Any]]:
    """Hold a work folder for a recipe and write its stories there; gives what run.json says.

    Raises:
        InputError: bad stories, another process works there, or the folder belongs to another run.
    """
    stories = read_narratives(recipe.narratives)
    with run_lock(work_dir):
        run = _open_run(recipe, work_dir, stories, restart_from)
        write_items(stories, work_dir, recipe.executor.shards)
        yield run


def _open_run(recipe: BuildRecipe, work_dir: Path, stories: list[Item], restart_from: str | None) -> dict[str, Any]:
    """Write what this run is, or refuse a folder with the rows of another; returns what is written.

    `teachers` names the teacher of each stage: after a restart with another one, they differ.
    """
    places: dict[str, Any] = {"narratives": True, "teacher": set(RUNTIME_ONLY), "executor": True}
    teacher = teacher_name(recipe.teacher)
    run: dict[str, Any] = {
        "recipe": recipe.model_dump(mode="json", exclude=places),
        "shards": recipe.executor.shards,
        "prompts": prompt_versions(),
        "narratives": fingerprint([[story.id, story.fields["title"], story.text] for story in stories]),
        "teachers": dict.fromkeys(STAGE_NAMES, teacher),
    }
    redone = _with_followers(restart_from) if restart_from else []
    not_begun = [stage for stage in STAGE_NAMES if nothing_made(work_dir, stage)]
    may_differ = partial(_is_made_again, redone=redone, not_begun=not_begun)
    before = former_run(work_dir, run, STAGE_NAMES, may_differ, _restart_advice)
    if before:
        run["teachers"] = before["teachers"] | dict.fromkeys(set(redone) - {assemble.STAGE}, teacher)
        if restart_from:
            delete_from_stage(work_dir, restart_from)
    if run != before:
        write_run(work_dir, run)
    return run


def delete_from_stage(work_dir: Path, stage: str) -> None:
    """Delete the rows of a stage and all that depends on them, the corpus and the last stages first.

    A kill in between then leaves no rows without those that they were made from.
    """
    deleted = _with_followers(stage)
    for name in deleted:
        shutil.rmtree(work_dir / (CORPUS if name == assemble.STAGE else name), ignore_errors=True)
    reset_stages(work_dir, deleted)


def _is_made_again(difference: str, redone: list[str], not_begun: list[str]) -> bool:
    """Whether everything that depends on what differs is made again or has not begun. The teacher may always change."""
    path = difference.partition(" ")[0] + "."
    if path.startswith("teachers."):
        return True
    if path.startswith("recipe.teacher."):
        return bool(redone)
    stages = {stage for stage, parts in DEPENDS_ON.items() if any(path.startswith(f"{part}.") for part in parts)}
    return bool(stages) and stages <= {*redone, *not_begun}


def _restart_advice(differences: list[str]) -> str:
    everything = [*STAGE_NAMES, assemble.STAGE]
    if not all(_is_made_again(found, everything, []) for found in differences):
        return ""
    return f", or make the rows of a stage and of those after it again with --restart-from ({', '.join(everything)})"


def _with_followers(name: str) -> list[str]:
    """A stage and all that depend on its rows, the last first; the corpus depends on every stage."""
    if name not in DEPENDS_ON:
        raise InputError(f"--restart-from {name}: no such stage. Stages are {', '.join(DEPENDS_ON)}.")
    found = [name] if name != assemble.STAGE else []
    for stage in STAGES:
        if stage.after in found:
            found.append(stage.name)
    return [assemble.STAGE, *reversed(found)]
