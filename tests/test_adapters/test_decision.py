from dataclasses import replace

import numpy as np
import pytest

from adapters.base import Parent, Task
from adapters.comparison import Comparison, pick
from adapters.decision import decide
from adapters.linalg import log_softmax
from adapters.methods.logistic import Logistic
from adapters.methods.names import Names
from adapters.methods.prototype import Prototype
from adapters.methods.ridge import Ridge
from adapters.race import compare
from tests.contract.tiny_tuning import make_tuning_task


def decided(task, *methods, free=False):
    return decide(task, compare(methods, task), free=free)


def losses(decision):
    return {entry["fallback"]: entry["loss"] for entry in decision.guard}


def test_without_anything_held_out_there_is_no_choice(make_task):
    decision = decided(make_task((1, 1)), Prototype())
    assert decision.choice is decision.crossed is decision.nearest_mean is None
    assert (decision.guard, decision.thresholds) == ([], ())


def test_always_the_same_answer_is_the_share_of_the_classes(make_task):
    decision = decided(make_task((20, 10)), Ridge(l2=1.0))
    shares = np.array([2 / 3, 1 / 3])
    assert losses(decision)["majority"] == pytest.approx(-shares @ np.log(shares), rel=1e-3)


def test_the_nearest_mean_is_at_the_temperature_of_the_other_folds(make_task):
    task = make_task((20, 20), spread=2.0)
    decision = decided(task, Ridge(l2=1.0))
    scores, folds, total = compare([Prototype()], task).scores[0], decision.judged.folds, 0.0
    for fold in range(5):
        inside = folds == fold
        alone = compare([Prototype()], task)
        temperature = pick(alone, task.y, ~inside).temperature
        log_p = log_softmax(scores[inside] / np.float32(temperature))
        total -= log_p[np.arange(inside.sum()), task.y[inside]].sum()
    assert losses(decision)["nearest_mean"] == pytest.approx(total / 40, rel=1e-5)


def test_what_is_the_nearest_mean_is_not_compared_with_itself(make_task):
    assert set(losses(decided(make_task(names=None), Prototype()))) == {"majority"}


def test_the_parent_is_asked_about_the_classes_that_it_knows(make_task):
    task = make_task((10, 10, 10), names=None)
    parent = Parent("old:1", np.zeros((2, 12), np.float32), np.zeros(2, np.float32), 1.0, task.classes[:2])
    decision = decided(replace(task, parent=parent), Ridge(l2=1.0))
    entry = next(entry for entry in decision.guard if entry["fallback"] == "parent")
    assert entry["evaluated"] == 20
    assert entry["loss"] == pytest.approx(np.log(2))
    assert entry["p_better"] == 1.0


def test_what_uses_names_is_compared_with_the_best_that_does_not(make_task):
    task = make_task((6, 6, 6), spread=4.0)
    named, plain = Logistic(c=10.0, prior="names", balanced=True), Logistic(c=10.0, balanced=True)
    alone, beside = decided(task, named), decided(task, plain, named)
    assert losses(alone)["plain"] == pytest.approx(losses(beside)["plain"], rel=1e-2)
    assert "plain" not in losses(decided(task, plain))


def test_who_trains_the_backbone_is_compared_with_a_linear_head_on_it_as_it_is():
    from adapters.methods.last_k import LastK

    task = make_tuning_task()
    decision = decided(task, LastK(k=1, epochs=1))
    expected = decided(task, Logistic().fallback(task))
    assert losses(decision)["plain"] == pytest.approx(expected.choice.loss[0], rel=0.1)


def test_thresholds_are_at_the_published_temperature():
    rng = np.random.default_rng(0)
    marks = rng.random((100, 2)) < 0.4
    z = (marks @ rng.standard_normal((2, 6)) + rng.standard_normal((100, 6))).astype(np.float32)
    decision = decided(Task(z, marks, ("a", "b"), np.arange(100)), Ridge(l2=1.0))
    scaled = decided(Task(10 * z, marks, ("a", "b"), np.arange(100)), Ridge(l2=1.0))
    assert len(decision.thresholds) == 2
    assert scaled.thresholds == pytest.approx(decision.thresholds, abs=0.01)


