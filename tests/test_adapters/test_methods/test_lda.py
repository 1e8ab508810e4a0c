import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from adapters import gram
from adapters.base import Task
from adapters.folds import deal_folds
from adapters.methods.lda import Lda, leave_one_out
from adapters.select import settle

SHAPES = [((20, 5, 3), 8), ((6, 6), 8), ((4, 4, 4), 40)]
WEIGHTS = np.array([1.0, 2, 0, 0.5, 3, 1] * 3)


def differences(scores):
    """Scores less those of the first class: what decides, and what probabilities follow from."""
    return scores - scores[:, :1]


@pytest.mark.parametrize("solver", ["lsqr", "eigen"])
@pytest.mark.parametrize("gamma", [0.1, 0.5, 0.98])
@pytest.mark.parametrize(("counts", "d"), SHAPES)
def test_its_scores_differ_as_scikit_learns_do(make_task, solver, gamma, counts, d):
    """Up to the unit of the covariance: scikit-learn divides by the rows, without the classes taken off."""
    task = make_task(counts, d=d)
    n, k = len(task.y), len(counts)
    oracle = LinearDiscriminantAnalysis(solver=solver, shrinkage=gamma, priors=np.full(k, 1 / k))
    # Uniform priors would also weigh the classes in the covariance: it is pooled by repeated rows here.
    oracle.priors = np.bincount(task.y) / n
    oracle.fit(task.z.astype(np.float64), task.y)
    expected = oracle.decision_function(task.z.astype(np.float64))
    expected = np.stack([np.zeros(n), expected], axis=1) if k == 2 else expected
    prior = np.log(np.bincount(task.y))
    scores = Lda(gamma=gamma).fit(task).scores(task.z) - prior
    np.testing.assert_allclose(differences(scores) * n / (n - k), differences(expected - prior), atol=2e-3, rtol=1e-4)


def test_without_shares_of_rows_every_class_is_as_likely(make_task):
    task = make_task((20, 5, 3))
    given, uniform = (Lda(gamma=0.5, priors=priors).fit(task) for priors in ("rows", "uniform"))
    np.testing.assert_allclose(given.weight, uniform.weight)
    np.testing.assert_allclose(given.bias - uniform.bias, np.log([20, 5, 3]), atol=1e-4)


def brute_force(task, gamma):
    """Of each row, log prior less half its squared distance to each mean, where means and sum are without it."""
    z, n, k, d = task.z.astype(np.float64), len(task.y), len(task.classes), task.z.shape[1]
    given = np.ones(n) if task.weights is None else task.weights / task.weights[task.weights > 0].mean()

    def means_and_sum(weights):
        means = np.stack([np.average(z[task.y == c], axis=0, weights=weights[task.y == c]) for c in range(k)])
        r = np.sqrt(weights)[:, None] * (z - means[task.y])
        return means, r.T @ r

    freedom = (given > 0).sum() - k
    variance = np.trace(means_and_sum(given)[1]) / freedom / d
    log_prior = np.log(np.bincount(task.y, given))
    seen = np.empty((n, k))
    for row in range(n):
        means, total = means_and_sum(np.where(np.arange(n) == row, 0.0, given))
        shrunk = (1 - gamma) * total / freedom + gamma * variance * np.eye(d)
        x = z[row] - means
        seen[row] = log_prior - 0.5 * np.einsum("kd,kd->k", x @ np.linalg.inv(shrunk), x)
    return seen


@pytest.mark.parametrize("gamma", [0.1, 0.5, 0.98])
@pytest.mark.parametrize("d", [4, 30])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["even", "weighted"])
def test_leaving_one_out_is_exact(make_task, gamma, d, weights):
    task = make_task((9, 6, 3), d=d, weights=weights)
    (seen,) = leave_one_out(task, (gamma,))
    expected = brute_force(task, gamma)
    np.testing.assert_allclose(seen, expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())


def test_the_row_of_a_lone_class_is_scored_without_harm(make_task):
    task = make_task((9, 6, 1))
    (seen,) = leave_one_out(task, (0.5,))
    assert np.isfinite(seen).all()
    np.testing.assert_allclose(
        differences(seen)[-1], differences(Lda(gamma=0.5).fit(task).scores(task.z))[-1], rtol=1e-3
    )


def test_leave_one_out_chooses_about_what_folds_choose(make_task):
    for task in (make_task((40, 40, 40), spread=1.5, d=6), make_task((6,) * 8, spread=1.5, d=60)):
        chosen = [settle(Lda(choose=way), task).gamma for way in ("folds", "leave-one-out")]
        assert abs(chosen[0] - chosen[1]) <= 0.4
    assert len(Lda(choose="leave-one-out").variants(make_task((5, 5, 5)))) == 1


