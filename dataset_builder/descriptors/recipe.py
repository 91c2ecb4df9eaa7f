"""The recipe of a run that describes given texts. Which texts, the command line says."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from dataset_builder.inputs import Strict
from dataset_builder.pipeline.ask import checked_prompts
from dataset_builder.recipe import Decoding, EndpointTeacher, Positive, Run, Share

FOLDER = "words"  # of the prompt files


class Weights(Strict):
    """From log-probabilities to weights; no call of the teacher depends on it (texts/weights.py).

    What is usual of a word is taken off, `calibration` of it: its mean log-probability over the run's texts (`texts`),
    over those of the same length (`length`), or over content-free ones. What is left, averaged over the prompts, goes
    through a softmax with a `temperature`; the strongest word has weight 1. At most `most` words are kept, none below
    `keep_at`. Texts after which no word stands out by `clear_at` (in nats) are rejected.

    The defaults follow from 96 unlabelled texts, SmolLM2-135M and the three default prompts. Two prompts agree more on
    words (mean correlation .48) with `length` than with `texts` (.43); with `content_free` and a calibration of 0.75,
    as the stage of a build has, `joy` comes first after 72 texts. `temperature` is the standard error of the mean over
    prompts, .06 to .07. By such noise alone, the highest of 250 words would stand out by .2.
    """

    calibrated_on: Literal["length", "texts", "content_free"] = "length"
    calibration: Annotated[float, Field(ge=0, le=1)] = 1.0
    temperature: Annotated[float, Field(gt=0)] = 0.07
    keep_at: Share = 0.3
    most: Positive = 8
    clear_at: Annotated[float, Field(ge=0)] = 0.25


class Cues(Strict):
    """From what a teacher says of cues, runs of words, to descriptors of texts (texts/cues.py).

    A run of 1, 2, 3 … words is a cue where it is in as many of the texts as `in_texts` says for its length. The
    teacher's advantages and, by `encoder_share`, the similarities of a sentence encoder with each word in the place of
    `{word}` in `label` are added up in standard deviations. A text's strongest cue counts, and `whole` times what the
    encoder says of the text as a whole: cues know remarks, the encoder knows situations. A text gets the words that
    reach `clear_at`, at most `most`; `full_at` gives weight 1. Of the texts without any, `neutral_share` (by hash) are
    given as `neutral`, the others rejected: an encoder that learns to put every unclear text in one place forgets what
    it knew of them. Texts of other corpora that were written for a word are judged alike; that word gets `requested`
    more, so that it is kept where what was written speaks for it at all, beside what else the text says. Where a larger
    teacher has judged some of the texts as a whole (`--judged`), its word counts `judged` times. Cues are found in all
    texts, but of those that nobody judged only a `share` (by hash) is described and embedded.

    The values were compared on the first 1,000 rows of GoEmotions' validation split and on a tenth of ISEAR's train
    split (macro-F1 of the descriptors as labels, by a threshold of the same rows and by argmax): `whole` of 0, 0.5, 1,
    1.5, 2, 3 gives .325, .329, .328, .326, .309, .291 and .39, .47, .53, .54, .55, .57 with an `encoder_share` of .7;
    of .5 and .3 it is .318 and .312 instead of .326. MiniLM instead of mpnet, cues alone: .278 and .41. With the
    judgements of Qwen2.5-Coder-1.5B-Instruct, `judged` 1, 2, 3: .61, .62, .63 on ISEAR's; these alone: .64.
    """

    in_texts: Annotated[tuple[Positive, ...], Field(min_length=1)] = (8, 30, 20)
    encoder: str = "sentence-transformers/all-mpnet-base-v2"
    wheel: str | None = None
    label: str = "I feel {word}."
    encoder_share: Annotated[float, Field(ge=0, le=1)] = 0.7
    whole: Annotated[float, Field(ge=0)] = 1.5
    clear_at: Annotated[float, Field(gt=0)] = 4.0
    full_at: Annotated[float, Field(gt=0)] = 7.0
    most: Positive = 12
    neutral_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    requested: Annotated[float, Field(ge=0)] = 3.0
    judged: Annotated[float, Field(ge=0)] = 2.0
    share: Annotated[float, Field(ge=0, le=1)] = 1.0

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
    """The whole recipe; see dataset_builder/recipes/texts/smollm2.yaml.

    `likelihood` asks by every one of the `prompts` (files of dataset_builder/prompts/words/) how probable each emotion
    word is as the next one. Words are those of vocabulary/emotion_words.tsv whose first token is, before content-free
    texts, followed by the rest of the word with a probability of at least `certain_at`: then one forward pass tells.
    `words` are others than that file's, in nouns as there. `cues` asks the same, but of runs of words that the texts
    have in common. `generated` lets the teacher write its descriptors, all of weight 1.

    Of stories that are given along, sentences in the first person are texts too, at most `spoken` of each place.
    `validation` is the share of the texts, by hash, that the split of that name gets.
    """

    describer: Literal["likelihood", "cues", "generated"] = "likelihood"
    prompts: Annotated[tuple[str, ...], Field(min_length=1)] = ("emotion", "felt", "writer")
    words: tuple[str, ...] = ()
    certain_at: Annotated[float, Field(ge=0, le=1)] = 0.5
    weights: Weights = Weights()
    cues: Cues = Cues()
    spoken: Positive = 10000
    decoding: Decoding = Decoding(max_new_tokens=40)
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.05

    @model_validator(mode="after")
    def _likelihood_needs_log_probabilities(self) -> "TextsRecipe":
        teacher = self.teacher
        if isinstance(teacher, EndpointTeacher) and teacher.server != "vllm" and self.describer != "generated":
            raise ValueError(
                f"describer: {self.describer} needs the log-probabilities of chosen words, which of all servers only "
                "vLLM gives: set describer: generated, or teacher.server: vllm where the server is one"
            )
        return self

    @field_validator("prompts")
    @classmethod
    def _prompts_are_there(cls, prompts: tuple[str, ...]) -> tuple[str, ...]:
        return checked_prompts(prompts, FOLDER)
