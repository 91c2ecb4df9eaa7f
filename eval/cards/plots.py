"""Plots of a result: the classes one by one, and whether probabilities mean what they say."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataset_builder.figures import BLUE, COLOURS, hide_frame, new_figure, png, sentiment_legend
from dataset_builder.taxonomy import EMOTIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SENTIMENTS = {emotion.name: emotion.sentiment for emotion in EMOTIONS}
FEW = 30  # gold rows, below which a class's F1 is drawn pale: it is mostly chance


def names(result: dict[str, Any]) -> dict[str, str]:
    """The plots that a result file has numbers for: what each shows, by file name."""
    shown = {}
    if len(result["per_label"]) > 2:
        shown[f"{result['benchmark']}-per-label.png"] = "F1 of each label"
    if result.get("reliability"):
        shown[f"{result['benchmark']}-reliability.png"] = "Probabilities against frequencies"
    return shown


def draw(file: str, result: dict[str, Any]) -> bytes:
    """One of these plots, as PNG."""
    return (_per_label if file.endswith("-per-label.png") else _reliability)(result)


def drawn_from(result: dict[str, Any]) -> str:
    """What the plots were drawn from, as it is written into them: by it a stale one is known."""
    numbers = {name: result.get(name) for name in ("per_label", "reliability", "support")}
    return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()[:16]


def is_fresh(path: Path, result: dict[str, Any]) -> bool:
    """Is a plot there, and drawn from these numbers?"""
    return path.exists() and drawn_from(result).encode() in path.read_bytes()[:2000]


def _per_label(result: dict[str, Any]) -> bytes:
    rows = sorted(result["per_label"].items(), key=lambda row: row[1]["f1"])
    figure = new_figure(8, max(3.0, 0.25 * len(rows) + 1))
    axes = figure.subplots()
    colours = [COLOURS[SENTIMENTS[name]] if name in SENTIMENTS else BLUE for name, _ in rows]
    bars = axes.barh([name for name, _ in rows], [row["f1"] for _, row in rows], color=colours)
    for place, (bar, (_, row)) in enumerate(zip(bars, rows, strict=True)):
        bar.set_alpha(0.4 if row["support"] < FEW else 1.0)
        text = f" {row['f1']:.2f}  n = {row['support']:,}"
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 0}
        axes.text(row["f1"], place, text, va="center", fontsize=8, bbox=ground)
    mean = result["metrics"]["macro_f1"]["value"]
    axes.axvline(mean, color="black", linewidth=1, linestyle=":", zorder=0)
    axes.text(mean, len(rows) - 0.3, f"macro-F1 {mean:.3f}", ha="center", va="bottom", fontsize=8)
    pale = f"; pale: fewer than {FEW} rows" if any(row["support"] < FEW for _, row in rows) else ""
    axes.set_xlabel(f"F1 (n: rows with the label{pale})")
    axes.set_xlim(0, 1)
    axes.margins(y=0.01)
    if all(name in SENTIMENTS for name, _ in rows) and len(rows) > 10:
        sentiment_legend(axes)
    hide_frame(axes)
    return png(figure, Comment=drawn_from(result))


def _reliability(result: dict[str, Any]) -> bytes:
    bins = result["reliability"]
    figure = new_figure(5, 6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    _diagonal(above)
    told, seen = [one["probability"] for one in bins], [one["frequency"] for one in bins]
    above.plot(told, seen, marker="o", color=BLUE)
    by_class, pooled = (result["metrics"][name]["value"] for name in ("classwise_ece", "ece"))
    above.set_title(f"Calibration error: class-wise {by_class:.3f}, of all decisions {pooled:.3f}", fontsize=10)
    above.set_ylabel("share of labels that are there")
    below.bar(told, [one["decisions"] for one in bins], width=0.04, color=BLUE)
    below.set_yscale("log")
    below.set_ylabel("decisions")
    below.set_xlabel("probability that the model gives")
    for axes in (above, below):
        axes.set_xlim(0, 1)
        hide_frame(axes)
    return png(figure, Comment=drawn_from(result))


def _diagonal(axes: "Axes") -> None:
    axes.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle=":", label="as it should be")
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    axes.set_ylim(0, 1)
