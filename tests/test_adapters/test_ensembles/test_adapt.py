import time
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

from adapters.adapt import adapt
from adapters.adaptation import STAGES
from adapters.errors import Cancelled, RequirementMissing
from adapters.methods import parse_method
from models.errors import WrongInput


def average(task, *members, on_stage=lambda *_: None, **parameters):
    method = parse_method({"method": "ensemble", **parameters})
    return adapt(replace(task, members=members), method, on_stage=on_stage, clock=time.monotonic)


def probabilities(file, z):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"embedding": z})[0]


@pytest.fixture
def task(make_task):
    return make_task(counts=(15, 15, 15), spread=2.0)


@pytest.fixture
def members(task, published, stranger):
    return (published(task, "logistic"), stranger(task.classes, weight=task.names, temperature=0.3))


def test_it_is_published_as_a_graph_that_is_the_average(task, members):
    found = average(task, *members)
    assert (found.kind, found.tables, found.tap, found.parts) == ("graph", None, "", ())
    assert found.calibrated
    shares = np.array(found.method.weights)
    assert shares.sum() == pytest.approx(1)
    each = np.stack([probabilities(member.onnx, task.z) for member in members])
    pooled = shares @ np.log(each).transpose(1, 0, 2) if found.method.of == "log_probabilities" else None
    scores = np.log(np.einsum("m,mnk->nk", shares, each)) if pooled is None else pooled
    p = np.exp(scores / found.temperature)
    np.testing.assert_allclose(probabilities(found.onnx, task.z), p / p.sum(axis=1, keepdims=True), atol=1e-4)


def test_the_stages_are_heard(task, members):
    heard = []
    found = average(task, *members, on_stage=lambda stage, share: heard.append((stage, share)))
    stages = list(dict.fromkeys(stage for stage, _ in heard))
    assert stages == [stage for stage in STAGES if stage != "features"] == list(found.seconds)


@pytest.mark.parametrize("parameters", [{}, {"weights": [1.0, 2.0], "of": "log_probabilities"}, {"drop": False}])
def test_again_makes_the_same_bytes(task, members, parameters):
    found = average(task, *members, **parameters)
    assert average(task, *members, **found.again).onnx == found.onnx


def test_again_makes_the_same_bytes_where_the_time_ended_it(task, members):
    early = average(replace(task, left_s=lambda: 0.1), *members)
    assert early.early
    assert not early.calibrated
    assert early.method.weights == [0.5, 0.5]
    assert average(task, *members, **early.again).onnx == early.onnx


def test_what_was_settled_makes_the_same_bytes(task, members):
    found = average(task, *members)
    assert average(task, *members, **found.method.model_dump(mode="json")).onnx == found.onnx


def test_without_rows_given_weights_are_published(task, members, without_rows):
    found = average(without_rows(task), *members, weights=[1.0, 3.0], of="probabilities")
    assert (found.temperature, found.calibrated) == (1.0, False)
    each = [probabilities(member.onnx, task.z) for member in members]
    np.testing.assert_allclose(probabilities(found.onnx, task.z), 0.25 * each[0] + 0.75 * each[1], atol=1e-5)


def test_a_given_temperature_is_taken(task, members):
    found = average(task, *members, temperature=2.5)
    assert (found.temperature, found.calibrated) == (2.5, False)


def test_label_sets_that_overlap_are_joined(task, members, stranger):
    """One member knows two of the classes, another calls them otherwise."""
    two = stranger(task.classes[:2], weight=task.names[:2], name="two:1")
    other = stranger(
        ("null", "eins", "zwei"),
        weight=task.names,
        name="german:1",
        labels=dict(zip(("null", "eins", "zwei"), task.classes, strict=True)),
    )
    found = average(task, members[0], two, other)
    assert found.report["accuracy"] > 0.6
    p = probabilities(found.onnx, task.z)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    assert [entry["classes"] for entry in found.report["ensemble"]] == [3, 2, 3]


def test_two_backbones_are_better_than_either(make_task, published):
    """Each sees the classes through noise of its own."""
    one = make_task(counts=(40,) * 4, spread=2.5)
    noise = np.random.default_rng(5).standard_normal(one.z.shape).astype(np.float32)
    two = replace(one, z=(one.names[one.y] + 2.5 * noise / np.sqrt(12)).astype(np.float32))
    members = (published(one, "logistic"), published(two, "logistic", "two:1", first=12))
    both = replace(one, z=np.concatenate([one.z, two.z], axis=1), names=None)
    found = average(both, *members)
    assert found.report["gain"]["log_loss"]["interval"][0] > 0
    assert found.report["gain"]["accuracy"]["difference"] > 0.02
    assert min(found.method.weights) > 0.2


def test_marks_and_numbers_are_averaged(make_marks, make_regression, published):
    marks, numbers = make_marks(), make_regression()
    found = average(marks, published(marks, "logistic"), published(marks, "prototype", "two:1"))
    assert len(found.thresholds) == 3
    assert found.report["micro_f1"] > 0.8
    found = average(numbers, published(numbers, "ridge"), published(numbers, "kernel", "two:1"))
    assert (found.temperature, found.calibrated) == (1.0, False)
    assert found.report["r2"] > 0.7


def test_an_average_is_a_member_in_turn(task, members, stranger):
    first = average(task, *members)
    nested = replace(members[0], name="nested:1", onnx=first.onnx, method=first.method.model_dump(mode="json"))
    found = average(task, nested, stranger(task.classes, seed=9), weights=[2.0, 1.0])
    assert found.report["accuracy"] is None
    assert "nested:1 learned from these very rows" in found.report["notes"][0]
    assert average(task, replace(nested, saw=False), members[0]).report["accuracy"] > 0.6


def test_what_is_no_embedding_is_refused(task, members):
    spoiled = replace(task, z=np.full_like(task.z, np.nan))
    with pytest.raises(WrongInput, match="not finite"):
        average(spoiled, *members)


def test_a_task_without_members_is_refused(task):
    with pytest.raises(RequirementMissing, match="published versions"):
        average(task)


@pytest.mark.parametrize("of", ["probabilities", "log_probabilities"])
def test_a_class_without_rows_is_answered_by_who_knows_it(make_task, published, of):
    """As of versions that grew from a parent: fitted again to these rows, none of them knows the class."""
    full = make_task(counts=(15, 15, 15), spread=2.0)
    members = (published(full, "logistic"), published(full, "prototype", "two:1"))
    found = average(full.rows(full.y < 2), *members, of=of)
    assert found.report["accuracy"] > 0.6
    assert np.isfinite(found.report["log_loss"])
    assert min(found.method.weights) > 0
    third = full.z[full.y == 2]
    assert (probabilities(found.onnx, third).argmax(axis=1) == 2).mean() > 0.6
    assert average(full.rows(full.y < 2), *members, of=of, weights=[1.0, 3.0]).report["accuracy"] > 0.6


def test_cancel_is_respected(task, members):
    def stop():
        raise Cancelled("Somebody asked for it.")

    with pytest.raises(Cancelled):
        average(replace(task, check=stop), *members)
