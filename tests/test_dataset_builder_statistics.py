"""Statistics: F1 of counts, intervals and how often they hold the truth, ranking with ties, calibration."""

import numpy as np
import pytest
import sklearn.metrics

from dataset_builder import thresholds
from dataset_builder.statistics import (
    RESAMPLES,
    average_precision,
    bootstrap,
    brier_skill,
    classwise_calibration_error,
    expected_calibration_error,
    f1_by_class,
    intervals,
    label_counts,
    macro_f1,
    mean_with_interval,
    micro_f1,
    roc_auc,
)
from eval import metrics
from eval.metrics import by_class, over_seeds

# GoEmotions' test split: rows of each label, of 5,427.
GOEMOTIONS = np.array(
    "504 264 198 320 351 135 153 284 83 151 267 123 37 103 78 352 6 161 238 23 186 16 145 11 56 156 141 1787".split(),
    dtype=int,
)


def predictions(draw: np.random.Generator, rows: int, prevalence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gold labels, and predictions with recall .55 and precision .52 for every label."""
    recall, precision = 0.55, 0.52
    gold = draw.random((rows, len(prevalence))) < prevalence
    wrongly = recall * prevalence * (1 - precision) / precision / (1 - prevalence)
    return gold, np.where(gold, draw.random(gold.shape) < recall, draw.random(gold.shape) < wrongly)


TRUE_F1 = 2 * 0.55 * 0.52 / (0.55 + 0.52)


def test_macro_f1_is_one_definition_on_development_and_test_splits() -> None:
    gold = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]])
    predicted = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 0], [0, 1, 0]])
    # label 0: 1 hit, 1 false, 1 missed: .5; label 1: 1; label 2 has no gold row and is left out, its one false positive
    # counts in micro-F1: 3 hits, 2 false, 1 missed
    assert macro_f1(gold, predicted) == pytest.approx(0.75)
    assert micro_f1(gold, predicted) == pytest.approx(6 / 9)
    scores = predicted * 0.8
    assert thresholds.global_threshold(scores, gold.astype(bool))[1] == pytest.approx(0.75)
    assert macro_f1(gold[:, :2], predicted[:, :2]) == sklearn.metrics.f1_score(
        gold[:, :2], predicted[:, :2], average="macro"
    )
    assert macro_f1(np.zeros((2, 3)), np.ones((2, 3))) == 0


def test_a_resample_s_sums_are_its_rows_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """The matrix product gives what the measure gives on the drawn rows; pieces of it are the same as the whole."""
    gold, predicted = predictions(np.random.default_rng(3), 40, np.full(4, 0.3))
    seen: list[np.ndarray] = []

    def watched(sums: np.ndarray) -> np.ndarray:
        seen.append(sums)
        return macro_f1.of(sums)

    whole = intervals(label_counts(gold, predicted), watched)
    resampled = seen[1]
    assert resampled.shape == (RESAMPLES, 12)
    drawn = np.random.default_rng(13).integers(0, 40, (RESAMPLES, 40))
    for number in (0, 1, RESAMPLES - 1):
        rows = drawn[number]
        assert float(macro_f1.of(resampled[number])) == pytest.approx(macro_f1(gold[rows], predicted[rows]))
    monkeypatch.setattr("dataset_builder.statistics.MAX_WEIGHTS", 1000)
    assert intervals(label_counts(gold, predicted), macro_f1.of) == pytest.approx(whole)
    assert bootstrap(macro_f1, gold, predicted) == pytest.approx(tuple(whole))


@pytest.mark.parametrize(
    ("rows", "least", "times"),
    [pytest.param(5427, 0.92, 60, marks=pytest.mark.end_to_end), (300, 0.88, 300)],
)
def test_an_interval_of_macro_f1_holds_the_truth_as_often_as_it_says(rows: int, least: float, times: int) -> None:
    draw = np.random.default_rng(1)
    found = np.array([bootstrap(macro_f1, *predictions(draw, rows, GOEMOTIONS / 5427)) for _ in range(times)])
    held = ((found[:, 0] <= TRUE_F1) & (found[:, 1] >= TRUE_F1)).mean()
    assert held >= least, held
    assert held < 1.0, "wide enough for anything"


def test_rows_that_hang_together_are_drawn_together() -> None:
    """Twenty persons with seven rows each, who are right or wrong throughout: 20 observations, not 140."""
    draw, held, by_rows = np.random.default_rng(2), [], []
    persons = np.repeat(np.arange(20), 7)
    for _ in range(200):
        right = np.repeat(draw.random(20) < 0.6, 7)[:, None].astype(int)
        gold = np.ones_like(right)
        low, high = bootstrap(metrics.accuracy, gold, right, clusters=persons.tolist())
        held.append(low <= 0.6 <= high)
        low, high = bootstrap(metrics.accuracy, gold, right)
        by_rows.append(low <= 0.6 <= high)
    assert np.mean(held) >= 0.9
    assert np.mean(by_rows) < 0.7
    with pytest.raises(ValueError, match="3 cluster ids for 140 rows"):
        bootstrap(metrics.accuracy, gold, right, clusters=["a", "b", "c"])


def test_an_absent_class_is_left_out_and_not_counted_as_zero() -> None:
    """A class of one row is missing from a third of the resamples; everything else is right."""
    gold = np.zeros((60, 2), dtype=int)
    gold[:, 0] = 1
    gold[0, 1] = 1
    predicted = gold.copy()
    predicted[1:7, 0] = 0
    low, high = bootstrap(macro_f1, gold, predicted)
    assert 0.8 < low < macro_f1(gold, predicted) < high


def test_where_there_is_no_interval() -> None:
    gold = np.eye(3, dtype=int)[np.arange(30) % 3]
    assert np.isnan(bootstrap(macro_f1, gold, gold)).all(), "everything right: resamples cannot vary"
    assert np.isnan(bootstrap(macro_f1, gold, 1 - gold, clusters=["one story"] * 30)).all()
    assert mean_with_interval(np.ones(9)) == {"value": 1.0}
    one, two = bootstrap(metrics.accuracy, gold, np.roll(gold, 1, axis=0) * (np.arange(30) < 9)[:, None])
    assert np.isnan(one)
    assert np.isnan(two)
    assert over_seeds(macro_f1, gold, gold[:, None]) == {"value": 1.0}


def test_a_class_of_fewer_than_five_rows_has_no_interval_of_its_own() -> None:
    draw = np.random.default_rng(4)
    gold = np.zeros((200, 3), dtype=int)
    gold[:4, 0] = gold[4:9, 1] = gold[9:60, 2] = 1
    predicted = np.where(draw.random(gold.shape) < 0.3, 1 - gold, gold)
    rows = by_class(("few", "five", "many"), gold, predicted[:, None])
    assert [("low" in row, "high" in row) for row in rows.values()] == [(False,) * 2, (True,) * 2, (True,) * 2]
    assert all(row["low"] < row["f1"] < row["high"] for name, row in rows.items() if name != "few")
    assert "low" in over_seeds(macro_f1, gold, predicted[:, None]), "macro-F1 keeps its interval"
    stories = ["a"] * 7 + ["b", "c"] + ["d", "e"] * 95 + ["f"]  # five rows of two stories say as little as two
    assert "low" not in by_class(("few", "five", "many"), gold, predicted[:, None], clusters=stories)["five"]
    low, _ = intervals(f1_by_class.rows(gold, predicted), f1_by_class.of)
    assert rows["many"]["low"] == pytest.approx(low[2], abs=1e-4)


def test_a_gain_is_paired_and_seeds_are_averaged() -> None:
    draw = np.random.default_rng(5)
    gold, predicted = predictions(draw, 400, np.full(4, 0.3))
    better = np.where(draw.random(gold.shape) < 0.1, gold, predicted)  # some of it mended
    both = np.stack([better, predicted], axis=1)
    gain = micro_f1.difference()
    assert gain(gold, both) == pytest.approx(micro_f1(gold, better) - micro_f1(gold, predicted))
    low, high = bootstrap(gain, gold, both)
    assert 0 < low < gain(gold, both) < high
    apart = [bootstrap(micro_f1, gold, of) for of in (better, predicted)]
    assert high - low < (apart[0][1] - apart[0][0] + apart[1][1] - apart[1][0]) / 2, "paired: narrower than the two"
    mean = micro_f1.mean_over_seeds(2)
    assert mean(gold, both) == pytest.approx((micro_f1(gold, better) + micro_f1(gold, predicted)) / 2)


def test_intervals_of_correlations_are_near_the_textbook_s() -> None:
    draw = np.random.default_rng(6)
    one = draw.normal(size=500) + 3
    two = 0.6 * (one - 3) + 0.8 * draw.normal(size=500) + 3
    value = metrics.pearson(one, two)
    low, high = bootstrap(metrics.pearson, one, two)
    fisher = np.tanh(np.arctanh(value) + np.array([-1.96, 1.96]) / np.sqrt(497))
    assert (low, high) == pytest.approx(tuple(fisher), abs=0.02)
    low, high = bootstrap(metrics.concordance, one, two)
    assert low < metrics.concordance(one, two) < high
    assert metrics.pearson(np.ones(9), one[:9]) == 0


def test_the_order_of_rows_has_no_part_in_a_ranking_with_ties() -> None:
    gold = np.array([[1], [1], [0], [0], [0], [0]])
    constant = np.zeros((6, 1))
    assert average_precision(gold, constant) == average_precision(gold[::-1], constant) == pytest.approx(1 / 3)
    assert roc_auc(gold, constant) == roc_auc(gold[::-1], constant) == 0.5
    draw = np.random.default_rng(0)
    gold = (draw.random((500, 6)) < 0.1).astype(int)
    scores = np.where(draw.random(gold.shape) < 0.3, gold * 0.8 + 0.1, 0.0)  # most are 0, as a teacher gives them
    order = np.argsort(-gold.sum(axis=1))
    for ours, theirs in (
        (average_precision, sklearn.metrics.average_precision_score),
        (roc_auc, sklearn.metrics.roc_auc_score),
    ):
        assert ours(gold, scores) == pytest.approx(theirs(gold, scores))
        assert ours(gold[order], scores[order]) == pytest.approx(ours(gold, scores))
    empty = np.concatenate([gold, np.zeros((500, 1), dtype=int)], axis=1)
    wider = np.concatenate([scores, scores[:, :1]], axis=1)
    assert average_precision(empty, wider) == pytest.approx(average_precision(gold, scores)), "it has no gold row"
    assert (average_precision(empty[:, 6:], wider[:, 6:]), roc_auc(empty[:, 6:], wider[:, 6:])) == (0.0, 0.5)


def test_calibration_error_by_hand() -> None:
    gold = np.array([[1], [0], [0], [0]])
    assert expected_calibration_error(gold, np.full((4, 1), 0.25)) == pytest.approx(0)
    assert expected_calibration_error(gold, np.full((4, 1), 0.75)) == pytest.approx(0.5)
    assert expected_calibration_error(np.ones((2, 1)), np.ones((2, 1))) == 0


def test_one_constant_for_all_labels_is_not_calibrated() -> None:
    """Pooled over labels it looks perfect: a rare label's probability is as much too high as a common one's too low."""
    gold = np.zeros((100, 2), dtype=int)
    gold[:10, 0] = gold[:30, 1] = 1
    constant = np.full((100, 2), 0.2)
    assert expected_calibration_error(gold, constant) == pytest.approx(0)
    assert classwise_calibration_error(gold, constant) == pytest.approx(0.1)
    shares = np.tile([0.1, 0.3], (100, 1))
    assert classwise_calibration_error(gold, shares) == pytest.approx(0)
    # squared errors: of the shares 100 (.09 + .21), of the constant 20 (.1) more by (.1)² a decision
    assert brier_skill(gold, shares) == pytest.approx(0)
    assert brier_skill(gold, constant) == pytest.approx(-200 * 0.01 / (100 * (0.09 + 0.21)))
    assert brier_skill(gold, gold.astype(float)) == 1
    assert brier_skill(np.ones((3, 1)), np.ones((3, 1))) == 0
