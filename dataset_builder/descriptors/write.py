"""Texts for emotion words: words in, what the teacher writes for each of them, the config `descriptors` out.

State on disk is that of a build with one stage, as in texts/describe.py: `narratives/` holds what is asked for,
`writing/` what the teacher wrote. The descriptor of a text is the word that it was asked for, with weight 1.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dataset_builder.descriptors.work import ANY_TIME, PLACES, RUN, publish_rows, run_before
from dataset_builder.descriptors.writing_recipe import FOLDER, WritingRecipe
from dataset_builder.files.shards import held, read_json, write_json
from dataset_builder.hashing import fingerprint, stable_hash
from dataset_builder.inputs import InputError
from dataset_builder.pipeline.ask import prompt_version
from dataset_builder.pipeline.assemble import CORPUS
from dataset_builder.pipeline.engine import MANIFEST, read_manifest, rows_of, run_stages, write_narratives
from dataset_builder.pipeline.stages import WRITING
from dataset_builder.pipeline.stages.descriptors import emotion_words
from dataset_builder.schema import Descriptor, DescriptorsRow, Narrative, WrittenRow
from dataset_builder.teachers import teacher_name


def write(recipe: WritingRecipe, work_dir: Path) -> bool:
    """Have texts written for all words; what a former run of it made is not made again.

    Returns:
        False when everything was there already.

    Raises:
        InputError: no teacher, nothing written, or a work folder that belongs to another recipe.
    """
    with held(work_dir / "run.lock", f"{work_dir}: another run is at work in it"):
        said = _claim(recipe, work_dir) | {"validation": recipe.validation}
        done = work_dir / CORPUS / MANIFEST
        if done.exists() and said.items() <= read_json(done).items():
            return False
        write_narratives(asked_for(recipe), work_dir, recipe.executor.shards)
        run_stages(recipe, work_dir, (WRITING.name,))
        _publish(recipe, work_dir, said)
        return True


def asked_for(recipe: WritingRecipe) -> list[Narrative]:
    """What the teacher is asked: every word, by every prompt, so many times.

    Turn by turn, so that the first so many are of all words; prompts follow one another, so that batches are of one.
    """
    words = recipe.words or emotion_words()
    return [
        Narrative(id=f"{prompt}/{word.replace(' ', '-')}/{turn}", title=prompt, text=word, source="emotion words")
        for turn in range(recipe.each)
        for prompt in recipe.prompts
        for word in words
    ]


def _claim(recipe: WritingRecipe, work_dir: Path) -> dict[str, Any]:
    mine = {
        "recipe": recipe.name,
        "recipe_hash": fingerprint(
            recipe.model_dump(mode="json", exclude={"teacher": PLACES} | dict.fromkeys(ANY_TIME, True))
        ),
        "teacher": teacher_name(recipe.teacher),
        "prompts": {name: prompt_version(f"{FOLDER}/{name}") for name in recipe.prompts},
        "shards": recipe.executor.shards,
        "seed": recipe.seed,
    }
    before = run_before(work_dir, mine)
    if before is None:
        write_json(work_dir / RUN, mine)
    return before or mine


def _publish(recipe: WritingRecipe, work_dir: Path, said: dict[str, Any]) -> None:
    """Write `<work>/corpus`, each text once, in the order of a hash."""
    once: dict[str, DescriptorsRow] = {}
    for row in _rows(recipe, work_dir, said):
        once.setdefault(row.text.lower(), row)
    rows = sorted(once.values(), key=lambda row: (stable_hash(recipe.seed, row.text), row.id))
    if not rows:
        raise InputError(f"nothing was written; {work_dir}/rejects/{WRITING.name}.jsonl says why.")
    held_back = recipe.validation * 2**31
    split = (
        ("validation" if stable_hash(recipe.seed, "validation", row.text) < held_back else "train", row) for row in rows
    )
    rejected = read_manifest(work_dir / WRITING.name)["rejected"]
    publish_rows(split, work_dir, {"stage": "write-texts", **said, "rejected": rejected})


def _rows(recipe: WritingRecipe, work_dir: Path, said: dict[str, Any]) -> Iterator[DescriptorsRow]:
    for shard in range(recipe.executor.shards):
        for found in rows_of(work_dir / WRITING.name, shard):
            row = WrittenRow.model_validate(found)
            yield DescriptorsRow(
                id=row.id,
                text=row.text,
                character="",
                narrative_id=row.id,
                source="emotion words",
                requested_emotion=row.word,
                teacher=said["teacher"],
                prompt_version=said["prompts"][row.prompt],
                seed=recipe.seed,
                descriptors=[Descriptor(text=row.word, weight=1.0)],
                describer="written",
            )
