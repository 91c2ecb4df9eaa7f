"""The recipe of a run in which the teacher writes texts for emotion words, or situations for remarks."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from dataset_builder.ask import checked_prompts
from dataset_builder.recipe import Decoding, Positive, Run
from dataset_builder.taxonomy import LABELS

FOLDER = "written"  # of the prompt files


class WritingRecipe(Run):
    """The whole recipe; see dataset_builder/recipes/writing/smollm2.yaml and situations.yaml.

    `texts`: every one of the `words` (those of vocabulary/emotion_words.tsv if none are given) is asked for `each`
    times by every one of the `prompts` (files of dataset_builder/prompts/written/), about one of the `topics` after the
    other where there are some: a larger teacher tells the same thing again if nobody asks for another.

    `situations`: for every remark of vocabulary/open_remarks.txt, which anybody may make with any feeling, `each`
    situations are asked for, in which somebody makes it with one of the `words` (the classes of the taxonomy but
    neutral if none are given). One text with several situations and other labels in each of them teaches, and tests,
    what a situation adds (counterfactually augmented data, Kaushik et al. 2020).

    `validation` is the share that the split of that name gets, by hash of the text or of the remark; of remarks, the
    test split gets as many.
    """

    writes: Literal["texts", "situations"] = "texts"
    prompts: Annotated[tuple[str, ...], Field(min_length=1)] = ("diary", "because", "moment")
    words: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    each: Positive = 4
    min_words: Positive = 4
    max_words: Positive = 40
    decoding: Decoding = Decoding(max_new_tokens=40, temperature=0.9, top_p=0.95, repetition_penalty=1.0, attempts=2)
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.05

    @field_validator("prompts")
    @classmethod
    def _prompts_are_there(cls, prompts: tuple[str, ...]) -> tuple[str, ...]:
        return checked_prompts(prompts, FOLDER)

    @model_validator(mode="after")
    def _situations_have_classes(self) -> "WritingRecipe":
        if self.writes == "situations":
            if other := sorted(set(self.words) - set(LABELS)):
                raise ValueError(f"words {other}: situations are labelled, so give classes of the taxonomy")
            if self.topics:
                raise ValueError("topics: remarks stand in their place; leave them out")
            if self.validation >= 0.5:
                raise ValueError(f"validation {self.validation}: the test split gets as much, so nothing is left")
        return self
