from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
import pytest

from adapters import race
from adapters.base import Need, Task
from adapters.budget import OVERHEAD_S
from adapters.comparison import pick
from adapters.errors import Cancelled, DatasetTooSmall, DeadlineExceeded
from adapters.methods.logistic import Logistic
from adapters.methods.prototype import Prototype
from adapters.methods.ridge import Ridge
from adapters.race import compare

CANDIDATES = (Prototype(), Ridge(l2=1.0), Ridge(l2=10.0), Logistic(c=1.0), Logistic(c=10.0))


class Tuned(Ridge):
    """Stands for who trains the backbone; each fit takes a while of a clock."""

    needs: ClassVar[frozenset[Need]] = frozenset({Need.LABELS, Need.TUNING})
    complexity: ClassVar[int] = 6
    method: Literal["tuned"] = "tuned"

    def admit(self, task):
        """It needs no backbone here."""


class Clock:
    """A budget that is spent as fits ask whether to go on."""

    def __init__(self, left_s, each_s=0.0):
        self.left_s, self.each_s = left_s, each_s

    def check(self):
        self.left_s -= self.each_s

    def of(self, task):
        return replace(task, check=self.check, left_s=lambda: self.left_s)


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


def test_without_a_limit_everything_is_compared_to_its_end(make_task):
    comparison = compare(CANDIDATES, make_task())
    assert comparison.methods == CANDIDATES
    assert comparison.scored == (5,) * 5
    assert not comparison.early
    assert comparison.left_out == ()


def test_what_the_time_ends_is_dropped_and_listed(make_task):
    task = make_task()
    spent = Clock(1000.0, 1.0)
    compare(CANDIDATES[:1], spent.of(task))
    # Enough for the first method and its last fit, and not for all of the second.
    clock = Clock(2 * (1000 - spent.left_s) + OVERHEAD_S + 4, 1.0)
    comparison = compare(CANDIDATES, clock.of(task))
    assert comparison.early
    assert comparison.methods == CANDIDATES[:1]
    assert [left.method for left in comparison.left_out] == list(CANDIDATES[1:])
    assert all("time" in left.why for left in comparison.left_out)
    whole = compare(CANDIDATES[:1], task)
    np.testing.assert_array_equal(comparison.scores[0], whole.scores[0])


def test_where_nothing_ends_the_folds_that_there_are_count(make_task):
    task = make_task()
    spent = Clock(1000.0, 1.0)
    compare(CANDIDATES[:1], spent.of(task))
    comparison = compare(CANDIDATES[:1], Clock(0.7 * (1000 - spent.left_s) + OVERHEAD_S, 1.0).of(task))
    assert comparison.early
    assert comparison.possible
    assert 1 <= comparison.scored[0] < 5
    assert pick(comparison, task.y, comparison.held_out).loss[0] > 0


def test_no_time_at_all_compares_nothing(make_task):
    comparison = compare(CANDIDATES, Clock(0.0).of(make_task()))
    assert comparison.early
    assert not comparison.possible
    assert len(comparison.left_out) == len(CANDIDATES)


def test_a_cancel_or_the_callers_own_deadline_passes(make_task):
    for error in (Cancelled, DeadlineExceeded):

        def check(error=error):
            raise error("over")

        with pytest.raises(error):
            compare(CANDIDATES, replace(make_task(check=check), left_s=lambda: 0.0))


def test_time_for_the_last_fit_on_many_more_rows_is_kept(make_task):
    task = make_task()
    few, many = Clock(60.0, 1.0), Clock(60.0, 1.0)
    assert not compare(CANDIDATES[:1], few.of(task)).early
    assert compare(CANDIDATES[:1], many.of(task), rows=100 * len(task.y)).early
    assert many.left_s > few.left_s


