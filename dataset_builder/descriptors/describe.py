"""Describes given texts: texts in, the teacher's pass on the engine of the builds, the config `descriptors` out.

State on disk is that of a build with one stage: `run.json` says what the rows follow from, `narratives/` holds the
texts, `words/` what the teacher found, raw, `embedded/` what an encoder made of the texts; `corpus/` is what is
published. What changes the weights alone asks the teacher nothing again.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.descriptors import phrases as cues
from dataset_builder.descriptors.calibration import NEUTRAL, advantages, descriptors, usual_without_content
from dataset_builder.descriptors.embed import embed
from dataset_builder.descriptors.phrases import one_line
from dataset_builder.descriptors.recipe import FOLDER, TextsRecipe
from dataset_builder.descriptors.sources import Source, read_sources, spoken
from dataset_builder.descriptors.teacher_scores import Judgements, read_judgements
from dataset_builder.descriptors.words import log_probabilities
from dataset_builder.descriptors.work import (
    ANY_TIME,
    CONFIG,
    PLACES,
    RUN,
    check_others,
    is_written,
    named,
    publish_rows,
    rows_of_others,
    run_before,
)
from dataset_builder.files.shards import held, read_json, to_line, write_json, write_whole
from dataset_builder.files.text_hygiene import cleaned, damage_of, first_fault, without_surrogates
from dataset_builder.filters.encoder import load_encoder
from dataset_builder.hashing import fingerprint, stable_hash
from dataset_builder.inputs import InputError
from dataset_builder.pipeline.ask import LONGEST_KEPT, Ask, UnitRejected, prompt_version
from dataset_builder.pipeline.assemble import CORPUS
from dataset_builder.pipeline.engine import (
    MANIFEST,
    REJECTS,
    make_room,
    read_manifest,
    rows_of,
    run_stages,
    works_here,
    write_narratives,
)
from dataset_builder.pipeline.stages import WORDS
from dataset_builder.pipeline.stages.descriptors import emotion_words
from dataset_builder.pipeline.stages.likelihood import CONTENT_FREE
from dataset_builder.processes import run_in_own_process
from dataset_builder.recipe import EmbeddedTeacher
from dataset_builder.schema import Descriptor, DescriptorsRow, Narrative, PublishedRow, Rejected, WordsRow
from dataset_builder.teachers import load_teacher, teacher_name

EMBEDDED = "embedded"


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
    """Describe the texts of all places; what a former run of it made is not made again.

    Args:
        stories: narratives whose sentences in the first person are texts too.
        others: corpora whose own descriptors are published along: their train and validation rows, as they are.
        judged: work folders of `likelihood` runs of a larger teacher, on some of the texts; for `describer: cues`.
        limit: at most so many texts, drawn by hash; a smaller draw is a part of a larger one.

    Returns:
        False when everything was there already.

    Raises:
        InputError: bad texts, no teacher, or a work folder that belongs to other texts or another recipe.
    """
    sources = read_sources([*places, *stories], column)
    told = sources[len(places) :]
    sources[len(places) :] = [spoken(source, recipe.spoken, recipe.seed) for source in told]
    check_others(others, CONFIG)
    if judged and recipe.describer != "cues":
        raise InputError(f"recipe '{recipe.name}', describer: {recipe.describer}: --judged goes with cues alone.")
    with held(work_dir / "run.lock", f"{work_dir}: another run is at work in it"):
        texts, rejected = _chosen(sources, recipe, limit)
        asked = texts if recipe.describer != "cues" else _cues(texts, recipe)
        run = _claim(work_dir, recipe, texts, asked)
        write_narratives(_by_length(asked, recipe.executor.shards), work_dir, recipe.executor.shards)
        prepared = recipe.model_copy(update={"words": tuple(run["words"])})
        run_stages(prepared, work_dir, (WORDS.name,))
        judgements = [read_judgements(place, run["words"], recipe.weights) for place in judged]
        said = {
            "recipe": recipe.name,
            "recipe_hash": fingerprint(recipe.model_dump(mode="json", exclude={"executor": True, "teacher": PLACES})),
            "teacher": run["teacher"],
            "prompt_version": fingerprint(run["prompts"]),
            "prompts": run["prompts"],
            "seed": recipe.seed,
            "weights": recipe.weights.model_dump(mode="json"),
            **({"cues": recipe.cues.model_dump(mode="json")} if recipe.describer == "cues" else {}),
            "words": run["words"],
            "sources": {source.name: source.as_json() for source in sources},
            "with": [named(other) for other in others],
            **({"judged": [judgement.said for judgement in judgements]} if judgements else {}),
        }
        done = work_dir / CORPUS / MANIFEST
        if done.exists() and said.items() <= read_json(done).items():
            return False
        publish(prepared, work_dir, texts, np.asarray(run["usual"]), others, judgements, said, rejected)
        return True


# ------------------------------------------------------------------ before the teacher


def _chosen(sources: list[Source], recipe: TextsRecipe, limit: int | None) -> tuple[list[Narrative], list[Rejected]]:
    """The texts to describe, and those that are left out: blank ones, those with a fault, and every text but once."""
    kept: list[Narrative] = []
    rejected: list[Rejected] = []
    seen: set[str] = set()
    for text in (text for source in sources for text in source.texts):
        text = text.model_copy(update={"text": cleaned(text.text)})
        line = one_line(text.text)
        broken = damage_of(text.text) or damage_of(text.id, one_line=True)
        reason = "broken" if broken else first_fault(text.text)
        reason = reason or ("blank" if not line else "twin" if line in seen else None)
        if reason:
            beginning = without_surrogates(text.text[:LONGEST_KEPT])
            rejected.append(Rejected(id=without_surrogates(text.id), stage="texts", reason=reason, text=beginning))
        else:
            seen.add(line)
            kept.append(text)
    if not kept:
        raise InputError("all texts are blank or broken. Give others with --texts.")
    kept.sort(key=lambda text: (stable_hash(recipe.seed, "limit", text.text), text.id))
    return kept[:limit], rejected


def _by_length(texts: list[Narrative], shards: int) -> list[Narrative]:
    """Each shard has texts of all lengths, in their order: batches of like lengths need little padding.

    The longest come first, so that what does not fit into memory fails at once.
    """
    ordered = sorted(texts, key=lambda text: -len(text.text))
    return [text for shard in range(shards) for text in ordered[shard::shards]]


def _cues(texts: list[Narrative], recipe: TextsRecipe) -> list[Narrative]:
    """The cues of texts, each a text of its own to the teacher."""
    found = cues.find_cues([text.text for text in texts], recipe.cues)
    if not found:
        raise InputError(f"{len(texts)} texts have no cue in common. Lower cues.in_texts, or give more texts.")
    return [Narrative(id=f"cue/{number:06d}", title="", text=cue, source="cues") for number, cue in enumerate(found)]


def _claim(work_dir: Path, recipe: TextsRecipe, texts: list[Narrative], asked: list[Narrative]) -> dict[str, Any]:
    """What this run is: the teacher, its words and what is usual of them; written, or read and compared.

    Raises:
        InputError: another run began in the folder.
    """
    prompts = [f"{FOLDER}/{prompt}" for prompt in recipe.prompts]
    mine: dict[str, Any] = {
        "recipe": recipe.model_dump(mode="json", exclude={"teacher": PLACES} | dict.fromkeys(ANY_TIME, True)),
        "shards": recipe.executor.shards,
        "teacher": teacher_name(recipe.teacher),
        "prompts": {
            name: prompt_version(name)
            for name in (["descriptors_generated"] if recipe.describer == "generated" else prompts)
        },
        "texts": fingerprint(sorted([text.id, text.text] for text in texts)),
    }
    if recipe.describer == "cues":
        mine["cues"] = fingerprint([cue.text for cue in asked])
    if before := run_before(work_dir, mine):
        return before
    if (work_dir / WORDS.name).exists():
        raise InputError(f"{work_dir}: holds rows but no {RUN}, so nobody knows of what. Give another --work-dir.")
    words, usual = ((), np.zeros((0, 0))) if recipe.describer == "generated" else _prepared(recipe)
    mine |= {"words": list(words), "usual": usual.round(4).tolist()}
    write_json(work_dir / RUN, mine)
    return mine


def _prepared(recipe: TextsRecipe) -> tuple[tuple[str, ...], np.ndarray]:
    """Asks the teacher where it may stay: in this process if that does the work, else in one that ends with it."""
    if isinstance(recipe.teacher, EmbeddedTeacher):
        make_room(recipe, recipe.executor.shards)
        if not works_here(recipe):
            return run_in_own_process(_prepare, recipe)
    return _prepare(recipe)


def _prepare(recipe: TextsRecipe) -> tuple[tuple[str, ...], np.ndarray]:
    return asyncio.run(prepare(recipe))


async def prepare(recipe: TextsRecipe) -> tuple[tuple[str, ...], np.ndarray]:
    """The words that this teacher's first tokens tell, and what is usual of them without content (prompts, words).

    Raises:
        InputError: the teacher fails already here, or no word is left.
    """
    teacher = load_teacher(recipe.teacher)
    words = recipe.words or emotion_words()
    ask = Ask(teacher, recipe.seed, WORDS.name, "content-free", {})
    try:
        certain = np.mean(
            [await ask.continuation_probabilities(f"{FOLDER}/{p}", words, CONTENT_FREE) for p in recipe.prompts], axis=0
        )
        kept = tuple(word for word, sure in zip(words, certain, strict=True) if sure >= recipe.certain_at)
        if not kept:
            raise InputError(f"certain_at {recipe.certain_at}: no word is left (the highest: {certain.max():.2f}).")
        asked = (log_probabilities(text, kept, recipe.prompts, ask) for text in CONTENT_FREE)
        found = np.array(await asyncio.gather(*asked))
    except UnitRejected as rejected:
        raise InputError(f"the teacher {teacher.name} failed: {rejected.reason} {rejected.text}") from None
    finally:
        await teacher.close()
    return kept, usual_without_content(found, kept)


# ------------------------------------------------------------------ after it


def publish(
    recipe: TextsRecipe,
    work_dir: Path,
    texts: list[Narrative],
    usual: np.ndarray,
    others: Sequence[Path],
    judgements: Sequence[Judgements],
    said: dict[str, Any],
    rejected: list[Rejected],
) -> None:
    """Write `<work>/corpus` from what the teacher said.

    Rows are in the order of a hash of their texts: the first so many are a sample of all.
    """
    by_text = {text: strength for judged in judgements for text, strength in judged.by_text.items()}
    speak = _speaking(recipe, work_dir, usual, by_text) if recipe.describer == "cues" else None
    described = _by_cues(texts, speak, by_text, recipe) if speak else _described(recipe, work_dir, usual)
    along = _along(others, speak, recipe, rejected)
    made = (_row(text, found, recipe, said) for text, found in described if found or _unclear(text, rejected))
    rows = sorted(made, key=lambda row: (stable_hash(recipe.seed, row.text), row.id))
    own = {one_line(row.text) for row in rows}
    along = [(part, row) for part, row in along if one_line(row.text) not in own]
    write_whole(work_dir / REJECTS / "texts.jsonl", (to_line(reject.model_dump()) for reject in rejected))
    if not rows:
        raise InputError(f"no text was described; {work_dir / REJECTS}/*.jsonl say why.")
    split: list[tuple[str, PublishedRow]] = [
        ("validation" if _drawn(one_line(row.text), "validation", recipe.validation, recipe) else "train", row)
        for row in rows
    ]
    split += along
    reasons = Counter(reject.reason for reject in rejected)
    manifest = {
        "stage": "describe-texts",
        **said,
        "descriptors_per_text": round(sum(len(row.descriptors) for row in rows) / len(rows), 3),
        "rejected": dict(sorted((reasons + Counter(read_manifest(work_dir / WORDS.name)["rejected"])).items())),
    }
    publish_rows(split, work_dir, manifest)


Described = Iterator[tuple[Narrative, list[Descriptor]]]
Speak = Callable[[list[str]], np.ndarray]  # texts in, how strongly they speak for each word out, (texts, words)


def _described(recipe: TextsRecipe, work_dir: Path, usual: np.ndarray) -> Described:
    """The texts that the teacher was asked about, each with its descriptors; none where no word stands out."""
    rows = list(_rows(recipe, work_dir))
    if recipe.describer == "generated":
        for row, _ in rows:
            yield _text(row), [Descriptor(text=text, weight=1.0) for text in row.written[: recipe.weights.most]]
    elif rows:
        found = np.stack([found for _, found in rows])
        standing_out = advantages(found, [row.text for row, _ in rows], usual, recipe.weights)
        for (row, _), advantage in zip(rows, standing_out, strict=True):
            yield _text(row), descriptors(advantage, recipe.words, recipe.weights)


def _speaking(recipe: TextsRecipe, work_dir: Path, usual: np.ndarray, judged: Mapping[str, np.ndarray]) -> Speak:
    """What says how strongly texts speak for each word: by their cues, and as a whole to an encoder and a teacher.

    Raises:
        InputError: the teacher answered for no cue.
    """
    rows = list(_rows(recipe, work_dir))
    if not rows:
        raise InputError(f"the teacher answered for no cue; {work_dir / REJECTS}/{WORDS.name}.jsonl says why.")
    said = [row.text for row, _ in rows]
    teachers = advantages(np.stack([found for _, found in rows]), said, usual, recipe.weights)
    similar = _similarities(recipe, work_dir)
    strength = cues.strengths(teachers, similar(said) if recipe.cues.encoder_share else None, recipe.cues)

    def speak(lines: list[str]) -> np.ndarray:
        whole = similar(lines) if recipe.cues.whole else None
        found = cues.of_texts(strength, said, lines, whole, recipe.cues)
        return cues.with_judgements(found, lines, judged, recipe.cues)

    return speak


def _similarities(recipe: TextsRecipe, work_dir: Path) -> Speak:
    """Gives an encoder's cosines of texts with the words, (texts, words); it is loaded when it is asked first."""
    name, wheel = recipe.cues.encoder, recipe.cues.wheel

    @cache
    def words() -> np.ndarray:
        return load_encoder(name, wheel)([recipe.cues.label.replace("{word}", word) for word in recipe.words])

    def similar(lines: list[str]) -> np.ndarray:
        encoder = load_encoder(name, wheel)
        return np.asarray(embed(lines, f"{name}@{encoder.revision}", encoder, work_dir / EMBEDDED) @ words().T)

    return similar


