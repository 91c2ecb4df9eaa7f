"""What a recipe will ask of its teacher before it is asked: calls, tokens, storage and, from a pilot, hours.

A pilot is a finished build of the same recipe on a few stories: what a unit of each stage took there is multiplied.
Without one, the paper's numbers (15 characters a story) and lengths of texts stand in, and there are no hours.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from dataset_builder.files.shards import read_model
from dataset_builder.inputs import InputError
from dataset_builder.narratives import read_narratives
from dataset_builder.parquet import CORPUS, MANIFEST
from dataset_builder.pipeline.ask import emotion_list, load_prompt
from dataset_builder.pipeline.progress import elapsed
from dataset_builder.pipeline.stages import STAGES, Stage
from dataset_builder.pipeline.status import read_stage
from dataset_builder.recipe import BuildRecipe, EndpointTeacher
from dataset_builder.run_state import RUN

PAPER = "the paper: 700K calls and 450 H100-hours for 300K context-less and 100K contextual examples (2,000 stories)"
CHARACTERS_A_STORY = 15  # paper A; standard deviation 9.4
STORY_TOKENS = 900  # of a synopsis of some 700 words
LETTERS_A_TOKEN = 4
OPEN_VOCABULARY_CALLS = 24  # a server gives 128 tokens a call, and words that begin alike take calls of their own
# Tokens that a call writes, and compressed bytes that a row adds to its stage's folder: rough, from our own runs.
WRITTEN = {"characters": 100, "labels": 1, "descriptors": 1, "context": 90, "cleaning": 80, "rewriting": 30}
BYTES_A_ROW = {"characters": 60, "utterances": 120, "labels": 300, "descriptors": 250, "context": 500, "cleaning": 500}
BYTES_A_ROW |= {"rewriting": 550}


@dataclass(frozen=True)
class Rates:
    """What one unit of a stage takes, and how many rows it gives."""

    rows: float
    calls: float
    read: float
    cached: float
    written: float
    seconds: float
    bytes: float


class BuiltRun(BaseModel):
    """What a pilot's run.json says of its recipe."""

    recipe: dict[str, Any]


@dataclass(frozen=True)
class Planned:
    """A stage's sums."""

    stage: str
    units: float
    rates: Rates

    def total(self, field: str) -> float:
        """A rate times the units."""
        return self.units * float(getattr(self.rates, field))


def plan(recipe: BuildRecipe, pilot: Path | None) -> str:
    """The plan as a table for people.

    Raises:
        InputError: the pilot is not finished, or was made by another recipe (narratives and executor may differ).
    """
    stories = _count_stories(recipe)
    rates = _from_pilot(recipe, pilot) if pilot else {stage.name: _assumed(stage, recipe) for stage in STAGES}
    rows: dict[str, float] = {"narratives": stories}
    planned = []
    for stage in STAGES:
        units = rows[stage.after] * _share(stage, recipe)
        rows[stage.name] = units * rates[stage.name].rows
        planned.append(Planned(stage.name, units, rates[stage.name]))
    return _table(recipe, stories, planned, rows, pilot)


def _count_stories(recipe: BuildRecipe) -> int:
    wanted = recipe.narratives
    if wanted.limit is not None and wanted.sources != ("tales",):
        return wanted.limit * len(wanted.sources)
    return len(read_narratives(wanted))


def _share(stage: Stage, recipe: BuildRecipe) -> float:
    """Which share of the rows before it a stage takes on; a pilot's units are those that it took on."""
    return {"context": recipe.situations.share, "descriptors": recipe.descriptors.share}.get(stage.name, 1.0)


def _from_pilot(recipe: BuildRecipe, pilot: Path) -> dict[str, Rates]:
    if not (pilot / CORPUS / MANIFEST).exists():
        raise InputError(f"{pilot}: no finished build in it. Build the recipe on a few stories there (--limit 5).")
    built = read_model(pilot / RUN, BuiltRun).recipe
    asked = recipe.model_dump(mode="json", exclude={"narratives", "executor"})
    differs = [part for part in asked if part not in ("name", "teacher", "split") and asked[part] != built.get(part)]
    for key in ("kind", "model"):
        if asked["teacher"].get(key) != built.get("teacher", {}).get(key):
            differs.append(f"teacher.{key}")
    if differs:
        raise InputError(
            f"{pilot}: was built by another recipe (it differs in {', '.join(differs)}). Build a pilot of this one."
        )
    made = {stage.name: read_stage(pilot, stage.name) for stage in STAGES}
    # A stage's units wait for each other and for other stages': its part of the time is its part of the waiting.
    share = elapsed(pilot) / max(sum(stage.busy_seconds for stage in made.values()), 1e-9)
    rates = {}
    for stage in STAGES:
        sums = made[stage.name]
        units = max(sums.units, 1)
        if not sums.units and _share(stage, recipe):
            raise InputError(f"{pilot}: its stage '{stage.name}' had nothing to do. Build a larger pilot.")
        rates[stage.name] = Rates(
            rows=sums.rows / units,
            calls=sums.calls / units,
            read=sums.prompt_tokens / units,
            cached=sums.cached_tokens / units,
            written=sums.completion_tokens / units,
            seconds=share * sums.busy_seconds / units,
            bytes=sum(path.stat().st_size for path in (pilot / stage.name).glob("*.jsonl.gz")) / units,
        )
    return rates


