import json
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

from adapters.adapt import adapt as adapt_any
from adapters.base import Parent, Task
from adapters.errors import Cancelled, DatasetTooSmall, RequirementMissing
from adapters.linalg import log_softmax
from adapters.methods import parse_method
from adapters.zero_shot.adapt import settle_unseen
from adapters.zero_shot.head import SignatureHead

ESZSL = {"method": "eszsl", "lam": 1.0}


def adapted(task, method, on_stage=lambda stage, share: None):
    clock = iter(range(10_000))
    return adapt_any(task, parse_method(method), on_stage=on_stage, clock=lambda: float(next(clock)))


def without_rows(task):
    return task.rows(np.zeros(0, dtype=np.int64))


def published(adaptation, z):
    session = onnxruntime.InferenceSession(adaptation.onnx, providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"embedding": z})[0]


def test_what_is_published_answers_all_classes_at_its_temperature(make_described):
    task = make_described()
    found = adapted(task, ESZSL)
    assert found.head.classes == task.classes
    scaled = found.head.scores(task.z) / np.float32(found.temperature)
    np.testing.assert_allclose(published(found, task.z), np.exp(log_softmax(scaled)), atol=1e-4)
    assert found.kind == "affine"
    assert SignatureHead.from_bytes(found.files["zero_shot.safetensors"]).stacking == found.head.stacking
    assert found.calibrated
    assert json.loads(json.dumps(found.report, allow_nan=False)) == found.report


def test_everything_that_was_open_is_chosen(make_described):
    found = adapted(make_described(), ESZSL)
    assert found.method.gamma is not None
    assert found.method.stacking == found.head.stacking == found.report["zero_shot"]["stacking"] != 0
    given = adapted(make_described(), ESZSL | {"stacking": 0.125})
    assert given.method.stacking == given.head.stacking == 0.125


def test_unseen_classes_are_found_beside_seen_ones(make_described):
    """With rows of three classes that the fit did not have."""
    every = make_described(seen=13, unseen=0, rows=12, spread=1.5)
    task, held_out = every.rows(every.y < 10), every.rows(every.y >= 10)
    found = adapted(task, ESZSL)
    assert found.head.stacking > 0

    def share(head):
        return (head.scores(held_out.z).argmax(axis=1) == held_out.y).mean()

    assert share(found.head) > share(replace(found.head, stacking=0.0))


@pytest.mark.parametrize("method", ["eszsl", "sae", "conse", "iap", "dap", "blend", "auto"])
def test_rows_of_unseen_classes_have_no_say(make_described, method):
    """In nothing that is learned, chosen or measured."""
    task = make_described()
    values = task.signatures.values.copy()
    values[task.absent] = np.random.default_rng(3).standard_normal(values[task.absent].shape) * 50
    other = replace(task, signatures=replace(task.signatures, values=values))
    ours, theirs = adapted(task, method), adapted(other, method)
    assert (ours.method, ours.temperature) == (theirs.method, theirs.temperature)
    seen = ~task.absent
    np.testing.assert_array_equal(ours.head.scores(task.z)[:, seen], theirs.head.scores(task.z)[:, seen])
    assert ours.report["zero_shot"] == theirs.report["zero_shot"]


def test_the_report_has_both_sides_and_what_each_class_was_taken_for(make_described):
    task = make_described()
    report = adapted(task, ESZSL).report
    zero_shot = report["zero_shot"]
    seen, unseen = zero_shot["seen_accuracy"], zero_shot["unseen_accuracy"]
    assert zero_shot["harmonic_mean"] == pytest.approx(2 * seen * unseen / (seen + unseen))
    assert zero_shot["harmonic_mean"] >= zero_shot["raw"]["harmonic_mean"] - 0.05
    assert zero_shot["unseen_among_themselves"] >= unseen
    assert (zero_shot["seen"], zero_shot["unseen"], zero_shot["splits"], zero_shot["classes_apart"]) == (10, 3, 5, 2)
    assert [row["seen"] for row in report["per_class"]] == [True] * 10 + [False] * 3
    assert [row["support"] for row in report["per_class"]] == [8] * 10 + [0] * 3
    assert all(row["recall"] is None for row in report["per_class"][10:])
    assert {entry["class"] for entry in report["attributes"]} == set(task.classes[:10])
    name, expected, _ = report["attributes"][0]["attributes"][0]
    row = task.classes.index(report["attributes"][0]["class"])
    assert expected == task.signatures.values[row, task.signatures.attributes.index(name)]
    assert report["accuracy_interval"][0] <= report["accuracy"] <= report["accuracy_interval"][1]
    assert sum(entry["chosen"] for entry in report["candidates"]) == 1
    assert len(report["candidates"]) == len(parse_method(ESZSL).variants(task))


