import numpy as np
import pytest

from adapters.errors import Cancelled
from adapters.lbfgs import minimise


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
