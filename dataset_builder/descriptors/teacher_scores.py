"""Reads a larger teacher's scores of whole texts from a finished or unfinished run of `describer: likelihood`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.descriptors.calibration import advantages
from dataset_builder.descriptors.phrases import one_line, z_scores
from dataset_builder.descriptors.recipe import Weights
from dataset_builder.descriptors.words import WORDS
from dataset_builder.files.shards import read_json, shard_path, stage_rows
from dataset_builder.inputs import InputError
from dataset_builder.run_state import RUN


@dataclass(frozen=True)
class TeacherScores:
    """The z-scores of texts (by their lines) for each word, and their entry for the manifest."""

    by_text: dict[str, np.ndarray]
    reference: dict[str, Any]


def read_teacher_scores(place: Path, words: Sequence[str], weights: Weights) -> TeacherScores:
    """Return the scores of `words` from a work folder's finished shards; 0 for words that its teacher did not score.

    Raises:
        InputError: the folder contains no run of `likelihood`, or no shard of the run is finished.
    """
    run = read_json(place / RUN) if (place / RUN).exists() else {}
    recipe = run.get("recipe")
    if not isinstance(recipe, dict) or recipe.get("describer") != "likelihood":
        raise InputError(f"{place}: --judged needs a work folder of describe-texts with `describer: likelihood`.")
    folder = place / WORDS.name
    rows = list(stage_rows(folder, (shard for shard in range(run["shards"]) if shard_path(folder, shard).exists())))
    if not rows:
        raise InputError(f"{place}: no shard is finished yet. Wait until the run has finished a shard.")
    texts = [row["text"] for row in rows]
    found = np.asarray([row["found"] for row in rows], dtype=np.float32)
    scores = z_scores(advantages(found, texts, weights))
    column = {word: index for index, word in enumerate(run["words"])}
    aligned = np.zeros((len(texts), len(words)), dtype=np.float32)
    for index, word in enumerate(words):
        if word in column:
            aligned[:, index] = scores[:, column[word]]
    reference = {"teacher": run["teacher"], "prompts": run["prompts"], "texts": len(texts)}
    return TeacherScores({one_line(text): row for text, row in zip(texts, aligned, strict=True)}, reference)
