from dataclasses import replace

import numpy as np
import pytest

from adapters.base import Task, TaskKind
from adapters.encoding import Encoding
from adapters.errors import DatasetTooSmall, RequirementMissing, TargetOutOfRange, TaskUnsupported
from adapters.methods import METHODS
from adapters.methods.logistic import Logistic
from adapters.methods.ridge import Ridge


def test_without_classes_a_number_is_asked_for(make_task, make_regression):
    assert make_task().kind == TaskKind.CLASSIFICATION
    assert make_regression().kind == TaskKind.REGRESSION
    assert make_regression().regression


def test_some_rows_are_the_rows_asked_for(make_task):
    task = make_task((4, 4))
    index = np.array([0, 2, 5])
    some = task.rows(index)
    np.testing.assert_array_equal(some.z, task.z[index])
    assert some.y.tolist() == [0, 0, 1]
    assert some.groups.tolist() == [0, 2, 5]


def test_a_split_holds_rows_out(make_task):
    task = make_task((4, 4))
    inside = np.arange(8) % 4 == 0
    training, held_out = task.split(inside)
    np.testing.assert_array_equal(training.z, task.z[~inside])
    np.testing.assert_array_equal(held_out.z, task.z[inside])
    np.testing.assert_array_equal(held_out.y, task.y[inside])


def test_rows_of_a_table_are_encoded_by_what_was_learned_on_them(make_table_task):
    task = make_table_task()
    expected = Encoding.fit(task.schema, task.table).encode(task.table)
    np.testing.assert_array_equal(task.z, expected)


@pytest.mark.parametrize("as_mask", [True, False])
def test_some_rows_of_a_table_learn_their_encoding_again(make_table_task, as_mask):
    task = make_table_task(check=lambda: None, seed=4)
    mask = np.arange(90) < 30
    some = task.rows(mask if as_mask else np.flatnonzero(mask))
    again = Encoding.fit(task.schema, task.table.take(mask)).encode(task.table.take(mask))
    np.testing.assert_array_equal(some.z, again)
    assert not np.array_equal(some.z, task.z[mask])
    assert (some.seed, some.check, some.classes) == (task.seed, task.check, task.classes)


def test_rows_held_out_of_a_table_leave_nothing_in_the_encoding(make_table_task):
    """Changing the held-out rows changes what they are encoded to and nothing of the training task."""
    task = make_table_task()
    inside = np.arange(90) % 5 == 0
    training, held_out = task.split(inside)
    spoiled = replace(task.table, numbers=np.where(inside[:, None], 1e6, task.table.numbers))
    other, held_out_spoiled = Task.of_rows(task.schema, spoiled, task.y, task.classes, task.groups).split(inside)
    np.testing.assert_array_equal(training.z, other.z)
    assert not np.array_equal(held_out.z, held_out_spoiled.z)
    assert held_out.z.shape == (18, training.z.shape[1])


def test_a_method_that_does_no_regression_names_those_that_do(make_regression):
    with pytest.raises(
        TaskUnsupported, match=r"'logistic' does no regression; methods that do: auto, .*kernel, .*, ridge"
    ):
        Logistic().fit(make_regression())


def test_every_method_can_do_something():
    assert all(kind.tasks for kind in METHODS.values())


@pytest.mark.parametrize("largest", [np.nan, np.inf, -np.inf, 1e31])
def test_targets_that_no_head_can_hold_are_refused(make_regression, largest):
    task = make_regression(9)
    with pytest.raises(TargetOutOfRange, match="largest target"):
        Ridge().fit(replace(task, y=np.append(task.y[:-1], largest)))


def test_one_row_is_too_few(make_regression):
    with pytest.raises(DatasetTooSmall, match="1 row"):
        Ridge().fit(make_regression(1))
    assert np.isfinite(Ridge().fit(make_regression(2)).weight).all()


def test_names_are_missed_where_there_are_none(make_table_task):
    with pytest.raises(RequirementMissing, match="names"):
        Logistic(prior="names").fit(make_table_task())


@pytest.mark.parametrize(
    ("counts", "uneven"), [((8, 8), False), ((8, 4), False), ((9, 4), True), ((9, 5, 1), False), ((1, 1), False)]
)
def test_classes_are_uneven_where_one_has_more_than_twice_the_rows_of_another(make_task, counts, uneven):
    assert make_task(counts).uneven == uneven


def test_numbers_are_never_uneven(make_regression):
    assert not make_regression().uneven
