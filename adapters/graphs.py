"""Small ONNX graphs, written by hand so that the same head gives the same bytes."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from adapters.base import F32

if TYPE_CHECKING:
    from onnx import GraphProto, ValueInfoProto

_OPSET = 17
_IR_VERSION = 8


def affine_graph(weight: F32, bias: F32, classes: Sequence[str], temperature: float) -> bytes:
    """Scores = embedding · weightᵀ + bias; probabilities = softmax(scores / temperature).

    Args:
        weight: (k, d) float32.
        bias: (k,) float32.
        classes: k names, kept as JSON in the file's metadata under ``classes``.
        temperature: Positive.

    Returns:
        An ONNX file: input ``embedding`` (n, d); outputs ``scores`` (n, k) and ``probabilities`` (n, k), all
        float32, n free.
    """
    from onnx import helper, numpy_helper

    nodes = [
        helper.make_node("Gemm", ["embedding", "weight", "bias"], ["scores"], transB=1),
        helper.make_node("Div", ["scores", "temperature"], ["scaled"]),
        helper.make_node("Softmax", ["scaled"], ["probabilities"], axis=-1),
    ]
    constants = {"weight": weight, "bias": bias, "temperature": np.float32(temperature)}
    k, d = weight.shape
    graph = helper.make_graph(
        nodes,
        "affine_head",
        [_matrix("embedding", d)],
        [_matrix("scores", k), _matrix("probabilities", k)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return _serialise(graph, classes)


def _matrix(name: str, width: int) -> "ValueInfoProto":
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width])


def _serialise(graph: "GraphProto", classes: Sequence[str]) -> bytes:
    from onnx import checker, helper

    model = helper.make_model(graph, producer_name="graft", opset_imports=[helper.make_opsetid("", _OPSET)])
    model.ir_version = _IR_VERSION
    helper.set_model_props(model, {"classes": json.dumps(list(classes), ensure_ascii=False)})
    checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data
