"""python -m eval.probe --model M [--beside MODEL] [--out DIR]

Probes how a bi-encoder's space arranges emotion words, although it was trained without valence, arousal or groups.
Writes <out>/<model>/probe.json and probe.png.

- Axes: correlation of Russell's valence and arousal of 28 words with each word's projection on the axis that the other
  27 words give (weights are their values less the mean); and of valence with the axis from the taxonomy's negative
  labels to its positive ones.
- Ekman groups of the 27 emotions: silhouette by cosine distance, and the share of words whose nearest neighbour is in
  their group, with the share that random neighbours would give.
- The nearest neighbours of some words, among all words of the taxonomy, of the label sets and of Russell's.
"""

import argparse
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.metrics import silhouette_score

from dataset_builder.inputs import run_command
from dataset_builder.plot_style import new_figure, png
from dataset_builder.provenance import RESULTS, provenance, results_folder, write_result
from dataset_builder.taxonomy import EMOTIONS, VALENCE
from eval.label_sets import label_sets
from eval.metrics import pearson
from eval.models import BiEncoder, about_weights, load_bi_encoder
from eval.valence import ANGLES, CIRCLE_AROUSAL, CIRCLE_VALENCE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEELINGS = tuple(emotion for emotion in EMOTIONS if emotion.name != "neutral")
# Words whose neighbours are listed: five labels of the taxonomy, and five other words.
ASKED = ("joy", "anger", "fear", "sadness", "love", "nostalgia", "quiet pride", "dread", "bored", "serene")
NEAREST = 5
# Okabe and Ito's colours, which people with any colour vision can distinguish; each group also has its own marker.
MARKS = {
    "anger": ("#D55E00", "s"), "disgust": ("#009E73", "P"), "fear": ("#000000", "^"), "joy": ("#E69F00", "o"),
    "sadness": ("#0072B2", "v"), "surprise": ("#CC79A7", "D"),
}  # fmt: skip


