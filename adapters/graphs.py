"""Small ONNX graphs, written by hand so that the same head gives the same bytes."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from adapters.base import F32
from adapters.encoding import LAST_DAY, LIMIT, Encoding
from adapters.schema import Schema

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto, ValueInfoProto

_OPSET = 17
_ML_OPSET = 3
_IR_VERSION = 8
_ML = "ai.onnx.ml"


class Graph:
    """A graph while it is written: each call adds an operation and names its result."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._inputs: list[ValueInfoProto] = []
        self._outputs: list[ValueInfoProto] = []

    def __call__(self, op: str, *inputs: str, name: str | None = None, **attributes: object) -> str:
        """Add an ONNX operation with one output; returns what the output is called."""
        from onnx import helper

        output = name or f"{op.lower()}_{len(self._nodes)}"
        node = helper.make_node(op, list(inputs), [output], domain=_ML if op == "LabelEncoder" else "")
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self._nodes.append(node)
        return output

    def constant(self, name: str, value: npt.ArrayLike) -> str:
        """Add a constant, of the type that numpy gives it; returns its name."""
        from onnx import numpy_helper

        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def input(self, name: str, dtype: npt.DTypeLike, width: int) -> str:
        """Add an input (n, width); returns its name."""
        self._inputs.append(_matrix(name, dtype, width))
        return name

    def output(self, name: str, width: int) -> None:
        """Make a result an output (n, width) float32."""
        self._outputs.append(_matrix(name, np.float32, width))

    def answer(
        self, scores: str, k: int, temperature: float, *, regression: bool = False, multilabel: bool = False
    ) -> None:
        """End in ``scores`` and ``probabilities``, both (n, k), or for a regression in ``value``.

        Probabilities are softmax(scores / temperature), or its sigmoid where a row may have any number of classes.
        """
        if regression:
            self("Identity", scores, name="value")
            self.output("value", k)
            return
        self("Identity", scores, name="scores")
        scaled = self("Div", scores, self.constant("temperature", np.float32(temperature)))
        if multilabel:
            self("Sigmoid", scaled, name="probabilities")
        else:
            self("Softmax", scaled, name="probabilities", axis=-1)
        self.output("scores", k)
        self.output("probabilities", k)

    def to_bytes(self, metadata: Mapping[str, object]) -> bytes:
        """The checked ONNX file, with metadata as JSON."""
        from onnx import checker, helper

        graph = helper.make_graph(self._nodes, self.name, self._inputs, self._outputs, self._constants)
        opsets = [helper.make_opsetid("", _OPSET)]
        if any(node.domain == _ML for node in self._nodes):
            opsets.append(helper.make_opsetid(_ML, _ML_OPSET))
        model = helper.make_model(graph, producer_name="graft", opset_imports=opsets)
        model.ir_version = _IR_VERSION
        helper.set_model_props(model, {name: json.dumps(value, ensure_ascii=False) for name, value in metadata.items()})
        checker.check_model(model)
        data: bytes = model.SerializeToString(deterministic=True)
        return data


def _matrix(name: str, dtype: npt.DTypeLike, width: int) -> "ValueInfoProto":
    from onnx import helper

    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), ["n", width])


def affine_graph(
    weight: F32, bias: F32, classes: Sequence[str], temperature: float, *, multilabel: bool = False
) -> bytes:
    """Scores = embedding · weightᵀ + bias; probabilities as `Graph.answer` makes them.

    Args:
        weight: (k, d) float32.
        bias: (k,) float32.
        classes: k names, kept as JSON in the file's metadata under ``classes``; none for a regression, where k = 1.
        temperature: Positive; without effect on a regression.
        multilabel: Whether a row may have any number of classes.

    Returns:
        An ONNX file: input ``embedding`` (n, d); outputs ``scores`` (n, k) and ``probabilities`` (n, k), or for a
        regression ``value`` (n, 1); all float32, n free.
    """
    k, d = weight.shape
    graph = Graph("affine_head")
    embedding = graph.input("embedding", np.float32, d)
    scores = graph("Gemm", embedding, graph.constant("weight", weight), graph.constant("bias", bias), transB=1)
    graph.answer(scores, k, temperature, regression=not classes, multilabel=multilabel)
    return graph.to_bytes({"classes": list(classes)})


def row_graph(
    schema: Schema, encoding: Encoding, weight: F32, bias: F32, classes: Sequence[str], temperature: float
) -> bytes:
    """Scores = encoding of a typed row · weightᵀ + bias; probabilities = softmax(scores / temperature).

    The features of categories are never written out: the index of a row's value picks its column of `weight`.

    Args:
        schema: The columns that a row has, kept in the file's metadata under ``columns`` (`Column.to_dict`).
        encoding: Learned of that schema; d features.
        weight: (k, d) float32.
        bias: (k,) float32.
        classes: As in `affine_graph`.
        temperature: As in `affine_graph`.

    Returns:
        An ONNX file: inputs ``numbers`` (n, a) float64 with NaN for a missing value and ``categories`` (n, b) string
        with "" for a missing one, see `Rows`; an input without columns is left out. Outputs as in `affine_graph`;
        never NaN, whatever the inputs.
    """
    graph = Graph("row_head")
    dense, sparse = np.split(weight, [encoding.dense_width], axis=1)
    parts = []
    if len(encoding.mean):
        features = _dense(graph, graph.input("numbers", np.float64, len(encoding.mean)), encoding)
        constants = graph.constant("weight", dense), graph.constant("bias", bias)
        parts.append(graph("Gemm", features, *constants, transB=1))
    else:
        parts.append(graph.constant("bias", bias))
    if encoding.vocabulary:
        texts = graph.input("categories", np.str_, len(encoding.vocabulary))
        parts.append(_looked_up(graph, texts, encoding.vocabulary, sparse))
    scores = parts[0] if len(parts) == 1 else graph("Add", *parts)
    graph.answer(scores, len(weight), temperature, regression=not classes)
    return graph.to_bytes({"classes": list(classes), "columns": [column.to_dict() for column in schema]})


