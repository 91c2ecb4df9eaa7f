"""Free descriptors of an utterance's emotions, for paper B's bi-encoder.

`generated` (as in paper B): the teacher writes any number of words or phrases, all with weight 1.
`likelihood` (ours): the teacher scores the words of vocabulary/emotion_words.tsv, like the labeler of the same name.
Every descriptor then has its own weight and comes from the vocabulary.
"""

from functools import cache
from pathlib import Path

from dataset_builder.files.reading import package_table
from dataset_builder.hashing import is_drawn
from dataset_builder.pipeline.ask import Ask
from dataset_builder.pipeline.replies import descriptors
from dataset_builder.pipeline.stages.likelihood import likelihood_scores
from dataset_builder.recipe import BuildRecipe
from dataset_builder.schema import DescribedRow, Descriptor, Item, UtteranceRow

VOCABULARY = Path(__file__).parents[2] / "vocabulary" / "emotion_words.tsv"


@cache
def emotion_words() -> tuple[str, ...]:
    """Return the open vocabulary, `neutral` last."""
    rows = package_table(VOCABULARY)
    return (*(row["word"] for row in rows if row["word"] != "neutral"), "neutral")


def selects(row: UtteranceRow, recipe: BuildRecipe) -> bool:
    """Return whether this utterance gets descriptors; it is drawn by hash."""
    return is_drawn(recipe.descriptors.share, recipe.seed, "descriptors", row.id)


async def run(row: UtteranceRow, story: Item, ask: Ask, recipe: BuildRecipe) -> list[DescribedRow]:
    """Return the utterance with its descriptors, strongest first."""
    wanted = recipe.descriptors
    if wanted.describer == "generated":
        found = await ask.text("descriptors_generated", wanted.decoding, descriptors, text=row.text)
        made = [Descriptor(text=text, weight=1.0) for text in found]
    else:
        words = emotion_words()
        choices = tuple(f" {word}" for word in words)
        scores = await likelihood_scores(row.text, choices, ask, wanted.temperature, wanted.calibration)
        kept = [(word, score) for word, score in zip(words, scores, strict=True) if score >= wanted.keep_at]
        made = [
            Descriptor(text=word, weight=score) for word, score in sorted(kept, key=lambda pair: (-pair[1], pair[0]))
        ]
    return [DescribedRow(**row.model_dump(), descriptors=tuple(made[: wanted.most]), describer=wanted.describer)]
