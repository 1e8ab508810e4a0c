from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from adapters.comparison import pick
from adapters.evaluate.crossed import cross
from adapters.methods.ridge import Ridge
from adapters.race import compare


def predictions(comparison, y):
    """(n,) in the order of the rows."""
    crossed = cross(comparison, y)
    return crossed.scores[np.argsort(crossed.rows), 0]


def test_figures_agree_with_scikit_learn(make_regression, report_of):
    task = make_regression(noise=1.0)
    predicted = predictions(compare(Ridge().variants(task), task), task.y)
    result = report_of(task)
    assert result["r2"] == pytest.approx(r2_score(task.y, predicted))
    assert result["rmse"] == pytest.approx(root_mean_squared_error(task.y, predicted))
    assert result["mae"] == pytest.approx(mean_absolute_error(task.y, predicted))
    low, high = result["r2_interval"]
    assert low < result["r2"] < high


def test_a_row_is_never_judged_by_a_choice_that_saw_its_target(make_regression):
    """Changing the targets of one fold changes nothing in the values of its rows."""
    task = make_regression(40, d=20, noise=3.0)
    comparison = compare(Ridge().variants(task), task)
    inside = comparison.folds == 0
    y = np.where(inside, -50 * task.y, task.y)
    before, after = predictions(comparison, task.y), predictions(comparison, y)
    np.testing.assert_array_equal(before[inside], after[inside])
    assert not np.array_equal(before[~inside], after[~inside])


def test_baselines_are_those_of_the_training_folds(make_regression, report_of):
    task = make_regression(50)
    folds = compare([Ridge(l2=1.0)], task).folds
    means = np.array([task.y[folds != fold].mean() for fold in folds])
    medians = np.array([np.median(task.y[folds != fold]) for fold in folds])
    baselines = report_of(task)["baselines"]
    assert baselines["mean"]["r2"] == pytest.approx(r2_score(task.y, means))
    assert baselines["mean"]["rmse"] == pytest.approx(root_mean_squared_error(task.y, means))
    assert baselines["median"]["mae"] == pytest.approx(mean_absolute_error(task.y, medians))


def test_what_does_not_beat_a_baseline_is_told(make_regression, report_of):
    task = make_regression(30)
    noise = replace(task, y=np.random.default_rng(9).standard_normal(30))
    notes = report_of(noise, (Ridge(l2=1e-6),))["notes"]
    assert any("always answering the mean" in note for note in notes)
    assert any("always answering the median" in note for note in notes)


def test_what_beats_the_baselines_has_no_notes(make_regression, report_of):
    assert report_of(make_regression(60))["notes"] == []


def test_candidates_have_their_squared_error(make_regression, report_of):
    task = make_regression(noise=1.0)
    methods = Ridge().variants(task)
    comparison = compare(methods, task)
    entries = report_of(task)["candidates"]
    for entry, scores in zip(entries, comparison.scores, strict=True):
        assert entry["mse"] == pytest.approx(((scores[:, 0] - task.y) ** 2).mean())
        assert entry["r2"] == pytest.approx(r2_score(task.y, scores[:, 0]))
    chosen = pick(comparison, task.y, comparison.held_out).index
    assert [entry["chosen"] for entry in entries].index(True) == chosen
    assert entries[chosen]["mse"] == min(entry["mse"] for entry in entries)


def test_without_rows_to_hold_out_figures_are_null(make_regression, report_of):
    result = report_of(make_regression(3), (Ridge(l2=1.0),))
    assert result["evaluated"] == result["folds"] == 0
    assert result["r2"] is result["r2_interval"] is result["rmse"] is result["mae"] is None
    assert result["baselines"] == {"mean": None, "median": None}
    assert any("nothing could be held out" in note for note in result["notes"])


def test_equal_targets_have_errors_and_no_r2(make_regression, report_of):
    flat = replace(make_regression(30), y=np.full(30, 7.0))
    result = report_of(flat)
    assert result["r2"] is result["r2_interval"] is None
    assert result["rmse"] == pytest.approx(0, abs=1e-5)
    assert any("nothing to explain" in note for note in result["notes"])
    assert not any("does not beat" in note for note in result["notes"])


def test_few_items_are_said_so(make_regression, report_of):
    assert any("Only 8 different items" in note for note in report_of(make_regression(8))["notes"])


@pytest.mark.parametrize(("offset", "said"), [(1e3, False), (1e9, True)])
def test_targets_that_single_precision_cannot_tell_apart_are_said_so(make_regression, report_of, offset, said):
    notes = report_of(make_regression(40, offset=offset))["notes"]
    assert any("Take a constant such as 1e+09 off" in note for note in notes) == said


def test_rows_count_in_the_median_as_they_weigh(make_regression, report_of):
    """Those that hardly count lie far off."""
    task = make_regression(50)
    weights = np.where(np.arange(50) % 2, 1.0, 1e-9)
    task = replace(task, y=task.y + np.where(weights < 1, 100.0, 0.0), weights=weights)
    report = report_of(task)
    folds = compare([Ridge(l2=1.0)], task).folds
    medians = np.array([np.median(task.y[(folds != fold) & (weights == 1)]) for fold in folds])
    expected = mean_absolute_error(task.y, medians, sample_weight=weights)
    assert report["baselines"]["median"]["mae"] == pytest.approx(expected, rel=0.05)
