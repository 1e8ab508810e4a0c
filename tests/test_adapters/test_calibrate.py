import numpy as np
import pytest

from adapters.calibrate import fit_temperature, nll_by_row


def drawn(temperature, n=4000, k=5, seed=0):
    """Scores, and labels drawn from softmax(scores / temperature)."""
    rng = np.random.default_rng(seed)
    scores = 3 * rng.standard_normal((n, k))
    p = np.exp(scores / temperature)
    p /= p.sum(axis=1, keepdims=True)
    return scores.astype(np.float32), np.array([rng.choice(k, p=row) for row in p])


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_it_finds_the_temperature_that_made_the_labels(temperature):
    assert fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.1)


def test_it_is_where_the_smoothed_loss_is_lowest():
    scores, y = drawn(1.5, n=60)
    targets = np.full(scores.shape, 1 / 62 / 4)
    targets[np.arange(60), y] = 1 - 1 / 62

    def loss(t):
        log_p = scores / t - np.log(np.exp(scores / t).sum(axis=1, keepdims=True))
        return -(targets * log_p).sum()

    grid = np.linspace(0.5, 4, 2000)
    assert fit_temperature(scores, y) == pytest.approx(grid[np.argmin([loss(t) for t in grid])], rel=5e-3)


def test_scores_that_are_always_right_do_not_ask_for_certainty():
    scores = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]
    p = np.exp(-nll_by_row(scores, np.array([0, 1, 2, 0, 1, 2]), fit_temperature(scores, np.array([0, 1, 2, 0, 1, 2]))))
    # Six rows without an error: Laplace says one in eight.
    np.testing.assert_allclose(p, 7 / 8, atol=1e-3)


def test_scaling_the_scores_scales_the_temperature():
    scores, y = drawn(1.0, n=300)
    assert fit_temperature(100 * scores, y) == pytest.approx(100 * fit_temperature(scores, y), rel=1e-3)


@pytest.mark.parametrize("scores", [np.zeros((0, 3)), np.zeros((4, 3)), np.full((4, 3), 7.0)])
def test_scores_that_say_nothing_give_one(scores):
    assert fit_temperature(scores.astype(np.float32), np.zeros(len(scores), np.int64)) == 1.0


def test_scores_that_are_wrong_give_near_chance():
    y = np.arange(60) % 3
    scores = np.eye(3, dtype=np.float32)[(y + 1) % 3]
    loss = nll_by_row(scores, y, fit_temperature(scores, y)).mean()
    assert loss == pytest.approx(np.log(3), abs=0.01)


def test_scores_that_differ_in_their_last_digits_are_not_blown_up():
    y = np.repeat([0, 1], 10)
    scores = np.full((20, 2), 0.9, np.float32)
    scores[np.arange(20), y] += np.float32(1e-5)
    temperature = fit_temperature(scores, y)
    noise = np.finfo(np.float32).eps * np.abs(scores).max() / temperature
    assert noise < 2e-4


def marked(temperature, n=3000, k=4, seed=0):
    """Scores, and marks drawn from sigmoid(scores / temperature)."""
    rng = np.random.default_rng(seed)
    scores = 3 * rng.standard_normal((n, k)) - 2
    return scores.astype(np.float32), rng.random((n, k)) < 1 / (1 + np.exp(-scores / temperature))


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_of_marks_it_finds_the_temperature_that_made_them(temperature):
    assert fit_temperature(*marked(temperature)) == pytest.approx(temperature, rel=0.1)


def test_marks_that_are_always_right_do_not_ask_for_certainty():
    marks = np.eye(4, dtype=bool)[[0, 1, 2, 3, 0, 1, 2, 3]]
    scores = np.where(marks, 1, -1).astype(np.float32)
    p = 1 / (1 + np.exp(-scores / fit_temperature(scores, marks)))
    # Eight rows without an error: as a mark goes missing in one of ten, one of thirty others is too many.
    assert 0.9 < p[0, 0] < 0.97
    assert p[0, 1] == pytest.approx(1 - p[0, 0], abs=1e-5)


def test_the_loss_of_marks_is_their_mean_log_loss():
    scores, marks = marked(1.0, n=50)
    p = 1 / (1 + np.exp(-scores.astype(float) / 2))
    expected = -np.log(np.where(marks, p, 1 - p)).mean(axis=1)
    np.testing.assert_allclose(nll_by_row(scores, marks, 2.0), expected, rtol=1e-4)
    assert np.isfinite(nll_by_row(scores * 1e4, marks, 1.0)).all()


@pytest.mark.parametrize("made", [drawn, marked])
def test_rows_that_weigh_nothing_are_as_if_they_were_not_there(made):
    scores, y = made(0.5, n=400)
    weights = np.where(np.arange(400) < 100, 3.0, 0.0)
    assert fit_temperature(scores, y, weights) == pytest.approx(fit_temperature(scores[:100], y[:100]), rel=2e-2)
    assert fit_temperature(scores, y, np.full(400, 7.0)) == pytest.approx(fit_temperature(scores, y), rel=1e-4)


def test_marks_of_which_all_or_none_are_set_stay_finite():
    scores = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    for marks in (np.ones((20, 3), bool), np.zeros((20, 3), bool)):
        assert 0 < fit_temperature(scores, marks) < np.inf
