import numpy as np
import pytest
from sklearn.linear_model import Ridge as Oracle

from adapters.methods.ridge import Ridge


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
    from adapters.select import settle

    clear, noisy = make_task((40, 40), spread=1.5, d=6), make_task((20, 20), spread=6.0, d=40)
    assert settle(Ridge(), noisy).l2 > settle(Ridge(), clear).l2
