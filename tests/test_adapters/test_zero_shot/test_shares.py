import numpy as np
import pytest

from adapters.zero_shot.shares import convex_shares


@pytest.fixture
def drawn():
    """Two members that each know half of what there is to know, and one that guesses."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 5, 600)
    truth = 1.0 * np.eye(5)[y]
    scores = np.stack([truth + rng.standard_normal((600, 5)) for _ in range(2)] + [rng.standard_normal((600, 5))])
    return scores.astype(np.float32), y, np.ones(600)


def test_equal_members_share_alike_and_one_that_guesses_has_nothing(drawn):
    shares = convex_shares(*drawn)
    assert shares.sum() == pytest.approx(1)
    assert shares[0] == pytest.approx(0.5, abs=0.12)
    assert shares[2] == 0


def test_one_that_says_the_same_again_adds_nothing(drawn):
    scores, y, weights = drawn
    shares = convex_shares(scores[[0, 0, 2]], y, weights)
    np.testing.assert_allclose(sorted(shares), [0, 0, 1], atol=1e-6)


def test_members_alone_are_all_of_it(drawn):
    scores, y, weights = drawn
    np.testing.assert_array_equal(convex_shares(scores[:1], y, weights), [1])
    np.testing.assert_array_equal(convex_shares(scores[:, :, :1], np.zeros_like(y), weights), [1, 0, 0])


def test_rows_count_by_their_weights(drawn):
    scores, y, _ = drawn
    spoiled = scores.copy()
    spoiled[0, :300], spoiled[1, 300:] = 0, 0
    first = convex_shares(spoiled, y, np.where(np.arange(600) < 300, 0.01, 1.0))
    second = convex_shares(spoiled, y, np.where(np.arange(600) < 300, 1.0, 0.01))
    assert first[0] > 0.8
    assert second[1] > 0.8


def test_the_lowest_loss_is_found(drawn):
    """Beside a grid over the shares of two members."""
    scores, y, weights = drawn
    scores = np.stack([scores[0], 0.5 * scores[1]])
    found = convex_shares(scores, y, weights)[0]

    def loss(share):
        best = np.inf
        for b in np.linspace(0.2, 6, 60):
            s = b * (share * scores[0] + (1 - share) * scores[1])
            best = min(best, -np.mean(s[np.arange(600), y] - np.log(np.exp(s).sum(axis=1))))
        return best

    assert loss(found) < min(loss(share) for share in np.linspace(0, 1, 21)) + 5e-3
