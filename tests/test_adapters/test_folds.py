from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.base import Task
from adapters.folds import MOST_ROWS, NEVER, deal_folds, sample_rows


def task_of(y, groups, seed=0):
    y, groups = np.array(y), np.array(groups)
    _, y = np.unique(y, return_inverse=True)
    classes = tuple(map(str, range(y.max() + 1)))
    return Task(np.zeros((len(y), 1), np.float32), y, classes, groups, seed=seed)


def numbers_of(groups, seed=0):
    groups = np.array(groups)
    return Task(np.zeros((len(groups), 1), np.float32), np.arange(len(groups)) / 7, (), groups, seed=seed)


def test_a_class_is_spread_over_min_n_k_folds():
    y = [0] * 7 + [1] * 3 + [2] * 1
    folds = deal_folds(task_of(y, range(11)))
    assert len(set(folds[:7])) == 5
    assert len(set(folds[7:10])) == 3
    assert folds[10] == NEVER


def test_a_single_example_class_does_not_lower_the_number_of_folds():
    y = [0] * 5 + [1] * 5 + [2]
    assert sorted(set(deal_folds(task_of(y, range(11))))) == [NEVER, 0, 1, 2, 3, 4]


def test_a_class_that_is_one_group_stays_in_training():
    folds = deal_folds(task_of([0, 0, 0, 1, 1, 1, 2, 2, 2], [0, 0, 0, 1, 2, 3, 4, 5, 6]))
    assert set(folds[:3]) == {NEVER}
    assert NEVER not in folds[3:]


def test_nothing_is_held_out_where_only_one_class_could_be():
    assert set(deal_folds(task_of([0, 0, 0, 1], range(4)))) == {NEVER}
    assert set(deal_folds(task_of([0, 1, 2], range(3)))) == {NEVER}


@pytest.mark.parametrize("seed", range(6))
def test_one_fold_alone_is_none(seed):
    """Classes 2 and 3 live only beside rows of 0 and 1; once those groups are kept, one fold may be left alone."""
    folds = deal_folds(task_of([0, 0, 2, 1, 1, 3], [0, 1, 1, 2, 3, 3], seed))
    assert len(set(folds) - {NEVER}) in {0, 2}
    assert set(folds[[1, 2, 4, 5]]) == {NEVER}


def test_folds_are_even():
    folds = deal_folds(task_of(np.repeat(np.arange(7), 3), range(21)))
    assert np.bincount(folds).tolist() == [7, 7, 7]


def test_the_seed_decides():
    y = np.repeat(np.arange(4), 10)
    first, again, other = (deal_folds(task_of(y, range(40), seed)) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=2, max_size=40), st.integers(0, 5))
def test_groups_stay_together_and_every_class_stays_in_training(rows, seed):
    task = task_of([label for label, _ in rows], [group for _, group in rows], seed)
    folds = deal_folds(task)
    for group in set(task.groups):
        assert len(set(folds[task.groups == group])) == 1
    used = set(folds) - {NEVER}
    assert used == set(range(len(used)))
    assert len(used) != 1
    for fold in used:
        assert set(task.y[folds != fold]) == set(task.y)


def test_numbers_are_dealt_evenly_and_the_seed_decides():
    first, again, other = (deal_folds(numbers_of(range(23), seed)) for seed in (1, 1, 2))
    assert sorted(np.bincount(first)) == [4, 4, 5, 5, 5]
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize(
    "groups", [[0], [0, 1], [0, 1, 2], [0, 0, 0, 0, 0], [0, 1, 1, 1]], ids=["1", "2", "3 rows", "1 group", "1 row left"]
)
def test_numbers_of_which_too_few_would_be_left_are_never_held_out(groups):
    assert set(deal_folds(numbers_of(groups))) == {NEVER}


def test_four_different_numbers_are_held_out_one_by_one():
    assert sorted(deal_folds(numbers_of(range(4)))) == [0, 1, 2, 3]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(0, 5))
def test_groups_of_numbers_stay_together_and_rows_are_left_to_learn_from(groups, seed):
    task = numbers_of(groups, seed)
    folds = deal_folds(task)
    assert len(folds) == len(groups)
    for group in set(groups):
        assert len(set(folds[task.groups == group])) == 1
    used = set(folds)
    assert used == {NEVER} or used == set(range(min(5, len(set(groups)))))
    for fold in used - {NEVER}:
        assert (folds != fold).sum() >= 2


def marks_of(marks, groups=None, seed=0, **fields):
    marks = np.asarray(marks, bool)
    groups = np.arange(len(marks)) if groups is None else np.asarray(groups)
    classes = tuple(map(str, range(marks.shape[1])))
    return Task(np.zeros((len(marks), 1), np.float32), marks, classes, groups, seed=seed, **fields)


