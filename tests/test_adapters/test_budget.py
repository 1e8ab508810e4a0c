import math

import pytest

from adapters.budget import OutOfTime, last_fit_s, limited
from adapters.errors import Cancelled


def test_what_is_kept_is_not_there_to_be_spent(make_task):
    left = [10.0]
    task = limited(make_task(left_s=lambda: left[0]), lambda: 4.0)
    assert task.left_s() == 6.0
    task.check()
    left[0] = 4.0
    with pytest.raises(OutOfTime):
        task.check()


def test_without_a_limit_it_never_ends(make_task):
    task = limited(make_task(), lambda: 1e9)
    task.check()
    assert task.left_s() == math.inf


def test_the_callers_own_check_comes_first(make_task):
    def check():
        raise Cancelled("over")

    with pytest.raises(Cancelled):
        limited(make_task(check=check, left_s=lambda: 0.0), lambda: 0.0).check()


def test_the_last_fit_grows_with_the_rows():
    assert last_fit_s(6.0, 6, 800, 1000) == pytest.approx(3.75)
    assert last_fit_s(6.0, 6, 800, 80_000) == pytest.approx(300)
    assert last_fit_s(6.0, 1, 800, 800) == 6.0