def _comparison_of_many(seed):
    """Ten candidates with names and ten without, all guesses: in truth those with names are a little better."""
    rng = np.random.default_rng(seed)
    y, n = rng.integers(0, 2, 40), 40
    named = [Logistic(c=float(c), prior="names", balanced=True) for c in range(1, 11)]
    plain = [Ridge(l2=float(l2)) for l2 in range(1, 11)]
    truth = np.where(y[:, None] == np.arange(2), 1.0, 0.0)
    scores = [
        (signal * truth + rng.standard_normal((n, 2))).astype(np.float32)
        for signal, methods in ((1.0, plain), (1.2, named))
        for _ in methods
    ]
    folds = np.arange(n) % 5
    task = Task(rng.standard_normal((n, 4)).astype(np.float32), y, ("a", "b"), np.arange(n))
    return task, Comparison((*plain, *named), folds, tuple(scores), groups=np.arange(n))


def test_the_plain_ones_are_chosen_fold_by_fold_as_well():
    """The best of ten on the rows that judge it would beat what was chosen without these rows."""
    published, optimistic = [], []
    for seed in range(40):
        task, comparison = _comparison_of_many(seed)
        choice = pick(comparison, task.y, comparison.held_out)
        if comparison.methods[choice.index].method != "logistic":
            continue
        decision = decide(task, comparison, free=True)
        published.append(comparison.methods[decision.choice.index].method)
        optimistic.append(losses(decision)["plain"] - choice.loss[:10].min())
    assert len(published) >= 10
    assert np.mean(optimistic) > 0.02
    assert np.mean([method == "logistic" for method in published]) > 0.6


@pytest.mark.parametrize("other", [Ridge(l2=1.0), Names()], ids=["plain", "names"])
def test_the_best_stands_up_for_what_is_learned_where_the_simplest_did_not(other):
    """Names help logistic regression; the nearest mean with names seems about as good, and is not."""
    rng = np.random.default_rng(5)
    y, n = rng.integers(0, 2, 100), 100
    truth = np.where(y[:, None] == np.arange(2), 1.0, 0.0)
    common = truth + rng.standard_normal((n, 2))
    uneven = np.where(rng.permutation(n) % 2, 1.5, -0.45)[:, None] * truth
    methods = (Prototype(prior="names"), other, Logistic(c=1.0, prior="names", balanced=True))
    scores = tuple(of.astype(np.float32) for of in (common + uneven, common + 0.28 * truth, common + 0.3 * truth))
    comparison = Comparison(methods, np.arange(n) % 5, scores, groups=np.arange(n))
    choice = pick(comparison, y, comparison.held_out)
    assert comparison.methods[choice.index].method == "prototype"
    assert choice.loss[2] < choice.loss[1] < choice.loss[0]
    z = scores[1] if other.method == "names" else None
    task = _told_apart_by(z, y) if z is not None else Task(_noise(rng, n), y, ("a", "b"), np.arange(n))
    decision = decide(task, comparison, free=True)
    assert comparison.methods[decision.choice.index].method == "logistic"
    kept = replace(comparison, methods=methods[:2], scores=scores[:2])
    assert decide(task, kept, free=True).choice.index == 1


def _noise(rng, n):
    return rng.standard_normal((n, 4)).astype(np.float32)


def _told_apart_by(scores, y):
    """Embeddings of one length whose cosines to the names are these scores, but for a factor."""
    length = 1.01 * np.linalg.norm(scores, axis=1).max()
    rest = np.sqrt(length**2 - np.square(scores).sum(axis=1, keepdims=True))
    z = np.concatenate([scores, rest], axis=1).astype(np.float32)
    return Task(z, y, ("a", "b"), np.arange(len(y)), np.eye(2, 3, dtype=np.float32))
