"""The stages that ask the teacher, in order. Each is one async function: a row and its story in, rows out."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dataset_builder.descriptors import words, writing
from dataset_builder.pipeline.stages import characters, cleaning, context, descriptors, labels, rewriting, utterances
from dataset_builder.schema import (
    CharacterRow,
    DescribedRow,
    LabelledRow,
    Narrative,
    RewrittenRow,
    Row,
    SituatedRow,
    UtteranceRow,
    WordsRow,
    WrittenRow,
)


@dataclass(frozen=True)
class Stage:
    """A stage: its name is its folder's; it reads the rows in the folder `after` and writes rows of type `writes`.

    `run(row, narrative, ask, recipe)` may raise `UnitRejected`; `selects` says which rows it takes on.
    """

    name: str
    after: str
    reads: type[Row]
    writes: type[Row]
    run: Callable[..., Awaitable[Sequence[Row]]]
    selects: Callable[[Any, Any], bool] = lambda row, recipe: True


STAGES = (
    Stage("characters", "narratives", Narrative, CharacterRow, characters.run),
    Stage("utterances", "characters", CharacterRow, UtteranceRow, utterances.run),
    Stage("labels", "utterances", UtteranceRow, LabelledRow, labels.run),
    Stage("descriptors", "utterances", UtteranceRow, DescribedRow, descriptors.run, descriptors.selects),
    Stage("context", "labels", LabelledRow, SituatedRow, context.run, context.selects),
    Stage("cleaning", "context", SituatedRow, SituatedRow, cleaning.run),
    Stage("rewriting", "cleaning", SituatedRow, RewrittenRow, rewriting.run),
)
# Of texts that are given, and of words that texts are written for (dataset_builder/texts): no part of a build.
WORDS = Stage("words", "narratives", Narrative, WordsRow, words.run)
WRITING = Stage("writing", "narratives", Narrative, WrittenRow, writing.run)
ALONE = (WORDS, WRITING)
