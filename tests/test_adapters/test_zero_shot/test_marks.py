from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from adapters.base import Task
from adapters.folds import NEVER
from adapters.zero_shot.marks import Classifiers, MarkedRows, fit_marks, slopes

D = 6


def make_rows(units=60, a=3, seed=0, **fields):
    """Rows that each are a unit of their own, with random marks that their embeddings follow."""
    rng = np.random.default_rng(seed)
    marks = rng.integers(0, 2, (units, a)).astype(np.float32)
    z = (marks @ rng.standard_normal((a, D)) + rng.standard_normal((units, D))).astype(np.float32)
    given = {
        "weights": np.ones(units),
        "unit": np.arange(units),
        "fold": np.full(units, NEVER),
        "check": lambda: None,
        "left_s": lambda: np.inf,
    }
    return MarkedRows(z, marks, **(given | fields))


def make_task(classes=9, rows=4, absent=1):
    y = np.repeat(np.arange(absent, classes), rows)
    z = np.random.default_rng(0).standard_normal((len(y), D)).astype(np.float32)
    return Task(z, y, tuple(f"class {c}" for c in range(classes)), np.arange(len(y)), seed=1)


def log_loss_at_optimum(rows, c, found):
    """How far the penalised loss of what was found is above the lowest there is, relative to that of nothing."""
    z, marks = rows.z.astype(float), rows.marks.astype(float)
    known = ~np.isnan(marks)
    penalty = (z**2).sum(axis=1).mean() / c

    def loss(weight, bias):
        odds = z @ weight.T + bias
        of_cells = np.where(known, np.logaddexp(0, odds) - np.nan_to_num(marks) * odds, 0)
        return of_cells.sum() + penalty / 2 * (weight**2).sum()

    a = marks.shape[1]

    def flat(point):
        return loss(point[: a * D].reshape(a, D), point[a * D :])

    best = minimize(flat, np.zeros(a * (D + 1)), method="L-BFGS-B", options={"maxiter": 2000, "maxfun": 200_000}).fun
    nothing = flat(np.zeros(a * (D + 1)))
    return (loss(found.weight, found.bias) - best) / (nothing - best)


def soft(marks):
    return (0.2 + 0.5 * marks).astype(np.float32)


def missing(marks):
    return np.where(np.random.default_rng(3).random(marks.shape) < 0.3, np.nan, marks).astype(np.float32)


@pytest.mark.parametrize("change", [np.array, soft, missing])
@pytest.mark.parametrize("c", [1.0, 10.0])
def test_without_folds_it_is_the_lowest_penalised_loss(change, c):
    rows = make_rows()
    rows = replace(rows, marks=change(rows.marks))
    assert log_loss_at_optimum(rows, c, next(fit_marks(rows, [c]))) < 2e-3


def test_rows_of_classes_weigh_as_their_class():
    task = make_task().rows(np.r_[0:20, 24:32])
    marks = np.arange(7)[:, None].astype(np.float32) / 6
    rows = MarkedRows.of_classes(task, marks)
    assert rows.weights.sum() == pytest.approx(7)
    np.testing.assert_allclose(np.bincount(rows.unit, rows.weights), 1)
    np.testing.assert_allclose(rows.marks[:, 0], rows.unit / 6)


def test_folds_hold_out_whole_classes():
    rows = MarkedRows.of_classes(make_task(), np.eye(8, dtype=np.float32))
    assert set(rows.fold) == {0, 1, 2}
    assert all(len(set(rows.fold[rows.unit == unit])) == 1 for unit in range(8))
    part = rows.without(0)
    assert part.weights.sum() == pytest.approx(len(set(part.unit)))
    assert 0 not in part.fold


def test_five_classes_are_too_few_to_hold_some_out():
    rows = MarkedRows.of_classes(make_task(classes=6), np.eye(5, dtype=np.float32))
    assert (rows.fold == NEVER).all()


