import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    recall_score,
    roc_auc_score,
)

from adapters.calibrate import nll_by_row
from adapters.comparison import Comparison, pick
from adapters.evaluate.classification import measure
from adapters.evaluate.crossed import cross
from adapters.folds import NEVER
from adapters.linalg import log_softmax
from adapters.methods.logistic import Logistic
from adapters.methods.prototype import Prototype
from adapters.methods.ridge import Ridge
from adapters.race import compare


def test_figures_agree_with_scikit_learn(task, report_of, candidates):
    comparison = compare(candidates, task)
    crossed = cross(comparison, task.y)
    y, predicted = task.y[crossed.rows], crossed.scores.argmax(axis=1)
    result = report_of(task)
    assert result["accuracy"] == pytest.approx((y == predicted).mean())
    assert result["macro_f1"] == pytest.approx(f1_score(y, predicted, labels=np.unique(y), average="macro"))
    recall = recall_score(y, predicted, labels=np.unique(y), average="macro")
    assert result["balanced_accuracy"] == pytest.approx(recall)
    dense = np.zeros((4, 4), int)
    for true, said, count in result["confusion"]:
        dense[true, said] = count
    assert (dense == confusion_matrix(y, predicted, labels=range(4))).all()
    precision, recall, f1, _ = precision_recall_fscore_support(y, predicted, labels=range(4), zero_division=0)
    for c in range(3):
        row = result["per_class"][c]
        assert [row["precision"], row["recall"], row["f1"]] == pytest.approx([precision[c], recall[c], f1[c]])


def test_a_class_with_one_example_is_not_evaluated_and_said_so(task, report_of):
    result = report_of(task)
    assert result["per_class"][3] == {
        "class": "class 3",
        "support": 1,
        "evaluated": 0,
        "precision": None,
        "recall": None,
        "f1": None,
        "average_precision": None,
    }
    assert result["evaluated"] == 28
    assert any("not evaluated: class 3" in note for note in result["notes"])


def test_without_rows_to_hold_out_figures_are_null(make_task, report_of):
    result = report_of(make_task((1, 1, 1)))
    assert result["calibrated"] is False
    assert result["accuracy"] is result["log_loss"] is result["baselines"]["majority"] is None
    assert result["evaluated"] == result["folds"] == 0
    assert any("not calibrated" in note for note in result["notes"])
    json.dumps(result, allow_nan=False)


def test_what_does_not_beat_a_baseline_is_told(make_task, report_of):
    noise = make_task((20, 10), spread=60.0, seed=4)
    result = report_of(noise, (Prototype(), Ridge(l2=0.1)))
    assert any("always answering the largest class" in note for note in result["notes"])


def test_what_beats_the_baselines_has_no_notes(make_task, report_of):
    assert report_of(make_task((12, 12, 12), spread=1.0), (Prototype(),))["notes"] == []


def test_majority_baseline_is_the_share_of_the_largest_class(make_task, report_of):
    baseline = report_of(make_task((12, 6, 2)))["baselines"]["majority"]
    assert baseline["accuracy"] == pytest.approx(12 / 20)


def test_a_row_is_never_judged_by_a_choice_that_saw_its_label(task, candidates):
    """Changing the labels of one fold changes nothing in the probabilities of its rows."""
    comparison = compare(candidates, task)
    inside = comparison.folds == 0
    before = cross(comparison, task.y)
    spoiled = task.y.copy()
    spoiled[inside] = (spoiled[inside] + 1) % 3
    after = cross(comparison, spoiled)
    rows = np.isin(before.rows, np.flatnonzero(inside))
    np.testing.assert_array_equal(before.scores[rows], after.scores[rows])
    assert not np.array_equal(before.scores[~rows], after.scores[~rows])


def test_cross_fitting_does_not_profit_from_many_useless_candidates(candidates):
    """The best of many random candidates looks better than chance; the reported log loss does not."""
    rng = np.random.default_rng(0)
    n, folds = 60, np.arange(60) % 5
    y = rng.integers(0, 2, n)
    scores = tuple(rng.standard_normal((n, 2)).astype(np.float32) for _ in range(40))
    comparison = Comparison(tuple(Logistic(c=float(c + 1)) for c in range(40)), folds, scores)
    flattered = pick(comparison, y, folds != NEVER).loss.min()
    crossed = cross(comparison, y)
    honest = nll_by_row(crossed.scores, y[crossed.rows], 1.0).mean()
    assert flattered < np.log(2) - 0.015
    assert honest > np.log(2) - 0.01


