"""What a larger teacher said of some of the texts as a whole: a run of `likelihood`, finished or as far as it came."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.descriptors.calibration import advantages
from dataset_builder.descriptors.phrases import one_line, standing_out
from dataset_builder.descriptors.recipe import Weights
from dataset_builder.descriptors.work import RUN
from dataset_builder.files.shards import read_json, shard_path
from dataset_builder.inputs import InputError
from dataset_builder.pipeline.engine import rows_of
from dataset_builder.pipeline.stages import WORDS


@dataclass(frozen=True)
class Judgements:
    """How strongly texts, by their lines, speak for some words, in standard deviations; and who says so."""

    by_text: dict[str, np.ndarray]
    said: dict[str, Any]


def read_judgements(place: Path, words: Sequence[str], weights: Weights) -> Judgements:
    """The judgements of a work folder's finished shards, for each of `words`; 0 for those that its teacher cannot tell.

    Raises:
        InputError: no run of `likelihood` is there, or none of its shards is finished.
    """
    if not (place / RUN).exists() or (run := read_json(place / RUN))["recipe"]["describer"] != "likelihood":
        raise InputError(
            f"{place}: no work folder of describe-texts with `describer: likelihood`. --judged takes such."
        )
    shards = [shard for shard in range(run["shards"]) if shard_path(place / WORDS.name, shard).exists()]
    rows = [row for shard in shards for row in rows_of(place / WORDS.name, shard)]
    if not rows:
        raise InputError(f"{place}: no shard of it is finished. Let it run on.")
    texts = [row["text"] for row in rows]
    found = np.asarray([row["found"] for row in rows], dtype=np.float32)
    strength = standing_out(advantages(found, texts, np.asarray(run["usual"]), weights))
    column = {word: index for index, word in enumerate(run["words"])}
    aligned = np.zeros((len(texts), len(words)), dtype=np.float32)
    for index, word in enumerate(words):
        if word in column:
            aligned[:, index] = strength[:, column[word]]
    said = {"teacher": run["teacher"], "prompts": run["prompts"], "texts": len(texts)}
    return Judgements({one_line(text): row for text, row in zip(texts, aligned, strict=True)}, said)
