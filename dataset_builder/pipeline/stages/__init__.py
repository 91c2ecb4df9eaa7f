"""The stages that call the teacher, in order. Each is one async function: a row and its story in, rows out."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dataset_builder.pipeline.stages import characters, cleaning, context, descriptors, labels, rewriting, utterances
from dataset_builder.run_state import NARRATIVES
from dataset_builder.schema import CharacterRow, Item, LabelledRow, Row, SituatedRow, UtteranceRow


def every_row(row: Row, recipe: Any) -> bool:
    """Selects all rows."""
    return True


@dataclass(frozen=True)
class Stage:
    """A stage. Its folder has its name; it reads the rows in the folder `after`, of type `reads`.

    `run(row, item, ask, recipe)` returns rows or raises `UnitRejected`; `selects(row, recipe)` returns
    whether the stage processes a row. `depends_on` lists the paths in run.json that its rows depend on, in addition to
    those of earlier stages: if one of them differs, the rows must be generated again.
    """

    name: str
    after: str
    reads: type[Row]
    run: Callable[..., Awaitable[Sequence[Row]]]
    selects: Callable[[Any, Any], bool] = every_row
    depends_on: tuple[str, ...] = ()


# These keys of `quality` are checked as soon as a text is generated; its other keys only affect the corpus.
_TEXT_CHECKS = tuple(f"recipe.quality.{key}" for key in ("min_words", "max_words", "max_context_words", "label_words"))
# fmt: off
STAGES = (
    Stage("characters", NARRATIVES, Item, characters.run,
          depends_on=("recipe.seed", "recipe.characters", "prompts.characters")),
    Stage("utterances", "characters", CharacterRow, utterances.run,
          depends_on=("recipe.utterances", *_TEXT_CHECKS, "prompts.utterances_list", "prompts.utterances_single")),
    Stage("labels", "utterances", UtteranceRow, labels.run,
          depends_on=("recipe.labels", "prompts.labels_likelihood", "prompts.labels_verbalised")),
    Stage("descriptors", "utterances", UtteranceRow, descriptors.run, descriptors.selects,
          depends_on=("recipe.descriptors", "prompts.labels_likelihood", "prompts.descriptors_generated")),
    Stage("context", "labels", LabelledRow, context.run, context.selects,
          depends_on=("recipe.situations.share", "recipe.situations.context", "recipe.resolve", "prompts.context")),
    Stage("cleaning", "context", SituatedRow, cleaning.run,
          depends_on=("recipe.situations.cleaning", "prompts.cleaning")),
    Stage("rewriting", "cleaning", SituatedRow, rewriting.run,
          depends_on=("recipe.situations.rewriting", "prompts.rewriting")),
)
# fmt: on
STAGE_NAMES = tuple(stage.name for stage in STAGES)
