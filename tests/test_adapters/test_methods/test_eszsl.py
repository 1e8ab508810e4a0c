from dataclasses import replace

import numpy as np
import pytest

from adapters.base import Task
from adapters.methods.eszsl import Eszsl
from adapters.signatures import Signatures


@pytest.fixture
def make_described():
    """A function that draws items which show the attributes of their classes; the last classes have no rows."""

    def make(counts=(9, 6, 12, 7, 8, 0, 0), a=5, d=9, noise=0.3, seed=0, space=""):
        rng = np.random.default_rng(seed)
        k = len(counts)
        values = rng.standard_normal((k, a))
        y = np.repeat(np.arange(k), counts)
        shown = rng.standard_normal((a, d)) / np.sqrt(a)
        z = values[y] @ shown + noise * rng.standard_normal((len(y), d))
        classes = tuple(f"class {c}" for c in range(k))
        unit = values * (1 if space else np.array([1, 100, 1e-2, 5, 1])[:a])
        signatures = Signatures(classes, tuple("abcde"[:a]), unit.astype(np.float32), space)
        return Task(z.astype(np.float32), y, classes, np.arange(len(y)), signatures=signatures, seed=1)

    return make


def by_definition(task, gamma, lam):
    """(n, k) of the paper's formula, with every row's target written out; each seen class weighs the same."""
    seen = np.flatnonzero(task.counts)
    weights = 1 / task.counts[task.y]
    weights *= len(task.y) / weights.sum()
    x = task.z - np.average(task.z.astype(np.float64), axis=0, weights=weights)
    s = task.signatures.values.astype(np.float64)
    s -= s[seen].mean(axis=0)
    if not task.signatures.space:
        s /= s[seen].std(axis=0)
    s /= np.linalg.norm(s, axis=1, keepdims=True)
    targets = np.where(task.y[:, None] == seen, 1.0, -1.0)
    unit = np.average((x**2).sum(axis=1), weights=weights)
    left = (x.T * weights) @ x + gamma * unit * np.eye(x.shape[1])
    right = s[seen].T @ s[seen] + lam * np.eye(s.shape[1])
    v = np.linalg.solve(left, (x.T * weights) @ targets @ s[seen]) @ np.linalg.inv(right)
    return x @ v @ s.T


@pytest.mark.parametrize("space", ["", "digest"], ids=["attributes", "embeddings"])
@pytest.mark.parametrize("d", [9, 60], ids=["tall", "wide"])
def test_it_is_the_papers_formula(make_described, d, space):
    task = make_described(d=d, space=space)
    methods = [Eszsl(gamma=gamma, lam=lam) for gamma, lam in ((3.0, 0.1), (0.3, 1.0), (3.0, 1.0))]
    for method, head in zip(methods, Eszsl.fit_each(methods, task), strict=True):
        expected = by_definition(task, method.gamma, method.lam)
        np.testing.assert_allclose(head.scores(task.z), expected, atol=1e-4)
        np.testing.assert_allclose(method.fit(task).scores(task.z), expected, atol=1e-4)


def test_it_is_one_affine_head(make_described):
    task = make_described()
    head = Eszsl().fit(task)
    assert head.affine.weight.shape == (7, 9)
    assert head.seen.tolist() == [True] * 5 + [False] * 2


def test_what_it_takes_from_seen_classes_is_what_it_is_told(make_described):
    task = make_described()
    plain, stacked = Eszsl().fit(task).scores(task.z), Eszsl(stacking=0.5).fit(task).scores(task.z)
    np.testing.assert_allclose(plain - stacked, np.tile([0.5] * 5 + [0] * 2, (len(task.y), 1)), atol=1e-5)


def test_its_grid_is_open_where_it_is_not_told(make_described):
    task = make_described()
    assert len(Eszsl().variants(task)) == 25
    assert {method.gamma for method in Eszsl(gamma=2.0, stacking=1.0).variants(task)} == {2.0}
    assert {method.stacking for method in Eszsl(gamma=2.0, stacking=1.0).variants(task)} == {1.0}
    assert Eszsl(gamma=2.0, lam=1.0).variants(task) == (Eszsl(gamma=2.0, lam=1.0),)
    assert Eszsl(lam=7.0).fallback(task).lam == 7.0
    assert Eszsl().fallback(task).gamma is not None


def test_it_says_an_items_attributes_in_the_unit_of_the_signatures(make_described):
    task = make_described(counts=(40,) * 12, d=20, noise=0.05)
    predicted = Eszsl(gamma=0.1, lam=0.1).fit(task).predicted(task.z)
    means = np.stack([predicted[task.y == c].mean(axis=0) for c in range(12)])
    expected = task.signatures.values
    for column in range(5):
        assert np.corrcoef(means[:, column], expected[:, column])[0, 1] > 0.9
        # Regression draws values toward their mean, and lengths are lost.
        assert 0.5 < means[:, column].std() / expected[:, column].std() < 1.2
        assert abs(means[:, column].mean() - expected[:, column].mean()) < 0.2 * expected[:, column].std()


def test_coordinates_of_embeddings_are_no_attributes_to_tell(make_described):
    task = make_described(space="digest")
    assert Eszsl().fit(task).predicted(task.z) is None


def test_unseen_signatures_teach_nothing(make_described):
    task = make_described()
    values = task.signatures.values.copy()
    values[5:] = 1e6
    spoiled = replace(task, signatures=replace(task.signatures, values=values))
    ours, theirs = Eszsl().fit(task), Eszsl().fit(spoiled)
    np.testing.assert_array_equal(ours.scores(task.z)[:, :5], theirs.scores(task.z)[:, :5])
    np.testing.assert_array_equal(theirs.with_signatures(task.signatures).scores(task.z), ours.scores(task.z))
