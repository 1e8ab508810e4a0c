import numpy as np
import pytest

from adapters import linalg
from adapters.linalg import (
    blocks,
    class_masses,
    class_means,
    class_sums,
    log_softmax,
    mean_squared_norm,
    row_weights,
    standardise,
    thin_svd,
    unit_rows,
    unit_weights,
)


@pytest.mark.parametrize("shape", [(30, 8), (8, 30), (9, 9)])
def test_thin_svd_puts_the_matrix_together_again(shape):
    x = np.random.default_rng(0).standard_normal(shape)
    u, squared, v = thin_svd(x)
    np.testing.assert_allclose(u * np.sqrt(squared) @ v.T, x, atol=1e-9)
    np.testing.assert_allclose(v.T @ v, np.eye(len(squared)), atol=1e-6)


def test_thin_svd_leaves_out_what_carries_nothing():
    x = np.random.default_rng(0).standard_normal((30, 2)) @ np.ones((2, 8))
    assert [a.shape for a in thin_svd(x)] == [(30, 1), (1,), (8, 1)]
    assert [a.shape for a in thin_svd(np.zeros((5, 3)))] == [(5, 0), (0,), (3, 0)]


def test_class_means_are_means_of_each_class():
    z = np.array([[1, 1], [3, 3], [5, 7]], np.float32)
    np.testing.assert_allclose(class_means(z, np.array([1, 1, 0]), 2), [[5, 7], [2, 2]])


def test_weighted_means_are_means_of_repeated_rows():
    rng = np.random.default_rng(0)
    z, y, times = rng.standard_normal((20, 3)).astype(np.float32), rng.integers(0, 4, 20), rng.integers(0, 3, 20)
    again = np.repeat(np.arange(20), times)
    np.testing.assert_allclose(class_sums(z, y, 4, times.astype(float)), class_sums(z[again], y[again], 4), atol=1e-6)
    np.testing.assert_allclose(class_means(z, y, 4, times.astype(float)), class_means(z[again], y[again], 4))
    assert class_masses(y, 4, times.astype(float)).tolist() == class_masses(y[again], 4).tolist()


def test_a_class_whose_rows_weigh_nothing_has_the_mean_of_all():
    z = np.array([[1, 1], [3, 3], [5, 7]], np.float32)
    np.testing.assert_allclose(class_means(z, np.array([0, 0, 1]), 3, np.array([1.0, 1, 0])), [[2, 2]] * 3)


def test_sums_do_not_depend_on_how_many_rows_are_taken_at_a_time(monkeypatch):
    rng = np.random.default_rng(0)
    z, y = rng.standard_normal((50, 4)).astype(np.float32), rng.integers(0, 9, 50)
    monkeypatch.setattr(linalg, "_BLOCK_VALUES", 4 * 7)
    assert [(rows.start, rows.stop) for rows in blocks(z)][:2] == [(0, 7), (7, 14)]
    expected = np.stack([z[y == c].astype(np.float64).sum(axis=0) for c in range(9)])
    np.testing.assert_allclose(class_sums(z, y, 9), expected, atol=1e-12)


def test_weights_come_in_any_unit_and_rows_of_none_do_not_count():
    given = np.array([0, 2.0, 4.0, 0])
    assert unit_weights(4, given).tolist() == unit_weights(4, 1e-3 * given).tolist() == [0, 2 / 3, 4 / 3, 0]
    assert unit_weights(2, np.zeros(2)).tolist() == unit_weights(2, None).tolist() == [1, 1]


def test_rows_that_weigh_nothing_change_no_balance():
    y = np.array([0, 0, 0, 1, 1])
    weights = row_weights(y, 2, balanced=True, given=np.array([1.0, 1, 0, 3, 3]))
    np.testing.assert_allclose(weights, [1, 1, 0, 1, 1])
    assert row_weights(y, 3, balanced=True, given=np.array([1.0, 1, 1, 0, 0])).tolist() == [1, 1, 1, 0, 0]


def test_balanced_weights_give_each_class_the_same_sum():
    y = np.array([0, 0, 0, 1])
    weights = row_weights(y, 2, balanced=True)
    assert weights[:3].sum() == pytest.approx(weights[3]) == pytest.approx(2)
    assert row_weights(y, 2, balanced=False).tolist() == [1, 1, 1, 1]


def test_mean_squared_norm_is_one_for_unit_rows_and_for_nothing():
    assert mean_squared_norm(np.array([[3, 4], [0, 5]], np.float32)) == pytest.approx(25)
    assert mean_squared_norm(np.zeros((2, 2), np.float32)) == 1


def test_the_weighted_mean_squared_norm_is_that_of_repeated_rows():
    z = np.array([[3, 4], [0, 2]], np.float32)
    assert mean_squared_norm(z, np.array([1.0, 2.0])) == pytest.approx((25 + 4 + 4) / 3)


def test_weighted_values_are_standardised_as_repeated_ones():
    values, times = np.array([1.0, 5.0, 6.0]), np.array([3, 1, 2])
    standard, mean, deviation = standardise(values, times.astype(float))
    again, *others = standardise(np.repeat(values, times))
    np.testing.assert_allclose([mean, deviation], others)
    np.testing.assert_allclose(np.repeat(standard, times), again)


def test_unit_rows_leave_a_zero_row():
    np.testing.assert_allclose(unit_rows(np.array([[3.0, 4], [0, 0]])), [[0.6, 0.8], [0, 0]])


def test_log_softmax_survives_large_scores():
    np.testing.assert_allclose(log_softmax(np.array([[1e4, 0.0], [0, 0]])), [[0, -1e4], [np.log(0.5)] * 2])


@pytest.mark.parametrize(("offset", "scale"), [(0, 1), (-1e6, 1), (3, 1e-9), (1e12, 1e12)])
def test_standardised_values_have_mean_0_and_deviation_1_and_come_back(offset, scale):
    values = offset + scale * np.random.default_rng(0).standard_normal(50)
    standard, mean, deviation = standardise(values)
    assert [standard.mean(), standard.std()] == pytest.approx([0, 1], abs=1e-5)
    np.testing.assert_allclose(mean + deviation * standard, values, rtol=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e20])
def test_equal_values_keep_their_unit(value):
    standard, mean, deviation = standardise(np.full(7, value))
    assert deviation == 1
    assert mean == pytest.approx(value)
    np.testing.assert_allclose(standard, 0, atol=1e-12 * max(1, value))
