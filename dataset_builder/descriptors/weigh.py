"""Turns the teacher's answers into published descriptors, without calling the teacher.

`likelihood` and `generated`: the answer for a text yields its descriptors. `cues`: the scores of phrases, an encoder's
cosines and a larger teacher's scores of whole texts are added up for each text (phrases.py).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.descriptors import phrases
from dataset_builder.descriptors.calibration import NEUTRAL, advantages, descriptors
from dataset_builder.descriptors.embed import embed
from dataset_builder.descriptors.merge import CONFIG, SplitRow, corpora_rows, is_written, publish_rows, split_by_hash
from dataset_builder.descriptors.phrases import one_line
from dataset_builder.descriptors.recipe import TextsRecipe
from dataset_builder.descriptors.teacher_scores import TeacherScores
from dataset_builder.descriptors.words import WORDS
from dataset_builder.files.shards import stage_rows, to_line, write_whole
from dataset_builder.filters.encoder import load_encoder
from dataset_builder.hashing import is_drawn
from dataset_builder.inputs import InputError
from dataset_builder.parquet import read_manifest
from dataset_builder.run_state import REJECTS
from dataset_builder.schema import Descriptor, DescriptorsRow, Item, Rejected, WordsRow

STAGE = "describe-texts"  # the stage's name in manifests
EMBEDDED = "embedded"  # the folder of embeddings
Described = Iterator[tuple[Item, list[Descriptor]]]
ScoreTexts = Callable[[list[str]], np.ndarray]  # maps texts to their scores for each word, (texts, words)


def publish(
    recipe: TextsRecipe,
    work_dir: Path,
    texts: list[Item],
    others: Sequence[Path],
    larger: Sequence[TeacherScores],
    manifest: dict[str, Any],
    rejected: list[Rejected],
) -> None:
    """Write `<work>/corpus`. Rows are ordered by a hash of their texts, so the first rows are a random sample.

    Args:
        larger: scores of some of the whole texts by larger teachers.
        rejected: texts that were rejected earlier; texts without descriptors are added to this list.

    Raises:
        InputError: no text has descriptors.
    """
    whole_scores = {text: row for scores in larger for text, row in scores.by_text.items()}
    score = make_scorer(recipe, work_dir, whole_scores) if recipe.describer == "cues" else None
    described = _by_phrases(texts, score, whole_scores, recipe) if score else _by_answers(recipe, work_dir)
    along = _rows_of_others(others, score, recipe, rejected)
    rows = []
    for text, found in described:
        if found:
            rows.append(_row(text, found, recipe, manifest))
        else:
            rejected.append(Rejected.of(text.id, CONFIG, "unclear", text.text))
    write_whole(work_dir / REJECTS / "texts.jsonl", (to_line(reject.model_dump()) for reject in rejected))
    if not rows:
        raise InputError(f"no text was described; {work_dir / REJECTS}/*.jsonl lists the reasons.")
    own = {one_line(row.text) for row in rows}
    split = split_by_hash(rows, recipe.validation, recipe.seed)
    split += ((place, row) for place, row in along if one_line(row.text) not in own)
    reasons = Counter(reject.reason for reject in rejected) + Counter(read_manifest(work_dir / WORDS.name)["rejected"])
    counted = {
        "descriptors_per_text": round(sum(len(row.descriptors) for row in rows) / len(rows), 3),
        "rejected": dict(sorted(reasons.items())),
    }
    publish_rows(split, work_dir, manifest | counted)


def _by_answers(recipe: TextsRecipe, work_dir: Path) -> Described:
    """Yield the texts that the teacher scored, with their descriptors; an empty list if no word stands out."""
    rows = list(_answers(recipe, work_dir))
    if recipe.describer == "generated":
        for item, written, _ in rows:
            yield item, [Descriptor(text=text, weight=1.0) for text in written[: recipe.weights.most]]
    elif rows:
        found = np.stack([scores for _, _, scores in rows])
        gained = advantages(found, [item.text for item, _, _ in rows], recipe.weights)
        for (item, _, _), advantage in zip(rows, gained, strict=True):
            yield item, descriptors(advantage, recipe.words, recipe.weights)


def _by_phrases(
    texts: list[Item], score: ScoreTexts, whole_scores: Mapping[str, np.ndarray], recipe: TextsRecipe
) -> Described:
    """Yield texts with the descriptors that score high enough.

    Includes all texts that a larger teacher scored and a share of the others. Some texts without descriptors become
    neutral.
    """
    share = recipe.cues.share
    taken = [t for t in texts if one_line(t.text) in whole_scores or is_drawn(share, recipe.seed, "unjudged", t.text)]
    for text, scores in zip(taken, score([text.text for text in taken]), strict=True):
        made = phrases.descriptors(scores, recipe.words, recipe.cues)
        if not made and is_drawn(recipe.cues.neutral_share, recipe.seed, NEUTRAL, text.text):
            made = [Descriptor(text=NEUTRAL, weight=1.0)]
        yield text, made


def make_scorer(recipe: TextsRecipe, work_dir: Path, whole_scores: Mapping[str, np.ndarray]) -> ScoreTexts:
    """Return a function that scores texts: by their phrases, and as a whole by an encoder and by larger teachers.

    Raises:
        InputError: the teacher scored no phrase.
    """
    rows = list(_answers(recipe, work_dir))
    if not rows:
        raise InputError(f"the teacher scored no phrase; {work_dir / REJECTS}/{WORDS.name}.jsonl lists the reasons.")
    known = [item.text for item, _, _ in rows]
    teachers = advantages(np.stack([scores for _, _, scores in rows]), known, recipe.weights)
    similar = _similarities(recipe, work_dir)
    scores = phrases.phrase_scores(teachers, similar(known) if recipe.cues.encoder_share else None, recipe.cues)

    def score(texts: list[str]) -> np.ndarray:
        whole = similar(texts) if recipe.cues.whole else None
        found = phrases.text_scores(scores, known, texts, whole, recipe.cues)
        return phrases.with_teacher_scores(found, texts, whole_scores, recipe.cues)

    return score


def _similarities(recipe: TextsRecipe, work_dir: Path) -> ScoreTexts:
    """Return a function that computes an encoder's cosines of texts with words; its first call loads the encoder."""
    name, wheel = recipe.cues.encoder, recipe.cues.wheel

    @cache
    def words() -> np.ndarray:
        return load_encoder(name, wheel)([recipe.cues.label.replace("{word}", word) for word in recipe.words])

    def similar(texts: list[str]) -> np.ndarray:
        encoder = load_encoder(name, wheel)
        return np.asarray(embed(texts, f"{name}@{encoder.revision}", encoder, work_dir / EMBEDDED) @ words().T)

    return similar


