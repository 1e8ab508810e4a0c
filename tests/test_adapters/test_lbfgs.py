import numpy as np
import pytest

from adapters.errors import Cancelled
from adapters.lbfgs import CHUNK_BYTES, CrossEntropy, chunks, minimise


def quadratic(dtype):
    rng = np.random.default_rng(0)
    a = rng.standard_normal((20, 20))
    hessian = (a @ a.T + 0.1 * np.eye(20)).astype(dtype)
    b = rng.standard_normal(20).astype(dtype)
    return hessian, b, lambda x: (float(x @ hessian @ x / 2 - b @ x), hessian @ x - b)


def test_it_finds_the_minimum_of_a_quadratic():
    hessian, b, objective = quadratic(np.float64)
    x = minimise(objective, np.zeros(20), gradient_norm=1e-9, check=lambda: None)
    np.testing.assert_allclose(x, np.linalg.solve(hessian, b), atol=1e-5)


def test_it_keeps_the_precision_it_was_given_and_ends_where_that_precision_ends():
    _, _, objective = quadratic(np.float32)
    x = minimise(objective, np.zeros(20, np.float32), gradient_norm=0.0, check=lambda: None)
    assert x.dtype == np.float32
    assert np.linalg.norm(objective(x)[1]) < 1e-2


def test_it_goes_nowhere_from_the_minimum():
    calls = []

    def objective(x):
        calls.append(1)
        return float(x @ x), 2 * x

    minimise(objective, np.zeros(3), gradient_norm=1e-6, check=lambda: None)
    assert len(calls) == 1


def test_check_ends_the_walk_between_iterations():
    left = iter([None, None])

    def check():
        if next(left, "over") == "over":
            raise Cancelled("over")

    _, _, objective = quadratic(np.float64)
    with pytest.raises(Cancelled):
        minimise(objective, np.zeros(20), gradient_norm=1e-9, check=check)


def test_without_time_it_stops_after_the_fewest_steps_and_lower_than_it_began():
    asked = []

    def out_of_time():
        asked.append(1)
        return True

    rng = np.random.default_rng(0)
    steep = np.logspace(-4, 4, 50)
    values = []

    def objective(x):
        values.append(float(x @ (steep * x)))
        return values[-1], 2 * steep * x

    start = rng.standard_normal(50)
    x = minimise(objective, start, gradient_norm=0.0, check=lambda: None, out_of_time=out_of_time)
    assert len(asked) == 1
    assert float(x @ (steep * x)) == min(values) < values[0]


def cross_entropy(n=40, r=6, k=3, marked=False, sides=None, dtype=np.float64, check=lambda: None):
    rng = np.random.default_rng(1)
    y = rng.random((n, k)) < 0.3 if marked else rng.integers(0, k, n)
    x = rng.standard_normal((n, r)).astype(dtype)
    return CrossEntropy(x, y, rng.random(n), sides, check), rng.standard_normal((r + 1, k))


@pytest.mark.parametrize(
    "kind", [{}, {"marked": True}, {"marked": True, "sides": np.array([[1.0, 2.0, 0.5], [3.0, 1.0, 7.0]])}]
)
def test_the_gradient_is_the_slope_of_the_loss(kind):
    loss, theta = cross_entropy(**kind)
    _, gradient = loss(theta)
    for at in np.ndindex(theta.shape):
        step = np.zeros(theta.shape)
        step[at] = 1e-6
        slope = (loss(theta + step)[0] - loss(theta - step)[0]) / 2e-6
        assert gradient[at] == pytest.approx(slope, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("marked", [False, True])
def test_chunks_of_rows_add_up(marked, monkeypatch):
    loss, theta = cross_entropy(marked=marked)
    whole, slope = loss(theta)
    monkeypatch.setattr("adapters.lbfgs.CHUNK_BYTES", 7 * 12 * 8)
    value, gradient = loss(theta)
    assert value == pytest.approx(whole)
    np.testing.assert_allclose(gradient, slope)


@pytest.mark.parametrize("marked", [False, True])
def test_huge_scores_stay_finite(marked):
    loss, theta = cross_entropy(marked=marked, dtype=np.float32)
    value, gradient = loss(1e5 * theta)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_every_chunk_asks_whether_to_go_on(monkeypatch):
    asked = []
    loss, theta = cross_entropy(check=lambda: asked.append(1))
    monkeypatch.setattr("adapters.lbfgs.CHUNK_BYTES", 10 * 12 * 8)
    loss(theta)
    assert len(asked) == 4


def test_chunks_are_all_rows_once():
    assert [list(range(20))[some] for some in chunks(20, CHUNK_BYTES // 8)] == [
        list(range(8)),
        list(range(8, 16)),
        list(range(16, 20)),
    ]
    assert len(list(chunks(3, 100 * CHUNK_BYTES))) == 3
