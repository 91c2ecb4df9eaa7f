"""The way of the data: narratives, then all stages, then the corpus. What is done is not done again."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dataset_builder.files.shards import held, read_json, write_json
from dataset_builder.files.texts import benchmark_texts
from dataset_builder.hashing import fingerprint
from dataset_builder.inputs import InputError
from dataset_builder.narratives import read_narratives
from dataset_builder.pipeline.ask import prompt_versions
from dataset_builder.pipeline.assemble import CORPUS, publish
from dataset_builder.pipeline.engine import ALL_STAGES, MANIFEST, nothing_made, run_stages, write_narratives
from dataset_builder.pipeline.progress import NARRATIVES, PROGRESS, forget_stages
from dataset_builder.pipeline.stages import STAGES
from dataset_builder.recipe import BuildRecipe
from dataset_builder.schema import Narrative
from dataset_builder.teachers import teacher_name

RUN = "run.json"
WHERE = (
    "urls",
    "api_key_env",
    "timeout",
    "retries",
    "patience",
    "in_flight",
    "kept_beginnings",
    "length_parameter",
)  # of a teacher: what changes no row may change
PUBLISH = "publish"
# What of run.json each stage follows from, besides what the stages before it follow from.
FOLLOWS_FROM = {
    "characters": ("recipe.seed", "recipe.characters", "prompts.characters"),
    "utterances": (
        "recipe.utterances",
        *(f"recipe.quality.{bound}" for bound in ("min_words", "max_words", "max_context_words", "label_words")),
        "prompts.utterances_list",
        "prompts.utterances_single",
    ),
    "labels": ("recipe.labels", "prompts.labels_likelihood", "prompts.labels_verbalised"),
    "descriptors": ("recipe.descriptors", "prompts.labels_likelihood", "prompts.descriptors_generated"),
    "context": ("recipe.situations.share", "recipe.situations.context", "recipe.resolve", "prompts.context"),
    "cleaning": ("recipe.situations.cleaning", "prompts.cleaning"),
    "rewriting": ("recipe.situations.rewriting", "prompts.rewriting"),
    PUBLISH: ("recipe.split", "recipe.name", "recipe.quality.near_duplicate_at", "recipe.quality.benchmarks"),
}


def build(recipe: BuildRecipe, work_dir: Path, restart_from: str | None = None) -> bool:
    """Build the corpus of a recipe in a work folder, from wherever a former run of it stopped.

    Args:
        restart_from: a stage whose results, and those of the stages after it, are made again; what was changed in the
            recipe, the prompts or the teacher may then differ from there on.

    Returns:
        False when everything was there already.

    Raises:
        InputError: bad narratives or benchmarks, no teacher, or a work folder that belongs to another recipe.
    """
    for benchmark in recipe.quality.benchmarks:  # one that is not there fails now and not after weeks
        next(benchmark_texts(benchmark), None)
    if recipe.split.contextual not in (None, recipe.split.contextless):
        print("note: split.contextual has no effect: stories are split once for all configs, by split.contextless")
    with claimed(recipe, work_dir, restart_from) as run:
        if (work_dir / CORPUS / MANIFEST).exists():
            return False
        started = time.monotonic()
        run_stages(recipe, work_dir)
        publish(recipe, work_dir, run["teachers"])
        print(f"built in {time.monotonic() - started:.0f} s")
        return True


@contextmanager
def claimed(recipe: BuildRecipe, work_dir: Path, restart_from: str | None = None) -> Iterator[dict[str, Any]]:
    """Hold a work folder for a recipe, its narratives written there; gives what run.json says.

    Raises:
        InputError: bad narratives, another process is at work there, or the folder belongs to another recipe.
    """
    narratives = read_narratives(recipe.narratives)
    with held(work_dir / "run.lock", f"{work_dir}: another build is running in it"):
        run = _claim(work_dir, recipe, narratives, restart_from)
        write_narratives(narratives, work_dir, recipe.executor.shards)
        yield run


def _claim(
    work_dir: Path, recipe: BuildRecipe, narratives: list[Narrative], restart_from: str | None
) -> dict[str, Any]:
    """Write what this run is, or refuse a folder in which another run began; returns what is written.

    `teachers` names the teacher of each stage: after a restart with another one, they differ.
    """
    places: dict[str, Any] = {"narratives": True, "teacher": set(WHERE), "executor": True}
    teacher = teacher_name(recipe.teacher)
    run: dict[str, Any] = {
        "recipe": recipe.model_dump(mode="json", exclude=places),
        "shards": recipe.executor.shards,
        "prompts": prompt_versions(),
        "narratives": fingerprint([[story.id, story.title, story.text] for story in narratives]),
        "teachers": dict.fromkeys(ALL_STAGES, teacher),
    }
    path = work_dir / RUN
    if not path.exists():
        if any((work_dir / stage).exists() for stage in ALL_STAGES):
            raise InputError(
                f"{work_dir}: holds stages but no {RUN}, so nobody knows of what. Give another --work-dir."
            )
        write_json(path, run)
        return run
    before = read_json(path)
    if not isinstance(before, dict) or not isinstance(before.get("teachers"), dict):
        raise InputError(f"{path}: is none of a build, so nobody knows of what. Give another --work-dir.")
    if run != before and nothing_made(work_dir, *ALL_STAGES):  # as after a teacher that refused every call
        for folder in (NARRATIVES, PROGRESS, *ALL_STAGES):
            shutil.rmtree(work_dir / folder, ignore_errors=True)
        write_json(path, run)
        return run
    again = _stages_from(restart_from) if restart_from else []
    run["teachers"] = before["teachers"] | dict.fromkeys((stage for stage in again if stage != PUBLISH), teacher)
    mine = {key: value for key, value in run.items() if key != "teachers"}
    theirs = {key: value for key, value in before.items() if key != "teachers"}
    not_begun = [stage for stage in ALL_STAGES if nothing_made(work_dir, stage)]
    differences = [found for found in _differences(theirs, mine) if not _is_made_again(found, again, not_begun)]
    if differences:
        again_helps = all(_is_made_again(found, [PUBLISH, *ALL_STAGES], []) for found in differences)
        again_from = (
            ", or make the rows of a stage and of those after it again with "
            f"--restart-from ({', '.join((*ALL_STAGES, PUBLISH))})"
        )
        raise InputError(
            f"{work_dir}: holds a run that differs in {', '.join(differences[:5])}. Its rows would not fit the new "
            f"ones: give another --work-dir{again_from if again_helps else ''}."
        )
    if restart_from:
        make_again(work_dir, restart_from)
    if run != before:
        write_json(path, run)
    return run


def make_again(work_dir: Path, stage: str) -> None:
    """Delete the rows of a stage and what follows from them, the corpus and the last stages first.

    A kill in between thus leaves nothing whose beginnings are gone.
    """
    again = _stages_from(stage)
    for name in again:
        shutil.rmtree(work_dir / (CORPUS if name == PUBLISH else name), ignore_errors=True)
    forget_stages(work_dir, again)


def _is_made_again(difference: str, again: list[str], not_begun: list[str]) -> bool:
    """Whether all that follows from what differs is made again or not begun; a teacher may change at any stage."""
    path = difference.partition(" ")[0] + "."
    if path.startswith("recipe.teacher."):
        return bool(again)
    stages = [stage for stage, parts in FOLLOWS_FROM.items() if any(path.startswith(f"{part}.") for part in parts)]
    return bool(stages) and set(stages) <= {*again, *not_begun}


def _stages_from(name: str) -> list[str]:
    """A stage and all that follow from it, the last first; the corpus follows from every one."""
    if name not in FOLLOWS_FROM:
        raise InputError(f"--restart-from {name}: no such stage. Stages are {', '.join(FOLLOWS_FROM)}.")
    found = [name] if name != PUBLISH else []
    for stage in STAGES:
        if stage.after in found:
            found.append(stage.name)
    return [PUBLISH, *reversed(found)]


def _differences(before: Any, now: Any, at: str = "") -> list[str]:
    """Paths at which two nested values differ, with both values where they are short."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [*before, *(key for key in now if key not in before)]
        return [
            found for key in keys for found in _differences(before.get(key), now.get(key), f"{at}.{key}".strip("."))
        ]
    if before == now:
        return []
    values = f" ({before} there, {now} now)"
    return [at + (values if len(values) < 80 else "")]
