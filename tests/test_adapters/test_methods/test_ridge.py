import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge as Oracle
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score

from adapters import gram
from adapters.base import Task
from adapters.columns import Column, Kind, Rows
from adapters.folds import deal_folds
from adapters.methods.ridge import Ridge, leave_one_out
from adapters.select import compare, pick, settle


@pytest.fixture
def make_marks():
    """A function that draws rows with any number of three classes, which embeddings tell but for some noise."""

    def make(n=40, d=10, seed=0, **fields):
        rng = np.random.default_rng(seed)
        z = rng.standard_normal((n, d)).astype(np.float32)
        marks = z @ rng.standard_normal((d, 3)) + 0.5 * rng.standard_normal((n, 3)) > 0.5
        return Task(z, marks, ("a", "b", "c"), np.arange(n), **fields)

    return make


def brute_force(task, l2, targets, weights):
    """What scikit-learn says of each row when fitted without it, all else as it is with it."""
    z, given = task.z.astype(np.float64), np.ones(len(task.y)) if task.weights is None else task.weights
    penalty = l2 * np.average((z**2).sum(axis=1), weights=given)
    seen = np.empty(targets.shape)
    for row in range(len(z)):
        rest = np.arange(len(z)) != row
        oracle = Oracle(alpha=penalty, solver="cholesky").fit(z[rest], targets[rest], sample_weight=weights[rest])
        seen[row] = oracle.predict(z[row : row + 1])
    return seen


def unit(weights):
    return weights / weights[weights > 0].mean()


WEIGHTS = np.array([1.0, 2, 0, 0.5, 3, 1] * 3)


@pytest.mark.parametrize("d", [5, 30])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["even", "weighted"])
def test_leaving_one_out_of_balanced_classes_is_exact(make_task, d, weights):
    task = make_task((9, 6, 3), d=d, weights=weights)
    given = np.ones(18) if weights is None else unit(weights)
    balanced = given / np.bincount(task.y, given)[task.y]
    targets = 2 * np.eye(3)[task.y] - 1
    for l2, seen in zip((0.01, 3.0), leave_one_out(task, (0.01, 3.0)), strict=True):
        np.testing.assert_allclose(seen, brute_force(task, l2, targets, unit(balanced)), atol=1e-8)


@pytest.mark.parametrize("d", [5, 30])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["even", "weighted"])
def test_leaving_one_out_of_numbers_is_exact(make_regression, d, weights):
    task = make_regression(18, d=d, offset=7.0, scale=3.0, weights=weights)
    given = np.ones(18) if weights is None else unit(weights)
    for l2, seen in zip((0.01, 3.0), leave_one_out(task, (0.01, 3.0)), strict=True):
        np.testing.assert_allclose(seen, brute_force(task, l2, task.y[:, None], given), atol=1e-8)


def test_leaving_one_out_of_marks_is_exact(make_marks):
    task = make_marks(18, weights=WEIGHTS)
    (seen,) = leave_one_out(task, (0.3,))
    np.testing.assert_allclose(seen, brute_force(task, 0.3, 2.0 * task.y - 1, unit(WEIGHTS)), atol=1e-8)


def test_leave_one_out_chooses_one_value_of_the_grid(make_regression, make_task):
    clear, noisy = make_regression(200, d=5, noise=0.01), make_regression(40, d=200, noise=30.0)
    method = Ridge(choose="leave-one-out")
    (of_clear,), (of_noisy,) = method.variants(clear), method.variants(noisy)
    assert of_clear.l2 < 0.1 < 1 < of_noisy.l2
    assert len(method.variants(make_task((5, 5, 5)))) == 1


@pytest.mark.parametrize("counts", [(5, 5), (1, 1)])
def test_groups_and_single_rows_leave_the_choice_to_folds(make_task, counts):
    groups = np.arange(sum(counts)) // 2
    assert len(Ridge(choose="leave-one-out").variants(make_task(counts, groups=groups))) == 7


def test_leave_one_out_explains_diabetes_as_well_as_folds():
    task = diabetes(as_table=True)
    inside = deal_folds(task) == 0
    training, held_out = task.split(inside)
    scores = [Ridge(choose=way).fit(training).scores_of(held_out)[:, 0] for way in ("folds", "leave-one-out")]
    assert r2_score(held_out.y, scores[1]) == pytest.approx(r2_score(held_out.y, scores[0]), abs=0.01)


@pytest.mark.parametrize("d", [5, 60])
def test_marks_are_scikit_learns_solution(make_marks, d):
    task = make_marks(d=d, weights=np.arange(40.0))
    z = task.z.astype(np.float64)
    oracle = Oracle(alpha=3.0 * np.average((z**2).sum(axis=1), weights=task.weights))
    oracle.fit(z, 2.0 * task.y - 1, sample_weight=unit(task.weights))
    head = Ridge(l2=3.0).fit(task)
    np.testing.assert_allclose(head.weight, oracle.coef_, atol=1e-6)
    np.testing.assert_allclose(head.bias, oracle.intercept_, atol=1e-6)
    assert head.multilabel


def test_weighted_numbers_are_scikit_learns_solution(make_regression):
    task = make_regression(offset=5.0, scale=20.0, weights=np.arange(60.0))
    z = task.z.astype(np.float64)
    oracle = Oracle(alpha=0.3 * np.average((z**2).sum(axis=1), weights=task.weights))
    oracle.fit(z, task.y, sample_weight=unit(task.weights))
    head = Ridge(l2=0.3).fit(task)
    np.testing.assert_allclose(head.weight[0], oracle.coef_, atol=1e-5)
    np.testing.assert_allclose(head.bias[0], oracle.intercept_, atol=1e-5)


def test_rows_that_weigh_nothing_are_as_if_they_were_not_there(make_task):
    task = make_task((8, 8, 8))
    weights = np.where(np.arange(24) % 4 == 1, 0.0, 5.0)
    seen = Ridge(l2=1.0).fit(replace(task, weights=weights))
    expected = Ridge(l2=1.0).fit(task.rows(weights > 0))
    np.testing.assert_allclose(seen.weight, expected.weight, atol=1e-6)
    np.testing.assert_allclose(seen.bias, expected.bias, atol=1e-6)


@pytest.mark.parametrize("d", [5, 60])
def test_the_gpu_computes_the_same(make_task, monkeypatch, d):
    """Torch on the CPU stands in for it."""
    on_cpu = gram.solve_on
    monkeypatch.setattr(gram, "solve_on", lambda _device, *arguments: on_cpu("cpu", *arguments))
    methods = Ridge().variants(make_task(d=d))
    ours, twins = (list(Ridge.fit_each(methods, make_task(d=d, device=device))) for device in ("cpu", "cuda"))
    for one, other in zip(ours, twins, strict=True):
        np.testing.assert_allclose(one.weight, other.weight, atol=1e-6)


def test_many_rows_take_little_memory_beside_the_embeddings():
    """A float64 copy would be twice the embeddings."""
    n, d = 100_000, 64
    z = np.random.default_rng(0).standard_normal((n, d)).astype(np.float32)
    task = Task(z, np.arange(n) % 10, tuple("abcdefghij"), np.arange(n))
    tracemalloc.start()
    try:
        list(Ridge.fit_each(Ridge().variants(task), task))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < z.nbytes


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
