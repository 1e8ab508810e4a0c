import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from adapters.base import Task
from adapters.evaluate.crossed import cross
from adapters.evaluate.multilabel import answers, micro_f1
from adapters.methods.ridge import Ridge
from adapters.race import compare


@pytest.fixture
def make_marks():
    """A function that draws rows with any number of classes that their embedding tells of, the last one rare."""

    def make(n=120, noise=0.4, seed=0, **fields):
        rng = np.random.default_rng(seed)
        marks = rng.random((n, 4)) < [0.5, 0.3, 0.3, 0.0]
        marks[:1, 3] = True
        z = marks @ rng.standard_normal((4, 8)) + noise * rng.standard_normal((n, 8))
        return Task(z.astype(np.float32), marks, tuple("abcd"), np.arange(n), seed=1, **fields)

    return make


def test_figures_agree_with_scikit_learn(make_marks, report_of):
    task = make_marks(noise=2.0)
    result = report_of(task)
    crossed = cross(compare(Ridge().variants(task), task), task.y)
    marks, p = task.y[crossed.rows], 1 / (1 + np.exp(-crossed.scores.astype(float)))
    assert result["log_loss"] == pytest.approx(-np.log(np.where(marks, p, 1 - p)).mean(), rel=1e-4)
    precisions = [average_precision_score(marks[:, c], p[:, c]) for c in range(3)]
    assert result["macro_average_precision"] == pytest.approx(np.mean(precisions), rel=1e-6)
    assert [row["average_precision"] for row in result["per_class"][:3]] == pytest.approx(precisions)
    assert result["macro_f1"] == pytest.approx(np.mean([row["f1"] for row in result["per_class"][:3]]))
    assert 0 < result["exact_match"] < result["micro_f1"] < 1


def test_micro_f1_is_scikit_learns():
    rng = np.random.default_rng(0)
    marks, said, weights = rng.random((30, 3)) < 0.4, rng.random((30, 3)) < 0.4, rng.random(30)
    expected = f1_score(marks, said, average="micro", sample_weight=weights)
    assert micro_f1(marks, said, weights) == pytest.approx(expected)
    assert micro_f1(marks[:0], said[:0], weights[:0]) == 0


def test_the_published_thresholds_are_in_the_report_and_a_rare_class_is_not_evaluated(make_marks, report_of):
    result = report_of(make_marks())
    assert [row["threshold"] for row in result["per_class"]] == result["thresholds"]
    assert all(0 < threshold < 1 for threshold in result["thresholds"])
    rare = result["per_class"][3]
    assert (rare["support"], rare["evaluated"], rare["f1"], rare["average_precision"]) == (1, 0, None, None)
    assert any("not evaluated: d" in note for note in result["notes"])
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_it_beats_always_answering_the_same(make_marks, report_of):
    result = report_of(make_marks())
    assert result["log_loss"] < result["baselines"]["majority"]["log_loss"]
    assert result["micro_f1"] > result["baselines"]["majority"]["micro_f1"]
    noise = replace(make_marks(), z=np.random.default_rng(5).standard_normal((120, 8)).astype(np.float32))
    assert any("always answering the largest class" in note for note in report_of(noise)["notes"])


def test_a_row_is_never_judged_by_thresholds_that_saw_its_marks(make_marks):
    """Changing the marks of one fold changes nothing in the answers for its rows."""
    task = make_marks(noise=2.0)
    crossed = cross(compare(Ridge().variants(task), task), task.y)
    inside = crossed.folds == 0
    spoiled = task.y.copy()
    spoiled[crossed.rows[inside]] ^= True
    before, after = answers(task, crossed)[2], answers(replace(task, y=spoiled), crossed)[2]
    np.testing.assert_array_equal(before[inside], after[inside])
    assert not np.array_equal(before[~inside], after[~inside])


def test_without_rows_to_hold_out_figures_are_null(make_marks, report_of):
    task = make_marks(3)
    result = report_of(task)
    assert result["micro_f1"] is result["log_loss"] is result["baselines"]["majority"] is None
    assert result["thresholds"] == [0.5] * 4
    assert any("every threshold is 0.5" in note for note in result["notes"])
    json.dumps(result, allow_nan=False)


def test_figures_follow_the_weights(make_marks, report_of):
    task = make_marks(noise=2.0)
    weights = np.where(np.arange(120) % 2, 1.0, 1e-9)
    result = report_of(replace(task, weights=weights))
    assert any("weights" in note for note in result["notes"])
    assert result["weighted"]
    assert result["micro_f1"] != report_of(task)["micro_f1"]


def test_the_unit_of_the_weights_does_not_matter(make_marks, report_of):
    alike = report_of(make_marks())["baselines"]
    found = report_of(make_marks(weights=np.full(120, 1e-3)))["baselines"]
    assert found["majority"]["log_loss"] == pytest.approx(alike["majority"]["log_loss"])
