"""Estimates the cost of a recipe before it is built: calls, tokens, storage and, with a pilot, hours.

A pilot is a finished build of the same recipe on a few stories; its cost per unit of each stage is extrapolated.
Without a pilot, the estimate uses the paper's numbers (15 characters per story) and typical lengths, and has no hours.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from dataset_builder.files.shards import read_model
from dataset_builder.inputs import InputError
from dataset_builder.narratives import read_narratives
from dataset_builder.parquet import CORPUS, MANIFEST
from dataset_builder.pipeline.ask import PROMPTS, emotion_list, load_prompt
from dataset_builder.pipeline.progress import elapsed
from dataset_builder.pipeline.stages import STAGES, Stage
from dataset_builder.pipeline.status import read_stage
from dataset_builder.recipe import BuildRecipe, EndpointTeacher, NoTeacher
from dataset_builder.run_state import NARRATIVES, RUN

PAPER = "the paper: 700K calls and 450 H100-hours for 300K context-less and 100K contextual examples (2,000 stories)"
CHARACTERS_PER_STORY = 15  # paper A; standard deviation 9.4
STORY_TOKENS, TEXT_TOKENS = 900, 60  # a synopsis of about 700 words; an utterance or a situation
LETTERS_PER_TOKEN = 4
OPEN_VOCABULARY_CALLS = 24  # a server scores 128 tokens per call; words that share their first token need further calls
# Tokens written per call, and compressed bytes per row in the stage's folder: rough values from our own runs.
WRITTEN = {"characters": 100, "labels": 1, "descriptors": 1, "context": 90, "cleaning": 80, "rewriting": 30}
UTTERANCE_TOKENS, ANSWER_TOKENS = 22, 40  # one utterance; a written list of labels or descriptors
BYTES_PER_ROW = {
    "characters": 60, "utterances": 120, "labels": 300, "descriptors": 250, "context": 500, "cleaning": 500,
    "rewriting": 550,
}  # fmt: skip
Rates = dict[str, float]  # cost of one unit of a stage, and the number of `rows` it yields
COLUMNS = ("calls", "read", "cached", "written", "bytes", "seconds")


class BuiltRun(BaseModel):
    """The recipe in a pilot's run.json."""

    recipe: dict[str, Any]


def plan(recipe: BuildRecipe, pilot: Path | None) -> str:
    """Return the plan as a table for people.

    Raises:
        InputError: the pilot is not finished, or was built with another recipe (narratives and executor may differ).
    """
    if isinstance(recipe.teacher, NoTeacher):
        return f"{recipe.name}: no stage calls a teacher, so there is nothing to plan. Its build takes minutes."
    wanted = recipe.narratives
    counted = wanted.limit is not None and wanted.sources != ("tales",)
    stories = (wanted.limit or 0) * len(wanted.sources) if counted else len(read_narratives(wanted))
    rates = _pilot_rates(recipe, pilot) if pilot else {stage.name: _assumed_rates(stage, recipe) for stage in STAGES}
    lines = [
        f"{recipe.name}: {stories:,} stories, "
        + (f"rates from the pilot in {pilot}" if pilot else "assumed rates (pass --pilot DIR to use measured rates)"),
        f"{'stage':<12}{'units':>12}{'calls':>12}{'read':>10}{'cached':>10}{'written':>10}{'disk':>10}{'hours':>9}",
    ]
    rows: dict[str, float] = {NARRATIVES: stories}
    sums = dict.fromkeys(COLUMNS, 0.0)
    for stage in STAGES:
        units = rows[stage.after] * _share(stage, recipe)
        rows[stage.name] = units * rates[stage.name]["rows"]
        takes = {column: units * rates[stage.name][column] for column in COLUMNS}
        sums = {column: sums[column] + takes[column] for column in COLUMNS}
        lines.append(_line(stage.name, f"{units:,.0f}", takes))
    lines.append(_line("all", "", sums))
    situated = rows["rewriting"]
    lines.append(
        f"gives about {rows['labels']:,.0f} context-less rows and {situated:,.0f} situations ({2 * situated:,.0f} "
        "contextual rows, original and rewritten), before validation and deduplication"
    )
    if pilot:
        lines.append(f"{sums['seconds'] / 3600:,.1f} hours on the pilot's machine")
    return "\n".join([*lines, PAPER])


def _share(stage: Stage, recipe: BuildRecipe) -> float:
    """Return the share of the previous stage's rows that a stage reads."""
    return {"context": recipe.situations.share, "descriptors": recipe.descriptors.share}.get(stage.name, 1.0)


