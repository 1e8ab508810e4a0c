from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge as Oracle
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score

from adapters.base import Task
from adapters.columns import Column, Kind, Rows
from adapters.folds import deal_folds
from adapters.methods.ridge import Ridge
from adapters.select import compare, pick, settle


@pytest.mark.parametrize("l2", [0.1, 3.0, 100.0])
@pytest.mark.parametrize(("counts", "d"), [((20, 5, 3), 12), ((6, 6), 12), ((4, 4, 4), 40)])
def test_it_is_scikit_learns_solution(make_task, l2, counts, d):
    task = make_task(counts, d=d)
    z = task.z.astype(np.float64)
    weights = len(task.y) / (len(counts) * np.bincount(task.y))[task.y]
    oracle = Oracle(alpha=l2 * (z**2).sum(axis=1).mean())
    oracle.fit(z, 2 * np.eye(len(counts))[task.y] - 1, sample_weight=weights)
    head = Ridge(l2=l2).fit(task)
    np.testing.assert_allclose(head.weight, oracle.coef_, atol=1e-6)
    np.testing.assert_allclose(head.bias, oracle.intercept_, atol=1e-6)


def test_one_factorisation_gives_the_fit_of_each_penalty(make_task):
    task = make_task()
    methods = Ridge().variants(task)
    for method, head in zip(methods, Ridge.fit_each(methods, task), strict=True):
        np.testing.assert_array_equal(head.weight, method.fit(task).weight)


def test_noise_asks_for_a_larger_penalty_than_order(make_task):
    clear, noisy = make_task((40, 40), spread=1.5, d=6), make_task((20, 20), spread=6.0, d=40)
    assert settle(Ridge(), noisy).l2 > settle(Ridge(), clear).l2


@pytest.mark.parametrize("l2", [0.001, 3.0, 1000.0])
@pytest.mark.parametrize(("n", "d"), [(60, 8), (12, 30)])
def test_numbers_are_scikit_learns_solution(make_regression, l2, n, d):
    task = make_regression(n, d=d, offset=5.0, scale=20.0)
    z = task.z.astype(np.float64)
    oracle = Oracle(alpha=l2 * (z**2).sum(axis=1).mean()).fit(z, task.y)
    head = Ridge(l2=l2).fit(task)
    np.testing.assert_allclose(head.weight[0], oracle.coef_, atol=1e-5)
    np.testing.assert_allclose(head.bias[0], oracle.intercept_, atol=1e-5)
    assert head.classes == ()


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e12])
@pytest.mark.parametrize("offset", [0.0, -1e3, 1e5])
def test_the_unit_and_the_origin_of_targets_do_not_matter(make_regression, scale, offset):
    """Beyond the digits that a float32 has left at that distance from zero."""
    plain = make_regression(noise=1.0)
    moved = replace(plain, y=scale * (plain.y + offset))
    expected = Ridge().fit(plain).scores(plain.z).astype(np.float64)
    seen = Ridge().fit(moved).scores(moved.z).astype(np.float64) / scale - offset
    np.testing.assert_allclose(seen, expected, atol=1e-5 + 4 * np.finfo(np.float32).eps * abs(offset))


def test_equal_targets_are_answered_as_they_are(make_regression):
    flat = replace(make_regression(20), y=np.full(20, 0.1))
    np.testing.assert_allclose(Ridge().fit(flat).scores(flat.z), 0.1, rtol=1e-6)


def test_the_grid_of_numbers_reaches_noise_and_order_alike(make_regression):
    clear, noisy = make_regression(300, d=5, noise=0.01), make_regression(30, d=200, noise=30.0)
    grid = [variant.l2 for variant in Ridge().variants(clear)]
    chosen = [settle(Ridge(), task).l2 for task in (clear, noisy)]
    assert chosen[0] < 0.1 < 1 < chosen[1]
    assert grid == sorted(grid, reverse=True)


def diabetes(as_table):
    x, y = load_diabetes(return_X_y=True)
    rows = Rows(x, np.empty((len(x), 0), object))
    if not as_table:
        return Task(x.astype(np.float32), y, (), np.arange(len(y)))
    return Task.of_rows(tuple(Column(f"c{j}", Kind.NUMBER) for j in range(10)), rows, y, (), np.arange(len(y)))


@pytest.mark.parametrize("as_table", [False, True])
def test_on_diabetes_it_explains_as_much_as_scikit_learns_choice_of_penalty(as_table):
    task = diabetes(as_table)
    x, folds = load_diabetes(return_X_y=True)[0] * np.sqrt(len(task.y)), deal_folds(task)
    oracle, ours = np.zeros(len(task.y)), np.zeros(len(task.y))
    for fold in range(5):
        inside = folds == fold
        training, held_out = task.split(inside)
        oracle[inside] = RidgeCV(np.logspace(-3, 4, 40)).fit(x[~inside], task.y[~inside]).predict(x[inside])
        ours[inside] = Ridge().fit(training).scores_of(held_out)[:, 0]
    assert r2_score(task.y, ours) == pytest.approx(r2_score(task.y, oracle), abs=0.01)
    comparison = compare(Ridge().variants(task), task)
    choice = pick(comparison, task.y, comparison.held_out)
    assert r2_score(task.y, comparison.scores[choice.index][:, 0]) >= r2_score(task.y, oracle) - 0.01
