"""How metrics are called, in tables and on the Hub, and which of them a card shows."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Title(NamedTuple):
    """A metric's name for people, and the Hub's name of its kind with the arguments that tell two apart."""

    title: str
    hub: str = ""
    arguments: Mapping[str, Any] = MappingProxyType({})


METRICS = {
    "macro_f1": Title("macro-F1", "f1", {"average": "macro"}),
    "micro_f1": Title("micro-F1", "f1", {"average": "micro"}),
    "macro_f1_at_05": Title("macro-F1 at 0.5", "f1", {"average": "macro", "threshold": 0.5}),
    "average_precision": Title("mean average precision"),
    "classwise_ece": Title("class-wise calibration error"),
    "ece": Title("pooled calibration error"),
    "brier_skill": Title("Brier skill"),
    "accuracy": Title("accuracy", "accuracy"),
    "weighted_f1": Title("weighted F1", "f1", {"average": "weighted"}),
    "micro_f1_emotions": Title("micro-F1 of the emotions", "f1", {"average": "micro"}),
    "jaccard": Title("mean Jaccard index", "jaccard"),
    "pearson_valence": Title("Pearson's r", "pearsonr"),
    "concordance_valence": Title("concordance"),
}
# What is shown of a benchmark, by its kind; where a bi-encoder was asked about the classes by name, only a part of it.
COLUMNS = {
    "several": (
        "macro_f1",
        "micro_f1",
        "macro_f1_at_05",
        "average_precision",
        "classwise_ece",
        "ece",
        "brier_skill",
    ),
    "single": ("macro_f1", "accuracy", "weighted_f1", "micro_f1_emotions"),
    "affect": ("pearson_valence", "concordance_valence"),
}
BY_NAME = {
    "several": ("macro_f1", "micro_f1", "average_precision"),
    "single": ("macro_f1", "accuracy"),
    "affect": ("pearson_valence",),
}
