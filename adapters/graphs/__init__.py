"""Small ONNX graphs, written by hand so that the same head gives the same bytes.

graph.py    writing one, operation by operation
heads.py    an embedding -> an affine layer -> what a head adds behind it
rows.py     a typed row -> its encoding, folded into the same affine layer -> what a head adds behind it
"""

from adapters.graphs.graph import Graph
from adapters.graphs.heads import Activation, Rest, affine_graph, fourier_rest, head_graph, network_rest, trunk_graph
from adapters.graphs.rows import row_graph

__all__ = [
    "Activation",
    "Graph",
    "Rest",
    "affine_graph",
    "fourier_rest",
    "head_graph",
    "network_rest",
    "row_graph",
    "trunk_graph",
]