def _by_cues(texts: list[Narrative], speak: Speak, judged: Mapping[str, np.ndarray], recipe: TextsRecipe) -> Described:
    """The texts that were judged and a share of the others, each with the descriptors that it speaks for.

    Some of those without any are neutral.
    """
    share = recipe.cues.share
    taken = [text for text in texts if one_line(text.text) in judged or _drawn(text.text, "unjudged", share, recipe)]
    for text, strength in zip(taken, speak([text.text for text in taken]), strict=True):
        made = cues.descriptors(strength, recipe.words, recipe.cues)
        if not made and _drawn(text.text, NEUTRAL, recipe.cues.neutral_share, recipe):
            made = [Descriptor(text=NEUTRAL, weight=1.0)]
        yield text, made


def _drawn(text: str, purpose: str, share: float, recipe: TextsRecipe) -> bool:
    """Whether a text is of a share, by its hash."""
    return stable_hash(recipe.seed, purpose, text) < share * 2**31


def _along(
    others: Sequence[Path], speak: Speak | None, recipe: TextsRecipe, rejected: list[Rejected]
) -> list[tuple[str, PublishedRow]]:
    """Rows of other corpora but those of test splits; texts written for a word are judged as our own are."""
    rows = [(part, row) for part, row in rows_of_others(others, CONFIG) if part != "test"]
    written = [row.text for _, row in rows if is_written(row)]
    if speak is None or not recipe.cues.requested or not written:
        return rows
    strengths = iter(speak(written))
    judged: list[tuple[str, PublishedRow]] = []
    for part, row in rows:
        if is_written(row):
            strength = next(strengths)
            if row.requested_emotion in recipe.words:
                strength[recipe.words.index(row.requested_emotion)] += recipe.cues.requested
            made = cues.descriptors(strength, recipe.words, recipe.cues)
            if not made:
                rejected.append(Rejected(id=row.id, stage=CONFIG, reason="unfit", text=row.text[:LONGEST_KEPT]))
                continue
            row = row.model_copy(update={"descriptors": made})
        judged.append((part, row))
    return judged


