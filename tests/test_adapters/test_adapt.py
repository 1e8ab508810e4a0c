import json
from dataclasses import replace
from itertools import count

import numpy as np
import onnxruntime
import pytest

from adapters.adapt import STAGES, adapt
from adapters.base import Need, Parent, Part, Task
from adapters.budget import OVERHEAD_S
from adapters.errors import Cancelled, DatasetTooSmall, RequirementMissing, TaskUnsupported
from adapters.heads import AffineHead, RowHead, read_tables
from adapters.methods import METHODS, parse_method
from models.errors import ExportMismatch, WrongInput


def run(task, method, on_stage=lambda _name, _fraction: None):
    return adapt(task, parse_method(method), on_stage=on_stage, clock=count().__next__)


MORE = {Need.TUNING, Need.SIGNATURES, Need.MEMBERS}

FROZEN = sorted(name for name, method in METHODS.items() if not MORE & method.needs)
"""Methods that learn from embeddings and labels, or names, alone."""


@pytest.mark.parametrize("name", FROZEN)
def test_what_comes_out_is_one_function_three_times(make_task, name):
    task = make_task()
    made = run(task, name)
    session = onnxruntime.InferenceSession(made.onnx, providers=["CPUExecutionProvider"])
    probabilities = session.run(["probabilities"], {"embedding": task.z})[0]
    expected = np.exp(made.head.scores(task.z) / made.temperature)
    np.testing.assert_allclose(probabilities, expected / expected.sum(axis=1, keepdims=True), atol=1e-5)
    assert (made.kind == "graph") == (made.tables is None)
    assert made.files == made.head.files()
    if isinstance(made.head, AffineHead):
        table = read_tables(made.tables)
        np.testing.assert_allclose(made.head.scores(task.z), task.z @ table.weight.T + table.bias, atol=1e-5)
        assert table.temperature == pytest.approx(made.temperature)


@pytest.mark.parametrize("name", FROZEN)
def test_every_parameter_is_chosen(make_task, name):
    task = make_task()
    made = run(task, name)
    assert made.method.method != "auto"
    assert made.method.variants(task) == (made.method,)
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
    assert list(dict.fromkeys(name for name, _ in heard)) == list(STAGES[1:])
    for stage in STAGES[1:]:
        fractions = [fraction for name, fraction in heard if name == stage]
        assert fractions == sorted(fractions)
        assert (fractions[0], fractions[-1]) == (0, 1)
    assert set(made.seconds) == set(STAGES[1:]) == set(made.report["seconds"])
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


@pytest.mark.parametrize("stage", STAGES[1:])
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
    assert set(made.seconds) == set(STAGES[1:])
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


def spent_by(task, method, each_s=1.0):
    """A task whose budget goes down by that much whenever it is asked to go on, and what a whole fit spends of it."""
    left = [1e6]

    def check():
        left[0] -= each_s

    limited = replace(task, check=check, left_s=lambda: left[0])
    run(limited, method)
    return limited, left, 1e6 - left[0]


@pytest.mark.parametrize("method", ["auto", "logistic"])
def test_at_the_end_of_the_budget_the_best_so_far_is_published_and_said_so(make_task, method):
    task, left, whole_s = spent_by(make_task(), method)
    left[0] = 0.4 * whole_s
    made = run(task, method)
    assert made.early
    assert made.report["evaluated"] > 0
    assert any("time was over" in note for note in made.report["notes"])
    assert made.report["left_out"] or len(made.tried) == 1 or made.report["folds"] < 5


@pytest.mark.parametrize("which", ["make_task", "make_regression", "make_table_task"])
def test_without_any_time_the_fallback_is_published(request, which):
    made = run(request.getfixturevalue(which)(left_s=lambda: 0.0), "auto")
    assert made.early
    assert not made.calibrated
    assert made.tried == made.report["candidates"] == []
    assert any("before anything could be compared" in note for note in made.report["notes"])
    json.dumps(made.report, allow_nan=False)


def test_with_the_same_candidates_the_same_comes_out_whatever_the_time(make_task):
    task, left, whole_s = spent_by(make_task((20, 20, 20), spread=2.0), "auto")
    left[0] = 0.5 * whole_s
    early = run(task, "auto")
    again = run(replace(task, check=lambda: None, left_s=lambda: 1e9), early.again)
    assert early.early
    assert 0 < len(early.tried) < len(run(make_task((20, 20, 20), spread=2.0), "auto").tried)
    assert (again.onnx, again.tried, again.early) == (early.onnx, early.tried, False)


