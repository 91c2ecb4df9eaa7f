"""What a work folder knows and its corpus does not: what became of everything, stage by stage, and faithfulness."""

from collections import Counter
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.analysis.survey import Draw
from dataset_builder.files.shards import stage_rows
from dataset_builder.inputs import InputError
from dataset_builder.markdown import cell, table
from dataset_builder.parquet import CORPUS, MANIFEST, read_manifest
from dataset_builder.pipeline.stages import STAGES
from dataset_builder.run_state import NARRATIVES, RUN, read_run
from dataset_builder.schema import RewrittenRow

MANY_REASONS = 8
COMPARED = 2_000  # situations and utterances that are compared with what they were


def is_work_folder(place: Path) -> bool:
    """Whether stages wrote there; a folder with a corpus alone, such as an adopted one, is none."""
    return (place / RUN).exists()


def describe_work(work_dir: Path) -> dict[str, Any]:
    """What of a result file is about the build: stages' metrics, sources, rejects, what was asked again.

    Raises:
        InputError: no build was finished in the folder, or one by an older version.
    """
    if not (work_dir / CORPUS / MANIFEST).exists():
        raise InputError(f"{work_dir}: no finished build in it. Build one with dataset_builder build.")
    run, corpus = read_run(work_dir), read_manifest(work_dir / CORPUS)
    if "shards" not in run:
        raise InputError(f"{work_dir}: built by an older version. Report on {work_dir / CORPUS}, or build it again.")
    shards = run["shards"]
    stages = {stage.name: read_manifest(work_dir / stage.name) for stage in STAGES}
    narratives = list(stage_rows(work_dir / NARRATIVES, range(shards)))
    return {
        "metrics": _stage_metrics(stages) | _faithfulness(work_dir, shards),
        "support": len(narratives),
        "sources": dict(Counter(row["source"] for row in narratives)),
        "rejected": {stage: made["rejected"] for stage, made in stages.items()} | {"publish": corpus["rejected"]},
        "retried": {stage: made["retried"] for stage, made in stages.items()},
    }


def _stage_metrics(stages: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    return {
        f"stage_{stage}_{key}": {"value": sum(value.values()) if isinstance(value := made[key], dict) else value}
        for stage, made in stages.items()
        for key in (
            "units",
            "rows",
            "rejected",
            "retried",
            "calls",
            "prompt_tokens",
            "completion_tokens",
            "busy_seconds",
        )
    }


def _faithfulness(work_dir: Path, shards: int) -> dict[str, dict[str, float]]:
    """How alike situations are before and after cleaning, utterances before and after rewriting (difflib's ratio).

    Of some rows, drawn by hash: the ratio takes time with the square of the length.
    """
    sample = Draw(COMPARED)
    for row in stage_rows(work_dir / "rewriting", range(shards)):
        sample.offer(row, f"faithful {row['id']}")
    made = [RewrittenRow.model_validate(row) for row in sample.drawn()]
    pairs = {
        "cleaning_similarity": [(row.context_original, row.context) for row in made],
        "rewriting_similarity": [(row.text, row.rewritten) for row in made if row.rewritten],
    }
    found = {
        name: [SequenceMatcher(None, before, after, autojunk=False).ratio() for before, after in both]
        for name, both in pairs.items()
    }
    return {
        name: {
            "value": round(float(np.mean(values)), 3),
            "deviation": round(float(np.std(values)), 3),
            "texts": len(values),
        }
        for name, values in found.items()
        if values
    }


def work_page(content: dict[str, Any]) -> list[str]:
    """The page's part about the build, from the result file's content."""
    metrics = content["metrics"]
    columns = {
        "units": "units",
        "rows": "rows",
        "rejected": "rejected",
        "retried": "asked again",
        "calls": "calls",
        "prompt_tokens": "tokens read",
        "completion_tokens": "tokens written",
        "busy_seconds": "busy seconds",
    }
    lines = [
        (stage, *(round(metrics[f"stage_{stage}_{column}"]["value"]) for column in columns))
        for stage in content["retried"]
    ]
    return [
        "## What became of everything\n",
        table(("stage", *columns.values()), lines) + "\n",
        "Reasons of rejection; those of a stage's parts (one utterance of several) are counted too:\n",
        table(
            ("stage", "reasons"),
            [(stage, _counted(reasons)) for stage, reasons in content["rejected"].items() if reasons],
        )
        + "\n",
    ]


def _counted(reasons: dict[str, int]) -> str:
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    more = sum(count for _, count in ordered[MANY_REASONS:])
    return ", ".join(f"{count} {cell(reason)}" for reason, count in ordered[:MANY_REASONS]) + (
        f", {more} others" if more else ""
    )
