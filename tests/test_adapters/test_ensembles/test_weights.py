import numpy as np
import pytest

from adapters.base import TaskKind
from adapters.calibrate import fit_temperature, nll_by_row
from adapters.ensembles.pool import pool_of
from adapters.ensembles.weights import PRIOR_ROWS, Seen, _loss, learn_shares

KINDS = ["classification", "multilabel", "regression"]
WAYS = ["probabilities", "log_probabilities"]


def drawn(kind, n=60, members=3, seed=0, noise=(0.3, 1.0, 3.0)):
    """Members whose answers are the truth and more or less noise."""
    rng = np.random.default_rng(seed)
    knows = np.ones((members, 4 if kind != "regression" else 1), dtype=bool)
    if kind == "regression":
        y = rng.standard_normal(n)
        answers = np.stack([y + scale * rng.standard_normal(n) for scale in noise[:members]])[:, :, None]
        return Seen(answers.astype(np.float32), knows, y)
    if kind == "multilabel":
        y = rng.random((n, 4)) < 0.4
        odds = np.stack([4.0 * y - 2 + scale * rng.standard_normal((n, 4)) for scale in noise[:members]])
        return Seen((1 / (1 + np.exp(-odds))).astype(np.float32), knows, y)
    y = rng.integers(0, 4, n)
    scores = np.stack([3 * np.eye(4)[y] + scale * rng.standard_normal((n, 4)) for scale in noise[:members]])
    p = np.exp(scores) / np.exp(scores).sum(axis=2, keepdims=True)
    return Seen(p.astype(np.float32), knows, y)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("of", WAYS)
def test_shares_are_convex_and_follow_who_is_right(kind, of):
    shares = learn_shares(drawn(kind, n=400), of)
    assert shares.sum() == pytest.approx(1)
    assert (shares > 0).all()
    assert shares[0] > shares[1] > shares[2]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("of", WAYS)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_slope_is_that_of_the_loss(kind, of, weighted):
    """Along directions that keep the sum, also where a member does not know every class."""
    seen = drawn(kind)
    rng = np.random.default_rng(5)
    knows = seen.knows.copy()
    if kind != "regression":
        knows[1, 2] = False
    answers = seen.answers * knows[:, None, :]
    seen = Seen(answers, knows, seen.y, rng.random(len(seen.y)) + 0.5 if weighted else None)
    shares, along, step = np.array([0.2, 0.3, 0.5]), np.array([0.3, -0.5, 0.2]), 1e-6
    pool = pool_of(TaskKind(kind), of)
    _, slope, _ = _loss(seen, pool, 0.8, shares)
    ends = [_loss(seen, pool, 0.8, shares + side * step * along)[0] for side in (1, -1)]
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(float(slope @ along), rel=1e-4)


@pytest.mark.parametrize("of", WAYS)
def test_two_shares_are_those_of_a_search_of_the_whole_line(of):
    """At the temperature that the average has in the end."""
    seen = drawn("classification", n=200, members=2)
    pool, shares = pool_of(TaskKind.CLASSIFICATION, of), learn_shares(seen, of)
    temperature = fit_temperature(pool.scores(seen.answers, shares, seen.knows), seen.y)

    def loss(first):
        given = np.array([first, 1 - first])
        scores = pool.scores(seen.answers, given, seen.knows)
        return nll_by_row(scores, seen.y, temperature).sum() - PRIOR_ROWS * np.log(given).sum()

    line = np.linspace(0.01, 0.99, 99)
    assert shares[0] == pytest.approx(line[np.argmin([loss(first) for first in line])], abs=0.02)


def test_few_rows_leave_the_shares_near_equal_and_many_do_not():
    few, many = (learn_shares(drawn("classification", n=n), "probabilities") for n in (4, 1000))
    assert np.abs(few - 1 / 3).max() < 0.12
    assert many[0] > 0.5


def test_the_order_of_members_does_not_matter():
    seen = drawn("classification")
    order = [2, 0, 1]
    turned = Seen(seen.answers[order], seen.knows[order], seen.y)
    np.testing.assert_allclose(learn_shares(turned, WAYS[0]), learn_shares(seen, WAYS[0])[order], atol=1e-5)


def test_members_that_say_the_same_weigh_the_same():
    seen = drawn("classification", members=2)
    twice = Seen(np.repeat(seen.answers[:1], 3, axis=0), np.ones((3, 4), bool), seen.y)
    np.testing.assert_allclose(learn_shares(twice, WAYS[1]), 1 / 3, atol=1e-6)


def test_a_row_that_counts_more_pulls_more():
    seen = drawn("classification", n=80, members=2, noise=(1.0, 1.0))
    right = seen.answers[:, np.arange(80), seen.y]
    loud = np.where(right[1] > right[0], 20.0, 1.0)
    weighted = learn_shares(Seen(seen.answers, seen.knows, seen.y, loud), WAYS[0])
    assert weighted[1] > learn_shares(seen, WAYS[0])[1] + 0.05


def test_perfect_numbers_are_no_error():
    y = np.arange(10.0)
    shares = learn_shares(Seen(np.stack([y, y])[:, :, None].astype(np.float32), np.ones((2, 1), bool), y), WAYS[0])
    np.testing.assert_allclose(shares, 0.5)
