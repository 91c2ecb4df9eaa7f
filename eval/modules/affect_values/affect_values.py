"""A local module of `evaluate`: ratings, such as of valence, by Pearson's and Lin's coefficients."""

import datasets
import evaluate
import numpy as np

from eval import metrics

DESCRIPTION = "Pearson's correlation, and Lin's concordance, which asks for the same scale too."
INPUTS = """
Args:
    predictions: a value of each text.
    references: alike, on the same scale.
Returns:
    pearson, concordance.
"""


class AffectValues(evaluate.Metric):  # type: ignore[misc]
    """`evaluate.load("eval/modules/affect_values")`, from the root of the repository."""

    def _info(self) -> evaluate.MetricInfo:
        number = datasets.Value("float32")
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="Lin 1989, Biometrics 45",
            inputs_description=INPUTS,
            features=datasets.Features({"predictions": number, "references": number}),
        )

    def _compute(self, predictions: list[float], references: list[float]) -> dict[str, float]:
        gold, told = np.asarray(references, dtype=float), np.asarray(predictions, dtype=float)
        return {"pearson": metrics.pearson(gold, told), "concordance": metrics.concordance(gold, told)}
