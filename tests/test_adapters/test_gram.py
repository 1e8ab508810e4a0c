"""The Gram matrix and its inverse against plain numpy; the torch twin on the CPU, where it computes the same."""

import numpy as np
import pytest
import torch

from adapters import gram, linalg
from adapters.errors import Cancelled
from adapters.gram import Centred, Spectrum, solve_each, solve_on

SHAPES = [(40, 7), (7, 40), (12, 12)]
SHIFTS = [0.05, 1.0, 30.0]


def draw(n, d, check=lambda: None):
    """Weighted rows around two centres, and a right-hand side of three columns."""
    rng = np.random.default_rng(n)
    z = rng.standard_normal((n, d)).astype(np.float32)
    rows = Centred(z, rng.integers(0, 3, n).astype(float), rng.standard_normal((2, d)), np.arange(n) % 2, check)
    return rows, rng.standard_normal((d, 3))


def whole(rows):
    return np.sqrt(rows.weights)[:, None] * (rows.z.astype(np.float64) - rows.centres[rows.of])


def solved(rows, right):
    x = whole(rows)
    return [np.linalg.solve(x.T @ x + shift * np.eye(len(right)), right) for shift in SHIFTS]


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_the_rows_and_their_gram_matrix_are_what_they_say(n, d, monkeypatch):
    rows, _ = draw(n, d)
    monkeypatch.setattr(linalg, "_BLOCK_VALUES", 3 * d)
    np.testing.assert_allclose(rows.whole(), whole(rows))
    np.testing.assert_allclose(rows.gram(), whole(rows).T @ whole(rows), atol=1e-12)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_one_spectrum_solves_for_every_shift(n, d):
    rows, right = draw(n, d)
    for seen, expected in zip(Spectrum.of(rows).solve_each(right, SHIFTS), solved(rows, right), strict=True):
        np.testing.assert_allclose(seen, expected, atol=1e-9)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_a_batch_of_cholesky_factors_on_torch_solves_the_same(n, d, monkeypatch):
    rows, right = draw(n, d)
    monkeypatch.setattr(linalg, "_BLOCK_VALUES", 3 * d)
    np.testing.assert_allclose(solve_on("cpu", rows, right, SHIFTS), solved(rows, right), atol=1e-9)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_the_root_of_the_inverse_is_a_root(n, d):
    rows, _ = draw(n, d)
    root = Spectrum.of(rows).root(0.5)
    np.testing.assert_allclose(root @ root @ (whole(rows).T @ whole(rows) + 0.5 * np.eye(d)), np.eye(d), atol=1e-9)


def test_rows_that_carry_nothing_are_solved_too():
    rows = Centred(np.ones((5, 3), np.float32), np.ones(5), np.ones((1, 3)), np.zeros(5, np.int64), lambda: None)
    (seen,) = Spectrum.of(rows).solve_each(np.eye(3), [2.0])
    np.testing.assert_allclose(seen, np.eye(3) / 2)


def test_cancel_is_heard_with_every_block(monkeypatch):
    heard = []

    def check():
        heard.append(1)
        if len(heard) == 3:
            raise Cancelled("Somebody asked for it.")

    monkeypatch.setattr(linalg, "_BLOCK_VALUES", 7)
    rows, right = draw(40, 7, check)
    with pytest.raises(Cancelled):
        rows.gram()
    heard.clear()
    with pytest.raises(Cancelled):
        solve_on("cpu", rows, right, SHIFTS)


def test_on_the_gpu_the_torch_twin_is_asked(make_task, monkeypatch):
    rows, right = draw(40, 7)
    asked = []

    def stand_in(device, *arguments):
        asked.append(device)
        return solve_on("cpu", *arguments)

    monkeypatch.setattr(gram, "solve_on", stand_in)
    seen = list(solve_each(make_task(device="cuda"), rows, right, SHIFTS))
    np.testing.assert_allclose(seen, solved(rows, right), atol=1e-9)
    assert asked == ["cuda"]


def test_without_memory_on_the_gpu_the_cpu_computes_and_says_so(make_task, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(gram, "solve_on", full)
    said = []
    rows, right = draw(40, 7)
    seen = list(solve_each(make_task(device="cuda", say=said.append), rows, right, SHIFTS))
    np.testing.assert_allclose(seen, solved(rows, right), atol=1e-9)
    assert len(said) == 1
    assert "memory" in said[0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_a_real_gpu_solves_the_same(n, d):
    rows, right = draw(n, d)
    np.testing.assert_allclose(solve_on("cuda", rows, right, SHIFTS), solved(rows, right), atol=1e-9)
