from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from adapters.base import Task
from adapters.errors import Cancelled
from adapters.network import SAMPLE_ROWS, Shape, _Layers, _Problem, fit_network

SHAPE = Shape(width=8, activation="relu", l2=1.0, starts=2, balanced=False)


def make(kind="class", n=60, d=5, seed=0, **fields):
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, d)).astype(np.float32)
    bent = z[:, 0] ** 2 - z[:, 1]
    if kind == "number":
        return Task(z, 50 + 7 * bent, (), np.arange(n), **fields)
    if kind == "marks":
        return Task(z, np.stack([bent > 0, z[:, 2] > 0, bent < 1], 1), ("a", "b", "c"), np.arange(n), **fields)
    return Task(z, np.digitize(bent, [0, 1]), ("a", "b", "c"), np.arange(n), **fields)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("kind", ["class", "marks", "number"])
def test_the_gradient_is_that_of_the_loss(kind, activation):
    rng = np.random.default_rng(1)
    task = make(kind, weights=rng.uniform(0.5, 2, 60))
    problem = _Problem.of(task, balanced=True)
    problem = replace(problem, x=problem.x.astype(np.float64))
    layers = _Layers.draw(rng, 4, 5, problem.outputs)

    class Exact(_Layers):
        """In float64, so that differences tell a slope."""

        def like(self, flat):
            parts, first = [], 0
            for part in (self.weight, self.bias, self.top, self.level):
                parts.append(flat[first : first + part.size].reshape(part.shape))
                first += part.size
            return _Layers(*parts)

    like = Exact(layers.weight, layers.bias, layers.top, layers.level).like
    point = layers.flat().astype(np.float64)
    _, gradient = problem.loss(like(point), activation)
    expected = approx_fprime(point, lambda p: problem.loss(like(p), activation)[0], 1e-7)
    np.testing.assert_allclose(gradient.flat(), expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("kind", ["class", "marks", "number"])
def test_rows_taken_one_chunk_after_the_other_add_up(kind, monkeypatch):
    problem = _Problem.of(make(kind, n=100), balanced=False)
    layers = _Layers.draw(np.random.default_rng(1), 4, 5, problem.outputs)
    loss, gradient = problem.loss(layers, "relu")
    monkeypatch.setattr("adapters.network._CHUNK_ROWS", 30)
    in_parts, added = problem.loss(layers, "relu")
    assert in_parts == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(added.flat(), gradient.flat(), rtol=1e-3, atol=1e-3)


def test_numbers_lie_flat_and_come_back():
    layers = _Layers.draw(np.random.default_rng(0), 4, 5, 3)
    again = layers.like(layers.flat())
    for name in ("weight", "bias", "top", "level"):
        np.testing.assert_array_equal(getattr(again, name), getattr(layers, name))


def test_the_average_of_two_starts_is_one_network():
    task = make()
    one = [fit_network(task, replace(SHAPE, starts=1)), fit_network(task, SHAPE)]
    assert [len(head.bias) for head in one] == [8, 16]
    first, both = one[0].scores(task.z), one[1].scores(task.z)
    # What the second start says is what the average lacks.
    assert np.abs(2 * both - first - both).max() > 0.01
    np.testing.assert_allclose(one[1].weight[:8], one[0].weight, atol=1e-5)


def test_more_starts_are_smoother_than_each():
    task, other = make("number", n=120), make("number", n=300, seed=1)

    def error(head):
        return ((head.scores(other.z)[:, 0] - other.y) ** 2).mean()

    single = [error(fit_network(replace(task, seed=seed), replace(SHAPE, starts=1))) for seed in range(4)]
    assert error(fit_network(task, replace(SHAPE, starts=4))) < np.mean(single)


@pytest.mark.parametrize("kind", ["class", "marks", "number"])
def test_embeddings_may_come_from_anywhere_in_any_unit(kind):
    task = make(kind)
    moved = replace(task, z=(1000 * task.z + 5000).astype(np.float32))
    expected, seen = fit_network(task, SHAPE).scores(task.z), fit_network(moved, SHAPE).scores(moved.z)
    assert np.abs(seen - expected).mean() < 0.05 * np.ptp(expected)


def test_a_weight_of_two_is_a_row_that_is_there_twice():
    task = make("number", n=40)
    doubled = np.arange(40) < 20
    twice = replace(
        task,
        z=np.concatenate([task.z, task.z[doubled]]),
        y=np.concatenate([task.y, task.y[doubled]]),
        groups=np.arange(60),
    )
    weighted = replace(task, weights=np.where(doubled, 2.0, 1.0))
    smooth = replace(SHAPE, activation="gelu", l2=20.0, starts=1)
    # Weights have mean one: of 40 rows the penalty weighs 60/40 as much as of 60.
    first = fit_network(weighted, replace(smooth, l2=20.0 * 40 / 60)).scores(task.z)
    second = fit_network(twice, smooth).scores(task.z)
    assert np.abs(first - second).max() < 0.01 * task.y.std()


def test_rows_that_count_nothing_are_as_if_not_there():
    task = make(n=60)
    some = task.rows(np.arange(40))
    weighted = replace(task, weights=(np.arange(60) < 40).astype(float))
    np.testing.assert_array_equal(fit_network(weighted, SHAPE).scores(task.z), fit_network(some, SHAPE).scores(task.z))


def test_of_very_many_rows_a_sample_leads_the_way(monkeypatch):
    monkeypatch.setattr("adapters.network.SAMPLE_ROWS", 500)
    task = make(n=2000)
    sizes = []
    monkeypatch.setattr(
        _Problem, "loss", lambda self, *given, own=_Problem.loss: sizes.append(len(self.x)) or own(self, *given)
    )
    head = fit_network(task, SHAPE)
    assert (head.scores(task.z).argmax(axis=1) == task.y).mean() > 0.9
    assert set(sizes) == {500, 2000}
    assert sizes.count(2000) < sizes.count(500)
    assert SAMPLE_ROWS > 500


def test_a_sample_stands_for_all_rows():
    problem = _Problem.of(make(n=100, weights=np.linspace(0.5, 2, 100)), balanced=False)
    sample = problem.take(np.arange(20))
    assert len(sample.x) == len(sample.y) == 20
    assert sample.weights.sum() == pytest.approx(problem.weights.sum(), rel=1e-5)
    np.testing.assert_allclose(sample.weights / sample.weights[0], problem.weights[:20] / problem.weights[0], rtol=1e-5)


def test_where_the_time_is_over_the_best_so_far_is_kept():
    task = make(n=200)
    full = fit_network(task, SHAPE)
    early = fit_network(replace(task, left_s=lambda: 0.0), SHAPE)
    assert len(early.bias) == SHAPE.width < len(full.bias)
    assert np.isfinite(early.scores(task.z)).all()
    assert (early.scores(task.z).argmax(axis=1) == task.y).mean() > 0.5


def test_it_can_be_cancelled_at_any_step():
    asked = []

    def check():
        asked.append(1)
        if len(asked) > 20:
            raise Cancelled("Somebody asked for it.")

    with pytest.raises(Cancelled):
        fit_network(make(check=check), SHAPE)
    assert len(asked) == 21


def test_balanced_classes_weigh_alike():
    task = make(n=300)
    few = task.rows((task.y != 2) | (np.arange(300) % 10 == 0))
    right = {}
    for balanced in (False, True):
        scores = fit_network(few, replace(SHAPE, balanced=balanced, l2=30.0)).scores(task.z)
        right[balanced] = (scores.argmax(axis=1) == task.y)[task.y == 2].mean()
    assert right[True] > right[False]
