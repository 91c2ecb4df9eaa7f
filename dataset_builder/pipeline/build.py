"""Builds a corpus: stories, then all stages, then the published rows. Finished work is not repeated."""

import shutil
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dataset_builder.files.shards import read_json, write_json
from dataset_builder.files.texts import benchmark_texts
from dataset_builder.hashing import fingerprint
from dataset_builder.inputs import InputError
from dataset_builder.narratives import read_narratives
from dataset_builder.parquet import CORPUS, finished_corpus
from dataset_builder.pipeline import assemble
from dataset_builder.pipeline.ask import prompt_versions
from dataset_builder.pipeline.engine import run_stages
from dataset_builder.pipeline.parts import Part, read_part
from dataset_builder.pipeline.progress import reset_stages
from dataset_builder.pipeline.stages import Stage, stages_of, stages_of_run
from dataset_builder.recipe import WITHOUT_TEACHER, BuildRecipe
from dataset_builder.run_state import RUN, RUNTIME_ONLY, former_run, nothing_made, run_lock
from dataset_builder.schema import Item
from dataset_builder.written_rows import read_written


def build(recipe: BuildRecipe, work_dir: Path, restart_from: str | None = None, *, publish: bool = True) -> bool:
    """Build the corpus of a recipe in a work folder, or resume an earlier run.

    Args:
        restart_from: a stage whose rows are generated again, with those of all later stages. From that stage on, the
            recipe, the prompts and the teacher may differ.
        publish: write the corpus; if false, stop when all stages are finished. Quoted rows have no labels before
            judges have read them, so they are only published by `assemble`.

    Returns:
        False if everything was already finished.

    Raises:
        InputError: bad stories or benchmarks, no teacher, or a work folder that belongs to another run.
    """
    if recipe.parts:
        raise InputError(
            f"recipe '{recipe.name}' only puts parts together: build {', '.join(recipe.parts)}, then use assemble."
        )
    items, stages = read_items(recipe), stages_of(recipe.utterances.mode)
    stops_before_corpus = recipe.utterances.mode == "quoted"
    publish = publish and not stops_before_corpus
    for benchmark in recipe.quality.benchmarks if publish else ():  # a missing file fails now and not after weeks
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
        "prompts": {} if recipe.utterances.mode in WITHOUT_TEACHER else prompt_versions(),
        "narratives": _fingerprint_of(items),
        # One per stage, because a restart may use another teacher.
        "teachers": dict.fromkeys((stage.name for stage in stages), recipe.teacher.name),
    }
    with run_lock(work_dir):
        finished_corpus(work_dir, assemble.STAGE)  # a corpus of another kind of run is kept
        run = _write_run(run, stages, work_dir, restart_from)
        if publish and finished_corpus(work_dir, assemble.STAGE):
            return False
        started = time.monotonic()
        run_stages(recipe, items, stages, work_dir)
        if publish:
            assemble.assemble(recipe, [Part(work_dir, run)], work_dir)
            print(f"built in {time.monotonic() - started:.0f} s")
        elif stops_before_corpus:
            print(f"{work_dir}: texts that nobody has read have no labels yet. Use judge for them, then assemble.")
        return True


def assemble_parts(
    recipe: BuildRecipe, work_dirs: Sequence[Path], out: Path, benchmarks: Sequence[str] = ()
) -> dict[str, dict[str, int]]:
    """Write `<out>/corpus` from several work folders; return the rows of each config and split.

    Args:
        recipe: only what concerns the corpus counts: name, seed, parts, labels, resolve, quality, split.
        benchmarks: texts to keep out besides the recipe's.

    Raises:
        InputError: a work folder is not finished, is given twice, or the parts are not those that the recipe names.
    """
    parts = [read_part(work_dir) for work_dir in work_dirs]
    names = sorted(part.run["recipe"]["name"] for part in parts)
    if len(set(names)) < len(names) or (recipe.parts and names != sorted(recipe.parts)):
        wanted = f", but recipe '{recipe.name}' has the parts {', '.join(recipe.parts)}" if recipe.parts else ""
        raise InputError(f"the work folders are of the recipes {', '.join(names)}{wanted}. Give each part once.")
    quality = recipe.quality.model_copy(update={"benchmarks": (*recipe.quality.benchmarks, *benchmarks)})
    with run_lock(out):
        return assemble.assemble(recipe.model_copy(update={"quality": quality}), parts, out)


