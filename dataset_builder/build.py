"""The way of the data: narratives, then each stage, then the corpus. What is done is not done again."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dataset_builder.ask import prompt_versions
from dataset_builder.engine import MANIFEST, read_manifest, run_stage, write_narratives
from dataset_builder.inputs import InputError, fingerprint
from dataset_builder.narratives import read_narratives
from dataset_builder.publish import CORPUS, publish
from dataset_builder.recipe import BuildRecipe
from dataset_builder.schema import Narrative
from dataset_builder.shards import read_json, write_json
from dataset_builder.stages import STAGES
from dataset_builder.teachers import load_teacher

RUN = "run.json"


def build(recipe: BuildRecipe, work_dir: Path) -> bool:
    """Build the corpus of a recipe in a work folder, from wherever a former run of it stopped.

    Returns:
        False when everything was there already.

    Raises:
        InputError: bad narratives, no teacher, or a work folder that belongs to another recipe.
    """
    narratives = read_narratives(recipe.narratives)
    with _alone(work_dir):
        return _build(recipe, work_dir, narratives)


@contextmanager
def _alone(work_dir: Path) -> Iterator[None]:
    """Hold the work folder; the lock goes with the process, however that ends."""
    work_dir.mkdir(parents=True, exist_ok=True)
    with open(work_dir / "run.lock", "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{work_dir}: another build is running in it. Wait for it, or stop it.") from None
        yield


def _build(recipe: BuildRecipe, work_dir: Path, narratives: list[Narrative]) -> bool:
    _claim(work_dir, recipe, narratives)
    if (work_dir / CORPUS / MANIFEST).exists():
        return False
    started = time.monotonic()
    write_narratives(narratives, work_dir, recipe.executor.shards)
    for stage in STAGES:
        run_stage(stage.name, recipe, work_dir)
    publish(recipe, work_dir, load_teacher(recipe.teacher).name)
    print(f"built in {time.monotonic() - started:.0f} s")
    return True


def _claim(work_dir: Path, recipe: BuildRecipe, narratives: list[Narrative]) -> None:
    """Write what this run is, or refuse a folder in which another run began."""
    where = {"urls", "api_key_env", "timeout", "retries", "in_flight"}  # what changes no row may change
    asked = recipe.model_dump(mode="json", exclude={"narratives": True, "teacher": where, "executor": {"workers"}})
    run = {
        "recipe": asked,
        "prompts": prompt_versions(),
        "narratives": fingerprint([[story.id, story.title, story.text] for story in narratives]),
    }
    path = work_dir / RUN
    if not path.exists():
        write_json(path, run)
        return
    differences = _differences(read_json(path), run)
    if differences:
        raise InputError(
            f"{work_dir}: holds a run that differs in {', '.join(differences[:5])}. Its rows would not fit the new "
            "ones: give another --work-dir, or delete this one."
        )


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


def summary(work_dir: Path) -> str:
    """What a work folder holds, for people: rows, rejects, tokens and seconds a stage, rows a split."""
    lines = [f"{'stage':<12}{'units':>8}{'rows':>8}{'rejected':>10}{'seconds':>9}{'tok/s':>8}  reasons"]
    if not (work_dir / RUN).exists():
        raise InputError(f"{work_dir}: no run began here. Build one with dataset_builder build.")
    for stage in STAGES:
        if not (work_dir / stage.name / MANIFEST).exists():
            return "\n".join([*lines, f"{stage.name}: not finished; the same build command goes on from there"])
        manifest = read_manifest(work_dir / stage.name)
        tokens = manifest["prompt_tokens"] + manifest["completion_tokens"]
        rejected, rate = manifest["rejected"], tokens / max(manifest["seconds"], 1e-9)
        lines.append(
            f"{stage.name:<12}{manifest['units']:>8}{manifest['rows']:>8}{sum(rejected.values()):>10}"
            f"{manifest['seconds']:>9.1f}{rate:>8.0f}  {_counted(rejected)}"
        )
    if not (work_dir / CORPUS / MANIFEST).exists():
        return "\n".join([*lines, "publish: not finished; the same build command goes on from there"])
    corpus = read_manifest(work_dir / CORPUS)
    rejected = corpus["rejected"]
    lines.append(f"{'publish':<12}{'':>16}{sum(rejected.values()):>10}{'':>17}  {_counted(rejected)}")
    for config, splits in corpus["rows"].items():
        counts = ", ".join(f"{count} {split}" for split, count in splits.items())
        lines.append(f"{work_dir / CORPUS} {config}: {counts}")
    return "\n".join(lines)


def _counted(reasons: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items(), key=lambda item: -item[1]))