def _pilot_rates(recipe: BuildRecipe, pilot: Path) -> dict[str, Rates]:
    if not (pilot / CORPUS / MANIFEST).exists():
        raise InputError(f"{pilot}: contains no finished build. Build the recipe there on a few stories (--limit 5).")
    built = read_model(pilot / RUN, BuiltRun).recipe
    asked = recipe.model_dump(mode="json", exclude={"narratives", "executor"})
    differs = [part for part in asked if part not in ("name", "teacher", "split") and asked[part] != built.get(part)]
    for key in ("kind", "model"):
        if asked["teacher"].get(key) != built.get("teacher", {}).get(key):
            differs.append(f"teacher.{key}")
    if differs:
        raise InputError(
            f"{pilot}: was built with another recipe (which differs in {', '.join(differs)}). Build a new pilot."
        )
    made = {stage.name: read_stage(pilot, stage.name) for stage in STAGES}
    # Units wait for each other, also across stages, so a stage's share of the time is its share of the waiting.
    share = elapsed(pilot) / max(sum(stage.busy_seconds for stage in made.values()), 1e-9)
    rates = {}
    for stage in STAGES:
        sums = made[stage.name]
        if not sums.units and _share(stage, recipe):
            raise InputError(f"{pilot}: its stage '{stage.name}' had no units. Build a larger pilot.")
        totals = {
            "rows": sums.rows,
            "calls": sums.calls,
            "read": sums.prompt_tokens,
            "cached": sums.cached_tokens,
            "written": sums.completion_tokens,
            "bytes": sum(path.stat().st_size for path in (pilot / stage.name).glob("*.jsonl.gz")),
            "seconds": share * sums.busy_seconds,
        }
        rates[stage.name] = {name: total / max(sums.units, 1) for name, total in totals.items()}
    return rates


def _assumed_rates(stage: Stage, recipe: BuildRecipe) -> Rates:
    """Return rates from the recipe and the lengths of its prompts, without retries and rejects."""
    single = recipe.utterances.mode == "single"
    prompts = {
        "utterances": "utterances_single" if single else "utterances_list",
        "labels": f"labels_{recipe.labels.labeler}",
        "descriptors": "descriptors_generated" if recipe.descriptors.describer == "generated" else "labels_likelihood",
    }
    prompt = prompts.get(stage.name, stage.name)
    load_prompt(prompt)  # a broken prompt file fails here, not after hours
    letters = len((PROMPTS / f"{prompt}.txt").read_text(encoding="utf-8"))
    # The file has a placeholder where the prompt lists all emotions with their definitions.
    if prompt in ("utterances_list", "labels_verbalised"):
        letters += len(emotion_list(neutral=True))
    instructions = letters / LETTERS_PER_TOKEN
    story = STORY_TOKENS if stage.name in ("characters", "utterances", "context") else TEXT_TOKENS
    each = recipe.utterances.emotional + recipe.utterances.neutral
    rows = {"characters": min(CHARACTERS_PER_STORY, recipe.characters.limit), "utterances": each}.get(stage.name, 1)
    calls = each if single and stage.name == "utterances" else 1
    if stage.name == "descriptors" and prompt == "labels_likelihood" and isinstance(recipe.teacher, EndpointTeacher):
        calls = OPEN_VOCABULARY_CALLS
    written = WRITTEN.get(stage.name, UTTERANCE_TOKENS * each / calls)
    return {
        "rows": rows,
        "calls": calls,
        "read": calls * (instructions + story),
        # The prefix cache holds the story, or the instructions where the text varies.
        "cached": calls * (story if stage.name in ("utterances", "context") else instructions),
        "written": calls * (ANSWER_TOKENS if prompt in ("labels_verbalised", "descriptors_generated") else written),
        "bytes": rows * BYTES_PER_ROW[stage.name],
        "seconds": 0.0,
    }


def _line(name: str, units: str, takes: Rates) -> str:
    hours = f"{takes['seconds'] / 3600:,.1f}" if takes["seconds"] else "?"
    tokens = "".join(f"{_short(takes[column]):>10}" for column in ("read", "cached", "written"))
    return f"{name:<12}{units:>12}{takes['calls']:>12,.0f}{tokens}{_short(takes['bytes']) + 'B':>10}{hours:>9}"


def _short(value: float) -> str:
    """Format a number of tokens or bytes with three digits."""
    for unit in ("", "K", "M", "G"):
        if abs(value) < 1000:
            return f"{value:.3g}{unit}"
        value /= 1000
    return f"{value:.3g}T"
