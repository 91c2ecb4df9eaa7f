"""Applies the recipe's gates to the metrics of a corpus.

These metrics get worse with size: a corpus passes only at the size of the reference values, and fails at any size.
"""

from typing import Literal, NamedTuple

from dataset_builder.recipe import Gate, Gates

# Reference values are of 10,000 texts and 500 kB; the smallest reference set has 7,666 texts and 422 kB.
FEWEST_TEXTS = 7_500
FEWEST_BYTES = 400_000
LOWER_IS_WORSE = frozenset({"distinct_2"})

State = Literal["ok", "warn", "FAIL", "too small to judge"]


class Verdict(NamedTuple):
    """The state of a gate for a metric of a config."""

    config: str
    measure: str
    value: float
    gate: Gate
    state: State

    def limits(self) -> str:
        """Return the limits in words, such as `warn above 2.6, fail above 2.8`."""
        side = "below" if self.measure in LOWER_IS_WORSE else "above"
        levels = (("warn", self.gate.warn), ("fail", self.gate.fail))
        return ", ".join(f"{level} {side} {limit:g}" for level, limit in levels if limit is not None)


def judge(config: str, metrics: dict[str, dict[str, float]], gates: Gates) -> list[Verdict]:
    """Return the verdict of every gate that has a limit and whose metric was computed."""
    verdicts = []
    for measure in type(gates).model_fields:
        gate, metric = getattr(gates, measure), metrics.get(measure)
        if metric and (gate.warn is not None or gate.fail is not None):
            verdicts.append(Verdict(config, measure, metric["value"], gate, _state(measure, metric, gate)))
    return verdicts


def _state(measure: str, metric: dict[str, float], gate: Gate) -> State:
    sign = -1 if measure in LOWER_IS_WORSE else 1
    for level, limit in (("FAIL", gate.fail), ("warn", gate.warn)):
        if limit is not None and sign * metric["value"] > sign * limit:
            return "FAIL" if level == "FAIL" else "warn"
    if metric.get("bytes", FEWEST_BYTES) < FEWEST_BYTES or metric.get("texts", FEWEST_TEXTS) < FEWEST_TEXTS:
        return "too small to judge"
    return "ok"
