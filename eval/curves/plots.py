"""Pictures of learning curves: measures by the number of rows, and bars of sources, files and labels."""

from collections.abc import Sequence
from itertools import pairwise
from math import log2
from typing import TYPE_CHECKING, Any

from dataset_builder.plot_style import BLUE, ORANGE, hide_frame, new_figure, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Point = dict[str, Any]
# A measure with this ending is drawn in the panel of the measure without it.
DEV_THRESHOLDS = "_dev_thresholds"
LESS_IS_BETTER = "as_neutral"
GREY = "#555555"
# Panels of bars in a row, so that headings fit and the picture is not wider than a page shows it.
BAR_COLUMNS = 3
BENCHMARKS = {"own": "own validation", "goemotions": "GoEmotions", "isear": "ISEAR"}
MEASURES = {
    "macro_f1": "macro-F1",
    "accuracy": "first label right",
    "sets_right": "whole sets right",
    "feelings_as_neutral": "feelings as neutral ↓",
}


def plot_sizes(points: Sequence[Point], title: str) -> bytes:
    """Return a PNG: each measure by the number of rows (log scale), with its gain for each doubling between points."""
    measures = _panels(points)
    across = min(3, len(measures))
    down = -(-len(measures) // across)
    figure = new_figure(3.8 * across, 0.5 + 3.1 * down)
    figure.suptitle(title)
    rows = [point["rows"] for point in points]
    places = list(figure.subplots(down, across, squeeze=False).flat)
    for axes, measure in zip(places, measures, strict=False):
        values = [point["metrics"][measure] for point in points]
        axes.plot(rows, values, marker="o", color=BLUE, label="thresholds from the corpus")
        _write_gains(axes, rows, values)
        if others := _with_dev_thresholds(points, measure):
            axes.plot(rows, others, marker="s", linestyle="--", color=ORANGE, label="thresholds from these rows")
            axes.legend(fontsize=8, frameon=False, loc="upper left")
        axes.set_xscale("log")
        axes.set_xticks(rows, _ticks(rows))
        axes.minorticks_off()
        axes.margins(0.1, 0.3)
        axes.set_title(_shown(measure), fontsize=10)
        axes.set_xlabel("train rows (grey: gain per doubling)", fontsize=9)
        hide_frame(axes)
    for axes in places[len(measures) :]:
        axes.remove()
    return png(figure)


def plot_bars(points: Sequence[Point], title: str) -> bytes:
    """Return a PNG: each measure of each part, the best part in orange, with the number of rows.

    A tick beside a bar is the measure with thresholds from the benchmark's development rows.
    """
    measures = _panels(points)
    across = min(BAR_COLUMNS, len(measures))
    down = -(-len(measures) // across)
    figure = new_figure(2.6 + 2.7 * across, 0.5 + down * (0.6 + 0.27 * len(points)))
    figure.suptitle(title)
    places = list(figure.subplots(down, across, sharey=True, squeeze=False).flat)
    names = [f"{point['name']} ({point['rows']:,})" for point in points]
    for axes, measure in zip(places, measures, strict=False):
        values = [point["metrics"][measure] for point in points]
        best = min(values) if measure.endswith(LESS_IS_BETTER) else max(values)
        bars = axes.barh(names, values, color=[ORANGE if value == best else BLUE for value in values])
        axes.set_title(_shown(measure), fontsize=10)
        if others := _with_dev_thresholds(points, measure):
            axes.plot(others, names, linestyle="none", marker="|", markersize=11, markeredgewidth=2, color=GREY)
            texts = [f"{value:.2f} | {other:.2f}" for value, other in zip(values, others, strict=True)]
            ends = [max(pair) for pair in zip(values, others, strict=True)]
            for name, end, text in zip(names, ends, texts, strict=True):
                axes.annotate(text, (end, name), (6, 0), textcoords="offset points", va="center", fontsize=8)
            axes.set_xlabel("| with thresholds from these rows", fontsize=8, color=GREY)
            axes.margins(x=0.45)
        else:
            axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
            axes.margins(x=0.2)
        axes.set_xlim(left=0)
        axes.set_xticks([])
        axes.tick_params(axis="y", length=0)
        hide_frame(axes)
        axes.spines["bottom"].set_visible(False)
    for axes in places[len(measures) :]:
        axes.remove()
    places[0].invert_yaxis()
    return png(figure)


def _panels(points: Sequence[Point]) -> list[str]:
    """Return the measures that have a panel of their own."""
    return [measure for measure in points[0]["metrics"] if not measure.endswith(DEV_THRESHOLDS)]


def _with_dev_thresholds(points: Sequence[Point], measure: str) -> list[float]:
    """Return the measure with thresholds from the development rows; empty if it was not measured."""
    name = measure + DEV_THRESHOLDS
    return [point["metrics"][name] for point in points if name in point["metrics"]]


def _write_gains(axes: "Axes", rows: Sequence[int], values: Sequence[float]) -> None:
    """Write the gain per doubling between points, on the side of the line where it does not cross the line."""
    for (n, value), (more, better) in pairwise(zip(rows, values, strict=True)):
        gain = (better - value) / log2(more / n)
        axes.annotate(
            f"{gain:+.3f}",
            ((n * more) ** 0.5, (value + better) / 2),
            (4, -5) if gain >= 0 else (4, 5),
            textcoords="offset points",
            ha="left",
            va="top" if gain >= 0 else "bottom",
            color=GREY,
            fontsize=8,
        )


def _ticks(rows: Sequence[int]) -> list[str]:
    """Return a label for each number of rows; one that is close to the one before stands a line lower."""
    labels = [f"{n / 1000:.0f}K" if n >= 1000 else str(n) for n in rows]
    for number in range(1, len(rows)):
        if rows[number] < 2 * rows[number - 1]:
            labels[number] = "\n" + labels[number]
    return labels


def _shown(measure: str) -> str:
    """Return a measure's name for a heading, such as `GoEmotions: macro-F1`."""
    benchmark, _, metric = measure.partition(" ")
    return f"{BENCHMARKS.get(benchmark, benchmark)}: {MEASURES.get(metric, metric.replace('_', ' '))}"
