"""How much a character's neutral utterances repeat each other (paper A: mean cosine .30 within, .16 across).

The paper does not name its encoder; ours is all-MiniLM-L6-v2, so that only the two figures of one table compare.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.filters.encoder import load_encoder
from dataset_builder.hashing import stable_hash
from dataset_builder.narratives import read_narratives
from dataset_builder.pipeline.build import claimed
from dataset_builder.pipeline.engine import rows_of, run_stages
from dataset_builder.recipe import BuildRecipe, Similarity
from dataset_builder.schema import UtteranceRow
from dataset_builder.taxonomy import LABELS, NEUTRAL
from dataset_builder.teachers import load_teacher

MOST = 4000  # utterances whose pairs are compared


def utterances_of(work_dir: Path, shards: int) -> list[UtteranceRow]:
    """All rows of the utterances stage."""
    folder = work_dir / "utterances"
    return [UtteranceRow.model_validate(row) for shard in range(shards) for row in rows_of(folder, shard)]


def neutral_cosines(rows: Sequence[UtteranceRow]) -> dict[str, dict[str, float]]:
    """Mean and deviation of the cosine of two neutral utterances of one character, and of two characters.

    Empty when no character has two neutral utterances.
    """
    neutral = [row for row in rows if row.requested_emotion == LABELS[NEUTRAL]]
    if len(neutral) > MOST:  # whole characters, drawn by hash
        neutral.sort(key=lambda row: (stable_hash("neutrals", row.id.rpartition("/u")[0]), row.id))
        del neutral[MOST:]
    speakers = np.array([row.id.rpartition("/u")[0] for row in neutral])
    same = speakers[:, None] == speakers[None, :]
    upper = np.triu(np.ones_like(same, dtype=bool), k=1)
    if not (same & upper).any():
        return {}
    method = Similarity(method="similarity")
    embedded = load_encoder(method.encoder, method.wheel)([row.text for row in neutral])
    cosines = embedded @ embedded.T
    metrics: dict[str, dict[str, float]] = {"neutral_utterances": {"value": len(neutral)}}
    for name, pairs in (("within_character", same & upper), ("across_characters", ~same & upper)):
        if not pairs.any():
            continue
        found = cosines[pairs]
        metrics[f"neutral_cosine_{name}"] = {
            "value": round(float(found.mean()), 4),
            "deviation": round(float(found.std()), 4),
            "pairs": int(pairs.sum()),
        }
    return metrics


def measure(recipe: BuildRecipe, work_dir: Path, a_character: int = 4) -> dict[str, Any]:
    """The figures with the rotating list of speech acts and without it, for the same stories and teacher."""
    metrics: dict[str, dict[str, float]] = {}
    for name, acts in (("acts", True), ("free", False)):
        asked = recipe.utterances.model_copy(update={"emotional": 0, "neutral": a_character, "neutral_acts": acts})
        variant = recipe.model_copy(update={"utterances": asked})
        with claimed(variant, work_dir / name):
            run_stages(variant, work_dir / name, ("characters", "utterances"))
        found = neutral_cosines(utterances_of(work_dir / name, recipe.executor.shards))
        metrics |= {f"{metric}_{name}": value for metric, value in found.items()}
    return {
        "name": "neutrals",
        "metrics": metrics,
        "support": len(read_narratives(recipe.narratives)),
        "mode": recipe.utterances.mode,
        "teacher": load_teacher(recipe.teacher).name,
        "seeds": [recipe.seed],
    }
