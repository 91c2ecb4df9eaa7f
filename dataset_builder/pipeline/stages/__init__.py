"""The stages of each way of making utterances, in order. Each is one async function: a row and its item in, rows out.

Whatever the way, the last rows are in the same folders: `labels` (config contextless), `rewriting` (contextual) and
`descriptors`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataset_builder.pipeline.stages import (
    characters,
    cleaning,
    context,
    descriptors,
    labels,
    quoted,
    rewriting,
    utterances,
    written,
)
from dataset_builder.run_state import NARRATIVES
from dataset_builder.schema import CharacterRow, Item, LabelledRow, QuotedRow, Row, SituatedRow, UtteranceRow


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
_CONTEXT = tuple(f"recipe.situations.{key}" for key in ("share", "context", "brief"))
# `labels.judges` only affects the corpus.
_LABELS = tuple(f"recipe.labels.{key}" for key in ("labeler", "decoding", "keep_at", "temperature", "examples"))
# fmt: off
STAGES = (
    Stage("characters", NARRATIVES, Item, characters.run,
          depends_on=("recipe.seed", "recipe.characters", "prompts.characters")),
    Stage("utterances", "characters", CharacterRow, utterances.run,
          depends_on=("recipe.utterances", *_TEXT_CHECKS, "prompts.utterances_list", "prompts.utterances_single")),
    Stage("labels", "utterances", UtteranceRow, labels.run,
          depends_on=(*_LABELS, "prompts.labels_likelihood", "prompts.labels_verbalised")),
    Stage("descriptors", "utterances", UtteranceRow, descriptors.run, descriptors.selects,
          depends_on=("recipe.descriptors", "prompts.labels_likelihood", "prompts.descriptors_generated")),
    Stage("context", "labels", LabelledRow, context.run, context.selects,
          depends_on=(*_CONTEXT, "recipe.resolve", "prompts.context")),
    Stage("cleaning", "context", SituatedRow, cleaning.run,
          depends_on=("recipe.situations.cleaning", "prompts.cleaning")),
    Stage("rewriting", "cleaning", SituatedRow, rewriting.run,
          depends_on=("recipe.situations.rewriting", "prompts.rewriting")),
)
WRITTEN_STAGES = (
    Stage("labels", NARRATIVES, Item, written.labels, written.has_no_context, depends_on=("recipe.utterances",)),
    Stage("rewriting", NARRATIVES, Item, written.situation, written.has_context, depends_on=("recipe.utterances",)),
    Stage("descriptors", NARRATIVES, Item, written.descriptors, written.has_descriptors,
          depends_on=("recipe.utterances",)),
)
QUOTED_STAGES = (
    Stage("utterances", NARRATIVES, Item, quoted.run, depends_on=("recipe.utterances", "recipe.quotations")),
    Stage("labels", "utterances", QuotedRow, quoted.labels),
    Stage("rewriting", "utterances", QuotedRow, quoted.situation, quoted.has_situation),
)
# fmt: on


def stages_of(mode: str) -> tuple[Stage, ...]:
    """Return the stages of a way of making utterances (`utterances.mode` in recipes)."""
    return {"written": WRITTEN_STAGES, "collected": WRITTEN_STAGES, "quoted": QUOTED_STAGES}.get(mode, STAGES)


def stages_of_run(run: Mapping[str, Any]) -> tuple[Stage, ...]:
    """Return the stages of a build by its run.json. Other runs, such as describe-texts, have stages of their own."""
    recipe = run.get("recipe")
    return stages_of(recipe["utterances"]["mode"] if isinstance(recipe, dict) and "utterances" in recipe else "list")
