"""Describes given texts: the build engine collects the teacher's answers, which become the config `descriptors`.

The state on disk is that of a build with one stage: `run.json` records what the rows depend on, `narratives/` contains
the texts or their phrases, `words/` the teacher's raw answers, `embedded/` an encoder's embeddings of the texts, and
`corpus/` the published rows. Changes that only affect the weights need no new calls to the teacher.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.descriptors.merge import CONFIG, check_corpora, reference_to
from dataset_builder.descriptors.phrases import find_phrases, one_line
from dataset_builder.descriptors.recipe import WORD_PROMPTS, TextsRecipe, teacher_part
from dataset_builder.descriptors.sources import Source, first_person_sentences, read_sources
from dataset_builder.descriptors.teacher_scores import read_teacher_scores
from dataset_builder.descriptors.weigh import STAGE, publish
from dataset_builder.descriptors.words import WORDS
from dataset_builder.files.shards import write_json
from dataset_builder.hashing import fingerprint, stable_hash
from dataset_builder.inputs import InputError
from dataset_builder.parquet import finished_corpus
from dataset_builder.pipeline.ask import Ask, UnitRejected, prompt_version
from dataset_builder.pipeline.engine import make_room, run_stages, works_here
from dataset_builder.pipeline.stages.descriptors import emotion_words
from dataset_builder.pipeline.stages.likelihood import CONTENT_FREE
from dataset_builder.processes import run_in_own_process
from dataset_builder.recipe import EmbeddedTeacher
from dataset_builder.run_state import RUN, RUNTIME_ONLY, former_run, run_lock
from dataset_builder.schema import Item, Rejected
from dataset_builder.teachers import load_teacher
from dataset_builder.text_hygiene import cleaned, damage_of, first_fault


def describe(
    recipe: TextsRecipe,
    places: list[Path],
    column: str,
    work_dir: Path,
    others: Sequence[Path] = (),
    limit: int | None = None,
    stories: Sequence[Path] = (),
    judged: Sequence[Path] = (),
) -> bool:
    """Describe the texts of all places, or resume an earlier run.

    Args:
        stories: files of stories; their first-person sentences are added to the texts.
        others: corpora whose train and validation rows are published too, with their own descriptors.
        judged: work folders in which a larger teacher scored some of the whole texts; for `describer: cues`.
        limit: the maximum number of texts, drawn by hash; a smaller draw is a subset of a larger draw.

    Returns:
        False if everything was already finished.

    Raises:
        InputError: bad texts, no teacher, or a work folder that belongs to another run.
    """
    sources = read_sources([*places, *stories], column)
    sentences = [first_person_sentences(source, recipe.spoken, recipe.seed) for source in sources[len(places) :]]
    sources = [*sources[: len(places)], *sentences]
    check_corpora(others, CONFIG)
    if judged and recipe.describer != "cues":
        raise InputError(f"recipe '{recipe.name}', describer: {recipe.describer}: --judged needs 'describer: cues'.")
    with run_lock(work_dir):
        corpus = finished_corpus(work_dir, STAGE)
        texts, rejected = _choose(sources, recipe, limit)
        asked = _phrases(texts, recipe) if recipe.describer == "cues" else texts
        run = _open_run(work_dir, recipe, texts, asked)
        prepared = recipe.model_copy(update={"words": tuple(run["words"])})
        run_stages(prepared, _by_length(asked, recipe.executor.shards), (WORDS,), work_dir)
        larger = [read_teacher_scores(place, run["words"], recipe.weights) for place in judged]
        left_out: dict[str, Any] = {"executor": True, "teacher": set(RUNTIME_ONLY)}
        manifest = {
            "stage": STAGE,
            "recipe": recipe.name,
            "recipe_hash": fingerprint(recipe.model_dump(mode="json", exclude=left_out)),
            "teacher": run["teacher"],
            "prompt_version": fingerprint(run["prompts"]),
            "prompts": run["prompts"],
            "seed": recipe.seed,
            "weights": recipe.weights.model_dump(mode="json"),
            **({"cues": recipe.cues.model_dump(mode="json")} if recipe.describer == "cues" else {}),
            "words": run["words"],
            "sources": {source.name: source.as_json() for source in sources},
            "with": [reference_to(other) for other in others],
            **({"judged": [scores.reference for scores in larger]} if larger else {}),
        }
        if corpus and manifest.items() <= corpus.items():
            return False
        publish(prepared, work_dir, texts, others, larger, manifest, rejected)
        return True


def _choose(sources: list[Source], recipe: TextsRecipe, limit: int | None) -> tuple[list[Item], list[Rejected]]:
    """Return the texts to describe and the rejected texts: blank, faulty and duplicate texts."""
    kept: list[Item] = []
    rejected: list[Rejected] = []
    seen: set[str] = set()
    for text in (text for source in sources for text in source.texts):
        text = text.model_copy(update={"text": cleaned(text.text)})
        line = one_line(text.text)
        broken = damage_of(text.text) or damage_of(text.id, one_line=True)
        reason = "broken" if broken else first_fault(text.text)
        reason = reason or ("blank" if not line else "twin" if line in seen else None)
        if reason:
            rejected.append(Rejected.of(text.id, "texts", reason, text.text))
        else:
            seen.add(line)
            kept.append(text)
    if not kept:
        raise InputError("all texts are blank or invalid. Pass other texts with --texts.")
    kept.sort(key=lambda text: (stable_hash(recipe.seed, "limit", text.text), text.id))
    return kept[:limit], rejected


def _phrases(texts: list[Item], recipe: TextsRecipe) -> list[Item]:
    """Return the phrases that the texts share, each as an item for the teacher."""
    found = find_phrases([text.text for text in texts], recipe.cues)
    if not found:
        raise InputError(f"{len(texts)} texts share no phrase. Lower cues.in_texts, or pass more texts.")
    return [Item(id=f"cue/{number:06d}", text=phrase, fields={"source": "cues"}) for number, phrase in enumerate(found)]


def _by_length(items: list[Item], shards: int) -> list[Item]:
    """Give each shard items of all lengths, sorted by length: batches of similar lengths need little padding.

    The longest items come first, so that a run that does not fit into memory fails at once.
    """
    ordered = sorted(items, key=lambda item: -len(item.text))
    return [item for shard in range(shards) for item in ordered[shard::shards]]


def _open_run(work_dir: Path, recipe: TextsRecipe, texts: list[Item], asked: list[Item]) -> dict[str, Any]:
    """Return the state of this run with the words to score: write it, or read it and compare it with the recipe.

    Raises:
        InputError: the folder belongs to another run.
    """
    # Prompts are recorded by stage and name, so that an earlier run with the same prompts can be resumed.
    prompts = {f"{WORDS.name}/{prompt}": f"{WORD_PROMPTS}/{prompt}" for prompt in recipe.prompts}
    if recipe.describer == "generated":
        prompts = {"descriptors_generated": "descriptors_generated"}
    run: dict[str, Any] = {
        "recipe": teacher_part(recipe),
        "shards": recipe.executor.shards,
        "teacher": recipe.teacher.name,
        "prompts": {name: prompt_version(file) for name, file in prompts.items()},
        "texts": fingerprint(sorted([text.id, text.text] for text in texts)),
    }
    if recipe.describer == "cues":
        run["cues"] = fingerprint([phrase.text for phrase in asked])
    if before := former_run(work_dir, run, (WORDS.name,)):
        return before
    words = () if recipe.describer == "generated" else _ask_which_words(recipe)
    run["words"] = list(words)
    write_json(work_dir / RUN, run)
    return run


def _ask_which_words(recipe: TextsRecipe) -> tuple[str, ...]:
    """Ask the teacher for the certain words, in this process if it is the only worker, else in a temporary process."""
    if isinstance(recipe.teacher, EmbeddedTeacher):
        make_room(recipe, recipe.executor.shards)
        if not works_here(recipe):
            return run_in_own_process(certain_words, recipe)
    return certain_words(recipe)


def certain_words(recipe: TextsRecipe) -> tuple[str, ...]:
    """Return the words whose first token, after content-free texts, implies the rest: one forward pass scores them.

    Raises:
        InputError: the teacher failed, or no word is left.
    """
    words = recipe.words or emotion_words()
    certain = asyncio.run(_certainties(words, recipe))
    kept = tuple(word for word, sure in zip(words, certain, strict=True) if sure >= recipe.certain_at)
    if not kept:
        raise InputError(f"certain_at {recipe.certain_at}: no word is left (the highest value is {certain.max():.2f}).")
    return kept


async def _certainties(words: tuple[str, ...], recipe: TextsRecipe) -> np.ndarray:
    teacher = load_teacher(recipe.teacher)
    ask = Ask(teacher, recipe.seed, WORDS.name, "content-free", {})
    try:
        prompts = [f"{WORD_PROMPTS}/{prompt}" for prompt in recipe.prompts]
        found = [await ask.continuation_probabilities(prompt, words, CONTENT_FREE) for prompt in prompts]
    except UnitRejected as rejected:
        raise InputError(f"the teacher {teacher.name} failed: {rejected.reason} {rejected.text}") from None
    finally:
        await teacher.close()
    return np.asarray(np.mean(found, axis=0))