def test_items_keep_their_groups_together():
    task = make_task()
    marks = np.random.default_rng(0).integers(0, 2, (len(task.y), 2)) > 0
    task = replace(task, y=marks, classes=("one", "two"), groups=np.arange(len(marks)) // 2)
    rows = MarkedRows.of_items(task, marks.astype(np.float32))
    assert rows.weights.sum() == pytest.approx(16)
    assert all(len(set(rows.fold[rows.unit == unit])) == 1 for unit in range(16))


def test_the_prior_counts_units_and_is_never_certain():
    rows = make_rows(units=4)
    marks = np.array([[1, 1, np.nan], [1, 0, 0.5], [1, 0, 1], [1, 0, np.nan]], dtype=np.float32)
    prior = replace(rows, marks=marks).prior
    np.testing.assert_allclose(prior, np.log([4.5 / 0.5, 1.5 / 3.5, 2.0 / 1.0]), atol=1e-6)


def test_what_varies():
    marks = np.array([[1, 1, np.nan, np.nan], [1, 0, 0.5, np.nan]], dtype=np.float32)
    rows = replace(make_rows(units=2), marks=marks)
    np.testing.assert_array_equal(rows.varies, [False, True, False, False])


def make_above(true, units=4000, seed=0):
    """Log odds above the prior that are to be multiplied by the true slopes, and marks drawn accordingly."""
    rng = np.random.default_rng(seed)
    true = np.asarray(true, dtype=float)
    above = 2 * rng.standard_normal((units, len(true)))
    marks = rng.random(above.shape) < 1 / (1 + np.exp(-true * above))
    return above, replace(make_rows(units=units, a=len(true)), marks=marks.astype(np.float32))


def test_slopes_are_those_by_which_marks_follow():
    above, rows = make_above([0.3, 1.0, 2.0])
    found = slopes(above, rows, np.ones(above.shape, dtype=np.bool_))
    np.testing.assert_allclose(found, [0.3, 1.0, 2.0], rtol=0.15)


def test_few_units_are_pulled_to_the_slope_of_all():
    above, rows = make_above([0.3, 1.0, 2.0], units=10)
    few = slopes(above, rows, np.ones(above.shape, dtype=np.bool_))
    assert np.ptp(few) < 0.5


def test_no_slope_is_negative():
    above, rows = make_above([-1.0, -1.0])
    assert (slopes(above, rows, np.ones(above.shape, dtype=np.bool_)) >= 0).all()


def test_what_does_not_count_changes_nothing():
    above, rows = make_above([0.5, 1.5], units=500)
    counted = np.ones(above.shape, dtype=np.bool_)
    counted[250:, 0] = False
    expected = slopes(above, rows, counted)
    above[250:, 0] = 99
    np.testing.assert_allclose(slopes(above, rows, counted), expected)


def test_where_nothing_is_known_slopes_are_one():
    above, rows = make_above([0.5, 1.5], units=50)
    np.testing.assert_array_equal(slopes(above, rows, np.zeros(above.shape, dtype=np.bool_)), 1)


def test_a_slope_turns_log_odds_about_the_prior():
    classifiers = Classifiers(np.ones((2, D)), np.array([3.0, 4.0]))
    z = np.random.default_rng(0).standard_normal((5, D)).astype(np.float32)
    prior = np.array([1.0, -1.0])
    sloped = classifiers.sloped(np.array([0.5, 0.0]), prior)
    expected = prior + [0.5, 0.0] * (classifiers.log_odds(z) - prior)
    np.testing.assert_allclose(sloped.log_odds(z), expected, atol=1e-5)


def test_held_out_log_odds_are_not_pulled_by_what_is_missing_from_the_rest():
    """Without classes that have an attribute the rest has it more seldom: that says nothing against a classifier."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(12), 40)
    z = rng.standard_normal((len(y), D)).astype(np.float32)
    z[:, 0] += 0.5 * (y % 2)
    task = Task(z, y, tuple(map(str, range(12))), np.arange(len(y)), seed=1)
    rows = MarkedRows.of_classes(task, (np.arange(12)[:, None] % 2).astype(np.float32))
    as_fitted = next(fit_marks(replace(rows, fold=np.full(len(y), NEVER)), [0.05])).weight[0, 0]
    assert next(fit_marks(rows, [0.05])).weight[0, 0] > 0.5 * as_fitted


def test_an_attribute_of_one_class_is_not_judged_by_those_that_never_saw_it():
    y = np.repeat(np.arange(12), 10)
    z = np.random.default_rng(0).standard_normal((len(y), D)).astype(np.float32)
    z[y == 0, 0] += 3
    task = Task(z, y, tuple(map(str, range(12))), np.arange(len(y)), seed=1)
    rows = MarkedRows.of_classes(task, (np.arange(12)[:, None] == 0).astype(np.float32))
    as_fitted = next(fit_marks(replace(rows, fold=np.full(len(y), NEVER)), [3.0])).weight[0, 0]
    assert next(fit_marks(rows, [3.0])).weight[0, 0] > 0.9 * as_fitted
