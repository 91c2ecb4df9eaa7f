"""Plots of a corpus as PNG bytes."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from dataset_builder.analysis.corpus_metrics import Described
from dataset_builder.analysis.survey import SCORE_BINS, Survey
from dataset_builder.figures import BLUE, COLOURS, ORANGE, hide_frame, new_figure, png, sentiment_legend
from dataset_builder.taxonomy import EMOTIONS, LABELS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Heat maps keep the sentiments together.
ORDER = [index for sentiment in COLOURS for index, emotion in enumerate(EMOTIONS) if emotion.sentiment == sentiment]
NAMES = [LABELS[index] for index in ORDER]
LONGEST = 0.99  # of the lengths, the share that the plot shows


def draw_all(
    config: str, found: Survey, made: Described, contexts: Counter[int], human: Counter[int] | None
) -> dict[str, bytes]:
    """Every plot that the rows allow, by file name without ending.

    Args:
        config: the config that is shown, `found` and `made` its survey and figures.
        contexts: tokens of the situations, from whatever config has them.
        human: tokens of human texts to show lengths beside, or None.
    """
    plots = {"lengths": _lengths(config, found, contexts, human)}
    if found.labelled and found.label_counts.any():
        plots["labels"] = _labels(config, found)
        plots["together"] = _together(config, found)
    if found.score_bins.any():
        plots["scores"] = _scores(config, found)
    if found.asked.any():
        plots["asked"] = _asked(config, found)
    if made.cosines:
        plots["similarity"] = _similarity(config, made)
    if len(np.unique(np.round(made.embedded, 5), axis=0)) >= 10:  # of equal texts t-SNE makes no map, it crashes
        plots["map"] = _map(config, made)
    return plots


def _labels(config: str, found: Survey) -> bytes:
    figure = new_figure(8, 7)
    axes = figure.subplots()
    order = np.argsort(found.label_counts, kind="stable")
    axes.barh(
        [LABELS[index] for index in order],
        found.label_counts[order],
        color=[COLOURS[EMOTIONS[index].sentiment] for index in order],
    )
    for place, index in enumerate(order):
        axes.text(found.label_counts[index], place, f" {found.label_counts[index]:,}", va="center", fontsize=8)
    axes.set_title(f"Texts with each label ({config}, n = {found.rows:,}; a text may have several)")
    axes.set_xlabel("texts")
    axes.margins(x=0.1, y=0.01)
    sentiment_legend(axes)
    hide_frame(axes)
    return png(figure)


def _shares(counts: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Rows as percentages of `of`; what has nothing to be a share of stays empty."""
    with np.errstate(invalid="ignore"):
        shares: np.ndarray = 100 * counts / np.where(of > 0, of, np.nan)[:, None]
    return shares[np.ix_(ORDER, ORDER)]


def _heat(figure: "Figure", axes: "Axes", shares: np.ndarray, label: str, most: float) -> None:
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=max(most, 1), aspect="equal")
    axes.set_xticks(range(len(NAMES)), NAMES, rotation=90, fontsize=8)
    axes.set_yticks(range(len(NAMES)), NAMES, fontsize=8)
    sentiments = [EMOTIONS[index].sentiment for index in ORDER]
    for place in (i for i in range(1, len(NAMES)) if sentiments[i] != sentiments[i - 1]):
        axes.axhline(place - 0.5, color="white", linewidth=1)
        axes.axvline(place - 0.5, color="white", linewidth=1)
    figure.colorbar(image, ax=axes, shrink=0.7, label=label, extend="max")


def _together(config: str, found: Survey) -> bytes:
    shares = _shares(found.together, found.label_counts)
    np.fill_diagonal(shares, np.nan)
    title = f"Of the texts with one label, how many have the other too\n({config}, n = {found.rows:,})"
    return _matrix(shares, title, across="other label", down="label")


def _asked(config: str, found: Survey) -> bytes:
    total = int(found.asked_texts.sum())
    title = f"Labels of the texts that were asked for an emotion\n({config}, n = {total:,}; white: none asked)"
    return _matrix(_shares(found.asked, found.asked_texts), title, across="label", down="requested emotion")