def test_auto_compares_all_methods_and_their_blend(make_named, make_described):
    task = make_described()
    for given, expected in (
        (make_named(), ["names", "eszsl", "sae", "conse"]),
        (task, ["eszsl", "sae", "conse", "iap", "dap"]),
    ):
        found = adapted(given, "auto")
        assert list(dict.fromkeys(entry["method"] for entry in found.report["candidates"])) == expected
        assert all(entry["nll"] is not None for entry in found.report["candidates"])
    assert adapted(task, {"method": "auto", "candidates": [ESZSL]}).method.method == "eszsl"


def test_names_that_are_no_signatures_stand_alone(make_described):
    task = make_described()
    task = replace(task, names=np.random.default_rng(0).standard_normal((13, 12)).astype(np.float32))
    found = adapted(task, "auto")
    assert found.method.method != "names"
    assert "names" not in [member["method"] for member in getattr(found.method, "members", [])]


def test_the_blend_is_one_affine_head_of_its_members(make_named):
    found = adapted(make_named(), {"method": "blend"})
    assert found.kind == "affine"
    assert sum(found.method.shares) == pytest.approx(1, abs=1e-3)
    assert len(found.head.fronts) == len(found.method.members)
    again = adapted(make_named(), found.method.model_dump(mode="json"))
    assert again.onnx == found.onnx


def test_again_makes_the_same_bytes_even_where_the_time_ended_it(make_named):
    left = iter([100.0] * 60 + [0.0] * 10_000)
    hasty = adapted(replace(make_named(), left_s=lambda: next(left)), "auto")
    assert hasty.early
    assert hasty.report["left_out"]
    assert adapted(make_named(), hasty.again).onnx == hasty.onnx


def test_again_compares_what_was_compared_where_the_time_ended_it(make_described):
    left = iter([100.0] * 400 + [0.5] * 10_000)
    hasty = adapted(make_described(left_s=lambda: next(left)), "auto")
    assert hasty.early
    assert hasty.again["candidates"] == hasty.tried
    again = adapted(make_described(), hasty.again)
    assert (again.onnx, again.files) == (hasty.onnx, hasty.files)
    assert again.report["accuracy"] == hasty.report["accuracy"]


def test_what_was_given_is_kept_where_nothing_can_be_compared(make_described):
    for task in (make_described(left_s=lambda: 0.0), make_described(seen=2)):
        found = adapted(task, ESZSL | {"stacking": 0.25})
        assert found.head.stacking == 0.25
        assert adapted(make_described(seen=int((~task.absent).sum())), found.again).onnx == found.onnx
    members = [ESZSL, {"method": "sae"}]
    given = {"method": "blend", "members": members, "shares": [3.0, 1.0], "spreads": [2.0, 1.0]}
    assert adapted(make_described(seen=2), given).head.shares == (0.375, 0.25)


def test_candidates_that_agree_on_an_offset_keep_it(make_described):
    candidates = [ESZSL | {"stacking": 0.25}, {"method": "sae", "stacking": 0.25}]
    found = adapted(make_described(), {"method": "auto", "candidates": candidates})
    assert found.head.stacking == 0.25


def test_rows_that_taught_nothing_judge_even_where_there_are_very_many(make_named):
    task = make_named(seen=1, unseen=3, rows=12_500)
    report = adapted(task, "names").report
    assert (report["items"], report["compared"]) == (12_500, report["evaluated"])
    assert report["evaluated"] < 12_500


@pytest.mark.parametrize("method", ["eszsl", "sae", "auto"])
def test_classes_that_are_all_alike_are_refused(make_described, method):
    task = make_described()
    alike = replace(task.signatures, values=np.ones_like(task.signatures.values))
    with pytest.raises(RequirementMissing, match="alike in all 8"):
        adapted(replace(task, signatures=alike), method)


def test_an_attribute_that_says_nothing_is_named_in_the_report(make_described):
    task = make_described()
    values = task.signatures.values.copy()
    values[~task.absent, 3] = 1
    notes = adapted(replace(task, signatures=replace(task.signatures, values=values)), ESZSL).report["notes"]
    assert any("'attribute 3'" in note for note in notes)


@pytest.mark.parametrize("method", ["auto", "eszsl", "blend"])
def test_without_any_time_nothing_is_chosen(make_described, method):
    at_once = adapted(make_described(left_s=lambda: 0.0), method)
    assert not at_once.calibrated
    assert adapted(make_described(), at_once.again).onnx == at_once.onnx


