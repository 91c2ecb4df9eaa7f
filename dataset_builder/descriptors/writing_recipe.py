"""The recipe of a run in which the teacher writes texts for emotion words."""

from typing import Annotated

from pydantic import Field, field_validator

from dataset_builder.pipeline.ask import checked_prompts
from dataset_builder.recipe import Decoding, Positive, Run

FOLDER = "written"  # of the prompt files


class WritingRecipe(Run):
    """The whole recipe; see dataset_builder/recipes/writing/smollm2.yaml.

    Every one of the `words` (those of vocabulary/emotion_words.tsv if none are given) is asked for `each` times by
    every one of the `prompts` (files of dataset_builder/prompts/written/). `validation` is the share of the texts, by
    hash, that the split of that name gets.
    """

    prompts: Annotated[tuple[str, ...], Field(min_length=1)] = ("diary", "because", "moment")
    words: tuple[str, ...] = ()
    each: Positive = 4
    min_words: Positive = 4
    max_words: Positive = 40
    decoding: Decoding = Decoding(max_new_tokens=40, temperature=0.9, top_p=0.95, repetition_penalty=1.0, attempts=2)
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.05

    @field_validator("prompts")
    @classmethod
    def _prompts_are_there(cls, prompts: tuple[str, ...]) -> tuple[str, ...]:
        return checked_prompts(prompts, FOLDER)