@pytest.mark.parametrize(("method", "share"), [("logistic", 0.5), ("ridge", 0.2)])
def test_where_no_candidate_was_compared_to_its_end_the_same_folds_are_compared_again(make_task, method, share):
    task, left, whole_s = spent_by(make_task((20, 20, 20), spread=4.0, names=None), method)
    left[0] = share * whole_s
    early = run(task, method)
    again = run(replace(task, check=lambda: None, left_s=lambda: 1e9), early.again)
    assert 0 < early.again["folds"][0] < 5
    assert early.report["folds"] == again.report["folds"] == max(2, early.again["folds"][0])
    assert (again.onnx, again.tried, again.early) == (early.onnx, early.tried, False)


@pytest.mark.parametrize("method", ["auto", "kernel"])
def test_without_time_to_compare_the_same_fallback_is_taken_again(make_task, method):
    made = run(make_task(left_s=lambda: OVERHEAD_S / 2), method)
    again = run(make_task(), made.again)
    assert made.early
    assert (again.onnx, again.method, again.again) == (made.onnx, made.method, made.again)


@pytest.mark.parametrize("make", [lambda task, numbers: task((1, 1, 1)), lambda task, numbers: numbers(3)])
def test_where_nothing_can_be_held_out_the_same_fallback_is_taken_again(make_task, make_regression, make):
    task = make(make_task, make_regression)
    made = run(task, "auto")
    again = run(task, made.again)
    assert not made.early
    assert (again.onnx, again.method) == (made.onnx, made.method)


def test_what_was_compared_to_the_end_can_be_compared_again(make_task):
    made = run(make_task(), "auto")
    again = run(make_task(), made.again)
    assert (again.onnx, again.report) == (made.onnx, made.report)
    assert again.again == made.again


def test_many_rows_are_compared_on_a_sample_and_fitted_whole(make_task):
    task = make_task((7000, 6000, 3), d=4, spread=1.0)
    made = run(task, {"method": "ridge", "l2": 1.0})
    assert made.report["items"] == 13003
    assert 9_900 < made.report["compared"] < 10_100
    assert made.report["per_class"][0]["support"] == 7000
    assert made.report["per_class"][2]["evaluated"] == 3
    assert any("of the 13003 rows" in note for note in made.report["notes"])
    expected = made.method.fit(task).scores(task.z[:5])
    np.testing.assert_array_equal(made.head.scores(task.z[:5]), expected)


@pytest.fixture
def make_marks():
    """A function that draws rows with any number of classes."""

    def make(n=80, seed=0, **fields):
        rng = np.random.default_rng(seed)
        marks = rng.random((n, 3)) < [0.5, 0.3, 0.1]
        z = marks @ rng.standard_normal((3, 8)) + 0.4 * rng.standard_normal((n, 8))
        return Task(z.astype(np.float32), marks, ("a", "b", "c"), np.arange(n), seed=1, **fields)

    return make


@pytest.mark.parametrize("method", ["auto", "ridge"])
def test_any_number_of_classes_comes_with_sigmoids_and_a_threshold_each(make_marks, method):
    task = make_marks()
    made = run(task, method)
    assert made.calibrated
    assert len(made.thresholds) == 3
    assert made.report["thresholds"] == list(made.thresholds)
    session = onnxruntime.InferenceSession(made.onnx)
    probabilities = session.run(["probabilities"], {"embedding": task.z})[0]
    scores = made.head.scores(task.z).astype(float)
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-scores / made.temperature)), atol=1e-5)
    assert ((probabilities >= made.thresholds) == task.y).mean() > 0.9
    assert made.report["micro_f1"] > 0.8
    assert run(task, method).onnx == made.onnx


def test_too_few_rows_for_thresholds_have_one_half(make_marks):
    marks = np.eye(3, dtype=bool)
    made = run(replace(make_marks(3), y=marks), "ridge")
    assert (made.thresholds, made.calibrated) == ((0.5, 0.5, 0.5), False)


