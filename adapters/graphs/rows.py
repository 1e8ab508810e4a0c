"""The row graph: from typed rows as a caller sends them to the first layer of a head."""

from collections.abc import Sequence

import numpy as np

from adapters.base import F32
from adapters.encoding import LAST_DAY, LIMIT, Encoding
from adapters.graphs.graph import Graph
from adapters.graphs.heads import Rest, nothing
from adapters.schema import Schema


def row_graph(
    schema: Schema,
    encoding: Encoding,
    weight: F32,
    bias: F32,
    classes: Sequence[str],
    temperature: float,
    *,
    multilabel: bool = False,
    rest: Rest = nothing,
) -> bytes:
    """Scores = rest(encoding of a typed row · weightᵀ + bias); probabilities as `Graph.answer` makes them.

    The features of categories are never written out: the index of a row's value picks its column of `weight`.

    Args:
        schema: The columns that a row has, kept in the file's metadata under ``columns`` (`Column.to_dict`).
        encoding: Learned of that schema; d features.
        weight: (m, d) float32 of the first layer: scores themselves where nothing follows.
        bias: (m,) float32.
        classes: k names, kept as JSON in the file's metadata under ``classes``; none for a regression, where k = 1.
        temperature: Positive; without effect on a regression.
        multilabel: Whether a row may have any number of classes.
        rest: What follows the first layer.

    Returns:
        An ONNX file: inputs ``numbers`` (n, a) float64 with NaN for a missing value and ``categories`` (n, b) string
        with "" for a missing one, see `Rows`; an input without columns is left out. Outputs as in `head_graph`;
        never NaN, whatever the inputs.
    """
    graph = Graph("row_head")
    scores = rest(graph, _first_layer(graph, encoding, weight, bias))
    k = len(classes) or 1
    graph.answer(scores, k, temperature, regression=not classes, multilabel=multilabel)
    return graph.to_bytes({"classes": list(classes), "columns": [column.to_dict() for column in schema]})


def _first_layer(graph: Graph, encoding: Encoding, weight: F32, bias: F32) -> str:
    """Encoding of a row · weightᵀ + bias, (n, m)."""
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
    return parts[0] if len(parts) == 1 else graph("Add", *parts)


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
    """What the categories add to the first layer, (n, m).

    Args:
        graph: Written to.
        texts: (n, b) string.
        vocabulary: Known values of each of the b columns.
        weight: (m, v) float32, one column for each known value, in that order.
    """
    width, unknown = weight.shape
    indices, start = [], 0
    for place, values in enumerate(vocabulary):
        column = _pick(graph, f"column_{place}", texts, [place])
        known = range(start, start + len(values))
        indices.append(graph("LabelEncoder", column, keys_strings=values, values_int64s=known, default_int64=unknown))
        start += len(values)
    index = graph("Concat", *indices, axis=1)
    # The last row is what an unknown value adds: nothing.
    table = graph.constant("effects", np.concatenate([weight.T, np.zeros((1, width), np.float32)]))
    return graph("ReduceSum", graph("Gather", table, index, axis=0), graph.constant("axis", np.array([1])), keepdims=0)


def _pick(graph: Graph, name: str, matrix: str, columns: Sequence[int]) -> str:
    """Some columns of a matrix."""
    return graph("Gather", matrix, graph.constant(name, np.array(columns, dtype=np.int64)), axis=1)


def _float32(graph: Graph, values: str) -> str:
    from onnx import TensorProto

    return graph("Cast", values, to=TensorProto.FLOAT)
