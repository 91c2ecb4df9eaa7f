"""Every measure by hand, and as the libraries have it."""

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from dataset_builder.statistics import (
    expected_calibration_error,
    macro_f1,
    macro_recall,
    micro_f1,
    weighted_f1,
)
from eval.metrics import absolute_error, accuracy, concordance, jaccard, pearson, per_class, reliability


def test_f1_by_hand() -> None:
    gold = np.array([[1, 0], [1, 0], [0, 1], [0, 1]])
    predicted = np.array([[1, 0], [0, 0], [1, 1], [0, 1]])
    # class 0: 1 hit, 1 false, 1 missed -> 0.5; class 1: 2 hits -> 1.0; together 3 hits, 1 false, 1 missed
    assert macro_f1(gold, predicted) == pytest.approx(0.75)
    assert micro_f1(gold, predicted) == pytest.approx(0.75)
    assert per_class(gold, predicted)["f1"].tolist() == pytest.approx([0.5, 1.0])
    assert macro_f1(gold, np.zeros_like(gold)) == 0


def test_measures_of_one_class_a_text_by_hand() -> None:
    # happy hit, sad taken for others, two others taken for angry, one others hit
    gold = np.eye(4, dtype=int)[[0, 1, 3, 3, 3]]
    predicted = np.eye(4, dtype=int)[[0, 3, 2, 2, 3]]
    assert accuracy(gold, predicted) == pytest.approx(2 / 5)
    # others: 1 hit, 1 false, 2 missed
    assert per_class(gold, predicted)["f1"].tolist() == pytest.approx([1, 0, 0, 2 / 5])
    assert macro_f1(gold, predicted) == pytest.approx(1.4 / 3)  # nobody is angry: that class is left out
    assert weighted_f1(gold, predicted) == pytest.approx((1 * 1 + 3 * 2 / 5) / 5)
    # over the emotions: 1 hit of 3 predicted and of 2 gold
    assert micro_f1(gold[:, :3], predicted[:, :3]) == pytest.approx(2 / 5)


def test_they_are_scikit_learn_s() -> None:
    draw = np.random.default_rng(0)
    gold, predicted = draw.integers(0, 4, (2, 300))
    one_hot = (np.eye(4, dtype=int)[gold], np.eye(4, dtype=int)[predicted])
    assert accuracy(*one_hot) == pytest.approx(sklearn.metrics.accuracy_score(gold, predicted))
    for ours, average in ((macro_f1, "macro"), (weighted_f1, "weighted")):
        assert ours(*one_hot) == pytest.approx(sklearn.metrics.f1_score(gold, predicted, average=average))
    assert macro_recall(*one_hot) == pytest.approx(sklearn.metrics.balanced_accuracy_score(gold, predicted))
    ratings = draw.uniform(1, 5, (2, 300))
    assert absolute_error(*ratings) == pytest.approx(sklearn.metrics.mean_absolute_error(*ratings))
    emotions = sklearn.metrics.f1_score(gold, predicted, labels=[0, 1, 2], average="micro")
    assert micro_f1(one_hot[0][:, :3], one_hot[1][:, :3]) == pytest.approx(emotions)


def test_precision_and_recall_by_hand() -> None:
    gold = np.array([[1, 0], [1, 0], [0, 1], [0, 1]])
    predicted = np.array([[1, 0], [0, 0], [1, 1], [0, 0]])
    found = per_class(gold, predicted)
    assert found["precision"].tolist() == [0.5, 1.0]
    assert found["recall"].tolist() == [0.5, 0.5]


def test_set_measures_by_hand() -> None:
    gold = np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]])
    predicted = np.array([[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 1, 0]])
    assert jaccard(gold, predicted) == pytest.approx((1 / 2 + 1 + 1 + 0) / 4)  # none of none is right
    assert accuracy(gold, predicted) == pytest.approx(2 / 4)


def test_concordance_by_hand() -> None:
    gold = np.array([1.0, 2.0, 3.0])
    assert concordance(gold, gold) == pytest.approx(1)
    # the same line one higher: covariance 2/3, variances 2/3 each, means 1 apart
    assert concordance(gold, gold + 1) == pytest.approx(2 * (2 / 3) / (4 / 3 + 1))
    assert pearson(gold, gold + 1) == pytest.approx(1)
    assert concordance(gold, -gold) < 0
    assert concordance(np.ones(3), np.ones(3)) == 0


def test_reliability_by_hand() -> None:
    gold = np.array([[1, 0], [0, 0]])
    found = reliability(gold, np.array([[0.94, 0.1], [0.96, 0.1]]))
    assert found == [
        {"probability": 0.1, "frequency": 0.0, "decisions": 2},
        {"probability": 0.95, "frequency": 0.5, "decisions": 2},
    ]
    apart = sum(abs(one["probability"] - one["frequency"]) * one["decisions"] for one in found) / 4
    assert apart == pytest.approx(expected_calibration_error(gold, np.array([[0.94, 0.1], [0.96, 0.1]])))


def test_measures_of_sets_and_values_are_the_libraries() -> None:
    draw = np.random.default_rng(1)
    gold = draw.integers(0, 2, (200, 6))
    scores = gold * 0.3 + draw.random((200, 6))
    decided = (scores > 0.7).astype(int)
    assert jaccard(gold, decided) == pytest.approx(
        sklearn.metrics.jaccard_score(gold, decided, average="samples", zero_division=1)
    )
    precision, recall, f1, _ = sklearn.metrics.precision_recall_fscore_support(gold, decided)
    assert per_class(gold, decided)["precision"] == pytest.approx(precision)
    assert per_class(gold, decided)["recall"] == pytest.approx(recall)
    assert per_class(gold, decided)["f1"] == pytest.approx(f1)
    assert pearson(scores[:, 1], scores[:, 0]) == pytest.approx(scipy.stats.pearsonr(scores[:, 1], scores[:, 0])[0])
    assert pearson(np.array([1.0, 2, 3]), np.zeros(3)) == 0