def test_without_any_row_names_are_enough_and_nothing_is_measured(make_named):
    task = without_rows(make_named())
    for method in ("names", "auto"):
        found = adapted(task, method)
        assert found.method.method == "names"
        assert (found.calibrated, found.report["accuracy"], found.report["evaluated"]) == (False, None, 0)
        assert found.temperature == found.method.default_temperature
        assert "nothing was measured" in found.report["notes"][0]
        assert published(found, make_named().z).shape == (80, 13)


def test_a_parent_stands_for_rows(make_described):
    task = make_described()
    fitted = adapted(replace(task, signatures=None, classes=task.classes[:10]), "prototype")
    parent = Parent("old:1", *fitted.head.first, fitted.temperature, task.classes[:10])
    alone = adapted(replace(without_rows(task), parent=parent), "conse")
    assert (alone.calibrated, alone.report["zero_shot"]["seen"]) == (False, 10)
    judged = adapted(replace(task, parent=parent), "conse")
    assert judged.calibrated
    np.testing.assert_array_equal(judged.head.scores(task.z), alone.head.scores(task.z))
    right = judged.head.scores(task.z).argmax(axis=1) == task.y
    assert judged.report["accuracy"] == pytest.approx(right.mean())
    assert "may have learned from these very rows" in judged.report["notes"][-1]
    assert not any("these very rows" in note for note in alone.report["notes"])


def test_two_classes_with_rows_are_fitted_with_nothing_chosen(make_described):
    found = adapted(make_described(seen=2, unseen=3), "eszsl")
    assert not found.calibrated
    assert found.method.stacking == found.head.stacking == 0
    assert "nothing was measured" in found.report["notes"][0]
    with pytest.raises(DatasetTooSmall):
        adapted(make_described(seen=1, unseen=3), "eszsl")


def test_three_classes_with_rows_are_judged_and_called_rough(make_described):
    found = adapted(make_described(seen=3, unseen=3, rows=20), ESZSL)
    assert found.report["zero_shot"]["splits"] == 3
    assert any("rough" in note for note in found.report["notes"])


def test_single_rows_judge_unseen_classes_alone(make_described):
    found = adapted(make_described(rows=1), ESZSL)
    zero_shot = found.report["zero_shot"]
    assert zero_shot["seen_accuracy"] is None
    assert zero_shot["unseen_among_themselves"] is not None
    assert found.head.stacking == 0
    assert any("seen classes are not judged" in note for note in found.report["notes"])


def test_rows_labelled_with_attributes_are_enough_for_classes_nobody_has(make_described):
    task = make_described(rows=20)
    marks = task.signatures.values[task.y] > 0.5
    described = replace(task.signatures, attributes=task.signatures.attributes)
    marked = Task(task.z, marks, described.attributes, task.groups, seed=1, signatures=described)
    found = adapted(marked, "dap")
    assert found.head.classes == task.classes
    assert found.report["zero_shot"]["seen"] == 0
    precisions = found.report["attribute_average_precision"]
    assert [entry["attribute"] for entry in precisions] == list(described.attributes)
    assert [entry["parameters"] for entry in found.report["candidates"] if entry["chosen"]] == [
        found.method.parameters() | {"stacking": None}
    ]
    assert len(found.tried) == len(found.report["candidates"]) == 2
    assert found.report["macro_average_precision"] > np.mean([entry["share"] for entry in precisions])
    assert (found.head.scores(task.z).argmax(axis=1) == task.y).mean() > 0.3
    assert adapted(marked, "auto").method.method == "dap"
    assert "labelled with attributes" in found.report["notes"][0]


def test_it_can_be_stopped_and_says_where_it_is(make_described):
    heard = []

    def stop():
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        adapted(make_described(check=stop), ESZSL)
    adapted(make_described(), ESZSL, lambda stage, share: heard.append((stage, share)))
    stages = list(dict.fromkeys(stage for stage, _ in heard))
    assert stages == ["compare", "calibrate", "fit", "evaluate", "export", "verify"]
    shares = [share for stage, share in heard if stage == "compare"]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_rows_that_weigh_nothing_are_as_if_they_were_not_there(make_described):
    task = make_described()
    kept = np.arange(len(task.y)) % 8 != 0
    weighted = adapted(replace(task, weights=kept.astype(np.float64)), ESZSL)
    assert weighted.report["items"] == kept.sum()


def test_settling_chooses_what_adapting_publishes(make_named):
    task = make_named()
    assert settle_unseen(parse_method("blend"), task) == adapted(task, "blend").method


def test_without_signatures_it_is_said(make_described):
    with pytest.raises(RequirementMissing, match="signatures"):
        adapted(replace(make_described(unseen=0), signatures=None), "eszsl")
