from dataclasses import replace

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC

from adapters.base import Task
from adapters.heads import AffineHead, MappedHead
from adapters.maps import typical_gamma
from adapters.methods import METHODS, parse_method
from adapters.methods.kernel import Kernel


def rings(n=200, d=2, seed=0, **fields):
    """Two classes, one around the other: no straight cut tells them apart."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    z = rng.standard_normal((n, d))
    z *= ((1 + 2 * y) + 0.2 * rng.standard_normal(n))[:, None] / np.linalg.norm(z, axis=1, keepdims=True)
    return Task(z.astype(np.float32), y, ("inner", "outer"), np.arange(n), **fields)


def waves(n=150, noise=0.05, seed=0, **fields):
    """A number that goes up and down, in a unit of its own."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(-2, 2, (n, 2)).astype(np.float32)
    y = 100 + 10 * (np.sin(2 * z[:, 0]) * z[:, 1] + noise * rng.standard_normal(n))
    return Task(z, y, (), np.arange(n), **fields)


def accuracy(head, task):
    return (head.scores(task.z).argmax(axis=1) == task.y).mean()


def explained(values, task):
    return 1 - ((values - task.y) ** 2).mean() / task.y.var()


def test_it_tells_apart_what_no_straight_cut_does():
    task, other = rings(), rings(seed=1)
    assert accuracy(parse_method("logistic").fit(task), other) < 0.7
    assert accuracy(Kernel().fit(task), other) > 0.97
    assert SVC(gamma=0.25).fit(task.z, task.y).score(other.z, other.y) > 0.97


def test_it_finds_the_values_that_kernel_ridge_regression_does():
    task, other = waves(), waves(seed=1)
    gamma, l2 = 0.5, 0.1
    seen = Kernel(gamma=gamma, l2=l2, features=8192).fit(task).scores(other.z)[:, 0]
    # Centred features are a centred kernel; the ridge's targets are centred and divided by their deviation.
    centre = np.eye(len(task.y)) - 1 / len(task.y)
    kernel = centre @ rbf_kernel(task.z, gamma=gamma) @ centre
    oracle = KernelRidge(kernel="precomputed", alpha=l2).fit(kernel, task.y - task.y.mean())
    between = (rbf_kernel(other.z, task.z, gamma=gamma) - rbf_kernel(task.z, gamma=gamma).mean(axis=0)) @ centre
    expected = oracle.predict(between) + task.y.mean()
    assert np.abs(seen - expected).max() < 0.05 * task.y.std()
    assert abs(explained(seen, other) - explained(expected, other)) < 0.002


def test_what_is_chosen_explains_nearly_all_of_a_bent_number():
    other = waves(seed=1)
    assert explained(Kernel().fit(waves()).scores(other.z)[:, 0], other) > 0.97


def test_several_labels_are_bent_one_by_one():
    task = rings(300)
    marks = np.stack([task.y == 1, task.z[:, 0] > 0], axis=1)
    task = replace(task, y=marks, classes=("outer", "right"))
    head = Kernel(gamma=0.25, c=100.0).fit(task)
    assert head.multilabel
    assert ((head.scores(task.z) > 0) == marks).mean(axis=0).min() > 0.97


def test_the_map_is_fixed_by_width_and_bandwidth_and_not_by_seed_or_rows():
    maps = {
        Kernel(gamma=0.25, c=1.0).fit(task).files()["map.safetensors"]
        for task in (rings(), rings(seed=5), rings(60), rings(names=np.ones((2, 2), np.float32)))
    }
    assert len(maps) == 1
    assert maps != {Kernel(gamma=0.5, c=1.0).fit(rings()).files()["map.safetensors"]}


def test_it_is_logistic_regression_or_ridge_on_the_map():
    # Uneven, so that it matters whether classes are balanced.
    task = rings().rows(np.flatnonzero((np.arange(200) % 2 == 0) | (np.arange(200) % 10 == 1)))
    head = Kernel(gamma=0.25, c=3.0, balanced=False, features=64).fit(task)
    assert isinstance(head, MappedHead)
    features = replace(task, z=head.map.apply(task.z))
    expected = METHODS["logistic"].model_validate({"c": 3.0, "balanced": False}).fit(features)
    assert isinstance(expected, AffineHead)
    np.testing.assert_array_equal(head.head.weight, expected.weight)
    numbers = waves()
    head = Kernel(gamma=0.25, l2=3.0, features=64).fit(numbers)
    expected = METHODS["ridge"].model_validate({"l2": 3.0}).fit(replace(numbers, z=head.map.apply(numbers.z)))
    np.testing.assert_array_equal(head.head.weight, expected.weight)