def test_rows_that_weigh_nothing_are_as_if_they_were_not_there(make_task):
    task = make_task((10, 10, 10), spread=1.0)
    noise = np.random.default_rng(3).permutation(30)[:6]
    weights = np.ones(30)
    weights[noise] = 0
    wrong = replace(task, y=np.where(weights > 0, task.y, (task.y + 1) % 3), weights=weights)
    made, expected = run(wrong, "ridge"), run(task.rows(weights > 0), "ridge")
    assert made.report["evaluated"] == expected.report["evaluated"] == 24
    assert made.report["accuracy"] == expected.report["accuracy"]
    assert made.method == expected.method
    np.testing.assert_allclose(made.head.weight, expected.head.weight, rtol=1e-3, atol=1e-3)


def test_a_class_whose_rows_all_weigh_nothing_is_refused_as_one_without_rows(make_task):
    task = replace(make_task((10, 10, 10)), weights=np.repeat([0.0, 1.0, 1.0], 10))
    with pytest.raises(DatasetTooSmall, match="class 0"):
        run(task, "auto")


def test_nothing_of_a_row_of_a_table_that_weighs_nothing_is_left_in_the_encoding(make_table_task):
    task = make_table_task()
    numbers = task.table.numbers.copy()
    numbers[5] = 1e9
    table = replace(task.table, numbers=numbers)
    weights = np.where(np.arange(90) == 5, 0.0, 1.0)
    spoiled = Task.of_rows(task.schema, table, task.y, task.classes, task.groups, seed=1, weights=weights)
    made, expected = run(spoiled, "ridge"), run(spoiled.rows(weights > 0), "ridge")
    assert made.onnx == expected.onnx


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("method", ["auto", "mlp"])
def test_an_embedding_that_is_not_finite_is_refused(make_task, method, value):
    task = make_task()
    z, names = task.z.copy(), task.names.copy()
    z[7, 3] = names[2, 0] = value
    with pytest.raises(WrongInput, match="row 7"):
        run(replace(task, z=z), method)
    with pytest.raises(WrongInput, match="class 2"):
        run(replace(task, names=names), method)


@pytest.mark.parametrize("scale", [1e-8, 1e6])
def test_embeddings_of_any_length_can_be_fitted_and_fitted_again(make_task, scale):
    task = make_task(names=None)
    task = replace(task, z=task.z * np.float32(scale))
    made = run(task, "auto")
    assert made.report["accuracy"] > 0.8
    assert run(task, made.again).onnx == made.onnx


def test_the_guard_tells_of_every_fallback(make_task, make_regression):
    made = run(make_task(spread=2.0), {"method": "logistic", "prior": "names", "c": 10.0})
    assert {entry["fallback"] for entry in made.report["guard"]} == {"nearest_mean", "majority", "names", "plain"}
    assert all(0 <= entry["p_better"] <= 1 for entry in made.report["guard"])
    assert {entry["fallback"] for entry in run(make_regression(), "ridge").report["guard"]} == {"mean"}


def test_names_that_mislead_are_not_used(make_task):
    """The names of the classes are those of others: what knows only the rows is published."""
    task = make_task((12, 12, 12), spread=1.0)
    made = run(replace(task, names=task.names[[1, 2, 0]]), "auto")
    assert getattr(made.method, "prior", "none") == "none"
    assert made.report["accuracy"] > 0.8


def test_what_the_guard_prefers_is_published_under_auto_alone(make_task, monkeypatch):
    task = make_task((12, 12, 12), spread=1.0, names=None)
    noise = 3 * np.random.default_rng(0).standard_normal((36, 1)).astype(np.float32)
    task = replace(task, z=np.concatenate([task.z, noise], axis=1))
    monkeypatch.setattr("adapters.decision.instead", lambda _entries, fallbacks: fallbacks[0])
    candidates = [{"method": "prototype"}, {"method": "logistic", "c": 10.0, "balanced": True}]
    made = run(task, {"method": "auto", "candidates": candidates})
    alone = run(task, candidates[1])
    assert alone.method.method == "logistic"
    assert made.report["guard"][0]["fallback"] == "nearest_mean"
    assert made.method.method == "prototype"
    assert any("published instead" in note for note in made.report["notes"])
    assert [entry["chosen"] for entry in made.report["candidates"]] == [True, False]
    assert made.report["log_loss"] == pytest.approx(run(task, "prototype").report["log_loss"])


