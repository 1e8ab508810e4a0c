from dataclasses import replace

import numpy as np
import pytest

from adapters.base import Task
from adapters.errors import Cancelled, RequirementMissing
from adapters.evaluate.metrics import average_precision
from adapters.folds import deal_folds
from adapters.methods import parse_method
from adapters.signatures import Signatures
from adapters.zero_shot.attributes import try_marks


@pytest.fixture
def task():
    """Rows labelled with attributes that embeddings show, and with one label that is no attribute."""
    rng = np.random.default_rng(0)
    marks = rng.random((120, 5)) < 0.4
    z = marks[:, :4] @ rng.standard_normal((4, 10)) + 0.8 * rng.standard_normal((120, 10))
    attributes = ("furry", "striped", "large", "wet")
    table = Signatures(("tiger", "whale"), attributes, np.array([[1, 1, 0, 0], [0, 0, 1, 1]], np.float32))
    return Task(z.astype(np.float32), marks, (*attributes, "blurred"), np.arange(120), seed=1, signatures=table)


def dap(*cs):
    return [parse_method({"method": "dap", "c": c}) for c in cs]


def quiet(_share):
    pass


def test_rows_are_judged_by_who_did_not_learn_from_them(task):
    found = try_marks(dap(3.0), task, quiet)
    folds, p = deal_folds(task), np.zeros((120, 4))
    for fold in range(folds.max() + 1):
        training, held_out = task.split(folds == fold)
        p[folds == fold] = parse_method({"method": "dap", "c": 3.0}).fit(training).predicted(held_out.z)
    expected = [average_precision(p[:, at], task.marks[:, at]) for at in range(4)]
    np.testing.assert_allclose(found.precisions[0][:4], expected, rtol=1e-6)
    assert found.evaluated == 120


def test_the_lowest_loss_wins(task):
    found = try_marks(dap(1e-6, 3.0), task, quiet)
    assert found.best == 1
    assert found.losses[1] < found.losses[0] - 0.05
    candidates = found.report(task)["candidates"]
    assert [(entry["chosen"], entry["nll"]) for entry in candidates] == [
        (False, found.losses[0]),
        (True, found.losses[1]),
    ]
    assert found.report(task)["attribute_average_precision"][0]["average_precision"] == found.precisions[1][0]


def test_a_label_that_is_no_attribute_is_left_at_even_odds(task):
    found = try_marks(dap(3.0), task, quiet)
    # All rows alike: their precision is the share of the label.
    assert found.precisions[0][4] == pytest.approx(task.marks[:, 4].mean(), abs=0.02)


def test_the_report_has_all_labels_and_their_mean(task):
    found = try_marks(dap(3.0), task, quiet)
    report = found.report(task)
    assert [entry["attribute"] for entry in report["attribute_average_precision"]] == list(task.classes)
    assert [entry["share"] for entry in report["attribute_average_precision"]] == task.marks.mean(axis=0).tolist()
    assert report["macro_average_precision"] == pytest.approx(found.precisions[0].mean())


def test_what_no_row_has_is_not_measured(task):
    marks = task.marks.copy()
    marks[:, 1] = False
    found = try_marks(dap(3.0), replace(task, y=marks), quiet)
    entry = found.report(task)["attribute_average_precision"][1]
    assert (entry["attribute"], entry["average_precision"]) == ("striped", None)


def test_without_held_out_rows_nothing_is_measured(task):
    found = try_marks(dap(1.0, 3.0), task.rows(np.arange(3)), quiet)
    assert (found.best, found.evaluated) == (None, 0)
    nothing = {"attribute_average_precision": [], "macro_average_precision": None, "candidates": []}
    assert found.report(task) == nothing


def test_who_predicts_no_attributes_is_refused(task):
    with pytest.raises(RequirementMissing, match="use 'dap'"):
        try_marks([parse_method({"method": "logistic", "c": 1.0})], task, quiet)


def test_it_can_be_stopped_and_says_how_far_it_is(task):
    heard = []
    try_marks(dap(3.0), task, heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == 1

    def stop():
        raise Cancelled("Somebody asked for it.")

    with pytest.raises(Cancelled):
        try_marks(dap(3.0), replace(task, check=stop), quiet)
