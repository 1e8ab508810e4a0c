import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, r2_score, roc_auc_score

from adapters.evaluate.metrics import (
    average_precision,
    expected_calibration_error,
    r2,
    r2_interval,
    roc_auc,
    weighted_median,
    wilson_interval,
)


def test_wilson_interval_is_the_textbooks():
    assert wilson_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson_interval(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)


def test_calibration_error_is_the_gap_between_confidence_and_truth():
    p = np.array([[0.9, 0.1]] * 10)
    assert expected_calibration_error(p, np.array([0] * 9 + [1])) == pytest.approx(0.0, abs=1e-9)
    assert expected_calibration_error(p, np.array([0] * 5 + [1] * 5)) == pytest.approx(0.4)
    assert expected_calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40))
def test_ranking_figures_are_scikit_learns_with_ties_too(rows):
    score = np.array([float(value) for value, _ in rows])
    positive = np.array([truth for _, truth in rows])
    positive[:2] = [True, False]
    for weights in (None, np.linspace(0.5, 2, len(rows))):
        expected = roc_auc_score(positive, score, sample_weight=weights)
        assert roc_auc(score, positive, weights) == pytest.approx(expected)
        expected = average_precision_score(positive, score, sample_weight=weights)
        assert average_precision(score, positive, weights) == pytest.approx(expected)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e12])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_r2_is_scikit_learns_in_any_unit(scale, offset):
    rng = np.random.default_rng(0)
    y = rng.standard_normal(50)
    predicted = y + rng.standard_normal(50)
    assert r2(scale * (y + offset), scale * (predicted + offset)) == pytest.approx(r2_score(y, predicted), rel=1e-6)


def test_equal_targets_have_no_r2():
    y = np.full(5, 3.3)
    assert r2(y, y) is r2_interval(y, y, np.arange(5), seed=0) is None
    assert r2_interval(np.arange(5.0), np.arange(5.0), np.zeros(5, np.int64), seed=0) is None


def test_targets_too_small_to_be_squared_have_no_r2():
    y = 1e-300 * np.arange(6)
    assert r2(y, y) is r2_interval(y, y, np.arange(6), seed=0) is None


@pytest.mark.parametrize("n", [1, 6, 7])
def test_a_weighted_median_counts_rows_as_often_as_they_weigh(n):
    rng = np.random.default_rng(n)
    y, times = rng.standard_normal(n), rng.integers(0, 4, n) + (np.arange(n) == 0)
    assert weighted_median(y) == np.median(y) == weighted_median(y, np.full(n, 0.1))
    assert weighted_median(y, times / 7) == pytest.approx(np.median(np.repeat(y, times)))


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """y = x + noise has an r2 of one half."""
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(60):
        x = rng.standard_normal(80)
        low, high = r2_interval(x + rng.standard_normal(80), x, np.arange(80), seed)
        covered += low <= 0.5 <= high
    assert 50 <= covered <= 60


def test_repeated_rows_do_not_narrow_the_interval_of_r2():
    rng = np.random.default_rng(2)
    x, groups = rng.standard_normal(40), np.arange(40)
    y = x + rng.standard_normal(40)
    once = r2_interval(y, x, groups, seed=0)
    again = r2_interval(np.repeat(y, 5), np.repeat(x, 5), np.repeat(groups, 5), seed=0)
    torn = r2_interval(np.repeat(y, 5), np.repeat(x, 5), np.arange(200), seed=0)
    assert again == pytest.approx(once)
    assert np.ptp(torn) < 0.7 * np.ptp(once)


def test_the_seed_decides_the_interval():
    rng = np.random.default_rng(3)
    y, x, groups = rng.standard_normal(30), rng.standard_normal(30), np.arange(30)
    assert r2_interval(y, x, groups, 0) == r2_interval(y, x, groups, 0) != r2_interval(y, x, groups, 1)


def test_a_weight_of_two_is_the_row_twice():
    rng = np.random.default_rng(0)
    y, predicted, p = rng.standard_normal(20), rng.standard_normal(20), rng.dirichlet([1, 1, 1], 20)
    weights, twice = 1.0 + np.arange(20) % 2, np.repeat(np.arange(20), 1 + np.arange(20) % 2)
    assert r2(y, predicted, weights) == pytest.approx(r2(y[twice], predicted[twice]), rel=1e-6)
    labels = rng.integers(0, 3, 20)
    seen = expected_calibration_error(p, labels, weights)
    assert seen == pytest.approx(expected_calibration_error(p[twice], labels[twice]))
