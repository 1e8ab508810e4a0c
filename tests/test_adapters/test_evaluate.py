import dataclasses
import json

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

from adapters.evaluate import cross_fit, expected_calibration_error, report, wilson_interval
from adapters.folds import NEVER
from adapters.linalg import log_softmax
from adapters.methods.logistic import Logistic
from adapters.methods.prototype import Prototype
from adapters.methods.ridge import Ridge
from adapters.select import Comparison, compare, pick

METHODS = (Prototype(), Ridge(l2=1.0), Logistic(c=10.0), Logistic(c=100.0))


def report_of(task, methods=METHODS):
    comparison = compare(methods, task)
    choice = pick(comparison, task.y, comparison.held_out) if comparison.possible else None
    return report(
        task,
        methods[choice.index] if choice else methods[0],
        comparison=comparison,
        choice=choice,
        nearest_mean=comparison.scores[0] if choice else None,
        temperature=choice.temperature if choice else 1.0,
    )


@pytest.fixture
def task(make_task):
    return make_task((12, 9, 7, 1), spread=2.0)


def test_figures_agree_with_scikit_learn(task):
    comparison = compare(METHODS, task)
    fitted = cross_fit(comparison, task.y)
    y, predicted = fitted.y, fitted.log_p.argmax(axis=1)
    result = report_of(task)
    assert result["accuracy"] == pytest.approx((y == predicted).mean())
    assert result["macro_f1"] == pytest.approx(f1_score(y, predicted, labels=np.unique(y), average="macro"))
    dense = np.zeros((4, 4), int)
    for true, said, count in result["confusion"]:
        dense[true, said] = count
    assert (dense == confusion_matrix(y, predicted, labels=range(4))).all()
    precision, recall, f1, _ = precision_recall_fscore_support(y, predicted, labels=range(4), zero_division=0)
    for c in range(3):
        row = result["per_class"][c]
        assert [row["precision"], row["recall"], row["f1"]] == pytest.approx([precision[c], recall[c], f1[c]])


def test_it_is_plain_json(task):
    result = report_of(task)
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_a_class_with_one_example_is_not_evaluated_and_said_so(task):
    result = report_of(task)
    assert result["per_class"][3] == {
        "class": "class 3",
        "support": 1,
        "evaluated": 0,
        "precision": None,
        "recall": None,
        "f1": None,
    }
    assert result["evaluated"] == 28
    assert any("not evaluated: class 3" in note for note in result["notes"])


def test_without_rows_to_hold_out_figures_are_null(make_task):
    result = report_of(make_task((1, 1, 1)))
    assert result["calibrated"] is False
    assert result["accuracy"] is result["log_loss"] is result["baselines"]["majority"] is None
    assert result["evaluated"] == result["folds"] == 0
    assert any("not calibrated" in note for note in result["notes"])
    json.dumps(result, allow_nan=False)


def test_what_does_not_beat_a_baseline_is_told(make_task):
    noise = make_task((20, 10), spread=60.0, seed=4)
    result = report_of(noise, (Prototype(), Ridge(l2=0.1)))
    assert any("always answering the largest class" in note for note in result["notes"])


def test_what_beats_the_baselines_has_no_notes(make_task):
    assert report_of(make_task((12, 12, 12), spread=1.0), (Prototype(),))["notes"] == []


def test_majority_baseline_is_the_share_of_the_largest_class(make_task):
    baseline = report_of(make_task((12, 6, 2)))["baselines"]["majority"]
    assert baseline["accuracy"] == pytest.approx(12 / 20)


def test_every_candidate_is_listed_and_one_is_chosen(task):
    result = report_of(task)
    assert [(entry["method"], entry["parameters"]) for entry in result["candidates"]] == [
        (method.method, method.parameters()) for method in METHODS
    ]
    assert [entry["chosen"] for entry in result["candidates"]].count(True) == 1
    assert min(entry["stderr"] for entry in result["candidates"]) == 0


