import numpy as np
import pytest

from adapters.base import TaskKind
from adapters.ensembles.pool import pool_of, portions_of

ANSWERS = np.array([[[0.7, 0.2, 0.1]], [[0.1, 0.3, 0.6]]], dtype=np.float32)
SHARES = np.array([0.75, 0.25])
ALL = np.ones((2, 3), dtype=bool)


def softmax(scores):
    p = np.exp(scores)
    return p / p.sum(axis=1, keepdims=True)


def test_softmax_of_the_scores_is_the_average_of_the_probabilities():
    scores = pool_of(TaskKind.CLASSIFICATION, "probabilities").scores(ANSWERS, SHARES, ALL)
    np.testing.assert_allclose(softmax(scores), np.einsum("m,mnk->nk", SHARES, ANSWERS), rtol=1e-5)


def test_log_probabilities_are_averaged_where_asked():
    scores = pool_of(TaskKind.CLASSIFICATION, "log_probabilities").scores(ANSWERS, SHARES, ALL)
    np.testing.assert_allclose(scores, np.einsum("m,mnk->nk", SHARES, np.log(ANSWERS)), rtol=1e-5)


def test_of_marks_the_sigmoid_of_the_scores_is_the_average():
    scores = pool_of(TaskKind.MULTILABEL, "probabilities").scores(ANSWERS, SHARES, ALL)
    np.testing.assert_allclose(1 / (1 + np.exp(-scores)), np.einsum("m,mnk->nk", SHARES, ANSWERS), rtol=1e-5)


def test_numbers_are_averaged_as_they_are():
    scores = pool_of(TaskKind.REGRESSION, "probabilities").scores(ANSWERS[:, :, :1], SHARES, ALL[:, :1])
    np.testing.assert_allclose(scores, [[0.75 * 0.7 + 0.25 * 0.1]], rtol=1e-6)


@pytest.mark.parametrize("of", ["probabilities", "log_probabilities"])
def test_who_does_not_know_a_class_says_nothing_of_it(of):
    """The class gets what the other member says, whatever the shares are."""
    knows = np.array([[True, True, False], [True, True, True]])
    answers = np.array([[[0.8, 0.2, 0.0]], [[0.3, 0.3, 0.4]]], dtype=np.float32)
    scores = [
        pool_of(TaskKind.CLASSIFICATION, of).scores(answers, np.array(s), knows) for s in [(0.5, 0.5), (0.9, 0.1)]
    ]
    np.testing.assert_allclose([score[0, 2] for score in scores], np.log(0.4), rtol=1e-5)
    assert scores[1][0, 0] > scores[0][0, 0]


def test_shares_count_among_those_that_know_a_class():
    knows = np.array([[True, False], [True, True]])
    np.testing.assert_allclose(portions_of(np.array([0.25, 0.75]), knows), [[0.25, 0], [0.75, 1]])


@pytest.mark.parametrize("kind", [TaskKind.CLASSIFICATION, TaskKind.MULTILABEL])
@pytest.mark.parametrize("of", ["probabilities", "log_probabilities"])
def test_certainty_stays_finite(kind, of):
    certain = np.array([[[1.0, 0.0]], [[0.0, 1.0]]], dtype=np.float32)
    for shares in ((1.0, 0.0), (0.5, 0.5)):
        assert np.isfinite(pool_of(kind, of).scores(certain, np.array(shares), ALL[:, :2])).all()
