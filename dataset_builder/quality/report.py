"""What a work folder holds, as a result file and as a page: what became of everything, and rows as they are."""

import random
from collections import Counter
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from dataset_builder.engine import MANIFEST, read_manifest, rows_of
from dataset_builder.inputs import InputError
from dataset_builder.publish import CORPUS
from dataset_builder.quality.diversity import neutral_cosines, utterances_of
from dataset_builder.schema import RewrittenRow
from dataset_builder.shards import read_json
from dataset_builder.stages import STAGES
from dataset_builder.taxonomy import LABELS, NEUTRAL

SHOWN_ROWS = 5
MANY_REASONS = 8


def report(work_dir: Path, name: str) -> tuple[dict[str, Any], str]:
    """A result file's content and a Markdown page about a finished build.

    Raises:
        InputError: no build was finished in the folder.
    """
    if not (work_dir / CORPUS / MANIFEST).exists():
        raise InputError(f"{work_dir}: no finished build in it. Build one with dataset_builder build.")
    run, corpus = read_json(work_dir / "run.json"), read_manifest(work_dir / CORPUS)
    shards, seed = run["shards"], run["recipe"]["seed"]
    stages = {stage.name: read_manifest(work_dir / stage.name) for stage in STAGES}
    rows = {config: _read(work_dir / CORPUS / config) for config in corpus["rows"]}
    metrics = _stage_metrics(stages) | _row_metrics(rows) | neutral_cosines(utterances_of(work_dir, shards))
    metrics |= _faithfulness(work_dir, shards)
    narratives = [row for shard in range(shards) for row in rows_of(work_dir / "narratives", shard)]
    content = {
        "name": name,
        "metrics": metrics,
        "support": len(narratives),
        "sources": dict(Counter(row["source"] for row in narratives)),
        "teacher": corpus["teacher"],
        "seeds": [seed],
        "recipe": corpus["recipe"],
        "recipe_hash": corpus["recipe_hash"],
        "prompt_version": corpus["prompt_version"],
        "data_revision": corpus["revision"],
        "rejected": {stage: made["rejected"] for stage, made in stages.items()} | {"publish": corpus["rejected"]},
        "retried": {stage: made["retried"] for stage, made in stages.items()},
        "per_label": {config: _per_label(found) for config, found in rows.items() if "labels" in found[0]},
    }
    return content, _page(content, stages, corpus, rows, seed)


