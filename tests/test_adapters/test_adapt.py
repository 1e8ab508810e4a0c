import json
from dataclasses import replace
from itertools import count

import numpy as np
import onnxruntime
import pytest

from adapters.adapt import STAGES, adapt
from adapters.errors import Cancelled, DatasetTooSmall, RequirementMissing, TaskUnsupported
from adapters.heads import AffineHead, RowHead, read_tables
from adapters.methods import METHODS, parse_method
from models.errors import ExportMismatch


def run(task, method, on_stage=lambda _name, _fraction: None):
    return adapt(task, parse_method(method), on_stage=on_stage, clock=count().__next__)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_what_comes_out_is_one_function_three_times(make_task, name):
    task = make_task()
    made = run(task, name)
    session = onnxruntime.InferenceSession(made.onnx, providers=["CPUExecutionProvider"])
    probabilities = session.run(["probabilities"], {"embedding": task.z})[0]
    table = read_tables(made.tables)
    scores = task.z @ table.weight.T + table.bias
    expected = np.exp(scores / table.temperature)
    np.testing.assert_allclose(probabilities, expected / expected.sum(axis=1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(made.head.scores(task.z), scores, atol=1e-5)
    assert table.temperature == pytest.approx(made.temperature)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_parameter_is_filled_in(make_task, name):
    made = run(make_task(), name)
    assert made.method.method != "auto"
    assert all(value is not None for value in made.method.parameters().values())
    assert made.report["method"] == made.method.model_dump()


@pytest.mark.parametrize("method", ["auto", {"method": "logistic", "c": 3.0}])
def test_the_report_is_cross_validated_whether_there_was_a_choice_or_not(make_task, method):
    made = run(make_task(), method)
    assert made.calibrated
    assert made.report["evaluated"] == 30
    assert 0.8 < made.report["accuracy"] <= 1
    assert [entry["chosen"] for entry in made.report["candidates"]].count(True) == 1
    assert made.report["baselines"]["nearest_mean"]["accuracy"] > 0.5
    json.dumps(made.report, allow_nan=False)


def test_stages_come_in_order_with_growing_fractions_and_seconds(make_task):
    heard = []
    made = run(make_task(), "auto", lambda name, fraction: heard.append((name, fraction)))
    assert list(dict.fromkeys(name for name, _ in heard)) == list(STAGES)
    for stage in STAGES:
        fractions = [fraction for name, fraction in heard if name == stage]
        assert fractions == sorted(fractions)
        assert (fractions[0], fractions[-1]) == (0, 1)
    assert set(made.seconds) == set(STAGES) == set(made.report["seconds"])
    assert all(seconds == 1 for seconds in made.seconds.values())


def test_the_same_task_gives_the_same_bytes(make_task):
    first, again = run(make_task(), "auto"), run(make_task(), "auto")
    assert (first.onnx, first.tables, first.report) == (again.onnx, again.tables, again.report)


def test_one_example_a_class_is_fitted_and_called_uncalibrated(make_task):
    made = run(make_task((1, 1, 1)), "auto")
    assert not made.calibrated
    assert made.method.method == "logistic"
    assert made.temperature == METHODS["logistic"].default_temperature
    assert made.report["accuracy"] is None
    assert next(entry for entry in made.report["candidates"] if entry["chosen"])["parameters"]["prior"] == "names"


def test_a_single_example_class_does_not_take_the_calibration_from_the_others(make_task):
    made = run(make_task((10, 10, 1)), "logistic")
    assert made.calibrated
    assert made.report["folds"] == 5
    assert [row["evaluated"] for row in made.report["per_class"]] == [10, 10, 0]


def test_duplicates_never_flatter_the_report(make_task):
    """Labels are noise and every row is there three times: only copies on both sides of a fold could look good."""
    rng = np.random.default_rng(0)
    noise = make_task((20, 20), spread=50.0)
    rows = np.tile(np.arange(40), 3)
    y = rng.permutation(noise.y)
    copies = replace(noise, z=noise.z[rows], y=y[rows], groups=rows)
    assert run(copies, {"method": "logistic", "c": 1000.0}).report["accuracy"] < 0.75
    torn = replace(copies, groups=np.arange(120))
    assert run(torn, {"method": "logistic", "c": 1000.0}).report["accuracy"] > 0.75


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_can_be_cancelled(make_task, stage):
    reached = []

    def check():
        if stage in reached:
            raise Cancelled("over")

    with pytest.raises(Cancelled):
        run(make_task(check=check), "logistic", lambda name, _fraction: reached.append(name))
    assert reached[-1] == stage


def test_what_cannot_be_learned_from_is_refused_before_anything_is_done(make_task, make_regression):
    heard = []
    with pytest.raises(DatasetTooSmall):
        run(make_task((5,)), "auto", lambda name, _fraction: heard.append(name))
    with pytest.raises(RequirementMissing):
        run(make_task(names=None), {"method": "logistic", "prior": "names"}, lambda name, _f: heard.append(name))
    with pytest.raises(TaskUnsupported):
        run(make_regression(), "prototype", lambda name, _f: heard.append(name))
    assert heard == []


@pytest.mark.parametrize("method", ["auto", {"method": "ridge", "l2": 0.1}])
def test_a_number_comes_out_as_one_function_three_times(make_regression, method):
    task = make_regression(offset=100.0, scale=10.0)
    made = run(task, method)
    table = read_tables(made.tables)
    value = onnxruntime.InferenceSession(made.onnx).run(["value"], {"embedding": task.z})[0]
    np.testing.assert_allclose(value, task.z @ table.weight.T + table.bias, rtol=1e-5)
    np.testing.assert_allclose(value, made.head.scores(task.z), rtol=1e-5)
    assert (made.kind, made.temperature, made.calibrated, table.temperature) == ("affine", 1.0, False, 1.0)
    assert isinstance(made.head, AffineHead)
    assert made.report["task"] == "regression"
    assert made.report["r2"] > 0.9
    assert np.abs(value[:, 0] - task.y).mean() < 2 * made.report["mae"]


def test_a_number_that_could_not_be_held_out_is_fitted_all_the_same(make_regression):
    made = run(make_regression(3), "auto")
    assert (made.method.l2, made.temperature) == (3.0, 1.0)
    assert made.report["r2"] is None


@pytest.mark.parametrize("regression", [False, True])
@pytest.mark.parametrize("method", ["auto", "ridge"])
def test_a_table_comes_out_as_a_graph_of_rows(make_table_task, regression, method):
    task = make_table_task(regression=regression)
    made = run(task, method)
    assert (made.kind, made.tables) == ("graph", None)
    assert isinstance(made.head, RowHead)
    given = {"numbers": task.table.numbers, "categories": task.table.categories}
    output = "value" if regression else "scores"
    seen = onnxruntime.InferenceSession(made.onnx).run([output], given)[0]
    np.testing.assert_allclose(seen, made.head.scores(task.table), atol=1e-4)
    assert made.report["r2" if regression else "accuracy"] > 0.7
    assert set(made.seconds) == set(STAGES)
    json.dumps(made.report, allow_nan=False)


def test_the_same_table_gives_the_same_bytes(make_table_task):
    first, again = run(make_table_task(), "auto"), run(make_table_task(), "auto")
    assert (first.onnx, first.report) == (again.onnx, again.report)


@pytest.mark.parametrize(("kind", "which"), [(AffineHead, "make_task"), (RowHead, "make_table_task")])
def test_a_file_that_computes_something_else_is_not_published(request, monkeypatch, kind, which):
    right = kind.onnx
    monkeypatch.setattr(kind, "onnx", lambda self, temperature: right(self, 2 * temperature))
    with pytest.raises(ExportMismatch):
        run(request.getfixturevalue(which)(), "ridge")
