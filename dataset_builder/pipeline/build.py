"""Builds a corpus: stories, then all stages, then the published rows. Finished work is not repeated."""

import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

from dataset_builder.files.shards import write_json
from dataset_builder.files.texts import benchmark_texts
from dataset_builder.hashing import fingerprint
from dataset_builder.inputs import InputError
from dataset_builder.narratives import read_narratives
from dataset_builder.parquet import CORPUS, finished_corpus
from dataset_builder.pipeline import assemble
from dataset_builder.pipeline.ask import prompt_versions
from dataset_builder.pipeline.engine import run_stages
from dataset_builder.pipeline.progress import reset_stages
from dataset_builder.pipeline.stages import STAGE_NAMES, STAGES
from dataset_builder.recipe import BuildRecipe
from dataset_builder.run_state import RUN, RUNTIME_ONLY, former_run, nothing_made, run_lock

# Paths in run.json that each stage and the corpus depend on, besides those of the stages before.
DEPENDS_ON = {stage.name: stage.depends_on for stage in STAGES} | {assemble.STAGE: assemble.DEPENDS_ON}


def build(recipe: BuildRecipe, work_dir: Path, restart_from: str | None = None, *, publish: bool = True) -> bool:
    """Build the corpus of a recipe in a work folder, or resume an earlier run.

    Args:
        restart_from: a stage whose rows are generated again, with those of all later stages. From that stage on, the
            recipe, the prompts and the teacher may differ.
        publish: write the corpus; if false, stop when all stages are finished.

    Returns:
        False if everything was already finished.

    Raises:
        InputError: bad stories or benchmarks, no teacher, or a work folder that belongs to another run.
    """
    stories = read_narratives(recipe.narratives)
    for benchmark in recipe.quality.benchmarks if publish else ():  # fail now if a file is missing, not after weeks
        next(benchmark_texts(benchmark), None)
    if recipe.split.contextual not in (None, recipe.split.contextless):
        print("note: split.contextual has no effect: stories are split once for all configs, by split.contextless")
    # The stories have their own hash below. Executor and runtime settings of the teacher may change within a run.
    left_out: dict[str, Any] = {"narratives": True, "teacher": set(RUNTIME_ONLY), "executor": True}
    # Everything that rows depend on. If the folder's run.json differs, the run stops with an error, unless the
    # affected stages are generated again.
    run: dict[str, Any] = {
        "recipe": recipe.model_dump(mode="json", exclude=left_out),
        "shards": recipe.executor.shards,
        "prompts": prompt_versions(),
        "narratives": fingerprint([[story.id, story.fields["title"], story.text] for story in stories]),
        # One teacher per stage, because a restart may use another teacher.
        "teachers": dict.fromkeys(STAGE_NAMES, recipe.teacher.name),
    }
    with run_lock(work_dir):
        finished_corpus(work_dir, assemble.STAGE)  # keep a corpus from another kind of run
        run = _write_run(run, work_dir, restart_from)
        if publish and finished_corpus(work_dir, assemble.STAGE):
            return False
        started = time.monotonic()
        run_stages(recipe, stories, STAGES, work_dir)
        if publish:
            assemble.assemble(recipe, work_dir, run["teachers"])
            print(f"built in {time.monotonic() - started:.0f} s")
        return True


def _write_run(run: dict[str, Any], work_dir: Path, restart_from: str | None) -> dict[str, Any]:
    """Write run.json and return its content. Raises InputError if the folder has rows of another run."""
    redone = _with_followers(restart_from) if restart_from else []
    not_begun = [stage for stage in STAGE_NAMES if nothing_made(work_dir, stage)]
    may_differ = partial(_is_made_again, redone=redone, not_begun=not_begun)
    before = former_run(work_dir, run, STAGE_NAMES, may_differ, _restart_advice)
    if before:
        run["teachers"] = before["teachers"] | {name: run["teachers"][name] for name in STAGE_NAMES if name in redone}
        # Delete the rows before run.json describes the new run. After a kill in between, the old run.json still
        # describes the remaining rows.
        if restart_from:
            delete_from_stage(work_dir, restart_from)
    if run != before:
        write_json(work_dir / RUN, run)
    return run


def delete_from_stage(work_dir: Path, stage: str) -> None:
    """Delete the rows of a stage and everything that depends on them: first the corpus, then the last stages.

    In this order, a kill never leaves rows whose source rows are gone.
    """
    deleted = _with_followers(stage)
    for name in deleted:
        shutil.rmtree(work_dir / (CORPUS if name == assemble.STAGE else name), ignore_errors=True)
    reset_stages(work_dir, deleted)


def _is_made_again(difference: str, redone: list[str], not_begun: list[str]) -> bool:
    """Return whether every stage affected by a difference is restarted or has no rows yet."""
    path = difference.partition(" ")[0] + "."
    if path.startswith("teachers.") and path != "teachers.":  # records which teacher produced the existing rows
        return True
    # A restarted stage may use another teacher; `teachers` records which teacher produced the other rows.
    if path.startswith("recipe.teacher."):
        return bool(redone)
    stages = {stage for stage, parts in DEPENDS_ON.items() if any(path.startswith(f"{part}.") for part in parts)}
    return bool(stages) and stages <= {*redone, *not_begun}


def _restart_advice(differences: list[str]) -> str:
    everything = [*STAGE_NAMES, assemble.STAGE]
    if not all(_is_made_again(found, everything, []) for found in differences):
        return ""
    return (
        f", or generate the rows of a stage and of all later stages again with --restart-from ({', '.join(everything)})"
    )


def _with_followers(name: str) -> list[str]:
    """Return a stage and everything that depends on its rows, last stage first. The corpus depends on all stages."""
    if name not in DEPENDS_ON:
        raise InputError(f"--restart-from {name}: no such stage. Stages are {', '.join(DEPENDS_ON)}.")
    found = [name] if name != assemble.STAGE else []
    for stage in STAGES:
        if stage.after in found:
            found.append(stage.name)
    return [assemble.STAGE, *reversed(found)]
