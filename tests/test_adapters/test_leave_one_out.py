import numpy as np
import pytest

from adapters.base import Task
from adapters.errors import Cancelled
from adapters.leave_one_out import lowest_loss, rows_to_leave_out


@pytest.fixture
def make_marks():
    """A function that makes a task of these marks, on embeddings that do not matter."""

    def make(marks):
        y = np.array(marks, dtype=bool)
        classes = tuple(f"class {c}" for c in range(y.shape[1]))
        return Task(np.ones((len(y), 2), np.float32), y, classes, np.arange(len(y)))

    return make


def test_the_only_row_of_a_class_and_rows_that_weigh_nothing_are_not_left_out(make_task):
    task = make_task((3, 1, 2), weights=np.array([1, 1, 1, 1, 0, 2.0]))
    assert rows_to_leave_out(task).tolist() == [True, True, True, False, False, False]


def test_a_row_that_alone_has_one_of_its_classes_is_not_left_out(make_marks):
    task = make_marks([[1, 1], [1, 0], [0, 0], [1, 0]])
    assert rows_to_leave_out(task).tolist() == [False, True, True, True]


def test_numbers_are_all_left_out_but_not_rows_of_groups(make_task, make_regression):
    assert rows_to_leave_out(make_regression(9)).all()
    assert not rows_to_leave_out(make_regression(9, groups=np.arange(9) // 2)).any()
    assert not rows_to_leave_out(make_task((3, 3), groups=np.array([0, 1, 2, 3, 4, 4]))).any()


def test_numbers_are_judged_by_squared_error_of_weighted_rows(make_regression):
    task = make_regression(4, weights=np.array([1.0, 1, 1, 100]))
    wrong = np.zeros((2, 4, 1))
    wrong[0, 3], wrong[1, :3] = 1.0, 2.0
    candidates = list(task.y[:, None] + wrong)
    assert lowest_loss(task, np.ones(4, bool), candidates) == 1
    assert lowest_loss(task, np.array([True, True, True, False]), candidates) == 0


def test_classes_are_judged_at_their_own_temperature(make_task):
    """A common summand and another unit of the scores change nothing; a wrong answer does."""
    task = make_task((5, 5, 5))
    right = 2.0 * np.eye(3)[task.y] + 0.3 * np.random.default_rng(0).standard_normal((15, 3))
    worse = right.copy()
    worse[0] = [-1, 2, 0]
    assert lowest_loss(task, np.ones(15, bool), [worse, 1e3 * right + 1e9]) == 1
    assert lowest_loss(task, np.arange(15) > 0, [right, worse, right]) == 0


def test_marks_are_judged_by_log_loss(make_marks):
    task = make_marks(np.random.default_rng(0).random((30, 3)) < 0.4)
    good = 2.0 * task.marks - 1 + 0.5 * np.random.default_rng(1).standard_normal((30, 3))
    assert lowest_loss(task, np.ones(30, bool), [-good, np.roll(good, 1, axis=0), good]) == 2


def test_cancel_is_heard(make_regression):
    def stop():
        raise Cancelled("Somebody asked for it.")

    with pytest.raises(Cancelled):
        lowest_loss(make_regression(5, check=stop), np.ones(5, bool), [np.zeros((5, 1))])
