"""The recipes of describe-texts and write-texts. The texts are given on the command line."""

from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from dataset_builder.inputs import Strict
from dataset_builder.pipeline.ask import checked_prompts
from dataset_builder.recipe import AboveZero, Decoding, Positive, Run, Share, ShareOrNone, check_log_probabilities
from dataset_builder.run_state import RUNTIME_ONLY

WORD_PROMPTS, WRITING_PROMPTS = "descriptors", "writing"  # folders of dataset_builder/prompts/
LATER = ("name", "executor", "weights", "cues", "validation")  # keys that do not affect the teacher's answers
_Prompts = Annotated[tuple[str, ...], Field(min_length=1)]
WordPrompts = Annotated[_Prompts, AfterValidator(partial(checked_prompts, folder=WORD_PROMPTS))]
WritingPrompts = Annotated[_Prompts, AfterValidator(partial(checked_prompts, folder=WRITING_PROMPTS))]
HeldOut = Annotated[float, Field(ge=0, lt=1)]  # the share of the texts, by hash, in the split `validation`


def teacher_part(recipe: Run) -> dict[str, Any]:
    """Return the part of a recipe that the teacher's answers depend on."""
    return recipe.model_dump(mode="json", exclude={"teacher": set(RUNTIME_ONLY)} | dict.fromkeys(LATER, True))


class Weights(Strict):
    """Settings that turn log-probabilities into weights (calibration.py). No call to the teacher depends on them.

    `calibration` times a word's usual log-probability (its mean over texts of the same length) is subtracted. The
    result, averaged over the prompts, goes through a softmax with a `temperature`; the strongest word gets weight 1. At
    most `most` words are kept, none below `keep_at`. A text is rejected if no word gains `clear_at` nats.

    The defaults come from 96 unlabelled texts, SmolLM2-135M and the three default prompts. Two prompts agree more on
    words with calibration by length (mean correlation .48) than without it (.43); with calibration on content-free
    texts, as in the stage of a build, `joy` comes first after 72 texts. `temperature` is the standard error of the mean
    over prompts, .06 to .07. With such noise alone, the highest of 250 words would gain .2.
    """

    calibrated_on: Literal["length"] = "length"
    calibration: ShareOrNone = 1.0
    temperature: AboveZero = 0.07
    keep_at: Share = 0.3
    most: Positive = 8
    clear_at: Annotated[float, Field(ge=0)] = 0.25


class Cues(Strict):
    """Settings that turn the teacher's scores of phrases into descriptors of texts (phrases.py).

    An n-gram of 1, 2, 3 … words is a phrase if it occurs in at least as many texts as `in_texts` requires for its
    length. The teacher's advantages and, weighted by `encoder_share`, a sentence encoder's similarities with each word
    (in the place of `{word}` in `label`) are added up as z-scores. A text gets the score of its strongest phrase, plus
    `whole` times the encoder's score of the whole text: phrases work for remarks, the encoder for situations. A text
    gets the words that score at least `clear_at`, at most `most` of them; a score of `full_at` has weight 1. Of the
    texts without any word, `neutral_share` (by hash) become `neutral` and the others are rejected: an encoder that
    learns to put every unclear text in one place forgets what it knew about them. Texts of other corpora that were
    written for a word are scored too; that word gets `requested` more, so that it is kept unless it fits the text
    badly. If a larger teacher has scored some of the whole texts (`--judged`), its score counts `judged` times. Phrases
    are collected from all texts, but of the texts that no larger teacher scored, only a `share` (by hash) is described
    and embedded.

    The values were compared on the first 1,000 rows of GoEmotions' validation split and on a tenth of ISEAR's train
    split (macro-F1 of the descriptors as labels, by a threshold of the same rows and by argmax): `whole` of 0, 0.5, 1,
    1.5, 2, 3 gives .325, .329, .328, .326, .309, .291 and .39, .47, .53, .54, .55, .57 with an `encoder_share` of .7;
    of .5 and .3 it is .318 and .312 instead of .326. MiniLM instead of mpnet, phrases alone: .278 and .41. With the
    scores of Qwen2.5-Coder-1.5B-Instruct, `judged` 1, 2, 3: .61, .62, .63 on ISEAR's; these alone: .64.
    """

    in_texts: Annotated[tuple[Positive, ...], Field(min_length=1)] = (8, 30, 20)
    encoder: str = "sentence-transformers/all-mpnet-base-v2"
    wheel: str | None = None
    label: str = "I feel {word}."
    encoder_share: ShareOrNone = 0.7
    whole: Annotated[float, Field(ge=0)] = 1.5
    clear_at: AboveZero = 4.0
    full_at: AboveZero = 7.0
    most: Positive = 12
    neutral_share: ShareOrNone = 0.1
    requested: Annotated[float, Field(ge=0)] = 3.0
    judged: Annotated[float, Field(ge=0)] = 2.0
    share: ShareOrNone = 1.0

    @field_validator("label")
    @classmethod
    def _label_has_a_place_for_the_word(cls, label: str) -> str:
        if "{word}" not in label:
            raise ValueError(f"'{label}' has no {{word}}, where each emotion word goes")
        return label

    @model_validator(mode="after")
    def _weights_rise(self) -> "Cues":
        if self.full_at <= self.clear_at:
            raise ValueError(f"full_at {self.full_at} must be above clear_at {self.clear_at}")
        return self


class TextsRecipe(Run):
    """The recipe of `describe-texts`; see dataset_builder/recipes/descriptors/smollm2.yaml.

    `describer: likelihood` asks with each of the `prompts` (files of prompts/descriptors/) how probable each emotion
    word is as the next one. The words are those of vocabulary/emotion_words.tsv whose first token, before
    content-free texts, is followed by the rest of the word with a probability of at least `certain_at`: one forward
    pass then scores them. `words` are used instead of that file's, as nouns. `cues` asks the same about the phrases
    that the texts share. `generated` lets the teacher write descriptors, all of weight 1.

    First-person sentences of stories are texts too, at most `spoken` from each place.
    """

    describer: Literal["likelihood", "cues", "generated"] = "likelihood"
    prompts: WordPrompts = ("emotion", "felt", "writer")
    words: tuple[str, ...] = ()
    certain_at: ShareOrNone = 0.5
    weights: Weights = Weights()
    cues: Cues = Cues()
    spoken: Positive = 10000
    decoding: Decoding = Decoding(max_new_tokens=40)
    validation: HeldOut = 0.05

    @model_validator(mode="after")
    def _likelihood_needs_log_probabilities(self) -> "TextsRecipe":
        if self.describer != "generated":
            check_log_probabilities(self.teacher, "describer", self.describer, "generated")
        return self


class WritingRecipe(Run):
    """The recipe of `write-texts`; see dataset_builder/recipes/writing/smollm2.yaml.

    The teacher is asked for each of the `words` (those of vocabulary/emotion_words.tsv if none are given), `each` times
    with each of the `prompts` (files of dataset_builder/prompts/writing/).
    """

    prompts: WritingPrompts = ("diary", "because", "moment")
    words: tuple[str, ...] = ()
    each: Positive = 4
    min_words: Positive = 4
    max_words: Positive = 40
    decoding: Decoding = Decoding(max_new_tokens=40, temperature=0.9, top_p=0.95, repetition_penalty=1.0, attempts=2)
    validation: HeldOut = 0.05