def read_items(recipe: BuildRecipe) -> list[Item]:
    """Return what a recipe is built from: stories, or written rows."""
    if recipe.utterances.mode in ("written", "collected"):
        return read_written(recipe.narratives.sources)
    return read_narratives(recipe.narratives)


def _fingerprint_of(items: list[Item]) -> str:
    """Return a hash of the items: of stories, title and text count; of written rows, all but the line in the file."""
    kept = [
        [item.id, item.fields["title"], item.text]
        if "title" in item.fields
        else [item.id, item.text, {key: value for key, value in item.fields.items() if key != "source"}]
        for item in items
    ]
    return fingerprint(kept)


def _write_run(
    run: dict[str, Any], stages: Sequence[Stage], work_dir: Path, restart_from: str | None
) -> dict[str, Any]:
    """Write run.json and return its content, or refuse a folder with the rows of another run."""
    redone = _with_followers(restart_from, stages) if restart_from else []
    names = [stage.name for stage in stages]
    not_begun = [name for name in names if nothing_made(work_dir, name)]
    may_differ = partial(_is_made_again, stages=stages, redone=redone, not_begun=not_begun)
    before = former_run(work_dir, run, names, may_differ, partial(_restart_advice, stages))
    if before:
        run["teachers"] = before["teachers"] | {name: run["teachers"][name] for name in names if name in redone}
        if restart_from:
            delete_from_stage(work_dir, restart_from)
    if run != before:
        write_json(work_dir / RUN, run)
    return run


def delete_from_stage(work_dir: Path, stage: str) -> None:
    """Delete the rows of a stage and everything that depends on them: first the corpus, then the last stages.

    In this order, a kill never leaves rows whose source rows are gone.
    """
    deleted = _with_followers(stage, stages_of_run(read_json(work_dir / RUN)))
    for name in deleted:
        shutil.rmtree(work_dir / (CORPUS if name == assemble.STAGE else name), ignore_errors=True)
    reset_stages(work_dir, deleted)


def _is_made_again(difference: str, stages: Sequence[Stage], redone: list[str], not_begun: list[str]) -> bool:
    """Return whether all that depends on a difference is restarted or not begun; a stage may change its teacher."""
    path = difference.partition(" ")[0] + "."
    if path.startswith("teachers.") and path != "teachers.":  # records which teacher produced the existing rows
        return True
    # A restarted stage may use another teacher; `teachers` records which teacher produced the other rows.
    if path.startswith("recipe.teacher."):
        return bool(redone)
    affected = {stage.name for stage in stages if any(path.startswith(f"{part}.") for part in stage.depends_on)}
    if affected:  # the corpus is made again with them
        return affected <= {*redone, *not_begun}
    return assemble.STAGE in redone and any(path.startswith(f"{part}.") for part in assemble.DEPENDS_ON)


def _restart_advice(stages: Sequence[Stage], differences: list[str]) -> str:
    everything = [*(stage.name for stage in stages), assemble.STAGE]
    if not all(_is_made_again(found, stages, everything, []) for found in differences):
        return ""
    return (
        f", or generate the rows of a stage and of all later stages again with --restart-from ({', '.join(everything)})"
    )


def _with_followers(name: str, stages: Sequence[Stage]) -> list[str]:
    """Return a stage and all stages that depend on its rows, the last first; the corpus depends on every stage."""
    names = [*(stage.name for stage in stages), assemble.STAGE]
    if name not in names:
        raise InputError(f"--restart-from {name}: no such stage. Stages are {', '.join(names)}.")
    found = [name] if name != assemble.STAGE else []
    for stage in stages:
        if stage.after in found:
            found.append(stage.name)
    return [assemble.STAGE, *reversed(found)]
