"""An answer as HTML: what was found, in a sentence, and a bar with its threshold for each label."""

from collections.abc import Sequence
from html import escape

from scores import Answer, Score

# GoEmotions' own groups of its 28 labels.
GROUPS = {
    "positive": (
        "admiration", "amusement", "approval", "caring", "desire", "excitement", "gratitude", "joy", "love", "optimism",
        "pride", "relief",
    ),
    "negative": (
        "anger", "annoyance", "disappointment", "disapproval", "disgust", "embarrassment", "fear", "grief",
        "nervousness", "remorse", "sadness",
    ),
    "ambiguous": ("confusion", "curiosity", "realization", "surprise"),
    "neutral": ("neutral",),
}  # fmt: skip
GROUP_OF = {label: group for group, labels in GROUPS.items() for label in labels}
AT_FIRST = 10  # rows before the fold
AXES = (0.1, 0.2, 0.5, 1.0)  # where the scale of a chart may end


def page(answer: Answer, grouped: bool) -> str:
    """An answer: notes, sentence, chart. What the text has comes first, then the rest by score.

    Args:
        grouped: colours by group, on a scale to 1; else one colour, on the shortest scale that holds all.
    """
    ordered = sorted(answer.scores, key=lambda score: (not score.given, -score.value))
    end = 1.0 if grouped else axis_end(ordered)
    rows = [row(score, end, GROUP_OF.get(score.label, "neutral") if grouped else "own") for score in ordered]
    shown = max(AT_FIRST, sum(score.given for score in ordered) + 3)
    shown = shown if len(rows) > shown + 1 else len(rows)  # nothing is won by folding one row
    said = sentence(ordered, digits(end))
    return (
        f'<div class="emo">{notes(answer.notes)}<p class="emo-said" role="status">{said}</p>{legend(grouped)}'
        f'{axis(end)}<ul class="emo-rows">{"".join(rows[:shown])}</ul>{fold(rows[shown:], len(rows))}'
        f"{source(answer.model)}</div>"
    )


def message(text: str) -> str:
    """What stands in the way of an answer."""
    return f'<div class="emo"><p class="emo-message" role="alert">{escape(text)}</p></div>'


def waiting(text: str) -> str:
    """What stands where an answer will be."""
    return f'<div class="emo"><p class="emo-waiting">{escape(text)}</p></div>'


def notes(texts: Sequence[str]) -> str:
    """Notes on an answer, one paragraph each."""
    return "".join(f'<p class="emo-note" role="note">{escape(text)}</p>' for text in texts)


def sentence(ordered: Sequence[Score], places: int) -> str:
    """Which labels reach their thresholds or, where none does, which is nearest, in words."""
    given = [f"<b>{escape(score.label)}</b>" for score in ordered if score.given]
    if len(given) > 1:
        return f"This reads as {', '.join(given[:-1])} and {given[-1]}: their scores reach their thresholds."
    if given:
        return f"This reads as {given[0]}: its score reaches its threshold."
    nearest = max(ordered, key=lambda score: score.value / max(score.threshold, 1e-9))
    return (
        f"No label reaches its threshold. Nearest is <b>{escape(nearest.label)}</b>: {number(nearest.value, places)} "
        f"where {number(nearest.threshold, places)} is needed."
    )


def legend(grouped: bool) -> str:
    """What colours and marks mean."""
    keys = [f'<li><span class="emo-key emo-{name}"></span>{name}</li>' for name in GROUPS] if grouped else []
    mark = '<li><span class="emo-key-mark"></span>threshold: given from here on</li>'
    return f'<ul class="emo-legend" aria-label="Colours and marks">{"".join(keys)}{mark}</ul>'


def axis(end: float) -> str:
    """The scale above the bars and the heads of the columns; rows say their numbers, so it is for eyes alone."""
    ticks = "".join(f"<span>{tick:g}</span>" for tick in (0, end / 2, end))
    return (
        f'<div class="emo-row emo-head" aria-hidden="true"><span class="emo-track">{ticks}</span>'
        '<span class="emo-value">score</span><span class="emo-needed">threshold</span></div>'
    )


def axis_end(scores: Sequence[Score]) -> float:
    """The shortest scale that holds all scores and thresholds."""
    largest = max(max(score.value, score.threshold) for score in scores)
    return next(end for end in AXES if largest <= end or end == AXES[-1])


def row(score: Score, end: float, group: str) -> str:
    """One label: its name, bar and mark on a scale from 0 to `end`, score and threshold."""
    filled, mark = (100 * min(1.0, value / end) for value in (score.value, score.threshold))
    reached = '<span class="emo-heard">, reached</span>' if score.given else ""
    return (
        f'<li class="emo-row emo-{group}{" emo-given" if score.given else ""}">'
        f'<span class="emo-label">{escape(score.label)}</span>'
        f'<span class="emo-track" aria-hidden="true"><span class="emo-bar" style="width:{filled:.1f}%"></span>'
        f'<span class="emo-mark" style="left:{mark:.1f}%"></span></span>'
        f'<span class="emo-value"><span class="emo-heard">score </span>{number(score.value, digits(end))}</span>'
        f'<span class="emo-needed"><span class="emo-heard">threshold </span>{number(score.threshold, digits(end))}'
        f"{reached}</span></li>"
    )


def fold(rows: Sequence[str], labels: int) -> str:
    """The rows that are shown only when asked for; nothing if there are none."""
    if not rows:
        return ""
    return (
        f'<details class="emo-more"><summary>The other {len(rows)} of {labels} labels</summary>'
        f'<ul class="emo-rows">{"".join(rows)}</ul></details>'
    )


def digits(end: float) -> int:
    """How many digits after the point numbers on a scale have."""
    return 2 if end > 0.5 else 3


def number(value: float, places: int) -> str:
    """A score with so many digits after the point."""
    least = 10.0**-places
    return f"&lt;{least:g}" if 0 < value < least / 2 else f"{value:.{places}f}"


def source(model: str) -> str:
    """Which model answered, with its page on the Hub where it is from there."""
    name = escape(model.rpartition("/")[2])
    if model.count("/") == 1:  # a Hub id
        name = f'<a href="https://huggingface.co/{escape(model)}" target="_blank" rel="noopener">{name}</a>'
    return f'<p class="emo-source">Read by {name}.</p>'
