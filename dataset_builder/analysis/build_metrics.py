"""The metrics of a build, from its work folder: units, rows and rejects of each stage, and faithfulness."""

from collections import Counter
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.analysis.survey import HashSample
from dataset_builder.files.shards import read_json, stage_rows
from dataset_builder.inputs import InputError
from dataset_builder.parquet import CORPUS, MANIFEST, read_manifest
from dataset_builder.pipeline.stages import stages_of_run
from dataset_builder.run_state import NARRATIVES, RUN
from dataset_builder.schema import RewrittenRow

COMPARED = 2_000  # situations and utterances whose versions are compared: the time grows with the square of the length
# Values of a stage's manifest that the result file contains, with their headings on the report's page.
STAGE_COLUMNS = {
    "units": "units",
    "rows": "rows",
    "rejected": "rejected",
    "retried": "asked again",
    "calls": "calls",
    "prompt_tokens": "tokens read",
    "completion_tokens": "tokens written",
    "busy_seconds": "busy seconds",
}


def measure_build(work_dir: Path) -> dict[str, Any]:
    """Return the part of a result file about the build; empty if the folder is not a build but, say, a bare corpus.

    Raises:
        InputError: the folder contains no finished build, or one by an older version.
    """
    if not (work_dir / RUN).exists():
        return {}
    if not (work_dir / CORPUS / MANIFEST).exists():
        raise InputError(f"{work_dir}: contains no finished build. Create one with `dataset_builder build`.")
    run, corpus = read_json(work_dir / RUN), read_manifest(work_dir / CORPUS)
    if "shards" not in run:
        raise InputError(f"{work_dir}: built by an older version. Report on {work_dir / CORPUS}, or build it again.")
    shards = run["shards"]
    stages = {stage.name: read_manifest(work_dir / stage.name) for stage in stages_of_run(run)}
    narratives = list(stage_rows(work_dir / NARRATIVES, range(shards)))
    metrics = {
        f"stage_{stage}_{key}": {"value": sum(made[key].values()) if isinstance(made[key], dict) else made[key]}
        for stage, made in stages.items()
        for key in STAGE_COLUMNS
    }
    if "characters" in stages:
        listed = Counter(row["narrative_id"] for row in stage_rows(work_dir / "characters", range(shards)))
        sizes = [listed[row["id"]] for row in narratives]
        if sizes:
            metrics["characters_per_story"] = {
                "value": round(float(np.mean(sizes)), 3),
                "deviation": round(float(np.std(sizes)), 3),
            }
    return {
        "metrics": metrics | (_faithfulness(work_dir, shards) if "cleaning" in stages else {}),
        "support": len(narratives),
        # Of written rows, the line in the file is left out.
        "sources": dict(Counter(row["source"].partition(", line ")[0] for row in narratives)),
        "rejected": {stage: made["rejected"] for stage, made in stages.items()} | {"publish": corpus["rejected"]},
        "retried": {stage: made["retried"] for stage, made in stages.items()},
    }


def _faithfulness(work_dir: Path, shards: int) -> dict[str, dict[str, float]]:
    """Similarity (difflib's ratio) of situations before and after cleaning, and of utterances and their rewritings."""
    sample = HashSample(COMPARED)
    for row in stage_rows(work_dir / "rewriting", range(shards)):
        sample.add(row, f"faithful {row['id']}")
    made = [RewrittenRow.model_validate(row) for row in sample.items()]
    pairs = {
        "cleaning_similarity": [(row.context_original, row.context) for row in made],
        "rewriting_similarity": [(row.text, row.rewritten) for row in made if row.rewritten],
    }
    metrics = {}
    for name, both in pairs.items():
        values = [SequenceMatcher(None, before, after, autojunk=False).ratio() for before, after in both]
        if values:
            mean, deviation = round(float(np.mean(values)), 3), round(float(np.std(values)), 3)
            metrics[name] = {"value": mean, "deviation": deviation, "texts": len(values)}
    return metrics
