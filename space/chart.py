"""Renders an answer as HTML: which labels the text has, in a sentence, and a bar with its threshold for each label."""

from collections.abc import Sequence
from html import escape

from scores import Answer, Score

AT_FIRST = 10  # rows that are shown before the others are asked for
COLUMNS = ("label", "mark: threshold", "score", "threshold")
HEAD = f"<tr>{''.join(f'<th scope=col>{name}</th>' for name in COLUMNS)}</tr>"


def page(answer: Answer) -> str:
    """Return an answer: notes, sentence, bars, model. Labels that the text has come first, then the others by score."""
    ordered = sorted(answer.scores, key=lambda score: (not score.given, -score.value))
    largest = max(max(score.value, score.threshold) for score in ordered)
    end = 1.0 if largest > 0.5 else largest  # scores of many own labels are all small, and so would their bars be
    rows = [_row(score, end) for score in ordered]
    shown = max(AT_FIRST, sum(score.given for score in ordered) + 3)
    if len(rows) <= shown + 1:  # a fold for one row gains nothing
        shown = len(rows)
    notes = "".join(f'<p class="emo-note" role="note">{escape(note)}</p>' for note in answer.notes)
    summary = f"<summary>The other {len(rows) - shown} of {len(rows)} labels</summary>"
    more = f"<details>{summary}{_table(rows[shown:])}</details>" if shown < len(rows) else ""
    return (
        f'<div class="emo">{notes}<p class="emo-said" role="status">{_sentence(ordered, end)}</p>'
        f"{_table([HEAD, *rows[:shown]])}{more}{_source(answer.model)}</div>"
    )


def message(text: str) -> str:
    """Why there is no answer."""
    return f'<div class="emo"><p class="emo-note" role="alert">{escape(text)}</p></div>'


def waiting(text: str) -> str:
    """Return what is shown before the first answer."""
    return f'<div class="emo"><p class="emo-waiting">{escape(text)}</p></div>'


def _sentence(ordered: Sequence[Score], end: float) -> str:
    given = [f"<b>{escape(score.label)}</b>" for score in ordered if score.given]
    if len(given) > 1:
        return f"This reads as {', '.join(given[:-1])} and {given[-1]}: their scores reach their thresholds."
    if given:
        return f"This reads as {given[0]}: its score reaches its threshold."
    nearest = max(ordered, key=lambda score: score.value / max(score.threshold, 1e-9))
    return (
        f"No label reaches its threshold. The nearest is <b>{escape(nearest.label)}</b>: "
        f"{_number(nearest.value, end)}, but {_number(nearest.threshold, end)} is required."
    )


def _table(rows: Sequence[str]) -> str:
    return f"<table>{''.join(rows)}</table>"


def _row(score: Score, end: float) -> str:
    """Return a label, its bar with a mark at the threshold on a scale from 0 to `end`, and both numbers."""
    bar, mark = (100 * min(1.0, value / end) for value in (score.value, score.threshold))
    return (
        f'<tr{" class=emo-given" if score.given else ""}><th scope="row">{escape(score.label)}</th>'
        f'<td><div class="emo-track"><i class="emo-bar" style="width:{bar:.1f}%"></i>'
        f'<i class="emo-mark" style="left:{mark:.1f}%"></i></div></td>'
        f"<td>{_number(score.value, end)}</td><td>{_number(score.threshold, end)}</td></tr>"
    )


def _number(value: float, end: float) -> str:
    places = 2 if end == 1 else 3
    least = 10.0**-places
    return f"&lt;{least:g}" if 0 < value < least / 2 else f"{value:.{places}f}"


def _source(model: str) -> str:
    name = escape(model.rpartition("/")[2])
    if model.count("/") == 1:  # a Hub id, and no folder
        name = f'<a href="https://huggingface.co/{escape(model)}" target="_blank" rel="noopener">{name}</a>'
    return f'<p class="emo-source">Scored by {name}.</p>'
