"""Texts for emotion words, or situations for remarks: words in, what the teacher writes, a published config out.

State on disk is that of a build with one stage, as in texts/describe.py: `narratives/` holds what is asked for,
`writing/` what the teacher wrote. Texts become the config `descriptors`, the word that a text was asked for being its
descriptor of weight 1; situations (texts/situations.py) become the config `contextual`.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dataset_builder.ask import prompt_version, stable_hash
from dataset_builder.engine import MANIFEST, read_manifest, rows_of, run_stages, write_narratives
from dataset_builder.inputs import InputError, fingerprint
from dataset_builder.publish import CORPUS
from dataset_builder.schema import Descriptor, DescriptorsRow, Narrative, PublishedRow, WrittenRow
from dataset_builder.shards import held, read_json, write_json
from dataset_builder.stages import WRITING
from dataset_builder.stages.descriptors import emotion_words
from dataset_builder.teachers import load_teacher
from dataset_builder.texts import situations
from dataset_builder.texts.work import (
    ANY_TIME,
    CONFIG,
    PLACES,
    RUN,
    check_others,
    named,
    publish_rows,
    rows_of_others,
    run_before,
)
from dataset_builder.texts.writing_recipe import FOLDER, WritingRecipe


def write(recipe: WritingRecipe, work_dir: Path, others: Sequence[Path] = ()) -> bool:
    """Have everything written that the recipe asks for; what a former run of it made is not made again.

    Args:
        others: corpora whose rows of the same config are published along, in their splits.

    Returns:
        False when everything was there already.

    Raises:
        InputError: no teacher, nothing written, or a work folder that belongs to another recipe.
    """
    config = "contextual" if recipe.writes == "situations" else CONFIG
    check_others(others, config)
    with held(work_dir / "run.lock", f"{work_dir}: another run is at work in it"):
        said = _claim(recipe, work_dir) | {"validation": recipe.validation}
        if others:
            said["with"] = [named(other) for other in others]
        done = work_dir / CORPUS / MANIFEST
        if done.exists() and said.items() <= read_json(done).items():
            return False
        asked = situations.asked_for(recipe) if recipe.writes == "situations" else asked_for(recipe)
        write_narratives(asked, work_dir, recipe.executor.shards)
        run_stages(recipe, work_dir, (WRITING.name,))
        _publish(config, recipe, work_dir, said, others)
        return True


def asked_for(recipe: WritingRecipe) -> list[Narrative]:
    """What the teacher is asked: every word, by every prompt, so many times.

    Turn by turn, so that the first so many are of all words; prompts follow one another, so that batches are of one.
    The word stands for a story's text, its prompt for the title, its topic for the source.
    """
    words = recipe.words or emotion_words()
    topics = recipe.topics or ("",)
    asked = [(turn, prompt) for turn in range(recipe.each) for prompt in recipe.prompts]
    return [
        Narrative(
            id=f"{prompt}/{word.replace(' ', '-')}/{turn}",
            title=prompt,
            text=word,
            source=topics[(round_ + index) % len(topics)],  # neighbouring words begin with other ones
        )
        for round_, (turn, prompt) in enumerate(asked)
        for index, word in enumerate(words)
    ]


def _claim(recipe: WritingRecipe, work_dir: Path) -> dict[str, Any]:
    mine = {
        "recipe": recipe.name,
        "recipe_hash": fingerprint(
            recipe.model_dump(mode="json", exclude={"teacher": PLACES} | dict.fromkeys(ANY_TIME, True))
        ),
        "teacher": load_teacher(recipe.teacher).name,
        "prompts": {name: prompt_version(f"{FOLDER}/{name}") for name in recipe.prompts},
        "shards": recipe.executor.shards,
        "seed": recipe.seed,
    }
    before = run_before(work_dir, mine)
    if before is None:
        write_json(work_dir / RUN, mine)
    return before or mine


def _publish(config: str, recipe: WritingRecipe, work_dir: Path, said: dict[str, Any], others: Sequence[Path]) -> None:
    """Write `<work>/corpus`, each text once, in the order of a hash; other corpora's rows follow."""
    written = [
        WrittenRow.model_validate(row)
        for shard in range(recipe.executor.shards)
        for row in rows_of(work_dir / WRITING.name, shard)
    ]
    once: dict[str, WrittenRow] = {}
    for row in written:
        once.setdefault(row.text.lower(), row)
    if not once:
        raise InputError(f"nothing was written; {work_dir}/rejects/{WRITING.name}.jsonl says why.")
    rows = sorted(once.values(), key=lambda row: (stable_hash(recipe.seed, row.text), row.id))
    made: Iterable[tuple[str, PublishedRow]] = (
        situations.contextual_rows(rows, recipe, said)
        if recipe.writes == "situations"
        else _described_rows(rows, recipe, said)
    )
    rejected = read_manifest(work_dir / WRITING.name)["rejected"]
    split = [*made, *rows_of_others(others, config)]
    publish_rows(split, work_dir, {"stage": "write-texts", **said, "rejected": rejected}, config)


def _described_rows(
    written: Iterable[WrittenRow], recipe: WritingRecipe, said: dict[str, Any]
) -> Iterator[tuple[str, DescriptorsRow]]:
    held_back = recipe.validation * 2**31
    for row in written:
        split = "validation" if stable_hash(recipe.seed, "validation", row.text) < held_back else "train"
        yield (
            split,
            DescriptorsRow(
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
            ),
        )
