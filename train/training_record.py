"""The training record, `training.json`: the data, the run and the results of a training. It is written last."""

import importlib.metadata
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from dataset_builder.files.data_sets import DataSet
from dataset_builder.hashing import fingerprint
from dataset_builder.provenance import shareable, weights_digest, write_result
from train.base_model import base_model_source
from train.checkpoint import Progress
from train.recipe import TrainingRecipe

RECORD = "training.json"


def describe_inputs(
    recipe: TrainingRecipe, base_model: str | None, data: DataSet, others: Sequence[DataSet] = ()
) -> tuple[dict[str, Any], str]:
    """Return recipe, base model and data for the record, without local paths, and their hash for checkpoints.

    Args:
        base_model: a folder or Hub id instead of the recipe's.
        others: data sets that are mixed in.
    """
    read = [part for one in (data, *others) for part in (one.where, one.revision, one.files)]
    of_teacher = _weights("teacher", getattr(recipe, "teacher", None))
    identity = fingerprint([recipe.model_dump(mode="json"), base_model, *read, *of_teacher.values()])
    values = recipe.recorded_values()
    about = {
        "name": recipe.name,
        "recipe_hash": fingerprint(values),
        "recipe": values,
        "base_model": shareable(base_model or recipe.base_model),
        **_weights("base", base_model_source(recipe, base_model)["pretrained_model_name_or_path"]),
        "dataset": shareable(data.where),
        "dataset_revision": data.revision,
        "data": data.about(),
        **({"mixed_with": [_mixed_in(one) for one in others]} if others else {}),
        **of_teacher,
    }
    return about, identity


def _weights(of: str, place: str | None) -> dict[str, str]:
    """Return the digest of a folder's weights for the record; nothing for a Hub id, whose revision says what it is."""
    return {f"{of}_weights_sha256": weights_digest(Path(place))} if place and Path(place).is_dir() else {}


def _mixed_in(data: DataSet) -> dict[str, Any]:
    return {"dataset": shareable(data.where), "dataset_revision": data.revision, **data.about()}


def describe_run(progress: Progress, accelerator: Accelerator, threads: int, started: float) -> dict[str, Any]:
    """Return steps, speed and machine of a training run that began at the `time.monotonic()` of `started`."""
    return {
        "steps": progress.updates,
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "samples_per_second": round(progress.samples / max(progress.seconds, 1e-9), 1),
        "seconds": round(time.monotonic() - started, 1),
        "processes": accelerator.num_processes,
        "threads": threads,
        "libraries": {name: importlib.metadata.version(name) for name in ("torch", "transformers", "accelerate")},
    }


def write_record(record: dict[str, Any], folder: Path) -> None:
    """Write the training record next to its weights; a folder that has it is complete."""
    about = record | {"weights_sha256": weights_digest(folder)}
    write_result(about, folder.parent, folder.name, Path(RECORD).stem)
