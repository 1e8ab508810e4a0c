import pytest

from adapters.folds import NEVER
from adapters.methods import METHODS
from adapters.methods.logistic import Logistic
from adapters.methods.prototype import Prototype
from adapters.methods.ridge import Ridge
from adapters.select import compare, proposals, settle

CANDIDATES = (Prototype(), Ridge(l2=1.0), Ridge(l2=10.0), Logistic(c=1.0), Logistic(c=10.0))


def test_without_rows_to_hold_out_the_method_falls_back(make_task):
    task = make_task((1, 1, 1))
    assert not compare(CANDIDATES, task).possible
    assert (compare(CANDIDATES, task).folds == NEVER).all()
    assert settle(Logistic(), task) == Logistic().fallback(task)
    assert settle(Ridge(), task) == Ridge(l2=3.0)


def test_settling_twice_gives_the_same(make_task):
    assert settle(Logistic(), make_task()) == settle(Logistic(), make_task())
    assert settle(Logistic(c=7.0, balanced=True), make_task()) == Logistic(c=7.0, balanced=True)


@pytest.mark.parametrize("scale", [1e-9, 1e12])
def test_the_unit_of_numbers_does_not_change_the_choice(make_regression, scale):
    plain, other = make_regression(40, noise=2.0), make_regression(40, noise=2.0, scale=scale)
    assert settle(Ridge(), plain) == settle(Ridge(), other)


def test_numbers_of_which_none_can_be_held_out_fall_back(make_regression):
    assert not compare([Ridge(l2=1.0)], make_regression(3)).possible
    assert settle(Ridge(), make_regression(3)) == Ridge(l2=3.0)


def test_what_cannot_do_a_task_is_not_proposed(make_task, make_regression):
    for task in (make_task(), make_regression()):
        tried = {method.method for method in proposals(task)}
        assert tried
        assert all(task.kind in METHODS[name].tasks for name in tried)
    assert "prototype" not in {method.method for method in proposals(make_regression())}
