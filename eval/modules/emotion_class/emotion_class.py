"""A local module of `evaluate`: one emotion a text, with EmoContext's micro-F1 over the emotions among the classes."""

import datasets
import evaluate
import numpy as np

from eval import metrics

DESCRIPTION = "Accuracy and F1 of one class a text; micro-F1 over the classes that are emotions, as EmoContext has it."
INPUTS = """
Args:
    predictions: the number of a class, of each text.
    references: alike.
    classes: how many classes there are.
    emotions: the numbers of the classes that count in `micro_f1_emotions` (EmoContext: happy, sad, angry, not others).
Returns:
    accuracy, macro_f1, weighted_f1 and, where emotions are given, micro_f1_emotions.
"""


class EmotionClass(evaluate.Metric):  # type: ignore[misc]
    """`evaluate.load("eval/modules/emotion_class")`, from the root of the repository."""

    def _info(self) -> evaluate.MetricInfo:
        number = datasets.Value("int32")
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="Chatterjee et al. 2019, S19-2005",
            inputs_description=INPUTS,
            features=datasets.Features({"predictions": number, "references": number}),
        )

    def _compute(
        self, predictions: list[int], references: list[int], classes: int, emotions: list[int] | None = None
    ) -> dict[str, float]:
        gold, decided = (np.eye(classes, dtype=int)[np.asarray(numbers)] for numbers in (references, predictions))
        functions = {"accuracy": metrics.accuracy, "macro_f1": metrics.macro_f1, "weighted_f1": metrics.weighted_f1}
        found = {name: function(gold, decided) for name, function in functions.items()}
        if emotions:
            found["micro_f1_emotions"] = metrics.micro_f1(gold[:, emotions], decided[:, emotions])
        return found
