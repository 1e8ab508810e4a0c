import json
import time
from dataclasses import replace

import numpy as np
import pytest

from adapters.calibrate import fit_temperature, nll_by_row
from adapters.ensembles.adapt import adapt_ensemble
from adapters.ensembles.answers import hold_out
from adapters.ensembles.learning import learn
from adapters.ensembles.report import judge
from adapters.methods.ensemble import Ensemble


def report_of(task, *members, **parameters):
    given = replace(task, members=members)
    return adapt_ensemble(given, Ensemble(**parameters), on_stage=lambda *_: None, clock=time.monotonic).report


@pytest.fixture
def task(make_task):
    return make_task(counts=(20, 20, 20), spread=2.5)


@pytest.fixture
def members(task, published, stranger):
    return (published(task, "logistic"), stranger(task.classes, weight=task.names, temperature=0.3, name="names:1"))


def test_every_member_is_told_with_its_share_and_what_it_does_alone(task, members):
    report = report_of(task, *members, weights=[1.0, 3.0])
    first, second = report["ensemble"]
    assert (first["member"], first["share"], first["saw"], first["dropped"]) == ("one:1", 0.25, True, False)
    assert (second["member"], second["share"], second["saw"], second["classes"]) == ("names:1", 0.75, False, 3)
    scores = task.z @ task.names.T / 0.3
    assert second["accuracy"] == pytest.approx((scores.argmax(axis=1) == task.y).mean())
    assert second["log_loss"] == pytest.approx(nll_by_row(scores.astype(np.float32), task.y, 1.0).mean(), rel=1e-4)


def test_who_is_fitted_again_is_told_at_the_temperature_of_other_folds(task, members):
    held = hold_out(replace(task, members=members), lambda _share: None)
    scores, loss = held.answers[0].scores, np.zeros(60)
    for fold in range(int(held.folds.max()) + 1):
        inside, others = held.folds == fold, held.without(fold)
        temperature = fit_temperature(scores[others], task.y[others])
        loss[inside] = nll_by_row(scores[inside], task.y[inside], temperature)
    assert report_of(task, *members)["ensemble"][0]["log_loss"] == pytest.approx(loss.mean(), rel=1e-4)


def test_the_gain_is_over_the_best_member_by_each_figure(task, members):
    report = report_of(task, *members)
    for figure, sign in (("accuracy", 1), ("log_loss", -1)):
        best = max(report["ensemble"], key=lambda entry: sign * entry[figure])
        gain = report["gain"][figure]
        assert gain["best"] == best["member"]
        assert gain["difference"] == pytest.approx(sign * (report[figure] - best[figure]), abs=1e-6)
        assert gain["interval"][0] <= gain["difference"] <= gain["interval"][1]


def test_what_is_not_surely_better_is_said(task, members):
    report = report_of(task, members[0], replace(members[0], name="twin:1"))
    assert any("not surely better than one:1 alone" in note for note in report["notes"])


def test_disagreement_is_the_share_of_rows_answered_differently(task, members):
    held = hold_out(replace(task, members=members), lambda _share: None)
    judged = judge(held, learn(Ensemble(), held))
    said = judged.answers.argmax(axis=2)
    report = report_of(task, *members)
    assert report["disagreement"] == [
        {"members": ["one:1", "names:1"], "share": pytest.approx((said[0] != said[1]).mean())}
    ]
    assert report_of(task, members[0], replace(members[0], name="twin:1"))["disagreement"][0]["share"] == 0


def test_members_are_weighed_as_fallbacks(task, members):
    assert [entry["fallback"] for entry in report_of(task, *members)["guard"]] == ["one:1", "names:1"]


def test_it_has_what_other_reports_have(task, members):
    report = report_of(task, *members)
    for name in ("accuracy", "accuracy_interval", "log_loss", "ece", "per_class", "classes", "candidates", "seconds"):
        assert report[name] is not None
    assert report["evaluated"] == 60
    assert [candidate["chosen"] for candidate in report["candidates"]].count(True) == 1
    json.dumps(report, allow_nan=False)


def test_who_was_asked_as_it_is_and_labels_that_were_lost_are_named(task, members, stranger):
    other = stranger((*task.classes, "something else"), name="wide:1")
    notes = " ".join(report_of(task, members[0], other)["notes"])
    assert "wide:1 was not fitted to this dataset" in notes
    assert "1 label(s) of wide:1 are no classes here and were left out: 'something else'" in notes


def test_who_was_dropped_is_said(task, published, stranger):
    opposed = stranger(task.classes, weight=-task.names, temperature=0.1, name="bad:1")
    more = replace(task, z=np.tile(task.z, (2, 1)), y=np.tile(task.y, 2), groups=np.arange(120))
    report = report_of(more, published(more, "logistic"), published(more, "prototype", "two:1"), opposed)
    assert report["ensemble"][2]["dropped"]
    assert report["ensemble"][2]["share"] == 0
    assert any(note.startswith("bad:1 was left out") for note in report["notes"])


def test_without_rows_nothing_is_measured_and_it_is_said(task, members, without_rows):
    report = report_of(without_rows(task), *members, weights=[1.0, 1.0])
    assert report["accuracy"] is None
    assert report["gain"] is None
    assert report["evaluated"] == 0
    assert report["notes"] == ["There are no rows, so nothing was measured."]
    assert report_of(without_rows(task), *members)["notes"][0].endswith("All versions weigh the same.")
    json.dumps(report, allow_nan=False)


def test_numbers_are_told_by_their_error(make_regression, published, without_rows):
    task = make_regression()
    members = (published(task, "ridge"), published(task, {"method": "ridge", "l2": 100.0}, "two:1"))
    report = report_of(task, *members)
    assert report["gain"]["mse"]["best"] in {"one:1", "two:1"}
    assert report["rmse"] ** 2 == pytest.approx(
        min(e["mse"] for e in report["ensemble"]) - report["gain"]["mse"]["difference"], rel=1e-3
    )
    assert report["disagreement"] == []
    assert report_of(without_rows(task), *members, weights=[1.0, 1.0])["r2"] is None


def test_marks_are_told_by_their_log_loss(make_marks, published):
    task = make_marks()
    report = report_of(task, published(task, "logistic"), published(task, "prototype", "two:1"))
    assert report["micro_f1"] > 0.8
    assert set(report["gain"]) == {"log_loss"}
    assert 0 <= report["disagreement"][0]["share"] <= 1
