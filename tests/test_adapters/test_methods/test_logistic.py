from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from adapters.methods.logistic import Logistic
from adapters.select import compare, pick


def norm2(z):
    return float((z.astype(float) ** 2).sum(axis=1).mean())


def log_probabilities(scores):
    scores = scores.astype(np.float64)
    return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("c", [0.3, 10.0, 300.0])
@pytest.mark.parametrize("counts", [(10, 10, 10), (25, 6, 2)])
def test_it_is_scikit_learns_optimum(make_task, c, counts):
    task = make_task(counts)
    head = Logistic(c=c).fit(task)
    oracle = LogisticRegression(C=c / norm2(task.z), class_weight="balanced", tol=1e-10, max_iter=20_000)
    oracle.fit(task.z.astype(np.float64), task.y)
    coefficients = head.weight - head.weight.mean(axis=0)
    np.testing.assert_allclose(coefficients, oracle.coef_, atol=3e-3 * np.abs(oracle.coef_).max())
    np.testing.assert_allclose(log_probabilities(head.scores(task.z)), oracle.predict_log_proba(task.z), atol=2e-2)


@pytest.mark.parametrize("c", [0.3, 10.0])
def test_two_classes_are_two_rows_of_the_same_optimum(make_task, c):
    task = make_task((9, 14))
    # For two classes scikit-learn fits one vector, the difference of our two rows: ours meets half its penalty.
    oracle = LogisticRegression(C=2 * c / norm2(task.z), class_weight="balanced", tol=1e-10, max_iter=20_000)
    oracle.fit(task.z.astype(np.float64), task.y)
    seen = log_probabilities(Logistic(c=c).fit(task).scores(task.z))
    np.testing.assert_allclose(seen, oracle.predict_log_proba(task.z), atol=5e-3)


def test_unbalanced_is_the_plain_loss(make_task):
    task = make_task((25, 6, 2))
    head = Logistic(c=5.0, balanced=False).fit(task)
    oracle = LogisticRegression(C=5.0 / norm2(task.z), tol=1e-10, max_iter=20_000).fit(task.z.astype(float), task.y)
    centred = head.weight - head.weight.mean(axis=0)
    np.testing.assert_allclose(centred, oracle.coef_, atol=2e-3 * np.abs(oracle.coef_).max())


@pytest.mark.parametrize("d", [5, 80])
def test_it_is_the_same_with_more_features_than_rows(make_task, d):
    task = make_task((6, 6, 6), d=d)
    oracle = LogisticRegression(C=10 / norm2(task.z), tol=1e-10, max_iter=20_000).fit(task.z.astype(float), task.y)
    head = Logistic(c=10.0).fit(task)
    np.testing.assert_allclose(
        head.weight - head.weight.mean(axis=0), oracle.coef_, atol=2e-3 * np.abs(oracle.coef_).max()
    )


def test_with_names_it_is_the_optimum_pulled_toward_them(make_task):
    """At the optimum the gradient of Σ w·CE + s/(2c)·‖W - W₀‖² vanishes, in W and in b."""
    task = make_task((8, 4, 5))
    method = Logistic(c=3.0, prior="names", names_scale=5.0)
    head = method.fit(task)
    unit = norm2(task.z)
    scores = head.scores(task.z).astype(float)
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    weights = len(task.y) / (3 * np.bincount(task.y))[task.y]
    residual = weights[:, None] * (p - np.eye(3)[task.y])
    pull = unit / 3.0 * (head.weight - 5.0 / np.sqrt(unit) * task.names)
    np.testing.assert_allclose(residual.T @ task.z + pull, 0, atol=1e-3)
    np.testing.assert_allclose(residual.sum(axis=0), 0, atol=1e-3)


def test_a_strong_penalty_leaves_the_names_alone(make_task):
    task = make_task()
    head = Logistic(c=1e-6, prior="names", names_scale=5.0).fit(task)
    expected = 5.0 / np.sqrt(norm2(task.z)) * task.names
    np.testing.assert_allclose(head.weight, expected, atol=1e-3)


def test_the_length_of_embeddings_does_not_matter(make_task):
    task = make_task()
    longer = replace(task, z=100 * task.z)
    for method in (Logistic(c=10.0), Logistic(c=10.0, prior="names")):
        expected = method.fit(task).scores(task.z)
        np.testing.assert_allclose(method.fit(longer).scores(longer.z), expected, atol=2e-3)


def test_along_the_path_it_is_the_fit_of_each_c(make_task):
    task = make_task()
    methods = [Logistic(c=c) for c in (0.3, 10.0)] + [Logistic(c=c, prior="names") for c in (0.3, 10.0)]
    for method, head in zip(methods, Logistic.fit_each(methods, task), strict=True):
        np.testing.assert_allclose(head.scores(task.z), method.fit(task).scores(task.z), atol=0.15)


def test_without_c_it_takes_one_of_its_grid(make_task):
    task = make_task()
    head = Logistic().fit(task)
    grid = [variant.fit(task).weight for variant in Logistic().variants(task)]
    assert any(np.array_equal(head.weight, weight) for weight in grid)


@pytest.mark.parametrize(("counts", "uneven"), [((8, 8), False), ((8, 4), False), ((9, 4), True), ((8, 8, 1), False)])
def test_uneven_classes_are_also_tried_as_they_are(make_task, counts, uneven):
    proposals = Logistic.proposals(make_task(counts))
    assert [method for method in proposals if method.balanced] == [Logistic(), Logistic(prior="names")]
    assert {method.balanced for method in proposals} == ({True, False} if uneven else {True})


def test_of_a_rare_class_the_unbalanced_loss_is_the_better_one(make_task):
    """And held-out log loss says so: balanced, about half of what is called rare is not."""
    task = make_task((400, 20), d=4, spread=2.5)
    comparison = compare((Logistic(c=10.0), Logistic(c=10.0, balanced=False)), task)
    choice = pick(comparison, task.y, comparison.held_out)
    assert choice.index == 1
    assert choice.loss[1] < 0.8 * choice.loss[0]