def test_a_row_is_never_judged_by_a_choice_that_saw_its_label(task):
    """Changing the labels of one fold changes nothing in the probabilities of its rows."""
    comparison = compare(METHODS, task)
    inside = comparison.folds == 0
    before = cross_fit(comparison, task.y)
    spoiled = task.y.copy()
    spoiled[inside] = (spoiled[inside] + 1) % 3
    after = cross_fit(comparison, spoiled)
    rows = np.isin(before.rows, np.flatnonzero(inside))
    np.testing.assert_array_equal(before.log_p[rows], after.log_p[rows])
    assert not np.array_equal(before.log_p[~rows], after.log_p[~rows])


def test_cross_fitting_does_not_profit_from_many_useless_candidates():
    """The best of many random candidates looks better than chance; the reported log loss does not."""
    rng = np.random.default_rng(0)
    n, folds = 60, np.arange(60) % 5
    y = rng.integers(0, 2, n)
    scores = tuple(rng.standard_normal((n, 2)).astype(np.float32) for _ in range(40))
    comparison = Comparison(tuple(Logistic(c=float(c + 1)) for c in range(40)), folds, scores)
    flattered = pick(comparison, y, folds != NEVER).nll.min()
    fitted = cross_fit(comparison, y)
    honest = -fitted.log_p[np.arange(n), fitted.y].mean()
    assert flattered < np.log(2) - 0.015
    assert honest > np.log(2) - 0.01


def test_wilson_interval_is_the_textbooks():
    assert wilson_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson_interval(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)


def test_calibration_error_is_the_gap_between_confidence_and_truth():
    p = np.array([[0.9, 0.1]] * 10)
    assert expected_calibration_error(p, np.array([0] * 9 + [1])) == pytest.approx(0.0, abs=1e-9)
    assert expected_calibration_error(p, np.array([0] * 5 + [1] * 5)) == pytest.approx(0.4)
    assert expected_calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == 0


def test_log_loss_is_that_of_the_cross_fitted_probabilities(task):
    comparison = compare(METHODS, task)
    total, count = 0.0, 0
    for fold in range(5):
        inside = comparison.folds == fold
        choice = pick(comparison, task.y, comparison.held_out & ~inside)
        log_p = log_softmax(comparison.scores[choice.index][inside] / np.float32(choice.temperature))
        total -= log_p[np.arange(inside.sum()), task.y[inside]].sum()
        count += int(inside.sum())
    assert report_of(task)["log_loss"] == pytest.approx(total / count, rel=1e-5)


def test_repeated_rows_do_not_narrow_the_interval(make_task):
    once = make_task((12, 12), spread=2.0)
    copies = 10
    many = dataclasses.replace(
        once, z=np.repeat(once.z, copies, 0), y=np.repeat(once.y, copies), groups=np.repeat(once.groups, copies)
    )
    few, result = report_of(once), report_of(many)
    assert (result["evaluated"], result["different"]) == (240, 24)
    width = np.ptp(result["accuracy_interval"])
    assert width == pytest.approx(np.ptp(wilson_interval(24 * result["accuracy"], 24)))
    assert any("24 of them differ" in note for note in result["notes"])
    assert not any("differ" in note for note in few["notes"])


def test_the_majority_baseline_is_one_constant_answer(make_task):
    result = report_of(make_task((8, 8), spread=2.0))
    assert result["baselines"]["majority"]["accuracy"] == 0.5


def test_few_held_out_items_are_said_so(make_task):
    assert any("Only 4 different items" in note for note in report_of(make_task((2, 2), spread=2.0))["notes"])


def test_a_perfect_score_is_not_said_to_lose_by_accuracy(make_task):
    result = report_of(make_task((30, 30), spread=0.01))
    assert result["accuracy"] == 1.0
    assert not any("accuracy" in note for note in result["notes"])