@pytest.mark.parametrize("make", [rings, waves])
def test_fitted_together_they_are_nearly_as_fitted_alone(make):
    task = make()
    variants = Kernel().variants(task)
    for method, head in zip(variants, Kernel.fit_each(variants, task), strict=True):
        alone = method.fit(task)
        assert head.map.to_bytes() == alone.map.to_bytes()
        spread = np.ptp(alone.scores(task.z))
        assert np.abs(head.scores(task.z) - alone.scores(task.z)).mean() < 0.03 * spread


def test_neighbours_share_a_map(monkeypatch):
    task = rings()
    drawn = []
    monkeypatch.setattr(Kernel, "_map", lambda self, task, own=Kernel._map: drawn.append(self.gamma) or own(self, task))
    heads = list(Kernel.fit_each(Kernel().variants(task), task))
    assert len(drawn) == len(set(drawn)) == 3
    assert len(heads) == 9


@pytest.mark.parametrize("make", [rings, waves])
def test_smoother_kernels_are_compared_with_weaker_penalties(make):
    task = make()
    typical = typical_gamma(task.z)
    variants = Kernel().variants(task)
    penalties = {v.gamma / typical: [w.c or 1 / w.l2 for w in variants if w.gamma == v.gamma] for v in variants}
    assert sorted(penalties) == [1 / 16, 1 / 4, 1]
    assert max(penalties[1 / 16]) == pytest.approx(16 * max(penalties[1]))
    assert all(variant.gamma is not None and (variant.l2 if task.regression else variant.c) for variant in variants)


def test_what_is_given_is_kept():
    task = rings()
    assert {v.c for v in Kernel(c=7.0).variants(task)} == {7.0}
    assert {v.gamma for v in Kernel(gamma=1e-12).variants(task)} == {1e-12}
    assert all(v.c <= 1e6 for v in Kernel(gamma=1e-12).variants(task))
    assert Kernel(gamma=0.25, c=7.0).variants(task) == (Kernel(gamma=0.25, c=7.0),)
    closed = Kernel(features=32).fallback(task)
    assert closed.gamma == typical_gamma(task.z) / 4
    assert closed.c == 40.0
    assert Kernel.fallback(Kernel(gamma=2.0), waves()).gamma == 2.0


def test_auto_tries_all_of_it_on_tables_and_one_bandwidth_on_embeddings(make_task, make_table_task, make_regression):
    for table in (make_table_task(), make_table_task(regression=True)):
        assert [(method.gamma, method.c, method.l2) for method in Kernel.proposals(table)] == [(None, None, None)]
    embeddings = Kernel.proposals(make_task())
    assert len({method.gamma for method in embeddings}) == 1
    assert len({method.c for method in embeddings}) == 3
    assert len({method.l2 for method in Kernel.proposals(make_regression())}) == 8


@pytest.mark.parametrize(
    ("counts", "d", "tried"),
    [
        ((9, 9, 9), 4, True),
        ((9, 9, 1), 4, True),
        ((9, 9, 4), 4, False),
        ((1, 1, 1), 1, False),
        ((9, 9, 9), 13, True),
        ((9, 9, 9), 14, False),
        ((60_000, 60_000), 2, False),
    ],
)
def test_auto_tries_it_on_embeddings_where_a_straight_cut_may_not_do(make_task, counts, d, tried):
    assert bool(Kernel.proposals(make_task(counts=counts, d=d))) == tried


@pytest.mark.parametrize("regression", [False, True])
def test_auto_leaves_it_where_a_table_has_few_rows(make_table_task, regression):
    assert Kernel.proposals(make_table_task(n=19, regression=regression)) == ()
    assert Kernel.proposals(make_table_task(n=20, regression=regression))


def test_auto_leaves_uneven_classes_as_they_are(make_task):
    assert {method.balanced for method in Kernel.proposals(make_task(counts=(30, 10, 12)))} == {False}
    assert {method.balanced for method in Kernel.proposals(make_task(counts=(20, 10, 12)))} == {True}


def test_rows_that_count_nothing_do_not_move_the_bandwidth():
    task = rings()
    far = replace(task, z=np.concatenate([task.z, 1e4 * task.z]), y=np.tile(task.y, 2), groups=np.arange(400))
    weighted = replace(far, weights=np.repeat([1.0, 0.0], 200))
    assert Kernel().variants(weighted)[0].gamma == Kernel().variants(task)[0].gamma
    assert Kernel().variants(replace(task, weights=np.zeros(200)))[0].gamma == Kernel().variants(task)[0].gamma
