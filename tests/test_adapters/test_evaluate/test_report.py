import dataclasses
import json

import numpy as np
import pytest

from adapters.evaluate.metrics import wilson_interval


@pytest.fixture(params=["classes", "numbers", "classes of which none is held out", "numbers of which none is held out"])
def any_task(request, task, make_task, make_regression):
    kind, *alone = request.param.split(" of ")
    if alone:
        return make_task((1, 1)) if kind == "classes" else make_regression(3)
    return task if kind == "classes" else make_regression()


def test_it_is_plain_json(any_task, report_of):
    result = report_of(any_task)
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_classes_and_numbers_share_one_frame(any_task, report_of):
    result = report_of(any_task)
    frame = {"format", "task", "items", "evaluated", "different", "folds", "method", "notes", "candidates", "baselines"}
    assert frame <= set(result)
    assert result["task"] == any_task.kind == ("classification" if any_task.classes else "regression")
    for entry in result["candidates"]:
        assert {"method", "parameters", "stderr", "chosen"} <= set(entry)
    assert [entry["chosen"] for entry in result["candidates"]].count(True) == 1


def test_every_candidate_is_listed_and_one_is_chosen(task, report_of, candidates):
    result = report_of(task)
    assert [(entry["method"], entry["parameters"]) for entry in result["candidates"]] == [
        (method.method, method.parameters()) for method in candidates
    ]
    assert [entry["chosen"] for entry in result["candidates"]].count(True) == 1
    assert min(entry["stderr"] for entry in result["candidates"]) == 0


def test_repeated_rows_do_not_narrow_the_interval(make_task, report_of):
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


def test_few_held_out_items_are_said_so(make_task, report_of):
    assert any("Only 4 different items" in note for note in report_of(make_task((2, 2), spread=2.0))["notes"])