def _dense(graph: Graph, numbers: str, encoding: Encoding) -> str:
    """Features before those of the categories, (n, dense_width) float32; see `Encoding`.

    Scaled in double: a number may differ from its mean by less than float32 can tell.
    """
    missing = graph("IsNaN", numbers)
    mean = graph.constant("mean", encoding.mean)
    filled = graph("Where", missing, mean, numbers)
    scaled = graph("Div", graph("Sub", filled, mean), graph.constant("scale", encoding.scale))
    above = graph("Max", scaled, graph.constant("lowest", -encoding.limit))
    clipped = graph("Min", above, graph.constant("highest", encoding.limit))
    parts = [_float32(graph, clipped)]
    if encoding.indicated:
        parts.append(_float32(graph, _pick(graph, "indicated", missing, encoding.indicated)))
    if encoding.amounts:
        parts.append(_logs(graph, filled, missing, encoding))
    if encoding.cycles:
        parts += _cycles(graph, filled, missing, encoding)
    return parts[0] if len(parts) == 1 else graph("Concat", *parts, axis=1)


def _logs(graph: Graph, filled: str, missing: str, encoding: Encoding) -> str:
    """Scaled logarithms of the amounts; 0 where one is missing."""
    amounts = graph("Max", _pick(graph, "amounts", filled, encoding.amounts), graph.constant("zero", 0.0))
    shifted = graph("Add", graph("Div", amounts, graph.constant("unit", encoding.unit)), graph.constant("one", 1.0))
    centred = graph("Sub", graph("Log", shifted), graph.constant("log_mean", encoding.log_mean))
    scaled = graph("Div", centred, graph.constant("log_scale", encoding.log_scale))
    clipped = graph("Clip", scaled, graph.constant("log_lowest", -LIMIT), graph.constant("log_highest", LIMIT))
    there = _float32(graph, graph("Not", _pick(graph, "missing_amounts", missing, encoding.amounts)))
    return graph("Mul", _float32(graph, clipped), there)


def _cycles(graph: Graph, filled: str, missing: str, encoding: Encoding) -> list[str]:
    """Sines and cosines of the dates; 0 where a date is missing."""
    dates = [place for place, _ in encoding.cycles]
    bounds = graph.constant("first_day", -LAST_DAY), graph.constant("last_day", LAST_DAY)
    days = graph("Clip", _pick(graph, "dates", filled, dates), *bounds)
    turns = graph("Div", days, graph.constant("periods", np.array([period for _, period in encoding.cycles])))
    # Whole turns are taken off in double; ONNX Runtime has sine and cosine of float32 only.
    part = _float32(graph, graph("Sub", turns, graph("Floor", turns)))
    angle = graph("Mul", part, graph.constant("turn", np.float32(2 * np.pi)))
    there = _float32(graph, graph("Not", _pick(graph, "missing_dates", missing, dates)))
    return [graph("Mul", graph("Sin", angle), there), graph("Mul", graph("Cos", angle), there)]


def _looked_up(graph: Graph, texts: str, vocabulary: Sequence[Sequence[str]], weight: F32) -> str:
    """What the categories add to the scores, (n, k).

    Args:
        graph: Written to.
        texts: (n, b) string.
        vocabulary: Known values of each of the b columns.
        weight: (k, m) float32, one column for each known value, in that order.
    """
    k, unknown = weight.shape
    indices, start = [], 0
    for place, values in enumerate(vocabulary):
        column = _pick(graph, f"column_{place}", texts, [place])
        known = range(start, start + len(values))
        indices.append(graph("LabelEncoder", column, keys_strings=values, values_int64s=known, default_int64=unknown))
        start += len(values)
    index = graph("Concat", *indices, axis=1)
    # The last row is what an unknown value adds: nothing.
    table = graph.constant("effects", np.concatenate([weight.T, np.zeros((1, k), np.float32)]))
    return graph("ReduceSum", graph("Gather", table, index, axis=0), graph.constant("axis", np.array([1])), keepdims=0)


def _pick(graph: Graph, name: str, matrix: str, columns: Sequence[int]) -> str:
    """Some columns of a matrix."""
    return graph("Gather", matrix, graph.constant(name, np.array(columns, dtype=np.int64)), axis=1)


def _float32(graph: Graph, values: str) -> str:
    from onnx import TensorProto

    return graph("Cast", values, to=TensorProto.FLOAT)