def _matrix(shares: np.ndarray, title: str, across: str, down: str) -> bytes:
    figure = new_figure(8, 7)
    axes = figure.subplots()
    seen = shares[np.isfinite(shares)]
    _heat(figure, axes, shares, "% of the row's texts", float(np.percentile(seen, 99)) if len(seen) else 1)
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
    image = axes.imshow(
        shares,
        cmap="cividis",
        aspect="auto",
        extent=(0, 1, len(ORDER) - 0.5, -0.5),
        vmax=float(np.nanpercentile(shares, 97)),
        vmin=0,
    )
    axes.set_yticks(
        range(len(ORDER)), [f"{name} ({total:,.0f})" for name, total in zip(NAMES, totals, strict=True)], fontsize=8
    )
    figure.colorbar(image, ax=axes, label=f"% of the label's scores, in steps of {1 / SCORE_BINS:g}", extend="max")
    axes.set_title(f"How strongly each label is given\n({config}; in brackets how many scores are above 0)")
    axes.set_xlabel("score")
    return png(figure)


def _lengths(config: str, found: Survey, contexts: Counter[int], human: Counter[int] | None) -> bytes:
    series = [(f"texts of {config}", found.text_lengths, BLUE, "-")]
    series += [("situations", contexts, ORANGE, "-")] if contexts else []
    series += [("GoEmotions, texts", human, "#555555", "--")] if human else []
    last = max(_percentile(lengths, LONGEST) for _, lengths, _, _ in series)
    edges = np.arange(0, last + 3, max(1, round(last / 50)))
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    for name, lengths, colour, style in series:
        total = lengths.total()
        axes.hist(
            list(lengths),
            bins=list(edges),
            weights=[100 * count / total for count in lengths.values()],
            histtype="step",
            linewidth=2,
            linestyle=style,
            color=colour,
            label=f"{name} (n = {total:,}, median {_percentile(lengths, 0.5)})",
        )
    axes.set_title("Lengths in tokens (words and punctuation marks)")
    axes.set_xlabel("tokens")
    axes.set_ylabel("% of the texts")
    axes.legend()
    hide_frame(axes)
    return png(figure)


def _percentile(lengths: Counter[int], share: float) -> int:
    wanted, passed = share * lengths.total(), 0
    for length in sorted(lengths):
        passed += lengths[length]
        if passed >= wanted:
            return length
    return 0


def _similarity(config: str, made: Described) -> bytes:
    panels = [("utterances", ""), ("neutral utterances", "neutral_")]
    panels = [panel for panel in panels if any(name in made.cosines for name in _sides(panel[1]))]
    figure = new_figure(5 * len(panels), 4)
    for axes, (title, start) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for name, colour, said in zip(_sides(start), (ORANGE, BLUE), ("one character", "two characters"), strict=True):
            if name in made.cosines:
                values = made.cosines[name]
                shown: dict[str, Any] = {"bins": 50, "range": (-0.3, 1.0), "alpha": 0.6, "color": colour}
                label = f"of {said}\n(mean {values.mean():.2f}, {len(values):,} pairs)"
                axes.hist(values, weights=np.full(len(values), 100 / len(values)), label=label, **shown)
        axes.set_title(f"Likeness of two {title} ({config})", fontsize=10)
        axes.set_xlabel("cosine of their embeddings")
        axes.set_ylabel("% of the pairs")
        axes.legend(fontsize=8)
        hide_frame(axes)
    return png(figure)


def _sides(start: str) -> tuple[str, str]:
    return f"{start}within_character", f"{start}across_characters"


def _map(config: str, made: Described) -> bytes:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(made.embedded) - 1) / 3)
    placed = TSNE(init="pca", perplexity=perplexity, random_state=0, max_iter=500).fit_transform(made.embedded)
    figure = new_figure(8, 7)
    axes = figure.subplots()
    tops = [text.top for text in made.embedded_texts]
    groups = np.array(["unlabelled" if top is None else EMOTIONS[top].sentiment for top in tops])
    for name, colour in (*COLOURS.items(), ("unlabelled", "#56B4E9")):
        chosen = groups == name
        if chosen.any():
            axes.scatter(
                placed[chosen, 0],
                placed[chosen, 1],
                s=9,
                alpha=0.7,
                linewidths=0,
                color=colour,
                label=f"{name} ({chosen.sum()})",
            )
    axes.set_title(
        f"Texts by meaning, coloured by the sentiment of their strongest label\n({config}, n = {len(tops):,})"
    )
    axes.set_xlabel("t-SNE of the embeddings; only neighbourhoods mean something")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(markerscale=2)
    return png(figure)