def _text(row: WordsRow) -> Narrative:
    return Narrative(id=row.id, title="", text=row.text, source=row.source)


def _unclear(text: Narrative, rejected: list[Rejected]) -> bool:
    rejected.append(Rejected(id=text.id, stage=CONFIG, reason="unclear", text=text.text[:LONGEST_KEPT]))
    return False


def _row(text: Narrative, found: list[Descriptor], recipe: TextsRecipe, said: dict[str, Any]) -> DescriptorsRow:
    return DescriptorsRow(
        id=text.id,
        text=text.text,
        character="",
        narrative_id=text.id,  # a text of its own has no siblings
        source=text.source,
        requested_emotion="",
        teacher=said["teacher"],
        prompt_version=said["prompt_version"],
        seed=recipe.seed,
        descriptors=found,
        describer=recipe.describer,
    )


def _rows(recipe: TextsRecipe, work_dir: Path) -> Iterator[tuple[WordsRow, np.ndarray]]:
    """The texts, each with its log-probabilities (prompts, words): 3 KB a text in memory for all prompts."""
    for shard in range(recipe.executor.shards):
        for row in rows_of(work_dir / WORDS.name, shard):
            found = np.asarray(row.pop("found"), dtype=np.float32)
            yield WordsRow.model_validate(row), found