def leave_one_out_projections(embeddings: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the projection (words,) of each word on the axis of all others: the sum of (value - mean) · embedding."""
    found = np.zeros(len(values))
    for word in range(len(values)):
        others = np.arange(len(values)) != word
        axis = (values[others] - values[others].mean()) @ embeddings[others]
        found[word] = embeddings[word] @ axis / np.linalg.norm(axis)
    return found


def same_group(embeddings: np.ndarray, groups: np.ndarray) -> float:
    """Share of words whose nearest other word, by cosine, is in their group."""
    cosines = embeddings @ embeddings.T
    np.fill_diagonal(cosines, -np.inf)
    return float((groups[cosines.argmax(axis=1)] == groups).mean())


def by_chance(groups: np.ndarray) -> float:
    """Return the expected value of `same_group` for random neighbours."""
    sizes = np.unique(groups, return_counts=True)[1]
    return float((sizes * (sizes - 1)).sum() / (len(groups) * (len(groups) - 1)))


def probe(encoder: BiEncoder) -> dict[str, Any]:
    """Return metrics of the space, and the nearest words of some words, as a result file has them."""
    circle = encoder.embed_labels(list(ANGLES))
    felt = encoder.embed_labels([emotion.name for emotion in FEELINGS])
    groups = np.array([emotion.ekman for emotion in FEELINGS])
    sign = np.array([VALENCE[emotion.name] for emotion in FEELINGS])
    axis = felt[sign > 0].mean(axis=0) - felt[sign < 0].mean(axis=0)
    valence, arousal = (np.array(list(values.values())) for values in (CIRCLE_VALENCE, CIRCLE_AROUSAL))
    found = {
        "valence_axis": pearson(valence, leave_one_out_projections(circle, valence)),
        "arousal_axis": pearson(arousal, leave_one_out_projections(circle, arousal)),
        "valence_axis_of_taxonomy": pearson(valence, circle @ axis),
        "ekman_silhouette": float(silhouette_score(felt, groups, metric="cosine")),
        "ekman_same_group": same_group(felt, groups),
        "ekman_same_group_by_chance": by_chance(groups),
    }
    words = sorted({*ANGLES, *VALENCE, *(label.name for one in label_sets().values() for label in one.labels)})
    cosines = encoder.embed_labels(ASKED) @ encoder.embed_labels(words).T
    near = {}
    for word, row in zip(ASKED, np.argsort(-cosines, axis=1, kind="stable"), strict=True):
        near[word] = [words[column] for column in row if words[column] != word][:NEAREST]
    return {"metrics": {name: {"value": round(value, 4)} for name, value in found.items()}, "neighbours": near}


def picture(encoder: BiEncoder) -> bytes:
    """A PNG of the 27 emotions on the first two principal components of their embeddings, marked by Ekman group."""
    felt = encoder.embed_labels([emotion.name for emotion in FEELINGS])
    centred = felt - felt.mean(axis=0)
    _, strength, directions = np.linalg.svd(centred, full_matrices=False)
    places, share = centred @ directions[:2].T, strength**2 / (strength**2).sum()
    figure = new_figure(9, 7)
    axes = figure.subplots()
    for group, (colour, mark) in MARKS.items():
        rows = [row for row, emotion in enumerate(FEELINGS) if emotion.ekman == group]
        axes.scatter(places[rows, 0], places[rows, 1], c=colour, marker=mark, s=60, label=group)
    axes.margins(0.15)
    _write_names(axes, places)
    axes.set_xlabel(f"first principal component ({share[0]:.0%} of the variance)")
    axes.set_ylabel(f"second principal component ({share[1]:.0%})")
    axes.set_title(f"27 emotion words in the space of {encoder.name}")
    axes.legend(title="Ekman group")
    return png(figure)


def _write_names(axes: "Axes", places: np.ndarray) -> None:
    """Write each word beside its mark, on the first of four sides on which it overlaps no other word."""
    taken: list[Any] = []
    for emotion, place in zip(FEELINGS, places, strict=True):
        for x, y in ((5, 4), (-5, 4), (5, -12), (-5, -12)):
            side: Literal["left", "right"] = "left" if x > 0 else "right"
            text = axes.annotate(emotion.name, place, (x, y), textcoords="offset points", fontsize=9, ha=side)
            if not any(text.get_window_extent().overlaps(other) for other in taken):
                break
            text.remove()
        else:
            text = axes.annotate(emotion.name, place, (5, 4), textcoords="offset points", fontsize=9)
        taken.append(text.get_window_extent())


def main() -> None:
    """Parse the command line, probe, write."""
    parser = argparse.ArgumentParser(prog="python -m eval.probe", description="Probes a bi-encoder's space.")
    parser.add_argument("--model", required=True, help="a bi-encoder: a folder or Hub id")
    parser.add_argument("--beside", metavar="MODEL", help="another encoder, probed in the same way")
    parser.add_argument("--out", type=results_folder, default=RESULTS, help=f"default: {RESULTS}")
    args = parser.parse_args()
    encoder = load_bi_encoder(args.model)
    beside = load_bi_encoder(args.beside) if args.beside else None
    content: dict[str, Any] = {
        "name": encoder.name,
        "benchmark": "probe",
        **probe(encoder),
        "support": len(ANGLES) + len(FEELINGS),
        "threshold_source": "none: nothing is decided",
        **about_weights([encoder]),
        "data_revision": "words of eval/valence.py and dataset_builder/taxonomy.py",
    }
    if beside:
        content["beside"] = {"name": beside.name, "model_revision": beside.revision, **probe(beside)}
    path = write_result(content | provenance(), args.out, encoder.name, "probe")
    path.with_suffix(".png").write_bytes(picture(encoder))
    print(path)
    for metric, found in content["metrics"].items():
        also = f"   beside {content['beside']['metrics'][metric]['value']:g}" if beside else ""
        print(f"  {metric:<28}{found['value']:g}{also}")


if __name__ == "__main__":
    run_command(main)
