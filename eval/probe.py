"""python -m eval.probe --model M [--beside MODEL] [--out DIR]

What a bi-encoder's space knows of emotion words, of which it was told no valence, arousal or group: writes
<out>/<model>/probe.json and probe.png.

- axes: valence and arousal of Russell's 28 words, each word projected on the axis that the other 27 give (weights are
  their values less the mean), against its value on the circle of affect; and valence on the axis from the taxonomy's
  negative to its positive labels;
- Ekman groups of the 27 emotions: silhouette by cosine distance, and the share whose nearest neighbour is of the same
  group (a guess by the groups' sizes beside it);
- neighbours of some words among all words known here.
"""

import argparse
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from sklearn.metrics import silhouette_score

from dataset_builder.inputs import run_command
from dataset_builder.provenance import RESULTS, provenance, results_folder, write_result
from dataset_builder.taxonomy import EMOTIONS, VALENCE
from eval.label_sets import label_sets
from eval.metrics import pearson
from eval.models import BiEncoder, about_weights, load_bi_encoder
from eval.valence import ANGLES, CIRCLE_AROUSAL, CIRCLE_VALENCE

FELT = tuple(emotion for emotion in EMOTIONS if emotion.name != "neutral")
ASKED = ("joy", "anger", "fear", "sadness", "love", "nostalgia", "quiet pride", "dread", "bored", "serene")
NEAREST = 5
# Okabe and Ito's colours, told apart by people with any kind of colour vision; each with a mark of its own.
MARKS = {
    "anger": ("#D55E00", "s"), "disgust": ("#009E73", "P"), "fear": ("#000000", "^"), "joy": ("#E69F00", "o"),
    "sadness": ("#0072B2", "v"), "surprise": ("#CC79A7", "D"),
}  # fmt: skip


def left_out(embeddings: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Projection (words,) of each word on the axis of all others: the sum of (value - mean) · embedding."""
    found = np.zeros(len(values))
    for word in range(len(values)):
        others = np.arange(len(values)) != word
        axis = (values[others] - values[others].mean()) @ embeddings[others]
        found[word] = embeddings[word] @ axis / np.linalg.norm(axis)
    return found


def same_group(embeddings: np.ndarray, groups: np.ndarray) -> float:
    """Share of words whose nearest other word, by cosine, is of their group."""
    cosines = embeddings @ embeddings.T
    np.fill_diagonal(cosines, -np.inf)
    return float((groups[cosines.argmax(axis=1)] == groups).mean())


def by_chance(groups: np.ndarray) -> float:
    """What `same_group` is on average where neighbours are drawn at random."""
    sizes = np.unique(groups, return_counts=True)[1]
    return float((sizes * (sizes - 1)).sum() / (len(groups) * (len(groups) - 1)))


def probe(encoder: BiEncoder) -> tuple[dict[str, dict[str, float]], dict[str, list[str]]]:
    """Metrics of the space, and the nearest words of some words."""
    circle = encoder.embed_labels(list(ANGLES))
    felt = encoder.embed_labels([emotion.name for emotion in FELT])
    groups = np.array([emotion.ekman for emotion in FELT])
    sign = np.array([VALENCE[emotion.name] for emotion in FELT])
    axis = felt[sign > 0].mean(axis=0) - felt[sign < 0].mean(axis=0)
    valence, arousal = (np.array(list(values.values())) for values in (CIRCLE_VALENCE, CIRCLE_AROUSAL))
    found = {
        "valence_axis": pearson(valence, left_out(circle, valence)),
        "arousal_axis": pearson(arousal, left_out(circle, arousal)),
        "valence_axis_of_taxonomy": pearson(valence, circle @ axis),
        "ekman_silhouette": float(silhouette_score(felt, groups, metric="cosine")),
        "ekman_same_group": same_group(felt, groups),
        "ekman_same_group_by_chance": by_chance(groups),
    }
    words = sorted({*ANGLES, *VALENCE, *(label.name for one in label_sets().values() for label in one.labels)})
    cosines = encoder.embed_labels(ASKED) @ encoder.embed_labels(words).T
    near = {}
    for row, word in enumerate(ASKED):
        order = [words[column] for column in np.argsort(-cosines[row], kind="stable") if words[column] != word]
        near[word] = order[:NEAREST]
    return {name: {"value": round(value, 4)} for name, value in found.items()}, near


def picture(encoder: BiEncoder, path: Path) -> None:
    """The 27 emotions on the first two principal components of their embeddings, marked by Ekman group."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    felt = encoder.embed_labels([emotion.name for emotion in FELT])
    centred = felt - felt.mean(axis=0)
    _, strength, directions = np.linalg.svd(centred, full_matrices=False)
    places, share = centred @ directions[:2].T, strength**2 / (strength**2).sum()
    figure, axes = plt.subplots(figsize=(9, 7), layout="constrained")
    for group, (colour, mark) in MARKS.items():
        rows = [row for row, emotion in enumerate(FELT) if emotion.ekman == group]
        axes.scatter(places[rows, 0], places[rows, 1], c=colour, marker=mark, s=60, label=group)
    axes.margins(0.15)
    _name(axes, places)
    axes.set_xlabel(f"first principal component ({share[0]:.0%} of the variance)")
    axes.set_ylabel(f"second principal component ({share[1]:.0%})")
    axes.set_title(f"27 emotion words in the space of {encoder.name}")
    axes.legend(title="Ekman group")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Software": None})
    plt.close(figure)


def _name(axes: Any, places: np.ndarray) -> None:
    """The words beside their marks, each on the first of four sides where it touches no other word."""
    taken: list[Any] = []
    for emotion, place in zip(FELT, places, strict=True):
        for x, y in ((5, 4), (-5, 4), (5, -12), (-5, -12)):
            side = "left" if x > 0 else "right"
            text = axes.annotate(emotion.name, place, (x, y), textcoords="offset points", fontsize=9, ha=side)
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
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
    metrics, near = probe(encoder)
    content: dict[str, Any] = {
        "name": encoder.name,
        "benchmark": "probe",
        "metrics": metrics,
        "neighbours": near,
        "support": len(ANGLES) + len(FELT),
        "threshold_source": "none: nothing is decided",
        **about_weights([encoder]),
        "data_revision": "words of eval/valence.py and dataset_builder/taxonomy.py",
    }
    if beside:
        others, theirs = probe(beside)
        own = {"name": beside.name, "model_revision": beside.revision}
        content["beside"] = own | {"metrics": others, "neighbours": theirs}
    name = encoder.name
    picture(encoder, args.out / name / "probe.png")
    print(write_result(content | provenance(), args.out, name, "probe"))
    for metric, found in metrics.items():
        also = f"   beside {content['beside']['metrics'][metric]['value']:g}" if beside else ""
        print(f"  {metric:<28}{found['value']:g}{also}")


if __name__ == "__main__":
    run_command(main)
