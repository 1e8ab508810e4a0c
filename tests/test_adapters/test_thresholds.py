import numpy as np
import pytest
from sklearn.metrics import f1_score

from adapters.thresholds import UNMEASURED, fit_thresholds


def drawn(shares, n=2000, seed=0, sharp=2.0):
    """Marks of some shares and probabilities that tell of them."""
    rng = np.random.default_rng(seed)
    marks = rng.random((n, len(shares))) < shares
    odds = sharp * (marks - 0.5) + rng.standard_normal(marks.shape) + np.log(np.array(shares))
    return 1 / (1 + np.exp(-odds)), marks


def test_where_marks_are_many_the_threshold_has_the_best_f1_of_all():
    p, marks = drawn([0.3, 0.05])
    thresholds = fit_thresholds(p, marks)
    for c in range(2):
        best = max(f1_score(marks[:, c], p[:, c] >= t) for t in np.linspace(0.01, 0.99, 99))
        assert f1_score(marks[:, c], p[:, c] >= thresholds[c]) == pytest.approx(best, abs=0.02)
        assert f1_score(marks[:, c], p[:, c] >= 0.5) < best - 0.05


def test_a_rare_class_stays_close_to_what_is_best_for_all():
    """The one marked row of the last class has the lowest probability: its own best threshold takes everything."""
    p, marks = drawn([0.3, 0.3, 0.3])
    p[:, 2], marks[:, 2] = np.linspace(0.1, 0.9, len(p)), False
    marks[0, 2] = True
    alone = fit_thresholds(p[:, :2], marks[:, :2])
    rare = fit_thresholds(p, marks)[2]
    assert abs(rare - alone.mean()) < 0.15
    assert rare > 0.2  # Its own would be 0.1.


def test_a_class_without_marked_rows_takes_the_common_threshold():
    p, marks = drawn([0.3, 0.3])
    marks[:, 1] = False
    p[:, 1] = 0.05
    thresholds = fit_thresholds(p, marks)
    assert thresholds[1] == pytest.approx(thresholds[0], abs=0.05)


def test_without_rows_it_is_one_half():
    assert fit_thresholds(np.empty((0, 3)), np.empty((0, 3), bool)).tolist() == [UNMEASURED] * 3


def test_a_weight_of_nothing_is_as_if_the_row_was_not_there():
    p, marks = drawn([0.3, 0.1], n=400)
    weights = np.ones(400)
    weights[300:] = 1e-12
    np.testing.assert_allclose(
        fit_thresholds(p, marks, weights), fit_thresholds(p[:300], marks[:300], weights[:300]), atol=0.02
    )


def test_equal_probabilities_are_taken_together():
    p, marks = np.array([[0.8]] * 5 + [[0.2]] * 5), np.array([[True]] * 4 + [[False]] * 6)
    assert fit_thresholds(p, marks)[0] == pytest.approx(0.5, abs=0.05)
