"""Finds and scores phrases (word n-grams that several texts share) with pure functions, without a teacher or labels.

A small teacher scores "thx", "sorry to hear" or "creeps me out" better than a whole comment. It needs only one call
per phrase, a few thousand calls in total, instead of one call per text. A text gets the score of its strongest phrase.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from dataset_builder.descriptors.recipe import Cues
from dataset_builder.schema import Descriptor

_TOKEN = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|[?!]+|[\u2600-\u27bf\U0001f300-\U0001faff]")
_PLACEHOLDER = re.compile(r"\[[A-Z]+\]")  # [NAME], [RELIGION]: placeholders for names in a dataset
_MEANINGFUL = re.compile(r"[^\W\d_]|\?|[\u2600-\u27bf\U0001f300-\U0001faff]")  # exclamation marks alone say nothing
# Function words: an n-gram of only these words is not a phrase.
_FUNCTION_WORDS = frozenset(
    "a am an and are as at be been but did do for had has have he her his i if in is it my not of on or our she so "
    "that the their they this to was we were with you your".split()
)


def one_line(text: str) -> str:
    """Return the text with normalised spaces, for comparisons."""
    return " ".join(text.split())


def word_ngrams(text: str, longest: int) -> set[str]:
    """Return all n-grams of 1 to `longest` tokens, joined by spaces: lower-case words, question marks, emoji."""
    tokens = _TOKEN.findall(_PLACEHOLDER.sub(" ", text).replace("’", "'").lower())
    return {
        " ".join(tokens[start : start + size])
        for size in range(1, longest + 1)
        for start in range(len(tokens) - size + 1)
    }


def find_phrases(texts: Sequence[str], recipe: Cues) -> list[str]:
    """Return, sorted, the n-grams that occur in as many texts as the recipe requires for their length."""
    counted = Counter(ngram for text in texts for ngram in word_ngrams(text, len(recipe.in_texts)))
    return sorted(
        ngram
        for ngram, count in counted.items()
        if count >= recipe.in_texts[(size := len(ngram.split())) - 1]
        and _MEANINGFUL.search(ngram)
        and (size == 1 or not _FUNCTION_WORDS.issuperset(ngram.split()))
    )


def z_scores(values: np.ndarray) -> np.ndarray:
    """Return z-scores per word, centred per text, (texts, words): a text that fits every word is not informative."""
    scaled = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9)
    return np.asarray(scaled - scaled.mean(axis=1, keepdims=True))


def phrase_scores(advantages: np.ndarray, similarities: np.ndarray | None, recipe: Cues) -> np.ndarray:
    """Return the score of each phrase for each word, (phrases, words).

    Args:
        advantages: the teacher's advantages (calibration.py), (phrases, words).
        similarities: an encoder's cosines of phrases with words, or None.
    """
    teachers = z_scores(advantages)
    if similarities is None:
        return teachers
    return (1 - recipe.encoder_share) * teachers + recipe.encoder_share * z_scores(similarities)


def text_scores(
    scores: np.ndarray, phrases: Sequence[str], texts: Sequence[str], similarities: np.ndarray | None, recipe: Cues
) -> np.ndarray:
    """Return the score of each text for each word, (texts, words): strongest phrase plus score of the whole text.

    Args:
        scores: the scores of the phrases, (phrases, words); a text without a phrase has 0.
        similarities: an encoder's cosines of texts with words, (texts, words), or None.
    """
    row = {phrase: index for index, phrase in enumerate(phrases)}
    found = np.zeros((len(texts), scores.shape[1]), dtype=np.float32)
    for index, text in enumerate(texts):
        there = [row[ngram] for ngram in word_ngrams(text, len(recipe.in_texts)) if ngram in row]
        if there:
            found[index] = scores[there].max(axis=0)
    if similarities is not None:
        found += recipe.whole * z_scores(similarities)
    return found


def with_teacher_scores(
    scores: np.ndarray, texts: Sequence[str], whole_scores: Mapping[str, np.ndarray], recipe: Cues
) -> np.ndarray:
    """Add `judged` times a larger teacher's scores of some of the texts (by their lines).

    The sum is scaled to the previous spread of the scores, so that a second score does not raise a text's weights.
    """
    known = [index for index, text in enumerate(texts) if one_line(text) in whole_scores]
    if known and recipe.judged:
        before = scores[known]
        both = before + recipe.judged * np.stack([whole_scores[one_line(texts[index])] for index in known])
        scores = scores.copy()
        scores[known] = both * (before.std() / both.std())
    return scores


def descriptors(scores: np.ndarray, words: Sequence[str], recipe: Cues) -> list[Descriptor]:
    """Return a text's descriptors, strongest first: words that score at least `clear_at`; from `full_at`, weight 1."""
    weights = np.clip((scores - recipe.clear_at) / (recipe.full_at - recipe.clear_at), 0, 1)
    ordered = sorted((-round(float(weight), 3), word) for weight, word in zip(weights, words, strict=True))
    return [Descriptor(text=word, weight=-weight) for weight, word in ordered[: recipe.most] if weight]
