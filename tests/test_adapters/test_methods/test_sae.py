import numpy as np
import pytest
from scipy.linalg import solve_sylvester

from adapters.base import Task
from adapters.methods.sae import Sae
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
        signatures = Signatures(classes, tuple(str(i) for i in range(a)), values.astype(np.float32), space)
        return Task(z.astype(np.float32), y, classes, np.arange(len(y)), signatures=signatures, seed=1)

    return make


def by_definition(task, lam):
    """(n, k) by scipy's solver of the paper's equation, every row written out; each seen class weighs the same."""
    seen = np.flatnonzero(task.counts)
    weights = 1 / task.counts[task.y]
    weights *= len(task.y) / weights.sum()
    x = task.z - np.average(task.z.astype(np.float64), axis=0, weights=weights)
    x /= np.sqrt(np.average((x**2).sum(axis=1), weights=weights))
    s = task.signatures.values.astype(np.float64)
    s -= s[seen].mean(axis=0)
    s /= s[seen].std(axis=0)
    s /= np.linalg.norm(s, axis=1, keepdims=True)
    t = s[task.y]
    w = solve_sylvester((t.T * weights) @ t, lam * (x.T * weights) @ x, (1 + lam) * (t.T * weights) @ x)
    return x @ w.T @ s.T


def test_it_solves_the_papers_equation(make_described):
    task = make_described(counts=(9, 6, 12, 7, 8, 6, 5, 0, 0))
    methods = [Sae(lam=lam) for lam in (0.1, 1.0, 50.0)]
    for method, head in zip(methods, Sae.fit_each(methods, task), strict=True):
        np.testing.assert_allclose(head.scores(task.z), by_definition(task, method.lam), atol=1e-4)


def test_more_attributes_than_classes_and_more_columns_than_rows_are_no_hindrance(make_described):
    task = make_described(a=40, d=90, noise=0.05)
    for lam in (1e-6, 1.0, 1e6):
        scores = Sae(lam=lam).fit(task).scores(task.z)
        assert np.isfinite(scores).all()
        assert (scores[:, :5].argmax(axis=1) == task.y).mean() > 0.9


def test_its_grid_is_open_where_it_is_not_told(make_described):
    task = make_described()
    assert len(Sae().variants(task)) == 7
    assert Sae(lam=2.0, stacking=1.0).variants(task) == (Sae(lam=2.0, stacking=1.0),)
    assert Sae().fallback(task).lam is not None


def test_it_says_an_items_attributes_in_the_unit_of_the_signatures(make_described):
    task = make_described(counts=(40,) * 12, d=20, noise=0.05)
    predicted = Sae().fit(task).predicted(task.z)
    means = np.stack([predicted[task.y == c].mean(axis=0) for c in range(12)])
    for column in range(5):
        assert np.corrcoef(means[:, column], task.signatures.values[:, column])[0, 1] > 0.9
        assert 0.5 < means[:, column].std() / task.signatures.values[:, column].std() < 1.2


def test_coordinates_of_embeddings_are_no_attributes_to_tell(make_described):
    task = make_described(space="digest")
    assert Sae().fit(task).predicted(task.z) is None