def test_what_methods_say_is_in_the_notes_once(make_task, monkeypatch):
    heard = []
    fit_each = METHODS["ridge"].fit_each.__func__

    def talkative(cls, methods, task):
        task.say("The weather is fine.")
        return fit_each(cls, methods, task)

    monkeypatch.setattr(METHODS["ridge"], "fit_each", classmethod(talkative))
    made = run(make_task(say=heard.append), "ridge")
    assert made.report["notes"].count("The weather is fine.") == 1
    assert len(heard) == 5


def test_of_several_blocks_the_columns_are_chosen_first(make_task):
    task = make_task((15, 15, 15), d=6, spread=1.0)
    noise = np.random.default_rng(0).standard_normal((45, 6)).astype(np.float32)
    parts = (Part("block1", 0, 6), Part("pooled", 6, 12))
    both = replace(task, z=np.concatenate([noise, task.z], axis=1), names=None, parts=parts)
    heard = []
    made = run(both, "ridge", lambda name, _fraction: heard.append(name))
    assert heard[0] == "features"
    assert set(made.seconds) == set(STAGES)
    assert made.parts == ((6, 12),)
    assert made.head.weight.shape == (3, 6)
    assert made.report["features"]
    assert not any("Which blocks" in note for note in made.report["notes"])
    turned = replace(both, parts=(Part("pooled", 0, 6), Part("block1", 6, 12)))
    other = run(turned, "ridge")
    assert other.parts == ((6, 12),)
    assert any("Which blocks" in note for note in other.report["notes"])
    assert made.tap == ""


def test_a_version_that_grew_tells_what_became_of_the_old_classes(make_task):
    task = make_task((12, 12, 12), spread=1.0, names=None)
    old = METHODS["ridge"](l2=1.0).fit(Task(task.z[:24], task.y[:24], task.classes[:2], task.groups[:24]))
    parent = Parent("old:1", old.weight, old.bias, 0.1, task.classes[:2])
    made = run(replace(task, parent=parent), "ridge")
    growth = made.report["growth"]
    assert (growth["parent"], growth["old_classes"], growth["new_classes"]) == ("old:1", 2, ["class 2"])
    assert growth["evaluated"] == 24
    assert growth["per_class"][0]["parent_recall"] > 0.9
    assert growth["sentence"] in made.report["notes"]
    assert "parent" in {entry["fallback"] for entry in made.report["guard"]}
    assert "growth" not in run(task, "ridge").report


def test_that_the_parent_may_have_seen_what_is_held_out_is_said_where_it_is_the_prior(make_task):
    """Labels are noise, which the parent has learned by heart."""
    noise = make_task((30, 30), d=80, spread=50.0, names=None)
    old = METHODS["logistic"](c=1000.0).fit(noise)
    task = replace(noise, parent=Parent("old:1", old.weight, old.bias, 1.0, noise.classes))
    pulled, plain = run(task, {"method": "logistic", "prior": "parent", "c": 0.3}), run(task, "prototype")
    assert pulled.report["accuracy"] > 0.9 > plain.report["accuracy"]
    assert [any("may have learned from rows" in note for note in made.report["notes"]) for made in (pulled, plain)] == [
        True,
        False,
    ]


def test_classes_that_only_the_parent_knows_stay_and_are_said_to_be_unevaluated(make_task):
    task = make_task((12, 12, 12), spread=1.0, names=None)
    old = METHODS["ridge"](l2=1.0).fit(Task(task.z[:24], task.y[:24], task.classes[:2], task.groups[:24]))
    parent = Parent("old:1", old.weight, old.bias, 0.1, task.classes[:2])
    without = replace(task.rows(task.y != 1), parent=parent)
    assert without.absent.tolist() == [False, True, False]
    made = run(without, "auto")
    assert made.report["growth"]["absent"] == ["class 1"]
    assert made.report["per_class"][1]["evaluated"] == 0
    assert not any("single different example" in note for note in made.report["notes"])
    assert made.report["accuracy"] > 0.8
    with pytest.raises(DatasetTooSmall):
        run(replace(without, parent=None), "auto")
    with pytest.raises(DatasetTooSmall):
        run(without, "ridge")
