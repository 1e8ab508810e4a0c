from dataclasses import replace

import numpy as np
import pytest

from adapters.linalg import log_softmax
from adapters.methods import parse_method
from adapters.zero_shot.compare import Mix, Settled, Wish, settle
from adapters.zero_shot.judged import Judged, judge_all, judge_crossed, recall
from adapters.zero_shot.splits import Split
from adapters.zero_shot.trials import run_trials

# Rows of three classes, the last of which is set apart, and what is said of them.
SCORES = np.array([[3, 0, 1], [0, 1, 2], [2, 0, 1], [0, 0, 9]], np.float32)


@pytest.fixture
def split():
    y = np.array([0, 1, 2, 2])
    weights = np.array([1.0, 1.0, 0.75, 0.25])
    return Split(np.arange(3), np.array([False, False, True]), np.zeros(9, bool), np.arange(4), y, weights)


def settled(stacking, temperature=1.0):
    return Settled(Mix(()), stacking, temperature, np.zeros(0), np.zeros(0))


def test_recall_counts_rows_by_their_weights(split):
    np.testing.assert_allclose(recall(split, SCORES), [1, 0, 0.25])
    without = replace(split, y=np.array([0, 0, 2, 2]))
    assert np.isnan(recall(without, SCORES)[1])


def test_what_is_taken_from_learned_classes_counts_where_all_are_told_apart(split):
    judged = Judged.of(split, SCORES, settled(1.5, 2.0))
    np.testing.assert_allclose(judged.raw, [1, 0, 0.25])
    np.testing.assert_allclose(judged.recall, [1, 0, 1])
    np.testing.assert_allclose(judged.among, [np.nan, np.nan, 1])
    expected = log_softmax((SCORES - np.array([1.5, 1.5, 0], np.float32)) / 2)
    np.testing.assert_allclose(judged.log_p, expected, atol=1e-6)


def test_each_split_is_judged_by_what_the_others_settle_on(make_described):
    methods = parse_method({"method": "eszsl", "lam": 1.0})
    task = make_described()
    trials = run_trials(methods.variants(task), task, lambda _share: None)
    judged = judge_crossed(trials, Wish())
    assert [of.split for of in judged] == list(trials.splits)
    others = settle(trials, [1, 2, 3, 4], Wish())
    expected = Judged.of(trials.splits[0], others.mix.scores(trials, 0), others)
    np.testing.assert_array_equal(judged[0].log_p, expected.log_p)
    # Or this test could not tell.
    assert others.temperature != settle(trials, range(5), Wish()).temperature


def test_all_rows_judge_a_head_that_learned_nothing_from_them(make_named):
    task = make_named()
    head = parse_method({"method": "names", "stacking": 0.25}).fit(task)
    (judged,), temperature = judge_all(head, head.seen, 0.25, task)
    scores = head.scores(task.z)
    right = scores.argmax(axis=1) == task.y
    np.testing.assert_allclose(judged.recall[:10], [right[task.y == c].mean() for c in range(10)])
    assert np.isnan(judged.recall[10:]).all()
    plain = parse_method({"method": "names", "stacking": 0.0}).fit(task).scores(task.z)
    plain_right = plain.argmax(axis=1) == task.y
    np.testing.assert_allclose(judged.raw[:10], [plain_right[task.y == c].mean() for c in range(10)])
    np.testing.assert_allclose(judged.log_p, log_softmax(scores / np.float32(temperature)), atol=1e-4)
