"""Writes texts for emotion words: the teacher's texts for each word become the config `descriptors`.

A small teacher writes better than it scores. It only has to continue "I felt a wave of disgust when", and the word
"disgust" becomes the text's descriptor, with weight 1. The state on disk is that of a build with one stage.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from dataset_builder.descriptors.merge import publish_rows, split_by_hash
from dataset_builder.descriptors.recipe import WRITING_PROMPTS, WritingRecipe, teacher_part
from dataset_builder.files.shards import stage_rows, write_json
from dataset_builder.filters.validate import check_form
from dataset_builder.hashing import fingerprint
from dataset_builder.inputs import InputError
from dataset_builder.parquet import finished_corpus, read_manifest
from dataset_builder.pipeline.ask import Ask, prompt_version
from dataset_builder.pipeline.engine import run_stages
from dataset_builder.pipeline.replies import sentence
from dataset_builder.pipeline.stages import Stage
from dataset_builder.pipeline.stages.descriptors import emotion_words
from dataset_builder.run_state import NARRATIVES, REJECTS, RUN, former_run, run_lock
from dataset_builder.schema import Descriptor, DescriptorsRow, Item, WrittenRow
from dataset_builder.teachers.reply_text import BadReply

STAGE = "write-texts"  # the stage's name in manifests
STEM = 5  # leading letters that identify the forms of a word: disgust, disgusting


async def run(word: Item, item: Item, ask: Ask, recipe: WritingRecipe) -> list[WrittenRow]:
    """Return one row. The item's text is the word; its id begins with the name of the prompt.

    Raises:
        UnitRejected: the teacher failed, or wrote no complete sentence without the word.
    """
    prompt = word.id.partition("/")[0]
    made = await ask.text(
        f"{WRITING_PROMPTS}/{prompt}",
        recipe.decoding,
        partial(first_sentence, word=word.text, recipe=recipe),
        stop=("\n",),
        text=word.text,
    )
    return [WrittenRow(id=word.id, text=made, word=word.text, prompt=prompt)]


WRITING = Stage("writing", after=NARRATIVES, reads=Item, run=run)


def first_sentence(reply: str, cut: bool, word: str, recipe: WritingRecipe) -> str:
    """Return the first sentence after the prefilled beginning, with an initial capital.

    Raises:
        BadReply: the sentence is missing, cut off, names the word, or is malformed.
    """
    begun = rf"^.*?\b{re.escape(word)}\b(?: when| because|:)?[\s\"'“]*"
    written = re.sub(begun, "", " ".join(reply.split()), count=1, flags=re.IGNORECASE)
    match = re.match(r"(.+?[.!?…])(?=[\s\"'”]|$)", written)
    if not match and cut:
        raise BadReply("cut_off")
    text = sentence(match[1] if match else written, False)
    if any(part[:STEM] in text.lower() for part in word.split() if len(part) >= STEM - 1):
        raise BadReply("label_word")
    if fault := check_form(text, recipe.min_words, recipe.max_words):
        raise BadReply(fault)
    return text[0].upper() + text[1:]


def write(recipe: WritingRecipe, work_dir: Path) -> bool:
    """Write texts for all words with the teacher, or resume an earlier run.

    Returns:
        False if everything was already finished.

    Raises:
        InputError: no teacher, no text written, or a work folder that belongs to another run.
    """
    with run_lock(work_dir):
        corpus = finished_corpus(work_dir, STAGE)
        run = {
            "recipe": recipe.name,
            "recipe_hash": fingerprint(teacher_part(recipe)),
            "teacher": recipe.teacher.name,
            "prompts": {name: prompt_version(f"{WRITING_PROMPTS}/{name}") for name in recipe.prompts},
            "shards": recipe.executor.shards,
            "seed": recipe.seed,
        }
        if not former_run(work_dir, run, (WRITING.name,)):
            write_json(work_dir / RUN, run)
        manifest = {"stage": STAGE, **run, "validation": recipe.validation}
        if corpus and manifest.items() <= corpus.items():
            return False
        run_stages(recipe, asked_for(recipe), (WRITING,), work_dir)
        _publish(recipe, work_dir, manifest)
        return True


def asked_for(recipe: WritingRecipe) -> list[Item]:
    """Return the requests to the teacher: every word with every prompt, `each` times.

    The words are interleaved, so that a prefix of the list covers all words; each prompt's requests are consecutive, so
    that a batch has one prompt.
    """
    return [
        Item(id=f"{prompt}/{word.replace(' ', '-')}/{turn}", text=word)
        for turn in range(recipe.each)
        for prompt in recipe.prompts
        for word in recipe.words or emotion_words()
    ]


def _publish(recipe: WritingRecipe, work_dir: Path, manifest: dict[str, Any]) -> None:
    """Write `<work>/corpus`, each text once, ordered by a hash."""
    distinct: dict[str, DescriptorsRow] = {}
    for row in _rows(recipe, work_dir, manifest):
        distinct.setdefault(row.text.lower(), row)
    if not distinct:
        raise InputError(f"no text was written; {work_dir / REJECTS}/{WRITING.name}.jsonl lists the reasons.")
    split = split_by_hash(distinct.values(), recipe.validation, recipe.seed)
    publish_rows(split, work_dir, manifest | {"rejected": read_manifest(work_dir / WRITING.name)["rejected"]})


def _rows(recipe: WritingRecipe, work_dir: Path, manifest: dict[str, Any]) -> Iterator[DescriptorsRow]:
    for found in stage_rows(work_dir / WRITING.name, range(recipe.executor.shards)):
        row = WrittenRow.model_validate(found)
        yield DescriptorsRow(
            id=row.id,
            text=row.text,
            narrative_id=row.id,
            source="generated",
            provenance="emotion words",
            requested_emotion=row.word,
            teacher=manifest["teacher"],
            prompt_version=manifest["prompts"][row.prompt],
            seed=recipe.seed,
            descriptors=[Descriptor(text=row.word, weight=1.0)],
            describer="written",
        )
