"""Stage 3: soft labels, by one of two labelers, or none yet (`ensemble`: judges label the published rows).

`verbalised` (paper A, Table 15): the teacher writes its five best emotions with levels on a grid of 0.1.
`likelihood`: one forward pass scores all 28 names (stages/likelihood.py).
"""

from dataset_builder.filters.resolve import resolve
from dataset_builder.pipeline.ask import Ask, emotion_list
from dataset_builder.pipeline.replies import scored_labels
from dataset_builder.pipeline.stages.likelihood import likelihood_scores
from dataset_builder.recipe import BuildRecipe
from dataset_builder.schema import Item, LabelledRow, RawLabel, UtteranceRow
from dataset_builder.taxonomy import LABELS

CHOICES = tuple(f" {label}" for label in LABELS)
LOWEST_KEPT = 0.05  # raw likelihood scores below this are not stored


async def run(row: UtteranceRow, story: Item, ask: Ask, recipe: BuildRecipe) -> list[LabelledRow]:
    """Return the utterance with its raw labels, the strongest first."""
    if recipe.labels.labeler == "ensemble":
        return [LabelledRow(**row.model_dump(), raw_labels=(), labeler="none")]
    raw = await raw_labels(row.text, ask, recipe)
    return [LabelledRow(**row.model_dump(), raw_labels=tuple(raw), labeler=recipe.labels.labeler)]


async def raw_labels(text: str, ask: Ask, recipe: BuildRecipe) -> list[RawLabel]:
    """Return the labeler's raw labels for any text, strongest first."""
    if recipe.labels.labeler == "likelihood":
        scores = await likelihood_scores(text, CHOICES, ask, recipe.labels.temperature)
        scored = zip(LABELS, scores, strict=True)
        raw = [RawLabel(label=label, score=score) for label, score in scored if score >= LOWEST_KEPT]
    else:
        raw = await ask.text(
            "labels_verbalised",
            recipe.labels.decoding,
            scored_labels,
            emotions=emotion_list(neutral=True),
            examples=recipe.labels.examples,
            text=text,
        )
    return sorted(raw, key=lambda label: -label.score)  # stable: among equal scores, the teacher's order is kept


def taxonomy_labels(row: LabelledRow, recipe: BuildRecipe) -> list[str]:
    """Return names of the classes that the row expresses, for prompts and checks; if judges follow, what was asked."""
    if recipe.labels.labeler == "ensemble":
        return [row.requested_emotion] if row.requested_emotion in LABELS else []
    scores = resolve(row.raw_labels, recipe.resolve)
    return [label for label, score in zip(LABELS, scores, strict=True) if score >= recipe.labels.keep_at]
