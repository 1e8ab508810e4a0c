import numpy as np
import pytest

from adapters.zero_shot.splits import Split, pseudo_unseen
from adapters.zero_shot.stacking import best_offset, harmonic_mean


def harmonic(split, scores, offset):
    """Directly, as the report would."""
    predicted = (scores - np.where(split.apart, 0, offset)).argmax(axis=1)
    right = [(predicted[split.y == c] == c).mean() for c in range(len(split.columns)) if (split.y == c).any()]
    sides = [np.mean([r for c, r in enumerate(right) if split.apart[c] == side]) for side in (False, True)]
    return 2 * sides[0] * sides[1] / max(1e-12, sum(sides))


@pytest.fixture
def drawn(make_described):
    """Scores in which the true class leads and seen classes are two too high."""
    splits, rng = pseudo_unseen(make_described(seen=12, unseen=4, rows=30)), np.random.default_rng(0)
    scores = []
    for split in splits:
        of = rng.standard_normal((len(split.judged), 12)) + 2.0 * ~split.apart
        of[np.arange(len(split.y)), split.y] += 2.0
        scores.append(of.astype(np.float32))
    return splits, scores


def test_it_finds_how_much_seen_classes_are_too_high(drawn):
    splits, scores = drawn
    found = best_offset(splits, scores)
    assert 1.5 < found < 3

    def mean(offset):
        return np.mean([harmonic(split, of, offset) for split, of in zip(splits, scores, strict=True)])

    assert mean(found) > max(mean(0.0), mean(4.0)) + 0.1
    assert mean(found) > max(mean(offset) for offset in np.linspace(0, 4, 41)) - 0.01


def test_it_is_in_units_of_the_scores(drawn):
    splits, scores = drawn
    assert best_offset(splits, [100 * of for of in scores]) == pytest.approx(
        100 * best_offset(splits, scores), rel=1e-3
    )


def test_seen_classes_that_are_too_low_are_lifted(drawn):
    splits, scores = drawn
    low = [of - 5.0 * ~split.apart for split, of in zip(splits, scores, strict=True)]
    assert best_offset(splits, low) == pytest.approx(best_offset(splits, scores) - 5, abs=0.3)


def test_without_a_row_of_a_seen_class_nothing_is_taken(make_described):
    splits = pseudo_unseen(make_described(rows=1))
    scores = [np.zeros((len(split.y), 10), np.float32) for split in splits]
    assert best_offset(splits, scores) == 0


def test_the_harmonic_mean_of_nothing_is_nothing():
    np.testing.assert_allclose(harmonic_mean(np.array([0.0, 0.5]), np.array([0.0, 1.0])), [0, 2 / 3])


def test_finding_the_side_and_not_the_class_gains_nothing():
    """Rows of the classes set apart that lie beyond 6 are told from the others there, and taken for one another."""
    y = np.array([0] * 4 + [1] * 4 + [2] * 2)
    lead = np.array([4, 8, 8, 8] * 2 + [2, 6], dtype=np.float32)
    apart = np.array([False, False, True, True])
    scores = np.zeros((10, 4), np.float32)
    scores[:, 2:] = -1
    scores[np.arange(8), y[:8]] = lead[:8]
    scores[8:, 0] = lead[8:]
    scores[np.arange(10), [2, 2, 2, 2, 2, 2, 2, 2, 2, 3]] = 0
    weights = np.array([1 / 4] * 8 + [1 / 2] * 2)
    split = Split(np.arange(4), apart, np.zeros(10, bool), np.arange(10), y, weights)
    assert 2 < best_offset([split], [scores]) < 4
