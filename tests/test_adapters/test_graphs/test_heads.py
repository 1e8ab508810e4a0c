import json

import numpy as np
import onnx
import onnxruntime

from adapters.graphs import affine_graph, trunk_graph

WEIGHT = np.array([[1, 0, 2], [0, -1, 0]], np.float32)
BIAS = np.array([0.5, 0], np.float32)
CLASSES = ("a", "größe")


def shapes(values):
    return {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}


def test_the_graph_has_the_promised_face():
    model = onnx.load_from_string(affine_graph(WEIGHT, BIAS, CLASSES, 0.5))
    assert shapes(model.graph.input) == {"embedding": ["n", 3]}
    assert shapes(model.graph.output) == {"scores": ["n", 2], "probabilities": ["n", 2]}
    assert json.loads({entry.key: entry.value for entry in model.metadata_props}["classes"]) == list(CLASSES)


def test_it_takes_any_number_of_rows_and_computes_the_formula():
    session = onnxruntime.InferenceSession(affine_graph(WEIGHT, BIAS, CLASSES, 0.5))
    for n in (1, 4):
        z = np.random.default_rng(0).standard_normal((n, 3)).astype(np.float32)
        scores, probabilities = session.run(None, {"embedding": z})
        np.testing.assert_allclose(scores, z @ WEIGHT.T + BIAS, atol=1e-6)
        odds = np.exp((scores[:, 0] - scores[:, 1]) / 0.5)
        np.testing.assert_allclose(probabilities[:, 0], odds / (1 + odds), atol=1e-6)


def test_the_same_numbers_give_the_same_bytes():
    first = affine_graph(WEIGHT, BIAS, CLASSES, 0.5)
    assert first == affine_graph(WEIGHT, BIAS, CLASSES, 0.5)
    assert len({first, affine_graph(WEIGHT, BIAS, CLASSES, 0.6), affine_graph(WEIGHT, BIAS, ("a", "b"), 0.5)}) == 3


def test_a_regression_answers_with_a_value():
    data = affine_graph(WEIGHT[:1], BIAS[:1], (), 0.5)
    assert shapes(onnx.load_from_string(data).graph.output) == {"value": ["n", 1]}
    z = np.array([[1, 2, 3]], np.float32)
    (value,) = onnxruntime.InferenceSession(data).run(None, {"embedding": z})
    np.testing.assert_allclose(value, z @ WEIGHT[:1].T + BIAS[:1])


def test_a_trunk_has_the_promised_face_and_no_answers():
    data = trunk_graph(WEIGHT, BIAS, "relu")
    model = onnx.load_from_string(data)
    assert shapes(model.graph.input) == {"embedding": ["n", 3]}
    assert shapes(model.graph.output) == {"item_embedding": ["n", 2]}
    assert data == trunk_graph(WEIGHT, BIAS, "relu") != trunk_graph(WEIGHT, BIAS, "gelu")
    z = np.array([[1, 2, 3], [-5, 1, 0]], np.float32)
    (units,) = onnxruntime.InferenceSession(data).run(None, {"embedding": z})
    np.testing.assert_allclose(units, [[7.5, 0], [0, 0]])
