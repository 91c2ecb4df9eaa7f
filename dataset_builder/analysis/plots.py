"""Plots of a config as PNG bytes."""

from collections import Counter
from typing import Any

import numpy as np

from dataset_builder.analysis.survey import SCORE_BINS, Survey
from dataset_builder.plot_style import BLUE, COLOURS, ORANGE, hide_frame, new_figure, png, sentiment_legend
from dataset_builder.taxonomy import EMOTIONS, LABELS

# Heat maps keep the sentiments together.
ORDER = [index for sentiment in COLOURS for index, emotion in enumerate(EMOTIONS) if emotion.sentiment == sentiment]
NAMES = [LABELS[index] for index in ORDER]
BORDERS = [n for n in range(1, len(ORDER)) if EMOTIONS[ORDER[n]].sentiment != EMOTIONS[ORDER[n - 1]].sentiment]
SHOWN_LENGTHS = 0.99  # share of the lengths that the plot shows


def draw_all(config: str, found: Survey, contexts: Counter[int], human: Counter[int] | None) -> dict[str, bytes]:
    """Return every plot that the rows allow, by file name without ending.

    Args:
        found: the survey of the config `config`.
        contexts: lengths in tokens of the situations, from whatever config has them.
        human: lengths in tokens of human texts, or None.
    """
    plots = {"lengths": _lengths(config, found, contexts, human)}
    if found.labelled and found.label_counts.any():
        plots["labels"] = _labels(config, found)
        title = f"How often each label occurs together with another\n({config}, n = {found.rows:,})"
        shares = _percent(found.together, found.label_counts)
        np.fill_diagonal(shares, np.nan)
        plots["together"] = _heat_map(shares, title, across="other label", down="label")
    if found.score_bins.any():
        plots["scores"] = _scores(config, found)
    if found.asked.any():
        total = int(found.asked_texts.sum())
        title = f"Labels of the texts for each requested emotion\n({config}, n = {total:,}; white: never requested)"
        shares = _percent(found.asked, found.asked_texts)
        plots["asked"] = _heat_map(shares, title, across="label", down="requested emotion")
    return plots


def _labels(config: str, found: Survey) -> bytes:
    figure = new_figure(8, 7)
    axes = figure.subplots()
    order = np.argsort(found.label_counts, kind="stable")
    counts = found.label_counts[order]
    colours = [COLOURS[EMOTIONS[index].sentiment] for index in order]
    axes.barh([LABELS[index] for index in order], counts, color=colours)
    for place, count in enumerate(counts):
        axes.text(count, place, f" {count:,}", va="center", fontsize=8)
    axes.set_title(f"Texts with each label ({config}, n = {found.rows:,}; a text may have several)")
    axes.set_xlabel("texts")
    axes.margins(x=0.1, y=0.01)
    sentiment_legend(axes)
    hide_frame(axes)
    return png(figure)


def _percent(counts: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Return rows as percentages of `of` in the order of the heat maps, (28, 28); NaN where `of` is 0."""
    shares: np.ndarray = 100 * counts / np.where(of > 0, of, np.nan)[:, None]
    return shares[np.ix_(ORDER, ORDER)]


def _heat_map(shares: np.ndarray, title: str, across: str, down: str) -> bytes:
    figure = new_figure(8, 7)
    axes = figure.subplots()
    defined = shares[np.isfinite(shares)]
    most = max(float(np.percentile(defined, 99)), 1) if len(defined) else 1
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=most, aspect="equal")
    axes.set_xticks(range(len(NAMES)), NAMES, rotation=90, fontsize=8)
    axes.set_yticks(range(len(NAMES)), NAMES, fontsize=8)
    for border in BORDERS:
        axes.axhline(border - 0.5, color="white", linewidth=1)
        axes.axvline(border - 0.5, color="white", linewidth=1)
    figure.colorbar(image, ax=axes, shrink=0.7, label="% of the row's texts", extend="max")
    axes.set_title(title)
    axes.set_xlabel(across)
    axes.set_ylabel(down)
    return png(figure)


def _scores(config: str, found: Survey) -> bytes:
    figure = new_figure(8, 7)
    axes = figure.subplots()
    bins = found.score_bins[ORDER].astype(float)
    totals = bins.sum(axis=1)
    shares = 100 * bins / np.where(totals > 0, totals, np.nan)[:, None]
    most = float(np.nanpercentile(shares, 97))
    extent = (0, 1, len(ORDER) - 0.5, -0.5)
    image = axes.imshow(shares, cmap="cividis", aspect="auto", extent=extent, vmax=most, vmin=0)
    names = [f"{name} ({total:,.0f})" for name, total in zip(NAMES, totals, strict=True)]
    axes.set_yticks(range(len(ORDER)), names, fontsize=8)
    figure.colorbar(image, ax=axes, label=f"% of the label's scores, in steps of {1 / SCORE_BINS:g}", extend="max")
    axes.set_title(f"How strongly each label is given\n({config}; in brackets: number of scores above 0)")
    axes.set_xlabel("score")
    return png(figure)


def _lengths(config: str, found: Survey, contexts: Counter[int], human: Counter[int] | None) -> bytes:
    series = [(f"texts of {config}", found.text_lengths, BLUE, "-")]
    series += [("situations", contexts, ORANGE, "-")] if contexts else []
    series += [("GoEmotions, texts", human, "#555555", "--")] if human else []
    longest = max(_percentile(lengths, SHOWN_LENGTHS) for _, lengths, _, _ in series)
    edges = list(range(0, longest + 3, max(1, round(longest / 50))))
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    for name, lengths, colour, style in series:
        total = lengths.total()
        shares = [100 * count / total for count in lengths.values()]
        label = f"{name} (n = {total:,}, median {_percentile(lengths, 0.5)})"
        line: dict[str, Any] = {"histtype": "step", "linewidth": 2, "linestyle": style, "color": colour}
        axes.hist(list(lengths), bins=edges, weights=shares, label=label, **line)
    axes.set_title("Lengths in tokens (words and punctuation marks)")
    axes.set_xlabel("tokens")
    axes.set_ylabel("% of the texts")
    axes.legend()
    hide_frame(axes)
    return png(figure)


def _percentile(lengths: Counter[int], share: float) -> int:
    """Return the length up to which a share of all lengths lies; 0 without lengths."""
    weights = list(lengths.values())
    return int(np.quantile(list(lengths), share, method="inverted_cdf", weights=weights)) if weights else 0
