"""For emotion words: texts that the teacher writes, each by somebody who feels what the word says, without the word.

A small teacher writes better than it judges: after "I felt a wave of disgust when" its own likelihood does the work,
and the word that it was asked for is the text's descriptor.
"""

import re
from functools import partial

from dataset_builder.descriptors.writing_recipe import FOLDER, WritingRecipe
from dataset_builder.filters.validate import check_form
from dataset_builder.pipeline.ask import Ask
from dataset_builder.pipeline.replies import sentence
from dataset_builder.schema import Narrative, WrittenRow
from dataset_builder.teachers.reply_text import BadReply

STEM = 5  # letters by which a form of the word is known: disgust, disgusting


async def run(asked: Narrative, story: Narrative, ask: Ask, recipe: WritingRecipe) -> list[WrittenRow]:
    """One row; the word stands here for a story, its title is the prompt.

    Raises:
        UnitRejected: the teacher failed, or wrote nothing that is one whole sentence without the word.
    """
    made = await ask.text(
        f"{FOLDER}/{asked.title}",
        recipe.decoding,
        partial(first_sentence, word=asked.text, recipe=recipe),
        stop=("\n",),
        text=asked.text,
    )
    return [WrittenRow(id=asked.id, text=made, word=asked.text, prompt=asked.title)]


def first_sentence(reply: str, cut: bool, word: str, recipe: WritingRecipe) -> str:
    """The first sentence behind the begun answer, beginning with a capital.

    Raises:
        BadReply: there is none, it was cut off, it names the word, or its form is wrong.
    """
    begun = rf"^.*?\b{re.escape(word)}\b(?: when| because|:)?[\s\"'“]*"
    said = re.sub(begun, "", " ".join(reply.split()), count=1, flags=re.IGNORECASE)
    match = re.match(r"(.+?[.!?…])(?=[\s\"'”]|$)", said)
    if not match and cut:
        raise BadReply("cut_off")
    text = sentence(match[1] if match else said, False)
    if any(part[:STEM] in text.lower() for part in word.split() if len(part) >= STEM - 1):
        raise BadReply("label_word")
    if fault := check_form(text, recipe.min_words, recipe.max_words):
        raise BadReply(fault)
    return text[0].upper() + text[1:]
