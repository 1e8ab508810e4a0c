import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.base import Task
from adapters.folds import NEVER, deal_folds, random_folds, stratified_folds


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
    folds = stratified_folds(task_of(y, range(11)))
    assert len(set(folds[:7])) == 5
    assert len(set(folds[7:10])) == 3
    assert folds[10] == NEVER


def test_a_single_example_class_does_not_lower_the_number_of_folds():
    y = [0] * 5 + [1] * 5 + [2]
    assert sorted(set(stratified_folds(task_of(y, range(11))))) == [NEVER, 0, 1, 2, 3, 4]


def test_a_class_that_is_one_group_stays_in_training():
    folds = stratified_folds(task_of([0, 0, 0, 1, 1, 1, 2, 2, 2], [0, 0, 0, 1, 2, 3, 4, 5, 6]))
    assert set(folds[:3]) == {NEVER}
    assert NEVER not in folds[3:]


def test_nothing_is_held_out_where_only_one_class_could_be():
    assert set(stratified_folds(task_of([0, 0, 0, 1], range(4)))) == {NEVER}
    assert set(stratified_folds(task_of([0, 1, 2], range(3)))) == {NEVER}


@pytest.mark.parametrize("seed", range(6))
def test_one_fold_alone_is_none(seed):
    """Classes 2 and 3 live only beside rows of 0 and 1; once those groups are kept, one fold may be left alone."""
    folds = stratified_folds(task_of([0, 0, 2, 1, 1, 3], [0, 1, 1, 2, 3, 3], seed))
    assert len(set(folds) - {NEVER}) in {0, 2}
    assert set(folds[[1, 2, 4, 5]]) == {NEVER}


def test_folds_are_even():
    folds = stratified_folds(task_of(np.repeat(np.arange(7), 3), range(21)))
    assert np.bincount(folds).tolist() == [7, 7, 7]


def test_the_seed_decides():
    y = np.repeat(np.arange(4), 10)
    first, again, other = (stratified_folds(task_of(y, range(40), seed)) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=2, max_size=40), st.integers(0, 5))
def test_groups_stay_together_and_every_class_stays_in_training(rows, seed):
    task = task_of([label for label, _ in rows], [group for _, group in rows], seed)
    folds = stratified_folds(task)
    for group in set(task.groups):
        assert len(set(folds[task.groups == group])) == 1
    used = set(folds) - {NEVER}
    assert used == set(range(len(used)))
    assert len(used) != 1
    for fold in used:
        assert set(task.y[folds != fold]) == set(task.y)


def test_numbers_are_dealt_evenly_and_the_seed_decides():
    first, again, other = (random_folds(numbers_of(range(23), seed)) for seed in (1, 1, 2))
    assert sorted(np.bincount(first)) == [4, 4, 5, 5, 5]
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize(
    "groups", [[0], [0, 1], [0, 1, 2], [0, 0, 0, 0, 0], [0, 1, 1, 1]], ids=["1", "2", "3 rows", "1 group", "1 row left"]
)
def test_numbers_of_which_too_few_would_be_left_are_never_held_out(groups):
    assert set(random_folds(numbers_of(groups))) == {NEVER}


def test_four_different_numbers_are_held_out_one_by_one():
    assert sorted(random_folds(numbers_of(range(4)))) == [0, 1, 2, 3]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(0, 5))
def test_groups_of_numbers_stay_together_and_rows_are_left_to_learn_from(groups, seed):
    task = numbers_of(groups, seed)
    folds = random_folds(task)
    assert len(folds) == len(groups)
    for group in set(groups):
        assert len(set(folds[task.groups == group])) == 1
    used = set(folds)
    assert used == {NEVER} or used == set(range(min(5, len(set(groups)))))
    for fold in used - {NEVER}:
        assert (folds != fold).sum() >= 2


def test_the_task_decides_which_folds_are_dealt():
    classes, numbers = task_of([0, 0, 0, 1, 1, 2], range(6)), numbers_of(range(9))
    assert (deal_folds(classes) == stratified_folds(classes)).all()
    assert (deal_folds(numbers) == random_folds(numbers)).all()
