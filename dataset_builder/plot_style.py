"""The look of all plots: colours that colour-blind people can distinguish, plain axes. matplotlib is loaded late."""

import io
from typing import TYPE_CHECKING

from dataset_builder.taxonomy import Sentiment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette.
COLOURS: dict[Sentiment, str] = {
    "positive": "#E69F00",
    "negative": "#0072B2",
    "ambiguous": "#CC79A7",
    "neutral": "#555555",
}
BLUE, ORANGE = "#0072B2", "#E69F00"


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure; the size is in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    empty = Figure(figsize=(width, height), layout="constrained", dpi=100)
    FigureCanvasAgg(empty)
    return empty


def png(drawn: "Figure", **about: str) -> bytes:
    """Return the figure as PNG; the same figure gives the same bytes. `about` is written into the file."""
    file = io.BytesIO()
    drawn.savefig(file, format="png", metadata={"Software": None, **about})
    return file.getvalue()


def hide_frame(axes: "Axes") -> None:
    """Hide the lines at the top and on the right."""
    axes.spines[["top", "right"]].set_visible(False)


def sentiment_legend(axes: "Axes") -> None:
    """A legend of the sentiments' colours."""
    from matplotlib.patches import Patch

    axes.legend(handles=[Patch(color=colour, label=name) for name, colour in COLOURS.items()], loc="lower right")
