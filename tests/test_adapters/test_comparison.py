from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
import pytest

from adapters.base import Need
from adapters.comparison import Comparison, cross_pick, pick, room_left
from adapters.folds import NEVER
from adapters.methods.logistic import Logistic
from adapters.methods.prototype import Prototype
from adapters.methods.ridge import Ridge
from adapters.race import compare

CANDIDATES = (Prototype(), Ridge(l2=1.0), Ridge(l2=10.0), Logistic(c=1.0), Logistic(c=10.0))


class Tuned(Ridge):
    """Stands for who trains the backbone."""

    needs: ClassVar[frozenset[Need]] = frozenset({Need.LABELS, Need.TUNING})
    complexity: ClassVar[int] = 6
    method: Literal["tuned"] = "tuned"


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


def test_numbers_are_compared_by_squared_error(make_regression):
    task = make_regression(50, noise=1.0)
    comparison = compare(Ridge().variants(task), task)
    choice = pick(comparison, task.y, comparison.held_out)
    errors = [((scores[:, 0] - task.y) ** 2).mean() for scores in comparison.scores]
    np.testing.assert_allclose(choice.loss, errors)
    assert choice.index == int(np.argmin(errors))
    assert set(choice.temperatures) == {1.0}


def test_each_fold_is_chosen_for_by_the_others(make_task):
    task = make_task((10, 10), spread=2.0)
    comparison = compare(CANDIDATES, task)
    seen = np.zeros(20, int)
    for choice, inside in cross_pick(comparison, task.y):
        expected = pick(comparison, task.y, ~inside)
        assert (choice.index, choice.temperatures) == (expected.index, expected.temperatures)
        seen += inside
    assert (seen == 1).all()


def test_a_simpler_method_wins_within_half_a_standard_error():
    comparison, y = synthetic(2.05, 1.0, 1.0, 1.0, 2.3)
    choice = pick(comparison, y, comparison.held_out)
    assert choice.index == 0
    assert 0 < choice.loss[0] - choice.loss[4] < choice.stderr[0] / 2
    farther, y = synthetic(2.0, 1.0, 1.0, 1.0, 2.3)
    choice = pick(farther, y, farther.held_out)
    assert choice.index == 4
    assert choice.stderr[0] / 2 < choice.loss[0] - choice.loss[4] < choice.stderr[0]


def challenged(frozen, tuned, folds=2, n=400):
    """A frozen candidate on all folds and one that trains the backbone on the first ones."""
    comparison, y = synthetic(frozen, tuned, n=n)
    scores = comparison.scores[1].copy()
    scores[comparison.folds >= folds] = 0
    methods = (CANDIDATES[0], Tuned(l2=1.0))
    return replace(comparison, methods=methods, scores=(comparison.scores[0], scores), scored=(5, folds)), y


@pytest.mark.parametrize(("tuned", "expected"), [(3.0, 1), (2.05, 0), (1.0, 0)])
def test_who_trains_the_backbone_must_be_clearly_better_on_the_rows_that_both_have(tuned, expected):
    comparison, y = challenged(2.0, tuned)
    choice = pick(comparison, y, comparison.held_out)
    assert choice.index == expected
    assert comparison.challengers() == [1]
    assert choice.temperatures[1] == pytest.approx(pick(comparison.only(1), y, comparison.seen(1)).temperature)


def test_of_a_challenger_its_own_rows_are_judged_with_those_that_it_beat():
    comparison, y = challenged(2.0, 3.0, folds=2)
    judged = comparison.judged(pick(comparison, y, comparison.held_out), np.arange(len(y)))
    assert (judged.held_out == (comparison.folds < 2)).all()
    assert judged.methods == comparison.methods
    assert {comparison.methods[choice.index].method for choice, _ in cross_pick(judged, y)} == {"tuned"}


def test_a_single_fold_is_judged_in_two_parts_of_whole_groups():
    comparison, y = challenged(2.0, 3.0, folds=1)
    groups = np.arange(len(y)) // 10
    judged = comparison.judged(pick(comparison, y, comparison.held_out), groups)
    assert sorted(set(judged.folds)) == [NEVER, 0, 1]
    for group in set(groups):
        assert len(set(judged.folds[(groups == group) & judged.held_out])) == 1


def test_who_did_not_beat_the_others_has_no_say_in_how_they_are_judged():
    comparison, y = challenged(2.0, 1.0)
    judged = comparison.judged(pick(comparison, y, comparison.held_out), np.arange(len(y)))
    assert judged.methods == (CANDIDATES[0],)
    assert (judged.held_out == comparison.held_out).all()