@pytest.mark.parametrize("counts", [(5, 5), (1, 1)])
def test_groups_and_single_rows_leave_the_choice_to_folds(make_task, counts):
    groups = np.arange(sum(counts)) // 2
    assert len(Lda(choose="leave-one-out").variants(make_task(counts, groups=groups))) >= 9


def test_fewer_rows_than_columns_ask_for_a_tenth_of_plain_variance_at_least(make_task):
    assert [variant.gamma for variant in Lda().variants(make_task(d=60))][-1] == 0.1
    assert [variant.gamma for variant in Lda().variants(make_task(d=6))][-1] == 0.01


def test_one_factorisation_gives_the_fit_of_each_gamma(make_task):
    task = make_task()
    methods = (*Lda().variants(task), *Lda(priors="uniform").variants(task))
    for method, head in zip(methods, Lda.fit_each(methods, task), strict=True):
        np.testing.assert_array_equal(head.weight, method.fit(task).weight)
        np.testing.assert_array_equal(head.bias, method.fit(task).bias)


def test_correlated_columns_are_told_apart_where_the_nearest_mean_is_not(make_task):
    """Classes that differ little along a line on which rows differ much: only the covariance shows it."""
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    z = rng.standard_normal((200, 1)) @ [[1.0, 1.0]] + 0.1 * rng.standard_normal((200, 2)) + y[:, None] * [0.8, 0.1]
    task = Task(z.astype(np.float32), y, ("a", "b"), np.arange(200))
    right = {gamma: (Lda(gamma=gamma).fit(task).scores(task.z).argmax(axis=1) == y).mean() for gamma in (0.01, 0.9999)}
    assert right[0.01] > 0.95 > 0.7 > right[0.9999]
    assert settle(Lda(), task).gamma < 0.5


def test_two_rows_a_class_are_compared_fairly(make_task):
    """Folds leave one row of each class: no gamma differs there, and distances keep their unit."""
    task = make_task((2,) * 12, d=40, spread=0.8)
    task = replace(task, z=10 * task.z)
    assert settle(Lda(), task).gamma == 0.995
    training, held_out = task.split(deal_folds(task) == 0)
    heads = list(Lda.fit_each(Lda().variants(task), training))
    assert all((head.weight == heads[0].weight).all() for head in heads)
    spreads = [head.scores(held_out.z).std() for head in (heads[0], Lda(gamma=0.995).fit(task))]
    assert 0.2 < spreads[0] / spreads[1] < 5


def test_repeated_rows_alone_are_no_covariance(make_task):
    task = make_task((1, 1, 1))
    thrice = task.rows(np.repeat(np.arange(3), 3))
    np.testing.assert_allclose(Lda(gamma=0.5).fit(thrice).weight, Lda(gamma=0.5).fit(task).weight, rtol=1e-5)


def test_a_row_of_weight_two_is_the_row_twice_and_one_of_none_is_not_there(make_task):
    task = make_task((8, 8, 8), d=6)
    times = np.arange(24) % 3
    again = task.rows(np.repeat(np.arange(24), times))
    weighted = replace(task, weights=7.0 * times)
    # The covariance's divisor counts rows; it is only the unit of distances.
    heads = [Lda(gamma=0.3, priors="uniform").fit(one) for one in (weighted, again)]
    scores = [differences(head.scores(task.z)) for head in heads]
    np.testing.assert_allclose(scores[0] / scores[0].std(), scores[1] / scores[1].std(), atol=1e-4)
    present = task.rows(times > 0)
    seen, expected = Lda(gamma=0.3).fit(replace(task, weights=1.0 * (times > 0))), Lda(gamma=0.3).fit(present)
    np.testing.assert_allclose(seen.weight, expected.weight, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(seen.bias, expected.bias, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("d", [5, 60])
def test_the_gpu_computes_the_same(make_task, monkeypatch, d):
    """Torch on the CPU stands in for it."""
    on_cpu = gram.solve_on
    monkeypatch.setattr(gram, "solve_on", lambda _device, *arguments: on_cpu("cpu", *arguments))
    methods = Lda().variants(make_task(d=d))
    ours, twins = (list(Lda.fit_each(methods, make_task(d=d, device=device))) for device in ("cpu", "cuda"))
    for one, other in zip(ours, twins, strict=True):
        np.testing.assert_allclose(one.weight, other.weight, rtol=1e-5, atol=1e-5)


def test_many_rows_take_little_memory_beside_the_embeddings():
    n, d = 100_000, 64
    z = np.random.default_rng(0).standard_normal((n, d)).astype(np.float32)
    task = Task(z, np.arange(n) % 10, tuple("abcdefghij"), np.arange(n))
    tracemalloc.start()
    try:
        list(Lda.fit_each(Lda().variants(task), task))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < z.nbytes
