from dataclasses import replace

import numpy as np
import pytest

from adapters.ensembles.answers import HeldOut, hold_out
from adapters.ensembles.learning import droppable, learn, paired_interval
from adapters.methods.ensemble import Ensemble


def held_out(task, *members):
    return hold_out(replace(task, members=members), lambda _share: None)


@pytest.fixture
def good_and_bad(make_task, published, stranger):
    """Two members that know, and one that is sure of the opposite."""
    task = make_task(counts=(40, 40, 40), spread=2.5)
    opposed = stranger(task.classes, weight=-task.names, temperature=0.1)
    return held_out(task, published(task, "logistic"), published(task, "prototype", "two:1"), opposed)


def test_who_hurts_is_dropped(good_and_bad):
    found = learn(Ensemble(), good_and_bad)
    assert found.dropped.tolist() == [False, False, True]
    assert found.shares[2] == 0
    assert found.shares.sum() == pytest.approx(1)


def test_a_handful_of_rows_drops_nobody_and_hardly_moves_the_shares(make_task, stranger):
    task = make_task(counts=(4, 4), spread=3.0, seed=2)
    found = learn(Ensemble(), held_out(task, stranger(task.classes), stranger(task.classes, seed=1)))
    assert not found.dropped.any()
    assert 0.3 < found.shares[0] < 0.7


def test_it_may_stay_where_that_is_asked_for(good_and_bad):
    found = learn(Ensemble(drop=False), good_and_bad)
    assert not found.dropped.any()
    assert 0 < found.shares[2] < 0.2


def test_given_weights_are_kept_whoever_hurts(good_and_bad):
    found = learn(Ensemble(weights=[1.0, 1.0, 2.0]), good_and_bad)
    np.testing.assert_allclose(found.shares, [0.25, 0.25, 0.5])
    assert not found.dropped.any()
    assert found.choice is not None


def test_a_given_weight_of_zero_is_no_drop(good_and_bad):
    found = learn(Ensemble(weights=[1.0, 1.0, 0.0]), good_and_bad)
    assert not found.dropped.any()
    assert found.shares[2] == 0


def test_both_ways_are_compared_and_the_better_one_is_kept(good_and_bad):
    found = learn(Ensemble(), good_and_bad)
    assert [method.of for method in found.comparison.methods] == ["probabilities", "log_probabilities"]
    assert found.of == found.comparison.methods[int(np.argmin(found.choice.loss))].of
    assert learn(Ensemble(of="log_probabilities"), good_and_bad).of == "log_probabilities"


def test_a_row_is_scored_by_shares_from_other_folds(good_and_bad):
    """Its own label has no say: what the labels of one fold are changes nothing in it."""
    fold = good_and_bad.folds == 0
    y = good_and_bad.task.y.copy()
    y[fold] = np.roll(y[fold], 1)
    other = replace(good_and_bad, task=replace(good_and_bad.task, y=y))
    one, two = (learn(Ensemble(of="probabilities", drop=False), held) for held in (good_and_bad, other))
    np.testing.assert_array_equal(one.scores[fold], two.scores[fold])
    assert not np.array_equal(one.scores[~fold], two.scores[~fold])


def test_where_nothing_is_held_out_all_weigh_the_same(make_task, stranger, without_rows):
    task = without_rows(make_task())
    held = held_out(task, stranger(task.classes), stranger(task.classes, seed=1))
    found = learn(Ensemble(), held)
    np.testing.assert_allclose(found.shares, 0.5)
    assert found.choice is None
    np.testing.assert_allclose(learn(Ensemble(weights=[3.0, 1.0]), held).shares, [0.75, 0.25])


def test_the_last_who_knows_a_class_is_never_dropped(make_task, stranger):
    task = make_task(counts=(5, 5, 5))
    held = held_out(task, stranger(task.classes[:2]), stranger(task.classes), stranger(task.classes[:2], seed=2))
    assert isinstance(held, HeldOut)
    assert droppable(held, np.ones(3, bool)) == [0, 2]


def test_the_interval_covers_and_counts_groups(make_task):
    task = make_task(counts=(100, 100))
    gain = np.where(np.arange(200) % 2 == 0, 0.2, 0.0)
    mean, low, high = paired_interval(gain, task)
    assert mean == pytest.approx(0.1)
    # Two standard errors of a mean of 200 coins worth 0.2.
    assert high - low == pytest.approx(2 * 1.96 * 0.1 / np.sqrt(200), rel=0.15)
    twice = replace(task, groups=np.arange(200) // 4)
    assert paired_interval(gain, twice)[2] - paired_interval(gain, twice)[1] == pytest.approx(0, abs=1e-9)


def test_an_interval_leaves_rows_without_a_difference_out(make_task):
    gain = np.full(20, np.nan)
    gain[:5] = 1.0
    assert paired_interval(gain, make_task(counts=(10, 10))) == (1.0, 1.0, 1.0)


def test_rows_count_by_their_weights_in_what_is_learned(make_task, stranger):
    """Each of two members is right about other rows; the weights say which rows matter."""
    task = make_task(counts=(60, 60), spread=0.3)
    one, other = stranger(task.classes, weight=task.names), stranger(task.classes, weight=-task.names)
    shares = []
    for right in (0, 1):
        # Half of the rows hold the opposite of what their class is.
        half = np.arange(120) % 2 == 1
        z = np.where(half[:, None], -task.z, task.z)
        weights = np.where(half == bool(right), 1.0, 0.01)
        held = held_out(replace(task, z=z, weights=weights), one, other)
        shares.append(learn(Ensemble(of="probabilities", drop=False), held).shares)
    assert shares[0][0] > 0.7
    assert shares[1][1] > 0.7