def _rows_of_others(
    others: Sequence[Path], score: ScoreTexts | None, recipe: TextsRecipe, rejected: list[Rejected]
) -> list[SplitRow]:
    """Return rows of other corpora without test splits. Texts that were written for a word are scored again."""
    rows = [(place, row) for place, row in corpora_rows(others, CONFIG) if place != "test"]
    written = [row.text for _, row in rows if is_written(row)]
    if score is None or not recipe.cues.requested or not written:
        return rows
    scored = iter(score(written))
    kept: list[SplitRow] = []
    for place, row in rows:
        if is_written(row):
            scores = next(scored)
            if row.requested_emotion in recipe.words:
                scores[recipe.words.index(row.requested_emotion)] += recipe.cues.requested
            made = phrases.descriptors(scores, recipe.words, recipe.cues)
            if not made:
                rejected.append(Rejected.of(row.id, CONFIG, "unfit", row.text))
                continue
            row = row.model_copy(update={"descriptors": made})
        kept.append((place, row))
    return kept


def _row(text: Item, found: list[Descriptor], recipe: TextsRecipe, manifest: dict[str, Any]) -> DescriptorsRow:
    return DescriptorsRow(
        id=text.id,
        text=text.text,
        narrative_id=text.id,  # a given text has no siblings
        source="released",
        provenance=text.fields["source"],
        teacher=manifest["teacher"],
        prompt_version=manifest["prompt_version"],
        seed=recipe.seed,
        descriptors=found,
        describer=recipe.describer,
    )


def _answers(recipe: TextsRecipe, work_dir: Path) -> Iterator[tuple[Item, tuple[str, ...], np.ndarray]]:
    """Yield items with the teacher's written descriptors or log-probabilities (prompts, words); 3 KB per item."""
    for found in stage_rows(work_dir / WORDS.name, range(recipe.executor.shards)):
        scores = np.asarray(found.pop("found"), dtype=np.float32)
        row = WordsRow.model_validate(found)
        yield Item(id=row.id, text=row.text, fields={"source": row.source}), row.written, scores
