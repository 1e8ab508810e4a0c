from dataclasses import replace

import numpy as np
import pytest

from adapters.admission import admit_embeddings, counted
from models.errors import WrongInput


def test_rows_that_weigh_nothing_are_left_out(make_task):
    task = make_task((4, 4))
    weights = np.where(np.arange(8) % 4 == 0, 0.0, 2.0)
    some = counted(replace(task, weights=weights))
    np.testing.assert_array_equal(some.z, task.z[weights > 0])
    np.testing.assert_array_equal(some.weights, 2.0)
    assert counted(task) is task
    even = replace(task, weights=np.ones(8))
    assert counted(even) is even


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_row_and_the_class_of_what_is_not_finite_are_named(make_task, value):
    task = make_task((4, 4))
    z, names = task.z.copy(), task.names.copy()
    z[5, 3] = names[1, 0] = value
    admit_embeddings(task)
    with pytest.raises(WrongInput, match="row 5 "):
        admit_embeddings(replace(task, z=z))
    with pytest.raises(WrongInput, match="class name 'class 1'"):
        admit_embeddings(replace(task, names=names))


def test_no_rows_are_no_reason(make_task):
    task = make_task((4, 4))
    admit_embeddings(replace(task, z=task.z[:0], y=task.y[:0], groups=task.groups[:0], names=None))
