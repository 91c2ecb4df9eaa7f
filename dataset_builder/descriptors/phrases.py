"""Cues: the runs of words that texts have in common, and what texts say by them. Pure functions, no teacher, no label.

A small teacher judges "thx", "sorry to hear" or "creeps me out" better than a whole comment, and needs to be asked only
once for each: thousands of calls instead of as many as there are texts. What a text expresses is what the strongest of
its cues does.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from dataset_builder.descriptors.recipe import Cues
from dataset_builder.schema import Descriptor

_TOKEN = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|[?!]+|[\u2600-\u27bf\U0001f300-\U0001faff]")
_PLACEHOLDER = re.compile(r"\[[A-Z]+\]")  # [NAME], [RELIGION]: what a data set has put in the place of names
_SAYING = re.compile(r"[^\W\d_]|\?|[\u2600-\u27bf\U0001f300-\U0001faff]")  # exclamation marks alone say nothing
# Words that are in every text: a run of these alone is no cue.
_FUNCTION = frozenset(
    "a am an and are as at be been but did do for had has have he her his i if in is it my not of on or our she so "
    "that the their they this to was we were with you your".split()
)


def one_line(text: str) -> str:
    """A text by which it is known again, whatever its spaces are."""
    return " ".join(text.split())


def tokens(text: str) -> list[str]:
    """Words in lower case, marks of question and exclamation, emoji; nothing else."""
    return _TOKEN.findall(_PLACEHOLDER.sub(" ", text).replace("’", "'").lower())


def runs(text: str, longest: int) -> set[str]:
    """All runs of 1 to `longest` neighbouring tokens, joined by spaces."""
    found = tokens(text)
    return {
        " ".join(found[start : start + size])
        for size in range(1, longest + 1)
        for start in range(len(found) - size + 1)
    }


def find_cues(texts: Sequence[str], recipe: Cues) -> list[str]:
    """The runs that are in as many texts as the recipe asks of their length, sorted; none of function words alone."""
    counted = Counter(run for text in texts for run in runs(text, len(recipe.in_texts)))
    return sorted(
        run
        for run, count in counted.items()
        if count >= recipe.in_texts[(size := len(run.split())) - 1]
        and _SAYING.search(run)
        and (size == 1 or not _FUNCTION.issuperset(run.split()))
    )


def standing_out(values: np.ndarray) -> np.ndarray:
    """Values (cues, words) in standard deviations of their word, less their cue's mean: a cue of all words is none."""
    scaled = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9)
    return np.asarray(scaled - scaled.mean(axis=1, keepdims=True))


def strengths(advantages: np.ndarray, similarities: np.ndarray | None, recipe: Cues) -> np.ndarray:
    """How strongly each cue speaks for each word, (cues, words), in standard deviations.

    Args:
        advantages: the teacher's (texts/weights.py), (cues, words).
        similarities: an encoder's cosines of cues with words, or None.
    """
    teachers = standing_out(advantages)
    if similarities is None:
        return teachers
    return (1 - recipe.encoder_share) * teachers + recipe.encoder_share * standing_out(similarities)


def of_texts(
    strength: np.ndarray, cues: Sequence[str], texts: Sequence[str], whole: np.ndarray | None, recipe: Cues
) -> np.ndarray:
    """How strongly each text speaks for each word, (texts, words): by its strongest cue and as a whole.

    Args:
        strength: that of the cues, (cues, words); a text without any has 0.
        whole: an encoder's cosines of texts with words, (texts, words), or None.
    """
    row = {cue: index for index, cue in enumerate(cues)}
    found = np.zeros((len(texts), strength.shape[1]), dtype=np.float32)
    for index, text in enumerate(texts):
        there = [row[run] for run in runs(text, len(recipe.in_texts)) if run in row]
        if there:
            found[index] = strength[there].max(axis=0)
    if whole is not None:
        found += recipe.whole * standing_out(whole)
    return found


def with_judgements(
    strength: np.ndarray, texts: Sequence[str], judgements: Mapping[str, np.ndarray], recipe: Cues
) -> np.ndarray:
    """The same, and of texts that were judged as a whole, by their lines, `judged` times that on top.

    What these speak for is scaled to the spread that it had: a text is not clearer for having been judged.
    """
    known = [index for index, text in enumerate(texts) if one_line(text) in judgements]
    if known and recipe.judged:
        before = strength[known]
        both = before + recipe.judged * np.stack([judgements[one_line(texts[index])] for index in known])
        strength = strength.copy()
        strength[known] = both * (before.std() / both.std())
    return strength


def descriptors(strength: np.ndarray, words: Sequence[str], recipe: Cues) -> list[Descriptor]:
    """A text's descriptors, the strongest first: words from `clear_at` on, of weight 1 from `full_at` on."""
    weights = np.clip((strength - recipe.clear_at) / (recipe.full_at - recipe.clear_at), 0, 1)
    ordered = sorted((-round(float(weight), 3), word) for weight, word in zip(weights, words, strict=True))
    return [Descriptor(text=word, weight=-weight) for weight, word in ordered[: recipe.most] if weight]