def _assumed(stage: Stage, recipe: BuildRecipe) -> Rates:
    """Rates from the recipe and the lengths of its prompts, no retries and no rejects."""
    each = recipe.utterances.emotional + recipe.utterances.neutral
    single = recipe.utterances.mode == "single"
    prompts = {
        "utterances": "utterances_single" if single else "utterances_list",
        "labels": f"labels_{recipe.labels.labeler}",
        "descriptors": "descriptors_generated" if recipe.descriptors.describer == "generated" else "labels_likelihood",
    }
    prompt = prompts.get(stage.name, stage.name)
    letters = len((Path(__file__).parents[1] / "prompts" / f"{prompt}.txt").read_text(encoding="utf-8"))
    letters += len(emotion_list(neutral=True)) if prompt in ("utterances_list", "labels_verbalised") else 0
    load_prompt(prompt)  # a broken prompt file fails here, not after hours
    story = STORY_TOKENS if stage.name in ("characters", "utterances", "context") else 60
    calls = each if single and stage.name == "utterances" else 1
    if stage.name == "descriptors" and prompt == "labels_likelihood" and isinstance(recipe.teacher, EndpointTeacher):
        calls = OPEN_VOCABULARY_CALLS
    written = WRITTEN.get(stage.name, 22 * each / calls)
    written = 40 if prompt in ("labels_verbalised", "descriptors_generated") else written
    rows = {"characters": min(CHARACTERS_A_STORY, recipe.characters.limit), "utterances": each}.get(stage.name, 1)
    one = Rates(
        rows=rows,
        calls=calls,
        read=calls * (letters / LETTERS_A_TOKEN + story),
        cached=0.0,
        written=calls * written,
        seconds=0.0,
        bytes=rows * BYTES_A_ROW[stage.name],
    )
    shared = story if stage.name in ("utterances", "context") else letters / LETTERS_A_TOKEN
    return replace(one, cached=calls * shared)


def _table(
    recipe: BuildRecipe, stories: int, planned: list[Planned], rows: dict[str, float], pilot: Path | None
) -> str:
    lines = [
        f"{recipe.name}: {stories:,} stories, "
        + (f"rates from the pilot in {pilot}" if pilot else "rates assumed (give --pilot DIR for measured ones)"),
        f"{'stage':<12}{'units':>12}{'calls':>12}{'read':>10}{'cached':>10}{'written':>10}{'disk':>10}{'hours':>9}",
    ]
    columns = ("calls", "read", "cached", "written", "bytes", "seconds")
    sums = dict.fromkeys(columns, 0.0)
    for one in planned:
        found = {column: one.total(column) for column in columns}
        for column in columns:
            sums[column] += found[column]
        lines.append(_line(one.stage, f"{one.units:,.0f}", found))
    lines.append(_line("all", "", sums))
    situated = rows["rewriting"]
    lines.append(
        f"gives about {rows['labels']:,.0f} context-less rows and {situated:,.0f} situations ({2 * situated:,.0f} "
        "contextual rows, original and rewritten), before validation and deduplication"
    )
    if pilot:
        lines.append(f"{sums['seconds'] / 3600:,.1f} hours on the pilot's machine")
    lines.append(PAPER)
    return "\n".join(lines)


def _line(name: str, units: str, found: dict[str, float]) -> str:
    hours = f"{found['seconds'] / 3600:,.1f}" if found["seconds"] else "?"
    tokens = "".join(f"{_short(found[column]):>10}" for column in ("read", "cached", "written"))
    return f"{name:<12}{units:>12}{found['calls']:>12,.0f}{tokens}{_short(found['bytes']) + 'B':>10}{hours:>9}"


def _short(value: float) -> str:
    """A number of tokens or bytes in three digits."""
    for unit in ("", "K", "M", "G"):
        if abs(value) < 1000:
            return f"{value:.3g}{unit}"
        value /= 1000
    return f"{value:.3g}T"
