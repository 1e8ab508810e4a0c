"""Graphs of heads on an embedding: an affine layer, and what may follow it."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from adapters.base import F32
from adapters.graphs.graph import Graph

Activation = Literal["relu", "gelu"]
"""What a hidden unit makes of its input; GELU in the form with tanh."""

Rest = Callable[[Graph, str], str]
"""Writes what follows the first layer: from the name of its result (n, m) to that of the scores (n, k)."""

GELU_SCALE = math.sqrt(2 / math.pi)
GELU_CUBE = 0.044715


def nothing(_graph: Graph, first: str) -> str:
    """The first layer gives the scores."""
    return first


def affine_graph(
    weight: F32, bias: F32, classes: Sequence[str], temperature: float, *, multilabel: bool = False
) -> bytes:
    """Scores = embedding · weightᵀ + bias; see `head_graph`."""
    return head_graph("affine_head", weight, bias, classes, temperature, multilabel=multilabel)


def head_graph(
    name: str,
    weight: F32,
    bias: F32,
    classes: Sequence[str],
    temperature: float,
    *,
    multilabel: bool = False,
    rest: Rest = nothing,
) -> bytes:
    """Scores = rest(embedding · weightᵀ + bias); probabilities as `Graph.answer` makes them.

    Args:
        name: Of the graph.
        weight: (m, d) float32 of the first layer: scores themselves where nothing follows.
        bias: (m,) float32.
        classes: k names, kept as JSON in the file's metadata under ``classes``; none for a regression, where k = 1.
        temperature: Positive; without effect on a regression.
        multilabel: Whether a row may have any number of classes.
        rest: What follows the first layer.

    Returns:
        An ONNX file: input ``embedding`` (n, d); outputs ``scores`` (n, k) and ``probabilities`` (n, k), or for a
        regression ``value`` (n, 1); all float32, n free.
    """
    graph = Graph(name)
    scores = rest(graph, _gemm(graph, graph.input("embedding", np.float32, weight.shape[1]), weight, bias))
    graph.answer(scores, len(classes) or 1, temperature, regression=not classes, multilabel=multilabel)
    return graph.to_bytes({"classes": list(classes)})


def trunk_graph(weight: F32, bias: F32, activation: Activation) -> bytes:
    """The hidden layer of a network alone.

    Args:
        weight: (h, d) float32.
        bias: (h,) float32.
        activation: Of the units.

    Returns:
        An ONNX file: input ``embedding`` (n, d); output ``item_embedding`` (n, h); both float32, n free.
    """
    graph = Graph("trunk")
    inside = _gemm(graph, graph.input("embedding", np.float32, weight.shape[1]), weight, bias)
    graph("Identity", activated(graph, inside, activation), name="item_embedding")
    graph.output("item_embedding", len(weight))
    return graph.to_bytes({})


def fourier_rest(weight: F32, bias: F32) -> Rest:
    """Cosine and sine of the m angles that the first layer gives, each divided by √m, and an affine layer on them.

    Args:
        weight: (k, 2m) float32.
        bias: (k,) float32.
    """

    def write(graph: Graph, angles: str) -> str:
        waves = graph("Concat", graph("Cos", angles), graph("Sin", angles), axis=1)
        height = np.float32(1 / math.sqrt(weight.shape[1] // 2))
        return _gemm(graph, graph("Mul", waves, graph.constant("height", height)), weight, bias, "head_")

    return write


def network_rest(weight: F32, bias: F32, activation: Activation) -> Rest:
    """Units of a hidden layer, and an affine layer on them.

    Args:
        weight: (k, h) float32.
        bias: (k,) float32.
        activation: Of the units.
    """

    def write(graph: Graph, inside: str) -> str:
        return _gemm(graph, activated(graph, inside, activation), weight, bias, "head_")

    return write


def activated(graph: Graph, inside: str, activation: Activation) -> str:
    """What hidden units make of their inputs (n, h)."""
    if activation == "relu":
        return graph("Relu", inside)
    half, one = graph.constant("gelu_half", np.float32(0.5)), graph.constant("gelu_one", np.float32(1))
    cubed = graph("Mul", graph("Mul", inside, inside), inside)
    bent = graph("Add", inside, graph("Mul", cubed, graph.constant("gelu_cube", np.float32(GELU_CUBE))))
    gate = graph("Tanh", graph("Mul", bent, graph.constant("gelu_scale", np.float32(GELU_SCALE))))
    return graph("Mul", graph("Mul", inside, half), graph("Add", gate, one))


def _gemm(graph: Graph, inputs: str, weight: F32, bias: F32, prefix: str = "") -> str:
    """Inputs · weightᵀ + bias."""
    constants = graph.constant(prefix + "weight", weight), graph.constant(prefix + "bias", bias)
    return graph("Gemm", inputs, *constants, transB=1)
