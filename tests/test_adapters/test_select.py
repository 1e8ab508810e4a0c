from dataclasses import replace

import numpy as np
import pytest

from adapters.base import Task
from adapters.errors import Cancelled
from adapters.folds import NEVER
from adapters.methods.logistic import Logistic
from adapters.methods.prototype import Prototype
from adapters.methods.ridge import Ridge
from adapters.select import Comparison, compare, cross_pick, pick, proposals, settle

CANDIDATES = (Prototype(), Ridge(l2=1.0), Ridge(l2=10.0), Logistic(c=1.0), Logistic(c=10.0))


def test_each_row_is_scored_by_a_head_that_has_not_seen_it(make_task):
    task = make_task((5, 5, 5))
    comparison = compare([Prototype(), Ridge(l2=1.0)], task)
    for fold in range(5):
        inside = comparison.folds == fold
        for method, scores in zip(comparison.methods, comparison.scores, strict=True):
            expected = method.fit(task.rows(~inside)).scores(task.z[inside])
            np.testing.assert_allclose(scores[inside], expected, atol=1e-6)


def test_progress_grows_to_one(make_task):
    heard = []
    compare(CANDIDATES, make_task((4, 4)), heard.append)
    assert heard == sorted(heard)
    assert len(heard) == 4 * len(CANDIDATES)
    assert heard[-1] == 1


def test_a_cancel_between_fits_ends_it(make_task):
    calls = []

    def check():
        calls.append(1)
        if len(calls) > 30:
            raise Cancelled("over")

    with pytest.raises(Cancelled):
        compare(CANDIDATES, make_task((8, 8), check=check))


def synthetic(*qualities, n=400):
    """Candidates whose scores hold the truth to different degrees."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, n)
    scores = [(q * np.eye(3)[y] + rng.standard_normal((n, 3))).astype(np.float32) for q in qualities]
    return Comparison(CANDIDATES[: len(qualities)], np.arange(n) % 5, tuple(scores)), y


def chosen(*qualities):
    comparison, y = synthetic(*qualities)
    return pick(comparison, y, comparison.held_out).index


def test_the_clearly_best_wins():
    assert chosen(1.0, 1.0, 1.0, 1.0, 3.0) == 4
    assert chosen(3.0, 1.0, 1.0, 1.0, 1.0) == 0


def test_the_simpler_method_wins_within_one_standard_error():
    comparison, y = synthetic(2.0, 1.0, 1.0, 1.0, 2.3)
    choice = pick(comparison, y, comparison.held_out)
    assert choice.index == 0
    assert 0 < choice.loss[0] - choice.loss[4] < choice.stderr[0]


def test_within_a_method_the_lowest_loss_wins():
    assert chosen(1.0, 3.0, 3.3) == 2


def test_the_scale_of_scores_does_not_matter():
    comparison, y = synthetic(1.0, 1.0, 1.0, 1.0, 3.0)
    scaled = replace(
        comparison, scores=tuple(s * f for s, f in zip(comparison.scores, (1, 9, 0.1, 50, 0.01), strict=True))
    )
    assert pick(scaled, y, scaled.held_out).index == 4
    np.testing.assert_allclose(
        pick(scaled, y, scaled.held_out).loss, pick(comparison, y, comparison.held_out).loss, rtol=1e-4
    )


def test_without_rows_to_hold_out_the_method_falls_back(make_task):
    task = make_task((1, 1, 1))
    assert not compare(CANDIDATES, task).possible
    assert (compare(CANDIDATES, task).folds == NEVER).all()
    assert settle(Logistic(), task) == Logistic(c=10.0)
    assert settle(Ridge(), task) == Ridge(l2=3.0)


def test_settling_twice_gives_the_same(make_task):
    assert settle(Logistic(), make_task()) == settle(Logistic(), make_task())
    assert settle(Logistic(c=7.0), make_task()) == Logistic(c=7.0)


def test_numbers_are_compared_by_squared_error(make_regression):
    task = make_regression(50, noise=1.0)
    comparison = compare(Ridge().variants(task), task)
    choice = pick(comparison, task.y, comparison.held_out)
    errors = [((scores[:, 0] - task.y) ** 2).mean() for scores in comparison.scores]
    np.testing.assert_allclose(choice.loss, errors)
    assert choice.index == int(np.argmin(errors))
    assert set(choice.temperatures) == {1.0}


@pytest.mark.parametrize("scale", [1e-9, 1e12])
def test_the_unit_of_numbers_does_not_change_the_choice(make_regression, scale):
    plain, other = make_regression(40, noise=2.0), make_regression(40, noise=2.0, scale=scale)
    assert settle(Ridge(), plain) == settle(Ridge(), other)


def test_numbers_of_which_none_can_be_held_out_fall_back(make_regression):
    assert not compare([Ridge(l2=1.0)], make_regression(3)).possible
    assert settle(Ridge(), make_regression(3)) == Ridge(l2=3.0)


def test_each_fold_is_chosen_for_by_the_others(make_task):
    task = make_task((10, 10), spread=2.0)
    comparison = compare(CANDIDATES, task)
    seen = np.zeros(20, int)
    for choice, inside in cross_pick(comparison, task.y):
        expected = pick(comparison, task.y, ~inside)
        assert (choice.index, choice.temperatures) == (expected.index, expected.temperatures)
        seen += inside
    assert (seen == 1).all()


def test_what_cannot_do_a_task_is_not_proposed(make_task, make_regression):
    assert {method.method for method in proposals(make_task())} == {"prototype", "ridge", "logistic"}
    assert {method.method for method in proposals(make_regression())} == {"ridge"}


def test_of_a_table_the_encoding_is_learned_on_the_rows_outside_a_fold(make_table_task):
    task = make_table_task()
    comparison = compare([Ridge(l2=1.0)], task)
    for fold in range(5):
        inside = comparison.folds == fold
        training = Task.of_rows(
            task.schema, task.table.take(~inside), task.y[~inside], task.classes, task.groups[~inside]
        )
        z = training.encoding.encode(task.table.take(inside))
        np.testing.assert_allclose(comparison.scores[0][inside], Ridge(l2=1.0).fit(training).scores(z), atol=1e-6)
