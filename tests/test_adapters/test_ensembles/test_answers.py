from dataclasses import replace

import numpy as np
import pytest

from adapters.base import Task
from adapters.calibrate import fit_temperature
from adapters.ensembles.answers import hold_out
from adapters.ensembles.members import Member
from adapters.errors import Cancelled
from adapters.folds import NEVER
from adapters.methods import parse_method


def quiet(_share):
    pass


def test_who_saw_the_rows_is_fitted_again_without_each_fold(make_task, published, stranger):
    task = make_task(counts=(8, 8, 8))
    one = published(task, {"method": "logistic", "c": 3.0})
    held = hold_out(replace(task, members=(one, stranger(task.classes))), quiet)
    assert [answers.again for answers in held.answers] == [True, False]
    inside = held.folds == 1
    training, rows = task.split(inside)
    head = parse_method(one.method).fit(training)
    np.testing.assert_array_equal(held.answers[0].scores[inside], head.scores(rows.z))


def test_a_member_on_some_columns_is_fitted_again_on_them(make_task, published, stranger):
    task = make_task(counts=(8, 8, 8))
    one = published(task, "prototype", first=5)
    wide = np.concatenate([np.full((24, 5), 9, np.float32), task.z], axis=1)
    held = hold_out(replace(task, z=wide, members=(one, stranger(task.classes, d=5))), quiet)
    alone = hold_out(replace(task, members=(replace(one, first=0, behind=12), stranger(task.classes))), quiet)
    np.testing.assert_array_equal(held.answers[0].scores, alone.answers[0].scores)


def test_its_temperature_is_that_of_other_rows(make_task, published, stranger):
    task = make_task(counts=(8, 8, 8))
    held = hold_out(replace(task, members=(published(task, "prototype"), stranger(task.classes))), quiet)
    others = held.without(0)
    p = held.probabilities(others)[0]
    scores = held.answers[0].scores / fit_temperature(held.answers[0].scores[others], task.y[others])
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p, expected, rtol=1e-4)


def test_who_did_not_see_the_rows_is_asked_as_published(make_task, stranger):
    task = make_task(counts=(4, 4, 4))
    one = stranger(("class 2", "class 0"), labels={"class 2": "class 1"})
    held = hold_out(replace(task, members=(one, stranger(task.classes))), quiet)
    p = held.probabilities(held.rows)[0]
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
    assert not p[:, 2].any()
    np.testing.assert_array_equal(held.knows(np.array([True, True])), [[True, True, False], [True, True, True]])
    # Where the only one that knows a class does not count, nobody says anything of it.
    np.testing.assert_array_equal(held.knows(np.array([True, False])), [[True, True, True]])


def test_where_nobody_learns_from_them_every_row_is_held_out(make_task, stranger):
    """One example a class cannot be held out from who learns, but from who does not."""
    task = make_task(counts=(1, 1, 1, 1, 1))
    held = hold_out(replace(task, members=(stranger(task.classes), stranger(task.classes, seed=1))), quiet)
    assert held.rows.all()


def test_of_classes_that_a_member_does_not_know_rows_are_scored_and_not_learned_from(make_task, published, stranger):
    """It is fitted again as it was: to the rows of its own classes."""
    full = make_task(counts=(9, 9, 9))
    own = full.rows(full.y < 2)
    one = published(Task(own.z, own.y, full.classes[:2], own.groups, own.names[:2], seed=1), "prototype")
    held = hold_out(replace(full, members=(replace(one, names=full.names), stranger(full.classes))), quiet)
    first = held.answers[0]
    np.testing.assert_array_equal(first.knows, [True, True, False])
    assert not first.scores[:, 2].any()
    assert first.scores[full.y == 2, :2].any()
    assert np.isfinite(held.probabilities(held.rows)).all()
    inside = held.folds == 0
    training = full.rows(~inside & (full.y < 2))
    head = parse_method("prototype").fit(replace(training, classes=full.classes[:2]))
    np.testing.assert_allclose(first.scores[inside, :2], head.scores(full.z[inside]), rtol=1e-5)


def test_who_cannot_be_fitted_again_is_told(make_task, published, stranger):
    task = make_task(counts=(8, 8, 8))
    one = replace(published(task, "prototype"), method={"method": "prototype", "prior": "names"}, names=None)
    held = hold_out(replace(task, members=(one, stranger(task.classes))), quiet)
    assert not held.answers
    assert not held.rows.any()
    assert held.why.startswith("one:1 learned from these very rows and cannot be fitted again")


def test_an_average_in_an_average_cannot_be_fitted_again(make_task, published, stranger):
    task = make_task(counts=(8, 8, 8))
    one = replace(published(task, "prototype"), method={"method": "ensemble"})
    assert "cannot be fitted again" in hold_out(replace(task, members=(one, stranger(task.classes))), quiet).why


def test_without_rows_nothing_is_held_out(make_task, stranger, without_rows):
    task = without_rows(make_task())
    held = hold_out(replace(task, members=(stranger(task.classes), stranger(task.classes))), quiet)
    assert held.why.startswith("There are no rows")


def test_the_end_of_the_time_is_kept_in_mind(make_task, published, stranger):
    task = make_task(counts=(8, 8, 8))
    members = (published(task, "prototype"), stranger(task.classes))
    held = hold_out(replace(task, members=members, left_s=lambda: 0.1), quiet)
    assert held.early
    assert (held.folds == NEVER).all()


def test_cancel_is_respected(make_task, published, stranger):
    task = make_task(counts=(8, 8, 8))
    members = (published(task, "prototype"), stranger(task.classes))

    def stop():
        raise Cancelled("Somebody asked for it.")

    with pytest.raises(Cancelled):
        hold_out(replace(task, members=members, check=stop), quiet)


def test_progress_grows_to_one(make_task, published):
    task = make_task(counts=(8, 8, 8))
    heard = []
    hold_out(replace(task, members=(published(task, "prototype"), published(task, "lda", "two:1"))), heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0


def test_marks_and_numbers_are_fitted_again_as_well(make_marks, make_regression, published):
    for task, method in ((make_marks(), "logistic"), (make_regression(), "ridge")):
        members = (published(task, method), published(task, method, "two:1"))
        held = hold_out(replace(task, members=members), quiet)
        assert held.probabilities(held.rows).shape == (2, len(task.y), max(1, len(task.classes)))
        assert all(isinstance(member, Member) for member in members)
        assert held.rows.all()
