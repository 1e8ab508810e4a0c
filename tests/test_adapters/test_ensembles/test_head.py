import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from adapters.ensembles.head import EnsembleHead, head_of
from adapters.ensembles.members import Member
from adapters.heads import AffineHead
from adapters.verify import verify
from models.errors import ExportMismatch


def run(file, z):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"embedding": z}), strict=True))


def opset_of(file):
    return {entry.domain: entry.version for entry in onnx.load_from_string(file).opset_import}


@pytest.fixture
def z():
    return np.random.default_rng(0).standard_normal((9, 12)).astype(np.float32)


CLASSES = ("a", "b", "c")


@pytest.fixture
def cases(stranger):
    """Heads of each kind of member, by name."""
    one, two = stranger(CLASSES, d=12), stranger(CLASSES, d=12, seed=1)
    half = {"d": 6}
    renamed = stranger(("x", "b", "y", "z"), seed=2, labels={"x": "a", "y": "b", "z": None})
    columns = (stranger(CLASSES, **half), stranger(CLASSES, seed=3, first=6, **half))
    marks = (stranger(CLASSES, multilabel=True), stranger(CLASSES[1:], seed=4, multilabel=True))
    numbers = (stranger(()), stranger((), seed=5))
    return {
        "same": (one, two),
        "renamed": (one, renamed),
        "columns": columns,
        "marks": marks,
        "numbers": numbers,
    }


@pytest.mark.parametrize("case", ["same", "renamed", "columns", "marks", "numbers"])
@pytest.mark.parametrize("of", ["probabilities", "log_probabilities"])
def test_the_file_computes_what_the_members_files_give(cases, z, case, of):
    members = cases[case]
    classes = CLASSES if members[0].classes else ()
    head = EnsembleHead(members, (0.25, 0.75), of, classes, 12, multilabel=case == "marks")
    outputs, scores = run(head.onnx(0.8), z), head.scores(z)
    if not classes:
        np.testing.assert_allclose(outputs["value"], scores, atol=1e-5)
        return
    np.testing.assert_allclose(outputs["scores"], scores, atol=1e-4)
    p = np.exp(scores / 0.8)
    expected = p / (1 + p) if case == "marks" else p / p.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-5)


def test_at_a_temperature_of_one_the_probabilities_are_the_average(cases, z):
    members = cases["same"]
    head = EnsembleHead(members, (0.25, 0.75), "probabilities", CLASSES, 12)
    first, second = (run(member.onnx, z)["probabilities"] for member in members)
    np.testing.assert_allclose(run(head.onnx(1.0), z)["probabilities"], 0.25 * first + 0.75 * second, atol=1e-6)


def test_the_same_members_give_the_same_bytes(cases):
    first, second = (EnsembleHead(cases["renamed"], (0.5, 0.5), "probabilities", CLASSES, 12) for _ in range(2))
    assert first.onnx(0.7) == second.onnx(0.7)
    assert first.onnx(0.7) != first.onnx(0.8)


def test_the_file_says_its_classes(cases):
    file = EnsembleHead(cases["same"], (0.5, 0.5), "probabilities", CLASSES, 12).onnx(1.0)
    metadata = {entry.key: entry.value for entry in onnx.load_from_string(file).metadata_props}
    assert json.loads(metadata["classes"]) == list(CLASSES)


@pytest.mark.parametrize("of", ["probabilities", "log_probabilities"])
def test_an_average_is_averaged_in_turn(cases, z, of):
    inner = EnsembleHead(cases["same"], (0.5, 0.5), of, CLASSES, 12)
    nested = Member("inner:1", inner.onnx(0.9), CLASSES, {"method": "ensemble"}, 0, 12)
    outer = EnsembleHead((nested, cases["same"][0]), (0.6, 0.4), of, CLASSES, 12)
    outputs = run(outer.onnx(1.0), z)
    np.testing.assert_allclose(outputs["scores"], outer.scores(z), atol=1e-4)


def test_members_of_other_operation_sets_are_brought_together(cases, z):
    """An older file and a newer one."""
    one, two = cases["same"]
    older = onnx.load_from_string(one.onnx)
    newer = onnx.load_from_string(two.onnx)
    older.opset_import[0].version, older.ir_version = 13, 7
    newer.opset_import[0].version, newer.ir_version = 18, 9
    members = (
        replace(one, onnx=older.SerializeToString()),
        replace(two, onnx=newer.SerializeToString()),
    )
    file = EnsembleHead(members, (0.5, 0.5), "probabilities", CLASSES, 12).onnx(1.0)
    assert opset_of(file)[""] == 18
    expected = EnsembleHead((one, two), (0.5, 0.5), "probabilities", CLASSES, 12).scores(z)
    np.testing.assert_allclose(run(file, z)["scores"], expected, atol=1e-4)


def test_who_weighs_nothing_is_not_compiled_in(make_task, cases):
    task = replace(make_task(), members=(*cases["same"], cases["same"][0]), classes=CLASSES)
    head = head_of(task, np.array([0.5, 0.0, 0.5]), "probabilities")
    assert [member.name for member in head.members] == ["other:1", "other:1"]
    assert head.shares == (0.5, 0.5)


def flat(weight, members):
    """The average of two members with the same weights."""
    onnx = AffineHead(np.asarray(weight, np.float32), np.zeros(3, np.float32), CLASSES).onnx(1.0)
    changed = tuple(replace(member, onnx=onnx) for member in members)
    return EnsembleHead(changed, (0.5, 0.5), "probabilities", CLASSES, 12)


@pytest.mark.parametrize("rows", [30, 0])
def test_what_is_wrong_on_random_embeddings_alone_is_caught(make_task, cases, rows):
    """On the task's own rows, all zero or none at all, both heads say the same."""
    task = make_task()
    task = replace(task, classes=CLASSES, z=0 * task.z[:rows], y=task.y[:rows], groups=task.groups[:rows])
    task = replace(task, z=task.z + np.float32(1)) if rows else task
    right, wrong = flat(np.zeros((3, 12)), cases["same"]), flat(np.eye(3, 12) - np.eye(3, 12, 3), cases["same"])
    assert verify(right, 1.0, onnx=right.onnx(1.0), task=task) < 1e-4
    np.testing.assert_allclose(right.scores(task.z), wrong.scores(task.z))
    if rows:
        task = replace(task, z=np.concatenate([task.z[:-1], 0.9 * task.z[-1:]]))
    with pytest.raises(ExportMismatch, match="random"):
        verify(right, 1.0, onnx=wrong.onnx(1.0), task=task)