def test_a_candidate_that_ended_early_is_never_picked_by_its_few_rows():
    comparison, y = synthetic(2.0, 9.0, 2.5)
    assert pick(comparison, y, comparison.held_out).index == 1
    partly = replace(comparison, scored=(5, 1, 5))
    assert partly.plain() == [0, 2]
    assert pick(partly, y, partly.held_out).index == 2


def test_rows_count_by_their_weights():
    """The second candidate is better on the half of the rows that hardly counts."""
    rng = np.random.default_rng(0)
    y, half = rng.integers(0, 2, 400), np.arange(400) < 200
    noise = rng.standard_normal((400, 2))
    good, bad = (3 * np.eye(2)[y] + noise), noise
    scores = (np.where(half[:, None], good, bad), np.where(half[:, None], bad, good + 3 * np.eye(2)[y]))
    comparison = Comparison(CANDIDATES[:2], np.arange(400) % 5, tuple(s.astype(np.float32) for s in scores))
    assert pick(comparison, y, comparison.held_out).index == 1
    weighted = replace(comparison, weights=np.where(half, 1.0, 0.01))
    choice = pick(weighted, y, weighted.held_out)
    assert choice.index == 0
    alone = pick(comparison, y, half)
    np.testing.assert_allclose(choice.loss, alone.loss, rtol=0.2)


def test_a_weight_of_two_is_the_row_twice():
    comparison, y = synthetic(1.0, 1.3, n=60)
    twice = np.repeat(np.arange(60), 1 + (np.arange(60) % 2))
    copied = Comparison(comparison.methods, comparison.folds[twice], tuple(s[twice] for s in comparison.scores))
    weighted = replace(comparison, weights=1.0 + (np.arange(60) % 2))
    expected, seen = pick(copied, y[twice], copied.held_out), pick(weighted, y, weighted.held_out)
    # The prior of the temperature knows fewer rows; what they say is the same.
    np.testing.assert_allclose(seen.loss, expected.loss, rtol=0.01)
    np.testing.assert_allclose(seen.temperatures, expected.temperatures, rtol=0.05)


def test_marks_are_compared_by_their_mean_log_loss():
    rng = np.random.default_rng(0)
    y = rng.random((300, 4)) < 0.3
    scores = tuple((q * (2.0 * y - 1) + rng.standard_normal(y.shape)).astype(np.float32) for q in (0.5, 2.0))
    comparison = Comparison(CANDIDATES[:2], np.arange(300) % 5, scores)
    choice = pick(comparison, y, comparison.held_out)
    assert choice.index == 1
    p = 1 / (1 + np.exp(-scores[1].astype(float) / choice.temperature))
    assert choice.loss[1] == pytest.approx(-np.log(np.where(y, p, 1 - p)).mean(), rel=1e-4)


@pytest.mark.parametrize(("quality", "room"), [(2.0, True), (20.0, False)])
def test_what_is_always_right_leaves_no_room(quality, room):
    comparison, y = synthetic(quality)
    choice = pick(comparison, y, comparison.held_out)
    assert room_left(comparison, choice, y) == room
    values = Comparison((Ridge(),), comparison.folds, (y[:, None] + np.float32(room),), True)
    assert room_left(values, pick(values, y.astype(float), values.held_out), y.astype(float)) == room


def test_who_is_far_above_the_lowest_loss_is_no_rival():
    comparison, y = synthetic(2.0, 0.1, 1.9)
    judged = comparison.judged(pick(comparison, y, comparison.held_out), np.arange(len(y)))
    assert judged.methods == (CANDIDATES[0], CANDIDATES[2])


def test_copies_of_rows_do_not_make_a_difference_surer():
    comparison, y = synthetic(1.95, 1.0, 1.0, 1.0, 2.3, n=100)
    copies = np.tile(np.arange(100), 9)
    many = replace(comparison, folds=comparison.folds[copies], scores=tuple(s[copies] for s in comparison.scores))
    once, torn = pick(comparison, y, comparison.held_out), pick(many, y[copies], many.held_out)
    grouped = pick(replace(many, groups=copies), y[copies], many.held_out)
    # Only the prior of the temperature knows more rows.
    np.testing.assert_allclose(grouped.stderr, once.stderr, rtol=0.15, atol=1e-9)
    np.testing.assert_allclose(torn.stderr, once.stderr / 3, rtol=0.15, atol=1e-9)
    assert (grouped.index, torn.index) == (once.index, 4) == (0, 4)