def test_log_loss_is_that_of_the_cross_fitted_probabilities(task, report_of, candidates):
    comparison = compare(candidates, task)
    total, count = 0.0, 0
    for fold in range(5):
        inside = comparison.folds == fold
        choice = pick(comparison, task.y, comparison.held_out & ~inside)
        log_p = log_softmax(comparison.scores[choice.index][inside] / np.float32(choice.temperature))
        total -= log_p[np.arange(inside.sum()), task.y[inside]].sum()
        count += int(inside.sum())
    assert report_of(task)["log_loss"] == pytest.approx(total / count, rel=1e-5)


def test_the_majority_baseline_is_one_constant_answer(make_task, report_of):
    result = report_of(make_task((8, 8), spread=2.0))
    assert result["baselines"]["majority"]["accuracy"] == 0.5


def test_a_perfect_score_is_not_said_to_lose_by_accuracy(make_task, report_of):
    result = report_of(make_task((30, 30), spread=0.01))
    assert result["accuracy"] == 1.0
    assert not any("accuracy" in note for note in result["notes"])


@pytest.mark.parametrize(("counts", "positive"), [((30, 9), 1), ((9, 30), 0), ((12, 12), 1)])
def test_of_two_classes_the_rarer_is_told_from_the_other(make_task, report_of, candidates, counts, positive):
    task = make_task(counts, spread=4.0)
    crossed = cross(compare(candidates, task), task.y)
    result, truth = report_of(task), task.y[crossed.rows] == positive
    score = log_softmax(crossed.scores)[:, positive]
    assert result["positive"] == f"class {positive}"
    assert result["roc_auc"] == pytest.approx(roc_auc_score(truth, score))
    assert result["average_precision"] == pytest.approx(average_precision_score(truth, score))


def test_more_classes_have_no_positive_one(task, report_of):
    result = report_of(task)
    assert result["positive"] is result["roc_auc"] is result["average_precision"] is None


@pytest.mark.parametrize(("counts", "said"), [((38, 2), True), ((36, 4), False)])
def test_one_class_that_is_nearly_everything_is_said_so(make_task, report_of, counts, said):
    notes = report_of(make_task(counts))["notes"]
    assert any("rows are 'class 0'" in note and "average_precision" in note for note in notes) == said


def test_figures_follow_the_weights(task, report_of, candidates):
    weights = np.random.default_rng(0).random(len(task.y)) + 0.1
    weighted = replace(task, weights=weights)
    result = report_of(weighted)
    crossed = cross(compare(candidates, weighted), task.y)
    y, w, p = task.y[crossed.rows], weights[crossed.rows], np.exp(log_softmax(crossed.scores))
    p, predicted = p / p.sum(axis=1, keepdims=True), p.argmax(axis=1)
    given = {"sample_weight": w, "labels": range(4)}
    assert result["accuracy"] == pytest.approx(w @ (y == predicted) / w.sum())
    assert result["log_loss"] == pytest.approx(log_loss(y, p, **given))
    _, recall, f1, _ = precision_recall_fscore_support(y, predicted, zero_division=0, **given)
    assert result["balanced_accuracy"] == pytest.approx(recall[:3].mean())
    assert result["macro_f1"] == pytest.approx(f1[:3].mean())
    assert any("weights" in note for note in result["notes"])


def test_every_class_has_an_average_precision_against_the_rest(task, report_of, candidates):
    crossed = cross(compare(candidates, task), task.y)
    y, p = task.y[crossed.rows], np.exp(log_softmax(crossed.scores))
    expected = [average_precision_score(y == c, p[:, c]) for c in range(3)]
    result = report_of(task)
    assert [row["average_precision"] for row in result["per_class"][:3]] == pytest.approx(expected)
    assert result["macro_average_precision"] == pytest.approx(np.mean(expected))


def test_a_class_that_was_not_among_the_judged_rows_has_no_roc(make_task, report_of):
    """Of the first folds only, as when the time was over, a rare class may have no row."""
    task = make_task((40, 4), spread=2.0)
    methods = (Ridge(l2=1.0), Ridge(l2=3.0))
    comparison = compare(methods, task)
    lacking = [fold for fold in range(5) if not (task.y[comparison.folds == fold] == 1).any()]
    alone = replace(comparison, folds=np.where(comparison.folds == lacking[0], np.arange(44) % 2, NEVER))
    result = measure(task, task.counts, alone, cross(alone, task.y), None)
    assert (result["positive"], result["roc_auc"], result["average_precision"]) == ("class 1", None, None)
    assert result["accuracy"] > 0.5


def test_the_unit_of_the_weights_does_not_matter(task, report_of):
    alike = report_of(task)["baselines"]
    for unit in (1e-3, 1e3):
        found = report_of(replace(task, weights=np.full(len(task.y), unit)))["baselines"]
        assert found["majority"]["log_loss"] == pytest.approx(alike["majority"]["log_loss"])