def _read(folder: Path) -> list[dict[str, Any]]:
    """All rows of a config, with their split."""
    return [
        row | {"split": path.name.partition("-")[0]}
        for path in sorted(folder.glob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]


def _stage_metrics(stages: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    return {
        f"{stage}_{key}": {"value": sum(value.values()) if isinstance(value := made[key], dict) else value}
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


def _row_metrics(rows: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, float]]:
    metrics: dict[str, dict[str, float]] = {}
    for config, found in rows.items():
        metrics[f"{config}_rows"] = {"value": len(found)}
        key = "labels" if "labels" in found[0] else "descriptors"
        metrics[f"{config}_{key}_per_text"] = {"value": round(float(np.mean([len(row[key]) for row in found])), 3)}
        if key == "labels":
            neutral = [NEUTRAL in row["labels"] for row in found]
            metrics[f"{config}_neutral_share"] = {"value": round(float(np.mean(neutral)), 3)}
    return metrics


def _per_label(rows: list[dict[str, Any]]) -> dict[str, int]:
    counted = Counter(label for row in rows for label in row["labels"])
    return {label: counted[index] for index, label in enumerate(LABELS)}


def _faithfulness(work_dir: Path, shards: int) -> dict[str, dict[str, float]]:
    """How alike situations are before and after cleaning, utterances before and after rewriting (difflib's ratio)."""
    made = [
        RewrittenRow.model_validate(row) for shard in range(shards) for row in rows_of(work_dir / "rewriting", shard)
    ]
    pairs = {
        "cleaning_similarity": [(row.context_original, row.context) for row in made],
        "rewriting_similarity": [(row.text, row.rewritten) for row in made if row.rewritten],
    }
    found = {
        name: [SequenceMatcher(None, before, after, autojunk=False).ratio() for before, after in both]
        for name, both in pairs.items()
    }
    return {
        name: {"value": round(float(np.mean(values)), 3), "deviation": round(float(np.std(values)), 3)}
        for name, values in found.items()
        if values
    }


# ---------------------------------------------------------------------- the page


def _page(
    content: dict[str, Any],
    stages: dict[str, dict[str, Any]],
    corpus: dict[str, Any],
    rows: dict[str, list[dict[str, Any]]],
    seed: int,
) -> str:
    sources = ", ".join(f"{count} of {source}" for source, count in content["sources"].items())
    metrics = content["metrics"]
    parts = [
        f"# {content['name']}\n",
        f"{content['support']} stories ({sources}); teacher `{content['teacher']}`; recipe `{content['recipe']}` "
        f"({content['recipe_hash']}), prompts {content['prompt_version']}, corpus {content['data_revision']}.\n",
        "## What became of everything\n",
        _table(
            (
                "stage",
                "units",
                "rows",
                "rejected",
                "asked again",
                "calls",
                "tokens read",
                "tokens written",
                "busy seconds",
            ),
            [
                (
                    stage,
                    made["units"],
                    made["rows"],
                    sum(made["rejected"].values()),
                    sum(made["retried"].values()),
                    made["calls"],
                    made["prompt_tokens"],
                    made["completion_tokens"],
                    round(made["busy_seconds"]),
                )
                for stage, made in stages.items()
            ],
        ),
        "Reasons of rejection; those of a stage's parts (one utterance of several) are counted too:\n",
        _table(
            ("stage", "reasons"),
            [(stage, _counted(reasons)) for stage, reasons in content["rejected"].items() if reasons],
        ),
        "## The corpus\n",
        _table(
            ("config", "train", "validation", "test", "labels or descriptors a text", "with neutral"),
            [
                (
                    f"`{config}`",
                    *(splits.get(split, 0) for split in ("train", "validation", "test")),
                    _first(metrics, f"{config}_labels_per_text", f"{config}_descriptors_per_text"),
                    f"{metrics[f'{config}_neutral_share']['value']:.1%}"
                    if f"{config}_neutral_share" in metrics
                    else "",
                )
                for config, splits in corpus["rows"].items()
            ],
        ),
        *_figures(metrics),
        "## Labels\n",
        _table(
            ("label", *content["per_label"]),
            [(label, *(counts[label] for counts in content["per_label"].values())) for label in LABELS],
        ),
    ]
    draw = random.Random(seed)
    for config, found in rows.items():
        parts.append(f"## {SHOWN_ROWS} random rows of `{config}`, as they are\n")
        parts += [_row(row) for row in draw.sample(found, min(SHOWN_ROWS, len(found)))]
    return "\n".join(parts).rstrip() + "\n"


def _figures(metrics: dict[str, dict[str, float]]) -> list[str]:
    """Figures that the paper gives too."""
    papers = {
        "neutral_cosine_within_character": ("cosine of two neutral utterances of one character", ".30 ± .16"),
        "neutral_cosine_across_characters": ("cosine of two neutral utterances of two characters", ".16 ± .12"),
        "cleaning_similarity": ("situation before and after cleaning, likeness", ".92 ± .08"),
        "rewriting_similarity": ("utterance before and after rewriting, likeness", ".78 ± .15"),
    }
    lines = [
        (title, f"{metrics[name]['value']:.2f} ± {metrics[name]['deviation']:.2f}", paper)
        for name, (title, paper) in papers.items()
        if name in metrics
    ]
    return [_table(("figure", "here", "paper A"), lines)] if lines else []


def _row(row: dict[str, Any]) -> str:
    """One row as a list: what it says, then where it comes from."""
    said = [f"- **{row['text']}**"]
    if "context" in row:
        said.append(f"  - situation: {row['context']}")
        said.append(
            f"  - {row['variant']}" + (f", of: {row['original_text']}" if row["variant"] == "rewritten" else "")
        )
    if "labels" in row:
        scores = ", ".join(f"{LABELS[label]} {row['scores'][label]:.2f}" for label in row["labels"])
        said.append(f"  - labels: {scores}")
    else:
        said.append("  - descriptors: " + ", ".join(f"{d['text']} {d['weight']:.2f}" for d in row["descriptors"]))
    said.append(f"  - {row['character']}, asked for {row['requested_emotion']}; `{row['id']}` ({row['source']})")
    return "\n".join(said) + "\n"


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def _counted(reasons: dict[str, int]) -> str:
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    more = sum(count for _, count in ordered[MANY_REASONS:])
    return ", ".join(f"{count} {reason}" for reason, count in ordered[:MANY_REASONS]) + (
        f", {more} others" if more else ""
    )


def _first(metrics: dict[str, dict[str, float]], *names: str) -> float:
    return next(metrics[name]["value"] for name in names if name in metrics)