def test_hopeless_variants_end_after_the_first_fold_and_are_still_listed(make_task):
    class Guess(Ridge):
        """With a penalty above ten it says nothing."""

        complexity: ClassVar[int] = 2
        method: Literal["guess"] = "guess"

        @classmethod
        def fit_each(cls, methods, task):
            for method, head in zip(methods, Ridge.fit_each(methods, task), strict=True):
                yield replace(head, weight=0 * head.weight) if method.l2 > 10 else head

    task = make_task((100, 100), spread=1.0)
    methods = (Ridge(l2=1.0), Ridge(l2=3.0), Guess(l2=100.0), Guess(l2=3.0))
    comparison = compare(methods, task)
    assert comparison.methods == methods
    assert comparison.scored == (5, 5, 1, 5)
    assert comparison.scored == compare(methods, task).scored
    assert (comparison.scores[2][comparison.folds > 0] == 0).all()
    assert comparison.plain() == [0, 1, 3]


def test_who_trains_the_backbone_is_compared_last_on_as_many_folds_as_hold_500_rows(make_task):
    task = make_task((600, 600), spread=6.0)
    comparison = compare((Tuned(l2=1.0), *CANDIDATES[:2]), task)
    assert [comparison.scored[comparison.methods.index(method)] for method in (Tuned(l2=1.0), CANDIDATES[1])] == [3, 5]
    once = compare((Tuned(l2=1.0), *CANDIDATES[:2]), task, folds=(1, 5, 5))
    assert once.scored[once.methods.index(Tuned(l2=1.0))] == 1
    assert compare((Tuned(l2=1.0), *CANDIDATES[:2]), make_task((20, 20), spread=6.0)).scored == (5, 5, 5)


def test_where_nothing_is_left_to_gain_the_backbone_is_left_alone(make_task):
    comparison = compare((*CANDIDATES[:2], Tuned(l2=1.0)), make_task(spread=0.01))
    assert [(left.method, "to gain" in left.why) for left in comparison.left_out] == [(Tuned(l2=1.0), True)]
    assert not comparison.early


def test_a_fit_of_the_backbone_may_take_half_of_what_is_left(make_task):
    """The last fit takes as long again."""
    heard = []

    class Slow(Tuned):
        method: Literal["slow"] = "slow"

        @classmethod
        def fit_each(cls, methods, task):
            heard.append(task.left_s())
            yield from Tuned.fit_each([Tuned(l2=1.0)], task)

    task = make_task((20, 20), spread=6.0)
    for methods in ((CANDIDATES[0], Slow()), (Slow(),)):
        compare(methods, Clock(1000.0).of(task))
        assert heard == pytest.approx([450] * 5)
        heard.clear()
    compare((CANDIDATES[0], Slow()), task)
    assert heard == [np.inf] * 5


def test_what_cannot_learn_outside_a_fold_is_left_out_unless_it_is_alone(make_task):
    class Picky(Ridge):
        method: Literal["picky"] = "picky"

        @classmethod
        def fit_each(cls, methods, task):
            raise DatasetTooSmall("It wants more rows.")

    task = make_task()
    comparison = compare((Picky(), Logistic(c=1.0, balanced=True)), task)
    assert [(left.method, left.why) for left in comparison.left_out] == [(Picky(), "It wants more rows.")]
    assert len(comparison.methods) == 1
    with pytest.raises(DatasetTooSmall):
        compare((Picky(),), task)


def test_time_to_choose_and_to_judge_is_kept(make_task, monkeypatch):
    """What the losses of the first fold take tells what those of all rows will."""
    task, clock = make_task((100, 100), spread=1.0), Clock(100.0)
    losses = race.losses

    def slow(*given):
        clock.left_s -= 2.0
        return losses(*given)

    monkeypatch.setattr(race, "losses", slow)
    comparison = compare(CANDIDATES, clock.of(task))
    assert comparison.early
    assert comparison.methods == CANDIDATES[:3]
    # Three candidates on five folds, and as often again for the four other folds that judge each.
    assert clock.left_s > 2 * 3 * 5 * 2