def test_of_several_classes_a_row_each_is_spread_evenly():
    rng = np.random.default_rng(0)
    marks = rng.random((200, 4)) < [0.5, 0.1, 0.05, 0.3]
    folds = deal_folds(marks_of(marks))
    assert sorted(set(folds)) == [0, 1, 2, 3, 4]
    of_fold = np.array([marks[folds == fold].sum(axis=0) for fold in range(5)])
    # The rarest are dealt first and so most evenly; rows beyond a whole share go to one fold or the other.
    assert (np.ptp(of_fold[:, [1, 2]], axis=0) <= 2).all()
    assert (np.ptp(of_fold, axis=0) <= 5).all()


def test_the_rarest_class_is_dealt_first():
    """Every row of the rare class has the common one too: dealt last, it would go wherever that had room."""
    rng = np.random.default_rng(1)
    common = rng.random(150) < 0.6
    marks = np.stack([common & (rng.random(150) < 0.15), common], axis=1)
    for seed in range(5):
        folds = deal_folds(marks_of(marks, seed=seed))
        of_fold = [int(marks[folds == fold, 0].sum()) for fold in range(5)]
        assert max(of_fold) - min(of_fold) <= 1


def test_a_class_with_one_marked_row_stays_in_training_and_demotes_no_other():
    marks = np.zeros((30, 2), bool)
    marks[::2, 0] = marks[7, 1] = True
    folds = deal_folds(marks_of(marks))
    assert folds[7] == NEVER
    assert (folds == NEVER).sum() == 1
    assert set(folds) == {NEVER, 0, 1, 2, 3, 4}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 9)), min_size=1, max_size=40),
    st.integers(0, 5),
)
def test_groups_of_several_classes_stay_together_and_every_class_stays_in_training(rows, seed):
    marks = np.array([[bits >> c & 1 for c in range(3)] for bits, _ in rows], bool)
    task = marks_of(marks, [group for _, group in rows], seed)
    folds = deal_folds(task)
    used = set(folds) - {NEVER}
    assert used == set(range(len(used)))
    assert len(used) != 1
    for group in set(task.groups):
        assert len(set(folds[task.groups == group])) == 1
    for fold in used:
        assert (marks[folds != fold].any(axis=0) == marks.any(axis=0)).all()


def test_groups_of_mixed_classes_are_dealt_evenly():
    """Sixty sessions of four rows, in which the rare class comes up in every third session."""
    groups = np.repeat(np.arange(60), 4)
    y = np.where((groups % 3 == 0) & (np.arange(240) % 4 == 0), 1, 0)
    folds = deal_folds(task_of(y, groups))
    assert [int((folds[y == 1] == fold).sum()) for fold in range(5)] == [4] * 5
    assert np.bincount(folds).tolist() == [48] * 5


def test_rows_that_weigh_nothing_are_as_if_they_were_not_there():
    y, weights = np.repeat([0, 1, 2], [6, 6, 3]), np.ones(15)
    weights[[2, 12, 13]] = 0
    folds = deal_folds(replace(task_of(y, range(15)), weights=weights))
    there = weights > 0
    assert (folds[~there] == NEVER).all()
    assert (folds[there] == deal_folds(replace(task_of(y[there], np.arange(15)[there])))).all()
    assert folds[14] == NEVER  # The only one of its class that counts.


def test_a_class_without_rows_is_allowed():
    task = replace(task_of([0, 0, 0, 1, 1, 1], range(6)), classes=("a", "b", "c"))
    assert sorted(deal_folds(task)) == [0, 0, 1, 1, 2, 2]


def test_many_rows_are_held_out_in_three_folds():
    assert set(deal_folds(task_of(np.arange(6000) % 2, range(6000)))) == {0, 1, 2}


def test_a_sample_keeps_groups_whole_and_rare_classes_in():
    n = MOST_ROWS + 8000
    y = np.zeros(n, np.int64)
    y[:7] = 1
    y[7 : n // 4] = 2
    task = task_of(y, np.arange(n) // 2)
    rows = sample_rows(task)
    assert 9_900 < len(rows) < 10_100
    assert (np.diff(rows) > 0).all()
    inside = np.isin(task.groups, task.groups[rows])
    assert inside.sum() == len(rows)
    assert (task.y[rows] == 1).sum() == 7
    assert (task.y[rows] == 2).mean() == pytest.approx(0.25, abs=0.02)
    assert (rows == sample_rows(task)).all()


def test_few_rows_are_all_taken_but_for_those_that_weigh_nothing():
    task = task_of([0, 0, 1, 1], range(4))
    assert sample_rows(task).tolist() == [0, 1, 2, 3]
    assert sample_rows(replace(task, weights=np.array([1.0, 0, 2, 3]))).tolist() == [0, 2, 3]


def test_of_very_many_classes_some_rows_are_never_held_out():
    """Two thousand classes of five rows: ten million scores of each candidate would be too many."""
    task = task_of(np.repeat(np.arange(2000), 5), range(10_000))
    folds = deal_folds(task)
    assert 0.9 < (folds != NEVER).sum() / 2000 < 1.1
    assert set(folds) == {NEVER, 0, 1, 2}
