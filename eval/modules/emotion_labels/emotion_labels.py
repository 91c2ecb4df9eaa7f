"""A local module of `evaluate`: texts with any number of emotions, from probabilities and thresholds."""

import datasets
import evaluate
import numpy as np

from eval import metrics

DESCRIPTION = "F1 at given thresholds and at 0.5, ranking, calibration and set measures of multi-label predictions."
INPUTS = """
Args:
    predictions: a probability for each label, of each text.
    references: 0 or 1 for each label, of each text.
    thresholds: a threshold for each label, chosen on a development split; default: 0.5 for all.
Returns:
    macro_f1, micro_f1, weighted_f1, jaccard, subset_accuracy (at the thresholds), macro_f1_at_05, micro_f1_at_05,
    weighted_f1_at_05, average_precision, roc_auc, classwise_ece, ece (all decisions together), brier_skill, and
    per_label: f1, precision, recall of each, in order. Macro-F1 is over the labels that have a row.
"""


class EmotionLabels(evaluate.Metric):  # type: ignore[misc]
    """`evaluate.load("eval/modules/emotion_labels")`, from the root of the repository."""

    def _info(self) -> evaluate.MetricInfo:
        rows = {
            "predictions": datasets.List(datasets.Value("float32")),
            "references": datasets.List(datasets.Value("int32")),
        }
        return evaluate.MetricInfo(
            description=DESCRIPTION, citation="", inputs_description=INPUTS, features=datasets.Features(rows)
        )

    def _compute(
        self, predictions: list[list[float]], references: list[list[int]], thresholds: list[float] | None = None
    ) -> dict[str, object]:
        scores, gold = np.asarray(predictions, dtype=float), np.asarray(references)
        decided = (scores >= (0.5 if thresholds is None else np.asarray(thresholds))).astype(int)
        at_half = (scores >= 0.5).astype(int)
        f1 = {"macro_f1": metrics.macro_f1, "micro_f1": metrics.micro_f1, "weighted_f1": metrics.weighted_f1}
        return {
            **{name: function(gold, decided) for name, function in f1.items()},
            **{f"{name}_at_05": function(gold, at_half) for name, function in f1.items()},
            "jaccard": metrics.jaccard(gold, decided),
            "subset_accuracy": metrics.accuracy(gold, decided),
            "average_precision": metrics.average_precision(gold, scores),
            "roc_auc": metrics.roc_auc(gold, scores),
            "classwise_ece": metrics.classwise_calibration_error(gold, scores),
            "brier_skill": metrics.brier_skill(gold, scores),
            "ece": metrics.expected_calibration_error(gold, scores),
            "per_label": {name: values.tolist() for name, values in metrics.per_class(gold, decided).items()},
        }
