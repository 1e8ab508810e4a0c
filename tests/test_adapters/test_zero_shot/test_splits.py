from dataclasses import replace

import numpy as np
import pytest

from adapters.zero_shot.splits import apart_size, pseudo_unseen


def test_classes_set_apart_have_no_row_to_learn_from_and_all_are_judged(make_described):
    task = make_described()
    for split in pseudo_unseen(task):
        apart = split.columns[split.apart]
        assert not np.isin(task.y[split.learned], apart).any()
        assert set(np.flatnonzero(np.isin(task.y, apart))) <= set(split.judged)
        np.testing.assert_array_equal(split.columns[split.y], task.y[split.judged])
        np.testing.assert_array_equal(split.foreign, np.isin(task.y[split.judged], apart))


def test_rows_of_the_others_are_judged_where_they_are_not_learned_from(make_described):
    task = make_described()
    held_out = [split.judged[~split.foreign] for split in pseudo_unseen(task)]
    for split, rows in zip(pseudo_unseen(task), held_out, strict=True):
        assert len(rows)
        assert not split.learned[split.judged].any()
        assert set(task.y[split.learned]) == set(split.columns[~split.apart])
    assert len(np.unique(np.concatenate(held_out))) > 0.5 * len(task.y)


def test_truly_unseen_classes_take_no_part(make_described):
    task = make_described(seen=10, unseen=3)
    for split in pseudo_unseen(task):
        np.testing.assert_array_equal(split.columns, np.arange(10))
        assert split.training(task).absent[10:].all()


@pytest.mark.parametrize(
    ("seen", "classes", "size"),
    [
        (40, 50, 8),
        (57, 77, 15),
        (10, 10, 2),
        (10, 100, 5),
        (100, 101, 10),
        (2, 2, 1),
        (3, 30, 1),
        (4, 40, 2),
        (2, 50, 1),
    ],
)
def test_as_large_a_share_is_set_apart_as_is_unseen(seen, classes, size):
    assert apart_size(seen, classes) == size


def test_different_classes_are_set_apart_as_far_as_there_are_enough(make_described):
    many = [tuple(split.columns[split.apart]) for split in pseudo_unseen(make_described(seen=10, unseen=2))]
    assert len(many) == 5
    assert len({c for apart in many for c in apart}) == 10
    assert [int(split.apart.sum()) for split in pseudo_unseen(make_described(seen=3, unseen=1))] == [1, 1, 1]
    assert len(pseudo_unseen(make_described(seen=2, unseen=1))) == 2
    assert pseudo_unseen(make_described(seen=1, unseen=2)) == ()


def test_groups_are_never_torn(make_described):
    task = make_described()
    # A row of each class in one group with a row of the next: it can be on neither side where one is set apart.
    groups = np.arange(len(task.y))
    groups[task.y % 2 == 1] = groups[task.y % 2 == 0]
    for split in pseudo_unseen(replace(task, groups=groups)):
        assert not np.isin(groups[split.learned], groups[split.judged]).any()


def test_every_class_weighs_the_same_whatever_its_rows(make_described):
    task = make_described()
    task = task.rows((task.y != 0) | (np.arange(len(task.y)) < 3))
    given = np.random.default_rng(0).random(len(task.y)) + 0.5
    for weights in (None, given):
        split = pseudo_unseen(replace(task, weights=weights))[0]
        sums = np.bincount(split.y, split.weights, minlength=10)
        np.testing.assert_allclose(sums[np.unique(split.y)], 1)


def test_single_rows_leave_only_classes_set_apart_to_judge(make_described):
    for split in pseudo_unseen(make_described(rows=1)):
        assert split.foreign.all()
        assert split.learned.sum() == 10 - split.apart.sum()


def test_of_very_many_rows_some_of_both_sides_are_judged(make_described, monkeypatch):
    """As many rows of a class set apart as of all others together would hide these."""
    task = make_described(rows=40)
    task = task.rows((task.y % 2 == 0) | (np.arange(len(task.y)) % 40 < 2))
    every = pseudo_unseen(task)
    monkeypatch.setattr("adapters.zero_shot.splits._MOST_SCORES", 10 * 10)
    for split, whole in zip(pseudo_unseen(task), every, strict=True):
        assert len(split.judged) == 10
        assert split.foreign.sum() == min(whole.foreign.sum(), max(5, 10 - (~whole.foreign).sum()))
        assert (np.diff(split.judged) > 0).all()
        np.testing.assert_array_equal(split.learned, whole.learned)


def test_the_same_seed_gives_the_same(make_described):
    one, same, other = (
        pseudo_unseen(make_described(seed=0) if s is None else replace(make_described(), seed=s)) for s in (None, 1, 2)
    )
    assert all((a.apart == b.apart).all() and (a.judged == b.judged).all() for a, b in zip(one, same, strict=True))
    assert any((a.apart != b.apart).any() for a, b in zip(one, other, strict=True))
