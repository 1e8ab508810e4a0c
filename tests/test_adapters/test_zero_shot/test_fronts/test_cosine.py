from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

from adapters.signatures import Signatures
from adapters.zero_shot.fronts import CosineFront
from adapters.zero_shot.head import SignatureHead

CLASSES = ("cat", "dog", "cow")
VALUES = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)
SIGNATURES = Signatures(CLASSES, ("0", "1", "2", "3"), VALUES, "digest")


@pytest.fixture
def make_head():
    """A function that makes the head of one front."""

    def make(unit=False, signatures=SIGNATURES, times=1):
        fronts = (CosineFront(4, unit),) * times
        return SignatureHead(fronts, (1.0 / times,) * times, signatures, np.zeros(len(signatures.classes), np.bool_))

    return make


def cosines(z):
    return z @ VALUES.T / np.linalg.norm(z, axis=1)[:, None] / np.linalg.norm(VALUES, axis=1)


def test_scores_are_cosines_whatever_the_length(make_head):
    z = (np.random.default_rng(0).standard_normal((6, 4)) * [[1], [100], [1e-3], [1], [5], [1]]).astype(np.float32)
    np.testing.assert_allclose(make_head().scores(z), cosines(z), atol=1e-6)
    assert make_head().affine is None


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("unit", [True, False])
def test_its_graph_says_the_same(make_head, unit, times):
    head, z = make_head(unit, times=times), np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    session = onnxruntime.InferenceSession(head.onnx(0.06), providers=["CPUExecutionProvider"])
    scores, _ = session.run(["scores", "probabilities"], {"embedding": z})
    np.testing.assert_allclose(scores, head.scores(z), atol=1e-5)


def test_items_of_length_one_make_it_affine(make_head):
    head, z = make_head(unit=True), np.random.default_rng(0).standard_normal((6, 4))
    z = (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32)
    np.testing.assert_allclose(head.affine.scores(z), cosines(z), atol=1e-6)
    np.testing.assert_array_equal(head.affine.weight, head.table[0])


def test_an_item_and_a_class_without_length_stay_finite(make_head):
    empty = replace(SIGNATURES, values=np.array([[np.nan] * 4, [0] * 4, [1] * 4], np.float32))
    head = make_head(signatures=empty)
    session = onnxruntime.InferenceSession(head.onnx(0.06), providers=["CPUExecutionProvider"])
    z = np.array([[0, 0, 0, 0], [1, 2, 3, 4]], np.float32)
    scores, probabilities = session.run(["scores", "probabilities"], {"embedding": z})
    np.testing.assert_allclose(scores, head.scores(z), atol=1e-6)
    assert np.isfinite(probabilities).all()
    np.testing.assert_array_equal(scores[:, :2], 0)


@pytest.mark.parametrize("unit", [True, False])
def test_it_comes_back_from_its_arrays(unit):
    front = CosineFront(4, unit)
    again = CosineFront.of_arrays(*front.arrays())
    assert (again.width, again.unit, again.affine) == (4, unit, unit)
