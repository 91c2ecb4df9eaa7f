"""The names of metrics in tables and on the Hub, and which metrics a card shows."""

from typing import Any

# A metric's display name, and the Hub's name for its kind with the arguments that distinguish variants.
METRICS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "macro_f1": ("macro-F1", "f1", {"average": "macro"}),
    "micro_f1": ("micro-F1", "f1", {"average": "micro"}),
    "macro_f1_dev_thresholds": ("macro-F1, thresholds from its development split", "", {}),
    "macro_f1_at_05": ("macro-F1 at 0.5", "f1", {"average": "macro", "threshold": 0.5}),
    "average_precision": ("mean average precision", "", {}),
    "classwise_ece": ("class-wise calibration error", "", {}),
    "ece": ("pooled calibration error", "", {}),
    "brier_skill": ("Brier skill", "", {}),
    "accuracy": ("accuracy", "accuracy", {}),
    "weighted_f1": ("weighted F1", "f1", {"average": "weighted"}),
    "accuracy_second_reader": ("accuracy by the second reader", "", {}),
    "sets_right": ("sets with all rows right", "", {}),
    "feelings_as_neutral": ("feelings read as neutral", "", {}),
    "neutral_as_feeling": ("neutral read as a feeling", "", {}),
    "micro_f1_emotions": ("micro-F1 of the emotions", "f1", {"average": "micro"}),
    "jaccard": ("mean Jaccard index", "jaccard", {}),
    "macro_recall": ("unweighted average recall", "recall", {"average": "macro"}),
    "pearson_valence": ("Pearson's r", "pearsonr", {}),
    "mae_valence": ("mean absolute error", "mae", {}),
    "concordance_valence": ("concordance", "", {}),
}
TITLES = {name: title for name, (title, _, _) in METRICS.items()}
# The metrics shown for a benchmark, by kind; fewer for a bi-encoder that used the class names as labels.
COLUMNS = {
    "several": (
        "macro_f1",
        "macro_f1_dev_thresholds",
        "micro_f1",
        "macro_f1_at_05",
        "average_precision",
        "classwise_ece",
        "ece",
        "brier_skill",
    ),
    "single": (
        "macro_f1",
        "accuracy",
        "accuracy_second_reader",
        "weighted_f1",
        "macro_recall",
        "micro_f1_emotions",
        "sets_right",
        "feelings_as_neutral",
        "neutral_as_feeling",
    ),
    "affect": ("pearson_valence", "concordance_valence", "mae_valence"),
}
BY_NAME = {
    "several": ("macro_f1", "micro_f1", "average_precision"),
    "single": ("macro_f1", "accuracy", "feelings_as_neutral"),
    "affect": ("pearson_valence",),
}
