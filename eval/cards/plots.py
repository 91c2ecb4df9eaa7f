"""Plots of a result: F1 of each class, and predicted probabilities against observed frequencies."""

import hashlib
import json
from pathlib import Path

from dataset_builder.plot_style import BLUE, COLOURS, hide_frame, new_figure, png, sentiment_legend
from dataset_builder.taxonomy import EMOTIONS
from eval.cards.results import ModelResult

SENTIMENTS = {emotion.name: emotion.sentiment for emotion in EMOTIONS}
FEW = 30  # gold rows, below which a class's F1 is drawn pale: it is mostly chance


def names(result: ModelResult) -> dict[str, str]:
    """Return the plots that a result file has numbers for: what each shows, by file name."""
    shown = {}
    if len(result.per_label) > 2 and "macro_f1" in result.metrics:
        shown[f"{result.benchmark}-per-label.png"] = "F1 of each label"
    if result.reliability and {"ece", "classwise_ece"} <= set(result.metrics):
        shown[f"{result.benchmark}-reliability.png"] = "Predicted probabilities and observed frequencies"
    return shown


def draw(file: str, result: ModelResult) -> bytes:
    """One of these plots, as PNG."""
    return (_per_label if file.endswith("-per-label.png") else _reliability)(result)


def drawn_from(result: ModelResult) -> str:
    """Return a hash of the plotted numbers. It is written into the file, so that a stale plot is known."""
    numbers = result.model_dump(include={"per_label", "reliability", "support"}, exclude_unset=True)
    numbers.setdefault("reliability", None)
    return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()[:16]


def is_fresh(path: Path, result: ModelResult) -> bool:
    """Return whether a plot is there, and drawn from these numbers."""
    return path.exists() and drawn_from(result).encode() in path.read_bytes()[:2000]


def _per_label(result: ModelResult) -> bytes:
    rows = sorted(result.per_label.items(), key=lambda row: row[1].f1)
    figure = new_figure(8, max(3.0, 0.25 * len(rows) + 1))
    axes = figure.subplots()
    colours = [COLOURS[SENTIMENTS[name]] if name in SENTIMENTS else BLUE for name, _ in rows]
    bars = axes.barh([name for name, _ in rows], [row.f1 for _, row in rows], color=colours)
    for place, (bar, (_, row)) in enumerate(zip(bars, rows, strict=True)):
        bar.set_alpha(0.4 if row.support < FEW else 1.0)
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 0}
        axes.text(row.f1, place, f" {row.f1:.2f}  n = {row.support:,}", va="center", fontsize=8, bbox=ground)
    mean = result.metrics["macro_f1"].value
    axes.axvline(mean, color="black", linewidth=1, linestyle=":", zorder=0)
    axes.text(mean, len(rows) - 0.3, f"macro-F1 {mean:.3f}", ha="center", va="bottom", fontsize=8)
    pale = f"; pale: fewer than {FEW} rows" if any(row.support < FEW for _, row in rows) else ""
    axes.set_xlabel(f"F1 (n: rows with the label{pale})")
    axes.set_xlim(0, 1)
    axes.margins(y=0.01)
    if all(name in SENTIMENTS for name, _ in rows) and len(rows) > 10:
        sentiment_legend(axes)
    hide_frame(axes)
    return png(figure, Comment=drawn_from(result))


def _reliability(result: ModelResult) -> bytes:
    bins = result.reliability or []
    figure = new_figure(5, 6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    predicted = [one["probability"] for one in bins]
    above.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle=":", label="perfectly calibrated")
    above.plot(predicted, [one["frequency"] for one in bins], marker="o", color=BLUE)
    above.legend(loc="upper left", frameon=False, fontsize=8)
    above.set_ylim(0, 1)
    by_class, pooled = (result.metrics[name].value for name in ("classwise_ece", "ece"))
    above.set_title(f"Calibration error: class-wise {by_class:.3f}, pooled {pooled:.3f}", fontsize=10)
    above.set_ylabel("observed frequency")
    below.bar(predicted, [one["decisions"] for one in bins], width=0.04, color=BLUE)
    below.set_yscale("log")
    below.set_ylabel("decisions")
    below.set_xlabel("predicted probability")
    for axes in (above, below):
        axes.set_xlim(0, 1)
        hide_frame(axes)
    return png(figure, Comment=drawn_from(result))
