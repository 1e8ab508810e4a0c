import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, numpy_helper, parser

from models.half import half
from models.session import session_options

HEAD = '<ir_version: 10, opset_import: ["": 20]>\n'


def graph_of(body: str, **weights: np.ndarray) -> onnx.ModelProto:
    model = parser.parse_model(f"{HEAD}g (float[n, 4] x) => (float[n, d] y) {{ {body} }}")
    for name, weight in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(weight.astype(np.float32), name))
    return model


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), session_options(1), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x.astype(np.float32)})[0]


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


X = np.random.default_rng(0).normal(0, 1, (5, 4))
W = np.random.default_rng(1).normal(0, 1, (4, 4))


def test_products_are_halved_with_one_cast_in_and_one_out():
    model = graph_of("a = MatMul(x, w) b = Relu(a) c = Add(b, x) y = MatMul(c, w)", w=W)
    halved = half(model)
    assert operators(halved) == ["Cast", "MatMul", "Relu", "Add", "MatMul", "Cast"]
    assert [weight.data_type for weight in halved.graph.initializer] == [TensorProto.FLOAT16]
    assert halved.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert halved.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    exact, seen = run(model, X), run(halved, X)
    assert seen.dtype == np.float32
    assert 0 < np.abs(exact - seen).max() < 0.02


def test_the_given_graph_is_left_as_it_is():
    model = graph_of("y = MatMul(x, w)", w=W)
    before = model.SerializeToString(deterministic=True)
    half(model)
    assert model.SerializeToString(deterministic=True) == before


def test_what_leads_to_a_logarithm_is_not_rounded():
    loud = X * 1e3
    model = graph_of("a = Mul(x, x) b = MatMul(a, w) c = Log(b) y = Identity(c)", w=np.abs(W))
    halved = half(model)
    assert operators(halved) == ["Mul", "MatMul", "Log", "Cast", "Identity", "Cast"]
    assert np.abs(run(model, loud) - run(halved, loud)).max() < 0.01


def test_between_float32_nodes_nothing_is_rounded():
    model = graph_of("a = Sin(x) b = Cos(a) c = Exp(b) y = Sqrt(c)")
    assert operators(half(model)) == operators(model)
    assert np.array_equal(run(half(model), X), run(model, X))


@pytest.mark.parametrize("constant", [1e-12, 1e6])
def test_a_constant_that_does_not_fit_keeps_its_node(constant):
    model = graph_of("a = Add(x, e) b = Div(x, a) y = Relu(b)", e=np.array(constant))
    halved = half(model)
    assert operators(halved) == ["Add", "Cast", "Cast", "Div", "Relu", "Cast"]
    assert np.isfinite(run(halved, X)).all()


def test_what_hides_padding_hides_it_still():
    model = graph_of("a = Add(x, m) y = Softmax(a)", m=np.array([0, 0, np.finfo(np.float32).min, 0]))
    halved = half(model)
    assert "Softmax" in operators(halved)
    assert halved.graph.initializer[0].data_type == TensorProto.FLOAT16
    seen = run(halved, X)
    assert np.abs(seen - run(model, X)).max() < 1e-3
    assert not seen[:, 2].any()


def test_constants_inside_nodes_are_halved_as_well():
    model = graph_of("s = Constant <value = float[1] {3.0}> () a = Mul(x, s) y = Relu(a)")
    halved = half(model)
    assert operators(halved) == ["Constant", "Cast", "Mul", "Relu", "Cast"]
    assert np.allclose(run(halved, X), run(model, X), atol=0.02)


def test_a_value_that_an_inner_graph_takes_stays_float32():
    body = """
        z = Constant <value = bool {1}> ()
        a = Relu(x)
        y = If (z) <then_branch = t () => (float[n, d] p) { p = Add(a, a) },
                    else_branch = e () => (float[n, d] q) { q = Identity(a) }>
    """
    model = graph_of(body)
    halved = half(model)
    assert "Relu" in operators(halved)
    assert np.allclose(run(halved, X), run(model, X), atol=0.01)


def test_integers_are_no_ones_to_halve():
    source = f"{HEAD}g (int64[n] x) => (float[n, 2] y) {{ r = Gather(w, x) y = Relu(r) }}"
    model = parser.parse_model(source)
    model.graph.initializer.append(numpy_helper.from_array(W[:, :2].astype(np.float32), "w"))
    halved = half(model)
    assert operators(halved) == ["Gather", "Relu", "Cast"]
    session = ort.InferenceSession(halved.SerializeToString(), session_options(1), providers=["CPUExecutionProvider"])
    assert np.allclose(session.run(None, {"x": np.array([3, 0])})[0], np.maximum(W[[3, 0], :2], 0), atol=0.01)
