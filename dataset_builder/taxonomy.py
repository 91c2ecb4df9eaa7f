"""The 28 emotions: names, definitions, sentiment and Ekman groups. They are defined only here.

Names, definitions and groups are GoEmotions' own (Demszky et al. 2020, arXiv 2005.00547, CC BY 4.0; emoticons
left out, as Emo Pillars does). Their order is GoEmotions' label order and the order of every model's outputs.
"""

from typing import Final, Literal, NamedTuple

Sentiment = Literal["positive", "negative", "ambiguous", "neutral"]
Ekman = Literal["anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral"]


class Emotion(NamedTuple):
    """One class of the taxonomy."""

    name: str
    definition: str
    sentiment: Sentiment
    ekman: Ekman


EMOTIONS: Final[tuple[Emotion, ...]] = (
    Emotion("admiration", "Finding something impressive or worthy of respect.", "positive", "joy"),
    Emotion("amusement", "Finding something funny or being entertained.", "positive", "joy"),
    Emotion("anger", "A strong feeling of displeasure or antagonism.", "negative", "anger"),
    Emotion("annoyance", "Mild anger, irritation.", "negative", "anger"),
    Emotion("approval", "Having or expressing a favorable opinion.", "positive", "joy"),
    Emotion("caring", "Displaying kindness and concern for others.", "positive", "joy"),
    Emotion("confusion", "Lack of understanding, uncertainty.", "ambiguous", "surprise"),
    Emotion("curiosity", "A strong desire to know or learn something.", "ambiguous", "surprise"),
    Emotion("desire", "A strong feeling of wanting something or wishing for something to happen.", "positive", "joy"),
    Emotion(
        "disappointment",
        "Sadness or displeasure caused by the nonfulfillment of one's hopes or expectations.",
        "negative",
        "sadness",
    ),
    Emotion("disapproval", "Having or expressing an unfavorable opinion.", "negative", "anger"),
    Emotion(
        "disgust",
        "Revulsion or strong disapproval aroused by something unpleasant or offensive.",
        "negative",
        "disgust",
    ),
    Emotion("embarrassment", "Self-consciousness, shame, or awkwardness.", "negative", "sadness"),
    Emotion("excitement", "Feeling of great enthusiasm and eagerness.", "positive", "joy"),
    Emotion("fear", "Being afraid or worried.", "negative", "fear"),
    Emotion("gratitude", "A feeling of thankfulness and appreciation.", "positive", "joy"),
    Emotion("grief", "Intense sorrow, especially caused by someone's death.", "negative", "sadness"),
    Emotion("joy", "A feeling of pleasure and happiness.", "positive", "joy"),
    Emotion("love", "A strong positive emotion of regard and affection.", "positive", "joy"),
    Emotion("nervousness", "Apprehension, worry, anxiety.", "negative", "fear"),
    Emotion("optimism", "Hopefulness and confidence about the future or the success of something.", "positive", "joy"),
    Emotion(
        "pride",
        "Pleasure or satisfaction due to one's own achievements or the achievements of those with whom one is "
        "closely associated.",
        "positive",
        "joy",
    ),
    Emotion("realization", "Becoming aware of something.", "ambiguous", "surprise"),
    Emotion("relief", "Reassurance and relaxation following release from anxiety or distress.", "positive", "joy"),
    Emotion("remorse", "Regret or guilty feeling.", "negative", "sadness"),
    Emotion("sadness", "Emotional pain, sorrow.", "negative", "sadness"),
    Emotion("surprise", "Feeling astonished, startled by something unexpected.", "ambiguous", "surprise"),
    Emotion("neutral", "No particular emotion.", "neutral", "neutral"),
)

LABELS: Final[tuple[str, ...]] = tuple(emotion.name for emotion in EMOTIONS)
LABEL_TO_INDEX: Final[dict[str, int]] = {name: index for index, name in enumerate(LABELS)}
NEUTRAL: Final[int] = LABEL_TO_INDEX["neutral"]
DEFINITIONS: Final[dict[str, str]] = {emotion.name: emotion.definition for emotion in EMOTIONS}
VALENCE: Final[dict[str, int]] = {
    emotion.name: {"positive": 1, "negative": -1, "ambiguous": 0, "neutral": 0}[emotion.sentiment]
    for emotion in EMOTIONS
}
