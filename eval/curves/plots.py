"""Pictures of learning curves: measures by the number of rows, and bars of sources, files and labels."""

from collections.abc import Sequence
from itertools import pairwise
from math import log2
from typing import Any

from dataset_builder.plot_style import BLUE, ORANGE, hide_frame, new_figure, png

Point = dict[str, Any]


def plot_sizes(points: Sequence[Point], title: str) -> bytes:
    """Return a PNG: each measure by the number of rows (log scale), with its gain for each doubling between points."""
    measures = list(points[0]["metrics"])
    across = min(3, len(measures))
    down = -(-len(measures) // across)
    figure = new_figure(3.6 * across, 0.4 + 3.2 * down)
    figure.suptitle(title)
    rows = [point["rows"] for point in points]
    places = list(figure.subplots(down, across, squeeze=False).flat)
    for axes, measure in zip(places, measures, strict=False):
        values = [point["metrics"][measure] for point in points]
        axes.plot(rows, values, marker="o", color=BLUE)
        for (n, value), (more, better) in pairwise(zip(rows, values, strict=True)):
            gain = (better - value) / log2(more / n)
            axes.annotate(
                f"{gain:+.3f}", ((n * more) ** 0.5, (value + better) / 2), (0, 7), textcoords="offset points",
                ha="right", color="#555555", fontsize=8,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set_xticks(rows, [f"{n / 1000:.0f}K" for n in rows])
        axes.minorticks_off()
        axes.margins(0.12)
        axes.set_title(_shown(measure), fontsize=10)
        axes.set_xlabel("train rows; gain per doubling")
        hide_frame(axes)
    for axes in places[len(measures) :]:
        axes.remove()
    return png(figure)


def plot_bars(points: Sequence[Point], title: str) -> bytes:
    """Return a PNG: each measure of each part, the best part in orange, with the number of rows."""
    measures = list(points[0]["metrics"])
    figure = new_figure(2.2 + 2.3 * len(measures), 1.3 + 0.26 * len(points))
    figure.suptitle(title)
    columns = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    names = [f"{point['name']} ({point['rows']:,})" for point in points]
    for axes, measure in zip(columns, measures, strict=True):
        values = [point["metrics"][measure] for point in points]
        best = min(values) if measure.endswith("as_neutral") else max(values)
        bars = axes.barh(names, values, color=[ORANGE if value == best else BLUE for value in values])
        axes.bar_label(bars, fmt="%.2f", padding=2, fontsize=8)
        axes.set_title(_shown(measure), fontsize=10)
        axes.margins(x=0.18)
        axes.set_xticks([])
        hide_frame(axes)
        axes.spines["bottom"].set_visible(False)
    columns[0].invert_yaxis()
    return png(figure)


def _shown(measure: str) -> str:
    """Return a measure's name for a heading, such as `goemotions: macro-F1`."""
    benchmark, _, metric = measure.partition(" ")
    names = {"macro_f1": "macro-F1", "accuracy": "first label right", "sets_right": "sets all right"}
    return f"{benchmark}: {names.get(metric, metric.replace('_', ' '))}"
