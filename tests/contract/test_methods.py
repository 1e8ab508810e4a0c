"""What every method must do. Parametrised over the registry: a new file in adapters/methods is tested by itself."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from adapters.base import Task
from adapters.errors import Cancelled, DatasetTooSmall, RequirementMissing
from adapters.methods import METHODS, parse_method


def make_task(counts=(8, 8, 8, 8), d=12, spread=0.35, seed=0, check=lambda: None):
    """Classes around random unit directions, whose names embed close to them."""
    rng = np.random.default_rng(seed)
    k = len(counts)
    centres = rng.standard_normal((k, d))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    y = np.repeat(np.arange(k), counts)
    z = centres[y] + spread * rng.standard_normal((len(y), d)) / np.sqrt(d)
    names = centres + 0.5 * rng.standard_normal((k, d)) / np.sqrt(d)
    classes = tuple(f"class {c}" for c in "zyxwvutsr"[:k])
    return Task(z.astype(np.float32), y, classes, np.arange(len(y)), names.astype(np.float32), seed=3, check=check)


def settings():
    """Every method with its defaults, and with class names where it can use them."""
    for name, method in METHODS.items():
        yield pytest.param(method(), id=name)
        if "prior" in method.model_fields:
            yield pytest.param(method(prior="names"), id=f"{name}-names")


@pytest.fixture(params=settings())
def method(request):
    return request.param


@pytest.fixture(params=sorted(METHODS))
def kind(request):
    return METHODS[request.param]


def run(onnx, z):
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    return session.run(["scores", "probabilities"], {"embedding": z})


def test_onnx_computes_what_the_reference_computes(method):
    task = make_task()
    head = method.fit(task)
    scores, probabilities = run(head.onnx(0.7), task.z)
    expected = head.scores(task.z)
    softmax = np.exp(expected / 0.7 - (expected / 0.7).max(axis=1, keepdims=True))
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    np.testing.assert_allclose(probabilities, softmax / softmax.sum(axis=1, keepdims=True), atol=1e-4)


def test_it_learns(method):
    assert (method.fit(make_task()).scores(make_task().z).argmax(axis=1) == make_task().y).mean() > 0.9


def test_the_same_seed_gives_the_same_bytes(method):
    assert method.fit(make_task()).onnx(1.0) == method.fit(make_task()).onnx(1.0)


def test_class_order_is_kept(method):
    task = make_task()
    order = np.array([2, 0, 3, 1])
    classes = tuple(task.classes[i] for i in order)
    shuffled = replace(task, y=np.argsort(order)[task.y], classes=classes, names=task.names[order])
    expected, seen = method.fit(task).scores(task.z), method.fit(shuffled).scores(task.z)
    assert [classes[i] for i in seen.argmax(axis=1)] == [task.classes[i] for i in expected.argmax(axis=1)]
    assert method.fit(shuffled).scores(task.z).shape == (len(task.y), 4)


def test_a_batch_of_one_equals_a_batch_of_many(method):
    task = make_task()
    head = method.fit(task)
    singly = np.concatenate([head.scores(row[None]) for row in task.z])
    np.testing.assert_allclose(singly, head.scores(task.z), atol=1e-5)


def test_the_declared_smallest_dataset_works(method):
    task = make_task(counts=(method.smallest.rows_per_class,) * method.smallest.classes)
    assert np.isfinite(method.fit(task).scores(task.z)).all()


def test_one_class_fewer_is_refused(method):
    task = make_task(counts=(5,) * (method.smallest.classes - 1))
    with pytest.raises(DatasetTooSmall, match=str(method.smallest.classes)):
        method.fit(task)


def test_one_row_fewer_is_refused(method):
    fewer = method.smallest.rows_per_class - 1
    task = make_task(counts=(5,) * (method.smallest.classes - 1) + (fewer,))
    with pytest.raises(DatasetTooSmall):
        method.fit(task)


@pytest.mark.parametrize("value", [0.0, 1.0, -3.5])
def test_constant_features_stay_finite(method, value):
    task = make_task()
    flat = replace(task, z=np.full_like(task.z, value))
    assert np.isfinite(method.fit(flat).scores(flat.z)).all()


def test_one_constant_feature_beside_others_stays_finite(method):
    task = make_task()
    z = task.z.copy()
    z[:, 3] = 2.0
    assert np.isfinite(method.fit(replace(task, z=z)).scores(z)).all()


def test_cancel_is_respected(method):
    def stop():
        raise Cancelled("Somebody asked for it.")

    with pytest.raises(Cancelled):
        method.fit(make_task(check=stop))


def test_parameters_survive_json(method):
    assert parse_method(json.loads(method.model_dump_json())) == method


def test_resolved_parameters_survive_json(method):
    for variant in method.variants(make_task()):
        assert parse_method(json.loads(variant.model_dump_json())) == variant


def test_names_are_asked_for_when_they_are_needed(method):
    task = replace(make_task(), names=None)
    if "prior" in type(method).model_fields and method.prior == "names":
        with pytest.raises(RequirementMissing, match="names"):
            method.fit(task)
    else:
        assert np.isfinite(method.fit(task).scores(task.z)).all()


def test_a_class_with_a_single_example_is_predicted_and_harms_no_other(method):
    full = make_task(counts=(12, 12, 12, 12))
    kept = np.r_[0:12, 12:24, 24:36, 36:37]
    task = full.rows(kept)
    predicted = method.fit(task).scores(full.z).argmax(axis=1)
    right = predicted == full.y
    assert right[full.y == 3].mean() > 0.7
    assert right[full.y != 3].mean() >= 0.9


def test_the_paper_is_cited_and_shapes_are_given(kind):
    assert any(year in kind.source for year in map(str, range(1900, 2100)))
    assert kind.source.split(",")[0] in kind.__doc__
    for word in ("Shapes: z (n, d) float32", "(n, k)", "Cost:", "Raises:", "Source:"):
        assert word in kind.__doc__, word


def test_every_parameter_is_described(kind):
    for name, field in kind.model_fields.items():
        assert name == "method" or field.description, name


def test_the_file_is_named_as_the_method(kind):
    import inspect

    assert kind.model_fields["method"].default == Path(inspect.getfile(kind)).stem
    assert METHODS[kind.model_fields["method"].default] is kind


def test_simplicity_is_declared_once():
    order = [kind.complexity for kind in METHODS.values()]
    assert len(set(order)) == len(order)
